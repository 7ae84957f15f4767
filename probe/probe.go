package probe

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

const typeHINFO = dns.TypeHINFO

// rootZone is the root in wire form.
const rootZone = "\x00"

// A probe is one query under a fresh name. It is known to the stand-in for as
// long as that stands, since a return may come late: it is kept small. But for
// its marks it is set before it is registered, and from then on read only.
type probe struct {
	inner     label
	check     *check // nil: a test of the ear
	path      *path  // nil: not known
	sent      instant
	id, qtype uint16
	marks     atomic.Uint32
}

// The marks of a probe: how its name is written, and what became of it.
const (
	letters  uint32 = 1 << iota // else digits
	optOut                      // under the check's opt-out zone, else under its own
	returned                    // it came home
	replied                     // the upstream answered it
	settled                     // the prober's: answered, lost or given up
	released                    // the prober's: settled or overdue
)

// path is the way between two sockets. Its ends together tell one TCP
// connection from others: one end alone may be shared.
type path struct {
	local, remote netip.AddrPort // of the sender; remote may be invalid: not known
}

// first marks a probe, and reports whether it was not marked before: copies
// say nothing new.
func (p *probe) first(mark uint32) bool { return p.marks.Or(mark)&mark == 0 }

func (p *probe) has(mark uint32) bool { return p.marks.Load()&mark != 0 }

// zone is what the probe's two labels stand under, in wire form.
func (p *probe) zone() string {
	switch {
	case p.check == nil:
		return rootZone
	case p.has(optOut):
		return p.check.optOut
	}
	return p.check.zone
}

// draw makes a zero probe one of a check, under a fresh name.
func (p *probe) draw(c *check, qtype uint16, shape uint32) {
	p.check, p.qtype = c, qtype
	p.marks.Store(shape)
	p.inner, p.id = newLabel()
}

// registry knows this run's probes by either of their labels. These are random,
// so each probe stands where its label says, or in the next free place. It is
// cut into shards so that it grows by small steps, while returns come in.
type registry [64]shard

type shard struct {
	mu     sync.RWMutex
	n      int
	places []*probe // a power of two of them, at least one free
}

func (r *registry) shard(inner label) *shard { return &r[inner>>48%label(len(r))] }

// add makes a probe known, which must be so before it is sent.
func (r *registry) add(p *probe) {
	s := r.shard(p.inner)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; s.n > len(s.places)*7/8 {
		old := s.places
		s.places = make([]*probe, max(8, 2*len(old)))
		for _, q := range old {
			if q != nil {
				*s.place(q.inner) = q
			}
		}
	}
	*s.place(p.inner) = p
}

// place is where the probe with an inner label stands, or would.
func (s *shard) place(inner label) **probe {
	for i := int(inner); ; i++ {
		at := &s.places[i&(len(s.places)-1)]
		if *at == nil || (*at).inner == inner {
			return at
		}
	}
}

func (r *registry) get(inner label) *probe {
	s := r.shard(inner)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.n == 0 {
		return nil
	}
	return *s.place(inner)
}

// find is the probe that a name belongs to, wherever in the name one of its
// labels stands: a name may arrive minimised to its last labels (RFC 9156),
// with a suffix, or with a label stripped.
func (r *registry) find(name []byte) *probe {
	for len(name) > 1 {
		n := 1 + int(name[0])
		if l, ok := parseLabel(name[1:n]); ok {
			if p := r.get(l.twin()); p != nil {
				return p
			}
			if p := r.get(l); p != nil {
				return p
			}
		}
		name = name[n:]
	}
	return nil
}

// event is what the sockets tell the prober.
type event struct {
	kind  eventKind
	rcode uint8  // of evAnswer
	probe *probe // of evReturn, evAnswer, evLost
	lane  *lane  // of evDown
	at    instant
	ret   Return
	fail  Failure
	err   error
}

type eventKind uint8

const (
	evReturn eventKind = iota // the probe came home
	evAnswer                  // the upstream answered it
	evLost                    // no answer can come any more, and why
	evDown                    // the upstream cannot be asked at all, and why
)

// inbox hands events from any number of sockets to the one prober. It never
// makes a socket wait, and holds at most a few events for each probe sent.
type inbox struct {
	wake chan struct{}
	mu   sync.Mutex
	evs  []event
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (in *inbox) push(e event) {
	in.mu.Lock()
	in.evs = append(in.evs, e)
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox into spare, which is reused.
func (in *inbox) take(spare []event) []event {
	in.mu.Lock()
	defer in.mu.Unlock()
	evs := in.evs
	in.evs = spare[:0]
	return evs
}
