package plan

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/dnsloop/dnsloop/corefile"
)

// Route is a check's place in a Corefile, and the whole file around it.
type Route struct {
	File  *corefile.File
	Graph corefile.Graph
	Paths []corefile.Path // of the whole file
	Index int             // of the check's own
}

// Path is the check's upstream and zone, with what the file itself says of them.
func (r *Route) Path() corefile.Path { return r.Paths[r.Index] }

// To is the upstream as the file names it.
func (r *Route) To(h corefile.Hop) corefile.To {
	return r.Forward(h).To[h.To]
}

// Forward is the stanza that an upstream stands in.
func (r *Route) Forward(h corefile.Hop) corefile.Forward {
	return r.File.Blocks[h.Block].Forwards[h.Forward]
}

// unprobed says why the file alone decides a check; empty: it does not.
func (r *Route) unprobed() string {
	if r == nil {
		return ""
	}
	switch p := r.Path(); p.Fate {
	case corefile.Self, corefile.Circle:
		return ByFile
	case corefile.Chain:
		return OfServer
	case corefile.Unasked:
		return r.To(p.Hop).Reason
	}
	return ""
}

// FromCorefile lists the servers that a Corefile makes: one for each upstream
// and zone that it forwards. In a pod every loopback address at a port that
// the server listens on is the server's own. On a host the same goes for
// the listeners of other blocks; that a block's own wildcard listener holds an
// address is for the stand-in to see.
func FromCorefile(f corefile.File, pod bool) []Server {
	r := Route{File: &f, Graph: f.Graph(IsLocal)}
	r.Paths = r.Graph.Paths()
	var servers []Server
	for _, b := range f.Blocks {
		if len(b.Forwards) == 0 { // what comes home there comes home all the same
			servers = append(servers, Server{Listeners: listenersOf(b), Pod: pod})
		}
	}
	for i, p := range r.Paths {
		block := f.Blocks[p.Block]
		to := r.To(p.Hop)
		if p.Fate == corefile.Self && !pod && !names(block.Listeners, to.Addr) {
			r.Paths[i].Fate = corefile.Outside
		}
		own := r
		own.Index = i
		servers = append(servers, Server{
			Listeners: listenersOf(block),
			Zones:     []string{p.Zone},
			Upstreams: []Upstream{FromForward(block.Forwards[p.Forward], to)},
			Pod:       pod,
			Route:     &own,
		})
	}
	return servers
}

// names reports whether a listener is bound to the very address.
func names(ls []corefile.Listener, a netip.AddrPort) bool {
	return slices.ContainsFunc(ls, func(l corefile.Listener) bool { return l.Addr == a && !a.Addr().IsUnspecified() })
}

// listenersOf are the sockets of a block that the stand-in opens: it speaks
// neither QUIC nor gRPC.
func listenersOf(b corefile.Block) []Listener {
	var ls []Listener
	for _, l := range b.Listeners {
		switch l.Scheme {
		case "dns":
			ls = append(ls, Listener{Addr: l.Addr})
		case "tls", "https":
			ls = append(ls, Listener{Addr: l.Addr, Secure: Transport(l.Scheme), Cert: b.Cert, Key: b.Key})
		}
	}
	return ls
}

// FromForward is the upstream that a forward asks, in the way that it asks:
// over TCP alone with force_tcp, else as the client came. With prefer_udp a
// truncated answer still leads to TCP, so both are probed.
func FromForward(s corefile.Forward, t corefile.To) Upstream {
	u := Upstream{Addr: t.Addr, Source: Source(t.Pos), Name: t.ServerName}
	if t.Source.File != "" {
		u.Source, u.Via = Source(t.Source), Source(t.Pos)
	}
	switch t.Scheme {
	case "tls":
		u.Transport, u.Name = TLS, cmp.Or(t.ServerName, s.TLSServerName)
		if n := len(s.TLSFiles); n == 1 || n == 3 { // CA, or certificate, key and CA
			u.CA = s.TLSFiles[n-1]
		}
	case "https":
		u.Transport, u.URL = HTTPS, "https://"+authority(t)+"/dns-query"
	case "dns":
		if s.ForceTCP {
			u.Transport = TCP
		}
	default: // quic, grpc: not spoken here, so never asked
		u.Transport = Transport(t.Scheme)
	}
	if !u.Addr.Addr().IsValid() && u.Name == "" {
		u.Name = cmp.Or(t.Host, t.Text)
	}
	return u
}

// authority is what an https upstream is asked for: its name where it has one,
// though it is reached by address.
func authority(t corefile.To) string {
	host := t.Addr.Addr().String()
	if t.ServerName != "" {
		host = t.ServerName
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.Addr.Port())))
}
