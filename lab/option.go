package lab

import (
	"fmt"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// An Option changes how a server listens.
type Option func(*config)

type config struct {
	at      string
	over    []plan.Transport
	trickle time.Duration
	record  int
}

// On puts the server at address: "127.0.0.2:0", "[::1]:0". Port 0 is a free one.
func On(address string) Option { return func(c *config) { c.at = address } }

// Over has the server speak these transports alone. UDP goes with any other;
// of TCP, TLS (RFC 7858) and HTTPS (RFC 8484) a server speaks one.
func Over(transports ...plan.Transport) Option {
	return func(c *config) { c.over = transports }
}

// Trickle has a TCP or TLS server send one byte at a time, each after a pause
// of every.
func Trickle(every time.Duration) Option { return func(c *config) { c.trickle = every } }

// Record has the server keep the first n queries for [Server.Seen].
func Record(n int) Option { return func(c *config) { c.record = n } }

// sockets says what the transports need: the one spoken over a stream socket,
// empty for none, and whether there is a datagram socket.
func (c config) sockets() (stream plan.Transport, datagram bool, err error) {
	for _, t := range c.over {
		switch {
		case t == plan.UDP:
			datagram = true
		case t != plan.TCP && t != plan.TLS && t != plan.HTTPS:
			return "", false, fmt.Errorf("lab: transport %q: expected udp, tcp, tls or https", t)
		case stream != "" && stream != t:
			return "", false, fmt.Errorf("lab: transports %s and %s: expected at most one of tcp, tls and https", stream, t)
		default:
			stream = t
		}
	}
	if stream == "" && !datagram {
		return "", false, fmt.Errorf("lab: no transport: expected udp, tcp, tls or https")
	}
	return stream, datagram, nil
}
