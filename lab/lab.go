// Package lab runs small real DNS servers on loopback: resolvers, forwarders,
// and servers that misbehave on purpose. It is what `dnsloop demo` shows and
// what the tests of every package ask. It needs no privileges, asks nobody
// outside the addresses it is given, and knows nothing of loops or verdicts.
//
// A server is a [Handler] behind sockets; handlers are built out of handlers:
//
//	a, err := lab.Start(lab.Answer(dns.RcodeNameError))
//	b, err := lab.Start(lab.Delay(time.Second, lab.Forward(lab.First, a.Addr())))
package lab

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// A Server is a running lab server: one port of one address.
type Server struct {
	addr    netip.AddrPort
	roots   *x509.CertPool
	handler atomic.Pointer[Handler]
	record  record

	ctx    context.Context // done once Close is called
	cancel context.CancelFunc
	stops  []func() // each returns when its sockets and goroutines are gone
	once   sync.Once
}

// Addr is where the server is asked, over each of its transports.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Roots holds the certificate that vouches for the server. It is nil for a
// server that speaks neither TLS nor HTTPS.
func (s *Server) Roots() *x509.CertPool { return s.roots }

// URL is where an HTTPS server is asked.
func (s *Server) URL() string { return "https://" + s.addr.String() + dohPath }

// Handle has h answer from the next query on. It closes a circle whose servers
// must be running before their addresses are known.
func (s *Server) Handle(h Handler) { s.handler.Store(&h) }

// Queries is how many queries the server was asked. What miekg/dns turns away
// before a handler sees it (responses, more than one question) is not counted.
func (s *Server) Queries() int { return int(s.record.count.Load()) }

// Seen lists the first queries the server was asked, as many as it records.
func (s *Server) Seen() []Query { return s.record.list() }

// Close ends the server: its queries in flight are given up, and every socket
// and goroutine is gone when it returns. To close it again does nothing.
func (s *Server) Close() {
	s.once.Do(func() {
		s.cancel()
		for _, stop := range s.stops {
			stop()
		}
	})
}

// ask takes one query to the handler.
func (s *Server) ask(ctx context.Context, q *Query) Reply {
	// miekg/dns lets a bare header through, whatever count of questions it claims.
	if len(q.Msg.Question) != 1 {
		return Reply{}
	}
	s.record.add(q)
	return (*s.handler.Load())(ctx, q)
}

// serveDNS is the server as miekg/dns calls it, once per query over t.
func (s *Server) serveDNS(t plan.Transport) dns.HandlerFunc {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		r := s.ask(s.ctx, &Query{Msg: m, Transport: t, From: addrPort(w.RemoteAddr())})
		for _, b := range r.Messages {
			if _, err := w.Write(b); err != nil {
				break // the client is gone
			}
		}
		if r.HangUp {
			w.Close() // closes a connection; over UDP it does nothing
		}
	}
}

// addrPort is the address of a UDP or TCP peer, IPv4-mapped ones unmapped.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// DefaultRecord is how many queries a server records unless told otherwise.
const DefaultRecord = 1024

// record keeps the first queries of a server, and counts them all.
type record struct {
	count atomic.Int64
	limit int
	mu    sync.Mutex
	kept  []Query
}

func (r *record) add(q *Query) {
	if r.count.Add(1) > int64(r.limit) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, *q)
}

func (r *record) list() []Query {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kept)
}

// Start runs a server that answers with h: over UDP and TCP on a free port of
// 127.0.0.1 unless options say otherwise. It returns once the server hears, or
// with an error that names the address that could not be bound.
func Start(h Handler, options ...Option) (*Server, error) {
	c := config{at: "127.0.0.1:0", over: []plan.Transport{plan.UDP, plan.TCP}, record: DefaultRecord}
	for _, o := range options {
		o(&c)
	}
	at, err := netip.ParseAddrPort(c.at)
	if err != nil {
		return nil, fmt.Errorf("lab: address %q: expected ADDR:PORT: %w", c.at, err)
	}
	stream, datagram, err := c.sockets()
	if err != nil {
		return nil, err
	}
	b, err := bind(at, stream != "", datagram)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	s := &Server{addr: b.addr, record: record{limit: c.record}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.Handle(h)
	if err := s.serve(b, stream, c); err != nil {
		s.Close()
		b.close()
		return nil, fmt.Errorf("lab: %s: %w", b.addr, err)
	}
	return s, nil
}
