package corefile

import (
	"fmt"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/spelling"
)

// zoneSet holds zones, fully qualified and in lower case.
type zoneSet map[string]bool

func setOf(zones []string) zoneSet {
	set := make(zoneSet, len(zones))
	for _, z := range zones {
		set[z] = true
	}
	return set
}

// hold reports whether one of the zones holds the name.
func (z zoneSet) hold(name string) bool {
	if len(z) == 0 {
		return false
	}
	for zone := range ancestors(name) {
		if z[zone] {
			return true
		}
	}
	return false
}

// ancestors yields a name and those above it, the root last.
func ancestors(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for off, end := 0, name == "."; !end; off, end = dns.NextLabel(name, off) {
			if !yield(name[off:]) {
				return
			}
		}
		yield(".")
	}
}

// sieve finds the stanzas of a block that take a name.
type sieve struct {
	from   map[string][]int // stanzas that the name chooses, by their zone
	except []zoneSet        // by stanza
}

func newSieve(forwards []Forward) sieve {
	s := sieve{map[string][]int{}, make([]zoneSet, len(forwards))}
	for i, f := range forwards {
		if f.routed() {
			s.from[f.From] = append(s.from[f.From], i)
			s.except[i] = setOf(f.Except)
		}
	}
	return s
}

// taking returns the stanzas whose zone holds the name and that do not except
// it, in their order (Forward.match in plugin/forward/forward.go).
func (s sieve) taking(name string) []int {
	var all []int
	for zone := range ancestors(name) {
		for _, i := range s.from[zone] {
			if !s.except[i].hold(name) {
				all = append(all, i)
			}
		}
	}
	slices.Sort(all)
	return all
}

// maxPairs is how many zones all stanzas may have, each counted for every
// upstream of the stanza: what is checked.
const maxPairs = 1 << 18

// findZones finds the zones of each stanza, and says which stanza never gets
// a name. The error wraps ErrLimit.
func (f *File) findZones() error {
	f.findRoutes()
	pairs := 0
	for i := range f.Blocks {
		b := &f.Blocks[i]
		b.sieve = newSieve(b.Forwards)
		if err := f.findBlockZones(i, &pairs); err != nil {
			return err
		}
		for j, s := range b.Forwards {
			if len(s.Zones) == 0 {
				f.Problems = append(f.Problems, Problem{s.Pos, spelling.Printable(s.Plugin + " never gets a name: " + f.whyNot(i, j))})
			}
		}
	}
	return nil
}

// findBlockZones finds the zones of each stanza of a block: the zones of its
// keys or, where the stanza's own zone is below one of these, that one.
func (f *File) findBlockZones(block int, pairs *int) error {
	b := &f.Blocks[block]
	seen := make([]zoneSet, len(b.Forwards))
	add := func(forward int, zone string) {
		s := &b.Forwards[forward]
		if seen[forward] == nil {
			seen[forward] = zoneSet{}
		}
		if !seen[forward][zone] {
			seen[forward][zone] = true
			s.Zones = append(s.Zones, zone)
			*pairs += len(s.To)
		}
	}
	below, unrouted := b.ownZones()
	keys := zoneSet{}
	for _, e := range b.Endpoints {
		if keys[e.Zone] {
			continue // at another port
		}
		keys[e.Zone] = true
		for _, s := range f.arriving(block, e.Zone) {
			add(s.forward, e.Zone)
		}
		for _, j := range below[e.Zone] {
			if from := b.Forwards[j].From; !seen[j][from] && f.reaches(block, j, from) {
				add(j, from)
			}
		}
		for _, j := range unrouted {
			if from := b.Forwards[j].From; dns.IsSubDomain(e.Zone, from) {
				add(j, from)
			} else {
				add(j, e.Zone)
			}
		}
		if *pairs > maxPairs {
			return fmt.Errorf("%s: %w: over %d pairs of an upstream and a zone", b.Pos, ErrLimit, maxPairs)
		}
	}
	return nil
}

// ownZones returns the stanzas whose zone is below others, by these, and the
// stanzas that are not chosen by the name.
func (b Block) ownZones() (below map[string][]int, unrouted []int) {
	below = map[string][]int{}
	for j, s := range b.Forwards {
		if !s.routed() {
			unrouted = append(unrouted, j)
			continue
		}
		for zone := range ancestors(s.From) {
			if zone != s.From {
				below[zone] = append(below[zone], j)
			}
		}
	}
	return below, unrouted
}

// reaches reports whether names of a zone that arrive at the block come to the
// stanza, which is one that the name chooses.
func (f File) reaches(block, forward int, zone string) bool {
	return slices.ContainsFunc(f.arriving(block, zone), func(s step) bool { return s.forward == forward })
}

// arriving returns the stanzas that names of a zone come to at a block: none
// where another block gets them at each of its listeners.
func (f File) arriving(block int, zone string) []step {
	b := f.Blocks[block]
	name := sample(zone)
	steps, _ := b.steps(name)
	if len(steps) == 0 || len(b.Listeners) == 0 {
		return steps
	}
	if slices.ContainsFunc(b.Listeners, func(l Listener) bool { return slices.Contains(f.route(l, name), block) }) {
		return steps
	}
	return nil
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
