package verdict

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// couldHear reports whether a loop through the check's upstream could have been
// heard. It could not where nothing listens, where an ear failed its own test or
// lacked a file descriptor (whatever deafens one may deafen another), or where
// every address at which such a loop would come home, in the upstream's own family
// where the server serves that, is one that the stand-in lacks.
func (in Input) couldHear(c plan.Check) bool {
	heard := false
	for _, e := range in.Ears {
		heard = heard || e.State == probe.Listening
		if e.State == probe.Deaf || e.State == probe.Exhausted {
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

// isElsewhere reports whether an address is certainly none of this host's: those
// that are must be known, and a link-local one may be anybody's.
func (in Input) isElsewhere(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && len(in.Facts.Own) > 0 && !in.isHere(a)
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

// straysOf lists what strangers did that points at a check's upstream: foreign
// questions that came from it while it was probed, and connections to a
// listener whose TLS the stand-in cannot speak. Questions from loopback may be
// anybody's on this host, and names that lead to the zone are what a resolver
// asks that minimises.
func (in Input) straysOf(c *CheckReport) []probe.Stray {
	a := c.Upstream.Addr.Addr()
	if !c.Probed || !a.IsValid() {
		return nil
	}
	var out []probe.Stray
	for _, s := range in.Strays {
		connection := strings.HasPrefix(s.Query, "(")
		switch {
		case in.isHere(a) && connection && in.isHere(s.From),
			!in.isHere(a) && s.From == a && (connection || !leadsTo(s.Query, c.Zone)):
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

// ofListeners words what the stand-in could not hear.
func (in Input) ofListeners() []Finding {
	if in.NoProbe {
		return nil
	}
	var fs []Finding
	for _, e := range in.Ears {
		if e.State == probe.Listening && e.Err != nil {
			fs = append(fs, Finding{
				Code: "DL014", Level: levelOf("DL014"),
				Message: fmt.Sprintf("what comes home to %s over %s is not heard: %s", e.Addr, e.Transport, e.Err),
				Advice: []string{
					"The certificate of this block is needed to hear questions there. A connection that arrives while probing is a risk, and no more can be known.",
					"run dnsloop as a user who may read the certificate and its key, as the server does",
				},
			})
		}
	}
	if lacking := in.lacking(); len(lacking) > 0 {
		fs = append(fs, in.lackingFinding(lacking))
	}
	if others := in.others(); len(others) > 0 {
		var names []string
		for _, h := range others {
			names = append(names, h.String())
		}
		fs = append(fs, Finding{
			Code: "DL015", Level: levelOf("DL015"),
			Message: fmt.Sprintf("another server already listens at port 53 (%s): a loop through it is not seen from here", strings.Join(names, ", ")),
			Advice:  advice(scene{Code: "DL015", Holders: others, Listen: in.listens(), Resolved: in.Facts.Resolved}),
		})
	}
	return fs
}

func (in Input) lackingFinding(lacking []probe.Ear) Finding {
	state := lacking[0].State
	var names []string
	var holders []Holder
	var loopback probe.LoopbackDown
	for _, e := range lacking {
		if e.State == probe.Exhausted {
			state = e.State // what this run lacked, not what others have
		}
		errors.As(e.Err, &loopback)
		name := fmt.Sprintf("%s %s (%s)", e.Addr, e.Transport, e.State)
		names = append(names, name)
		for _, h := range in.Facts.Holders {
			if h.Addr.Port() == e.Addr.Port() && h.Transport == string(e.Transport) && overlaps(h.Addr.Addr(), e.Addr.Addr()) &&
				!slices.Contains(holders, h) {
				holders = append(holders, h)
			}
		}
	}
	message := "could not listen on " + strings.Join(names, ", ")
	if len(lacking) > 4 {
		message = fmt.Sprintf("could not listen on %s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	if len(holders) > 0 {
		message += ", held by " + holders[0].String()
	}
	switch {
	case state == probe.Held:
		message += ": the server itself cannot bind there"
	case state == probe.Exhausted:
		message += ": dnsloop ran out of file descriptors"
	case state == probe.Deaf && loopback != "":
		message += fmt.Sprintf(": the interface %s is down", string(loopback))
	}
	return Finding{
		Code: "DL009", Level: levelOf("DL009"), Message: message,
		Advice: advice(scene{Code: "DL009", State: state, Loopback: string(loopback), Holders: holders, Listen: in.listens(), Resolved: in.Facts.Resolved, Kubernetes: in.Facts.Kubernetes}),
	}
}

// overlaps reports whether two sockets of one port stand in each other's way.
func overlaps(a, b netip.Addr) bool {
	if a == b || a == netip.IPv6Unspecified() { // which takes IPv4 too, as a rule
		return true
	}
	return a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

// others lists who holds port 53 while the stand-in listens elsewhere.
func (in Input) others() []Holder {
	if slices.ContainsFunc(in.Plan.Listeners, func(l plan.Listener) bool { return l.Addr.Port() == dnsPort }) {
		return nil
	}
	var out []Holder
	for _, h := range in.Facts.Holders {
		if h.Addr.Port() == dnsPort {
			out = append(out, h)
		}
	}
	return out
}

func (in Input) listens() string {
	var out []string
	for _, l := range in.Plan.Listeners {
		out = append(out, l.Addr.String())
	}
	return strings.Join(out, " and ")
}
