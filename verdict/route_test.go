package verdict

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// back is a return at a listener.
func back(at string, direct bool) probe.Result {
	return probe.Result{Sent: 8, Answered: 8, Returned: 1, Returns: []probe.Return{{
		Query: "HINFO 1.2.", From: netip.MustParseAddrPort("10.0.0.2:4000"), To: netip.MustParseAddrPort(at),
		Transport: plan.UDP, After: time.Millisecond, Direct: direct,
	}}}
}

// over is a result whose returns came by another transport.
func over(t plan.Transport, r probe.Result) probe.Result {
	r.Returns[0].Transport = t
	return r
}

// Each row: a Corefile, what each probed check saw over UDP, and the verdict
// and codes of each check, in the order of the file.
func TestCorefileVerdicts(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		pod     bool
		noProbe bool
		results map[string]probe.Result // by upstream and zone; else answered
		stray   string                  // from 10.0.0.2
		want    string
	}{
		"clean":                     {text: ".:53 {\nforward . 10.0.0.2\n}", want: "clear"},
		"a return":                  {text: ".:53 {\nforward . 10.0.0.2\n}", results: map[string]probe.Result{"10.0.0.2:53 .": back("0.0.0.0:53", false)}, want: "loop DL001"},
		"the second zone alone":     {text: "a.example b.example {\nforward . 10.0.0.2\n}", results: map[string]probe.Result{"10.0.0.2:53 b.example.": back("0.0.0.0:53", false)}, want: "clear; loop DL001"},
		"itself behind a wildcard":  {text: ".:53 {\nforward . 127.0.0.1\n}", results: map[string]probe.Result{"127.0.0.1:53 .": back("0.0.0.0:53", true)}, want: "loop DL001 DL002 DL003"},
		"held by somebody else":     {text: ".:53 {\nforward . 127.0.0.1\n}", want: "risk DL003"},
		"itself, not probed":        {text: ".:53 {\nforward . 127.0.0.1\n}", noProbe: true, want: "risk DL003"},
		"itself in a pod":           {text: ".:53 {\nforward . 127.0.0.1\n}", pod: true, want: "loop DL002"},
		"itself, bound":             {text: ".:53 {\nbind 127.0.0.2\nforward . 127.0.0.2\n}", noProbe: true, want: "loop DL002"},
		"a circle":                  {text: ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 127.0.0.1\n}", noProbe: true, want: "loop DL010; loop DL010"},
		"a circle of one zone":      {text: ".:53 {\nforward . 127.0.0.1:1053\n}\na.example:1053 {\nforward . 127.0.0.1\n}", noProbe: true, want: "clear DL013; loop DL010; loop DL010"},
		"a circle that is doubted":  {text: ".:53 {\nacl {\nblock net 127.0.0.0/8\n}\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 127.0.0.1\n}", noProbe: true, want: "risk DL010; risk DL010"},
		"except cuts it":            {text: ".:53 {\nforward . 127.0.0.1:1053\n}\na.example:1053 {\nforward . 127.0.0.1 {\nexcept a.example\n}\n}", noProbe: true, want: "clear DL013"},
		"a chain":                   {text: ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 10.0.0.2\n}", want: "clear DL013; clear"},
		"a chain to a loop":         {text: ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 10.0.0.2\n}", results: map[string]probe.Result{"10.0.0.2:53 .": back("0.0.0.0:1053", false)}, want: "loop DL013; loop DL001"},
		"a chain to silence":        {text: ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 10.0.0.2\n}", results: map[string]probe.Result{"10.0.0.2:53 .": silent}, want: "unknown DL013; unknown DL007"},
		"home to a block elsewhere": {text: ".:53 {\nforward . 10.0.0.2\n}\n.:1053 {\nforward . 10.0.0.3\n}", results: map[string]probe.Result{"10.0.0.2:53 .": back("0.0.0.0:1053", false)}, want: "clear DL013; clear"},
		"home over TLS":             {text: "tls://.:853 {\ntls c k\nforward . 10.0.0.2\n}", results: map[string]probe.Result{"10.0.0.2:53 .": over(plan.TLS, back("0.0.0.0:853", false))}, want: "loop DL001"},
		"home over TLS, elsewhere":  {text: ".:53 {\nforward . 10.0.0.2\n}\ntls://.:853 {\ntls c k\nforward . 10.0.0.3\n}", results: map[string]probe.Result{"10.0.0.2:53 .": over(plan.TLS, back("0.0.0.0:853", false))}, want: "clear DL013; clear"},
		"a connection over TLS":     {text: "tls://.:853 {\ntls c k\nforward . 10.0.0.2\n}", stray: "(a connection over tls)", want: "risk DL016"},
		"a placeholder":             {text: ".:53 {\nforward . __PILLAR__UPSTREAM__SERVERS__\n}", want: "unknown DL014"},
		"a placeholder, not probed": {text: ".:53 {\nforward . __PILLAR__UPSTREAM__SERVERS__\n}", noProbe: true, want: "clear DL014"},
		"QUIC":                      {text: ".:53 {\nforward . quic://10.0.0.2\n}", want: "unknown DL014"},
	} {
		f, err := corefile.Parse("Corefile", []byte(tt.text), corefile.Env{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		in := Input{NoProbe: tt.noProbe, Facts: Facts{Own: thisHost}, FailOn: FailUnknown}
		in.Plan = plan.New(plan.FromCorefile(f, tt.pod), plan.Options{Transports: []plan.Transport{plan.UDP}, NoProbe: tt.noProbe})
		for _, l := range in.Plan.Listeners {
			in.Ears = append(in.Ears, ears(l.Addr.String()+" listening")...)
		}
		for _, c := range in.Plan.Checks {
			res, ok := tt.results[c.Upstream.String()+" "+c.Zone]
			if !ok {
				res = answered
			}
			in.Results = append(in.Results, res)
		}
		if tt.stray != "" {
			in.Strays = []probe.Stray{{Query: tt.stray, From: netip.MustParseAddr("10.0.0.2"), Count: 1}}
		}
		r := Judge(in)
		var got []string
		for _, c := range r.Checks {
			got = append(got, strings.Join(append([]string{string(c.Verdict)}, c.Codes...), " "))
		}
		if g := strings.Join(got, "; "); g != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, g, tt.want)
		}
		for _, f := range r.Findings {
			if f.Source.File != "Corefile" || f.Source.Line == 0 || f.Message == "" || f.Code != "DL003" && len(f.Advice) == 0 {
				t.Errorf("%s: %+v: want a line, a message and advice", name, f)
			}
			if f.Level == Error && r.Verdict != Loop {
				t.Errorf("%s: %s is an error, and the verdict %s", name, f.Code, r.Verdict)
			}
		}
	}
}

