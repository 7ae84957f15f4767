package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/dnsloop/dnsloop/plan"
)

// carrier takes probes to one upstream over one transport, and tells the
// inbox what becomes of them.
type carrier interface {
	send(*probe)
	unverified() string // the certificate error that was passed over
	close()             // ends every socket and goroutine
}

// maxSockets is how many sockets a run opens for its upstreams together, if
// that is at least one for each, and socketsEach how many for one: an upstream
// behind a balancer sends each source port to the same one of its servers, so
// probes leave from several.
const (
	maxSockets  = 256
	socketsEach = DefaultProbes
	connsEach   = 4 // TCP
	connsTLS    = 2

	// connsSlow is how many there may be to an upstream whose answers stall:
	// servers take few from one client, Unbound 10 from all of them together.
	connsSlow = 8
)

func newCarrier(ctx context.Context, s *StandIn, l *lane, lanes int) carrier {
	c := l.checks[0]
	w := wire{ctx: ctx, names: &s.names, inbox: s.inbox, lane: l}
	share := max(1, maxSockets/lanes)
	switch c.Transport {
	case plan.UDP:
		return &udpCarrier{wire: w, addr: c.Upstream.Addr, max: min(socketsEach, share)}
	case plan.HTTPS:
		return newHTTPSCarrier(w, c.Upstream)
	case plan.TLS:
		t := &certificates{name: c.Upstream.Name, addr: c.Upstream.Addr.Addr(), ca: c.Upstream.CA}
		return &streamCarrier{wire: w, up: c.Upstream, max: min(connsTLS, share), most: min(connsSlow, share), certs: t}
	}
	return &streamCarrier{wire: w, up: c.Upstream, max: min(connsEach, share), most: min(connsSlow, share)}
}

// wire is what every carrier needs to know.
type wire struct {
	ctx   context.Context
	names *registry
	inbox *inbox
	lane  *lane
}

// answer tells that a probe was answered, and reports whether that was news.
func (w *wire) answer(p *probe, rcode uint8) bool {
	news := p.first(replied)
	if news {
		w.inbox.push(event{kind: evAnswer, probe: p, rcode: rcode, at: now()})
	}
	return news
}

func (w *wire) lost(p *probe, err error) {
	w.inbox.push(event{kind: evLost, probe: p, err: err, at: now()})
}

func (w *wire) down(f Failure, err error) {
	w.inbox.push(event{kind: evDown, lane: w.lane, fail: f, err: err, at: now()})
}

// asked is the probe of this lane that a message answers, nil where there is
// none.
func (w *wire) asked(msg []byte) (*probe, uint8) {
	q, ok := parseQuestion(msg)
	if !ok {
		return nil, 0
	}
	p := w.names.find(q.name)
	if p == nil || p.check == nil || p.check.lane != w.lane {
		return nil, 0
	}
	rcode, ok := checkReply(msg, q, p)
	if !ok {
		return nil, 0
	}
	return p, rcode
}

// fail reports whether an error ends the whole lane, and if so says so.
func (w *wire) fail(err error) bool {
	f := failureOf(err)
	if f == NoFailure {
		return false
	}
	w.down(f, plainError(err))
	return true
}

// failureOf tells what nothing can mend from what may pass.
func failureOf(err error) Failure {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EINVAL),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Unreachable
	case outOfDescriptors(err), errors.Is(err, os.ErrInvalid):
		return NotProbed
	}
	return NoFailure
}

// plainError is an error without the addresses that net puts around it: the
// reports name the upstream themselves.
func plainError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var sys interface{ Unwrap() error }
	if errors.As(err, &sys) {
		if inner := sys.Unwrap(); inner != nil && failureOf(inner) != NoFailure {
			return inner
		}
	}
	return err
}

// errResolve is an upstream known by name alone whose name does not resolve.
type errResolve struct{ err error }

func (e errResolve) Error() string { return "the name does not resolve: " + e.err.Error() }

