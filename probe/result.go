package probe

import (
	"net/netip"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// State is what became of one address the stand-in was to listen on.
type State string

// The states of a listening address.
const (
	Listening   State = "listening"   // bound, and it heard its own test
	Held        State = "held"        // EADDRINUSE: another socket has it
	Denied      State = "denied"      // EACCES: no right to bind a port this low
	Unavailable State = "unavailable" // not an address of this host, or no such family
	Deaf        State = "deaf"        // bound, but its own test was not heard
	Exhausted   State = "exhausted"   // EMFILE, ENFILE: no file descriptor was left for it, for its test, or for who came to it
)

// Ear is one address and transport of the stand-in.
type Ear struct {
	Addr      netip.AddrPort
	Transport plan.Transport // UDP or TCP
	State     State
	Err       error // why it is not listening
}

// Return is a probe that arrived at the stand-in: the proof of a loop.
type Return struct {
	Query     string         // "HINFO 454….368….", as it arrived
	From      netip.AddrPort // the last hop
	To        netip.AddrPort // the stand-in's address as bound
	Transport plan.Transport // over which it came home
	After     time.Duration  // since it was sent
	// Direct says that it came from the very socket that sent it: nobody sits
	// between, the upstream is the stand-in itself.
	Direct bool
}

// Failure is why an upstream gave no usable answer.
type Failure string

// The failures, from the most to the least telling.
const (
	NoFailure   Failure = ""
	Refused     Failure = "connection refused" // ICMP port unreachable, or a TCP reset
	Unreachable Failure = "unreachable"        // no route, host or network unreachable
	BadTLS      Failure = "TLS failed"         // no TLS session, verified or not
	ErrorRcode  Failure = "error rcode"        // answered, but never NOERROR or NXDOMAIN
	Silent      Failure = "silent"             // nothing usable came within the timeout
	NotProbed   Failure = "not probed"         // nothing could be sent, Detail says why
)

// Result is what one check saw.
type Result struct {
	Sent, Answered, Returned int
	Returns                  []Return // one for each distinct probe, first come first
	// RTT is the slowest answer that counted.
	RTT time.Duration
	// Failure is set where fewer probes than asked for were answered.
	Failure Failure
	// Detail is the failure in the words of the system: an rcode, an error.
	Detail string
	// Alive says that a silent upstream replied to the question who it is.
	Alive bool
	// Filtered lists the query types that got no usable answer while others did.
	Filtered []string
	// Unverified is the certificate error of a TLS upstream that answered only
	// once the certificate was not verified; empty where it was.
	Unverified string
}

// Stray is a question that arrived at the stand-in and is none of this run's
// names and none that health checks or validation explain.
type Stray struct {
	Query string
	From  netip.Addr
	Count int
}