// A Corefile's remedy rewrites the forward's own line.
func TestCorefileRemedy(t *testing.T) {
	judge := func(text string, results ...probe.Result) Report {
		f, err := corefile.Parse("Corefile", []byte(text), corefile.Env{})
		if err != nil {
			t.Fatal(err)
		}
		servers := plan.FromCorefile(f, false)
		return Judge(Input{
			Lines: map[string][][]byte{"Corefile": bytes.Split([]byte(text), []byte("\n"))},
			Plan:  plan.New(servers, plan.Options{Transports: []plan.Transport{plan.UDP}}), Results: results,
			Ears: ears("0.0.0.0:53 listening", "[::]:53 listening"), Facts: Facts{Own: thisHost},
			Clean: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:53")}, CleanFrom: "/run/systemd/resolve/resolv.conf",
		})
	}
	for _, tt := range []struct {
		text, want string
		results    []probe.Result
	}{
		{".:53 {\n\tforward . 10.0.0.2 {\n\t}\n}", "\tforward . 10.0.0.9 {", []probe.Result{back("0.0.0.0:53", false)}},
		{".:53 {\n  forward . 10.0.0.2 10.0.0.3\n}", "  forward . 10.0.0.3", []probe.Result{back("0.0.0.0:53", false), answered}},
	} {
		rs := judge(tt.text, tt.results...).Remedies
		if len(rs) != 1 || rs[0].Line != 2 || rs[0].Old != strings.Split(tt.text, "\n")[1] || len(rs[0].New) != 1 || rs[0].New[0] != tt.want {
			t.Errorf("%q: %+v, want %q", tt.text, rs, tt.want)
		}
	}
}
