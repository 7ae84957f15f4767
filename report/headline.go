package report

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/verdict"
)

// headline is the verdict in one clean line of at most columns characters: it
// is all that a node condition, a log or a hurried reader will see.
func headline(r verdict.Report) string {
	worst := withVerdict(r.Checks, r.Verdict)
	switch {
	case r.Verdict == verdict.Clear:
		return clearLine(r)
	case r.Verdict == verdict.Unknown && r.Stopped:
		return fit(r.Verdict, "", "interrupted before every upstream had been judged")
	case r.Verdict == verdict.Unknown && r.Probed && deaf(r.Ears):
		return fit(r.Verdict, "", "could not listen where this server will, so no loop can be ruled out")
	case len(worst) == 0:
		return fit(r.Verdict, gravest(r.Findings), "")
	}
	// A loop that was seen says more than one that was read.
	lead := worst[0]
	if i := slices.IndexFunc(worst, func(c verdict.CheckReport) bool { return c.Result.Returned > 0 }); i >= 0 {
		lead = worst[i]
	}
	more := ""
	if n := len(upstreamNames(worst)); n > 1 {
		more = fmt.Sprintf(" and %s more", grouped(n-1))
	}
	var phrases []string
	switch r.Verdict {
	case verdict.Loop:
		phrases = loopPhrases(lead, more != "")
	case verdict.Unknown:
		phrases = unknownPhrases(worst, more != "")
	default:
		phrases = riskPhrases(lead, more != "")
	}
	for i := range phrases {
		phrases[i] = more + " " + phrases[i]
	}
	return fit(r.Verdict, lead.Upstream.String(), phrases...)
}

// fit is the line "verdict: subject tail" with the first tail that leaves room
// for the whole subject; where none does, with the last tail and a shortened
// subject. Tails are ours, subjects are not.
func fit(v verdict.Verdict, subject string, tails ...string) string {
	subject = Clean(subject)
	head := string(v) + ": "
	room := 0
	for _, tail := range tails {
		room = columns - utf8.RuneCountInString(head+tail)
		if utf8.RuneCountInString(subject) <= room {
			return head + subject + tail
		}
	}
	return head + shorten(subject, room) + tails[len(tails)-1]
}

func clearLine(r verdict.Report) string {
	var answered, unasked []verdict.CheckReport
	for _, c := range r.Checks {
		if c.Probed {
			answered = append(answered, c)
		} else {
			unasked = append(unasked, c)
		}
	}
	heard := upstreamNames(answered)
	// Probes may come home and prove no loop: through another block, say, that
	// sends them elsewhere.
	outcome := " answered and no probe came back"
	if slices.ContainsFunc(answered, func(c verdict.CheckReport) bool { return c.Result.Returned > 0 }) {
		outcome = " answered and no loop was found"
	}
	switch {
	case len(r.Checks) == 0:
		return fit(r.Verdict, "", "nothing is forwarded, so nothing can come back")
	case len(heard) == 0:
		return fit(r.Verdict, "", "not probed; nothing in the configuration closes a circle")
	case len(unasked) > 0:
		return fit(r.Verdict, "", fmt.Sprintf("%s%s, %s not probed",
			count(len(heard), "upstream"), outcome, grouped(len(upstreamNames(unasked)))))
	case len(heard) == 1:
		return fit(r.Verdict, heard[0], outcome)
	}
	return fit(r.Verdict, "", count(len(heard), "upstream")+outcome)
}

// loopPhrases say what a looping upstream does, the longest first.
func loopPhrases(c verdict.CheckReport, many bool) []string {
	switch {
	case c.Result.Returned > 0:
		send := verb(many, "sends", "send")
		return []string{send + " this server's own queries back to it", send + " its queries back"}
	case slices.Contains(c.Codes, "DL010"):
		lead := verb(many, "leads", "lead")
		return []string{lead + " back here: server blocks forward in a circle", lead + " back here"}
	case slices.Contains(c.Codes, "DL002") && !many:
		return []string{"is an address that this server itself will serve on", "is this server itself"}
	case slices.Contains(c.Codes, "DL006") && !many:
		return []string{"is the cluster's DNS service, which is this very server", "is this server itself"}
	}
	return []string{verb(many, "leads", "lead") + " straight back to this server"}
}

// unknownPhrases say what the unknown upstreams did where they agree.
func unknownPhrases(checks []verdict.CheckReport, many bool) []string {
	failure := checks[0].Result.Failure
	for _, c := range checks {
		if c.Result.Failure != failure {
			failure = "mixed"
		}
	}
	did := "gave no usable answer"
	switch failure {
	case probe.Silent:
		did = "did not answer"
	case probe.Refused:
		did = "refused the connection"
	case probe.Unreachable:
		did = "could not be reached"
	case probe.BadTLS:
		did = "gave no TLS session"
	case probe.ErrorRcode:
		did = "answered with errors only"
	case probe.NotProbed:
		did = "could not be asked"
	case probe.NoFailure:
		did = "may loop where nobody could listen"
	}
	return []string{did + ", so a loop through " + verb(many, "it", "them") + " cannot be ruled out", did + ": a loop cannot be ruled out", did}
}

// riskPhrases say why an address is no upstream to everyone who reads it.
func riskPhrases(c verdict.CheckReport, many bool) []string {
	if many {
		return []string{"may mean another server to another reader"}
	}
	for _, p := range []struct{ code, phrase string }{
		{"DL003", "is a loopback address: elsewhere it is another server"},
		{"DL005", "is unspecified: readers take it for themselves"},
		{"DL004", "is this host's own address: it may lead back here"},
		{"DL006", "is the cluster's DNS service: it may lead back here"},
	} {
		if slices.Contains(c.Codes, p.code) {
			return []string{p.phrase, "may lead back here"}
		}
	}
	return []string{"may mean another server to another reader"}
}

// gravest is the message of the first finding of the highest level.
func gravest(findings []verdict.Finding) string {
	for _, l := range []verdict.Level{verdict.Error, verdict.Warning, verdict.Note} {
		for _, f := range findings {
			if f.Level == l {
				return f.Message
			}
		}
	}
	return "nothing was learned"
}

// deaf says that the stand-in was to listen and does so nowhere.
func deaf(ears []probe.Ear) bool {
	return len(ears) > 0 && !slices.ContainsFunc(ears, func(e probe.Ear) bool { return e.State == probe.Listening })
}

// upstreamNames lists the upstreams of checks, each once.
func upstreamNames(checks []verdict.CheckReport) []string {
	var names []string
	seen := map[string]bool{}
	for _, c := range checks {
		if n := c.Upstream.String(); !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	return names
}

func verb(many bool, one, more string) string {
	if many {
		return more
	}
	return one
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return grouped(n) + " " + noun
}
