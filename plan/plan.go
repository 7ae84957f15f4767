// Package plan turns what a server would read (targets, files) into the
// checks that answer whether it would forward to itself. It is pure: it opens
// no file and no socket.
package plan

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/dnsloop/dnsloop/forwarders"
	"github.com/dnsloop/dnsloop/resolvconf"
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
	// CA is a file of certificates that vouch for a TLS upstream; empty: the
	// system's do.
	CA string
	// URL is the whole URL of an HTTPS upstream.
	URL    string
	Source Source
	// Via is the line of the Corefile, or of another configuration, that names the
	// file of Source.
	Via Source
	// Conf is how a configuration of dnsmasq, unbound or BIND names it; zero
	// elsewhere.
	Conf Conf
	// Allowed is why the user means this upstream to be what it is, local
	// perhaps: what is only a risk is then no more than a note. Empty: not allowed.
	Allowed string
	// Own is how the address leads to the very server that forwards to it, as
	// its manifest tells: no packet need show it. Empty: it does not.
	Own string
}

// String is the upstream as reports name it: its URL, or address and port, the
// name in the address's place where only that is known.
func (u Upstream) String() string {
	switch {
	case u.URL != "":
		return u.URL
	case !u.Addr.Addr().IsValid() && u.Addr.Port() == 0:
		return u.Name
	case !u.Addr.Addr().IsValid():
		return net.JoinHostPort(u.Name, strconv.Itoa(int(u.Addr.Port())))
	}
	return u.Addr.String()
}

// Listener is an address that the real server will serve on, over UDP and TCP
// unless it is a secure one.
type Listener struct {
	Addr netip.AddrPort
	// Secure is TLS or HTTPS where only that is served, with the files of the
	// certificate and its key, which may be missing.
	Secure    Transport
	Cert, Key string
}

// Server is one server that would start: its listeners, its zones and what it
// forwards to. A command line's targets make one, each FILE makes one.
type Server struct {
	Listeners []Listener
	Zones     []string // fully qualified, lower case
	Upstreams []Upstream
	Pod       bool   // it runs in a pod, as Options.Pod has it for all
	Route     *Route // its place in a Corefile; nil outside of one
	// Views is the configuration of a BIND that treats its clients in different
	// ways; nil elsewhere.
	Views *forwarders.Config
}

// Options are what the user said of the whole run.
type Options struct {
	Transports []Transport // over which plain upstreams are asked
	NoProbe    bool        // judge the configuration alone
	Pod        bool        // read the files as a pod would: loopback is the pod itself
}

// Check is one upstream × one zone × one transport.
type Check struct {
	Upstream Upstream
	Zone     string // fully qualified, lower case
	// OptOut is a zone below the root, where Zone is the root, that some probes
	// go under since a denial there cannot be used again; empty: none do.
	OptOut    string
	Transport Transport
	// Listeners are those of the server that forwards to the upstream.
	Listeners []Listener
	Pod       bool               // the server runs in a pod: loopback is the pod itself
	Route     *Route             // the server's place in a Corefile; nil outside of one
	Views     *forwarders.Config // as in Server
	// Unprobed says why the check is judged without a packet; empty: it is probed.
	Unprobed string
}

// Reasons to judge a check without a packet.
const (
	ByRequest = "--no-probe"
	OfThePod  = "loopback is the pod itself, not this host"
	ByFile    = "the configuration itself closes the circle"
	OfServer  = "an address of this very server"
	NodeFile  = "what the node's /etc/resolv.conf says is not known here: give it with --resolv-conf"
	NoEar     = "the stand-in could listen nowhere, so no return would be heard"
)

// Plan is all that a run does: where it listens and what it asks.
type Plan struct {
	Listeners []Listener // of all servers, each once
	Checks    []Check
}

// New lists the checks of the servers, in the order read: upstream, then zone,
// then transport.
func New(servers []Server, o Options) Plan {
	var p Plan
	seen := map[Listener]bool{}
	beneath := optOut(servers)
	for _, s := range servers {
		for _, l := range s.Listeners {
			if !seen[l] {
				seen[l] = true
				p.Listeners = append(p.Listeners, l)
			}
		}
		for _, u := range s.Upstreams {
			p.Checks = append(p.Checks, checks(s, u, beneath, o)...)
		}
	}
	return p
}

func checks(s Server, u Upstream, optOut string, o Options) []Check {
	over := o.Transports
	if u.Transport != "" {
		over = []Transport{u.Transport}
	}
	c := Check{Upstream: u, Listeners: s.Listeners, Pod: s.Pod || o.Pod, Route: s.Route, Views: s.Views, Unprobed: s.Route.unprobed()}
	switch {
	case c.Unprobed != "":
	case u.Own != "":
		c.Unprobed = OfServer
	case o.NoProbe:
		c.Unprobed = ByRequest
	case c.Pod && IsLocal(u.Addr.Addr()):
		c.Unprobed = OfThePod
	}
	var cs []Check
	for _, c.Zone = range s.Zones {
		c.OptOut = ""
		if c.Zone == "." {
			c.OptOut = optOut
		}
		for _, c.Transport = range over {
			cs = append(cs, c)
		}
	}
	return cs
}

// IsLocal reports whether an address means whoever reads it: loopback
// (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3), or unspecified, which
// the kernel takes for loopback.
func IsLocal(a netip.Addr) bool {
	return a.IsLoopback() || a.IsUnspecified()
}

// FromResolvConf is the server that forwards to what a resolv.conf lists, each
// address once. No nameserver at all means the local host (resolv.conf(5)).
func FromResolvConf(name string, f resolvconf.File, listeners []Listener, zones []string) Server {
	s := Server{Listeners: listeners, Zones: zones}
	seen := map[netip.Addr]bool{}
	for _, ns := range f.Nameservers {
		if seen[ns.Addr] {
			continue
		}
		seen[ns.Addr] = true
		s.Upstreams = append(s.Upstreams, Upstream{
			Addr:   netip.AddrPortFrom(ns.Addr, portDNS),
			Source: Source{File: name, Line: ns.Line},
		})
	}
	if len(s.Upstreams) == 0 {
		s.Upstreams = []Upstream{{
			Addr:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), portDNS),
			Source: Source{File: name},
		}}
	}
	return s
}
