package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// slowness are forwarders of which one is slow. Those that wait 1.5 s for it, and
// take the questions of a connection one after the other, are asked over several
// and so come to the truth; others give up first, or ask it again and again.
func slowness() []cell {
	var list []cell
	for _, name := range []string{"dnsmasq", "Unbound", "BIND, forward only", "Knot Resolver, FORWARD", "PowerDNS Recursor",
		"dnsdist", "systemd-resolved", "CoreDNS"} {
		s := byName(name)
		for _, d := range []time.Duration{1500 * time.Millisecond, 3 * time.Second} {
			honest := "DL007"
			if d < 2*time.Second && slices.Contains([]string{"dnsmasq", "dnsdist", "CoreDNS"}, name) {
				honest = ""
			}
			list = append(list, cell{server: name, tools: s.tools, truth: loops,
				behaviour: fmt.Sprintf("forwards back through one that takes %v", d),
				arrange: func(n *network) bed {
					a, b, c := n.host(), n.host(), n.host()
					c.slow(d, a.v4)
					s.start(b, forwarding{at: b.v4, to: []string{c.v4}})
					return to(a, b.v4)
				}},
				cell{server: name, tools: s.tools, truth: ends, honest: honest,
					behaviour: fmt.Sprintf("does not, through one that takes %v", d),
					arrange: func(n *network) bed {
						a, b, c, w := n.host(), n.host(), n.host(), n.host()
						w.world()
						c.slow(d, w.v4)
						s.start(b, forwarding{at: b.v4, to: []string{c.v4}})
						return to(a, b.v4)
					}})
		}
	}
	return list
}

// one is a cell of a server that forwards to one other: the server itself, or
// the world.
func one(server, behaviour string, tools []string, tr truth, start func(*host, forwarding), args ...string) cell {
	return cell{server: server, behaviour: behaviour, tools: tools, truth: tr, arrange: func(n *network) bed {
		a, b, w := n.host(), n.host(), n.host()
		next := a.v4
		if tr == ends && len(args) == 0 {
			w.world()
			next = w.v4
		}
		start(b, forwarding{at: b.v4, to: []string{next}})
		d := to(a, b.v4)
		if len(args) > 0 {
			d.keys = args[1] // --zone ZONE
		}
		d.args = append(args, d.args...)
		return d
	}}
}

// local is a cell of a server that answers the zone itself, and forwards back
// what else it is asked or asks of its own: dnsloop may hear that.
func local(server, zone string, tools []string, start func(*host, forwarding)) cell {
	c := one(server, "answers `"+zone+".` itself", tools, ends, start, "--zone", zone)
	c.honest = "DL016"
	return c
}

// special are what only some servers do, and what no server does alone.
func special() []cell {
	rewritten := func(rule string) func(*host, forwarding) { return coreDNSWith("", "\trewrite "+rule+"\n") }
	corp := coreDNSWith("", "\ttemplate ANY ANY corp.example {\n\t\trcode NXDOMAIN\n\t}\n")
	unbound, bind, pdns := byName("Unbound"), byName("BIND, forward first"), byName("PowerDNS Recursor")
	resolved := byName("systemd-resolved")
	list := []cell{
		one("CoreDNS, rewriting", "adds a suffix, goes back", nil, loops, rewritten(`name regex (.*)\.$ {1}.inner.example. answer auto`)),
		one("CoreDNS, rewriting", "strips a label, goes back", nil, loops, rewritten(`name regex [^.]+\.(.+)\.$ {1} answer auto`)),
		one("CoreDNS, rewriting", "HINFO becomes A, goes back", nil, loops, rewritten("type HINFO A")),
		one("CoreDNS, rewriting", "adds a suffix, does not go back", nil, ends, rewritten(`name regex (.*)\.$ {1}.inner.example. answer auto`)),
		local("CoreDNS, template", "corp.example", nil, corp),
		one("CoreDNS, template", "answers another zone itself", nil, loops, corp),
		local("Unbound", "test", unbound.tools, unbound.start),
		local("Unbound", "home.arpa", unbound.tools, unbound.start),
		local("BIND, forward first", "10.in-addr.arpa", bind.tools, bind.start),
		local("PowerDNS Recursor", "10.in-addr.arpa", pdns.tools, pdns.start),
		local("systemd-resolved", "invalid", nil, resolved.start),
		one("Unbound, stub zone", "goes back with RD=0 and minimised names", unbound.tools, loops, unboundStub, "--zone", "corp.example"),
		one("PowerDNS Recursor, forward zone", "goes back with RD=0", pdns.tools, loops, recursorZone, "--zone", "corp.example"),
	}
	whole := one("CoreDNS, rewriting", "replaces whole names, goes back", nil, loops, rewritten("name regex .* constant.example. answer auto"))
	whole.honest = "DL016"
	return append(list, whole,
		cell{server: "systemd-resolved, on this host", behaviour: "forwards back", truth: loops, arrange: func(n *network) bed {
			a := n.host()
			resolved.start(a, forwarding{at: "127.0.0.53", to: []string{a.v4}})
			return to(a, "127.0.0.53")
		}},
		cell{server: "systemd-resolved, on this host", behaviour: "does not", truth: ends, honest: "DL003", arrange: func(n *network) bed {
			a, w := n.host(), n.host()
			w.world()
			resolved.start(a, forwarding{at: "127.0.0.53", to: []string{w.v4}})
			return to(a, "127.0.0.53")
		}},
		cell{server: "none", behaviour: "nothing listens", truth: nobody, honest: "DL007.*refused", args: brief, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			return to(a, b.v4)
		}},
		cell{server: "none", behaviour: "a black hole", truth: nobody, honest: "DL007.*silent", args: brief, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			b.drop("udp", 53)
			b.drop("tcp", 53)
			return to(a, b.v4)
		}},
		cell{server: "dnsmasq ⇄ Unbound", behaviour: "forward to each other", tools: []string{"dnsmasq", "unbound"}, truth: nobody,
			honest: "DL007", args: brief, arrange: func(n *network) bed {
				a, b, c := n.host(), n.host(), n.host()
				unbound.start(c, forwarding{at: c.v4, to: []string{b.v4}})
				byName("dnsmasq").start(b, forwarding{at: b.v4, to: []string{c.v4}})
				return to(a, b.v4)
			}},
		cell{server: "nft", behaviour: "port 53 is intercepted on this host and comes back", truth: loops, arrange: func(n *network) bed {
			a, w := n.host(), n.host()
			w.world()
			a.nft("table inet nat {\n\tchain output {\n\t\ttype nat hook output priority -100\n" +
				"\t\tip daddr " + w.v4 + " udp dport 53 redirect to :53\n\t\tip daddr " + w.v4 + " tcp dport 53 redirect to :53\n\t}\n}\n")
			return to(a, w.v4)
		}},
		cell{server: "nft", behaviour: "a service address, spread over two servers of which one goes back", tools: []string{"dnsmasq"},
			truth: loops, args: []string{"--probes", "32"}, arrange: func(n *network) bed {
				a, b, c, w := n.host(), n.host(), n.host(), n.host()
				w.world()
				byName("dnsmasq").start(b, forwarding{at: b.v4, to: []string{a.v4}})
				byName("dnsmasq").start(c, forwarding{at: c.v4, to: []string{w.v4}})
				const service = "10.53.0.100"
				rule := "\t\tip daddr " + service + " %s dport 53 dnat ip to numgen random mod 2 map { 0 : " + b.v4 + ", 1 : " + c.v4 + " }\n"
				a.nft("table inet nat {\n\tchain output {\n\t\ttype nat hook output priority -100\n" +
					fmt.Sprintf(rule, "udp") + fmt.Sprintf(rule, "tcp") + "\t}\n}\n")
				return to(a, service)
			}},
	)
}

