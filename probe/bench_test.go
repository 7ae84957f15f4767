package probe

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// The hot path of the stand-in: a distinct probe comes home, is counted, and
// is answered. One allocation is the evidence itself, the return with its name.
func BenchmarkHear(b *testing.B) {
	s := &StandIn{inbox: newInbox(), strays: map[strayKey]int{}}
	c := &check{zone: rootZone}
	from, to := path{local: at("127.0.0.1:1")}, at("127.0.0.1:53")
	queries := make([][]byte, b.N)
	for i := range queries {
		p := newProbe(c, typeHINFO, uint32(i%2)*letters)
		s.names.add(p)
		queries[i] = appendQuery(nil, p)
	}
	var out []byte
	var evs []event
	b.ReportAllocs()
	b.ResetTimer()
	for i, q := range queries {
		out = s.hear(out[:0], q, from, to, plan.UDP)
		if i%64 == 0 {
			evs = s.inbox.take(evs)
		}
	}
}

// What strangers and replays cost.
func BenchmarkHearAgain(b *testing.B) {
	s := &StandIn{inbox: newInbox(), strays: map[strayKey]int{}}
	p := newProbe(&check{zone: rootZone}, typeHINFO, letters)
	s.names.add(p)
	q := appendQuery(nil, p)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = s.hear(out[:0], q, path{local: at("127.0.0.1:1")}, at("127.0.0.1:53"), plan.UDP)
	}
}

// BenchmarkReturns sends distinct probes to the stand-in's wildcard socket, as
// fast as it hears them, and reports how many were counted.
func BenchmarkReturns(b *testing.B) {
	at := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	s := Listen(b.Context(), []plan.Listener{{Addr: at}}, []netip.Addr{loopback}, nil)
	defer s.Close()
	conn, err := net.Dial("udp", netip.AddrPortFrom(loopback, s.Ears()[0].Addr.Port()).String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	c := &check{zone: rootZone}
	queries := make([][]byte, b.N)
	for i := range queries {
		p := newProbe(c, typeHINFO, uint32(i%2)*letters)
		s.names.add(p)
		queries[i] = appendQuery(nil, p)
	}
	const ahead = 64 // sent and not answered yet
	window := make(chan bool, ahead)
	done := make(chan bool)
	go func() {
		buf := make([]byte, 512)
		for range queries {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(buf); err != nil {
				break
			}
			<-window
		}
		close(done)
	}()
	b.ReportAllocs()
	b.ResetTimer()
	for _, q := range queries {
		select {
		case window <- true:
		case <-done: // one was lost: the figures will tell
		}
		conn.Write(q)
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(len(s.inbox.take(nil)))/float64(b.N)*100, "%heard")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "returns/s")
}

// BenchmarkMemory reports what the prober still holds for each check when all
// were answered, its results included.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				held(b, n)
			}
		})
	}
}

func held(b *testing.B, n int) {
	checks := make([]plan.Check, n)
	for i := range checks {
		checks[i] = plan.Check{Zone: fmt.Sprintf("zone%d.example.", i), Transport: plan.UDP}
	}
	s := &StandIn{inbox: newInbox()}
	before := inUse()
	results := make([]Result, n)
	r := newRun(b.Context(), s, checks, results, options())
	l := r.lanes[0]
	l.carrier = &answering{s}
	r.started = 1
	for i := range r.checks {
		c := &r.checks[i]
		c.started = now()
		r.advance(c, c.started)
	}
	for len(r.hungry)+len(r.paced) > 0 {
		l.sent, l.used = firstProbes, 0
		r.feed(now())
		for _, e := range s.inbox.take(nil) {
			r.handle(e)
		}
	}
	b.ReportMetric(float64(inUse()-before)/float64(n), "B/check")
	runtime.KeepAlive(r)
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// answering is an upstream that answers the moment it is asked.
type answering struct{ s *StandIn }

func (a *answering) send(p *probe) {
	a.s.names.add(p)
	a.s.inbox.push(event{kind: evAnswer, probe: p, rcode: 3, at: now()})
}
func (*answering) unverified() string { return "" }
func (*answering) close()             {}
