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
// long as that stands, since a return may come late: it is kept small. What is
// not atomic is set before the probe is registered, and from then on read
// only; but for what is the prober's own.
type probe struct {
	inner     label
	check     *check // nil: a test of the ear
	path      *path  // nil: not known
	sent      instant
	id, qtype uint16
	shape     shape
	settled   bool // the prober's: answered, lost or given up
	released  bool // the prober's: settled or overdue
	state     atomic.Uint32
}

// path is the way between two sockets. Its ends together tell one TCP
// connection from others: one end alone may be shared.
type path struct {
	local, remote netip.AddrPort // of the sender; remote may be invalid: not known
}

// What the sockets have seen of a probe.
const (
	returned uint32 = 1 << iota // it came home
	replied                     // the upstream answered it
)

// first marks a probe, and reports whether it was not marked before: copies
// say nothing new.
func (p *probe) first(mark uint32) bool { return p.state.Or(mark)&mark == 0 }

func (p *probe) has(mark uint32) bool { return p.state.Load()&mark != 0 }

func (p *probe) zone() string {
	if p.check == nil {
		return rootZone
	}
	return p.check.zone
}

func newProbe(c *check, qtype uint16, s shape) *probe {
	p := &probe{check: c, qtype: qtype, shape: s}
	p.inner, p.id = newLabel()
	return p
}

// registry knows this run's probes by either of their labels.
type registry struct {
	mu     sync.RWMutex
	probes map[label]*probe // by the inner one
}

// add makes a probe known, which must be so before it is sent.
func (r *registry) add(p *probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probes == nil {
		r.probes = map[label]*probe{}
	}
	r.probes[p.inner] = p
}

// find is the probe that a name belongs to, wherever in the name one of its
// labels stands: a name may arrive minimised to its last labels (RFC 9156),
// with a suffix, or with a label stripped.
func (r *registry) find(name []byte) *probe {
	for len(name) > 1 {
		n := 1 + int(name[0])
		if l, ok := parseLabel(name[1:n]); ok {
			r.mu.RLock()
			p := r.probes[l.twin()]
			if p == nil {
				p = r.probes[l]
			}
			r.mu.RUnlock()
			if p != nil {
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
