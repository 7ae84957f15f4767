package lab

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Dead returns a server that is not there: its address refuses TCP connections
// with a reset and UDP datagrams with an ICMP error, until it is closed.
//
// A port that was merely free a moment ago would do the same until somebody is
// given it: perhaps the very socket that asks, which would then hear itself.
// So the port stays taken, by sockets that accept no stranger: a UDP socket
// connected to itself, and one end of a TCP connection whose listener is gone.
func Dead() (*Server, error) {
	for try := 1; ; try++ {
		s, err := dead()
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || try == bindTries {
			return nil, fmt.Errorf("lab: %w", err)
		}
	}
}

func dead() (*Server, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	// Bound first, and so kept from being handed out: a port that connect alone
	// chose may serve as the source of other connections too.
	near, err := net.DialTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, l.Addr().(*net.TCPAddr))
	if err != nil {
		return nil, err
	}
	// Both ends stay open until the server is closed: a connection that is reset gives its port back.
	far, err := l.Accept()
	if err != nil {
		near.Close()
		return nil, err
	}
	at := addrPort(near.LocalAddr())
	udp, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(at), net.UDPAddrFromAddrPort(at))
	if err != nil {
		near.Close()
		far.Close()
		return nil, err
	}
	return &Server{addr: at, cancel: func() {}, stops: []func(){func() {
		near.Close()
		far.Close()
		udp.Close()
	}}}, nil
}
