package probe

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// Bounds of what is asked at once. Both transports of an upstream together stay
// under 100 unanswered queries, and so under the 150 outstanding ones at which
// dnsmasq starts to refuse. Until an upstream has answered a few, it is asked
// no more than slotProbes in a slot and transport, answered or not: that is less
// than 100 in any 10 ms. From then on each answer makes room for a query: an
// upstream is asked as fast as it answers.
const (
	maxInFlight = 48
	slotLen     = 5 * time.Millisecond
	slotProbes  = 16
	firstProbes = 128

	maxUnderWay = 1024 // to all upstreams, not counting what is overdue
	maxLanes    = 256  // with sockets open; others wait for their turn
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

// minSettle is what a late return is waited for where the upstream is near. A
// return is late where an upstream asks several servers at once and answers by
// the fastest: then it comes as long after the answer as the slower way home is
// longer. 100 ms is the round trip to another continent.
const minSettle = 100 * time.Millisecond

// settle is how long a check listens on after its last answer: longer where the
// upstream itself is far, since who is far away has far neighbours.
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
	asking   int      // checks that may still want to ask
	progress instant  // when one of them was last satisfied, or asking began
	queue    []*check // that have probes to send
	hungry   bool     // it is among the run's hungry ones
	sent     int
	inFlight int
	slot     instant
	used     int
}

// room reports whether the pace allows one more probe.
func (l *lane) room(now instant) bool {
	if l.sent < firstProbes && now.sub(l.slot) >= slotLen {
		l.slot, l.used = now, 0
	}
	return l.inFlight < maxInFlight && !l.paced()
}

// paced reports whether the next probe waits for the next slot.
func (l *lane) paced() bool { return l.sent < firstProbes && l.used >= slotProbes }

// run is one call of Probe.
type run struct {
	s        *StandIn
	o        Options
	ctx      context.Context
	checks   []check // those not probed are zero
	lanes    []*lane
	started  int     // lanes, from the first
	hungry   []*lane // with a queue
	wakes    wakes
	open     int
	underWay int
	spare    []probe
}

// Probe asks the upstream of each check, all at once, and returns what each
// saw, in their order. It ends when every check is decided, or ctx is done:
// then what is known is returned. Unprobed checks are passed over.
func (s *StandIn) Probe(ctx context.Context, checks []plan.Check, o Options) []Result {
	ctx, cancel := context.WithCancel(ctx)
	results := make([]Result, len(checks))
	r := newRun(ctx, s, checks, results, o)
	r.loop()
	cancel()
	for _, l := range r.lanes[:r.started] {
		l.carrier.close()
	}
	for i := range r.checks {
		c := &r.checks[i]
		if c.Check == nil {
			continue
		}
		c.conclude()
		if c.lane.carrier != nil {
			c.Unverified = c.lane.carrier.unverified()
		}
	}
	return results
}

func newRun(ctx context.Context, s *StandIn, checks []plan.Check, results []Result, o Options) *run {
	r := &run{s: s, o: o, ctx: ctx, checks: make([]check, len(checks))}
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
	plain := map[zoneKey]*check{} // whose sibling has not been met
	types := typesOf(o.Qtypes)
	for i := range checks {
		c := &checks[i]
		if c.Unprobed != "" {
			continue
		}
		zone, err := packZone(c.Zone)
		if err != nil {
			panic(fmt.Sprintf("zone %q was not checked: %v", c.Zone, err))
		}
		ck := &r.checks[i]
		*ck = check{Check: c, Result: &results[i], o: &r.o, zone: zone, types: slices.Clone(types), index: -1}
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
				delete(plain, zk)
			} else {
				plain[zk] = ck
			}
		}
	}
	return r
}

func (r *run) loop() {
	r.startLanes(now())
	r.feed(now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	var evs []event
	for r.open > 0 && r.ctx.Err() == nil {
		if len(evs) == 0 { // else more may have come meanwhile
			timer.Reset(r.untilWake(now()))
			select {
			case <-r.ctx.Done():
			case <-r.s.inbox.wake:
			case <-timer.C:
			}
		}
		evs = r.s.inbox.take(evs)
		for _, e := range evs {
			r.handle(e)
		}
		now := now()
		for len(r.wakes) > 0 && r.wakes[0].wake <= now {
			r.advance(r.wakes[0], now)
		}
		r.feed(now)
	}
}

// startLanes lets lanes begin, as many as may be open at once.
func (r *run) startLanes(now instant) {
	asking := 0
	for _, l := range r.lanes[:r.started] {
		if l.asking > 0 {
			asking++
		}
	}
	for ; r.started < len(r.lanes) && asking < maxLanes; asking++ {
		l := r.lanes[r.started]
		r.started++
		l.carrier = newCarrier(r.ctx, r.s, l, min(len(r.lanes), maxLanes))
		l.asking, l.progress = len(l.checks), now
		for _, c := range l.checks {
			c.started = now
			r.advance(c, now)
		}
	}
}

func (r *run) untilWake(now instant) time.Duration {
	next := now.add(time.Second)
	if len(r.wakes) > 0 {
		next = min(next, r.wakes[0].wake)
	}
	for _, l := range r.hungry {
		if l.paced() {
			next = min(next, l.slot.add(slotLen))
		}
	}
	return next.sub(now)
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
		r.advance(c, e.at)
		return
	}
	if p.has(settled) {
		return
	}
	c.settleProbe(p)
	r.release(p)
	c.lane.inFlight--
	if e.kind == evAnswer {
		c.onAnswer(p, e.rcode, e.at)
		r.tell("answered", c, p, rcodeName(e.rcode))
	} else {
		c.Detail = e.err.Error()
		r.tell("failed", c, p, c.Detail)
	}
	r.advance(c, e.at)
}

