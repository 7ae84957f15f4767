package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dnsloop/dnsloop/verdict"
)

// JUnit is the XML that CI servers show as test results: each check is a case.
//
// A loop is a failure. Unknown is an error: the test itself could not be made.
// A risk passes, as the exit status does by default, and says why in its
// output. A check that could not be probed in a run that probes is skipped.
// Where the run as a whole is worse than each of its checks (nothing could be
// listened on, say), one more case stands for the run.
//
// The message stands in the body too, as GitLab shows only that; names hold the
// place, and a number where that is not enough, as GitLab drops a second case of
// the same name.
type JUnit struct{}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
	Output   *junitText  `xml:"system-out"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Time    string        `xml:"time,attr"`
	Failure *junitOutcome `xml:"failure"`
	Error   *junitOutcome `xml:"error"`
	Skipped *junitOutcome `xml:"skipped"`
	Output  *junitText    `xml:"system-out"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",cdata"`
}

type junitText struct {
	Text string `xml:",cdata"`
}

// Write implements Writer.
func (JUnit) Write(w io.Writer, r verdict.Report) error {
	suite := junitSuite{Name: "dnsloop", Time: seconds(r.Elapsed)}
	named := map[string]int{}
	for _, c := range r.Checks {
		out := junitCheck(c, r.Probed)
		if named[out.Name]++; named[out.Name] > 1 {
			out.Name += fmt.Sprintf(" #%d", named[out.Name])
		}
		suite.Cases = append(suite.Cases, out)
	}
	if len(withVerdict(r.Checks, r.Verdict)) == 0 && r.Verdict != verdict.Clear {
		whole := junitCase{Class: "dnsloop", Name: "the whole run", Time: seconds(r.Elapsed)}
		whole.judge(r.Verdict, headline(r), headline(r))
		suite.Cases = append(suite.Cases, whole)
	}
	suite.Tests = len(suite.Cases)
	for _, c := range suite.Cases {
		suite.Failures += one(c.Failure)
		suite.Errors += one(c.Error)
		suite.Skipped += one(c.Skipped)
	}
	if lines := findingLines(r.Findings); len(lines) > 0 {
		suite.Output = &junitText{cleanLines(lines)}
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func junitCheck(c verdict.CheckReport, run bool) junitCase {
	g := groups([]verdict.CheckReport{c})[0]
	src := c.Upstream.Source
	out := junitCase{Class: "dnsloop", Name: Clean(fmt.Sprintf("%s zone %s over %s", g.name, c.Zone, c.Transport)), Time: "0.000"}
	if at := place(src); at != "" {
		out.Name += Clean(" (" + at + ")")
	}
	if hasFile(src) {
		out.File, out.Line = Clean(src.File), src.Line
	}
	if first := g.first(); first != nil {
		out.Time = seconds(first.After)
	} else if c.Result.Answered > 0 {
		out.Time = seconds(c.Result.RTT)
	}
	if c.Verdict == verdict.Clear && run && !c.Probed {
		out.Skipped = &junitOutcome{Message: Clean(g.unprobed())}
		return out
	}
	lines := g.evidence()
	if c.Verdict == verdict.Clear {
		out.judge(c.Verdict, "", cleanLines(lines))
		return out
	}
	message := headline(verdict.Report{Verdict: c.Verdict, Probed: c.Probed, Checks: []verdict.CheckReport{c}})
	out.judge(c.Verdict, message, cleanLines(append([]string{message}, lines...)))
	return out
}

// judge gives the case the outcome of a verdict; both strings are clean.
func (c *junitCase) judge(v verdict.Verdict, message, text string) {
	outcome := &junitOutcome{Message: message, Type: string(v), Text: text}
	switch v {
	case verdict.Loop:
		c.Failure = outcome
	case verdict.Unknown:
		c.Error = outcome
	default:
		c.Output = &junitText{text}
	}
}

// findingLines lists findings with their advice as plain lines.
func findingLines(findings []verdict.Finding) []string {
	var lines []string
	for _, f := range findings {
		at := place(f.Source)
		if at != "" {
			at += ": "
		}
		lines = append(lines, fmt.Sprintf("%s %s %s%s", f.Level, f.Code, at, f.Message))
		lines = slices.Concat(lines, advice(f))
	}
	return lines
}

func one(o *junitOutcome) int {
	if o == nil {
		return 0
	}
	return 1
}

// seconds is a duration as JUnit's attributes have it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
