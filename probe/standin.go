package probe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// Bounds of what strangers can make the stand-in hold.
const (
	maxGuests = 128             // connections at once, over TCP, TLS and HTTPS together
	idleGuest = 5 * time.Second // without a whole query
	maxStrays = 256             // distinct foreign questions remembered
)

// StandIn listens where the real server will. It answers this run's probes and
// health checks, refuses the rest, and never forwards.
type StandIn struct {
	ears  []Ear
	names registry
	inbox *inbox
	tests sync.Map // of the ears under way: *probe to chan struct{}

	mu      sync.Mutex
	sockets []io.Closer // listening
	guests  map[*guest]bool
	closed  bool
	strays  map[strayKey]int
	starved error // why a connection could not be accepted

	wg sync.WaitGroup
}

type strayKey struct {
	query string
	from  netip.Addr
}

// Ears are the addresses the stand-in was to listen on, with what became of each
// so far: one that hears its own test may run out of file descriptors later.
func (s *StandIn) Ears() []Ear {
	ears := slices.Clone(s.ears)
	if err := s.starving(); err != nil {
		for i := range ears {
			if e := &ears[i]; e.State == Listening && e.Transport != plan.UDP {
				e.State, e.Err = Exhausted, err
			}
		}
	}
	return ears
}

// starve notes that a connection could not be accepted, and why.
func (s *StandIn) starve(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starved = err
}

func (s *StandIn) starving() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starved
}

// Strays are the foreign questions heard so far.
func (s *StandIn) Strays() []Stray {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Stray
	for k, n := range s.strays {
		out = append(out, Stray{Query: k.query, From: k.from, Count: n})
	}
	return out
}

// Close frees every port. When it returns nothing is left open, and a probe
// that still circles finds nobody who answers it.
func (s *StandIn) Close() {
	s.mu.Lock()
	s.closed = true
	for g := range s.guests {
		g.dismiss()
	}
	s.mu.Unlock()
	for _, c := range s.sockets { // one of HTTPS closes its guests itself
		c.Close()
	}
	s.wg.Wait()
}

// hear takes a message that arrived at the ear called to and appends the answer to out; nothing is
// appended for what must not be answered: responses, since two servers that
// answer each other's errors never stop (CVE-2024-2169), and garbage.
func (s *StandIn) hear(out, msg []byte, came path, to netip.AddrPort, over plan.Transport) []byte {
	q, ok := parseQuestion(msg)
	if !ok || binary.BigEndian.Uint16(msg[2:])&flagQR != 0 {
		return out
	}
	k := foreign
	if p := s.names.find(q.name); p != nil {
		k = ours
		s.returned(p, q, came, to, over)
	} else if isHealthCheck(q) {
		k = health
	} else {
		s.stray(q, came.local.Addr())
	}
	return appendAnswer(out, msg, q, k)
}

// returned reports a probe the first time it comes home. Copies say nothing
// new: upstreams retransmit, and anyone on the path may play a name back.
func (s *StandIn) returned(p *probe, q question, came path, to netip.AddrPort, over plan.Transport) {
	if !p.first(returned) {
		return
	}
	if p.check == nil {
		if heard, ok := s.tests.LoadAndDelete(p); ok {
			close(heard.(chan struct{}))
		}
		return
	}
	at := now()
	s.inbox.push(event{kind: evReturn, probe: p, at: at, ret: Return{
		Query: q.String(), From: came.local, To: to, Transport: over,
		After: at.sub(p.sent), Direct: p.path != nil && came == *p.path,
	}})
}

func (s *StandIn) stray(q question, from netip.Addr) { s.note(q.String(), from) }

// note remembers what a stranger did.
func (s *StandIn) note(what string, from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := strayKey{what, from}
	if _, known := s.strays[k]; known || len(s.strays) < maxStrays {
		s.strays[k]++
	}
}

func (s *StandIn) serveUDP(c *udpEar) {
	defer s.wg.Done()
	buf, oob := make([]byte, 4096), make([]byte, 256)
	var out []byte
	for failures := 0; failures < 100; {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		from = unmap(from)
		if out = s.hear(out[:0], buf[:n], path{local: from}, c.addr, plan.UDP); len(out) > 0 {
			// A reply that cannot be sent is one that the asker misses; the
			// return itself is counted.
			c.WriteMsgUDPAddrPort(out, c.replyFrom(oob[:oobn]), from)
		}
	}
}

// serveConn answers the queries of a connection, or of the TLS session on it.
func (s *StandIn) serveConn(g *guest, stream net.Conn, addr netip.AddrPort, over plan.Transport) {
	came := path{tcpAddr(g.RemoteAddr()), tcpAddr(g.LocalAddr())}
	r := bufio.NewReader(stream)
	var msg, out []byte
	for {
		g.SetDeadline(time.Now().Add(idleGuest))
		var err error
		if msg, err = readFrame(r, msg); err != nil {
			return
		}
		g.asked()
		out = s.hear(append(out[:0], 0, 0), msg, came, addr, over)
		if len(out) == 2 {
			return // what gets no answer over TCP gets no second chance either
		}
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		if _, err := stream.Write(out); err != nil {
			return
		}
	}
}

// readFrame reads one message behind its length (RFC 1035 section 4.2.2).
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(n[:]))
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	_, err := io.ReadFull(r, buf[:size])
	return buf[:size], err
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func tcpAddr(a net.Addr) netip.AddrPort { return unmap(a.(*net.TCPAddr).AddrPort()) }
