package e2e

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// The servers that are put into every common situation.
var forwarders = []forwarder{
	{"dnsmasq", []string{"dnsmasq"}, dnsmasqWith()},
	{"Unbound", []string{"unbound"}, unboundWith(`module-config: "iterator"`)},
	{"Unbound, validating", []string{"unbound"}, unboundWith(`module-config: "validator iterator"`, `trust-anchor: "`+rootAnchor+`"`)},
	{"Unbound, mixing case", []string{"unbound"}, unboundWith(`module-config: "iterator"`, "use-caps-for-id: yes")},
	{"BIND, forward only", []string{"named"}, bindWith("only", "no")},
	{"BIND, forward only, validating", []string{"named"}, bindWith("only", "auto")},
	{"BIND, forward first", []string{"named"}, bindWith("first", "no")},
	{"BIND, forward first, validating", []string{"named"}, bindWith("first", "auto")},
	{"Knot Resolver, FORWARD", []string{"kresd"}, knotWith("FORWARD")},
	{"Knot Resolver, STUB", []string{"kresd"}, knotWith("STUB")},
	{"PowerDNS Recursor", []string{"pdns_recursor"}, recursor},
	{"dnsdist", []string{"dnsdist"}, dnsdistWith("leastOutstanding", false)},
	{"systemd-resolved", nil, resolvedWith("no")},
	{"systemd-resolved, validating", nil, resolvedWith("yes")},
	{"CoreDNS", nil, coreDNSWith("", "")},
	{"CoreDNS, caching", nil, coreDNSWith("", "\tcache\n")},
}

// byName is the forwarder of that name.
func byName(name string) forwarder {
	return forwarders[slices.IndexFunc(forwarders, func(f forwarder) bool { return f.name == name })]
}

// cells lists the whole matrix, in the order of its table.
func cells() []cell {
	var list []cell
	for _, f := range forwarders {
		list = append(list, f.common()...)
	}
	return slices.Concat(list, choices(), filters(), slowness(), special(), secured(), unseen(), chains())
}

// bogus is a validating server that passes on what it finds bogus as a failure
// even where the question says CD=1.
const bogus = "systemd-resolved, validating"

// common are the situations that every forwarder is put into.
func (f forwarder) common() []cell {
	list := []cell{
		{behaviour: "forwards back", truth: loops, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			f.start(b, forwarding{at: b.v4, to: []string{a.v4}})
			return to(a, b.v4)
		}},
		{behaviour: "does not", truth: ends, arrange: func(n *network) bed {
			a, b, w := n.host(), n.host(), n.host()
			w.world()
			f.start(b, forwarding{at: b.v4, to: []string{w.v4}})
			return to(a, b.v4)
		}},
		{behaviour: "over TCP alone", truth: loops, of: overTCP, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			f.start(b, forwarding{at: b.v4, to: []string{a.v4}})
			b.otherOverUDP()
			return to(a, b.v4)
		}},
		{behaviour: "its forwarder is dead", truth: nobody, honest: "DL007", args: brief, arrange: func(n *network) bed {
			a, b, d := n.host(), n.host(), n.host()
			f.start(b, forwarding{at: b.v4, to: []string{d.v4}})
			return to(a, b.v4)
		}},
		{behaviour: "its forwarder is silent", truth: nobody, honest: "DL007", args: brief, arrange: func(n *network) bed {
			a, b, d := n.host(), n.host(), n.host()
			d.drop("udp", 53)
			d.drop("tcp", 53)
			f.start(b, forwarding{at: b.v4, to: []string{d.v4}})
			return to(a, b.v4)
		}},
		{behaviour: "IPv6: forwards back", truth: loops, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			f.start(b, forwarding{at: b.v6, to: []string{a.v6}})
			return to(a, b.v6)
		}},
		{behaviour: "asked over IPv4, forwards back over IPv6", truth: loops, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			f.start(b, forwarding{at: b.v4, to: []string{a.v6}})
			return to(a, b.v4)
		}},
	}
	if f.zoned() {
		list = append(list, cell{behaviour: "one zone goes back", truth: loops, of: inCorp, arrange: func(n *network) bed {
			a, b, w := n.host(), n.host(), n.host()
			w.world()
			f.start(b, forwarding{at: b.v4, to: []string{w.v4}, zone: "corp.example", zoneTo: a.v4})
			return bed{server: a, keys: ". corp.example", upstream: b.v4, args: []string{"--zone", ".", "--zone", "corp.example", b.v4}}
		}}, cell{behaviour: "one zone goes back, which is not asked for", truth: ends, arrange: func(n *network) bed {
			a, b, w := n.host(), n.host(), n.host()
			w.world()
			f.start(b, forwarding{at: b.v4, to: []string{w.v4}, zone: "corp.example", zoneTo: a.v4})
			return to(a, b.v4)
		}})
	}
	for i := range list {
		list[i].server, list[i].tools = f.name, f.tools
		if f.name == bogus && list[i].behaviour == "does not" {
			list[i].honest, list[i].args = "DL007.*SERVFAIL", brief
		}
	}
	return list
}

