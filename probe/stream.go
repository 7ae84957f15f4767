package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/dnsloop/dnsloop/plan"
)

// maxPerConn is how many queries one connection carries before the next one
// is opened: common servers close it after 128, and what is under way is lost.
const maxPerConn = 100

// streamCarrier spreads probes over a few connections, over TCP or TLS, each
// with several queries under way (RFC 7766 section 6.2.1.1).
type streamCarrier struct {
	wire
	up    plan.Upstream
	max   int
	certs *certificates // nil: plain TCP

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
		c.conns[i] = c.open()
		c.conns[i].take(p)
	}
}

func (c *streamCarrier) close() {
	for _, s := range c.conns {
		s.cancel()
	}
	c.wg.Wait()
}

// streamConn is one connection: take queues, write dials and sends, read
// receives.
type streamConn struct {
	c      *streamCarrier
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	todo    []*probe
	pending map[uint16]*probe
	taken   int
	dead    bool
	wake    chan struct{}
}

func (c *streamCarrier) open() *streamConn {
	s := &streamConn{c: c, pending: map[uint16]*probe{}, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	c.wg.Add(1)
	go s.run()
	return s
}

// take queues a probe; false says that the connection takes no more.
func (s *streamConn) take(p *probe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead || s.taken == maxPerConn {
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

func (s *streamConn) run() {
	defer s.c.wg.Done()
	conn, err := s.dial()
	if err != nil {
		s.die(err)
		return
	}
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

func (s *streamConn) write(conn net.Conn) error {
	local := unmap(conn.LocalAddr().(*net.TCPAddr).AddrPort())
	for {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-s.wake:
		}
		s.mu.Lock()
		todo := s.todo
		s.todo = nil
		for _, p := range todo {
			for s.pending[p.id] != nil {
				p.id++
			}
			s.pending[p.id] = p
		}
		s.mu.Unlock()
		var out []byte
		for _, p := range todo {
			if s.c.certs == nil {
				p.local = local
			}
			s.c.names.add(p)
			out = append(out, frame(appendQuery(nil, p))...)
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

func (s *streamConn) read(conn net.Conn) error {
	r := bufio.NewReader(conn)
	var buf []byte
	for {
		var err error
		if buf, err = readFrame(r, buf); err != nil {
			return err
		}
		if len(buf) < headerLen {
			continue
		}
		s.mu.Lock()
		id := binary.BigEndian.Uint16(buf)
		p := s.pending[id]
		var a reply
		if p != nil {
			if a = checkReply(buf, p); a.ok {
				delete(s.pending, id)
			}
		}
		s.mu.Unlock()
		if a.ok {
			s.c.answer(p, a.rcode)
		}
	}
}

// die takes no more probes and tells what became of those under way. Only the
// first cause counts.
func (s *streamConn) die(err error) {
	s.mu.Lock()
	first := !s.dead
	s.dead = true
	lost := s.todo
	for _, p := range s.pending {
		lost = append(lost, p)
	}
	s.todo, s.pending = nil, nil
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
		s.c.lost(p, plainError(err))
	}
}

// frame puts a message behind its length.
func frame(msg []byte) []byte {
	return append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
}
