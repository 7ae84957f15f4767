package lab

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

func TestForwardRelays(t *testing.T) {
	up := run(t, Answer(dns.RcodeNameError))
	s := run(t, Forward(First, up.Addr()))
	var asked []uint16
	for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeHINFO).SetEdns0(1232, true)
		m.CheckingDisabled = true
		asked = append(asked, m.Id)
		got, err := exchangeWith(s, over, m)
		if err != nil {
			t.Fatal(err)
		}
		if got.Id != m.Id || got.Rcode != dns.RcodeNameError {
			t.Errorf("over %s: got %v, want NXDOMAIN under ID %d", over, got.MsgHdr, m.Id)
		}
	}
	// Each is relayed over what it came by.
	want := []string{"HINFO a.example. over udp", "HINFO a.example. over tcp"}
	if diff := cmp.Diff(want, names(up)); diff != "" {
		t.Errorf("seen upstream (-want +got):\n%s", diff)
	}
	fresh := false
	for i, q := range up.Seen() {
		if !q.Msg.RecursionDesired || !q.Msg.CheckingDisabled || q.Msg.IsEdns0() == nil {
			t.Errorf("relayed as %v, want RD, CD and EDNS as they came", q.Msg)
		}
		fresh = fresh || q.Msg.Id != asked[i]
	}
	if !fresh {
		t.Error("both queries were relayed under their own IDs")
	}
}

func TestForwardVia(t *testing.T) {
	up := run(t, Answer(dns.RcodeSuccess))
	s := run(t, Via(plan.TCP, Forward(First, up.Addr())))
	mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	if diff := cmp.Diff([]string{"A a. over tcp"}, names(up)); diff != "" {
		t.Errorf("seen upstream (-want +got):\n%s", diff)
	}
}

// crew starts n upstreams that answer with h, and lists their addresses.
func crew(t *testing.T, n int, h Handler) (up []*Server, to []netip.AddrPort) {
	t.Helper()
	for range n {
		s := run(t, h)
		up, to = append(up, s), append(to, s.Addr())
	}
	return up, to
}

func counts(up []*Server) []int {
	var list []int
	for _, s := range up {
		list = append(list, s.Queries())
	}
	return list
}

func TestForwardPolicies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy Policy
		want   []int
	}{
		{"first", First, []int{6, 0, 0}},
		{"round robin", RoundRobin, []int{2, 2, 2}},
		{"all", All, []int{6, 6, 6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// For All the answers must wait until everybody was asked: the
			// first one calls the others off.
			up, to := crew(t, 3, Delay(20*time.Millisecond, Answer(dns.RcodeSuccess)))
			s := run(t, Forward(tt.policy, to...))
			for range 6 {
				mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
			}
			if diff := cmp.Diff(tt.want, counts(up)); diff != "" {
				t.Errorf("queries of each upstream (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForwardRandomAsksEveryUpstream(t *testing.T) {
	up, to := crew(t, 3, Answer(dns.RcodeSuccess))
	s := run(t, Forward(Random, to...))
	const n = 120
	for range n {
		mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	}
	total := 0
	for i, c := range counts(up) {
		if c == 0 { // by chance once in 10^21
			t.Errorf("upstream %d was never asked", i)
		}
		total += c
	}
	if total != n {
		t.Errorf("%d queries upstream for %d", total, n)
	}
}

func TestForwardTurnsToTheNext(t *testing.T) {
	dead, err := Dead()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dead.Close)
	live := run(t, Answer(dns.RcodeNameError))
	for _, p := range []Policy{First, RoundRobin, Random, All} {
		s := run(t, Forward(p, dead.Addr(), live.Addr()))
		for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
			if got := mustAsk(t, s, over, "a.", dns.TypeA).Rcode; got != dns.RcodeNameError {
				t.Errorf("policy %d over %s: rcode %d, want the living one's NXDOMAIN", p, over, got)
			}
		}
	}
}

func TestForwardGivesEachUpstreamItsShareOfTheTime(t *testing.T) {
	t.Parallel()
	silent, live := run(t, Silent()), run(t, Answer(dns.RcodeNameError))
	s := run(t, Forward(First, silent.Addr(), live.Addr()))
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeA).Rcode; got != dns.RcodeNameError {
		t.Errorf("rcode %d, want the living one's NXDOMAIN", got)
	}
	if silent.Queries() != 1 {
		t.Errorf("the silent one was asked %d times, want once", silent.Queries())
	}
}

func TestForwardAllTakesTheFirstAnswer(t *testing.T) {
	quick := run(t, Answer(dns.RcodeNameError))
	slow := run(t, Delay(time.Hour, Answer(dns.RcodeSuccess)))
	s := run(t, Forward(All, slow.Addr(), quick.Addr()))
	start := time.Now()
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeA).Rcode; got != dns.RcodeNameError {
		t.Errorf("rcode %d, want the quick one's NXDOMAIN", got)
	}
	if took := time.Since(start); took >= forwardTimeout {
		t.Errorf("took %s: it waited for the slow one", took)
	}
}