// overTCP is the truth where TCP alone comes back, inCorp where one zone does.
func overTCP(_, transport string) bool { return transport == "tcp" }
func inCorp(zone, _ string) bool       { return zone == "corp.example." }

// zoned says whether the server can send one zone elsewhere without more than
// its configuration file; resolved needs a link for each.
func (f forwarder) zoned() bool {
	return f.name != "systemd-resolved" && f.name != bogus
}

// brief ends a run early whose end is known to be unknown.
var brief = []string{"--timeout", "4s"}

// otherOverUDP has what the network asks of the host's port 53 over UDP
// answered by another server, which answers itself.
func (h *host) otherOverUDP() {
	h.t.Helper()
	const corefile = ".:5300 {\n\tchaos\n\ttemplate ANY ANY {\n\t\trcode NXDOMAIN\n" +
		"\t\tauthority \". 60 IN SOA ns.invalid. root.invalid. 1 60 60 60 60\"\n\t}\n}\n"
	h.serve(addr(h.v4, 5300), coreDNSBin, "-conf", h.file("over-udp", corefile))
	h.nft("table inet other {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority -100\n" +
		"\t\tiifname eth0 udp dport 53 redirect to :5300\n\t}\n}\n")
}

// oneOfThree puts a forwarder before three others, of which the place-th (from
// 0) is the server itself.
func oneOfThree(f forwarder, place int) func(n *network) bed {
	return func(n *network) bed {
		a, b, w1, w2 := n.host(), n.host(), n.host(), n.host()
		w1.world()
		w2.world()
		f.start(b, forwarding{at: b.v4, to: slices.Insert([]string{w1.v4, w2.v4}, place, a.v4)})
		return to(a, b.v4)
	}
}

