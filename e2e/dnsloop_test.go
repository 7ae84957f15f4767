package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// report is dnsloop's JSON as far as these tests read it.
type report struct {
	Schema     string
	Verdict    string
	ExitStatus int     `json:"exit_status"`
	ElapsedMS  float64 `json:"elapsed_ms"`
	Listeners  []struct {
		Address, Transport, State string
	}
	Checks []struct {
		Upstream, Zone, Transport, Verdict string
		Source                             struct {
			File string
			Line int
		}
		Sent, Answered, Returned int
		Findings                 []string
	}
	Findings []struct {
		Code, Level, Message, File string
		Line                       int
		Advice                     []string
	}
	Remedies []struct {
		Addresses    []string
		From, Change string
		Verified     bool
	}
}

// has says whether the run has a finding of the code.
func (r report) has(code string) bool {
	for _, f := range r.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

// over lists the verdicts of the checks of one transport.
func (r report) over(transport string) []string {
	var verdicts []string
	for _, c := range r.Checks {
		if c.Transport == transport {
			verdicts = append(verdicts, c.Verdict)
		}
	}
	return verdicts
}

// dnsloop runs dnsloop on the host to its end and returns its report and exit
// status, which it holds against each other.
func (h *host) dnsloop(args ...string) (report, int) {
	h.t.Helper()
	return runDNSLoop(h.t, h.command(append([]string{dnsloopBin, "-f", "json"}, args...)...))
}

func runDNSLoop(t *testing.T, cmd *exec.Cmd) (report, int) {
	t.Helper()
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	timer := time.AfterFunc(2*patience, func() { cmd.Process.Kill() }) //nolint:errcheck // seen as its status
	err := cmd.Run()
	timer.Stop()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status := cmd.ProcessState.ExitCode()
	r := parseReport(t, out.Bytes(), diag.String())
	if r.ExitStatus != status {
		t.Errorf("exit status %d, but the report says %d", status, r.ExitStatus)
	}
	return r, status
}

// nullList finds a list of the contract that is null where it must be empty.
var nullList = regexp.MustCompile(`"(listeners|checks|returns|findings|remedies|advice|addresses)": ?null`)

// parseReport decodes a report and checks what holds for every one.
func parseReport(t *testing.T, out []byte, diag string) report {
	t.Helper()
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("standard output is no report: %v\n%s\nstandard error:\n%s", err, out, diag)
	}
	if r.Schema != "dnsloop/v1" {
		t.Errorf("schema %q", r.Schema)
	}
	if list := nullList.Find(out); list != nil {
		t.Errorf("a list is null: %s", list)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("dnsloop:\n%s\n%s", out, diag)
		}
	})
	return r
}

// expect compares a run with what it must come to; a code with a leading "-"
// must not be among the findings.
func (r report) expect(t *testing.T, status int, verdict string, wantStatus int, codes ...string) {
	t.Helper()
	if r.Verdict != verdict || status != wantStatus {
		t.Errorf("verdict %s, exit status %d; want %s, %d", r.Verdict, status, verdict, wantStatus)
	}
	for _, code := range codes {
		name, absent := strings.CutPrefix(code, "-")
		if r.has(name) == absent {
			t.Errorf("findings %v; want %s", r.codes(), code)
		}
	}
	// A loop is only ever said with its proof.
	proofs := []string{"DL001", "DL002", "DL006", "DL010"}
	proven := slices.ContainsFunc(proofs, func(code string) bool { return r.hasError(code) })
	if (r.Verdict == "loop") != proven {
		t.Errorf("verdict %s with findings %v", r.Verdict, r.codes())
	}
}

func (r report) hasError(code string) bool {
	for _, f := range r.Findings {
		if f.Code == code && f.Level == "error" {
			return true
		}
	}
	return false
}

func (r report) codes() []string {
	var codes []string
	for _, f := range r.Findings {
		codes = append(codes, f.Code+" "+f.Level)
	}
	return codes
}