// release makes room for a probe to anyone: an answer to this one came, or is
// overdue.
func (r *run) release(p *probe) {
	if p.first(released) {
		r.underWay--
	}
}

// down ends every check of an upstream that cannot be asked.
func (r *run) down(e event) {
	told := false
	for _, c := range e.lane.checks {
		if !c.done && c.Failure == NoFailure {
			c.Failure, c.Detail = e.fail, e.err.Error()
			r.advance(c, e.at)
			if !told {
				r.tell("failed", c, nil, c.Detail)
			}
			told = true
		}
	}
}

// advance lets a check decide what to do next.
func (r *run) advance(c *check, now instant) {
	if c.done || c.started == 0 {
		return
	}
	r.expire(c, now)
	round := c.round
	s := c.next(now)
	if c.round > round { // what is asked again is overdue
		for _, p := range c.waiting {
			r.release(p)
		}
	}
	if s.done || c.Answered >= r.o.Probes {
		r.satisfied(c, now)
	}
	if s.done {
		r.finish(c, now)
		return
	}
	r.wakes.set(c, s.wake)
	if s.send > 0 {
		c.wanted += s.send
		c.lane.queue = append(c.lane.queue, c)
		if !c.lane.hungry {
			c.lane.hungry = true
			r.hungry = append(r.hungry, c.lane)
		}
	}
}

// satisfied notes that a check asks no more. When no check of a lane does, and
// other lanes wait for their turn, one of them takes its place.
func (r *run) satisfied(c *check, now instant) {
	l := c.lane
	if c.satisfied {
		return
	}
	c.satisfied = true
	l.progress = now
	if l.asking--; l.asking == 0 && r.started < len(r.lanes) {
		l.carrier.close()
		r.startLanes(now)
	}
}

func (r *run) finish(c *check, now instant) {
	c.done, c.doneAt = true, now
	r.open--
	c.lane.inFlight -= len(c.waiting)
	for _, p := range c.waiting {
		p.first(settled)
		r.release(p)
	}
	c.waiting = nil
	r.wakes.set(c, never)
	if c.sibling != nil {
		r.advance(c.sibling, now) // its patience starts now
	}
}

// expire gives up probes that had their time, so that others get their place.
func (r *run) expire(c *check, now instant) {
	kept := c.waiting[:0]
	for _, p := range c.waiting {
		if now.sub(p.sent) < r.o.QueryTimeout {
			kept = append(kept, p)
			continue
		}
		p.first(settled)
		r.release(p)
		c.lane.inFlight--
	}
	c.waiting = kept
}

// feed sends what the pace allows of each queue.
func (r *run) feed(now instant) {
	for i := 0; i < len(r.hungry) && r.underWay < maxUnderWay; i++ {
		l := r.hungry[i]
		for len(l.queue) > 0 && r.underWay < maxUnderWay && l.room(now) {
			c := l.queue[0]
			if !c.done && c.Returned == 0 { // else nobody needs more of it
				r.send(c)
				if c.owed() > 0 {
					continue
				}
				r.advance(c, now)
			}
			l.queue = l.queue[1:]
		}
	}
	r.hungry = slices.DeleteFunc(r.hungry, func(l *lane) bool {
		l.hungry = len(l.queue) > 0
		return !l.hungry
	})
}

func (r *run) send(c *check) {
	if len(r.spare) == 0 {
		r.spare = make([]probe, 100)
	}
	p := &r.spare[0]
	r.spare = r.spare[1:]
	p.draw(c, c.nextType(), uint32(c.Sent%2)*letters)
	p.sent = now()
	c.onSend(p)
	r.underWay++
	c.lane.inFlight++
	c.lane.sent++
	c.lane.used++
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

// set makes a check wake at a time, or never.
func (w *wakes) set(c *check, at instant) {
	c.wake = at
	switch {
	case at == never && c.index >= 0:
		heap.Remove(w, c.index)
	case at == never:
	case c.index < 0:
		heap.Push(w, c)
	default:
		heap.Fix(w, c.index)
	}
}

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake < w[j].wake }
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
	last := len(*w) - 1
	c := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
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
