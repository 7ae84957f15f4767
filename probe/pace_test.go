package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// More upstreams than may be asked at once, half of them by TCP: all get their
// turn, and what is under way stays bounded.
func TestManyUpstreams(t *testing.T) {
	s, _ := standIn(t)
	up := start(t, clean, lab.On("0.0.0.0:0"))
	var checks []plan.Check
	for i := range maxLanes {
		addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
		checks = append(checks, checksOf(plan.Upstream{Addr: netip.AddrPortFrom(addr, up.Addr().Port())})...)
	}
	o := options()
	o.Probes = 2
	open, most := 0, 0
	o.Trace = func(tr Trace) {
		switch tr.What {
		case "sent":
			open++
			most = max(most, open)
		case "answered":
			open--
		}
	}
	for i, r := range run10s(t, s, o, checks) {
		if r.Answered < 2 || r.Failure != NoFailure {
			t.Fatalf("%s over %s: %+v", checks[i].Upstream, checks[i].Transport, r)
		}
	}
	if most > maxUnderWay {
		t.Errorf("%d queries under way, want %d at most", most, maxUnderWay)
	}
}

// Silent upstreams, as many as may be asked at once, do not keep the next one
// from being asked.
func TestManySilentUpstreams(t *testing.T) {
	t.Parallel()
	s, _ := standIn(t)
	silent, up := start(t, lab.Silent(), lab.On("0.0.0.0:0")), start(t, clean)
	var checks []plan.Check
	for i := range maxLanes {
		addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
		checks = append(checks, plan.Check{
			Upstream: plan.Upstream{Addr: netip.AddrPortFrom(addr, silent.Addr().Port())}, Zone: ".", Transport: plan.UDP,
		})
	}
	checks = append(checks, plan.Check{Upstream: plan.Upstream{Addr: up.Addr()}, Zone: ".", Transport: plan.UDP})
	o := options()
	ctx, cancel := context.WithCancel(t.Context())
	o.Trace = func(tr Trace) {
		if tr.What == "answered" {
			cancel()
		}
	}
	defer time.AfterFunc(10*time.Second, cancel).Stop()
	rs := s.Probe(ctx, checks, o)
	if r := rs[maxLanes]; r.Answered == 0 {
		t.Errorf("behind %d silent upstreams: %+v", maxLanes, r)
	}
	if r := rs[0]; r.Failure != Silent {
		t.Errorf("silent upstream: %+v", r)
	}
}

// Many zones through one upstream: it is asked as fast as it answers, but never
// has more than so many queries unanswered, and few at once to begin with.
func TestPace(t *testing.T) {
	s, _ := standIn(t)
	up := start(t, clean)
	zones := make([]string, 60)
	for i := range zones {
		zones[i] = fmt.Sprintf("zone%d.example.", i)
	}
	open := map[plan.Transport]int{}
	sent := map[plan.Transport][]time.Time{}
	o := options()
	o.Trace = func(tr Trace) {
		switch tr.What {
		case "sent":
			sent[tr.Transport] = append(sent[tr.Transport], time.Now())
			if open[tr.Transport]++; open[tr.Transport] > maxInFlight {
				t.Fatalf("%d queries unanswered over %s", open[tr.Transport], tr.Transport)
			}
		case "answered":
			open[tr.Transport]--
		}
	}
	for i, r := range run10s(t, s, o, checksOf(plan.Upstream{Addr: up.Addr()}, zones...)) {
		if r.Failure != NoFailure || r.Answered < DefaultProbes {
			t.Fatalf("check %d: %+v", i, r)
		}
	}
	for transport, at := range sent {
		if len(at) < len(zones)*DefaultProbes {
			t.Fatalf("%d queries over %s, want %d", len(at), transport, len(zones)*DefaultProbes)
		}
		for i := 50; i < firstProbes; i++ {
			if d := at[i].Sub(at[i-50]); d < 10*time.Millisecond {
				t.Errorf("51 of the first queries within %v over %s", d, transport)
			}
		}
	}
}

// A server that closes each connection after a few answers is asked on others.
func TestConnectionsThatCarryFew(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const carries = 5
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for range carries {
					q, err := readFrame(r, nil)
					if err != nil {
						return
					}
					q[2] |= 0x80 // QR
					c.Write(append([]byte{0, byte(len(q))}, q...))
				}
			})
		}
	})
	defer wg.Wait()
	defer l.Close()
	s, _ := standIn(t)
	o := options()
	var checks []plan.Check
	for i := range 30 {
		checks = append(checks, plan.Check{
			Upstream:  plan.Upstream{Addr: netip.MustParseAddrPort(l.Addr().String())},
			Zone:      fmt.Sprintf("zone%d.example.", i),
			Transport: plan.TCP,
		})
	}
	sent := 0
	for i, r := range run10s(t, s, o, checks) {
		sent += r.Sent
		if r.Answered < DefaultProbes || r.Failure != NoFailure {
			t.Errorf("check %d: %+v", i, r)
		}
	}
	if lost := sent - len(checks)*DefaultProbes; lost > 50 {
		t.Errorf("%d queries were lost with connections", lost)
	}
}
