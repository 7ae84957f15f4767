package probe

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// What a run asks for the root: two of eight names lie under com, neither of
// them the first, of two types and two shapes, and such that they go to
// different ones of up to four servers that take turns.
func TestOptOutPlaces(t *testing.T) {
	k := newClock(t, nil)
	k.c.optOut = packZone("com.")
	var got []string
	places := []int{}
	for i := range DefaultProbes {
		p := newProbe(k.c, k.c.nextType(), k.c.nextShape())
		k.c.onSend(p)
		qtype, name, _ := strings.Cut(p.question(), " ")
		shape := "digits"
		if name[0] > '9' {
			shape = "letters"
		}
		labels := dns.SplitDomainName(name)
		got = append(got, strings.Join(append([]string{qtype, shape}, labels[2:]...), " "))
		if len(labels) == 3 {
			places = append(places, i)
		}
	}
	want := []string{
		"HINFO digits", "A letters", "TXT digits com", "HINFO letters",
		"AAAA digits", "HINFO letters", "TXT digits", "A letters com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for turns := 2; turns <= 4; turns++ {
		if places[0]%turns == places[1]%turns {
			t.Errorf("places %v are those of one and the same of %d servers", places, turns)
		}
	}
}

// An upstream that holds all of the root's proofs answers itself what does not
// go under a zone with Opt-Out: a loop is found all the same, over UDP and TCP.
func TestSwallowedNames(t *testing.T) {
	swallowed := func(h lab.Handler) lab.Handler {
		return lab.ByZone(map[string]lab.Handler{".": clean, "com.": h})
	}
	for name, tt := range map[string]struct {
		zones []string
		build func(home netip.AddrPort) lab.Handler
		loops bool
	}{
		"straight back": {[]string{"."}, func(home netip.AddrPort) lab.Handler {
			return swallowed(lab.Forward(lab.First, home))
		}, true},
		"minimised": {[]string{"."}, func(home netip.AddrPort) lab.Handler {
			return swallowed(lab.Minimise(lab.Forward(lab.First, home)))
		}, true},
		"its parent first": {[]string{"."}, func(home netip.AddrPort) lab.Handler {
			return swallowed(parentFirst(lab.Forward(lab.First, home)))
		}, true},
		"case changed": {[]string{"."}, func(home netip.AddrPort) lab.Handler {
			return swallowed(lab.Rewrite(strings.ToUpper, lab.Forward(lab.First, home)))
		}, true},
		"elsewhere":                {[]string{"."}, func(netip.AddrPort) lab.Handler { return swallowed(clean) }, false},
		"com not answered":         {[]string{"."}, func(netip.AddrPort) lab.Handler { return swallowed(lab.Silent()) }, false},
		"com fails":                {[]string{"."}, func(netip.AddrPort) lab.Handler { return swallowed(lab.Answer(dns.RcodeServerFailure)) }, false},
		"com has its own upstream": {[]string{".", "com."}, func(home netip.AddrPort) lab.Handler { return swallowed(lab.Forward(lab.First, home)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, home := standIn(t)
			checks := checksOf(plan.Upstream{Addr: start(t, tt.build(home)).Addr()}, tt.zones...)
			for i, r := range run10s(t, s, options(), checks) {
				c := checks[i]
				loops := tt.loops && c.Zone == tt.zones[len(tt.zones)-1]
				if (r.Returned > 0) != loops || r.Failure != NoFailure || len(r.Filtered) > 0 || r.Sent > DefaultProbes+2 {
					t.Errorf("%s over %s: %+v: want returned: %v", c.Zone, c.Transport, r, loops)
				}
			}
			if strays := s.Strays(); len(strays) > 0 {
				t.Errorf("questions that nobody explains: %v", strays)
			}
		})
	}
}

// parentFirst asks for the parent of a probe's last label, and for nothing more
// where that is refused, as a resolver does that looks for a zone cut.
func parentFirst(h lab.Handler) lab.Handler {
	return func(ctx context.Context, q *lab.Query) lab.Reply {
		parent := lab.Rewrite(func(string) string { return "com." }, h)(ctx, q)
		if slices.ContainsFunc(parent.Messages, func(m []byte) bool { return m[3]&0xf == dns.RcodeRefused }) {
			return lab.Answer(dns.RcodeServerFailure)(ctx, q)
		}
		return h(ctx, q)
	}
}