// resolve is where an upstream is dialled. A name is looked up with this
// host's own resolver, as a server that is given a name does.
func (w *wire) resolve(u plan.Upstream) (netip.AddrPort, error) {
	if u.Addr.Addr().IsValid() {
		return u.Addr, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(w.ctx, "ip", u.Name)
	if err != nil {
		return netip.AddrPort{}, errResolve{err}
	}
	return netip.AddrPortFrom(ips[0].Unmap(), u.Addr.Port()), nil
}

// certificates verifies what a TLS upstream shows as the server would, but
// lets the session go on when that fails, and remembers why: a loop may hide
// behind a bad certificate.
type certificates struct {
	name string     // host name; empty: the address is what counts
	addr netip.Addr // valid unless the upstream is known by name alone
	ca   string     // file of the certificates that vouch; empty: the system's do
	mu   sync.Mutex
	err  error
}

func (c *certificates) config() *tls.Config {
	name := c.name
	if name == "" {
		name = c.addr.WithZone("").String()
	}
	roots, err := c.roots()
	return &tls.Config{
		ServerName:         name,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection verifies, and never refuses
		VerifyConnection: func(cs tls.ConnectionState) error {
			o := x509.VerifyOptions{DNSName: name, Intermediates: x509.NewCertPool(), Roots: roots}
			for _, ic := range cs.PeerCertificates[1:] {
				o.Intermediates.AddCert(ic)
			}
			err := err
			if err == nil {
				_, err = cs.PeerCertificates[0].Verify(o)
			}
			if err != nil {
				c.mu.Lock()
				c.err = err
				c.mu.Unlock()
			}
			return nil
		},
	}
}

// roots are the certificates that vouch; nil for the system's.
func (c *certificates) roots() (*x509.CertPool, error) {
	if c.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", c.ca)
	}
	return pool, nil
}

func (c *certificates) unverified() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return ""
	}
	return c.err.Error()
}

// udpCarrier spreads probes over a pool of connected sockets: the kernel picks
// each one's port at random, drops what comes from elsewhere, and tells of
// ICMP errors.
type udpCarrier struct {
	wire
	addr  netip.AddrPort
	max   int
	socks []udpSocket
	next  int
	buf   []byte // the query at hand
	wg    sync.WaitGroup
}

type udpSocket struct {
	*net.UDPConn
	path *path
}

func (c *udpCarrier) unverified() string { return "" }

func (c *udpCarrier) send(p *probe) {
	s, err := c.socket()
	if err != nil {
		c.fatal(p, err)
		return
	}
	p.path = s.path
	c.names.add(p)
	c.buf = appendQuery(c.buf[:0], p)
	if _, err := s.Write(c.buf); err != nil {
		c.fatal(p, err)
	}
}

func (c *udpCarrier) fatal(p *probe, err error) {
	if !c.fail(err) {
		c.lost(p, plainError(err))
	}
}

// socket is the next of the pool, opened when it is first needed.
func (c *udpCarrier) socket() (udpSocket, error) {
	if len(c.socks) < c.max {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.addr))
		if err != nil {
			return udpSocket{}, err
		}
		s := udpSocket{conn, &path{local: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}}
		c.socks = append(c.socks, s)
		c.wg.Add(1)
		go c.read(s)
		return s, nil
	}
	c.next++
	return c.socks[c.next%len(c.socks)], nil
}

func (c *udpCarrier) read(s udpSocket) {
	defer c.wg.Done()
	// Nothing behind the question is read: a longer reply may be cut.
	buf := make([]byte, headerLen+maxNameLen+4)
	for {
		n, err := s.Read(buf)
		switch {
		case err == nil:
			if p, rcode := c.asked(buf[:n]); p != nil && p.path == s.path {
				c.answer(p, rcode)
			}
		case errors.Is(err, net.ErrClosed), c.fail(err):
			return
		}
	}
}

func (c *udpCarrier) close() {
	for _, s := range c.socks {
		s.Close()
	}
	c.wg.Wait()
	c.socks = nil
}

var errClosed = errors.New("the upstream closed the connection without an answer")

func tlsError(err error) error { return fmt.Errorf("no TLS session: %w", err) }
