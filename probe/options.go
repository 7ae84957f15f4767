package probe

import (
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// DefaultProbes is how many probes a check needs before it may be called
// clear. An upstream that picks one of k forwarders for each query hides a
// loop through one of them from n probes with probability (1-1/k)^n. UDP and
// TCP together make n = 16: 1 in 65 536 for two forwarders, 1 in 657 for three.
const DefaultProbes = 8

// ThoroughProbes over ThoroughSpread outlast the health checks and failure
// caches (a few seconds in most servers) that may have marked this one down,
// and leave a miss probability of 1 in 30 million behind four forwarders.
const (
	ThoroughProbes = 60
	ThoroughSpread = 15 * time.Second
)

// DefaultSettle is how long, at most, a late return is waited for.
const DefaultSettle = 200 * time.Millisecond

// DefaultQtypes is the mix of query types. HINFO comes first: nobody else asks
// it, so it is no load to anyone. The others get through where a filter
// refuses HINFO (RFC 8482 made it a type that some servers treat apart).
var DefaultQtypes = []uint16{
	dns.TypeHINFO, dns.TypeA, dns.TypeTXT, dns.TypeHINFO,
	dns.TypeAAAA, dns.TypeHINFO, dns.TypeTXT, dns.TypeA,
}

// Options say how upstreams are probed.
type Options struct {
	Probes       int           // a check, at least 1
	Qtypes       []uint16      // in turn, at least one
	Spread       time.Duration // over which a check's probes are sent; 0: at once
	QueryTimeout time.Duration // one probe
	Settle       time.Duration // that a late return is waited for after the last answer
	AdaptSettle  bool          // Settle is the most: less where round trips are short
	Trace        func(Trace)   // what happens, as it happens; may be nil
}

// minSettle is what a late return is waited for where the upstream is near. A
// return is late where an upstream asks several servers at once and answers by
// the fastest: then it comes as long after the answer as the slower way home is
// longer. 100 ms is the round trip to another continent.
const minSettle = 100 * time.Millisecond

// settle is how long a check listens on after its last answer: longer where the
// upstream itself is far, since who is far away has far neighbours.
func (o *Options) settle(rtt time.Duration) time.Duration {
	if !o.AdaptSettle {
		return o.Settle
	}
	return min(o.Settle, minSettle+2*rtt)
}

// Trace is one packet, for those who want to watch.
type Trace struct {
	What      string // "sent", "answered", "returned", "failed"
	Upstream  string
	Transport plan.Transport
	Query     string // "HINFO 454….368….", empty where an upstream as a whole failed
	Detail    string // an rcode, where a return came from, an error
}
