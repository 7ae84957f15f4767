package verdict

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/forwarders"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// decidedByFile comes to the verdict of a check that a Corefile decides without
// a packet: its upstream is one of the same server's listeners, or nothing that
// could be asked. Without probes the latter is no more than a note, unless it is
// the node's file of a manifest: nothing at all is then known of the upstreams. A plugin on the way round that may end the circle makes it a
// risk: that is no proof.
func (c *CheckReport) decidedByFile(noProbe bool, add func(Verdict, string)) bool {
	if c.Route == nil {
		return false
	}
	p := c.Route.Path()
	closes := Loop
	if p.Doubt != nil {
		closes = Risk
	}
	switch p.Fate {
	case corefile.Self:
		add(closes, "DL002")
	case corefile.Circle:
		add(closes, "DL010")
	case corefile.Chain:
		add(Clear, "DL013")
	case corefile.Unasked:
		if noProbe && c.Unprobed != plan.NodeFile {
			add(Clear, "DL014")
		} else {
			add(Unknown, "DL014")
		}
	default:
		return false
	}
	return true
}

// home is what the Corefile does with a name that came back.
func (c *CheckReport) home(r probe.Return) corefile.Homecoming {
	scheme := "dns"
	if r.Transport == plan.TLS || r.Transport == plan.HTTPS {
		scheme = string(r.Transport)
	}
	return c.Route.Graph.Return(c.Route.Path().Hop, c.Zone, scheme, r.To)
}

// again reports whether the view of a BIND that takes a question sends it to the
// upstream of the check again.
func (c *CheckReport) again(from, to netip.Addr) bool {
	_, asked, _ := c.Views.Home(c.Zone, from, to)
	return slices.ContainsFunc(asked, func(u forwarders.Upstream) bool { return u.Addr == c.Upstream.Addr })
}

// viewText names the view that the names of a BIND's probe came home to.
func viewText(c CheckReport) string {
	for _, r := range c.Result.Returns {
		if name, _, ok := c.Views.Home(c.Zone, r.From.Addr(), r.To.Addr()); ok {
			return fmt.Sprintf("this server, whose view %q takes what comes from %s", name, r.From.Addr())
		}
	}
	return "this server, where no view takes it"
}

// follow gives each chain the worst verdict of what it leads to.
func follow(checks []CheckReport) {
	type place struct {
		file *corefile.File
		path int
	}
	at := map[place][]int{} // the checks of a path: one for each transport
	for i, c := range checks {
		if c.Route != nil {
			k := place{c.Route.File, c.Route.Index}
			at[k] = append(at[k], i)
		}
	}
	seen := map[int]bool{}
	var worst func(i int) Verdict
	worst = func(i int) Verdict {
		c := &checks[i]
		if c.Route == nil || seen[i] || c.Route.Path().Fate != corefile.Chain {
			return c.Verdict
		}
		seen[i] = true
		for _, lead := range c.Route.Path().Leads {
			for _, j := range at[place{c.Route.File, lead}] {
				c.Verdict = worse(c.Verdict, worst(j))
			}
		}
		return c.Verdict
	}
	for i := range checks {
		worst(i)
	}
}

// shownHops is how many steps of a circle a sentence names.
const shownHops = 6

// circleText tells the way round: "Corefile:2 forwards to 127.0.0.1:1053, …".
func circleText(r *plan.Route) string {
	p := r.Path()
	var b strings.Builder
	for i, h := range p.Hops {
		if i == shownHops {
			fmt.Fprintf(&b, "and so on over %d more, ", len(p.Hops)-shownHops)
			break
		}
		fmt.Fprintf(&b, "%s forwards to %s, ", r.Forward(h).Pos, upstreamOf(r, h))
	}
	fmt.Fprintf(&b, "which is %s again", r.Forward(p.Hop).Pos)
	if p.Doubt != nil {
		fmt.Fprintf(&b, ", unless %s at %s ends it", p.Doubt.Plugin, p.Doubt.Pos)
	}
	return b.String()
}

// chainText names where the names go on from.
func chainText(c CheckReport) string {
	r := c.Route
	receivers := slices.Clone(r.Path().Receivers)
	for _, ret := range c.Result.Returns {
		receivers = append(receivers, c.home(ret).Receivers...)
	}
	slices.Sort(receivers)
	receivers = slices.Compact(receivers)
	if len(receivers) == 0 {
		return "this server, where no block serves the zone"
	}
	var blocks []string
	for _, i := range receivers {
		blocks = append(blocks, "the block at "+r.File.Blocks[i].Pos.String())
	}
	return "this server: " + strings.Join(blocks, ", ") + " takes it from there"
}

func upstreamOf(r *plan.Route, h corefile.Hop) string {
	return plan.FromForward(r.Forward(h), r.To(h)).String()
}
