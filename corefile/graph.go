package corefile

import "net/netip"

// Graph is how names travel among the blocks of one file: from a forward to a
// listener of the same file, and on from the block that gets them there.
type Graph struct {
	file   File
	claims func(netip.Addr) bool
	*layout
}

// layout is what of a graph is the same for all names.
type layout struct {
	stanzas   []node     // in the file's order
	first     []int      // by block: the number of its first stanza
	doors     [][]int    // by stanza and upstream: the listener there, or nowhere
	listeners []Listener // those that an upstream is
}

// node is a stanza by its place in the file.
type node struct{ block, forward int }

// nowhere is the door of an upstream that is no listener of the file.
const nowhere = -1

// Graph returns the file's. claims says which addresses are the server's own
// where a block listens on every address: those that the stand-in holds, or a
// pod's loopback. An address that a listener names needs no claim.
// The graph is of the upstreams that are known by now: Resolve goes first.
func (f File) Graph(claims func(netip.Addr) bool) Graph {
	g := Graph{f, claims, &layout{}}
	numbers := map[Listener]int{}
	for i, b := range f.Blocks {
		g.first = append(g.first, len(g.stanzas))
		for j, s := range b.Forwards {
			g.stanzas = append(g.stanzas, node{i, j})
			doors := make([]int, len(s.To))
			for k, t := range s.To {
				doors[k] = nowhere
				l, ok := g.listener(t.Scheme, t.Addr)
				if !ok {
					continue
				}
				n, seen := numbers[l]
				if !seen {
					n = len(g.listeners)
					numbers[l] = n
					g.listeners = append(g.listeners, l)
				}
				doors[k] = n
			}
			g.doors = append(g.doors, doors)
		}
	}
	return g
}

// id is the number of the stanza that an upstream stands in.
func (g Graph) id(h Hop) int { return g.first[h.Block] + h.Forward }

// hop is an upstream of a stanza by the stanza's number.
func (g Graph) hop(id, to int) Hop {
	return Hop{g.stanzas[id].block, g.stanzas[id].forward, to}
}

// door is the listener that an upstream is, or nowhere.
func (g Graph) door(h Hop) int { return g.doors[g.id(h)][h.To] }

func (g Graph) to(h Hop) To {
	return g.file.Blocks[h.Block].Forwards[h.Forward].To[h.To]
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
	// Hops are the upstreams on the shortest way round, this one first, where
	// Fate is Self or Circle; for a Chain, this one alone. It is alone as well
	// in a Circle of a file that has more of them than ways are sought for.
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
	return g.paths(newJourney(g))
}

func (g Graph) paths(j *journey) []Path {
	var paths []Path
	for id, n := range g.stanzas {
		s := g.file.Blocks[n.block].Forwards[n.forward]
		for k := range s.To {
			for _, zone := range s.Zones {
				paths = append(paths, Path{Hop: g.hop(id, k), Zone: zone})
			}
		}
	}
	zones, under := byZone(paths)
	onward := make([][]edge, len(paths))
	for _, zone := range zones {
		j.enter(zone)
		for _, i := range under[zone] {
			j.judge(&paths[i])
			if door := g.door(paths[i].Hop); paths[i].Fate == Chain {
				onward[i] = j.at(door).edges
			}
		}
	}
	below := g.circlesBelow(j, paths, under)
	if len(below) > 0 {
		paths, onward = splice(paths, onward, below)
	}
	g.findLeads(paths, onward)
	return paths
}

// byZone returns the zones of paths, and the paths of each, by index.
func byZone(paths []Path) (zones []string, under map[string][]int) {
	under = map[string][]int{}
	for i, p := range paths {
		if under[p.Zone] == nil {
			zones = append(zones, p.Zone)
		}
		under[p.Zone] = append(under[p.Zone], i)
	}
	return zones, under
}

// named returns the zones that keys and forwards of the file name, each once.
func (f File) named() []string {
	var zones []string
	seen := zoneSet{}
	add := func(z string) {
		if !seen[z] {
			seen[z] = true
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

// circlesBelow returns, by the index of a chain, the circles that its upstream
// makes of zones below its own, maxPairs at most.
func (g Graph) circlesBelow(j *journey, paths []Path, under map[string][]int) map[int][]Path {
	circles, found := map[int][]Path{}, 0
	known := make([]zoneSet, len(g.stanzas))
	for _, zone := range g.file.named() {
		j.enter(zone)
		for above := range ancestors(zone) {
			asked, reached := -1, false // a stanza, and whether the zone gets there
			for _, i := range under[above] {
				if paths[i].Fate != Chain {
					continue
				}
				if id := g.id(paths[i].Hop); id != asked {
					n := g.stanzas[id]
					if known[id] == nil {
						known[id] = setOf(g.file.Blocks[n.block].Forwards[n.forward].Zones)
					}
					asked, reached = id, !known[id][zone] && g.file.reaches(n.block, n.forward, zone)
				}
				if !reached {
					continue
				}
				p := Path{Hop: paths[i].Hop, Zone: zone}
				if j.judge(&p); p.Fate == Circle || p.Fate == Self {
					circles[i] = append(circles[i], p)
					if found++; found == maxPairs {
						return circles
					}
				}
			}
		}
	}
	return circles
}

// splice puts more paths behind those that they belong to, by index.
func splice(paths []Path, onward [][]edge, more map[int][]Path) ([]Path, [][]edge) {
	var all []Path
	var edges [][]edge
	for i, p := range paths {
		all = append(append(all, p), more[i]...)
		edges = append(append(edges, onward[i]), make([][]edge, len(more[i]))...)
	}
	return all, edges
}

// findLeads finds the paths that chains go on by: those of the receiving
// stanza under the zone itself or, where that is not probed, the longest above.
func (g Graph) findLeads(paths []Path, onward [][]edge) {
	type place struct {
		stanza int
		zone   string
	}
	at := map[place][]int{}
	for i, p := range paths {
		k := place{g.id(p.Hop), p.Zone}
		at[k] = append(at[k], i)
	}
	for i := range paths {
		p := &paths[i]
		seen := map[int]bool{}
		for _, e := range onward[i] {
			if seen[e.to] {
				continue
			}
			seen[e.to] = true
			for zone := range ancestors(p.Zone) {
				if more := at[place{e.to, zone}]; more != nil {
					p.Leads = append(p.Leads, more...)
					break
				}
			}
		}
	}
}

// listener returns the listener that gets what is sent to an address: one that
// is bound to it, else one for every address if the address is the server's.
func (g Graph) listener(scheme string, addr netip.AddrPort) (Listener, bool) {
	ip := addr.Addr()
	if !ip.IsValid() {
		return Listener{}, false
	}
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
