package plan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dnsloop/dnsloop/corefile"
)

func TestFromCorefile(t *testing.T) {
	env := corefile.Env{ReadFile: func(string) ([]byte, error) {
		return []byte("#\nnameserver 192.0.2.53\n"), nil
	}}
	f, err := corefile.Parse("Corefile", []byte(`example.org {
    bind 127.0.0.1
    forward sub.example.org tls://10.0.0.2%dns.example https://10.0.0.3
    forward . 10.0.0.1 {
        force_tcp
    }
}
.:54 {
    forward sub.example.net /etc/resolv.conf
    forward . https://[2001:db8::1]:8443 {
        tls_servername dns.example
        prefer_udp
    }
}
example.net:55 {
    bind ::1
    whoami
}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort
	on := func(addrs ...string) (ls []Listener) {
		for _, a := range addrs {
			ls = append(ls, Listener{Addr: at(a)})
		}
		return ls
	}
	line := func(n int) Source { return Source{"Corefile", n} }
	want := []Server{
		{Listeners: on("[::1]:55")},
		{Listeners: on("127.0.0.1:53"), Zones: []string{"sub.example.org."},
			Upstreams: []Upstream{{Addr: at("10.0.0.2:853"), Transport: TLS, Name: "dns.example", Source: line(3)}}},
		{Listeners: on("127.0.0.1:53"), Zones: []string{"sub.example.org."},
			Upstreams: []Upstream{{Addr: at("10.0.0.3:443"), Transport: HTTPS, URL: "https://10.0.0.3:443/dns-query", Source: line(3)}}},
		{Listeners: on("127.0.0.1:53"), Zones: []string{"example.org."},
			Upstreams: []Upstream{{Addr: at("10.0.0.1:53"), Transport: TCP, Source: line(4)}}},
		{Listeners: on("0.0.0.0:54", "[::]:54"), Zones: []string{"sub.example.net."},
			Upstreams: []Upstream{{Addr: at("192.0.2.53:53"), Source: Source{"/etc/resolv.conf", 2}, Via: line(9)}}},
		{Listeners: on("0.0.0.0:54", "[::]:54"), Zones: []string{"."}, Upstreams: []Upstream{{Addr: at("[2001:db8::1]:8443"),
			Transport: HTTPS, Name: "dns.example", URL: "https://dns.example:8443/dns-query", Source: line(10)}}},
	}
	compare := cmp.Options{
		cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Server{}, "Route"),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	}
	if diff := cmp.Diff(want, FromCorefile(f, false), compare); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
