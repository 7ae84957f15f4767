package corefile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/coredns/caddy/caddyfile"
)

// serverBlock is a block as the parser sees it, with the place of its keys.
type serverBlock struct {
	caddyfile.ServerBlock
	pos Pos
}

// parse groups words by server block and directive. It writes them out as a
// text for CoreDNS's parser, and puts the places that they came from back into
// the tokens that the parser returns.
func parse(words []word) ([]serverBlock, error) {
	text, places := write(words)
	parsed, err := caddyfile.Parse("", strings.NewReader(text), slices.Concat(directives, externals))
	if err != nil {
		return nil, positioned(err, places)
	}
	starts := blockStarts(words)
	blocks := make([]serverBlock, len(parsed))
	for i, b := range parsed {
		blocks[i].ServerBlock = b
		if i < len(starts) {
			blocks[i].pos = starts[i]
		}
		for j, key := range b.Keys {
			blocks[i].Keys[j] = strings.ReplaceAll(key, guarded, "import")
		}
		for _, tokens := range b.Tokens {
			restore(tokens, places)
		}
	}
	return blocks, nil
}

// write puts the words into a text that the lexer reads as the very same
// tokens, on a new line wherever the parser is to see one. It returns the
// places of the words by the line of that text. The first line is left empty:
// the lexer would drop a byte order mark at its beginning.
func write(words []word) (string, map[int][]Pos) {
	var b strings.Builder
	places := map[int][]Pos{}
	line := 1
	for i, w := range words {
		if w.fresh || i == 0 || newLine(words[i-1].Token, w.Token) {
			b.WriteByte('\n')
			line++
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(quote(guard(w.Text)))
		places[line] = append(places[line], Pos{w.File, w.Line})
		line += strings.Count(w.Text, "\n")
	}
	return b.String(), places
}

// guarded is what stands for a word "import" in the text for the parser. All
// imports are carried out by then: what is left of the word is an argument, or
// part of a snippet's body, and the parser must not read a file for it.
const guarded = "\uE000import"

func guard(s string) string {
	if s == "import" || expandEnv(s) == "import" {
		return guarded
	}
	return s
}

// quote writes a token so that the lexer reads it back. Inside quotes only
// quotes are escaped: a backslash stands for itself, and since the token came
// from the lexer it is never left over before a quote.
func quote(s string) string {
	special := func(r rune) bool { return unicode.IsSpace(r) || r == '#' }
	if s != "" && s[0] != '"' && !strings.ContainsFunc(s, special) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// restore gives tokens the places that they came from. The parser keeps a line
// for one directive; it drops what stands before it there, a block's keys and
// brace.
func restore(tokens []caddyfile.Token, places map[int][]Pos) {
	for from := 0; from < len(tokens); {
		line := tokens[from].Line
		to := from
		for to < len(tokens) && tokens[to].Line == line {
			to++
		}
		at := places[line]
		at = at[max(0, len(at)-(to-from)):]
		for i, p := range at {
			t := &tokens[from+i]
			t.File, t.Line = p.File, p.Line
			t.Text = strings.ReplaceAll(t.Text, guarded, "import")
		}
		from = to
	}
}

// blockStarts returns the places of the blocks' first keys. A file without
// braces is one block.
func blockStarts(words []word) []Pos {
	var starts []Pos
	depth, keys := 0, true
	for i, w := range words {
		switch {
		case w.Text == "{":
			depth++
			keys = false
		case w.Text == "}":
			depth--
			keys = depth == 0
		case keys && w.Text != "":
			keys = false
			if !isSnippet(w.Text) || i+1 == len(words) || words[i+1].Text != "{" {
				starts = append(starts, Pos{w.File, w.Line})
			}
		}
	}
	return starts
}

var parserMessage = pattern(`(?s)^:(\d+) - (?:Error during parsing|Syntax error): (.*)$`)

// positioned turns an error of the parser into one that names file and line.
func positioned(err error, places map[int][]Pos) error {
	m := parserMessage().FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	var pos Pos
	line, _ := strconv.Atoi(m[1])
	for ; line > 0 && pos == (Pos{}); line-- { // inside a token of many lines: where it begins
		if at := places[line]; len(at) > 0 {
			pos = at[len(at)-1]
		}
	}
	msg := strings.ReplaceAll(strings.ToLower(m[2][:1])+m[2][1:], guarded, "import")
	if msg == "unexpected EOF" {
		msg = "the file ends before a brace is closed"
	}
	return &Error{Pos: pos, Msg: msg}
}

// walker walks the tokens of one directive as CoreDNS's plugins do.
type walker struct{ caddyfile.Dispenser }

func walk(tokens []caddyfile.Token) *walker {
	return &walker{caddyfile.NewDispenserTokens("", tokens)}
}

// pos is the place of the current token.
func (w *walker) pos() Pos { return Pos{w.File(), w.Line()} }

// errorf is an *Error at the current token.
func (w *walker) errorf(format string, args ...any) error {
	return &Error{Pos: w.pos(), Msg: fmt.Sprintf(format, args...)}
}

// one returns the next argument, and an error where there is none on the line.
func (w *walker) one(what string) (string, error) {
	of := w.Val()
	if !w.NextArg() {
		return "", w.errorf("%s expects %s", of, what)
	}
	return w.Val(), nil
}

// some returns the remaining arguments, and an error where there are none.
func (w *walker) some(what string) ([]string, error) {
	of := w.Val()
	args := w.RemainingArgs()
	if len(args) == 0 {
		return nil, w.errorf("%s expects %s", of, what)
	}
	return args, nil
}

// none is an error where an argument follows.
func (w *walker) none() error {
	of := w.Val()
	if w.NextArg() {
		return w.errorf("%s takes no argument: %q", of, w.Val())
	}
	return nil
}
