package lab

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// bindTries is how often another free port is tried where the port that TCP
// was given is taken for UDP.
const bindTries = 16

// udpSize is the largest datagram that is read, in bytes: what EDNS senders
// commonly offer at most (RFC 6891 section 6.2.5).
const udpSize = 4096

// A bound is the sockets of one server; one of the two may be nil.
type bound struct {
	addr netip.AddrPort
	tcp  net.Listener
	udp  net.PacketConn
}

func (b bound) close() {
	if b.tcp != nil {
		b.tcp.Close()
	}
	if b.udp != nil {
		b.udp.Close()
	}
}

// bind opens the sockets asked for on one port. It binds plainly: SO_REUSEPORT
// would share the traffic of a server that holds the port already.
func bind(at netip.AddrPort, stream, datagram bool) (bound, error) {
	for try := 1; ; try++ {
		b, err := bindOnce(at, stream, datagram)
		if err == nil {
			return b, nil
		}
		b.close()
		if at.Port() != 0 || !errors.Is(err, syscall.EADDRINUSE) || try == bindTries {
			return bound{}, err
		}
	}
}

// bindOnce takes TCP first: its ephemeral ports are the scarcer ones.
func bindOnce(at netip.AddrPort, stream, datagram bool) (b bound, err error) {
	b.addr = at
	if stream {
		b.tcp, err = net.Listen("tcp", b.addr.String())
		if err != nil {
			return b, err
		}
		b.addr = netip.AddrPortFrom(at.Addr(), addrPort(b.tcp.Addr()).Port())
	}
	if datagram {
		// Listen returns a typed nil with its error: keep it out of the interface.
		udp, err := net.ListenPacket("udp", b.addr.String())
		if err != nil {
			return b, err
		}
		b.udp = udp
		b.addr = netip.AddrPortFrom(at.Addr(), addrPort(udp.LocalAddr()).Port())
	}
	return b, nil
}

// serve starts one server for each socket of b.
func (s *Server) serve(b bound, stream plan.Transport, c config) error {
	if b.udp != nil {
		if err := s.start(&dns.Server{PacketConn: b.udp, UDPSize: udpSize, Handler: s.serveDNS(plan.UDP)}); err != nil {
			return err
		}
	}
	if b.tcp == nil {
		return nil
	}
	l := b.tcp
	if stream != plan.TCP {
		config, roots, err := selfSigned(b.addr.Addr())
		if err != nil {
			return err
		}
		s.roots = roots
		if stream == plan.HTTPS {
			s.startHTTPS(l, config)
			return nil
		}
		l = tls.NewListener(l, config)
	}
	return s.start(&dns.Server{
		Listener:      &listener{Listener: l, ctx: s.ctx, every: c.trickle},
		Handler:       s.serveDNS(stream),
		MaxTCPQueries: -1,
	})
}

// start runs srv and returns once it is serving: to shut down a dns.Server
// that has not begun fails, and would leave it behind.
func (s *Server) start(srv *dns.Server) error {
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- srv.ActivateAndServe() }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-started:
	}
	s.stops = append(s.stops, func() {
		// It fails only where srv has ended by itself, which is what is wanted.
		_ = srv.Shutdown()
		<-ended
	})
	return nil
}
