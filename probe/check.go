package probe

import (
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// The pace of asking again. A probe is never sent twice: each try has a name
// of its own, else a cache or a merge of questions in flight would answer it.
const (
	firstWait  = 400 * time.Millisecond // before the second try, while no round trip is known
	minWait    = 100 * time.Millisecond // once one is known
	fewProbes  = 3                      // a later try at an upstream that never answered
	patience   = 2 * time.Second        // for a silent transport whose sibling is decided
	answerTail = 2 * time.Millisecond   // for the answers to probes that have all come home
	minSettle  = 50 * time.Millisecond
)

// check is one upstream × zone × transport while it is being probed. Its
// methods are given the time and do nothing but count, so that every decision
// can be tested without a socket.
type check struct {
	plan.Check
	o       *Options
	lane    *lane
	zone    []byte
	sibling *check // the same upstream and zone over the other transport

	started  time.Time
	wanted   int // probes asked for, sent or still queued
	sent     int
	answered int
	waiting  []*probe // sent, with neither an answer nor a loss
	types    []typeCount

	returns    []Return
	lastReturn time.Time
	lastAnswer time.Time
	rtt        time.Duration // slowest answer that counted

	round   int // tries after the first
	roundAt time.Time
	refills int // replacements sent at once

	failure Failure // that nothing can mend
	detail  string  // the last trouble in the system's words
	rcode   int     // the last error rcode; 0: none

	done   bool
	doneAt time.Time
	wake   time.Time // when to look again
	index  int       // in the heap of wakes; -1: not there
}

// typeCount is what became of the probes of one query type.
type typeCount struct {
	qtype                uint16
	sent, answered, errs int
}

func newCheck(c plan.Check, o *Options, zone []byte) *check {
	ck := &check{Check: c, o: o, zone: zone, index: -1}
	for _, t := range o.Qtypes {
		if ck.typeOf(t) == nil {
			ck.types = append(ck.types, typeCount{qtype: t})
		}
	}
	return ck
}

func (c *check) typeOf(t uint16) *typeCount {
	for i := range c.types {
		if c.types[i].qtype == t {
			return &c.types[i]
		}
	}
	return nil
}

// nextType chooses the type of the next probe: the mix in order, and for
// replacements the types that were answered, if any.
func (c *check) nextType() uint16 {
	mix := c.o.Qtypes
	if c.sent >= c.o.Probes && c.answered > 0 {
		for i := range mix {
			t := mix[(c.sent+i)%len(mix)]
			if c.typeOf(t).answered > 0 {
				return t
			}
		}
	}
	return mix[c.sent%len(mix)]
}

// step is what a check does next.
type step struct {
	send int  // probes to ask for now
	done bool // it is decided
	wake time.Time
}

// next decides. A check ends when it is proven, or answered often enough and
// then quiet, or when nothing more can come of it; until then it asks again.
func (c *check) next(now time.Time) step {
	switch {
	case len(c.returns) > 0:
		return until(now, c.proofComplete(now))
	case c.failure != NoFailure:
		return step{done: true}
	case c.answered >= c.o.Probes:
		return until(now, c.lastAnswer.Add(c.o.settle(c.rtt)))
	}
	end := c.patienceEnds()
	if !end.IsZero() && !now.Before(end) {
		return step{done: true}
	}
	s := c.ask(now)
	if !end.IsZero() && end.Before(s.wake) {
		s.wake = end
	}
	return s
}

func until(now, t time.Time) step {
	if now.Before(t) {
		return step{wake: t}
	}
	return step{done: true}
}

// proofComplete is when a proven check need not wait any longer for the rest
// of its probes, which add to the evidence but not to the verdict.
func (c *check) proofComplete(now time.Time) time.Time {
	if len(c.waiting) == 0 {
		return now
	}
	for _, p := range c.waiting {
		if !p.returned.Load() {
			return c.lastReturn.Add(c.o.settle(c.rtt))
		}
	}
	return c.lastReturn.Add(answerTail)
}

// patienceEnds is when a check gives up since its sibling is decided: servers
// that speak one of UDP and TCP only are common. Zero: not yet.
func (c *check) patienceEnds() time.Time {
	if c.sibling == nil || !c.sibling.conclusive() {
		return time.Time{}
	}
	return c.sibling.doneAt.Add(patience)
}

func (c *check) conclusive() bool {
	return c.done && (len(c.returns) > 0 || c.answered >= c.o.Probes)
}

// ask says how many probes to send now, and when to look again.
func (c *check) ask(now time.Time) step {
	if c.wanted < c.o.Probes { // the first try, spread where the user wants that
		due := c.o.Probes
		if c.o.Spread > 0 {
			gap := c.o.Spread / time.Duration(c.o.Probes)
			due = min(due, 1+int(now.Sub(c.started)/gap))
			if due < c.o.Probes {
				return step{send: due - c.wanted, wake: c.started.Add(gap * time.Duration(due))}
			}
		}
		c.roundAt = now.Add(c.wait())
		return step{send: due - c.wanted, wake: c.roundAt}
	}
	missing := c.o.Probes - c.answered
	queued := c.wanted - c.sent
	if queued == 0 && len(c.waiting) == 0 && c.answered > 0 && c.refills < 2 {
		// All came back and some were refused: others take their place.
		c.refills++
		c.roundAt = now.Add(c.wait())
		return step{send: missing, wake: c.roundAt}
	}
	if now.Before(c.roundAt) || queued > 0 {
		return step{wake: later(now, c.roundAt)}
	}
	c.round++
	c.roundAt = now.Add(c.wait())
	if c.answered == 0 {
		missing = min(missing, fewProbes)
	}
	return step{send: missing, wake: c.roundAt}
}

// later keeps a wake out of the past, so that a check which waits for its turn
// does not spin.
func later(now, t time.Time) time.Time {
	if t.After(now) {
		return t
	}
	return now.Add(minWait)
}

// wait is how long an answer is waited for before others are asked in its
// place: by the round trips seen (in the manner of RFC 6298), doubled each try.
func (c *check) wait() time.Duration {
	w := firstWait
	if c.rtt > 0 {
		w = max(minWait, 4*c.rtt)
	}
	return min(w<<min(c.round, 8), c.o.QueryTimeout)
}

// onAnswer counts an answer in. One that took longer than a query may is none.
func (c *check) onAnswer(p *probe, rcode int, at time.Time) {
	took := at.Sub(p.sent)
	t := c.typeOf(p.qtype)
	switch {
	case took > c.o.QueryTimeout:
		c.detail = "answers took longer than " + c.o.QueryTimeout.String()
	case !usable(rcode):
		t.errs++
		c.rcode = rcode
	default:
		t.answered++
		c.answered++
		c.lastAnswer = at
		c.rtt = max(c.rtt, took)
		if c.round == 0 && c.wanted >= c.o.Probes {
			// Now that a round trip is known, the stragglers get less time.
			if sooner := at.Add(c.wait()); sooner.Before(c.roundAt) {
				c.roundAt = sooner
			}
		}
	}
}

func (c *check) onReturn(r Return, at time.Time) {
	c.returns = append(c.returns, r)
	c.lastReturn = at
}

// settleProbe takes a probe off the list of those waited for.
func (c *check) settleProbe(p *probe) {
	p.settled = true
	for i, q := range c.waiting {
		if q == p {
			c.waiting[i] = c.waiting[len(c.waiting)-1]
			c.waiting = c.waiting[:len(c.waiting)-1]
			return
		}
	}
}

// result is what the check saw.
func (c *check) result() Result {
	r := Result{
		Sent: c.sent, Answered: c.answered, Returned: len(c.returns),
		Returns: c.returns, RTT: c.rtt,
	}
	if len(c.returns) > 0 {
		return r
	}
	r.Filtered = c.filtered()
	if c.answered >= c.o.Probes {
		return r
	}
	r.Failure, r.Detail = c.failure, c.detail
	switch {
	case c.failure != NoFailure:
	case c.rcode != 0:
		r.Failure, r.Detail = ErrorRcode, rcodeName(c.rcode)
	default:
		r.Failure = Silent
	}
	return r
}

// filtered lists the types that got no usable answer while others did: an
// error, or silence where no other type lost a probe.
func (c *check) filtered() []string {
	lossy := false
	for _, t := range c.types {
		lossy = lossy || t.answered > 0 && t.answered < t.sent
	}
	var out []string
	for _, t := range c.types {
		if c.answered > 0 && t.sent > 0 && t.answered == 0 && (t.errs > 0 || t.sent > 1 && !lossy) {
			out = append(out, typeName(t.qtype))
		}
	}
	return out
}
