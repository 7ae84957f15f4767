package probe

import (
	"math"
	"slices"
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
)

// An instant is a moment as the time since the program began: a third of the
// size of a time.Time.
type instant time.Duration

// never is later than any moment.
const never = instant(math.MaxInt64)

var epoch = time.Now()

func now() instant { return instant(time.Since(epoch)) }

func (t instant) add(d time.Duration) instant { return t + instant(d) }
func (t instant) sub(u instant) time.Duration { return time.Duration(t - u) }

// check is one upstream × zone × transport while it is being probed. Its
// methods are given the time and do nothing but count, so that every decision
// can be tested without a socket. There may be a hundred thousand of them: what
// it saw is kept in the Result alone.
type check struct {
	*plan.Check
	*Result
	o       *Options
	lane    *lane
	zone    string // wire form
	optOut  string // likewise; empty: none
	sibling *check // the same upstream and zone over the other transport

	started instant
	wanted  int      // probes asked for, sent or still queued
	waiting []*probe // sent, with neither an answer nor a loss
	types   []typeCount

	lastReturn, lastAnswer instant

	roundAt instant
	round   int16 // tries after the first
	refills int8  // replacements sent at once
	rcode   uint8 // the last error rcode; 0: none

	satisfied bool // it asks no more
	done      bool
	doneAt    instant
	wake      instant // when to look again
	index     int     // in the heap of wakes; -1: not there
}

// typeCount is what became of the probes of one query type.
type typeCount struct {
	qtype                uint16
	sent, answered, errs uint32
}

// typesOf lists the types of a mix, each once.
func typesOf(mix []uint16) []typeCount {
	var types []typeCount
	for _, t := range mix {
		if !slices.ContainsFunc(types, func(c typeCount) bool { return c.qtype == t }) {
			types = append(types, typeCount{qtype: t})
		}
	}
	return types
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
	if c.Sent >= c.o.Probes && c.Answered > 0 {
		for i := range mix {
			t := mix[(c.Sent+i)%len(mix)]
			if c.typeOf(t).answered > 0 {
				return t
			}
		}
	}
	return mix[c.Sent%len(mix)]
}

// nextShape chooses how the name of the next probe looks. A validating
// resolver may answer from the denials that it holds (RFC 8198): one of the
// root's NSEC records is enough for all names that begin with a digit, and
// those of a busy resolver are enough for all. So digits and letters take turns,
// and two of eight probes for the root go under a zone whose denials are of no
// use for another name. Their places are such that none is the first, which
// concerns nobody but the root, that a forwarder which takes turns among two,
// three or four servers sends them to different ones, and that they are of the
// types TXT and A in the default mix: behind a filter on one there is the other.
func (c *check) nextShape() uint32 {
	shape := uint32(c.Sent%2) * letters
	if i := c.Sent % DefaultProbes; c.optOut != "" && (i == 2 || i == 7) {
		shape |= optOut
	}
	return shape
}

// step is what a check does next.
type step struct {
	send int  // probes to ask for now
	done bool // it is decided
	wake instant
}

// next decides. A check ends when it is proven, or answered often enough and
// then quiet, or when nothing more can come of it; until then it asks again.
func (c *check) next(now instant) step {
	switch {
	case c.Returned > 0:
		return until(now, c.proofComplete(now))
	case c.Failure != NoFailure:
		return step{done: true}
	case c.Answered >= c.o.Probes:
		return until(now, c.lastAnswer.add(c.o.settle(c.RTT)))
	}
	end := c.patienceEnds()
	if now >= end {
		return step{done: true}
	}
	s := c.ask(now)
	s.wake = min(s.wake, end)
	return s
}

func until(now, t instant) step { return step{done: now >= t, wake: t} }

// proofComplete is when a proven check need not wait any longer for the rest
// of its probes, which add to the evidence but not to the verdict.
func (c *check) proofComplete(now instant) instant {
	if len(c.waiting) == 0 {
		return now
	}
	for _, p := range c.waiting {
		if !p.has(returned) {
			return c.lastReturn.add(c.o.settle(c.RTT))
		}
	}
	return c.lastReturn.add(answerTail)
}

// patienceEnds is when a check gives up since its sibling is decided: servers
// that speak one of UDP and TCP only are common. One whose turn is still to
// come has patience for as long as others get on. Where the sibling proved the
// loop, there is no more to learn than what the settle time brings.
func (c *check) patienceEnds() instant {
	switch {
	case c.sibling == nil || !c.sibling.conclusive():
		return never
	case c.sibling.Returned > 0:
		return c.sibling.doneAt.add(c.o.settle(c.sibling.RTT))
	}
	return max(c.sibling.doneAt, c.lane.progress).add(patience)
}

