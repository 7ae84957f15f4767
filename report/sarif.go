package report

import (
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/verdict"
)

// SARIF is the OASIS Static Analysis Results Interchange Format 2.1.0, which
// code scanning and editors read. Each finding is a result.
type SARIF struct {
	Dir     string // the working directory, absolute: files below it are named relative to it
	Version string // dnsloop's own
}

// srcRoot stands for Dir: code scanning takes paths relative to it for paths
// in the repository (SARIF 2.1.0 section 3.4.4).
const srcRoot = "%SRCROOT%"

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifRule struct {
	ID                   string    `json:"id"`
	ShortDescription     sarifText `json:"shortDescription"`
	FullDescription      sarifText `json:"fullDescription"`
	Help                 sarifText `json:"help"`
	DefaultConfiguration struct {
		Level verdict.Level `json:"level"`
	} `json:"defaultConfiguration"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool `json:"executionSuccessful"`
	ExitCode            int  `json:"exitCode"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     verdict.Level   `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI     string `json:"uri"`
	URIBase string `json:"uriBaseId,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name string `json:"name"`
}

// Write implements Writer.
func (s SARIF) Write(w io.Writer, r verdict.Report) error {
	run := sarifRun{
		Invocations: []sarifInvocation{{ExecutionSuccessful: !r.Stopped, ExitCode: r.ExitStatus}},
		Results:     []sarifResult{},
	}
	run.Tool.Driver = sarifDriver{
		Name: "dnsloop", Version: s.Version, InformationURI: "https://github.com/dnsloop/dnsloop",
		Rules: sarifRules(),
	}
	for _, f := range r.Findings {
		run.Results = append(run.Results, sarifResult{
			RuleID:    f.Code,
			RuleIndex: slices.IndexFunc(verdict.Codes, func(c verdict.Code) bool { return c.Code == f.Code }),
			Level:     f.Level,
			Message:   sarifText{cleanLines(append([]string{f.Message}, advice(f)...))},
			Locations: []sarifLocation{s.location(f.Source, r.Checks)},
		})
	}
	return writeJSON(w, sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

func sarifRules() []sarifRule {
	var rules []sarifRule
	for _, c := range verdict.Codes {
		rule := sarifRule{
			ID:               c.Code,
			ShortDescription: sarifText{c.Title},
			FullDescription:  sarifText{c.Meaning},
			Help:             sarifText{c.Meaning + "\nRun `dnsloop explain " + c.Code + "` for more."},
		}
		rule.DefaultConfiguration.Level = c.Level
		rules = append(rules, rule)
	}
	return rules
}

// location places a finding. GitHub's code scanning turns away a whole log in
// which one result lacks a physical location, so a finding without a file
// stands at the first file that was checked; only where there is none does it
// get a logical location.
func (s SARIF) location(at plan.Source, checks []verdict.CheckReport) sarifLocation {
	origin := at
	for i := 0; i < len(checks) && !hasFile(at); i++ {
		at = plan.Source{File: checks[i].Upstream.Source.File}
	}
	if !hasFile(at) {
		name := "command line"
		if origin.File != "" {
			name = place(origin)
		}
		return sarifLocation{Logical: []sarifLogical{{Name: name}}}
	}
	loc := sarifLocation{Physical: &sarifPhysical{Artifact: s.artifact(at.File)}}
	if at.Line > 0 {
		loc.Physical.Region = &sarifRegion{StartLine: at.Line}
	}
	return loc
}

// artifact is a file as a URI: relative to the source root below it, absolute
// elsewhere, since a relative one must not climb out (SARIF 2.1.0 section 3.4.3).
func (s SARIF) artifact(file string) sarifArtifact {
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.Dir, path)
	}
	rel := filepath.Clean(path)
	if s.Dir != "" {
		if r, err := filepath.Rel(s.Dir, path); err == nil {
			rel = r
		}
	}
	if filepath.IsLocal(rel) {
		u := url.URL{Path: filepath.ToSlash(rel)}
		return sarifArtifact{URI: u.String(), URIBase: srcRoot}
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a Windows drive
	}
	u := url.URL{Scheme: "file", Path: path}
	return sarifArtifact{URI: u.String()}
}
