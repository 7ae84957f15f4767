package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/google/go-cmp/cmp"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/report"
	"github.com/dnsloop/dnsloop/verdict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// writers are all formats by the ending of their golden files.
var writers = map[string]func(*bytes.Buffer, verdict.Report) error{
	"txt":       func(b *bytes.Buffer, r verdict.Report) error { return report.Text{}.Write(b, r) },
	"color.txt": func(b *bytes.Buffer, r verdict.Report) error { return report.Text{Color: true}.Write(b, r) },
	"json":      func(b *bytes.Buffer, r verdict.Report) error { return report.JSON{}.Write(b, r) },
	"sarif": func(b *bytes.Buffer, r verdict.Report) error {
		return report.SARIF{Dir: "/srv", Version: "v1"}.Write(b, r)
	},
	"xml":    func(b *bytes.Buffer, r verdict.Report) error { return report.JUnit{}.Write(b, r) },
	"github": func(b *bytes.Buffer, r verdict.Report) error { return report.GitHub{}.Write(b, r) },
	"md":     func(b *bytes.Buffer, r verdict.Report) error { return report.Summary(b, r) },
}

func write(t testing.TB, format string, r verdict.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := writers[format](&b, r); err != nil {
		t.Fatalf("write %s: %v", format, err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	golden := map[string][]string{}
	for _, f := range slices.Collect(maps.Keys(writers)) {
		golden[f] = []string{"mix", "hostile"}
	}
	golden["txt"] = []string{"mix", "hostile", "direct", "tls", "unprobed", "no-ear", "stopped", "many", "over-tcp", "chain", "lint"}
	golden["md"] = append(golden["md"], "many")
	golden["xml"] = append(golden["xml"], "no-ear", "unprobed", "over-tcp", "empty-read")
	for format, names := range golden {
		for _, name := range names {
			t.Run(name+"."+format, func(t *testing.T) {
				got := write(t, format, reports[name])
				file := filepath.Join("testdata", name+"."+format)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("(-golden +got):\n%s", diff)
				}
			})
		}
	}
}

func TestHeadlines(t *testing.T) {
	for name, want := range map[string]string{
		"mix":        "loop: 127.0.0.53:53 sends this server's own queries back to it",
		"direct":     "loop: 127.0.0.1:53 and 1 more send this server's own queries back to it",
		"tls":        "unknown: https://resolver.departme…net/dns-query/with/a/path gave no TLS session",
		"nothing":    "clear: nothing is forwarded, so nothing can come back",
		"unprobed":   "loop: 127.0.0.1:1053 leads back here: server blocks forward in a circle",
		"no-ear":     "unknown: could not listen where this server will, so no loop can be ruled out",
		"stopped":    "unknown: interrupted before every upstream had been judged",
		"one-clear":  "clear: 10.0.0.2:53 answered and no probe came back",
		"two-clear":  "clear: 2 upstreams answered and no probe came back",
		"over-tcp":   "clear: 1 upstream answered and no probe came back, 1 not probed",
		"empty-read": "loop: the kubelet's resolvConf is empty, which gives pods 127.0.0.1",
		"chain":      "clear: 127.0.0.1:5301 answered and no loop was found",
		"loopback":   "risk: 10.9.9.8:53 is a loopback address: elsewhere it is another server",
		"own":        "risk: 10.9.9.8:53 is this host's own address: it may lead back here",
		"unspec":     "risk: 10.9.9.8:53 is unspecified: readers take it for themselves",
		"cluster":    "risk: 10.9.9.8:53 is the cluster's DNS service: it may lead back here",
		"strays":     "risk: 10.9.9.8:53 may mean another server to another reader",
		"risks":      "risk: 10.9.9.8:53 and 1 more may mean another server to another reader",
		"self":       "loop: 10.9.9.8:53 is an address that this server itself will serve on",
		"seen-last":  "loop: 10.9.9.7:53 and 1 more send this server's own queries back to it",
		"service":    "loop: 10.9.9.8:53 is the cluster's DNS service, which is this very server",
		"bare-loop":  "loop: 10.9.9.8:53 leads straight back to this server",
		"refused":    "unknown: 10.9.9.0:53 refused the connection: a loop cannot be ruled out",
		"rcode":      "unknown: 10.9.9.0:53 answered with errors only: a loop cannot be ruled out",
		"no-route":   "unknown: 10.9.9.0:53 could not be reached: a loop cannot be ruled out",
		"unsent":     "unknown: 10.9.9.0:53 could not be asked: a loop cannot be ruled out",
		"elsewhere":  "unknown: 10.9.9.0:53 may loop where nobody could listen",
		"failures":   "unknown: 10.9.9.0:53 and 1 more gave no usable answer",
		"lint":       "clear: not probed; nothing in the configuration closes a circle",
		"no-checks":  "unknown: nothing was learned",
		"many":       "unknown: 10.1.9.166:53 and 29 more did not answer: a loop cannot be ruled out",
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := (report.Text{Quiet: true}).Write(&b, reports[name]); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want+"\n", b.String()); diff != "" {
				t.Errorf("quiet (-want +got):\n%s", diff)
			}
			if line, _, _ := strings.Cut(write(t, "txt", reports[name]), "\n"); line != want {
				t.Errorf("first line is %q, want %q", line, want)
			}
		})
	}
}

