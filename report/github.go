package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/dnsloop/dnsloop/verdict"
)

// GitHub is the format of workflow commands: each finding becomes an annotation
// of the job and, where it has a file, of the line in the pull request. The
// verdict stands above them for the log.
type GitHub struct{}

// annotations are the commands for the levels.
var annotations = map[verdict.Level]string{verdict.Error: "error", verdict.Warning: "warning", verdict.Note: "notice"}

// The runner undoes these escapes, the second set in properties only.
var (
	commandData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// Write implements Writer.
func (GitHub) Write(w io.Writer, r verdict.Report) error {
	var b bytes.Buffer
	// The runner still honours the old form of commands, ##[name], anywhere in
	// a line that is no command of the new form.
	fmt.Fprintln(&b, strings.ReplaceAll(headline(r), "##[", "## ["))
	titles := map[string]string{}
	for _, c := range verdict.Codes {
		titles[c.Code] = c.Title
	}
	for _, f := range r.Findings {
		b.WriteString("::" + annotations[f.Level] + " ")
		if hasFile(f.Source) {
			b.WriteString("file=" + commandProperty.Replace(Clean(f.Source.File)) + ",")
			if f.Source.Line > 0 {
				fmt.Fprintf(&b, "line=%d,", f.Source.Line)
			}
		}
		b.WriteString("title=" + commandProperty.Replace(Clean(f.Code+" "+titles[f.Code])))
		b.WriteString("::" + commandData.Replace(cleanLines(append([]string{f.Message}, advice(f)...))) + "\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Summary writes the report as the Markdown of a job summary, for the file that
// GITHUB_STEP_SUMMARY names: the verdict, the checks with their evidence, the
// findings with their advice, the remedies, no more of each than a page holds.
func Summary(w io.Writer, r verdict.Report) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "### dnsloop: %s\n\n%s\n", markdown(string(r.Verdict)), markdown(headline(r)))
	if r.Stopped {
		b.WriteString("\nInterrupted: this is what was known by then.\n")
	}
	if all := groups(r.Checks); len(all) > 0 {
		b.WriteString("\n| verdict | upstream | asked | evidence |\n| --- | --- | --- | --- |\n")
		for _, g := range all[:min(shown, len(all))] {
			name := g.name
			if at := place(g.source); at != "" {
				name += " (" + at + ")"
			}
			var evidence []string
			for _, line := range g.evidence() {
				evidence = append(evidence, markdown(line))
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", markdown(string(g.verdict)), markdown(name), markdown(g.scope()), strings.Join(evidence, "<br>"))
		}
		writeMore(&b, len(all))
	}
	for _, f := range r.Findings[:min(shown, len(r.Findings))] {
		at := place(f.Source)
		if at != "" {
			at += ": "
		}
		fmt.Fprintf(&b, "\n**%s %s** %s\n\n", markdown(string(f.Level)), markdown(f.Code), markdown(at+f.Message))
		for i, entry := range f.Advice {
			if i == 0 {
				fmt.Fprintf(&b, "%s\n\n", markdown(entry))
			} else {
				fmt.Fprintf(&b, "%d. %s\n", i, markdown(entry))
			}
		}
	}
	writeMore(&b, len(r.Findings))
	for _, m := range r.Remedies[:min(shown, len(r.Remedies))] {
		fmt.Fprintf(&b, "\n**%s** %s\n", remedyTitle(m), markdown(m.Change))
	}
	writeMore(&b, len(r.Remedies))
	_, err := w.Write(b.Bytes())
	return err
}

func writeMore(b *bytes.Buffer, n int) {
	if n > shown {
		fmt.Fprintf(b, "\nand %s more\n", grouped(n-shown))
	}
}

// markdown is a foreign string as plain text in GitHub's Markdown: no markup,
// no HTML, no mention, no link that is made of bare text.
func markdown(s string) string { return markdownEscapes.Replace(Clean(s)) }

var markdownEscapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;",
	"|", `\|`, "~", `\~`, "#", `\#`, "@", `\@`, "!", `\!`, "://", `:\/\/`, "www.", `www\.`, "$", `\$`)
