package probe

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dnsloop/dnsloop/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddr("127.0.0.1")

// standIn opens a stand-in on a port of the kernel's choice.
func standIn(t testing.TB) (*StandIn, netip.AddrPort) {
	t.Helper()
	s := listenAt(t, plan.Listener{Addr: netip.AddrPortFrom(loopback, 0)})
	return s, s.Ears()[0].Addr
}

// listenAt opens a stand-in. A port that the kernel chose for TCP may be
// somebody's over UDP: then it is to choose again.
func listenAt(t testing.TB, l plan.Listener) *StandIn {
	t.Helper()
	held := func(e Ear) bool { return e.State == Held }
	s := Listen(t.Context(), []plan.Listener{l}, []netip.Addr{loopback}, nil)
	for tries := 20; tries > 0 && slices.ContainsFunc(s.Ears(), held); tries-- {
		s.Close()
		s = Listen(t.Context(), []plan.Listener{l}, []netip.Addr{loopback}, nil)
	}
	t.Cleanup(s.Close)
	for _, e := range s.Ears() {
		if e.State != Listening {
			t.Fatalf("%s %s: %s: %v", e.Addr, e.Transport, e.State, e.Err)
		}
	}
	return s
}

func options() Options {
	return Options{
		Probes: DefaultProbes, Qtypes: DefaultQtypes,
		QueryTimeout: 2 * time.Second, Settle: DefaultSettle, AdaptSettle: true,
	}
}

func checksOf(u plan.Upstream, zones ...string) []plan.Check {
	if zones == nil {
		zones = []string{"."}
	}
	return plan.New([]plan.Server{{Zones: zones, Upstreams: []plan.Upstream{u}}},
		plan.Options{Transports: []plan.Transport{plan.UDP, plan.TCP}}).Checks
}

func run10s(t testing.TB, s *StandIn, o Options, cs []plan.Check) []Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.Probe(ctx, cs, o)
}

func TestDirectSelfForward(t *testing.T) {
	s, addr := standIn(t)
	for i, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: addr})) {
		// Answers are not waited for long once all have come home.
		if r.Sent != DefaultProbes || r.Returned != r.Sent || len(r.Returns) != r.Sent {
			t.Errorf("check %d: sent %d, answered %d, returned %d", i, r.Sent, r.Answered, r.Returned)
		}
		for _, ret := range r.Returns {
			if !ret.Direct || ret.To != addr || ret.After <= 0 {
				t.Errorf("return %+v: want a direct one to %s", ret, addr)
			}
		}
	}
}