// The text of 10 000 checks is a page, not a book.
func TestTextIsBounded(t *testing.T) {
	got := write(t, "txt", reports["many"])
	if n := strings.Count(got, "\n"); n > 200 {
		t.Errorf("10 000 checks make %d lines, want at most 200", n)
	}
	if want := "and 2 450 more"; !strings.Contains(got, want) {
		t.Errorf("text lacks %q", want)
	}
}

// Advice is wrapped at 80 columns, but not inside a number, nor inside what is
// to be copied.
func TestWrap(t *testing.T) {
	const filler = "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01234567"
	for _, tt := range []struct{ in, want string }{
		{filler + " end", "  " + filler + " end\n"},
		{filler + " ends", "  " + filler + "\n  ends\n"},
		{filler + " 65 536 runs", "  " + filler + "\n  65 536 runs\n"},
		{filler + " `a b` c", "  " + filler + "\n  `a b` c\n"},
		{filler + " `a b c", "  " + filler + " `a\n  b c\n"},
		{strings.Repeat("x", 100) + " y", "  " + strings.Repeat("x", 100) + "\n  y\n"},
	} {
		r := verdict.Report{Verdict: verdict.Clear, Findings: []verdict.Finding{{Code: "DL001", Level: verdict.Note, Message: "m", Advice: []string{tt.in}}}}
		_, got, _ := strings.Cut(write(t, "txt", r), " m\n")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.in, diff)
		}
	}
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Colours add nothing but colours, whatever the environment says.
func TestColor(t *testing.T) {
	defer func(old bool) { color.NoColor = old }(color.NoColor)
	for name, r := range reports {
		color.NoColor = !color.NoColor
		plain, colored := write(t, "txt", r), write(t, "color.txt", r)
		if strings.Contains(plain, "\x1b") {
			t.Errorf("%s: an escape sequence in plain text", name)
		}
		if !strings.Contains(colored, "\x1b[") {
			t.Errorf("%s: no colour", name)
		}
		if diff := cmp.Diff(plain, ansi.ReplaceAllString(colored, "")); diff != "" {
			t.Errorf("%s: colour changes the text:\n%s", name, diff)
		}
	}
}