func (c *check) conclusive() bool {
	return c.done && (c.Returned > 0 || c.Answered >= c.o.Probes)
}

// ask says how many probes to send now, and when to look again. While some
// are queued it waits for its turn, and for its turn alone.
func (c *check) ask(now instant) step {
	if c.owed() > 0 {
		return step{wake: never}
	}
	if c.wanted < c.o.Probes { // the first try, spread where the user wants that
		due := c.o.Probes
		if c.o.Spread > 0 {
			gap := c.o.Spread / time.Duration(c.o.Probes)
			due = min(due, 1+int(now.sub(c.started)/gap))
			if due <= c.wanted {
				return step{wake: c.started.add(gap * time.Duration(due))}
			}
		}
		return step{send: due - c.wanted, wake: never}
	}
	missing := c.o.Probes - c.Answered
	if len(c.waiting) == 0 && c.Answered > 0 && c.refills < 2 {
		// All came back and some were refused: others take their place.
		c.refills++
		return step{send: missing, wake: never}
	}
	if now < c.roundAt {
		return step{wake: c.roundAt}
	}
	c.round++
	if c.Answered == 0 {
		missing = min(missing, c.few())
	}
	return step{send: missing, wake: never}
}

// few is how many probes a later try at an upstream that never answered has. The
// second try over connections has as many as wait behind others there: common
// servers (CoreDNS, dnsdist) take the questions of each one after the other.
func (c *check) few() int {
	switch {
	case c.round == 1 && c.Transport == plan.TCP:
		return DefaultProbes - connsEach
	case c.round == 1 && c.Transport == plan.TLS:
		return DefaultProbes - connsTLS
	}
	return fewProbes
}

// owed is how many probes are queued.
func (c *check) owed() int { return c.wanted - c.Sent }

// wait is how long an answer is waited for before others are asked in its
// place: by the round trips seen (in the manner of RFC 6298), doubled each try.
func (c *check) wait() time.Duration {
	w := firstWait
	if c.RTT > 0 {
		w = max(minWait, 4*c.RTT)
	}
	return max(minWait, min(w<<min(c.round, 8), c.o.QueryTimeout))
}

// onSend counts a probe as under way, at the time that it says it was sent.
func (c *check) onSend(p *probe) {
	c.typeOf(p.qtype).sent++
	c.Sent++
	c.waiting = append(c.waiting, p)
	if c.owed() == 0 {
		c.roundAt = p.sent.add(c.wait())
	}
}

// onAnswer counts an answer in. One that took longer than a query may is none.
func (c *check) onAnswer(p *probe, rcode uint8, at instant) {
	took := at.sub(p.sent)
	t := c.typeOf(p.qtype)
	switch {
	case took > c.o.QueryTimeout:
		c.Detail = "answers took longer than " + c.o.QueryTimeout.String()
	case !usable(rcode):
		t.errs++
		c.rcode = rcode
	default:
		t.answered++
		c.Answered++
		c.lastAnswer = at
		c.RTT = max(c.RTT, took)
		if c.round == 0 && c.wanted >= c.o.Probes {
			// Now that a round trip is known, the stragglers get less time.
			c.roundAt = min(c.roundAt, at.add(c.wait()))
		}
	}
}

func (c *check) onReturn(r Return, at instant) {
	c.Returned++
	c.Returns = append(c.Returns, r)
	c.lastReturn = at
}

// settleProbe takes a probe off the list of those waited for.
func (c *check) settleProbe(p *probe) {
	p.first(settled)
	for i, q := range c.waiting {
		if q == p {
			c.waiting[i] = c.waiting[len(c.waiting)-1]
			c.waiting = c.waiting[:len(c.waiting)-1]
			break
		}
	}
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
}

// conclude makes the Result whole once the run is over.
func (c *check) conclude() {
	if c.Returned > 0 {
		c.Failure, c.Detail = NoFailure, ""
		return
	}
	c.Filtered = c.filtered()
	switch {
	case c.Answered >= c.o.Probes:
		c.Failure, c.Detail = NoFailure, ""
	case c.Failure != NoFailure:
	case c.rcode != 0:
		c.Failure, c.Detail = ErrorRcode, rcodeName(c.rcode)
	case c.Sent == 0:
		c.Failure, c.Detail = NotProbed, "its turn did not come within the timeout"
	default:
		c.Failure = Silent
	}
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
		if c.Answered > 0 && t.sent > 0 && t.answered == 0 && (t.errs > 0 || t.sent > 1 && !lossy) {
			out = append(out, typeName(t.qtype))
		}
	}
	return out
}
