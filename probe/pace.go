package probe

import (
	"slices"
	"time"
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
