// Package report writes a verdict.Report in the formats that people and
// pipelines read. It is pure: it judges nothing and knows no file, no terminal
// and no environment. What others wrote (names, file contents, errors) passes
// through Clean, or an encoding as strict, before it reaches any format.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/verdict"
)

// Writer writes a report in one format, in a single call to w.Write. Its error
// is that of w.
type Writer interface {
	Write(w io.Writer, r verdict.Report) error
}

// Formats lists the names that For knows.
var Formats = []string{"text", "json", "sarif", "junit", "github"}

// Options is what the formats need to know beside the report.
type Options struct {
	Color   bool   // text: with ANSI colours
	Quiet   bool   // text: the verdict line alone
	Dir     string // sarif: the working directory, an absolute path
	Version string // sarif: dnsloop's own version
}

// For returns the writer of a format, or an error that lists the formats.
func For(format string, o Options) (Writer, error) {
	switch format {
	case "text":
		return Text{Color: o.Color, Quiet: o.Quiet}, nil
	case "json":
		return JSON{}, nil
	case "sarif":
		return SARIF{Dir: o.Dir, Version: o.Version}, nil
	case "junit":
		return JUnit{}, nil
	case "github":
		return GitHub{}, nil
	}
	return nil, fmt.Errorf("unknown format %q: want one of %s", format, strings.Join(Formats, ", "))
}

// place is where something was read, in the file:line form that editors and
// terminals follow; empty for the command line.
func place(s plan.Source) string {
	file := s.File
	if file == "-" {
		file = "standard input"
	}
	if file == "" || s.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, s.Line)
}

// hasFile says that a source is a file by name, which neither the command
// line nor standard input is.
func hasFile(s plan.Source) bool { return s.File != "" && s.File != "-" }

// advice is a finding's advice as lines: the meaning, then the steps numbered.
func advice(f verdict.Finding) []string {
	lines := slices.Clone(f.Advice)
	for i := 1; i < len(lines); i++ {
		lines[i] = fmt.Sprintf("%d. %s", i, lines[i])
	}
	return lines
}

// withVerdict lists the checks that came to v.
func withVerdict(checks []verdict.CheckReport, v verdict.Verdict) []verdict.CheckReport {
	var out []verdict.CheckReport
	for _, c := range checks {
		if c.Verdict == v {
			out = append(out, c)
		}
	}
	return out
}
