package corefile

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mustParse(t *testing.T, text string) File {
	t.Helper()
	f, err := Parse("Corefile", []byte(text), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A wildcard listener gets what is sent to an address only where somebody says
// so; one that names the address always does.
func TestClaims(t *testing.T) {
	only := func(addrs ...string) func(netip.Addr) bool {
		return func(a netip.Addr) bool { return slices.Contains(addrs, a.String()) }
	}
	for _, c := range []struct {
		name, text string
		claims     func(netip.Addr) bool
		want       Fate
	}{
		{"wildcard, nobody claims", ".:53 {\nforward . 127.0.0.1\n}\n", nil, Outside},
		{"wildcard, claimed", ".:53 {\nforward . 127.0.0.1\n}\n", only("127.0.0.1"), Self},
		{"wildcard, another claimed", ".:53 {\nforward . 127.0.0.53\n}\n", only("127.0.0.1"), Outside},
		{"wildcard, unspecified is loopback", ".:53 {\nforward . 0.0.0.0\n}\n", only("127.0.0.1"), Self},
		{"wildcard, unspecified, nobody claims", ".:53 {\nforward . ::\n}\n", nil, Outside},
		{"wildcard, unspecified is loopback, IPv6", ".:53 {\nforward . ::\n}\n", only("::1"), Self},
		{"bind to a wildcard is one", ".:53 {\nbind 0.0.0.0\nforward . ::1\n}\n", only("::1"), Self},
		{"mapped addresses are what they map to", ".:53 {\nforward . ::ffff:127.0.0.1\n}\n", only("127.0.0.1"), Self},
		{"another port", ".:53 {\nforward . 127.0.0.1:54\n}\n", only("127.0.0.1"), Outside},
		{"named", ".:53 {\nbind 10.0.0.1\nforward . 10.0.0.1\n}\n", nil, Self},
		{"another transport", ".:853 {\nbind 10.0.0.1\nforward . tls://10.0.0.1\n}\n", nil, Outside},
	} {
		t.Run(c.name, func(t *testing.T) {
			paths := mustParse(t, c.text).Graph(c.claims).Paths()
			if len(paths) != 1 || paths[0].Fate != c.want {
				t.Errorf("paths %+v, want one %s", paths, c.want)
			}
		})
	}
}

// What plugins before forward do decides whether a self-forward spins.
func TestTakers(t *testing.T) {
	for _, c := range []struct {
		name, plugin string
		want         Fate   // empty: the forward never gets a name
		doubt        string // plugin
	}{
		{"none", "cache", Self, ""},
		{"hosts takes all", "hosts /etc/hosts", "", ""},
		{"hosts for another zone", "hosts /etc/hosts example.net", Self, ""},
		{"hosts for a zone below", "hosts /etc/hosts sub.example.org", Self, ""},
		{"hosts falls through", "hosts {\nfallthrough\n}", Self, ""},
		{"hosts falls through elsewhere", "hosts {\nfallthrough example.net\n}", "", ""},
		{"kubernetes above", "kubernetes org {\nfallthrough in-addr.arpa\n}", "", ""},
		{"kubernetes beside", "kubernetes cluster.local", Self, ""},
		{"route53", "route53 example.org.:Z1", "", ""},
		{"route53 beside", "route53 example.net.:Z1", Self, ""},
		{"template takes all", "template ANY ANY {\nrcode NXDOMAIN\n}", "", ""},
		{"template for one type", "template IN AAAA {\nrcode NOERROR\n}", Self, ""},
		{"template for another class", "template CH ANY {\nrcode NOERROR\n}", Self, ""},
		{"template falls through unmatched", "template IN ANY {\nmatch ^ads\nrcode NXDOMAIN\nfallthrough\n}", Self, ""},
		{"template matched", "template IN ANY {\nmatch [.]org[.]$\nrcode NXDOMAIN\nfallthrough\n}", "", ""},
		{"template fails unmatched", "template IN ANY {\nmatch ^ads\nrcode NXDOMAIN\n}", "", ""},
		{"acl allows", "acl {\nallow net 10.0.0.0/8\n}", Self, ""},
		{"acl blocks", "acl {\nblock net 10.0.0.0/8\n}", Self, "acl"},
		{"acl for another zone", "acl example.net {\nblock\n}", Self, ""},
		{"tsig", "tsig {\nrequire all\n}", Self, "tsig"},
		{"tsig required of none", "tsig {\nsecret a.key. AAAA\n}", Self, ""},
		{"rewrite of one name", "rewrite name exact a.example.org b.example.org", Self, ""},
		{"rewrite of one name, short", "rewrite stop name a.example.org b.example.org", Self, ""},
		{"rewrite of a suffix", "rewrite name suffix .example.org .example.net", Self, "rewrite"},
		{"rewrite of another suffix", "rewrite continue name suffix .example.com .example.net", Self, ""},
		{"rewrite of a prefix", "rewrite name prefix www web", Self, ""},
		{"rewrite and stop", "rewrite stop name suffix .example.org .example.net", Self, "rewrite"},
		{"rewrite of a part", "rewrite name substring example sample", Self, "rewrite"},
		{"rewrite by regexp in a block", "rewrite stop {\nname regex (.*)[.]org {1}.net\nanswer auto\n}", Self, "rewrite"},
		{"rewrite of a type", "rewrite type ANY HINFO", Self, ""},
		{"external", "unbound", Self, "unbound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustParse(t, "example.org {\nbind 127.0.0.1\n"+c.plugin+"\nforward . 127.0.0.1\n}\n")
			var fate Fate
			doubt := ""
			for _, p := range f.Graph(nil).Paths() {
				fate = p.Fate
				if p.Doubt != nil {
					doubt = p.Doubt.Plugin
					if p.Doubt.Line != 3 {
						t.Errorf("doubt at %s", p.Doubt)
					}
				}
			}
			if fate != c.want || doubt != c.doubt {
				t.Errorf("fate %q doubt %q, want %q %q", fate, doubt, c.want, c.doubt)
			}
			if (len(f.Problems) > 0) != (c.want == "") {
				t.Errorf("problems %+v", f.Problems)
			}
		})
	}
}

// One way home without a doubt proves a circle, whatever the others are.
func TestCircleWithoutDoubt(t *testing.T) {
	f := mustParse(t, `.:1 {
    bind 127.0.0.1
    forward . 127.0.0.1:2
}
.:2 {
    bind 127.0.0.1
    forward . 127.0.0.1:3 127.0.0.1:4
}
.:3 {
    bind 127.0.0.1
    acl {
        block net 10.0.0.0/8
    }
    forward . 127.0.0.1:1
}
.:4 {
    bind 127.0.0.1
    forward . 127.0.0.1:1
}
`)
	p := f.Graph(nil).Paths()[0]
	want := []Hop{{0, 0, 0}, {1, 0, 1}, {3, 0, 0}}
	if p.Fate != Circle || p.Doubt != nil || !slices.Equal(p.Hops, want) {
		t.Errorf("path %+v, want a circle by %v", p, want)
	}
}

// A chain is as bad as what its receiver does with the zone at hand.
func TestLeads(t *testing.T) {
	f := mustParse(t, `example.org:1 {
    bind 127.0.0.1
    forward . 127.0.0.1:2
}
. example.org example.net:2 {
    bind 127.0.0.1
    forward . 9.9.9.9 1.1.1.1
}
`)
	f2 := mustParse(t, `sub.example.org:1 {
    bind 127.0.0.1
    forward . 127.0.0.1:2
}
.:2 example.org:2 {
    bind 127.0.0.1
    forward . 9.9.9.9 1.1.1.1
}
`)
	// A block with a view may get a name for two of its zones.
	f3 := mustParse(t, `example.org:1 {
    bind 127.0.0.1
    forward . 127.0.0.1:2
}
.:2 example.org:2 {
    bind 127.0.0.1
    view v {
        expr true
    }
    forward . 9.9.9.9
}
`)
	for i, c := range []struct {
		file File
		want []string
	}{
		{f3, []string{"example.org. 9.9.9.9:53"}},
		{f, nil}, // the receiver has example.net alone at port 2
		{f2, []string{"example.org. 9.9.9.9:53", "example.org. 1.1.1.1:53"}},
	} {
		paths := c.file.Graph(nil).Paths()
		var got []string
		for _, l := range paths[0].Leads {
			got = append(got, paths[l].Zone+" "+c.file.Graph(nil).to(paths[l].Hop).Addr.String())
		}
		if paths[0].Fate != Chain || !slices.Equal(got, c.want) {
			t.Errorf("%d: %s leads to %v, want a chain to %v", i, paths[0].Fate, got, c.want)
		}
	}
}

// A probe that comes home is a loop only where its name goes round.
func TestReturn(t *testing.T) {
	f := mustParse(t, `.:53 {
    forward . 10.0.0.1
}
example.org:53 {
    forward . 10.0.0.2
}
.:5301 {
    bind 127.0.0.1
    forward . 10.0.0.1 {
        except example.net
    }
}
.:5302 {
    bind 127.0.0.1
    forward . 127.0.0.1:5301
}
example.com:5302 {
    bind 127.0.0.1
    view v {
        expr true
    }
    forward . 10.0.0.1
}
`)
	first := Hop{0, 0, 0}
	second := Hop{1, 0, 0}
	for _, c := range []struct {
		name, zone, at string
		sent           Hop
		want           Homecoming
	}{
		{"to the sender", ".", "0.0.0.0:53", first, Homecoming{Receivers: []int{0}, Loop: true}},
		{"to the sender, by IPv6", ".", "[::]:53", first, Homecoming{Receivers: []int{0}, Loop: true}},
		{"to the sender, bound one by one", ".", "192.0.2.7:53", first, Homecoming{Receivers: []int{0}, Loop: true}},
		{"to the block of the zone", "example.org.", "0.0.0.0:53", second, Homecoming{Receivers: []int{1}, Loop: true}},
		{"to a block with another upstream", "example.org.", "0.0.0.0:53", first, Homecoming{Receivers: []int{1}}},
		{"to another block with the same upstream", ".", "127.0.0.1:5301", first, Homecoming{Receivers: []int{2}, Loop: true}},
		{"to a block that excepts it", "example.net.", "127.0.0.1:5301", first, Homecoming{Receivers: []int{2}}},
		{"by a chain of blocks", ".", "127.0.0.1:5302", first, Homecoming{Receivers: []int{3}, Loop: true}},
		{"by a chain that ends", ".", "127.0.0.1:5302", second, Homecoming{Receivers: []int{3}}},
		{"a view decides", "example.com.", "127.0.0.1:5302", first,
			Homecoming{Receivers: []int{4, 3}, Loop: true, Doubt: &Doubt{Pos{"Corefile", 19}, "view"}}},
		{"to a port that is no block's", ".", "127.0.0.1:9999", first, Homecoming{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := f.Graph(nil).Return(c.sent, c.zone, "dns", netip.MustParseAddrPort(c.at))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// CoreDNS resolves host names once, when it starts.
func TestResolve(t *testing.T) {
	f := mustParse(t, `. {
    forward . 9.9.9.9 dns.example tls://dns.example none.example fails.example __PILLAR__X__ {
        resolver 192.0.2.1
    }
}
`)
	asked := map[string]int{}
	f.Resolve(func(host string, resolvers []string) ([]netip.Addr, error) {
		if !slices.Equal(resolvers, []string{"192.0.2.1"}) {
			t.Errorf("resolvers %v", resolvers)
		}
		asked[host]++
		switch host {
		case "dns.example":
			return []netip.Addr{netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("::ffff:192.0.2.53"), netip.MustParseAddr("fe80::1%eth0")}, nil
		case "fails.example":
			return nil, errors.New("no such host")
		}
		return nil, nil
	})
	type to struct{ Addr, Scheme, Reason string }
	var got []to
	for _, s := range f.Blocks[0].Forwards[0].To {
		got = append(got, to{s.Addr.String(), s.Scheme, s.Reason})
	}
	want := []to{
		{"9.9.9.9:53", "dns", ""}, // once
		{"192.0.2.53:53", "dns", ""},
		{"[fe80::1]:53", "dns", ""},
		{"9.9.9.9:853", "tls", ""},
		{"192.0.2.53:853", "tls", ""},
		{"[fe80::1]:853", "tls", ""},
		{"invalid AddrPort", "dns", "no address is known for none.example"},
		{"invalid AddrPort", "dns", "no such host"},
		{"invalid AddrPort", "dns", notFilledIn},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if asked["dns.example"] != 2 || asked["none.example"] != 1 {
		t.Errorf("asked %v", asked)
	}
}

func TestSplitZones(t *testing.T) {
	for _, c := range []struct {
		in    string
		zones []string // nil: malformed
		port  string
	}{
		{".", []string{"."}, ""},
		{"Example.ORG:1053", []string{"example.org."}, "1053"},
		{"10.0.0.0/24:53", []string{"0.0.10.in-addr.arpa."}, "53"},
		{"192.168.1.1/23", []string{"0.168.192.in-addr.arpa.", "1.168.192.in-addr.arpa."}, ""},
		{"0.0.0.0/0", []string{"in-addr.arpa."}, ""},
		{"10.1.2.3/32", []string{"3.2.1.10.in-addr.arpa."}, ""},
		{"254.0.0.0/7", []string{"254.in-addr.arpa.", "255.in-addr.arpa."}, ""},
		{"2001:db8::/31", []string{"8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa."}, ""},
		{"fd00:12::/36", []string{"0.2.1.0.0.0.0.d.f.ip6.arpa."}, ""},
		{"10.0.0.1", []string{"10.0.0.1."}, ""},
		{"a:b", []string{"a:b."}, ""},
		{"a:", nil, ""},
		{"a..b", nil, ""},
		{"::/0", nil, ""},
	} {
		zones, port, err := splitZones(c.in)
		if (err != nil) != (c.zones == nil) || port != c.port && err == nil {
			t.Errorf("splitZones(%q) = %v %q %v", c.in, zones, port, err)
		}
		if diff := cmp.Diff(c.zones, zones, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("splitZones(%q) -want +got:\n%s", c.in, diff)
		}
	}
}

// A doubt bears the place of the file that the Corefile stands in.
func TestRelocateMovesDoubts(t *testing.T) {
	f := mustParse(t, ".:53 {\nbind 127.0.0.1\nacl {\nblock\n}\nforward . 127.0.0.1\n}\n"+
		".:54 {\nbind 127.0.0.1\nview v {\nexpr true\n}\nforward . 127.0.0.1:54\n}\n")
	f.Relocate(func(p Pos) Pos { return Pos{"manifest.yaml", p.Line + 100} })
	var got []Pos
	for _, p := range f.Graph(nil).Paths() {
		got = append(got, p.Doubt.Pos)
	}
	if want := []Pos{{"manifest.yaml", 103}, {"manifest.yaml", 110}}; !slices.Equal(got, want) {
		t.Errorf("doubts at %v, want %v", got, want)
	}
}
