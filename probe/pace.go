package probe

import "time"

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
	hungry   bool     // it is among the run's hungry or paced ones
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

// want notes that a lane has something to send and perhaps room for it.
func (r *run) want(l *lane) {
	if !l.hungry && len(l.queue) > 0 {
		l.hungry = true
		r.hungry = append(r.hungry, l)
	}
}

// feed sends what the pace allows of each queue. A lane that must wait for its
// next slot is set aside until then, one that must wait for an answer until that
// comes.
func (r *run) feed(now instant) {
	for len(r.paced) > 0 && now.sub(r.paced[0].slot) >= slotLen {
		r.hungry = append(r.hungry, r.paced[0])
		r.paced = r.paced[1:]
	}
	for len(r.hungry) > 0 && r.underWay < maxUnderWay {
		l := r.hungry[0]
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
		if len(l.queue) > 0 && l.room(now) {
			return // it is the first when others are answered
		}
		r.hungry = r.hungry[1:]
		l.hungry = len(l.queue) > 0 && l.paced()
		if l.hungry {
			r.paced = append(r.paced, l)
		}
	}
}

func (r *run) send(c *check) {
	if len(r.spare) == 0 {
		r.spare = make([]probe, 100)
	}
	p := &r.spare[0]
	r.spare = r.spare[1:]
	p.draw(c, c.nextType(), c.nextShape())
	p.sent = now()
	c.onSend(p)
	r.underWay++
	c.lane.inFlight++
	c.lane.sent++
	c.lane.used++
	r.tell("sent", c, p, "")
	c.lane.carrier.send(p)
}
