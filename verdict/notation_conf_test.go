package verdict

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsloop/dnsloop/forwarders"
	"github.com/dnsloop/dnsloop/plan"
)

// TestConfLines: what is written in the place of a word leaves all else of the
// line as it is, or nothing is written.
func TestConfLines(t *testing.T) {
	for _, c := range []struct {
		n          *notation
		line, word string
		add        []string // addresses; none: the word is taken out
		want       []string // nil: not found
	}{
		{&dnsmasqLine, "server=10.0.0.2", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"server=10.0.0.3"}},
		{&dnsmasqLine, "server=10.0.0.2", "10.0.0.2", nil, []string{}},
		{&dnsmasqLine, " server = /a/b/10.0.0.2#5353@eth0 # was 10.0.0.2", "10.0.0.2#5353", []string{"10.0.0.3:54", "10.0.0.4:53"},
			[]string{" server = /a/b/10.0.0.3#54 # was 10.0.0.2", " server = /a/b/10.0.0.4 # was 10.0.0.2"}},
		{&dnsmasqLine, "server=/10.0.0.2/10.0.0.2\r", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"server=/10.0.0.2/10.0.0.3\r"}},
		{&dnsmasqLine, "rev-server=10.0.0.0/8,10.0.0.2", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"rev-server=10.0.0.0/8,10.0.0.3"}},
		{&dnsmasqLine, `server="10.0.0.2"`, "10.0.0.2", []string{"10.0.0.3:53"}, []string{"server=10.0.0.3"}},
		{&dnsmasqLine, `server="/a/10.0.0.2"`, "10.0.0.2", []string{"10.0.0.3:53"}, nil},
		{&dnsmasqLine, `server=/"a"/10.0.0.2`, "10.0.0.2", []string{"10.0.0.3:53"}, nil},
		{&dnsmasqLine, "server=110.0.0.2", "10.0.0.2", []string{"10.0.0.3:53"}, nil},

		{&unboundLine, "\tforward-addr: 10.0.0.2 # x", "10.0.0.2", []string{"10.0.0.3:53", "10.0.0.4:54"},
			[]string{"\tforward-addr: 10.0.0.3 # x", "\tforward-addr: 10.0.0.4@54 # x"}},
		{&unboundLine, `forward-addr:"10.0.0.2@54"`, "10.0.0.2@54", []string{"10.0.0.3:53"}, []string{"forward-addr:10.0.0.3"}},
		{&unboundLine, "forward-addr: 2001:db8::2\r", "2001:db8::2", []string{"[2001:db8::3]:53"}, []string{"forward-addr: 2001:db8::3\r"}},
		{&unboundLine, "forward-zone: name: . forward-addr: 10.0.0.2", "10.0.0.2", []string{"10.0.0.3:53"}, nil},
		{&unboundLine, "\t\t10.0.0.2", "10.0.0.2", []string{"10.0.0.3:53"}, nil},

		{&namedList, "\tforwarders { 10.0.0.2; 10.0.0.20; };", "10.0.0.2", []string{"10.0.0.3:53", "10.0.0.4:54"},
			[]string{"\tforwarders { 10.0.0.3; 10.0.0.4 port 54; 10.0.0.20; };"}},
		{&namedList, "forwarders{10.0.0.20;10.0.0.2;};", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"forwarders{10.0.0.20;10.0.0.3; };"}},
		{&namedList, "forwarders { 10.0.0.2  port 53 ; 10.0.0.3; };", "10.0.0.2 port 53", nil, []string{"forwarders { 10.0.0.3; };"}},
		{&namedList, "10.0.0.2; // not 10.0.0.2;", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"10.0.0.3; // not 10.0.0.2;"}},
		{&namedList, "/* 10.0.0.2; */ 10.0.0.2; # 10.0.0.2;", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"/* 10.0.0.2; */ 10.0.0.3; # 10.0.0.2;"}},
		{&namedList, "10.0.0.2 port 54;", "10.0.0.2", []string{"10.0.0.3:53"}, nil},
		{&namedList, "a { 10.0.0.2; }; b { 10.0.0.2; };", "10.0.0.2", []string{"10.0.0.3:53"}, nil},
		{&namedList, "10.0.0.2", "10.0.0.2", []string{"10.0.0.3:53"}, nil},
		{&namedPorts, "forwarders port 54 { 10.0.0.2; };", "10.0.0.2", []string{"10.0.0.3:53"}, []string{"forwarders port 54 { 10.0.0.3 port 53; };"}},
	} {
		var add []string
		for _, a := range c.add {
			add = append(add, c.n.write(netip.MustParseAddrPort(a)))
		}
		got, gone := c.n.rewrite(c.line, []mention{{spot: spot{word: c.word}}}, add)
		if len(gone) == 0 {
			got = nil
		} else if got == nil {
			got = []string{}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q %q (-want +got):\n%s", c.line, c.word, diff)
		}
	}
	for _, n := range []*notation{&unboundTLS, &namedTLS} {
		if got := n.write(netip.MustParseAddrPort("10.0.0.3:53")); got != "" {
			t.Errorf("%q would be asked over TLS", got)
		}
	}
}

