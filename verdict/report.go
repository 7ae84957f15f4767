package verdict

import (
	"time"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// Verdict is what a check, and the whole run, came to.
type Verdict string

// The verdicts, from best to worst.
const (
	Clear   Verdict = "clear"
	Risk    Verdict = "risk"
	Unknown Verdict = "unknown"
	Loop    Verdict = "loop"
)

// Level is how much a finding weighs.
type Level string

// The levels of findings.
const (
	Note    Level = "note"
	Warning Level = "warning"
	Error   Level = "error"
)

// Finding is one thing to know, with what to do about it.
type Finding struct {
	Code    string // "DL001"
	Level   Level
	Message string // one sentence, lower case, no final period
	Source  plan.Source
	Doc     int // document of a manifest, from 1; 0: the file is none
	// Advice is what it means (first entry), then the steps in order, each one
	// line to carry out.
	Advice []string
}

// CheckReport is one check with what came of it.
type CheckReport struct {
	plan.Check
	Verdict Verdict
	Result  probe.Result
	Probed  bool     // false: judged by address and configuration alone
	Codes   []string // of the findings that concern it, sorted
	// Captured says that probes came straight back though the upstream is no
	// address of this host: a rule turned them around, and it saw none of them.
	Captured bool
}

// Remedy is a change that was tried as far as it can be: its addresses were
// probed in the same run and found clear.
type Remedy struct {
	Kind      string   // "upstreams"
	Addresses []string // "10.0.0.2:53"
	From      string   // the file that names them
	Verified  bool
	Change    string // what to do, in one sentence with the line to write
	// File, Line, Old and New are the same change for a program: in File,
	// replace line Line, which reads Old, by the lines New.
	File string
	Line int
	Old  string
	New  []string
}

// Report is all that a run found.
type Report struct {
	Verdict    Verdict
	ExitStatus int
	Elapsed    time.Duration
	Probed     bool // false with --no-probe
	Stopped    bool // a signal ended the run
	Ears       []probe.Ear
	Checks     []CheckReport
	Findings   []Finding
	Remedies   []Remedy
}
