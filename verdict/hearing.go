package verdict

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// couldHear reports whether a loop through the check's upstream could have been
// heard. It could not where nothing listens, where an ear failed its own test
// (whatever deafens one may deafen another), or where every address at which
// such a loop would come home, in the upstream's own family where the server
// serves that, is one that the stand-in lacks.
func (in Input) couldHear(c plan.Check) bool {
	heard := false
	for _, e := range in.Ears {
		heard = heard || e.State == probe.Listening
		if e.State == probe.Deaf {
			return false
		}
	}
	if !heard {
		return false
	}
	homes := in.homes(c)
	if a := c.Upstream.Addr.Addr(); a.IsValid() {
		same := slices.DeleteFunc(slices.Clone(homes), func(e probe.Ear) bool { return e.Addr.Addr().Is4() != a.Is4() })
		if len(same) > 0 {
			homes = same
		}
	}
	return len(homes) == 0 || slices.ContainsFunc(homes, func(e probe.Ear) bool { return e.State == probe.Listening })
}

// homes lists the ears, deaf or not, at which a loop through the upstream could
// come home: those of the same server, loopback only for upstreams on this host.
func (in Input) homes(c plan.Check) []probe.Ear {
	local := in.isHere(c.Upstream.Addr.Addr())
	var out []probe.Ear
	for _, e := range in.Ears {
		if servedBy(c, e) && (local || !e.Addr.Addr().IsLoopback()) {
			out = append(out, e)
		}
	}
	return out
}

// isHere reports whether an address is on this host.
func (in Input) isHere(a netip.Addr) bool {
	return plan.IsLocal(a) || slices.Contains(in.Facts.Own, a)
}

// servedBy reports whether an ear belongs to one of the check's listeners.
func servedBy(c plan.Check, e probe.Ear) bool {
	if e.State == probe.Unavailable && e.Addr.Addr().IsUnspecified() {
		return false // a family that this host does not have
	}
	return slices.ContainsFunc(c.Listeners, func(l plan.Listener) bool {
		la, ea := l.Addr.Addr(), e.Addr.Addr()
		return l.Addr == e.Addr || la.IsUnspecified() && la.Is4() == ea.Is4() && l.Addr.Port() == e.Addr.Port()
	})
}

// lacking lists the ears that do not listen and should: not wildcards of a
// family that this host has no address in.
func (in Input) lacking() []probe.Ear {
	var out []probe.Ear
	for _, e := range in.Ears {
		if e.State != probe.Listening && !(e.State == probe.Unavailable && e.Addr.Addr().IsUnspecified()) {
			out = append(out, e)
		}
	}
	return out
}

// straysOf lists the foreign questions that came from a check's upstream while
// it was probed. Those from loopback may be anybody's on this host, and
// names that lead to the zone are what a resolver asks that minimises.
func (in Input) straysOf(c *CheckReport) []probe.Stray {
	a := c.Upstream.Addr.Addr()
	if !c.Probed || !a.IsValid() || in.isHere(a) {
		return nil
	}
	var out []probe.Stray
	for _, s := range in.Strays {
		if s.From == a && !leadsTo(s.Query, c.Zone) {
			out = append(out, s)
		}
	}
	return out
}

// leadsTo reports whether a question, as a Stray words it, is about a zone or
// one of its parents.
func leadsTo(query, zone string) bool {
	_, name, _ := strings.Cut(query, " ")
	return dns.IsSubDomain(name, zone)
}
