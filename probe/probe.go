package probe

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const typeHINFO = dns.TypeHINFO

// rootZone is the root in wire form.
var rootZone = []byte{0}

// A probe is one query under a fresh name. What is not atomic is set before
// the probe is registered, and from then on read only; but for the fields of
// the prober's own.
type probe struct {
	check        *check
	zone         []byte // wire form
	inner, outer label
	qtype, id    uint16
	shape        shape

	local netip.AddrPort // the socket it left from, where that is known
	sent  time.Time

	heard    chan struct{} // closed at the return, of a test of the ear alone
	returned atomic.Bool   // it came home

	settled bool // the prober's: answered, lost or given up
}

func newProbe(c *check, zone []byte, qtype uint16, s shape) *probe {
	p := &probe{check: c, zone: zone, qtype: qtype, shape: s}
	p.inner, p.outer, p.id = newLabels()
	return p
}

// registry knows this run's probes by either of their labels.
type registry struct {
	mu     sync.RWMutex
	probes map[label]*probe
}

// add makes a probe known, which must be so before it is sent.
func (r *registry) add(p *probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probes == nil {
		r.probes = map[label]*probe{}
	}
	r.probes[p.inner] = p
	r.probes[p.outer] = p
}

// find is the probe that a name belongs to, wherever in the name one of its
// labels stands: a name may arrive minimised to its last labels (RFC 9156),
// with a suffix, or with a label stripped.
func (r *registry) find(name []byte) *probe {
	for len(name) > 1 {
		n := 1 + int(name[0])
		if l, ok := parseLabel(name[1:n]); ok {
			r.mu.RLock()
			p := r.probes[l]
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
	probe *probe // of evReturn, evAnswer, evLost
	lane  *lane  // of evDown
	at    time.Time
	rcode int
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