// settle asks a server some questions from the host, which does not listen, so
// that the server comes to know its forwarders.
func (h *host) settle(server string) {
	h.t.Helper()
	if err := h.inside(func() error {
		c := dns.Client{Timeout: patience}
		for i := range 30 {
			if _, _, err := c.Exchange(new(dns.Msg).SetQuestion(fmt.Sprintf("settle%d.example.", i), dns.TypeA), addr(server, 53)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
}

// choices are the ways servers choose among three forwarders, one of which is
// the server itself.
func choices() []cell {
	// Two thirds to the power of 64: what spreads evenly is found for certain,
	// what an ordinary run finds is the soak's to measure.
	many := []string{"--probes", "32"}
	thorough := []string{"--thorough", "--timeout", "30s"}
	const asleep = "that an upstream does not use now"
	list := []cell{}
	add := func(f forwarder, behaviour string, place int, tr truth, honest string, args []string) {
		list = append(list, cell{server: f.name, tools: f.tools, behaviour: behaviour, truth: tr, honest: honest, args: args,
			arrange: oneOfThree(f, place)})
	}
	const third = "one of three goes back, "
	// settled is a server that stays with the forwarder that it found best: what
	// is true before it was asked anything, and of a thorough run after that.
	settled := func(f forwarder, before, after truth) {
		honest := map[truth]string{hidden: asleep}
		add(f, third+"it has not been asked yet", 1, before, honest[before], nil)
		list[len(list)-1].fresh = true
		add(f, third+"it has settled on another", 1, hidden, asleep, nil)
		add(f, third+"it has settled on another, `--thorough`", 1, after, honest[after], thorough)
		for i := range list[len(list)-2:] {
			c := &list[len(list)-2+i]
			arrange := c.arrange
			c.arrange = func(n *network) bed {
				b := arrange(n)
				b.server.settle(b.upstream)
				return b
			}
		}
	}
	// dnsmasq asks them all again every 10 s or 50 questions. BIND, Knot and the
	// Recursor ask the fastest, others seldom, and forget slowly.
	settled(byName("dnsmasq"), loops, loops)
	settled(byName("BIND, forward only"), hidden, hidden)
	settled(byName("Knot Resolver, FORWARD"), hidden, hidden)
	settled(byName("Knot Resolver, STUB"), hidden, hidden)
	settled(byName("PowerDNS Recursor"), loops, hidden)
	add(byName("dnsdist"), third+"`leastOutstanding`, not asked yet", 1, loops, "", many)
	list[len(list)-1].fresh = true
	add(forwarder{"dnsmasq", []string{"dnsmasq"}, dnsmasqWith("--all-servers")}, third+"`--all-servers`", 2, loops, "", nil)
	add(forwarder{"dnsmasq", []string{"dnsmasq"}, dnsmasqWith("--strict-order")}, third+"`--strict-order`, listed last", 2, hidden, asleep, nil)
	add(byName("Unbound"), third+"by round trip", 1, loops, "", many)
	add(byName("systemd-resolved"), third+"listed first", 0, loops, "", nil)
	add(byName("systemd-resolved"), third+"listed last", 2, hidden, asleep, nil)
	for _, p := range []struct{ policy, behaviour string }{
		{"roundrobin", third + "`roundrobin`"}, {"wrandom", third + "`wrandom`"},
		{"whashed", third + "`whashed`"}, {"chashed", third + "`chashed`"},
	} {
		add(forwarder{"dnsdist", []string{"dnsdist"}, dnsdistWith(p.policy, false)}, p.behaviour, 1, loops, "", many)
	}
	add(forwarder{"dnsdist", []string{"dnsdist"}, dnsdistWith("firstAvailable", false)}, third+"`firstAvailable`, listed first", 0, loops, "", nil)
	add(forwarder{"dnsdist", []string{"dnsdist"}, dnsdistWith("firstAvailable", false)}, third+"`firstAvailable`, listed last", 2, hidden, asleep, nil)
	checked := forwarder{"dnsdist", []string{"dnsdist"}, dnsdistWith("roundrobin", true)}
	add(checked, third+"its health check has that one down", 1, hidden, asleep, nil)
	add(checked, third+"its health check has that one down, `--thorough`", 1, loops, "", thorough)
	for _, p := range []string{"random", "round_robin"} {
		add(forwarder{"CoreDNS", nil, coreDNSWith("\t\tpolicy "+p+"\n", "")}, third+"`"+p+"`", 1, loops, "", many)
	}
	sequential := forwarder{"CoreDNS", nil, coreDNSWith("\t\tpolicy sequential\n", "")}
	add(sequential, third+"`sequential`, listed first", 0, loops, "", nil)
	add(sequential, third+"`sequential`, listed last", 2, hidden, asleep, nil)
	list = append(list, cell{server: "dnsdist", tools: []string{"dnsdist"}, behaviour: "forwards back, its health check has that down",
		truth: loops, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			checked.start(b, forwarding{at: b.v4, to: []string{a.v4}})
			return to(a, b.v4)
		}})
	return list
}

// filters are loops that HINFO questions do not go round.
func filters() []cell {
	var list []cell
	for _, f := range []struct{ behaviour, rule string }{
		{"HINFO is refused, the rest comes back", "\tacl {\n\t\tblock type HINFO\n\t}\n"},
		{"HINFO is dropped, the rest comes back", "\tacl {\n\t\tdrop type HINFO\n\t}\n"},
		{"HINFO is answered NXDOMAIN, the rest comes back", "\ttemplate ANY HINFO {\n\t\trcode NXDOMAIN\n\t}\n"},
	} {
		filter := coreDNSWith("", f.rule)
		list = append(list, cell{server: "CoreDNS", behaviour: f.behaviour, truth: loops, arrange: func(n *network) bed {
			a, b := n.host(), n.host()
			filter(b, forwarding{at: b.v4, to: []string{a.v4}})
			return to(a, b.v4)
		}})
		for _, name := range []string{"dnsmasq", "Unbound, validating", "BIND, forward only", "Knot Resolver, FORWARD",
			"PowerDNS Recursor", "dnsdist", "systemd-resolved"} {
			s := byName(name)
			list = append(list, cell{server: name + " → CoreDNS", tools: s.tools, behaviour: f.behaviour, truth: loops,
				arrange: func(n *network) bed {
					a, b, c := n.host(), n.host(), n.host()
					filter(c, forwarding{at: c.v4, to: []string{a.v4}})
					s.start(b, forwarding{at: b.v4, to: []string{c.v4}})
					return to(a, b.v4)
				}})
		}
	}
	return list
}

// chains are loops through several servers, each another.
func chains() []cell {
	var list []cell
	for _, names := range [][]string{
		{"dnsmasq", "Unbound"},
		{"CoreDNS", "BIND, forward only"},
		{"systemd-resolved", "dnsmasq"},
		{"Knot Resolver, FORWARD", "Unbound, validating"},
		{"dnsdist", "PowerDNS Recursor"},
		{"dnsmasq", "Unbound", "BIND, forward only"},
		{"systemd-resolved", "CoreDNS", "Knot Resolver, STUB"},
		{"dnsdist", "BIND, forward first", "PowerDNS Recursor"},
		{"dnsmasq", "Unbound", "BIND, forward only", "CoreDNS"},
		{"systemd-resolved", "dnsdist", "PowerDNS Recursor", "Knot Resolver, FORWARD"},
	} {
		var c cell
		for i, name := range names {
			if i > 0 {
				c.server += " → "
			}
			c.server += name
			c.tools = append(c.tools, byName(name).tools...)
		}
		build := func(n *network, end func(a *host) string) bed {
			a := n.host()
			next := end(a)
			for _, name := range slices.Backward(names) {
				h := n.host()
				byName(name).start(h, forwarding{at: h.v4, to: []string{next}})
				next = h.v4
			}
			return to(a, next)
		}
		back, away := c, c
		back.behaviour, back.truth = fmt.Sprintf("a chain of %d, back", len(names)), loops
		back.arrange = func(n *network) bed { return build(n, func(a *host) string { return a.v4 }) }
		away.behaviour, away.truth = fmt.Sprintf("a chain of %d, to its end", len(names)), ends
		away.arrange = func(n *network) bed {
			return build(n, func(*host) string {
				w := n.host()
				w.world()
				return w.v4
			})
		}
		list = append(list, back, away)
	}
	return list
}
