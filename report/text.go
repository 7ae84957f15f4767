package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"

	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/verdict"
)

// shown is how many items of a kind a report for people lists: past that, they
// are counted.
const shown = 20

// Text is the format for people: the verdict first, then what it rests on, then
// what to do.
type Text struct {
	Color bool // with ANSI colours
	Quiet bool // the verdict line alone
}

// Write implements Writer.
func (t Text) Write(w io.Writer, r verdict.Report) error {
	p := newPage(t.Color)
	p.headline(r)
	if !t.Quiet {
		p.checks(r)
		p.ears(r.Ears)
		p.limits(r)
		p.findings(r.Findings)
		p.remedies(r.Remedies)
	}
	_, err := w.Write(p.b.Bytes())
	return err
}

// page collects the text. All of it passes through put, which cleans it, so
// the only escape sequences in it are the page's own.
type page struct {
	b                    bytes.Buffer
	verdicts             map[verdict.Verdict]*color.Color
	levels               map[verdict.Level]*color.Color
	plain, strong, faint *color.Color
}

func newPage(colored bool) *page {
	// The library's own switch looks at standard output and the environment;
	// whether this page has colours was decided by the caller.
	paint := func(attributes ...color.Attribute) *color.Color {
		c := color.New(attributes...)
		if colored {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
		return c
	}
	red, yellow := paint(color.FgRed, color.Bold), paint(color.FgYellow)
	plain := color.New()
	plain.DisableColor()
	return &page{
		verdicts: map[verdict.Verdict]*color.Color{
			verdict.Loop: red, verdict.Unknown: yellow, verdict.Risk: paint(color.FgMagenta), verdict.Clear: paint(color.FgGreen),
		},
		levels: map[verdict.Level]*color.Color{verdict.Error: red, verdict.Warning: yellow, verdict.Note: plain},
		plain:  plain, strong: paint(color.Bold), faint: paint(color.Faint),
	}
}

func (p *page) put(c *color.Color, s string) { p.b.WriteString(c.Sprint(Clean(s))) }

func (p *page) newline() { p.b.WriteByte('\n') }

// paragraph puts s wrapped: first before its first line, spaces as wide before
// the others.
func (p *page) paragraph(c *color.Color, first, s string) {
	indent := utf8.RuneCountInString(first)
	for i, line := range wrap(s, indent) {
		if i > 0 {
			first = strings.Repeat(" ", indent)
		}
		p.put(p.plain, first)
		p.put(c, line)
		p.newline()
	}
}

func (p *page) headline(r verdict.Report) {
	word, rest, _ := strings.Cut(headline(r), ":")
	p.put(p.verdicts[r.Verdict], word)
	p.put(p.plain, ":"+rest)
	p.newline()
}

// checks puts a block for each group that is not clear and a line for each
// that is.
func (p *page) checks(r verdict.Report) {
	all := groups(r.Checks)
	firstClear := slices.IndexFunc(all, func(g group) bool { return g.verdict == verdict.Clear })
	if firstClear < 0 {
		firstClear = len(all)
	}
	if r.Stopped {
		p.newline()
		p.put(p.strong, "interrupted: this is what was known by then")
		p.newline()
	}
	bad, good := all[:firstClear], all[firstClear:]
	for _, g := range bad[:min(shown, len(bad))] {
		p.newline()
		p.title(g)
		p.newline()
		for _, line := range g.evidence() {
			p.paragraph(p.plain, "         ", line)
		}
	}
	p.more(len(bad))
	if len(good) > 0 {
		p.newline()
	}
	for _, g := range good[:min(shown, len(good))] {
		p.title(g)
		p.put(p.faint, "  "+clearEvidence(g))
		p.newline()
	}
	p.more(len(good))
}

func (p *page) title(g group) {
	p.put(p.verdicts[g.verdict], fmt.Sprintf("%-7s", g.verdict))
	p.put(p.strong, "  "+g.name)
	p.put(p.plain, "  "+g.scope())
	if at := place(g.source); at != "" {
		p.put(p.faint, "  ("+at+")")
	}
}

func clearEvidence(g group) string {
	if !g.probed {
		return strings.Join(append([]string{g.unprobed()}, g.remarks()...), "; ")
	}
	sent, answered, returned, slowest := g.totals()
	s := fmt.Sprintf("%s of %s answered, slowest after %s", grouped(answered), grouped(sent), milliseconds(slowest))
	if returned > 0 {
		s += fmt.Sprintf(", %s came back", grouped(returned))
	}
	return strings.Join(append([]string{s}, g.remarks()...), "; ")
}

// more says how many of n items are not shown.
func (p *page) more(n int) {
	if n > shown {
		p.put(p.faint, fmt.Sprintf("and %s more", grouped(n-shown)))
		p.newline()
	}
}

// ears names the addresses where nothing could come home.
func (p *page) ears(ears []probe.Ear) {
	failed := slices.DeleteFunc(slices.Clone(ears), func(e probe.Ear) bool { return e.State == probe.Listening })
	if len(failed) > 0 {
		p.newline()
	}
	for _, e := range failed[:min(shown, len(failed))] {
		s := fmt.Sprintf("%s over %s: %s", e.Addr, e.Transport, e.State)
		if e.Err != nil {
			s += fmt.Sprintf(" (%v)", e.Err)
		}
		p.paragraph(p.plain, "not listening  ", s)
	}
	p.more(len(failed))
}

// limits says what a run without a return does not prove.
func (p *page) limits(r verdict.Report) {
	spots := blindSpots(r)
	if len(spots) > 0 {
		p.newline()
	}
	for _, s := range spots {
		p.paragraph(p.faint, "", s)
	}
}

// findings puts each finding with its advice; advice that stands above already
// is not said again.
func (p *page) findings(findings []verdict.Finding) {
	said := map[string]bool{}
	for _, f := range findings[:min(shown, len(findings))] {
		p.newline()
		p.put(p.levels[f.Level], string(f.Level))
		p.put(p.strong, " "+f.Code)
		p.put(p.plain, " ")
		message := f.Message
		if at := place(f.Source); at != "" {
			message = at + ": " + message
		}
		// The first line stands behind level and code, the others under it.
		indent := len(string(f.Level) + " " + f.Code + " ")
		for i, line := range wrap(message, indent) {
			if i > 0 {
				p.put(p.plain, strings.Repeat(" ", indent))
			}
			p.put(p.plain, line)
			p.newline()
		}
		p.advice(f, said)
	}
	p.more(len(findings))
}

func (p *page) advice(f verdict.Finding, said map[string]bool) {
	key := f.Code + strings.Join(f.Advice, "\x00")
	if len(f.Advice) > 0 && said[key] {
		p.put(p.faint, "  advice: as above for "+f.Code)
		p.newline()
		return
	}
	said[key] = true
	for i, entry := range f.Advice {
		if i == 0 {
			p.paragraph(p.plain, "  ", entry)
		} else {
			p.paragraph(p.plain, fmt.Sprintf("  %d. ", i), entry)
		}
	}
}

func remedyTitle(r verdict.Remedy) string {
	if r.Verified {
		return "verified remedy"
	}
	return "remedy"
}

// remedies puts each change with the lines to write, which are not wrapped:
// they are there to be copied.
func (p *page) remedies(remedies []verdict.Remedy) {
	for _, r := range remedies[:min(shown, len(remedies))] {
		p.newline()
		p.put(p.verdicts[verdict.Clear], remedyTitle(r))
		p.newline()
		p.paragraph(p.plain, "  ", r.Change)
		if r.From != "" {
			p.paragraph(p.faint, "  ", fmt.Sprintf("%s, from %s", strings.Join(r.Addresses, ", "), r.From))
		}
		if r.Old != "" {
			p.put(p.faint, "  - "+strings.TrimSuffix(r.Old, "\r"))
			p.newline()
		}
		for _, line := range r.New {
			p.put(p.strong, "  + "+strings.TrimSuffix(line, "\r"))
			p.newline()
		}
	}
	p.more(len(remedies))
}
