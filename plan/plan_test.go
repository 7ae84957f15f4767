package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsloop/dnsloop/resolvconf"
)

// lines is a plan as a table shows it.
func lines(p Plan) []string {
	var out []string
	for _, l := range p.Listeners {
		out = append(out, "listen "+l.Addr.String())
	}
	for _, c := range p.Checks {
		s := fmt.Sprintf("%s %s %s %s:%d", c.Upstream, c.Zone, c.Transport, c.Upstream.Source.File, c.Upstream.Source.Line)
		if c.Unprobed != "" {
			s += " unprobed: " + c.Unprobed
		}
		out = append(out, s)
	}
	return out
}

func TestNew(t *testing.T) {
	both := Options{Transports: []Transport{UDP, TCP}}
	wild, _ := ParseListen(":53")
	target := func(s string) Upstream {
		u, err := ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for name, tt := range map[string]struct {
		servers []Server
		o       Options
		want    []string
	}{
		"upstream, then zone, then transport": {
			[]Server{{Listeners: wild, Zones: []string{".", "example."}, Upstreams: []Upstream{target("10.0.0.2"), target("tls://10.0.0.3")}}}, both,
			[]string{
				"listen 0.0.0.0:53", "listen [::]:53",
				"10.0.0.2:53 . udp :0", "10.0.0.2:53 . tcp :0", "10.0.0.2:53 example. udp :0", "10.0.0.2:53 example. tcp :0",
				"10.0.0.3:853 . tls :0", "10.0.0.3:853 example. tls :0",
			},
		},
		"a scheme beats --transport": {
			[]Server{{Listeners: nil, Zones: []string{"."}, Upstreams: []Upstream{target("udp://10.0.0.2"), target("10.0.0.3")}}}, Options{Transports: []Transport{TCP}},
			[]string{"10.0.0.2:53 . udp :0", "10.0.0.3:53 . tcp :0"},
		},
		"listeners of two servers, each once": {
			[]Server{{Listeners: wild}, {Listeners: wild}}, both,
			[]string{"listen 0.0.0.0:53", "listen [::]:53"},
		},
		"no probe": {
			[]Server{{Listeners: nil, Zones: []string{"."}, Upstreams: []Upstream{target("10.0.0.2")}}}, Options{Transports: []Transport{UDP}, NoProbe: true},
			[]string{"10.0.0.2:53 . udp :0 unprobed: " + ByRequest},
		},
		"a pod's loopback is not this host's": {
			[]Server{{Listeners: nil, Zones: []string{"."}, Upstreams: []Upstream{target("127.0.0.53"), target("::"), target("10.0.0.2")}}}, Options{Transports: []Transport{UDP}, Pod: true},
			[]string{"127.0.0.53:53 . udp :0 unprobed: " + OfThePod, "[::]:53 . udp :0 unprobed: " + OfThePod, "10.0.0.2:53 . udp :0"},
		},
	} {
		if diff := cmp.Diff(tt.want, lines(New(tt.servers, tt.o))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFromResolvConf(t *testing.T) {
	for in, want := range map[string][]string{
		"nameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.2\n": {"10.0.0.2:53 . udp f:1", "10.0.0.3:53 . udp f:2"},
		"# nothing\n": {"127.0.0.1:53 . udp f:0"},
	} {
		conf, err := resolvconf.Parse("f", strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		s := FromResolvConf("f", conf, nil, []string{"."})
		if diff := cmp.Diff(want, lines(New([]Server{s}, Options{Transports: []Transport{UDP}}))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestIsLocal(t *testing.T) {
	for s, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.53": true, "127.255.255.254": true, "::1": true, "0.0.0.0": true, "::": true,
		"10.0.0.2": false, "169.254.20.10": false, "fe80::1": false, "128.0.0.1": false,
	} {
		if got := IsLocal(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}