// recursorZone is PowerDNS Recursor with a zone that it takes to be served
// there: it asks with RD=0.
func recursorZone(h *host, f forwarding) {
	h.file("recursor.conf", fmt.Sprintf("local-address=%s\nforward-zones=corp.example=%s\nallow-from=0.0.0.0/0\ndont-query=\n"+
		"socket-dir=/run\ndaemon=no\ndisable-syslog=yes\nthreads=1\nsetuid=root\nsetgid=root\n", f.at, strings.Join(f.to, ";")))
	h.serve(addr(f.at, 53), "pdns_recursor", "--config-dir="+h.dir)
}

// secured are servers that are asked over TLS or HTTPS, and such as ask so.
func secured() []cell {
	var list []cell
	for _, back := range []bool{true, false} {
		tr, behaviour := loops, "forwards back"
		if !back {
			tr, behaviour = ends, "does not"
		}
		// end is the host that the last hop asks.
		end := func(n *network, a *host) string {
			if back {
				return a.v4
			}
			w := n.host()
			w.world()
			return w.v4
		}
		for _, s := range []struct{ server, tool, scheme string }{
			{"CoreDNS, asked over TLS", "", "tls"},
			{"CoreDNS, asked over HTTPS", "", "https"},
			{"dnsdist, asked over TLS", "dnsdist", "tls"},
			{"dnsdist, asked over HTTPS", "dnsdist", "https"},
		} {
			c := cell{server: s.server, behaviour: behaviour, truth: tr, arrange: func(n *network) bed {
				a, b := n.host(), n.host()
				serve := b.coreDNSOver
				if s.tool != "" {
					serve = b.dnsdistOver
				}
				a.trust(serve(s.scheme, end(n, a)))
				return to(a, s.scheme+"://"+b.v4)
			}}
			if s.tool != "" {
				c.tools = []string{s.tool}
			}
			list = append(list, c)
		}
		for _, f := range []forwarder{
			{"stubby", []string{"stubby"}, stubby},
			{"Unbound", []string{"unbound"}, unboundTLS},
		} {
			list = append(list, cell{server: f.name + " → CoreDNS over TLS", tools: f.tools, behaviour: behaviour, truth: tr,
				arrange: func(n *network) bed {
					a, b, c := n.host(), n.host(), n.host()
					c.coreDNSOver("tls", end(n, a))
					f.start(b, forwarding{at: b.v4, to: []string{c.v4}})
					return to(a, b.v4)
				}})
		}
	}
	return append(list, cell{server: "CoreDNS, asked over TLS", behaviour: "forwards back, its certificate is not trusted", truth: loops,
		arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			b.coreDNSOver("tls", a.v4)
			return to(a, "tls://"+b.v4)
		}})
}

// trust has what starts on the host from now on trust a certificate, and no
// other.
func (h *host) trust(authority string) {
	h.t.Helper()
	write(h.t, filepath.Join("/etc/netns", h.ns, "ssl/certs/ca-certificates.crt"), read(h.t, authority))
}
