// Package plan turns what a server would read (targets, files) into the
// checks that answer whether it would forward to itself. It is pure: it opens
// no file and no socket.
package plan

import (
	"net/netip"
	"strings"
)

// Transport is how a DNS message travels to an upstream.
type Transport string

// The transports that dnsloop speaks: RFC 1035 section 4.2 (UDP, TCP),
// RFC 7858 (DNS over TLS), RFC 8484 (DNS over HTTPS).
const (
	UDP   Transport = "udp"
	TCP   Transport = "tcp"
	TLS   Transport = "tls"
	HTTPS Transport = "https"
)

// Source is the place an upstream was read from. The zero Source is the
// command line.
type Source struct {
	File string // as the user named it; "-" is standard input
	Line int    // from 1; 0 where the file as a whole is meant
}

// Upstream is a DNS server that the real server would forward to.
type Upstream struct {
	// Addr is where the upstream is asked. IPv4-mapped IPv6 addresses are
	// unmapped, zones are kept (fe80::1%eth0). It is invalid for an upstream
	// that is known by name alone until that name is resolved.
	Addr netip.AddrPort
	// Transport is set where the upstream prescribes one. A plain upstream
	// has none: it is asked over each transport of the run.
	Transport Transport
	// Name is what a TLS certificate is verified against, and the host name of
	// an HTTPS upstream. It is empty where the address itself is meant.
	Name string
	// URL is the whole URL of an HTTPS upstream.
	URL    string
	Source Source
}

// String is the upstream as reports name it: its URL, or address and port.
func (u Upstream) String() string {
	if u.URL != "" {
		return u.URL
	}
	return u.Addr.String()
}

// Listener is an address that the real server will serve on, over UDP and TCP.
type Listener struct {
	Addr netip.AddrPort
}

// Server is one server that would start: its listeners, its zones and what it
// forwards to. A command line's targets make one, each FILE makes one.
type Server struct {
	Listeners []Listener
	Zones     []string // fully qualified, lower case
	Upstreams []Upstream
}

// Check is one upstream × one zone × one transport.
type Check struct {
	Upstream  Upstream
	Zone      string // fully qualified, lower case
	Transport Transport
	// Listeners are those of the server that forwards to the upstream.
	Listeners []Listener
}

// Plan is all that a run does: where it listens and what it asks.
type Plan struct {
	Listeners []Listener // of all servers, each once
	Checks    []Check
}

// New lists the checks of the servers, in the order read: upstream, then zone,
// then transport. Plain upstreams are asked over each of transports.
func New(servers []Server, transports []Transport) Plan {
	var p Plan
	heard := map[Listener]bool{}
	for _, s := range servers {
		for _, l := range s.Listeners {
			if !heard[l] {
				heard[l] = true
				p.Listeners = append(p.Listeners, l)
			}
		}
		for _, u := range s.Upstreams {
			over := transports
			if u.Transport != "" {
				over = []Transport{u.Transport}
			}
			for _, z := range s.Zones {
				for _, t := range over {
					p.Checks = append(p.Checks, Check{Upstream: u, Zone: z, Transport: t, Listeners: s.Listeners})
				}
			}
		}
	}
	return p
}

// Zone is the fully qualified, lower-case form of a zone's name.
func zoneName(s string) string {
	s = strings.ToLower(s)
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
