package corefile

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// Graph is how names travel among the blocks of one file: from a forward to a
// listener of the same file, and on from the block that gets them there.
type Graph struct {
	file   File
	claims func(netip.Addr) bool
}

// Graph returns the file's. claims says which addresses are the server's own
// where a block listens on every address: those that the stand-in holds, or a
// pod's loopback. An address that a listener names needs no claim.
func (f File) Graph(claims func(netip.Addr) bool) Graph {
	return Graph{f, claims}
}

// Hop is an upstream by its place in the file: File.Blocks[Block],
// .Forwards[Forward], .To[To].
type Hop struct {
	Block, Forward, To int
}

// Fate is what the file itself says of the names of a zone that go to an
// upstream.
type Fate string

// The fates.
const (
	// Outside: the upstream is no listener of the file.
	Outside Fate = "outside"
	// Unasked: what the upstream is is not known (To.Reason).
	Unasked Fate = "unasked"
	// Self: the upstream is a listener of the block, and the same stanza gets
	// the names again (DL002).
	Self Fate = "self"
	// Circle: the upstream is another block's listener, and the names come
	// back to the stanza (DL010).
	Circle Fate = "circle"
	// Chain: the upstream is a listener of the file, and the names do not come
	// back (DL013).
	Chain Fate = "chain"
)

// Path is one upstream and zone with its fate.
type Path struct {
	Hop
	Zone string
	Fate Fate
	// Hops are the upstreams on the way round, this one first, where Fate is
	// Self or Circle; for a Chain, this one alone.
	Hops []Hop
	// Receivers are the blocks that get the names there, more than one where a
	// view decides. There is none where no block serves the zone there.
	Receivers []int
	// Doubt is a plugin on the way that may break a circle: it is not proven.
	Doubt *Doubt
	// Leads are the paths of a Chain's receivers, as indexes of what Paths
	// returned: the chain is as bad as the worst of them. There is none where
	// the receiver answers or refuses the names itself.
	Leads []int
}

// Paths returns the fate of every upstream under every zone of its stanza, in
// the order of the file. Zones below, which other parts of the file name, are
// added where a circle closes for them alone.
func (g Graph) Paths() []Path {
	var paths []Path
	below := g.file.named()
	for i, b := range g.file.Blocks {
		for j, s := range b.Forwards {
			for k := range s.To {
				for _, zone := range s.Zones {
					p := g.path(Hop{i, j, k}, zone)
					paths = append(paths, p)
					if p.Fate != Chain {
						continue
					}
					paths = append(paths, g.circlesBelow(p, below)...)
				}
			}
		}
	}
	for i := range paths {
		if paths[i].Fate == Chain {
			paths[i].Leads = g.leads(paths[i], paths)
		}
	}
	return paths
}

// named returns the zones that keys and forwards of the file name, each once.
func (f File) named() []string {
	var zones []string
	add := func(z string) {
		if !slices.Contains(zones, z) {
			zones = append(zones, z)
		}
	}
	for _, b := range f.Blocks {
		for _, e := range b.Endpoints {
			add(e.Zone)
		}
		for _, s := range b.Forwards {
			add(s.From)
		}
	}
	return zones
}

// circlesBelow returns the circles of zones below the zone of a chain.
func (g Graph) circlesBelow(p Path, zones []string) []Path {
	var circles []Path
	known := g.file.Blocks[p.Block].Forwards[p.Forward].Zones
	for _, z := range zones {
		if !dns.IsSubDomain(p.Zone, z) || slices.Contains(known, z) || !g.file.reaches(p.Block, p.Forward, z) {
			continue
		}
		if q := g.path(p.Hop, z); q.Fate == Circle || q.Fate == Self {
			circles = append(circles, q)
		}
	}
	return circles
}

// node is a stanza that names have come to.
type node struct{ block, forward int }

// edge leads to a stanza.
type edge struct {
	to    node
	doubt *Doubt
}

func (g Graph) to(h Hop) To {
	return g.file.Blocks[h.Block].Forwards[h.Forward].To[h.To]
}

func (g Graph) path(h Hop, zone string) Path {
	p := Path{Hop: h, Zone: zone, Fate: Outside, Hops: []Hop{h}}
	to := g.to(h)
	if !to.Addr.Addr().IsValid() || !g.file.Blocks[h.Block].Forwards[h.Forward].routed() {
		p.Fate = Unasked
		return p
	}
	l, ok := g.listener(to.Scheme, to.Addr)
	if !ok {
		if to.Reason != "" {
			p.Fate = Unasked
		}
		return p
	}
	name := sample(zone)
	p.Receivers = g.file.route(l, name)
	home := node{h.Block, h.Forward}
	// A way without doubt is looked for first.
	for _, doubtful := range []bool{false, true} {
		if hops, doubt, ok := g.wayHome(h, home, name, doubtful); ok {
			p.Hops, p.Doubt, p.Fate = hops, doubt, Circle
			if len(hops) == 1 {
				p.Fate = Self
			}
			return p
		}
	}
	p.Fate = Chain
	return p
}

// listener returns the listener that gets what is sent to an address: one that
// is bound to it, else one for every address if the address is the server's.
func (g Graph) listener(scheme string, addr netip.AddrPort) (Listener, bool) {
	ip := addr.Addr()
	switch { // the kernel takes these for loopback
	case ip == netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case ip == netip.IPv6Unspecified():
		ip = netip.IPv6Loopback()
	}
	l := Listener{scheme, netip.AddrPortFrom(ip, addr.Port())}
	if g.file.listens(l) {
		return l, true
	}
	l = wildcardOf(l)
	return l, g.file.listens(l) && g.claims != nil && g.claims(ip)
}

