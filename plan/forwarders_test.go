package plan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dnsloop/dnsloop/forwarders"
)

func TestFromForwarders(t *testing.T) {
	at := netip.MustParseAddrPort
	env := forwarders.Env{ReadFile: func(string) ([]byte, error) { return []byte("#\nnameserver 192.0.2.53\n"), nil }}
	on := func(addrs ...string) (ls []Listener) {
		for _, a := range addrs {
			ls = append(ls, Listener{Addr: at(a)})
		}
		return ls
	}
	line := func(n int) Source { return Source{"f", n} }
	secure := []Listener{{Addr: at("192.0.2.1:853"), Secure: TLS, Cert: "c", Key: "k"}}
	for _, c := range []struct {
		format forwarders.Format
		data   string
		want   []Server
	}{
		{forwarders.Dnsmasq, "listen-address=192.0.2.1\nserver=/a.example/b.example/10.0.0.1#54\nserver=dns.example\n", []Server{
			{Listeners: on("192.0.2.1:53")},
			{Listeners: on("192.0.2.1:53"), Zones: []string{"."}, Upstreams: []Upstream{
				{Addr: netip.AddrPortFrom(netip.Addr{}, 53), Name: "dns.example", Source: line(3),
					Conf: Conf{forwarders.Dnsmasq, "f", "dns.example", 2, true}},
				{Addr: at("192.0.2.53:53"), Source: Source{"/etc/resolv.conf", 2}, Via: Source{File: "f"},
					Conf: Conf{Format: forwarders.Dnsmasq, File: "f"}},
			}},
			{Listeners: on("192.0.2.1:53"), Zones: []string{"a.example."}, Upstreams: []Upstream{
				{Addr: at("10.0.0.1:54"), Source: line(2), Conf: Conf{forwarders.Dnsmasq, "f", "10.0.0.1#54", 1, true}}}},
			{Listeners: on("192.0.2.1:53"), Zones: []string{"b.example."}, Upstreams: []Upstream{
				{Addr: at("10.0.0.1:54"), Source: line(2), Conf: Conf{forwarders.Dnsmasq, "f", "10.0.0.1#54", 1, true}}}},
		}},
		{forwarders.Unbound, "server:\ninterface: 192.0.2.1@853\ntls-service-pem: c\ntls-service-key: k\ntls-cert-bundle: ca\n" +
			"forward-zone:\nname: .\nforward-tls-upstream: yes\nforward-addr: 10.0.0.1#dns.example\n", []Server{
			{Listeners: secure},
			{Listeners: secure, Zones: []string{"."}, Upstreams: []Upstream{
				{Addr: at("10.0.0.1:853"), Transport: TLS, Name: "dns.example", CA: "ca", Source: line(9),
					Conf: Conf{forwarders.Unbound, "f", "10.0.0.1#dns.example", 1, false}},
			}},
		}},
		{forwarders.Named, "options { listen-on { 192.0.2.1; };\nlisten-on-v6 { none; };\nforwarders { 10.0.0.1 port 54; }; };", []Server{
			{Listeners: on("192.0.2.1:53")},
			{Listeners: on("192.0.2.1:53"), Zones: []string{"."}, Upstreams: []Upstream{
				{Addr: at("10.0.0.1:54"), Source: line(3), Conf: Conf{forwarders.Named, "f", "10.0.0.1 port 54", 1, true}},
			}},
		}},
	} {
		conf, err := forwarders.Parse(c.format, "f", []byte(c.data), env)
		if err != nil {
			t.Fatal(err)
		}
		compare := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}
		if diff := cmp.Diff(c.want, FromForwarders("f", conf, false), compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.format, diff)
		}
	}
}

// TestResolveForwarders: a name stands for each of its addresses, and for itself
// where there are none.
func TestResolveForwarders(t *testing.T) {
	conf, err := forwarders.Parse(forwarders.Dnsmasq, "f", []byte("no-resolv\nserver=a.example#54\nserver=b.example\n"), forwarders.Env{})
	if err != nil {
		t.Fatal(err)
	}
	conf.Resolve(func(host string) ([]netip.Addr, error) {
		if host == "a.example" {
			return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("2001:db8::1")}, nil
		}
		return nil, nil
	})
	var got []string
	for _, u := range FromForwarders("f", conf, false)[1].Upstreams {
		got = append(got, u.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.1:54", "[2001:db8::1]:54", "b.example:53"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