func TestFor(t *testing.T) {
	for _, format := range report.Formats {
		if _, err := report.For(format, report.Options{}); err != nil {
			t.Errorf("For(%q): %v", format, err)
		}
	}
	_, err := report.For("yaml", report.Options{})
	if want := `unknown format "yaml": want one of text, json, sarif, junit, github`; err == nil || err.Error() != want {
		t.Errorf("For(yaml): %v, want %s", err, want)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä 世":          "plain ä 世",
		`a\032b.`:            `a\032b.`,
		"a\tb":               "a b",
		"\x1b[31mred":        `\x1b[31mred`,
		"a\r\nb\x00\x7f":     `a\r\nb\x00\x7f`,
		"\xff\xc3":           `\xff\xc3`,
		"\u009b1m":           `\u009b1m`,
		"\u202eoff\u2066":    `\u202eoff\u2066`,
		"\u200b\ufeff\u2028": `\u200b\ufeff\u2028`,
		"\U000e0041":         `\U000e0041`,
		"\ufffd":             "\ufffd",
	} {
		if got := report.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// Whatever others wrote, no format has a raw control character in it, and the
// first line stays within 80 characters.
func FuzzHostile(f *testing.F) {
	f.Add("\x1b]0;title\a\u202e\xff\u2028")
	f.Add("::set-output name=a::b\n::error::c")
	f.Add(strings.Repeat("long.", 60) + "世界")
	f.Add("]]>&lt;%0A\r")
	f.Fuzz(func(t *testing.T, s string) {
		r := hostile(s)
		for format := range writers {
			if format == "color.txt" {
				continue
			}
			got := write(t, format, r)
			if !utf8.ValidString(got) {
				t.Errorf("%s is not UTF-8", format)
			}
			for _, c := range got {
				if c != '\n' && !unicode.IsPrint(c) {
					t.Errorf("%s has a raw %U", format, c)
				}
			}
		}
		for _, v := range []verdict.Verdict{verdict.Clear, verdict.Risk, verdict.Unknown, verdict.Loop} {
			for _, probed := range []bool{false, true} {
				r.Verdict, r.Probed = v, probed
				for i := range r.Checks {
					r.Checks[i].Verdict = v
				}
				line, _, _ := strings.Cut(write(t, "txt", r), "\n")
				if n := utf8.RuneCountInString(line); n > 80 || !strings.HasPrefix(line, string(v)+": ") {
					t.Errorf("first line has %d characters: %q", n, line)
				}
			}
		}
		if n := len(commands(write(t, "github", r))); n != len(r.Findings) {
			t.Errorf("%d workflow commands for %d findings", n, len(r.Findings))
		}
	})
}

// commands are the lines that GitHub's runner takes for commands.
func commands(out string) []string {
	var found []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") && !strings.HasPrefix(line, "::") {
			found = append(found, line)
		}
	}
	return found
}

// A clear run says what it leaves open; the zones that resolvers answer
// themselves are named where nothing else was asked.
func TestBlindSpots(t *testing.T) {
	clear := func(zones ...string) verdict.Report {
		var checks []verdict.CheckReport
		for _, z := range zones {
			checks = append(checks, check("10.0.0.2:53", z, plan.UDP, verdict.Clear, answered(8)))
		}
		return clearRun(checks...)
	}
	const odds, settled = "once in 256 runs", "does not use now"
	for name, tt := range map[string]struct {
		report verdict.Report
		want   []string // one for each sentence
	}{
		"the root":                     {clear("."), []string{odds, settled}},
		"a public zone":                {clear("example.org."), []string{odds, settled}},
		"a zone of RFC 8375":           {clear("lab.home.arpa."), []string{odds, settled, "answer lab.home.arpa. themselves"}},
		"private reverse zones":        {clear("1.10.in-addr.arpa.", "31.172.in-addr.arpa."), []string{odds, settled, "answer 1.10.in-addr.arpa., 31.172.in-addr.arpa. themselves"}},
		"beside the root":              {clear("test.", "."), []string{odds, settled}},
		"a public reverse zone":        {clear("32.172.in-addr.arpa."), []string{odds, settled}},
		"a loop":                       {loopOf("DL001"), nil},
		"nothing was answered":         {unknownOf(failed(probe.Silent, "")), nil},
		"nothing was sent (a linting)": {lint(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got struct {
				BlindSpots []string `json:"blind_spots"`
			}
			if err := json.Unmarshal([]byte(write(t, "json", tt.report)), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.BlindSpots) != len(tt.want) {
				t.Fatalf("got %q, want sentences with %q", got.BlindSpots, tt.want)
			}
			text := strings.Join(strings.Fields(write(t, "txt", tt.report)), " ")
			for i, want := range tt.want {
				if !strings.Contains(got.BlindSpots[i], want) {
					t.Errorf("got %q, want it to say %q", got.BlindSpots[i], want)
				}
				if !strings.Contains(text, got.BlindSpots[i]) {
					t.Errorf("the text lacks %q", got.BlindSpots[i])
				}
			}
		})
	}
}