// confInput is a run over a configuration of one line: 10.0.0.2 and 10.0.0.4 send
// queries back, the others answer.
func confInput(line string, us ...plan.Upstream) Input {
	in := Input{
		Lines: map[string][][]byte{"f": {[]byte(line)}}, Clean: ninth, CleanFrom: "up.conf",
		Ears: ears("192.0.2.1:53 listening"),
	}
	for _, u := range us {
		u.Source, u.Conf.File = plan.Source{File: "f", Line: 1}, "f"
		in.Plan.Checks = append(in.Plan.Checks, plan.Check{
			Upstream: u, Zone: ".", Transport: plan.UDP,
			Listeners: []plan.Listener{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}},
		})
		result := answered
		if a := u.Addr.Addr().String(); a == "10.0.0.2" || a == "10.0.0.4" {
			result = returned
		}
		in.Results = append(in.Results, result)
	}
	return in
}

// TestConfChoices: an upstream beside the guilty one of the same choice stays; of
// another choice it is none to fall back on.
func TestConfChoices(t *testing.T) {
	conf := func(addr string, choice int, f forwarders.Format, bare bool) plan.Upstream {
		a := netip.MustParseAddrPort(addr)
		return plan.Upstream{Addr: a, Conf: plan.Conf{Format: f, Word: a.Addr().String(), Choice: choice, Bare: bare}}
	}
	tls := conf("10.0.0.2:53", 1, forwarders.Unbound, false)
	tls.Transport = plan.TLS
	for _, c := range []struct {
		name string
		in   Input
		want []string // the changes
	}{
		{"beside", confInput("forwarders { 10.0.0.2; 10.0.0.3; };",
			conf("10.0.0.2:53", 1, forwarders.Named, true), conf("10.0.0.3:53", 1, forwarders.Named, true)),
			[]string{"in f line 1 write `forwarders { 10.0.0.3; };` instead of `forwarders { 10.0.0.2; 10.0.0.3; };`"}},
		{"elsewhere", confInput("forwarders { 10.0.0.2; 10.0.0.3; };",
			conf("10.0.0.2:53", 1, forwarders.Named, true), conf("10.0.0.3:53", 2, forwarders.Named, true)),
			[]string{"in f line 1 write `forwarders { 10.0.0.9; 10.0.0.3; };` instead of `forwarders { 10.0.0.2; 10.0.0.3; };`"}},
		{"two choices of one line", confInput("a { 10.0.0.2; }; b { 10.0.0.4; };",
			conf("10.0.0.2:53", 1, forwarders.Named, true), conf("10.0.0.4:53", 2, forwarders.Named, true)),
			[]string{"in f line 1 forward to 10.0.0.9 instead of 10.0.0.2", "in f line 1 forward to 10.0.0.9 instead of 10.0.0.4"}},
		{"a port of the list", confInput("forwarders port 54 { 10.0.0.2; };", conf("10.0.0.2:54", 1, forwarders.Named, false)),
			[]string{"in f line 1 write `forwarders port 54 { 10.0.0.9 port 53; };` instead of `forwarders port 54 { 10.0.0.2; };`"}},
		{"behind a quote", confInput(`server="/a/10.0.0.2"`, conf("10.0.0.2:53", 1, forwarders.Dnsmasq, true)),
			[]string{"in f line 1 forward to 10.0.0.9 instead of 10.0.0.2"}},
		{"over TLS, where nothing that speaks it is known", confInput("forward-addr: 10.0.0.2", tls), nil},
	} {
		var got []string
		for _, r := range Judge(c.in).Remedies {
			got = append(got, r.Change)
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestConfOfKubernetesNode: the kubelet hands such a configuration to nobody.
func TestConfOfKubernetesNode(t *testing.T) {
	a := netip.MustParseAddrPort("10.0.0.2:53")
	in := confInput("server=10.0.0.2", plan.Upstream{Addr: a, Conf: plan.Conf{Format: forwarders.Dnsmasq, Word: "10.0.0.2", Choice: 1, Bare: true}})
	in.Facts.Kubernetes = true
	for _, f := range Judge(in).Findings {
		for _, s := range f.Advice {
			if strings.Contains(s, "kube") || strings.Contains(s, "Kubernetes") {
				t.Errorf("%s: %q", f.Code, s)
			}
		}
	}
}

func TestManyListeners(t *testing.T) {
	var c CheckReport
	for _, a := range addrs("10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53", "10.0.0.4:53", "10.0.0.5:53", "10.0.0.6:53") {
		c.Listeners = append(c.Listeners, plan.Listener{Addr: a})
	}
	const want = "10.0.0.1:53 and 10.0.0.2:53 and 10.0.0.3:53 and 10.0.0.4:53 and 2 more"
	if got := c.listenNames(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
