package corefile

import (
	"slices"

	"github.com/miekg/dns"
)

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
	for off, end := 0, false; ; off, end = dns.NextLabel(name, off) {
		zone := name[off:]
		if end {
			zone = "."
		}
		for _, i := range zones[zone] {
			blocks = append(blocks, i)
			if f.Blocks[i].view == nil {
				return blocks
			}
		}
		if end {
			return blocks
		}
	}
}

// matches reports whether a stanza takes a name below its zone (Forward.match
// in plugin/forward/forward.go).
func (s Forward) matches(name string) bool {
	return dns.IsSubDomain(s.From, name) && !covers(s.Except, name)
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
	for i, s := range b.Forwards {
		if !s.routed() || !s.matches(name) {
			continue
		}
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

// findZones finds the zones of each stanza, and says which stanza never gets
// a name.
func (f *File) findZones() {
	f.findRoutes()
	for i := range f.Blocks {
		b := &f.Blocks[i]
		for j := range b.Forwards {
			s := &b.Forwards[j]
			for _, e := range b.Endpoints {
				zone := e.Zone
				if dns.IsSubDomain(zone, s.From) {
					zone = s.From
				}
				if !slices.Contains(s.Zones, zone) && f.reaches(i, j, zone) {
					s.Zones = append(s.Zones, zone)
				}
			}
			if len(s.Zones) == 0 {
				f.Problems = append(f.Problems, Problem{s.Pos, printable(s.Plugin + " never gets a name: " + f.whyNot(i, j))})
			}
		}
	}
}

// reaches reports whether names of a zone that arrive at the block come to the
// stanza.
func (f File) reaches(block, forward int, zone string) bool {
	b := f.Blocks[block]
	name := sample(zone)
	s := b.Forwards[forward]
	if !s.routed() {
		return true
	}
	steps, _ := b.steps(name)
	here := slices.ContainsFunc(steps, func(s step) bool { return s.forward == forward })
	if !here || len(b.Listeners) == 0 {
		return here
	}
	return slices.ContainsFunc(b.Listeners, func(l Listener) bool { return slices.Contains(f.route(l, name), block) })
}

// whyNot says what takes the names that a stanza is for.
func (f File) whyNot(block, forward int) string {
	b := f.Blocks[block]
	s := b.Forwards[forward]
	for _, e := range b.Endpoints {
		zone := e.Zone
		if dns.IsSubDomain(zone, s.From) {
			zone = s.From
		}
		name := sample(zone)
		steps, t := b.steps(name)
		switch {
		case !dns.IsSubDomain(s.From, name):
			return "the block serves no zone within " + s.From
		case t != nil:
			return t.plugin + " at " + t.String() + " answers " + zone
		case len(steps) > 0 && steps[0].forward != forward:
			return "the forward at " + b.Forwards[steps[0].forward].Pos.String() + " takes " + zone
		case len(steps) == 0:
			return "except leaves nothing of " + zone
		}
	}
	return "another block takes its zones"
}