// wildcardOf is the listener on every address of l's family.
func wildcardOf(l Listener) Listener {
	every := wildcard(l.Scheme, l.Addr.Port())
	if l.Addr.Addr().Is4() {
		return every[0]
	}
	return every[1]
}

func (f File) listens(l Listener) bool {
	return f.routes[l] != nil
}

// edges returns the stanzas that a name sent to an upstream comes to.
func (g Graph) edges(h Hop, name string) []edge {
	to := g.to(h)
	if !to.Addr.Addr().IsValid() {
		return nil
	}
	l, ok := g.listener(to.Scheme, to.Addr)
	if !ok {
		return nil
	}
	return g.arrivals(l, name)
}

// arrivals returns the stanzas that a name comes to which arrives at a
// listener.
func (g Graph) arrivals(l Listener, name string) []edge {
	var edges []edge
	var choice *Doubt // which block gets the name
	for _, b := range g.file.route(l, name) {
		if view := g.file.Blocks[b].view; view != nil && choice == nil {
			choice = &Doubt{*view, "view"}
		}
		steps, _ := g.file.Blocks[b].steps(name)
		for _, s := range steps {
			e := edge{node{b, s.forward}, s.doubt}
			if choice != nil {
				e.doubt = choice
			}
			edges = append(edges, e)
		}
	}
	return edges
}

// wayHome finds the shortest way from an upstream to a stanza. Where doubtful
// is false only ways without a doubt count.
func (g Graph) wayHome(from Hop, home node, name string, doubtful bool) ([]Hop, *Doubt, bool) {
	type way struct {
		hops  []Hop
		doubt *Doubt
	}
	seen := map[node]bool{}
	for ways := []way{{hops: []Hop{from}}}; len(ways) > 0; ways = ways[1:] {
		w := ways[0]
		for _, e := range g.edges(w.hops[len(w.hops)-1], name) {
			doubt := w.doubt
			if e.doubt != nil && doubt == nil {
				doubt = e.doubt
			}
			if doubt != nil && !doubtful {
				continue
			}
			if e.to == home {
				return w.hops, doubt, true
			}
			if seen[e.to] {
				continue
			}
			seen[e.to] = true
			for k := range g.file.Blocks[e.to.block].Forwards[e.to.forward].To {
				next := append(slices.Clone(w.hops), Hop{e.to.block, e.to.forward, k})
				ways = append(ways, way{next, doubt})
			}
		}
	}
	return nil, nil, false
}

// leads returns the paths that a chain goes on by: those of the receiving
// stanza under the zone itself or, where that is not probed, the longest above.
func (g Graph) leads(p Path, paths []Path) []int {
	var leads []int
	for _, e := range g.edges(p.Hop, sample(p.Zone)) {
		best := ""
		for _, q := range paths {
			if (node{q.Block, q.Forward}) == e.to && dns.IsSubDomain(q.Zone, p.Zone) && len(q.Zone) > len(best) {
				best = q.Zone
			}
		}
		for i, q := range paths {
			if (node{q.Block, q.Forward}) == e.to && q.Zone == best && !slices.Contains(leads, i) {
				leads = append(leads, i)
			}
		}
	}
	return leads
}

// Homecoming is what a probe that came home to a listener of the file means.
type Homecoming struct {
	// Receivers are the blocks that get the name there; see Path.
	Receivers []int
	// Loop says that the names come to the stanza that sent the probe, or to
	// another that sends them to the same upstream: they go round. Where it is
	// false the probe shows a chain through this server (DL013).
	Loop  bool
	Doubt *Doubt // a plugin on the way that may break the loop
}

// Return judges a probe under a zone that was sent to an upstream and arrived
// at a socket, whose address is as bound.
func (g Graph) Return(sent Hop, zone, scheme string, at netip.AddrPort) Homecoming {
	l := Listener{scheme, at}
	if !g.file.listens(l) {
		l = wildcardOf(l) // bound one by one, or chosen by the kernel
	}
	name := sample(zone)
	h := Homecoming{Receivers: g.file.route(l, name)}
	to := g.to(sent)
	for _, doubtful := range []bool{false, true} {
		for _, e := range g.arrivals(l, name) {
			if e.doubt != nil && !doubtful {
				continue
			}
			if ok, doubt := g.asks(e.to, to, name, doubtful); ok {
				h.Loop, h.Doubt = true, e.doubt
				if h.Doubt == nil {
					h.Doubt = doubt
				}
				return h
			}
		}
	}
	return h
}

// asks reports whether a name at a stanza can go on to an upstream, from there
// or from stanzas that it leads to.
func (g Graph) asks(from node, to To, name string, doubtful bool) (bool, *Doubt) {
	for k, t := range g.file.Blocks[from.block].Forwards[from.forward].To {
		if t.Addr == to.Addr && t.Scheme == to.Scheme {
			return true, nil
		}
		for i, b := range g.file.Blocks {
			for j, s := range b.Forwards {
				if !slices.ContainsFunc(s.To, func(t To) bool { return t.Addr == to.Addr && t.Scheme == to.Scheme }) {
					continue
				}
				if _, doubt, ok := g.wayHome(Hop{from.block, from.forward, k}, node{i, j}, name, doubtful); ok {
					return true, doubt
				}
			}
		}
	}
	return false, nil
}
