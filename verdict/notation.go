package verdict

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/corefile"
)

// notation is how a kind of file names upstreams.
type notation struct {
	// find lists the parts of a line that a word of it stands for.
	find func(line, word string) []span
	// write words an upstream; it is empty where this kind of file cannot.
	write func(netip.AddrPort) string
	// single says that a line names one upstream: more of them are more lines,
	// and none is no line.
	single bool
	most   int // upstreams that the readers of a choice take
}

// span is a part of a line, in bytes.
type span struct{ from, to int }

// resolvConf is the notation of a resolv.conf. A nameserver line is written
// anew, without what stands behind the address: above all without a carriage
// return, which the C library takes for a part of it.
var resolvConf = notation{
	find: func(line, _ string) []span { return []span{{0, len(line)}} },
	write: func(a netip.AddrPort) string {
		if a.Port() != dnsPort {
			return "" // a nameserver line cannot name one
		}
		return nameserver(a)
	},
	single: true,
	most:   maxNameservers,
}

// forwardLine is the notation of a Corefile's forward, where the word behind
// the plugin's name is a zone.
var forwardLine = notation{
	find: func(line, word string) []span {
		var out []span
		words := corefile.Words(line)
		for i, w := range words {
			if w.Text == word && (i == 0 || words[i-1].Text != "forward") {
				out = append(out, span{w.From, w.To})
			}
		}
		return out
	},
	write: short,
	most:  15, // max in plugin/forward/setup.go
}

// rewrite takes mentions out of the line that they are of, puts upstreams in
// the place of the first, and returns the lines that this makes and the
// mentions that were found. All else of the line stays as it is.
func (n *notation) rewrite(line string, ms []mention, add []string) ([]string, []mention) {
	var spans []span
	var gone []mention
	for _, m := range ms {
		if found := n.find(line, m.word); len(found) > 0 {
			spans, gone = append(spans, found...), append(gone, m)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	if !n.single {
		add = []string{strings.Join(add, " ")}
	}
	var out []string
	for _, text := range add {
		out = append(out, replace(line, spans, text))
	}
	return out, gone
}

// replace puts text in the place of the first of some words of a line, and
// takes out the others with the blanks behind them, or before them where they
// end the line.
func replace(line string, spans []span, text string) string {
	const blanks = " \t"
	var b strings.Builder
	rest := 0 // of the line: what is not copied yet
	for _, s := range spans {
		b.WriteString(line[rest:s.from])
		b.WriteString(text)
		rest = s.to
		after := strings.TrimLeft(line[rest:], blanks)
		switch {
		case text != "" && after == line[rest:] && strings.Trim(after, "\r") != "":
			b.WriteByte(' ') // a quote may end a word that another follows at once
		case text == "" && strings.Trim(after, "\r") != "":
			rest = len(line) - len(after)
		case text == "":
			before := strings.TrimRight(b.String(), blanks)
			b.Reset()
			b.WriteString(before)
			rest = len(line) - len(after)
		}
		text = ""
	}
	return b.String() + line[rest:]
}
