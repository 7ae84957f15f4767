package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/dnsloop/dnsloop/plan"
)

// A test of the ear is sent up to earTries times, each heard within earWait:
// it travels no further than this host.
const (
	earTries = 3
	earWait  = 400 * time.Millisecond
)

const readBuffer = 4 << 20 // octets, of a UDP socket

// Listen opens the stand-in, over UDP and TCP, on each of the addresses, and
// tests that it hears. Where a wildcard cannot be bound because somebody holds
// one of its addresses, the others are bound one by one: loopback, own (the
// addresses of this host) and named (loopback addresses that inputs mention).
// What could not be bound is told by Ears; Listen itself does not fail.
//
// Sockets are bound plainly. SO_REUSEPORT would let the bind succeed beside a
// live server and share that server's traffic, which hides loops.
func Listen(ctx context.Context, want []plan.Listener, own, named []netip.Addr) *StandIn {
	s := &StandIn{
		inbox:  newInbox(),
		guests: map[*guest]bool{},
		strays: map[strayKey]int{},
	}
	done := map[netip.AddrPort]bool{}
	for _, l := range want {
		if done[l.Addr] {
			continue
		}
		done[l.Addr] = true
		lacking := s.bind(l, l.Addr, own, transports(l)...)
		if len(lacking) == 0 || !l.Addr.Addr().IsUnspecified() {
			continue
		}
		for _, a := range oneByOne(l.Addr.Addr(), own, named) {
			if addr := netip.AddrPortFrom(a, l.Addr.Port()); !done[addr] {
				done[addr] = true
				s.bind(l, addr, own, lacking...)
			}
		}
	}
	s.testEars(ctx, own)
	return s
}

// transports are those that a listener is served over.
func transports(l plan.Listener) []plan.Transport {
	if l.Secure != "" {
		return []plan.Transport{l.Secure}
	}
	return []plan.Transport{plan.UDP, plan.TCP}
}

// oneByOne lists the addresses that a wildcard stands for.
func oneByOne(wildcard netip.Addr, own, named []netip.Addr) []netip.Addr {
	all := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if wildcard.Is6() {
		all = []netip.Addr{netip.IPv6Loopback()}
	}
	for _, a := range slices.Concat(own, named) {
		if a.Is4() == wildcard.Is4() && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// bind listens on one address of a listener over the given transports, TCP
// first so that UDP takes the same port where the kernel chooses one. It returns
// the transports that somebody else holds.
func (s *StandIn) bind(l plan.Listener, addr netip.AddrPort, own []netip.Addr, over ...plan.Transport) (held []plan.Transport) {
	if l.Secure != "" {
		if s.bindSecure(l, addr, own) {
			held = over
		}
		return held
	}
	var ears []Ear
	if slices.Contains(over, plan.TCP) {
		l, err := listenTCP(addr, own)
		ear := Ear{Addr: addr, Transport: plan.TCP, State: stateOf(err), Err: err}
		if err == nil {
			// The kernel need not give back the zone of a link-local address.
			ear.Addr = netip.AddrPortFrom(addr.Addr(), tcpAddr(l.Addr()).Port())
			addr = ear.Addr
			s.sockets = append(s.sockets, l)
			s.wg.Add(1)
			go s.accept(l, func(g *guest) { s.serveConn(g, g, addr, plan.TCP) })
		}
		ears = append(ears, ear)
	}
	if slices.Contains(over, plan.UDP) {
		c, err := listenUDP(addr, own)
		ears = append(ears, Ear{Addr: addr, Transport: plan.UDP, State: stateOf(err), Err: err})
		if err == nil {
			s.sockets = append(s.sockets, c)
			s.wg.Add(1)
			go s.serveUDP(c)
		}
	}
	slices.Reverse(ears) // UDP is what most people ask about
	for _, e := range ears {
		if e.State == Held {
			held = append(held, e.Transport)
		}
	}
	s.ears = append(s.ears, ears...)
	return held
}

// errNoFamily is a wildcard of a family that this host has no address in.
var errNoFamily = errors.New("this host has no address of that family")

// family is "4" or "6": with it, Go binds IPv6 wildcards to IPv6 alone.
func family(addr netip.AddrPort, own []netip.Addr) (string, error) {
	a := addr.Addr()
	if a.IsUnspecified() && own != nil &&
		!slices.ContainsFunc(own, func(o netip.Addr) bool { return o.Is4() == a.Is4() }) {
		return "", errNoFamily
	}
	if a.Is4() {
		return "4", nil
	}
	return "6", nil
}

func listenTCP(addr netip.AddrPort, own []netip.Addr) (*net.TCPListener, error) {
	f, err := family(addr, own)
	if err != nil {
		return nil, err
	}
	return net.ListenTCP("tcp"+f, net.TCPAddrFromAddrPort(addr))
}

// udpEar is a UDP socket of the stand-in.
type udpEar struct {
	*net.UDPConn
	addr netip.AddrPort

	// The last control message that came, and the one that goes: most queries
	// ask the same address, and to turn one into the other allocates.
	came, goes []byte
}

func listenUDP(addr netip.AddrPort, own []netip.Addr) (*udpEar, error) {
	f, err := family(addr, own)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp"+f, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	// Returns come in bursts: make room for as many as the system lets one have.
	c.SetReadBuffer(readBuffer)
	if addr.Addr().IsUnspecified() {
		// Replies must leave from the address that was asked. Where the system
		// cannot say which that was, replies leave as the kernel likes.
		if f == "4" {
			ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true)
		} else {
			ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true)
		}
	}
	return &udpEar{UDPConn: c, addr: addr}, nil
}

