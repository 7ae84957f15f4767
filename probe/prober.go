package probe

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// Bounds of what one upstream is asked at once, over one transport. Both
// transports together stay under 100 queries in any 10 ms and under the 150
// outstanding ones at which dnsmasq starts to refuse.
const (
	maxInFlight = 64
	slotLen     = 5 * time.Millisecond
	slotProbes  = 16
)

// DefaultProbes is how many probes a check needs before it may be called
// clear. An upstream that picks one of k forwarders for each query hides a
// loop through one of them from n probes with probability (1-1/k)^n. UDP and
// TCP together make n = 16: 1 in 65 536 for two forwarders, 1 in 657 for three.
const DefaultProbes = 8

// ThoroughProbes over ThoroughSpread outlast the health checks and failure
// caches (a few seconds in most servers) that may have marked this one down,
// and leave a miss probability of 1 in 30 million behind four forwarders.
const (
	ThoroughProbes = 60
	ThoroughSpread = 15 * time.Second
)

// DefaultSettle is how long, at most, a late return is waited for.
const DefaultSettle = 200 * time.Millisecond

// DefaultQtypes is the mix of query types. HINFO comes first: nobody else asks
// it, so it is no load to anyone. The others get through where a filter
// refuses HINFO (RFC 8482 made it a type that some servers treat apart).
var DefaultQtypes = []uint16{
	dns.TypeHINFO, dns.TypeA, dns.TypeTXT, dns.TypeHINFO,
	dns.TypeAAAA, dns.TypeHINFO, dns.TypeTXT, dns.TypeA,
}

// Options say how upstreams are probed.
type Options struct {
	Probes       int           // a check, at least 1
	Qtypes       []uint16      // in turn, at least one
	Spread       time.Duration // over which a check's probes are sent; 0: at once
	QueryTimeout time.Duration // one probe
	Settle       time.Duration // that a late return is waited for after the last answer
	AdaptSettle  bool          // Settle is the most: less where round trips are short
	Trace        func(Trace)   // what happens, as it happens; may be nil
}

// settle is how long a check listens on after its last answer. A return that
// comes later than the answer took a slower way than the answer did, so round
// trips are the measure of it.
func (o *Options) settle(rtt time.Duration) time.Duration {
	if !o.AdaptSettle {
		return o.Settle
	}
	return min(o.Settle, minSettle+2*rtt)
}

// Trace is one packet, for those who want to watch.
type Trace struct {
	What      string // "sent", "answered", "returned", "failed"
	Upstream  string
	Transport plan.Transport
	Query     string // "HINFO 454….368….", empty where an upstream as a whole failed
	Detail    string // an rcode, where a return came from, an error
}

// lane is one upstream over one transport: the sockets to it, and its pace.
type lane struct {
	carrier  carrier
	checks   []*check
	queue    []*check // each entry is one probe to send
	inFlight int
	slot     time.Time
	used     int
	failure  Failure
	detail   string
}

// run is one call of Probe.
type run struct {
	s      *StandIn
	o      Options
	start  time.Time
	checks []*check
	lanes  []*lane
	paced  map[*lane]bool // with a queue that waits for the next slot
	wakes  wakes
	open   int
}

// Probe asks the upstream of each check, all at once, and returns what each
// saw, in their order. It ends when every check is decided, or ctx is done:
// then what is known is returned. Unprobed checks are passed over.
func (s *StandIn) Probe(ctx context.Context, checks []plan.Check, o Options) []Result {
	ctx, cancel := context.WithCancel(ctx)
	r := newRun(ctx, s, checks, o)
	r.loop(ctx)
	cancel()
	for _, l := range r.lanes {
		l.carrier.close()
	}
	results := make([]Result, len(r.checks))
	for i, c := range r.checks {
		if c != nil {
			results[i] = c.result()
			results[i].Unverified = c.lane.carrier.unverified()
		}
	}
	return results
}

func newRun(ctx context.Context, s *StandIn, checks []plan.Check, o Options) *run {
	r := &run{s: s, o: o, start: time.Now(), paced: map[*lane]bool{}, checks: make([]*check, len(checks))}
	type key struct {
		addr      netip.AddrPort
		name, url string
		transport plan.Transport
	}
	type zoneKey struct {
		key
		zone string
	}
	lanes := map[key]*lane{}
	plain := map[zoneKey]*check{} // without its transport
	for i, c := range checks {
		if c.Unprobed != "" {
			continue
		}
		zone, err := packZone(c.Zone)
		if err != nil {
			panic(fmt.Sprintf("zone %q was not checked: %v", c.Zone, err))
		}
		ck := newCheck(c, &r.o, zone)
		r.checks[i] = ck
		r.open++
		k := key{c.Upstream.Addr, c.Upstream.Name, c.Upstream.URL, c.Transport}
		if lanes[k] == nil {
			lanes[k] = &lane{}
			r.lanes = append(r.lanes, lanes[k])
		}
		ck.lane = lanes[k]
		ck.lane.checks = append(ck.lane.checks, ck)

		k.transport = ""
		if c.Upstream.Transport == "" {
			zk := zoneKey{k, c.Zone}
			if other := plain[zk]; other != nil && other.Transport != c.Transport {
				ck.sibling, other.sibling = other, ck
			} else {
				plain[zk] = ck
			}
		}
	}
	for _, l := range r.lanes {
		l.carrier = newCarrier(ctx, s, l, len(r.lanes))
	}
	return r
}

