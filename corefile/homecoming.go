package corefile

import (
	"net/netip"
	"slices"
)

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
	j := newJourney(g)
	j.enter(zone)
	a := j.arrive(l)
	h := Homecoming{Receivers: a.receivers}
	for _, doubtful := range []bool{false, true} {
		for _, e := range a.edges {
			if e.doubt != nil && !doubtful {
				continue
			}
			if doubt, ok := j.asks(e.to, g.to(sent), doubtful); ok {
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

// asks reports whether the name at a stanza can go on to an upstream, from
// there or from stanzas that it leads to.
func (j *journey) asks(from int, to To, doubtful bool) (*Doubt, bool) {
	same := func(t To) bool { return t.Addr == to.Addr && t.Scheme == to.Scheme }
	goal := func(stanza int) bool {
		n := j.stanzas[stanza]
		return slices.ContainsFunc(j.file.Blocks[n.block].Forwards[n.forward].To, same)
	}
	if goal(from) {
		return nil, true
	}
	_, doubt, ok := j.search(from, -1, doubtful, func(int) bool { return true }, goal)
	return doubt, ok
}