// replyFrom turns the control message that came with a query into the one that
// lets the reply leave from the address that was asked.
func (c *udpEar) replyFrom(oob []byte) []byte {
	if bytes.Equal(oob, c.came) {
		return c.goes
	}
	c.came, c.goes = append(c.came[:0], oob...), nil
	if c.addr.Addr().Is4() {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) == nil && cm.Dst != nil {
			c.goes = (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
		}
		return c.goes
	}
	var cm ipv6.ControlMessage
	if cm.Parse(oob) == nil && cm.Dst != nil {
		c.goes = (&ipv6.ControlMessage{Src: cm.Dst}).Marshal()
	}
	return c.goes
}

func stateOf(err error) State {
	switch {
	case err == nil:
		return Listening
	case errors.Is(err, syscall.EADDRINUSE):
		return Held
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Denied
	case outOfDescriptors(err):
		return Exhausted
	}
	return Unavailable
}

// testEars sends one probe straight to each bound address, all at once. What
// does not hear it is deaf: a firewall, or a socket that shares the port.
func (s *StandIn) testEars(ctx context.Context, own []netip.Addr) {
	type outcome struct {
		ear *Ear
		err error
	}
	outcomes := make(chan outcome)
	tested := 0
	for i := range s.ears {
		e := &s.ears[i]
		if e.State != Listening || e.Err != nil {
			continue
		}
		tested++
		go func() { outcomes <- outcome{e, s.hears(ctx, earAddr(e.Addr, own), e.Transport)} }()
	}
	for range tested {
		switch o := <-outcomes; {
		case o.err == nil, ctx.Err() != nil: // or it was not tested to the end
		case outOfDescriptors(o.err):
			o.ear.State, o.ear.Err = Exhausted, o.err
		default:
			o.ear.State, o.ear.Err = Deaf, o.err
		}
	}
	s.starve(nil) // what kept nobody from being heard is past
}

var errDeaf = errors.New("bound, but a question sent straight to it was not heard: a firewall, or another socket on the same port")

// LoopbackDown is why a test was not heard where the loopback interface, which
// it names, is down. All that a host sends to itself goes through that.
type LoopbackDown string

func (e LoopbackDown) Error() string {
	return fmt.Sprintf("bound, but the interface %s is down, and with it the way from this host to itself", string(e))
}

// whyDeaf is why a question that was sent to an address here was not heard, as
// far as it can be known for certain.
func whyDeaf() error {
	all, err := net.Interfaces()
	if err != nil {
		return errDeaf
	}
	for _, i := range all {
		if i.Flags&(net.FlagLoopback|net.FlagUp) == net.FlagLoopback {
			return LoopbackDown(i.Name)
		}
	}
	return errDeaf
}

// outOfDescriptors reports whether this process or the whole system may open no
// more files.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// earAddr is where an ear is tested: a wildcard at loopback, or at an address
// of this host where loopback is not up.
func earAddr(addr netip.AddrPort, own []netip.Addr) netip.AddrPort {
	a := addr.Addr()
	if !a.IsUnspecified() {
		return addr
	}
	to := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if a.Is6() {
		to = netip.IPv6Loopback()
	}
	if !slices.Contains(own, to) {
		if i := slices.IndexFunc(own, func(o netip.Addr) bool { return o.Is4() == a.Is4() }); i >= 0 {
			to = own[i]
		}
	}
	return netip.AddrPortFrom(to, addr.Port())
}

// hears sends a probe straight to an address. The error says why it is not heard
// here.
func (s *StandIn) hears(ctx context.Context, addr netip.AddrPort, over plan.Transport) error {
	var exhausted error
	for range earTries {
		p, heard := new(probe), make(chan struct{})
		p.draw(nil, typeHINFO, 0)
		s.tests.Store(p, heard)
		s.names.add(p)
		c, err := say(ctx, addr, over, p)
		if err != nil {
			if outOfDescriptors(err) {
				exhausted = err
			}
			continue
		}
		select {
		case <-heard:
			c.Close()
			return nil
		case <-time.After(earWait):
		case <-ctx.Done():
		}
		c.Close()
	}
	if exhausted == nil && over != plan.UDP {
		exhausted = s.starving() // it was connected to, and could not accept
	}
	if exhausted != nil {
		return exhausted
	}
	return whyDeaf()
}
