package corefile

import "slices"

// routes are the blocks that serve a zone on a listener, in the file's order.
type routes map[Listener]map[string][]int

func (f *File) findRoutes() {
	type door struct {
		scheme string
		port   uint16
	}
	f.routes = routes{}
	for i, b := range f.Blocks {
		behind := map[door][]string{}
		for _, e := range b.Endpoints {
			d := door{e.Scheme, e.Port}
			behind[d] = append(behind[d], e.Zone)
		}
		for _, l := range b.Listeners {
			if f.routes[l] == nil {
				f.routes[l] = map[string][]int{}
			}
			for _, zone := range behind[door{l.Scheme, l.Addr.Port()}] {
				f.routes[l][zone] = append(f.routes[l][zone], i)
			}
		}
	}
}

// route returns the blocks that may get a name which arrives at a listener:
// those with the longest zone that holds it (core/dnsserver/server.go,
// ServeDNS). There is more than one where a view decides.
func (f File) route(l Listener, name string) []int {
	zones := f.routes[l]
	if zones == nil {
		return nil
	}
	var blocks []int
	for zone := range ancestors(name) {
		for _, i := range zones[zone] {
			blocks = append(blocks, i)
			if f.Blocks[i].view == nil {
				return blocks
			}
		}
	}
	return blocks
}

// routed reports whether CoreDNS chooses the stanza by the name: external
// plugins have rules of their own.
func (s Forward) routed() bool {
	return s.Plugin == pluginForward || s.Plugin == pluginGRPC
}

// step is a stanza that a name comes to, and what may keep it from there.
type step struct {
	forward int
	doubt   *Doubt
}

// Doubt is a plugin that may keep names from a forward.
type Doubt struct {
	Pos
	Plugin string // view, acl, rewrite, tsig, next of forward, …
}

// steps returns the stanzas of a block that a name comes to. The taker is the
// plugin that answers it before, if one does.
func (b Block) steps(name string) ([]step, *taker) {
	var doubt *Doubt
	for i, t := range b.takers {
		if !t.takes(name) {
			continue
		}
		if t.certain {
			return nil, &b.takers[i]
		}
		if doubt == nil {
			doubt = &Doubt{t.Pos, t.plugin}
		}
	}
	var steps []step
	for _, i := range b.sieve.taking(name) {
		s := b.Forwards[i]
		steps = append(steps, step{i, doubt})
		if !s.Next {
			break
		}
		if doubt == nil {
			doubt = &Doubt{s.Pos, "next of forward"}
		}
	}
	return steps, nil
}

// Alike reports whether the file treats a fresh name under one zone as it does
// one under the other: the same blocks get both at every listener, the same
// stanzas take them, and the same plugins answer or doubt them.
func (f File) Alike(one, other string) bool {
	a, b := sample(one), sample(other)
	for l := range f.routes {
		if !slices.Equal(f.route(l, a), f.route(l, b)) {
			return false
		}
	}
	for _, block := range f.Blocks {
		if !slices.Equal(block.sieve.taking(a), block.sieve.taking(b)) ||
			slices.ContainsFunc(block.takers, func(t taker) bool { return t.takes(a) != t.takes(b) }) {
			return false
		}
	}
	return true
}
