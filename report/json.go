package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/verdict"
)

// JSON is the format for programs, "dnsloop/v1": docs/schema/dnsloop-v1.json
// describes it. Fields are only ever added; lists are [], never null. Strings
// keep their exact value, as a program that edits a file needs them, but
// whatever is not printable is escaped, so that the bytes are safe to show;
// only invalid UTF-8, which JSON cannot hold, becomes U+FFFD.
type JSON struct{}

type wireReport struct {
	Schema     string          `json:"schema"`
	Verdict    verdict.Verdict `json:"verdict"`
	ExitStatus int             `json:"exit_status"`
	ElapsedMS  float64         `json:"elapsed_ms"`
	Probed     bool            `json:"probed"`
	Stopped    bool            `json:"stopped"`
	Listeners  []wireListener  `json:"listeners"`
	Checks     []wireCheck     `json:"checks"`
	Findings   []wireFinding   `json:"findings"`
	Remedies   []wireRemedy    `json:"remedies"`
	BlindSpots []string        `json:"blind_spots"`
}

type wireListener struct {
	Address   string `json:"address"`
	Transport string `json:"transport"`
	State     string `json:"state"`
	Error     string `json:"error,omitempty"`
}

type wireSource struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

type wireCheck struct {
	Upstream      string             `json:"upstream"`
	Zone          string             `json:"zone"`
	Transport     string             `json:"transport"`
	Verdict       verdict.Verdict    `json:"verdict"`
	Source        wireSource         `json:"source"`
	Probed        bool               `json:"probed"`
	Unprobed      string             `json:"unprobed"`
	Allowed       string             `json:"allowed"`
	Sent          int                `json:"sent"`
	Answered      int                `json:"answered"`
	Returned      int                `json:"returned"`
	FirstReturnMS *float64           `json:"first_return_ms"`
	RTTMS         *float64           `json:"rtt_ms"`
	Failure       string             `json:"failure"`
	Detail        string             `json:"detail"`
	Alive         bool               `json:"alive"`
	Filtered      []string           `json:"filtered"`
	Unverified    string             `json:"unverified"`
	Missed        map[string]float64 `json:"missed_loop_probability"`
	Returns       []wireReturn       `json:"returns"`
	Findings      []string           `json:"findings"`
}

type wireReturn struct {
	Query     string  `json:"query"`
	From      string  `json:"from"`
	To        string  `json:"to"`
	Transport string  `json:"transport"`
	AfterMS   float64 `json:"after_ms"`
	Direct    bool    `json:"direct"`
}

type wireFinding struct {
	Code    string        `json:"code"`
	Level   verdict.Level `json:"level"`
	Message string        `json:"message"`
	File    string        `json:"file"`
	Doc     int           `json:"document"`
	Line    int           `json:"line"`
	Advice  []string      `json:"advice"`
}

type wireRemedy struct {
	Kind      string   `json:"kind"`
	Addresses []string `json:"addresses"`
	From      string   `json:"from"`
	Verified  bool     `json:"verified"`
	Change    string   `json:"change"`
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Old       string   `json:"old"`
	New       []string `json:"new"`
}

// Write implements Writer.
func (JSON) Write(w io.Writer, r verdict.Report) error {
	out := wireReport{
		Schema:     "dnsloop/v1",
		Verdict:    r.Verdict,
		ExitStatus: r.ExitStatus,
		ElapsedMS:  toMS(r.Elapsed),
		Probed:     r.Probed,
		Stopped:    r.Stopped,
		Listeners:  []wireListener{},
		Checks:     []wireCheck{},
		Findings:   []wireFinding{},
		Remedies:   []wireRemedy{},
		BlindSpots: blindSpots(r),
	}
	for _, e := range r.Ears {
		out.Listeners = append(out.Listeners, toWireListener(e))
	}
	for _, c := range r.Checks {
		out.Checks = append(out.Checks, toWireCheck(c))
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, wireFinding{
			Code: f.Code, Level: f.Level, Message: f.Message,
			File: f.Source.File, Doc: f.Doc, Line: f.Source.Line, Advice: list(f.Advice),
		})
	}
	for _, m := range r.Remedies {
		out.Remedies = append(out.Remedies, wireRemedy{
			Kind: m.Kind, Addresses: list(m.Addresses), From: m.From, Verified: m.Verified, Change: m.Change,
			File: m.File, Line: m.Line, Old: m.Old, New: list(m.New),
		})
	}
	return writeJSON(w, out)
}

func toWireListener(e probe.Ear) wireListener {
	l := wireListener{Address: e.Addr.String(), Transport: string(e.Transport), State: string(e.State)}
	if e.Err != nil {
		l.Error = e.Err.Error()
	}
	return l
}

func toWireCheck(c verdict.CheckReport) wireCheck {
	res := c.Result
	out := wireCheck{
		Upstream:  c.Upstream.String(),
		Zone:      c.Zone,
		Transport: string(c.Transport),
		Verdict:   c.Verdict,
		Source:    wireSource{File: c.Upstream.Source.File, Line: c.Upstream.Source.Line},
		Probed:    c.Probed,
		Unprobed:  c.Unprobed,
		Allowed:   c.Upstream.Allowed,
		Sent:      res.Sent,
		Answered:  res.Answered,
		Returned:  res.Returned,
		Failure:   string(res.Failure),
		Detail:    res.Detail, Alive: c.Result.Alive,
		Filtered:   list(res.Filtered),
		Unverified: res.Unverified,
		Returns:    []wireReturn{},
		Findings:   list(c.Codes),
	}
	if res.Answered > 0 {
		ms := toMS(res.RTT)
		out.RTTMS = &ms
	}
	for i, r := range res.Returns {
		ms := toMS(r.After)
		if i == 0 || ms < *out.FirstReturnMS {
			out.FirstReturnMS = &ms
		}
		out.Returns = append(out.Returns, wireReturn{
			Query: r.Query, From: r.From.String(), To: r.To.String(),
			Transport: string(r.Transport), AfterMS: ms, Direct: r.Direct,
		})
	}
	// Where nothing was asked there is no probability to give, and where a
	// probe returned the loop was not missed. No answer at all misses surely: 1.
	if c.Probed && res.Returned == 0 {
		out.Missed = map[string]float64{"2": missed(2, res.Answered), "3": missed(3, res.Answered)}
	}
	return out
}

// list is s, never nil.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// toMS is d in milliseconds with at most three decimals.
func toMS(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*1000) / 1000
}

// writeJSON writes v indented, with everything that is not printable as \u
// escapes: JSON itself allows bidirectional overrides and DEL as they are.
func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	var out bytes.Buffer
	for _, r := range b.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}
