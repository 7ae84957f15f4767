package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// streamCarrier spreads probes over a few connections, over TCP or TLS, each
// with several queries under way (RFC 7766 section 6.2.1.1).
type streamCarrier struct {
	wire
	up    plan.Upstream
	max   int
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
	if len(c.conns) < c.max {
		c.conns = append(c.conns, c.open())
	}
	i := c.next % len(c.conns)
	c.next++
	if !c.conns[i].take(p) {
		c.conns[i].retire(p.check.o.QueryTimeout)
		c.conns[i] = c.open()
		c.conns[i].take(p)
	}
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

	mu    sync.Mutex
	conn  net.Conn // once there is one
	taken int32
	todo  []*probe // taken, not sent yet
	under []*probe // sent; those answered are weeded out now and then
	dead  bool
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
	if s.dead || s.taken > 0 && s.taken == s.c.perConn.Load() {
		return false
	}
	s.taken++
	s.todo = append(s.todo, p)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
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
		}
	}
}

// die takes no more probes and tells what became of those under way. Only the
// first cause counts.
func (s *streamConn) die(err error) {
	s.mu.Lock()
	first := !s.dead
	s.dead = true
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