func TestForwardToNobodyIsServfail(t *testing.T) {
	dead, err := Dead()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dead.Close)
	silent := run(t, Silent())
	for _, tt := range []struct {
		name string
		h    Handler
	}{
		{"dead", Forward(First, dead.Addr())},
		{"silent", Forward(First, silent.Addr())},
		{"none in turn", Forward(Random)},
		{"none at once", Forward(All)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mustAsk(t, run(t, tt.h), plan.UDP, "a.", dns.TypeA).Rcode; got != dns.RcodeServerFailure {
				t.Errorf("rcode %d, want SERVFAIL", got)
			}
		})
	}
}

func TestForwardWaitsPastForgeries(t *testing.T) {
	forged := Answer(dns.RcodeRefused)
	up := run(t, Each(Garbage(), CompressionLoop(), WrongID(forged), WrongQuestion(forged), Echo(), Answer(dns.RcodeNameError)))
	s := run(t, Forward(First, up.Addr()))
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeA); got.Rcode != dns.RcodeNameError {
		t.Errorf("rcode %d, want NXDOMAIN", got.Rcode)
	}
}

func TestForwardRefusesBeyondItsLimit(t *testing.T) {
	const limit = 150
	arrived := make(chan struct{}, limit+1)
	up := run(t, func(context.Context, *Query) Reply {
		arrived <- struct{}{}
		return Reply{}
	})
	h := Forward(First, up.Addr())
	q := &Query{Msg: new(dns.Msg).SetQuestion("a.", dns.TypeA), Transport: plan.TCP} // none is lost over TCP
	ctx, cancel := context.WithCancel(t.Context())
	var outstanding sync.WaitGroup
	for range limit {
		outstanding.Go(func() { h(ctx, q) })
	}
	within(t, "the queries' arrival", func() {
		for range limit {
			<-arrived
		}
	})
	if r := h(ctx, q); unpack(t, r.Messages[0]).Rcode != dns.RcodeRefused {
		t.Errorf("one more than %d: %v, want REFUSED", limit, unpack(t, r.Messages[0]).MsgHdr)
	}
	cancel()
	within(t, "the end of those outstanding", outstanding.Wait)
	// Their places are free again.
	live := run(t, Answer(dns.RcodeNameError))
	h = Forward(First, live.Addr())
	for range limit + 1 {
		if r := h(t.Context(), q); unpack(t, r.Messages[0]).Rcode != dns.RcodeNameError {
			t.Fatalf("got %v, want NXDOMAIN", unpack(t, r.Messages[0]).MsgHdr)
		}
	}
}

func TestACircleEnds(t *testing.T) {
	for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
		t.Run(string(over), func(t *testing.T) {
			a := run(t, Silent())
			b := run(t, Forward(First, a.Addr()))
			a.Handle(Forward(First, b.Addr()))
			mustAsk(t, a, over, "a.", dns.TypeA) // refused or failed: it comes back
			if n := a.Queries(); n < 2 || n > forwardLimit+1 {
				t.Errorf("%d laps, want more than one and at most %d", n, forwardLimit+1)
			}
			within(t, "Close", func() { a.Close(); b.Close() })
		})
	}
}
