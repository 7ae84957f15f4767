package verdict

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// guilty are the codes whose cure is another upstream.
var guilty = []string{"DL001", "DL002", "DL003", "DL004", "DL005", "DL006", "DL010"}

// risky are the codes that make a risk, which the user may allow.
var risky = []string{"DL003", "DL004", "DL005", "DL006", "DL016"}

// findings words what the checks, the files and the listeners showed, each
// thing once, worst first, and the remedies that go with it.
func (in Input) findings(checks []CheckReport) ([]Finding, []Remedy) {
	var fs []Finding
	var rs []Remedy
	groups := byUpstream(checks)
	in.Clean = slices.DeleteFunc(slices.Clone(in.Clean), func(a netip.AddrPort) bool {
		return slices.ContainsFunc(groups, func(g []CheckReport) bool { return g[0].Upstream.Addr == a && isGuilty(g) })
	})
	cures := in.cures(groups)
	for _, group := range groups {
		f, r := in.ofUpstream(group, cures[group[0].Upstream])
		fs = append(fs, f...)
		rs = append(rs, r...)
	}
	for _, f := range in.Files {
		fs = append(fs, in.ofFile(f)...)
	}
	for _, m := range in.Remarks {
		fs = append(fs, in.ofRemark(m))
	}
	fs = append(fs, in.ofListeners()...)
	for i := range fs {
		fs[i].Doc = in.docOf(fs[i].Source)
	}
	order := []Level{Error, Warning, Note}
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Level), slices.Index(order, b.Level)),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Source.File, b.Source.File),
			cmp.Compare(a.Source.Line, b.Source.Line),
		)
	})
	return fs, inOrder(rs)
}

// docOf is the document of a manifest that a line stands in; a "---" on the
// first line begins none of its own.
func (in Input) docOf(at plan.Source) int {
	starts := in.Docs[at.File]
	n, found := slices.BinarySearch(starts, at.Line)
	if found {
		n++
	}
	return n
}

