package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/verdict"
)

// group is what people see as one: the checks of one upstream from one place
// that came to the same verdict, over all zones and transports.
type group struct {
	name    string
	source  plan.Source
	verdict verdict.Verdict
	probed  bool
	checks  []verdict.CheckReport
}

// severity orders verdicts from the worst.
var severity = []verdict.Verdict{verdict.Loop, verdict.Unknown, verdict.Risk, verdict.Clear}

// groups gathers checks, the worst verdict first, otherwise in the order read.
func groups(checks []verdict.CheckReport) []group {
	type key struct {
		name    string
		source  plan.Source
		verdict verdict.Verdict
		probed  bool
	}
	at := map[key]int{}
	var out []group
	for _, c := range checks {
		k := key{c.Upstream.String(), c.Upstream.Source, c.Verdict, c.Probed}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, group{name: k.name, source: k.source, verdict: k.verdict, probed: k.probed})
		}
		out[i].checks = append(out[i].checks, c)
	}
	slices.SortStableFunc(out, func(a, b group) int {
		return slices.Index(severity, a.verdict) - slices.Index(severity, b.verdict)
	})
	return out
}

// scope is the group's zones and transports, and the name its certificate is
// verified against.
func (g group) scope() string {
	const listed = 3
	var zones, transports []string
	seen := map[string]bool{}
	for _, c := range g.checks {
		if !seen[c.Zone] {
			seen[c.Zone] = true
			zones = append(zones, c.Zone)
		}
		if t := string(c.Transport); !slices.Contains(transports, t) {
			transports = append(transports, t)
		}
	}
	s := "zone " + zones[0]
	if n := len(zones); n > listed {
		s = fmt.Sprintf("zones %s and %s more", strings.Join(zones[:listed], " "), grouped(n-listed))
	} else if n > 1 {
		s = "zones " + strings.Join(zones, " ")
	}
	s += "  " + strings.Join(transports, ", ")
	if u := g.checks[0].Upstream; u.Name != "" && u.URL == "" && u.Addr.IsValid() {
		s += "  as " + u.Name
	}
	return s
}

// totals adds up what the group's checks saw, with the slowest answer.
func (g group) totals() (sent, answered, returned int, slowest time.Duration) {
	for _, c := range g.checks {
		sent += c.Result.Sent
		answered += c.Result.Answered
		returned += c.Result.Returned
		slowest = max(slowest, c.Result.RTT)
	}
	return sent, answered, returned, slowest
}

// first is the earliest return of the group, nil where none came.
func (g group) first() *probe.Return {
	var first *probe.Return
	for _, c := range g.checks {
		for i, r := range c.Result.Returns {
			if first == nil || r.After < first.After {
				first = &c.Result.Returns[i]
			}
		}
	}
	return first
}

// evidence is what the group's verdict rests on, one fact a line.
func (g group) evidence() []string {
	sent, answered, returned, _ := g.totals()
	lines := []string{fmt.Sprintf("%s sent, %s answered, %s came back", count(sent, "probe"), grouped(answered), grouped(returned))}
	if !g.probed {
		lines[0] = g.unprobed()
	}
	if first := g.first(); first != nil {
		lines = append(lines, path(g.name, first.Direct && !g.checks[0].Captured), arrival(*first, returned))
	} else if g.verdict == verdict.Loop {
		lines = append(lines, path(g.name, slices.Contains(g.checks[0].Codes, "DL002")))
	}
	return append(lines, g.remarks()...)
}

// unprobed says that nothing was sent, and why.
func (g group) unprobed() string {
	why := g.checks[0].Unprobed
	if why == "" || why == plan.ByRequest {
		return "not probed"
	}
	return "not probed: " + why
}

// path draws the way home of a query; direct is that of an upstream which is
// the server itself.
func path(upstream string, direct bool) string {
	if direct {
		return "you → " + upstream + " = you"
	}
	return "you → " + upstream + " → … → you"
}

func arrival(r probe.Return, of int) string {
	s := fmt.Sprintf("came back from %s over %s after %s as %s", r.From, r.Transport, milliseconds(r.After), r.Query)
	if of > 1 {
		s += fmt.Sprintf(" (the first of %s)", grouped(of))
	}
	return s
}

// remarks lists what else there is to know: why the upstream is allowed, and
// what kept probes from being answered, each once with the transports that it
// befell.
func (g group) remarks() []string {
	var order []string
	over := map[string][]string{}
	add := func(what string, t plan.Transport) {
		if _, ok := over[what]; !ok {
			order = append(order, what)
		}
		if !slices.Contains(over[what], string(t)) {
			over[what] = append(over[what], string(t))
		}
	}
	for _, c := range g.checks {
		if f := failure(c.Result); f != "" {
			add(f, c.Transport)
		}
		if len(c.Result.Filtered) > 0 {
			add("no usable answer to "+strings.Join(c.Result.Filtered, ", ")+", but to other types", c.Transport)
		}
		if c.Result.Unverified != "" {
			add("asked without verifying its certificate: "+c.Result.Unverified, c.Transport)
		}
	}
	const listed = 6
	var lines []string
	if allowed := g.checks[0].Upstream.Allowed; allowed != "" {
		lines = append(lines, "allowed: "+allowed)
	}
	for i, what := range order {
		if i == listed {
			return append(lines, fmt.Sprintf("and %s more like these", grouped(len(order)-listed)))
		}
		lines = append(lines, strings.Join(over[what], ", ")+": "+what)
	}
	return lines
}

// failure is why a check has too few answers, in our words and the system's.
func failure(r probe.Result) string {
	switch {
	case r.Failure == probe.NoFailure || r.Detail == "":
		return string(r.Failure)
	case strings.Contains(r.Detail, string(r.Failure)):
		return r.Detail
	}
	return fmt.Sprintf("%s (%s)", r.Failure, r.Detail)
}

// milliseconds writes a duration as people read round trips.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 100 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}
