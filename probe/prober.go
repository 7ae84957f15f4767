package probe

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// run is one call of Probe.
type run struct {
	s        *StandIn
	o        Options
	ctx      context.Context
	checks   []check // those not probed are zero
	lanes    []*lane
	started  int     // lanes, from the first
	lanesAt  instant // when some were last started
	hungry   []*lane // that have something to send, and may
	paced    []*lane // that have, and may with the next slot
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
		upstream *lane // the first of its lanes
		zone     string
	}
	lanes := map[key]*lane{}
	plain := map[zoneKey]*check{} // whose sibling has not been met
	types := typesOf(o.Qtypes)
	for i := range checks {
		c := &checks[i]
		if c.Unprobed != "" {
			continue
		}
		ck := &r.checks[i]
		*ck = check{Check: c, Result: &results[i], o: &r.o, zone: packZone(c.Zone), types: slices.Clone(types), index: -1}
		if c.OptOut != "" {
			ck.optOut = packZone(c.OptOut)
		}
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
			if lanes[k] == nil {
				lanes[k] = ck.lane
			}
			zk := zoneKey{lanes[k], c.Zone}
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
		t := now()
		if r.started < len(r.lanes) && t.sub(r.lanesAt) > patience/4 {
			r.startLanes(t)
		}
		for len(r.wakes) > 0 && r.wakes[0].wake <= t {
			r.advance(r.wakes[0], t)
		}
		r.feed(t)
	}
}

// startLanes lets lanes begin, as many as may be open at once. A silent one
// does not keep others from it.
func (r *run) startLanes(now instant) {
	r.lanesAt = now
	asking := 0
	for _, l := range r.lanes[:r.started] {
		if l.asking > 0 && now.sub(l.progress) < patience {
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
	if len(r.paced) > 0 {
		next = min(next, r.paced[0].slot.add(slotLen))
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
	r.giveUp(p)
	if e.kind == evAnswer {
		c.onAnswer(p, e.rcode, e.at)
		r.tell("answered", c, p, rcodeName(e.rcode))
	} else {
		c.Detail = e.err.Error()
		r.tell("failed", c, p, c.Detail)
	}
	r.advance(c, e.at)
}

// giveUp makes room for a probe to the same upstream: nothing more is waited
// for from this one.
func (r *run) giveUp(p *probe) {
	p.first(settled)
	r.release(p)
	l := p.check.lane
	l.inFlight--
	r.want(l)
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
		r.want(c.lane)
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
	if c.Answered >= r.o.Probes || c.Returned > 0 {
		l.progress = now
	}
	if l.asking--; l.asking == 0 && r.started < len(r.lanes) {
		l.carrier.close()
		r.startLanes(now)
	}
}

func (r *run) finish(c *check, now instant) {
	c.done, c.doneAt = true, now
	r.open--
	for _, p := range c.waiting {
		r.giveUp(p)
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
		r.giveUp(p)
	}
	c.waiting = kept
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