// byUpstream gathers the checks of each upstream, in the order of the plan.
func byUpstream(checks []CheckReport) [][]CheckReport {
	at := map[plan.Upstream]int{}
	var groups [][]CheckReport
	for _, c := range checks {
		i, ok := at[c.Upstream]
		if !ok {
			i = len(groups)
			at[c.Upstream] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	return groups
}

// ofUpstream words the findings of one upstream, each code once for all its
// zones and transports.
func (in Input) ofUpstream(group []CheckReport, c cure) ([]Finding, []Remedy) {
	var fs []Finding
	var rs []Remedy
	told := false
	var codes []string
	for _, c := range group {
		codes = append(codes, c.Codes...)
	}
	slices.Sort(codes)
	for _, code := range slices.Compact(codes) {
		if code == "DL009" {
			continue // said once, of the listeners
		}
		var with []CheckReport
		for _, c := range group {
			if slices.Contains(c.Codes, code) {
				with = append(with, c)
			}
		}
		s := in.scene(code, with, c)
		f := Finding{Code: code, Level: levelOf(code), Message: in.message(code, with), Source: s.Upstream.Source}
		if s.Upstream.Own != "" {
			f.Level = Error
		}
		if f.Level == Error && !slices.ContainsFunc(with, func(c CheckReport) bool { return c.Verdict == Loop }) {
			f.Level = Warning // in doubt
		}
		if why := s.Upstream.Allowed; why != "" && slices.Contains(risky, code) {
			f.Level = Note
			f.Message += " (allowed: " + why + ")"
			fs = append(fs, f)
			continue
		}
		f.Advice = advice(s)
		if slices.Contains(guilty, code) {
			if told { // one cure for all that is wrong with it, said once
				f.Advice = f.Advice[:1]
			} else {
				told, rs = true, remedies(s)
			}
		}
		fs = append(fs, f)
	}
	return fs, rs
}

// ofRemark words what reading an input showed.
func (in Input) ofRemark(m Remark) Finding {
	f := Finding{Code: m.Code, Level: levelOf(m.Code), Message: m.Message, Source: m.Source}
	switch {
	case m.Verdict == Loop || m.Verdict == Unknown:
		f.Level = Error
	case f.Level == Error:
		f.Level = Warning
	}
	f.Advice = advice(scene{
		Code: m.Code, Upstream: plan.Upstream{Source: m.Source},
		Resolved: in.Facts.Resolved, Kubernetes: in.Facts.Kubernetes,
	})
	return f
}

// scene gathers what the advice on one finding is worded from.
func (in Input) scene(code string, with []CheckReport, cure cure) scene {
	c := with[0]
	s := scene{
		Code:       code,
		Upstream:   c.Upstream,
		Zone:       c.Zone,
		Kind:       kindTarget,
		Transport:  c.Transport,
		Failure:    c.Result.Failure,
		Detail:     c.Result.Detail,
		Alive:      c.Result.Alive,
		Service:    in.service(c.Upstream.Addr),
		Resolved:   in.Facts.Resolved,
		Kubernetes: in.Facts.Kubernetes && c.Upstream.Conf.Format == "", // which the kubelet hands to nobody
		Listen:     c.listenNames(),
		Old:        in.line(c.Upstream.Source),
		Clean:      in.Clean,
		CleanFrom:  in.CleanFrom,
		Partly:     in.CleanPartly,
	}
	if c.Route != nil && c.Upstream.Via.File == "" {
		s.Kind, s.Word = kindCorefile, c.Route.To(c.Route.Path().Hop).Text
	}
	if conf := c.Upstream.Conf; conf.Format != "" {
		s.Kind, s.Word = kindConf, conf.Word
	}
	if s.Kind == kindTarget && c.Route == nil && c.Upstream.Source.File != "" {
		s.Kind = kindKubelet
	}
	if c.Unprobed != "" {
		s.Failure, s.Detail = probe.NotProbed, c.Unprobed
	}
	if rets := c.Result.Returns; len(rets) > 0 {
		s.LastHop, s.Direct, s.Captured = rets[0].From, rets[0].Direct, c.Captured
	}
	for _, f := range in.Files {
		if f.Name == c.Upstream.Source.File {
			s.Kind, s.Listed = kindResolvConf, len(f.Conf.Nameservers)
		}
	}
	if len(cure.clean) > 0 {
		s.Clean, s.CleanFrom, s.Lines = cure.clean, cure.from, cure.lines
	}
	return s
}

// service names who is known to answer at an address: at the port of DNS alone,
// whatever else may be there at others.
func (in Input) service(a netip.AddrPort) string {
	if in.Facts.Service == nil || !a.Addr().IsValid() || a.Port() != dnsPort {
		return ""
	}
	return in.Facts.Service(a.Addr())
}

// shownListeners is how many listeners a sentence names.
const shownListeners = 4

// listenNames are the listeners of the check's server, as a sentence names them.
func (c CheckReport) listenNames() string {
	var out []string
	for i, l := range c.Listeners {
		if i == shownListeners { // BIND has one for each address of a host
			out = append(out, fmt.Sprintf("%d more", len(c.Listeners)-i))
			break
		}
		out = append(out, l.Addr.String())
	}
	return strings.Join(out, " and ")
}

func levelOf(code string) Level {
	for _, c := range Codes {
		if c.Code == code {
			return c.Level
		}
	}
	return Warning
}

// message is what a finding says, in one sentence.
func (in Input) message(code string, with []CheckReport) string {
	c := with[0]
	up := c.Upstream.String()
	switch code {
	case "DL001":
		return proofMessage(with)
	case "DL002":
		if c.Route != nil && c.Route.Path().Fate == corefile.Self {
			return "the block forwards to itself: " + circleText(c.Route)
		}
		return fmt.Sprintf("%s is an address that this server itself will serve on (%s)", up, c.listenNames())
	case "DL003":
		if s := in.service(c.Upstream.Addr); s != "" {
			return fmt.Sprintf("%s is a loopback address, known as that of %s", up, s)
		}
		return up + " is a loopback address: it means whoever reads it"
	case "DL004":
		return up + " is one of this host's own addresses"
	case "DL005":
		return up + " is the unspecified address, which the kernel takes for the local host"
	case "DL006":
		if c.Upstream.Own != "" {
			return fmt.Sprintf("%s is this very server: %s", up, c.Upstream.Own)
		}
		return up + " is a cluster's DNS service: the search list is that of a ClusterFirst pod"
	case "DL007":
		return noAnswerMessage(with)
	case "DL008":
		return fmt.Sprintf("%s answers no %s questions; other types were used", up, strings.Join(c.Result.Filtered, ", "))
	case "DL010":
		return fmt.Sprintf("zone %s goes round in a circle: %s", c.Zone, circleText(c.Route))
	case "DL013":
		if c.Views != nil {
			return fmt.Sprintf("%s is %s", up, viewText(c))
		}
		return fmt.Sprintf("%s is %s", up, chainText(c))
	case "DL012":
		return fmt.Sprintf("%s gives no answer over %s (%s), but does over the other transport", up, c.Transport, failureText(c.Result))
	case "DL014":
		return fmt.Sprintf("%s was not probed: %s", up, cmp.Or(c.Unprobed, c.Result.Detail))
	case "DL016":
		s := in.straysOf(&c)
		return fmt.Sprintf("%d questions that are not dnsloop's arrived from %s while it was probed, as %s: a name may be rewritten on the way",
			countOf(s), up, s[0].Query)
	}
	return up
}

// proofMessage names the first probe that came back.
func proofMessage(with []CheckReport) string {
	c, first := with[0], with[0].Result.Returns[0]
	returned, sent := 0, 0
	for _, w := range with {
		returned += w.Result.Returned
		sent += w.Result.Sent
		for _, r := range w.Result.Returns {
			if r.After < first.After {
				first = r
			}
		}
	}
	return fmt.Sprintf("%d of %d probes sent to %s came back, the first after %s: %s, from %s over %s",
		returned, sent, c.Upstream, milliseconds(first.After), first.Query, first.From, first.Transport)
}

func noAnswerMessage(with []CheckReport) string {
	c := with[0]
	var over []string
	for _, w := range with {
		if !slices.Contains(over, string(w.Transport)) {
			over = append(over, string(w.Transport))
		}
	}
	return fmt.Sprintf("%s gave no answer over %s: %s", c.Upstream, strings.Join(over, " and "), failureText(c.Result))
}

// failureText is why there was no answer, in the fewest words that tell.
func failureText(r probe.Result) string {
	switch {
	case r.Failure == probe.ErrorRcode:
		return "it answers " + r.Detail
	case r.Answered > 0:
		return fmt.Sprintf("only %d of %d probes were answered", r.Answered, r.Sent)
	case r.Alive:
		return "silent to every fresh name, though it is up: it replies when asked who it is"
	case r.Failure == probe.Silent && r.Detail != "":
		return r.Detail
	case r.Failure == probe.Refused || r.Detail == "":
		return string(r.Failure)
	}
	return string(r.Failure) + ", " + r.Detail
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func countOf(strays []probe.Stray) int {
	n := 0
	for _, s := range strays {
		n += s.Count
	}
	return n
}

// ofFile words what reading a resolv.conf showed.
func (in Input) ofFile(f File) []Finding {
	var fs []Finding
	add := func(code string, line int, message string) {
		src := plan.Source{File: f.Name, Line: line}
		s := scene{
			Code: code, Kind: kindResolvConf, Listed: len(f.Conf.Nameservers),
			Upstream: plan.Upstream{Source: src},
			Resolved: in.Facts.Resolved, Kubernetes: in.Facts.Kubernetes,
		}
		fs = append(fs, Finding{Code: code, Level: levelOf(code), Message: message, Source: src, Advice: advice(s)})
	}
	for _, p := range f.Conf.Problems {
		add("DL018", p.Line, p.Reason)
	}
	if len(f.Conf.Nameservers) == 0 {
		add("DL011", 0, "no nameserver is listed: the C library asks 127.0.0.1, CoreDNS does not start")
	}
	var unused []string
	line := 0
	skipped := map[int]bool{}
	for _, p := range f.Conf.Problems {
		skipped[p.Line] = true
	}
	for _, ns := range f.Conf.Nameservers {
		if !ns.Glibc && ns.CoreDNS && !skipped[ns.Line] {
			unused = append(unused, ns.Addr.String())
			line = cmp.Or(line, ns.Line)
		}
	}
	if glibcUses(f) >= maxNameservers && len(unused) > 0 {
		add("DL011", line, fmt.Sprintf("%d nameservers are listed: the C library asks the first three, CoreDNS also %s",
			len(f.Conf.Nameservers), strings.Join(unused, ", ")))
	}
	return fs
}

func glibcUses(f File) int {
	n := 0
	for _, ns := range f.Conf.Nameservers {
		if ns.Glibc {
			n++
		}
	}
	return n
}
