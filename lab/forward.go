package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// A Policy is how a forwarder chooses among its upstreams.
type Policy int

// The policies. All but All turn to the next upstream, in the order given,
// where the chosen one refuses, resets or is silent.
const (
	First      Policy = iota // the first, always
	Random                   // any
	RoundRobin               // each in turn
	All                      // all at once; the first answer wins
)

// forwardTimeout is how long a forwarder waits for an answer in all; each
// upstream that it tries gets an equal share.
const forwardTimeout = 2 * time.Second

// forwardLimit is how many queries a forwarder has outstanding before it
// refuses: dnsmasq's --dns-forward-max. Forwarders that ask each other in a
// circle get this far and no farther, since every lap is one more outstanding.
const forwardLimit = 150

// Forward relays queries to one of the upstreams, with an ID and a socket of
// its own, over UDP where they came by UDP and over TCP where not. What comes
// back is handed on byte for byte, whatever its rcode. Where nothing comes
// back it answers SERVFAIL.
func Forward(p Policy, to ...netip.AddrPort) Handler {
	var turn atomic.Uint64
	slots := make(chan struct{}, forwardLimit)
	return func(ctx context.Context, q *Query) Reply {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			return answer(q, dns.RcodeRefused)
		}
		ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
		defer cancel()
		var b []byte
		var err error
		switch p {
		case All:
			b, err = askAll(ctx, q, to)
		case Random:
			b, err = askInTurn(ctx, q, to, rand.Uint64())
		case RoundRobin:
			b, err = askInTurn(ctx, q, to, turn.Add(1)-1)
		default:
			b, err = askInTurn(ctx, q, to, 0)
		}
		if err != nil {
			return answer(q, dns.RcodeServerFailure)
		}
		return Reply{Messages: [][]byte{b}}
	}
}

// errNoUpstream is the answer of a forwarder that has none.
var errNoUpstream = errors.New("no upstream answered")

// askInTurn asks the upstreams one after the other, the startth first.
func askInTurn(ctx context.Context, q *Query, to []netip.AddrPort, start uint64) ([]byte, error) {
	for i := range to {
		share, cancel := context.WithTimeout(ctx, forwardTimeout/time.Duration(len(to)))
		b, err := exchange(share, q, to[(start+uint64(i))%uint64(len(to))])
		cancel()
		if err == nil {
			return b, nil
		}
	}
	return nil, errNoUpstream
}

// askAll asks the upstreams at once, takes the first answer and waits until
// the others have given up.
func askAll(ctx context.Context, q *Query, to []netip.AddrPort) (first []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan []byte)
	for _, addr := range to {
		go func() {
			b, err := exchange(ctx, q, addr)
			if err != nil {
				b = nil
			}
			answers <- b
		}()
	}
	for range to {
		if b := <-answers; b != nil && first == nil {
			first = b
			cancel()
		}
	}
	if first == nil {
		return nil, errNoUpstream
	}
	return first, nil
}

// exchange asks addr and returns its answer under the ID of q.
func exchange(ctx context.Context, q *Query, addr netip.AddrPort) ([]byte, error) {
	network := "tcp"
	if q.Transport == plan.UDP {
		network = "udp"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// A deadline in the past wakes the reader when ctx is done.
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()

	relayed := *q.Msg
	relayed.Id = dns.Id()
	co := &dns.Conn{Conn: c, UDPSize: udpSize}
	if err := co.WriteMsg(&relayed); err != nil {
		return nil, err
	}
	for {
		b, err := co.ReadMsgHeader(nil)
		if err != nil {
			// A datagram too short for a header ends nothing.
			if errors.Is(err, dns.ErrShortRead) {
				continue
			}
			return nil, err
		}
		// Anything else is a forgery or noise, and waited past.
		var m dns.Msg
		if m.Unpack(b) == nil && m.Response && m.Id == relayed.Id && slices.Equal(m.Question, relayed.Question) {
			binary.BigEndian.PutUint16(b, q.Msg.Id)
			return b, nil
		}
	}
}
