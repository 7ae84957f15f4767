// Package verdict says what the results of a run come to: a verdict for each
// check and for the run, the findings that explain it, and what to do about
// them. It is pure: what it must know of the host it is given.
package verdict

import (
	"net/netip"
	"slices"
	"time"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/resolvconf"
)

// Input is all that a verdict rests on.
type Input struct {
	Plan    plan.Plan
	Results []probe.Result // one for each check of the plan
	Ears    []probe.Ear    // none with NoProbe
	Strays  []probe.Stray
	Files   []File // the resolv.conf files among the inputs
	Remarks []Remark
	Lines   map[string][][]byte // of the files, without their newlines
	Docs    map[string][]int    // the lines on which the documents of a manifest begin
	Facts   Facts

	NoProbe bool // nothing was sent, by request
	Stopped bool // a signal ended the run
	FailOn  FailOn
	Elapsed time.Duration

	// Clean lists upstreams that files of this host name, which were probed in
	// the same way and found clear, and CleanFrom the file of the first;
	// CleanPartly says that not all that this file lists were.
	Clean       []netip.AddrPort
	CleanFrom   string
	CleanPartly bool
}

// File is a resolv.conf that was read.
type File struct {
	Name string
	Conf resolvconf.File
}

// Remark is what reading an input showed beside its upstreams.
type Remark struct {
	Code    string
	Verdict Verdict // the run's verdict is no better; empty: it has no bearing
	Message string
	Source  plan.Source
}

// Facts are what is known of this host.
type Facts struct {
	Own        []netip.Addr // its addresses, loopback included
	Holders    []Holder     // of port 53 where nothing is to listen there, and of addresses that are held
	Resolved   bool         // systemd-resolved runs here
	Kubernetes bool         // in a pod, or beside a kubelet
	// Service names who is known to answer at a well-known address.
	Service func(netip.Addr) string
}

// Judge comes to the verdicts. Checks keep the plan's order, findings come
// worst first.
func Judge(in Input) Report {
	r := Report{
		Elapsed: in.Elapsed,
		Probed:  !in.NoProbe,
		Stopped: in.Stopped,
		Ears:    in.Ears,
	}
	for i, c := range in.Plan.Checks {
		j := CheckReport{Check: c, Probed: c.Unprobed == ""}
		if j.Probed {
			j.Result = in.Results[i]
		}
		in.judge(&j)
		r.Checks = append(r.Checks, j)
	}
	in.pair(r.Checks)
	follow(r.Checks)
	r.Verdict = Clear
	for i := range r.Checks {
		slices.Sort(r.Checks[i].Codes)
		r.Verdict = worse(r.Verdict, r.Checks[i].Verdict)
	}
	for _, m := range in.Remarks {
		r.Verdict = worse(r.Verdict, m.Verdict)
	}
	if in.Stopped {
		r.Verdict = worse(r.Verdict, Unknown)
	}
	r.Findings, r.Remedies = in.findings(r.Checks)
	r.ExitStatus = in.FailOn.exitStatus(r.Verdict, in.Stopped)
	return r
}

// judge comes to the verdict of one check by itself.
func (in Input) judge(c *CheckReport) {
	c.Verdict = Clear
	add := func(v Verdict, code string) {
		if v == Risk && c.Upstream.Allowed != "" {
			v = Clear
		}
		c.Verdict = worse(c.Verdict, v)
		c.Codes = append(c.Codes, code)
	}
	if c.Upstream.Own != "" {
		add(Loop, "DL006")
		return
	}
	if c.decidedByFile(in.NoProbe, add) {
		return
	}
	home := c.homecoming()
	c.Captured = home.direct && in.isElsewhere(c.Upstream.Addr.Addr())
	home.direct = home.direct && !c.Captured
	if home.loop {
		add(Loop, "DL001")
	} else if home.chain {
		add(Clear, "DL013")
	}
	if c.selfForward(home) {
		add(Loop, "DL002")
	}
	in.risks(c, add)
	if len(c.Result.Filtered) > 0 {
		add(Clear, "DL008")
	}
	if c.Verdict != Loop {
		in.doubts(c, add)
	}
}

// risks are what the address means to others, and what strangers did.
func (in Input) risks(c *CheckReport, add func(Verdict, string)) {
	switch addr := c.Upstream.Addr.Addr(); {
	case addr.IsLoopback():
		add(Risk, "DL003")
	case addr.IsUnspecified():
		add(Risk, "DL005")
	case in.ownAddress(c):
		add(Risk, "DL004")
	}
	if in.clusterDNS(c.Upstream) {
		add(Risk, "DL006")
	}
	if len(in.straysOf(c)) > 0 {
		add(Risk, "DL016")
	}
}

// doubts are why silence at the stand-in proves nothing.
func (in Input) doubts(c *CheckReport, add func(Verdict, string)) {
	if c.Unprobed == plan.NoEar {
		add(Unknown, "DL009")
	}
	if !c.Probed {
		return
	}
	switch c.Result.Failure {
	case probe.NoFailure:
		if !in.couldHear(c.Check) {
			add(Unknown, "DL009")
		}
	case probe.NotProbed:
		add(Unknown, "DL014")
	default:
		add(Unknown, "DL007")
	}
}

// homecoming is what the returns of a check show.
type homecoming struct {
	loop   bool // names go round
	chain  bool // they came to this server, which sends them elsewhere
	direct bool // the upstream is the stand-in itself
}

