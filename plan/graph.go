package plan

import (
	"net"
	"strconv"

	"github.com/dnsloop/dnsloop/corefile"
)

// FromCorefile returns the servers of a Corefile: one for each forward of each
// block, with the zones that it gets names of, and one without upstreams for a
// block that forwards nothing. Left out are upstreams that cannot be asked
// (their To says why), and zones and listeners that are still to be filled in.
func FromCorefile(f corefile.File) []Server {
	var servers []Server
	for _, b := range f.Blocks {
		var listeners []Listener
		for _, l := range b.Listeners {
			listeners = append(listeners, Listener{Addr: l.Addr})
		}
		if len(b.Forwards) == 0 {
			servers = append(servers, Server{Listeners: listeners})
		}
		for _, s := range b.Forwards {
			server := Server{Listeners: listeners}
			for _, z := range s.Zones {
				if !corefile.IsPlaceholder(z) {
					server.Zones = append(server.Zones, z)
				}
			}
			for _, t := range s.To {
				if t.Reason == "" {
					server.Upstreams = append(server.Upstreams, FromForward(s, t))
				}
			}
			servers = append(servers, server)
		}
	}
	return servers
}

// FromForward is the upstream that a forward asks, in the way that it asks:
// over TCP alone with force_tcp, else as the client came. With prefer_udp a
// truncated answer still leads to TCP, so both are probed.
func FromForward(s corefile.Forward, t corefile.To) Upstream {
	u := Upstream{Addr: t.Addr, Source: Source{File: t.File, Line: t.Line}}
	if t.Source.File != "" {
		u.Source = Source(t.Source)
	}
	switch t.Scheme {
	case "tls":
		u.Transport, u.Name = TLS, t.ServerName
	case "https":
		u.Transport, u.Name = HTTPS, t.ServerName
		u.URL = "https://" + authority(t) + "/dns-query"
	default:
		if s.ForceTCP {
			u.Transport = TCP
		}
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
