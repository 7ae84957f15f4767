package corefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coredns/caddy/caddyfile"

	"github.com/dnsloop/dnsloop/spelling"
)

// Limits of what is read. A Corefile with a long list of hosts in it has some
// 10^5 tokens, one with many imports some dozens.
const (
	maxFileSize = 1 << 20 // bytes: the Corefile, each file that it imports or forwards to
	maxFiles    = 256     // imported, and files of one glob
	maxImports  = 1000    // carried out, those of snippets among them
	maxTokens   = 400_000 // after all imports

	maxEndpoints = 32768 // zones that all blocks serve, ports and schemes apart
	maxForwards  = 1024  // stanzas of one block
	maxHosts     = 128   // addresses that a block binds
)

// The parser carries out imports itself, with os.Open and hardly a limit: a
// device or a FIFO, files that import each other, and snippets that double
// twenty times over would hold it for ever or exhaust memory. So imports are
// carried out here, by its rules, and the parser sees a text without any.

// word is a token, and whether an import began or ended in front of it where a
// directive may stand: one begins there whatever the line numbers say.
type word struct {
	caddyfile.Token
	fresh bool
}

// expander replaces the imports of a Corefile by what they name, as doImport
// in caddyfile/parse.go does.
type expander struct {
	env      Env
	problems *[]Problem
	stack    [][]caddyfile.Token // what is still to be read, innermost last
	snippets map[string][]caddyfile.Token
	files    map[string][]caddyfile.Token
	imports  int
	out      []word

	fresh    bool // an import began or ended here
	depth    int  // of braces
	keys     bool // the next token is the first key of a block
	opened   bool // the last token opened a server block
	previous *caddyfile.Token
}

// expand returns the tokens of a Corefile with its imports carried out.
func expand(name string, data []byte, env Env, problems *[]Problem) ([]word, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: %w: larger than %d bytes", name, ErrLimit, maxFileSize)
	}
	x := &expander{
		env: env, problems: problems, keys: true,
		snippets: map[string][]caddyfile.Token{}, files: map[string][]caddyfile.Token{},
	}
	x.push(lex(name, data))
	for {
		t, ok := x.next()
		if !ok {
			return x.out, nil
		}
		var err error
		switch {
		case x.isImport(t):
			err = x.doImport(t)
		case x.keys && isSnippet(t.Text) && x.peek().Text == "{":
			err = x.define(t)
		default:
			x.emit(t)
			x.track(t)
		}
		if err == nil && len(x.out) > maxTokens {
			err = fmt.Errorf("%s:%d: %w: over %d words after imports", t.File, t.Line, ErrLimit, maxTokens)
		}
		if err != nil {
			return nil, err
		}
	}
}

// lex splits a file into tokens by CoreDNS's lexer.
func lex(name string, data []byte) []caddyfile.Token {
	var tokens []caddyfile.Token
	d := caddyfile.NewDispenser(name, bytes.NewReader(data))
	for d.Next() {
		tokens = append(tokens, caddyfile.Token{File: name, Line: d.Line(), Text: d.Val()})
	}
	return tokens
}

func (x *expander) push(tokens []caddyfile.Token) {
	if len(tokens) > 0 {
		x.stack = append(x.stack, tokens)
	}
}

func (x *expander) next() (caddyfile.Token, bool) {
	if len(x.stack) == 0 {
		return caddyfile.Token{}, false
	}
	top := &x.stack[len(x.stack)-1]
	t := (*top)[0]
	if *top = (*top)[1:]; len(*top) == 0 {
		x.stack = x.stack[:len(x.stack)-1]
	}
	return t, true
}

// peek is the token that next will return, empty at the end.
func (x *expander) peek() caddyfile.Token {
	if len(x.stack) == 0 {
		return caddyfile.Token{}
	}
	return x.stack[len(x.stack)-1][0]
}

func (x *expander) emit(t caddyfile.Token) {
	x.out = append(x.out, word{Token: t, fresh: x.fresh})
	x.fresh = false
	x.previous = &t
}

// track follows the braces.
func (x *expander) track(t caddyfile.Token) {
	x.keys, x.opened = false, false
	switch t.Text {
	case "{":
		x.depth++
		x.opened = x.depth == 1
	case "}":
		x.depth = max(0, x.depth-1)
		x.keys = x.depth == 0
	}
}

// isImport reports whether the parser would take the token for the directive:
// at the beginning of a line, and in a server block wherever a directive may
// begin.
func (x *expander) isImport(t caddyfile.Token) bool {
	if t.Text != "import" {
		return false
	}
	directive := x.opened || x.fresh && x.depth <= 1
	return directive || x.previous == nil || newLine(*x.previous, t)
}

// newLine is the parser's isNewLine: later in the same file, or another file.
func newLine(previous, t caddyfile.Token) bool {
	return previous.File != t.File || lastLine(previous) < t.Line
}

// lastLine is where a token ends: quoted ones may hold line breaks.
func lastLine(t caddyfile.Token) int {
	return t.Line + strings.Count(t.Text, "\n")
}

// isSnippet reports whether a key defines a snippet rather than a server block.
func isSnippet(key string) bool {
	return strings.HasPrefix(key, "(") && strings.HasSuffix(key, ")")
}