func (r *run) loop(ctx context.Context) {
	for _, c := range r.checks {
		if c != nil {
			c.started = r.start
			r.advance(c, r.start)
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var evs []event
	for r.open > 0 {
		select {
		case <-ctx.Done():
			return
		case <-r.s.inbox.wake:
			evs = r.s.inbox.take(evs)
			for _, e := range evs {
				r.handle(e)
			}
		case <-timer.C:
		}
		now := time.Now()
		for len(r.wakes) > 0 && !r.wakes[0].wake.After(now) {
			r.advance(r.wakes[0], now)
		}
		for l := range r.paced {
			r.pump(l, now)
		}
		timer.Reset(r.untilWake(now))
	}
}

func (r *run) untilWake(now time.Time) time.Duration {
	wait := time.Second
	if len(r.wakes) > 0 {
		wait = min(wait, r.wakes[0].wake.Sub(now))
	}
	for l := range r.paced {
		wait = min(wait, l.slot.Add(slotLen).Sub(now))
	}
	return max(wait, 0)
}

// handle counts one event in and lets the checks that it concerns go on.
func (r *run) handle(e event) {
	if e.kind == evDown {
		r.down(e)
		return
	}
	c, p := e.probe.check, e.probe
	if c.o != &r.o {
		return // of an earlier run: it came home after that was over
	}
	if e.kind == evReturn {
		c.onReturn(e.ret, e.at)
		r.tell("returned", c, p, fmt.Sprintf("from %s over %s after %s", e.ret.From, e.ret.Transport, e.ret.After))
		r.siblings(c, e.at)
		return
	}
	if p.settled {
		return
	}
	c.settleProbe(p)
	c.lane.inFlight--
	if e.kind == evAnswer {
		c.onAnswer(p, e.rcode, e.at)
		r.tell("answered", c, p, rcodeName(e.rcode))
	} else {
		c.detail = e.err.Error()
		r.tell("failed", c, p, c.detail)
	}
	r.siblings(c, e.at)
	r.pump(c.lane, e.at)
}

// siblings lets a check go on, and the other transport's check if this one was
// decided by it.
func (r *run) siblings(c *check, now time.Time) {
	r.advance(c, now)
	if c.done && c.sibling != nil {
		r.advance(c.sibling, now)
	}
}

// down ends every check of an upstream that cannot be asked.
func (r *run) down(e event) {
	l := e.lane
	if l.failure != NoFailure {
		return
	}
	l.failure, l.detail = e.fail, e.err.Error()
	for _, c := range l.checks {
		if !c.done {
			c.failure, c.detail = l.failure, l.detail
			r.siblings(c, e.at)
		}
	}
	r.tell("failed", l.checks[0], nil, l.detail)
}

// advance lets a check decide what to do next.
func (r *run) advance(c *check, now time.Time) {
	if c.done {
		return
	}
	r.expire(c, now)
	s := c.next(now)
	if s.done {
		c.done, c.doneAt = true, now
		r.open--
		c.lane.inFlight -= len(c.waiting)
		for _, p := range c.waiting {
			p.settled = true
		}
		r.pump(c.lane, now)
		if c.index >= 0 {
			heap.Remove(&r.wakes, c.index)
		}
		if c.sibling != nil {
			r.advance(c.sibling, now) // its patience starts now
		}
		return
	}
	c.wake = s.wake
	if c.index < 0 {
		heap.Push(&r.wakes, c)
	} else {
		heap.Fix(&r.wakes, c.index)
	}
	if s.send > 0 {
		c.wanted += s.send
		for range s.send {
			c.lane.queue = append(c.lane.queue, c)
		}
		r.pump(c.lane, now)
	}
}

// expire gives up probes that had their time, so that others get their place.
func (r *run) expire(c *check, now time.Time) {
	kept := c.waiting[:0]
	for _, p := range c.waiting {
		if now.Sub(p.sent) < r.o.QueryTimeout {
			kept = append(kept, p)
			continue
		}
		p.settled = true
		c.lane.inFlight--
	}
	if len(kept) < len(c.waiting) {
		c.waiting = kept
		r.pump(c.lane, now)
	}
}

// pump sends what the pace allows of a lane's queue.
func (r *run) pump(l *lane, now time.Time) {
	if now.Sub(l.slot) >= slotLen {
		l.slot, l.used = now, 0
	}
	for len(l.queue) > 0 && l.inFlight < maxInFlight && l.used < slotProbes {
		c := l.queue[0]
		l.queue = l.queue[1:]
		if c.done || len(c.returns) > 0 {
			continue // decided meanwhile: nobody needs more of it
		}
		l.used++
		r.send(c)
	}
	if len(l.queue) > 0 && l.inFlight < maxInFlight {
		r.paced[l] = true
	} else {
		delete(r.paced, l)
	}
}

func (r *run) send(c *check) {
	p := newProbe(c, c.zone, c.nextType(), shape(c.sent%2))
	p.sent = time.Now()
	c.typeOf(p.qtype).sent++
	c.sent++
	c.waiting = append(c.waiting, p)
	c.lane.inFlight++
	r.tell("sent", c, p, "")
	c.lane.carrier.send(p)
}

func (r *run) tell(what string, c *check, p *probe, detail string) {
	if r.o.Trace == nil {
		return
	}
	t := Trace{What: what, Upstream: c.Upstream.String(), Transport: c.Transport, Detail: detail}
	if p != nil {
		t.Query = p.question()
	}
	r.o.Trace(t)
}

// wakes is a heap of checks, the next one to wake first.
type wakes []*check

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake.Before(w[j].wake) }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}
func (w *wakes) Push(x any) {
	c := x.(*check)
	c.index = len(*w)
	*w = append(*w, c)
}
func (w *wakes) Pop() any {
	c := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	c.index = -1
	return c
}

// failureOf tells what nothing can mend from what may pass.
func failureOf(err error) Failure {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EINVAL),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Unreachable
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, os.ErrInvalid):
		return NotProbed
	}
	return NoFailure
}