// homecoming reads the returns. Any return is a loop, with two exceptions. Read
// as a pod's, a file that names this host's own address does not mean the pod:
// what came straight from our own socket shows only where the stand-in sits.
// And a Corefile may send what comes home on to somebody else.
func (c *CheckReport) homecoming() homecoming {
	var h homecoming
	for _, r := range c.Result.Returns {
		h.direct = h.direct || r.Direct
		switch {
		case c.Pod && r.Direct:
		case c.Views != nil:
			again := c.again(r.From.Addr(), r.To.Addr())
			h.loop, h.chain = h.loop || again, h.chain || !again
		case c.Route == nil || c.home(r).Loop:
			h.loop = true
		default:
			h.chain = true
		}
	}
	return h
}

// selfForward reports whether the upstream is where the server itself will
// serve: a listener names it, or a wildcard listener was seen to hold it, or
// surely will as it does in a pod. In a Corefile it takes more: the names must
// come to the block that sends them there, which the file itself tells.
func (c *CheckReport) selfForward(home homecoming) bool {
	if c.Route != nil {
		return home.loop && home.direct
	}
	up := localised(c.Upstream.Addr)
	for _, l := range c.Listeners {
		la := l.Addr.Addr()
		switch {
		case l.Addr.Port() != up.Port(), c.Views != nil && !c.again(up.Addr(), up.Addr()):
		case la == up.Addr() && !la.IsUnspecified():
			return true
		case !la.IsUnspecified() || !up.Addr().IsValid() || la.Is4() != up.Addr().Is4():
		case c.Pod:
			if up.Addr().IsLoopback() {
				return true
			}
		case home.direct:
			return true
		}
	}
	return false
}

// localised is where the kernel sends what is meant for an unspecified address.
func localised(a netip.AddrPort) netip.AddrPort {
	switch a.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
	}
	return a
}

// ownAddress reports whether the upstream is one of this host's addresses. A
// pod has others, unless the stand-in answered there itself.
func (in Input) ownAddress(c *CheckReport) bool {
	if c.Pod && len(c.Result.Returns) == 0 {
		return false
	}
	return slices.Contains(in.Facts.Own, c.Upstream.Addr.Addr())
}

// clusterDNS reports whether the upstream comes from a ClusterFirst pod's file.
func (in Input) clusterDNS(u plan.Upstream) bool {
	return slices.ContainsFunc(in.Files, func(f File) bool {
		return f.Name == u.Source.File && u.Source.Line > 0 && f.Conf.ClusterFirst()
	})
}

// pair lets the two transports of a plain upstream speak for each other: where
// one got no usable answer and the other is decided, servers that speak only
// one of UDP and TCP are common.
func (in Input) pair(checks []CheckReport) {
	type key struct {
		plan.Upstream
		zone  string
		route *plan.Route // two blocks may import the same line
	}
	first := map[key]int{}
	for i := range checks {
		c := &checks[i]
		if c.Upstream.Transport != "" || !c.Probed {
			continue
		}
		k := key{c.Upstream, c.Zone, c.Route}
		j, ok := first[k]
		if !ok {
			first[k] = i
			continue
		}
		takeSibling(c, checks[j])
		takeSibling(&checks[j], *c)
	}
}

// takeSibling gives c, if nothing usable came of it, its sibling's verdict.
func takeSibling(c *CheckReport, sibling CheckReport) {
	unasked := c.Result.Failure == probe.NotProbed && c.Result.Sent == 0
	silent := (slices.Contains(c.Codes, "DL007") || unasked) && c.Result.Answered == 0
	if !silent || sibling.Result.Answered == 0 && sibling.Result.Returned == 0 || sibling.Verdict == Unknown {
		return
	}
	c.Verdict = sibling.Verdict
	c.Codes = slices.DeleteFunc(c.Codes, func(code string) bool { return code == "DL007" || code == "DL014" })
	c.Codes = append(c.Codes, "DL012")
}

// worse is the worse of two verdicts.
func worse(a, b Verdict) Verdict {
	order := []Verdict{Clear, Risk, Unknown, Loop}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}

// FailOn is the mildest verdict that makes the exit status other than 0.
type FailOn string

// The levels of --fail-on.
const (
	FailNever   FailOn = "never"
	FailLoop    FailOn = "loop"
	FailUnknown FailOn = "unknown"
	FailRisk    FailOn = "risk"
)

// Exit statuses of a run. Usage and input errors have their own, 2.
const (
	ExitClear   = 0
	ExitLoop    = 1
	ExitUnknown = 3 // also of risk, where that is to fail
)

// exitStatus is the status of a run. One that a signal ended never says 0: it
// was asked a question that it did not answer.
func (f FailOn) exitStatus(v Verdict, stopped bool) int {
	switch {
	case v == Loop && (stopped || f != FailNever):
		return ExitLoop
	case stopped,
		v == Unknown && (f == FailUnknown || f == FailRisk),
		v == Risk && f == FailRisk:
		return ExitUnknown
	}
	return ExitClear
}

// GuiltyZones lists the zones, each once, of the upstreams that should be
// replaced. Others are worth offering only if they are clear under all of these.
func GuiltyZones(in Input) []string {
	var zones []string
	seen := map[string]bool{}
	for _, group := range byUpstream(Judge(in).Checks) {
		if !isGuilty(group) {
			continue
		}
		for _, c := range group {
			if !seen[c.Zone] {
				seen[c.Zone] = true
				zones = append(zones, c.Zone)
			}
		}
	}
	return zones
}

// ClearUpstreams lists the upstreams that are clear in each of their checks.
func ClearUpstreams(r Report) []plan.Upstream {
	var out []plan.Upstream
	for _, group := range byUpstream(r.Checks) {
		if !slices.ContainsFunc(group, func(c CheckReport) bool { return c.Verdict != Clear }) {
			out = append(out, group[0].Upstream)
		}
	}
	return out
}