// define keeps a snippet's body and hands the definition on untouched, so that
// the parser can find what is wrong with it.
func (x *expander) define(key caddyfile.Token) error {
	name := strings.TrimSuffix(key.Text[1:], ")")
	x.emit(key)
	open, _ := x.next()
	x.emit(open)
	body := []caddyfile.Token{}
	for depth := 1; ; {
		t, ok := x.next()
		if !ok {
			return nil
		}
		if n := len(body); n > 0 && body[n-1].Text == "import" && expandEnv(t.Text) == name && (n == 1 || newLine(body[n-2], body[n-1])) {
			return &Error{Pos{t.File, t.Line}, fmt.Sprintf("the snippet %s imports itself", name)}
		}
		x.emit(t)
		switch t.Text {
		case "{":
			depth++
		case "}":
			depth--
		}
		if depth == 0 {
			break
		}
		body = append(body, t)
	}
	x.snippets[name] = body
	return nil
}

// doImport puts what an import names in its place.
func (x *expander) doImport(at caddyfile.Token) error {
	pos := Pos{at.File, at.Line}
	arg := x.peek()
	if newLine(at, arg) || arg.Text == "" || arg.Text == "{" {
		return &Error{pos, "import expects a file, a pattern or a snippet"}
	}
	x.next()
	if after := x.peek(); len(x.stack) > 0 && !newLine(arg, after) {
		return &Error{pos, fmt.Sprintf("import takes one file, pattern or snippet, and no argument beside it: %q", after.Text)}
	}
	pattern := expandEnv(arg.Text)
	if pattern == "" {
		return &Error{pos, fmt.Sprintf("import of nothing: %s is empty", arg.Text)}
	}
	if x.imports++; x.imports > maxImports {
		return &Error{pos, fmt.Sprintf("over %d imports: they lead to each other without an end", maxImports)}
	}
	x.fresh = true
	if body, ok := x.snippets[pattern]; ok {
		x.push(body)
		return nil
	}
	paths, err := x.match(pos, pattern)
	if err != nil {
		return err
	}
	var tokens []caddyfile.Token
	for _, path := range paths {
		more, err := x.file(pos, path)
		if err != nil {
			return err
		}
		if tokens = append(tokens, more...); len(tokens) > maxTokens {
			return fmt.Errorf("%s: import %s: %w: over %d words", pos, pattern, ErrLimit, maxTokens)
		}
	}
	x.push(tokens)
	return nil
}

// match returns the files that an import names, relative to the file that
// holds it.
func (x *expander) match(pos Pos, pattern string) ([]string, error) {
	full := pattern
	if !filepath.IsAbs(full) {
		dir, err := filepath.Abs(filepath.Dir(pos.File))
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", pos, pattern, err)
		}
		full = filepath.Join(dir, full)
	}
	if !strings.ContainsAny(full, "*?[") {
		return []string{full}, nil
	}
	if strings.Count(full, "*") > 1 || strings.Count(full, "?") > 1 || strings.Contains(full, "[") && strings.Contains(full, "]") {
		return nil, &Error{pos, fmt.Sprintf("import %s: a pattern may hold one wildcard only", pattern)}
	}
	if x.env.Glob == nil {
		x.problem(pos, "import %s: not known here, taken for no file", pattern)
		return nil, nil
	}
	paths, err := x.env.Glob(full)
	if err != nil {
		return nil, &Error{pos, fmt.Sprintf("import %s: %v", pattern, err)}
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("%s: import %s: %w: over %d files", pos, pattern, ErrLimit, maxFiles)
	}
	if len(paths) == 0 {
		x.problem(pos, "import %s: no file matches", pattern)
	}
	return paths, nil
}

// file returns the tokens of an imported file.
func (x *expander) file(pos Pos, path string) ([]caddyfile.Token, error) {
	if tokens, ok := x.files[path]; ok {
		return tokens, nil
	}
	if len(x.files) == maxFiles {
		return nil, fmt.Errorf("%s: import %s: %w: over %d files", pos, path, ErrLimit, maxFiles)
	}
	data, err := x.env.readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{pos, fmt.Sprintf("import %s: no such file, nor a snippet of that name above", path)}
	case errors.Is(err, ErrLimit):
		return nil, fmt.Errorf("%s: import: %w", pos, err)
	case err != nil:
		return nil, &Error{pos, fmt.Sprintf("import: %v", err)}
	}
	x.files[path] = lex(path, data)
	return x.files[path], nil
}

func (x *expander) problem(at Pos, format string, args ...any) {
	*x.problems = append(*x.problems, Problem{Pos: at, Reason: spelling.Printable(fmt.Sprintf(format, args...))})
}

func (e Env) readFile(path string) ([]byte, error) {
	if e.ReadFile == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	data, err := e.ReadFile(path)
	if err == nil && len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: %w: larger than %d bytes", path, ErrLimit, maxFileSize)
	}
	return data, err
}

var envReference = pattern(`\{\$([^}]+)\}|\{%(.+?)%\}`)

// expandEnv fills in {$VAR} and {%VAR%}, as the parser does for all tokens but
// those of imports.
func expandEnv(s string) string {
	return envReference().ReplaceAllStringFunc(s, func(ref string) string {
		return os.Getenv(strings.Trim(ref, "{$%}"))
	})
}
