package forwarders

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// views reads the zones of each view, or of the file where there is no view. What
// a view does not say itself is said by the options.
func (n *named) views() error {
	views := all(n.top, "view")
	zones := all(n.top, "zone")
	if len(views) > 0 && len(zones) > 0 {
		return errorf(zones[0].Pos, "expected all zones in views, since there are views")
	}
	switch {
	case len(views) == 0:
		_, err := n.view(n.top)
		return err
	case len(views) > maxViews:
		return fmt.Errorf("%s: %w: over %d views", views[0].Pos, ErrLimit, maxViews)
	}
	for _, v := range views {
		block, ok := v.block()
		if !ok {
			return errorf(v.Pos, "expected view NAME { … }")
		}
		if class := v.word(2); class == "" || class == "in" {
			to, err := n.view(block)
			if err != nil {
				return err
			}
			n.config.Views = append(n.config.Views, n.asView(v.word(1), block, to))
		}
	}
	return nil
}

// taken is what a view does with the names of its zones.
type taken struct {
	forwards []Forward
	to       map[string][]Upstream // who is asked, by zone; nobody where it answers by itself
	seen     map[string]Pos        // where a zone's servers are listed
}

// view reads what one view forwards, and whom it asks by zone. One without
// recursion forwards nothing for its clients.
func (n *named) view(block []statement) (map[string][]Upstream, error) {
	find := func(word string) (statement, bool, error) {
		s, ok, err := one(block, word)
		if !ok && err == nil {
			s, ok, err = one(n.options, word)
		}
		return s, ok, err
	}
	recursion, _, err := find("recursion")
	if err != nil {
		return nil, err
	}
	global, hasGlobal, err := find("forwarders")
	if err != nil {
		return nil, err
	}
	found := taken{to: map[string][]Upstream{}, seen: map[string]Pos{}}
	if hasGlobal {
		found.seen["."] = global.Pos
		if err := n.zone(&found, global.Pos, ".", global, n.port); err != nil {
			return nil, err
		}
	}
	for _, z := range all(block, "zone") {
		body, ok := z.block()
		if !ok {
			continue
		}
		if err := n.zoneBody(&found, z, body); err != nil {
			return nil, err
		}
	}
	if recursion.word(1) == "no" || recursion.word(1) == "false" || recursion.word(1) == "0" {
		return nil, nil
	}
	for _, f := range found.forwards {
		if err := n.add(f); err != nil {
			return nil, err
		}
	}
	return found.to, nil
}

// add adds what a view forwards; views often have it from the same lines.
func (n *named) add(f Forward) error {
	same := func(o Forward) bool { return o.Zone == f.Zone && slices.Equal(o.To, f.To) }
	if slices.ContainsFunc(n.config.Forwards, same) {
		return nil
	}
	return n.forward(f.To[0].Pos, f.Zone, f.To)
}

// View is how BIND treats some of its clients.
type View struct {
	Name  string
	takes func(from, to netip.Addr) bool
	to    map[string][]Upstream
}

// asView keeps of a view which questions come to it, and whom it asks.
func (n *named) asView(name string, block []statement, to map[string][]Upstream) View {
	m := matcher{n, true}
	lists := func(word string) (out [][]statement) {
		for _, s := range all(block, word) {
			list, _ := s.block()
			out = append(out, list)
		}
		return out
	}
	clients, destinations := lists("match-clients"), lists("match-destinations")
	in := func(lists [][]statement, a netip.Addr) bool {
		return !slices.ContainsFunc(lists, func(l []statement) bool { return m.match(l, a.Unmap(), 0) != yes })
	}
	return View{name, func(from, to netip.Addr) bool {
		n.steps = 0
		return in(clients, from) && in(destinations, to)
	}, to}
}

// Home is the view that takes a question from one address to another, and whom it
// asks for names in a zone; ok is false where no view takes it. An acl that is not
// in what was read is taken to match, a key is not.
func (c Config) Home(zone string, from, to netip.Addr) (view string, asked []Upstream, ok bool) {
	for _, v := range c.Views {
		if !v.takes(from, to) {
			continue
		}
		best := ""
		for z, us := range v.to {
			if len(z) > len(best) && dns.IsSubDomain(z, zone) {
				best, asked = z, us
			}
		}
		return v.Name, asked, true
	}
	return "", nil, false
}
