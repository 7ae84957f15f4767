package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// stalled is how long a connection may owe its next answer before probes that
// would wait behind it go elsewhere: common servers (CoreDNS, dnsdist) serve the
// questions of one connection one after the other.
const stalled = 300 * time.Millisecond

// streamCarrier spreads probes over a few connections, over TCP or TLS, each
// with several queries under way (RFC 7766 section 6.2.1.1). Where these stall,
// there are some more.
type streamCarrier struct {
	wire
	up    plan.Upstream
	max   int           // connections
	most  int           // where all of them stall
	certs *certificates // nil: plain TCP

	// perConn is how many queries the upstream lets a connection carry, once it
	// has closed one: common servers do after 100 or 128, some after the first.
	// 0: not known.
	perConn atomic.Int32

	conns []*streamConn
	next  int
	wg    sync.WaitGroup
}

func (c *streamCarrier) unverified() string { return c.certs.unverified() }

func (c *streamCarrier) send(p *probe) {
	i := c.pick(p.sent)
	if !c.conns[i].take(p) {
		c.conns[i].retire(p.check.o.QueryTimeout)
		c.conns[i] = c.open()
		c.conns[i].take(p)
	}
}

// pick chooses the connection that owes the fewest answers, each in turn where
// several do. Where it owes some, and one stalls, there is a new one if there
// may be.
func (c *streamCarrier) pick(at instant) int {
	if len(c.conns) < c.max {
		c.conns = append(c.conns, c.open())
		return len(c.conns) - 1
	}
	c.next++
	best, fewest, stalls := 0, int32(math.MaxInt32), false
	for n := range c.conns {
		i := (c.next + n) % len(c.conns)
		owed := c.conns[i].owes()
		if owed < fewest {
			best, fewest = i, owed
		}
		stalls = stalls || owed > 0 && at.sub(instant(c.conns[i].heard.Load())) > stalled
	}
	if fewest == 0 || !stalls || len(c.conns) == c.most {
		return best
	}
	c.conns = append(c.conns, c.open())
	return len(c.conns) - 1
}

func (c *streamCarrier) close() {
	for _, s := range c.conns {
		s.cancel()
	}
	c.wg.Wait()
	c.conns = nil
}

// streamConn is one connection: take queues, run dials and sends, read
// receives.
type streamConn struct {
	c      *streamCarrier
	ctx    context.Context
	cancel context.CancelFunc

	heard atomic.Int64 // the instant of the last answer, or when the first since all were in was asked for
	owed  atomic.Int32 // answers
	dead  atomic.Bool  // set under mu, for the sake of todo

	mu    sync.Mutex
	conn  net.Conn // once there is one
	taken int32
	todo  []*probe // taken, not sent yet
	under []*probe // sent; those answered are weeded out now and then
	wake  chan struct{}
}

func (c *streamCarrier) open() *streamConn {
	s := &streamConn{c: c, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	c.wg.Add(1)
	go s.run()
	return s
}

// take queues a probe; false says that the connection takes no more.
func (s *streamConn) take(p *probe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead.Load() || s.taken > 0 && s.taken == s.c.perConn.Load() {
		return false
	}
	s.taken++
	if s.owed.Add(1) == 1 {
		s.heard.Store(int64(p.sent))
	}
	s.todo = append(s.todo, p)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// owes is how many answers are to come. One that is dead owes none: it takes no
// more probes either, and is replaced.
func (s *streamConn) owes() int32 {
	if s.dead.Load() {
		return 0
	}
	return s.owed.Load()
}

// retire closes a connection that takes no more, once what is under way had
// its time.
func (s *streamConn) retire(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.SetReadDeadline(time.Now().Add(after))
	}
}

func (s *streamConn) run() {
	defer s.c.wg.Done()
	conn, err := s.dial()
	if err != nil {
		s.die(err)
		return
	}
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	// Closing is what ends reads and writes, the library's and our own.
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	s.c.wg.Add(1)
	go func() {
		defer s.c.wg.Done()
		s.die(s.read(conn))
		s.cancel()
	}()
	s.die(s.write(conn))
	conn.Close()
}

func (s *streamConn) dial() (net.Conn, error) {
	addr, err := s.c.resolve(s.c.up)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", addr.String())
	if err != nil || s.c.certs == nil {
		return conn, err
	}
	session := tls.Client(conn, s.c.certs.config())
	if err := session.HandshakeContext(s.ctx); err != nil {
		conn.Close()
		return nil, tlsError(err)
	}
	return session, nil
}

// write sends what is taken until there is no more to come.
func (s *streamConn) write(conn net.Conn) error {
	var way *path
	if c, ok := conn.(*net.TCPConn); ok {
		way = &path{tcpAddr(c.LocalAddr()), tcpAddr(c.RemoteAddr())}
	}
	var todo []*probe
	var out []byte
	for {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-s.wake:
		}
		s.mu.Lock()
		todo = append(todo[:0], s.todo...)
		s.todo = s.todo[:0]
		s.under = slices.DeleteFunc(s.under, func(p *probe) bool { return p.has(replied) })
		for _, p := range todo {
			// No two under way have one ID (RFC 7766 section 6.2.1).
			for slices.ContainsFunc(s.under, func(q *probe) bool { return q.id == p.id }) {
				p.id++
			}
			s.under = append(s.under, p)
		}
		s.mu.Unlock()
		out = out[:0]
		for _, p := range todo {
			p.path = way
			s.c.names.add(p)
			out = appendFramed(out, p)
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

// read receives until the connection is closed. Where the upstream closes it,
// the next ones carry no more than this one did.
func (s *streamConn) read(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 1024)
	var buf []byte
	for answers := int32(0); ; {
		var err error
		if buf, err = readFrame(r, buf); err != nil {
			byUs := s.ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
			if known := s.c.perConn.Load(); !byUs && answers > 0 && (known == 0 || answers < known) {
				s.c.perConn.Store(answers)
			}
			return err
		}
		if p, rcode := s.c.asked(buf); p != nil && s.c.answer(p, rcode) {
			answers++
			s.heard.Store(int64(now()))
			s.owed.Add(-1)
		}
	}
}

// die takes no more probes and tells what became of those under way. Only the
// first cause counts.
func (s *streamConn) die(err error) {
	s.mu.Lock()
	first := !s.dead.Swap(true)
	lost := slices.Concat(s.under, s.todo)
	s.mu.Unlock()
	if !first || s.ctx.Err() != nil {
		return
	}
	var unresolved errResolve
	switch {
	case errors.As(err, &unresolved):
		s.c.down(NotProbed, err)
		return
	case s.c.fail(err):
		return
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errClosed
	}
	for _, p := range lost {
		if !p.has(replied) {
			s.c.lost(p, plainError(err))
		}
	}
}

// appendFramed packs a query behind its length (RFC 1035 section 4.2.2).
func appendFramed(b []byte, p *probe) []byte {
	at := len(b)
	b = appendQuery(append(b, 0, 0), p)
	binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return b
}
