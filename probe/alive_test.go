package probe

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// Silent to fresh names, one server says who it is, another is deaf to all.
func TestAlive(t *testing.T) {
	up := start(t, func(ctx context.Context, q *lab.Query) lab.Reply {
		if q.Msg.Question[0].Qclass == dns.ClassCHAOS {
			return lab.Answer(dns.RcodeRefused)(ctx, q)
		}
		return lab.Reply{}
	})
	silent, forger := start(t, lab.Silent()), start(t, lab.Each(lab.Echo(), lab.WrongID(clean)))
	began := time.Now()
	replied := Alive(t.Context(), []netip.AddrPort{up.Addr(), silent.Addr(), forger.Addr()})
	for up.Queries() == 0 || silent.Queries() == 0 || forger.Queries() == 0 {
		if time.Since(began) > 10*time.Second {
			t.Fatal("nobody was asked")
		}
		time.Sleep(time.Millisecond) // until each was asked
	}
	s, _ := standIn(t)
	probeFor(t, s, 300*time.Millisecond, plan.Upstream{Addr: up.Addr()}) // the reply's way back is shorter
	if got := replied(); len(got) != 1 || !got[up.Addr()] {
		t.Errorf("replied: %v, want %s alone", got, up.Addr())
	}
}

// A run that is over within a second asks nobody.
func TestAliveAsksLate(t *testing.T) {
	up := start(t, clean)
	replied := Alive(t.Context(), []netip.AddrPort{up.Addr()})
	if got := replied(); len(got) != 0 || up.Queries() != 0 {
		t.Errorf("replied: %v, asked %d times", got, up.Queries())
	}
}
