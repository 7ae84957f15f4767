package forwarders

import (
	"fmt"
	"slices"
	"strings"
)

// statement is WORD ... [{ STATEMENT; ... } ...]; of a named.conf.
type statement struct {
	words  []quotable    // in front of the first block
	blocks [][]statement // each with its braces closed
	Pos
}

// quotable is a word, which is another thing within quotes in some places.
type quotable struct {
	place
	quoted bool
}

// word is the statement's word at an index, in lower case; empty where there is none.
func (s statement) word(i int) string {
	if i < len(s.words) {
		return strings.ToLower(s.words[i].text)
	}
	return ""
}

// block is the statement's first one, and whether it has any.
func (s statement) block() ([]statement, bool) {
	if len(s.blocks) == 0 {
		return nil, false
	}
	return s.blocks[0], true
}

// namedParser turns a file, and those that it includes, into statements.
type namedParser struct {
	*reader
	text string
	pos  Pos
	dir  *string // where named works, since a directory statement
	deep int     // braces around
	nest int     // files around
	made *int    // statements of all files
}

// The kinds of tokens beside { } ; and !.
const (
	wordToken   = 'w'
	stringToken = '"'
	endToken    = 0
)

// next takes a token: its kind, its text, and where it begins.
func (p *namedParser) next() (kind byte, text string, at Pos, err error) {
	if err := p.blank(); err != nil {
		return 0, "", p.pos, err
	}
	at = p.pos
	switch {
	case p.text == "":
		return endToken, "", at, nil
	case strings.IndexByte("{};!", p.text[0]) >= 0:
		kind, text = p.text[0], p.text[:1]
		p.text = p.text[1:]
		return kind, text, at, nil
	case p.text[0] == '"':
		text, err = p.quoted()
		return stringToken, text, at, err
	}
	n := strings.IndexAny(p.text, " \t\r\n{};!\"")
	if n < 0 {
		n = len(p.text)
	}
	text, p.text = p.text[:n], p.text[n:]
	return wordToken, text, at, nil
}

// blank skips blanks, newlines and the three kinds of comments. A comment begins
// where a word could, not within one.
func (p *namedParser) blank() error {
	for p.text != "" {
		switch {
		case p.text[0] == '\n':
			p.pos.Line++
			p.text = p.text[1:]
		case strings.IndexByte(" \t\r", p.text[0]) >= 0:
			p.text = p.text[1:]
		case p.text[0] == '#', strings.HasPrefix(p.text, "//"):
			end := strings.IndexByte(p.text, '\n')
			if end < 0 {
				end = len(p.text)
			}
			p.text = p.text[end:]
		case strings.HasPrefix(p.text, "/*"):
			end := strings.Index(p.text[2:], "*/")
			if end < 0 {
				return errorf(p.pos, "expected the end of a comment, */")
			}
			p.pos.Line += strings.Count(p.text[:end+2], "\n")
			p.text = p.text[end+4:]
		default:
			return nil
		}
	}
	return nil
}

// quoted takes a string, in which a backslash takes the next character along.
func (p *namedParser) quoted() (string, error) {
	var b strings.Builder
	at := p.pos
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.text = p.text[i+1:]
			return b.String(), nil
		case c == '\n':
			p.pos.Line++
		case c == '\\' && i+1 < len(p.text) && p.text[i+1] != '\n':
			i++
		}
		b.WriteByte(p.text[i])
	}
	return "", errorf(at, `expected a closing "`)
}

// statements takes those up to the end of the file, or of the braces.
func (p *namedParser) statements() ([]statement, error) {
	var out []statement
	for {
		s, end, err := p.statement()
		switch {
		case err != nil:
			return nil, err
		case end:
			return out, nil
		}
		switch s.word(0) {
		case "include":
			more, err := p.include(s)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		case "directory":
			if len(s.words) == 2 {
				*p.dir = rooted(*p.dir, s.words[1].text)
			}
		}
		out = append(out, s)
		if *p.made++; *p.made > maxParts {
			return nil, fmt.Errorf("%s: %w: over %d statements", s.Pos, ErrLimit, maxParts)
		}
	}
}

// statement takes one; end says that the file or the braces ended instead.
func (p *namedParser) statement() (s statement, end bool, err error) {
	for {
		kind, text, at, err := p.next()
		if err != nil {
			return s, false, err
		}
		first := len(s.words)+len(s.blocks) == 0
		if first {
			s.Pos = at
		}
		switch kind {
		case endToken, '}':
			switch {
			case !first:
				return s, false, errorf(at, "expected ; behind %q", s.last())
			case kind == endToken && p.deep > 0:
				return s, false, errorf(at, "expected } before the end of the file")
			case kind == '}' && p.deep == 0:
				return s, false, errorf(at, "expected a statement, got }")
			}
			return s, true, nil
		case ';':
			if first {
				return s, false, errorf(at, "expected a statement, got ;")
			}
			return s, false, nil
		case '{':
			p.deep++
			if err := deeper(at, p.deep, "braces"); err != nil {
				return s, false, err
			}
			block, err := p.statements()
			if err != nil {
				return s, false, err
			}
			p.deep--
			s.blocks = append(s.blocks, block)
		default:
			if len(s.blocks) == 0 { // what stands behind a block is for others
				s.words = append(s.words, quotable{place{text, at}, kind == stringToken})
			}
		}
	}
}

// last is what a statement ends in, for a message.
func (s statement) last() string {
	if len(s.blocks) > 0 || len(s.words) == 0 {
		return "}"
	}
	return s.words[len(s.words)-1].text
}

// include reads the statements of a file in the place of its name.
func (p *namedParser) include(s statement) ([]statement, error) {
	if len(s.words) != 2 || !s.words[1].quoted || len(s.blocks) > 0 {
		return nil, errorf(s.Pos, `expected include "FILE";`)
	}
	if err := deeper(s.Pos, p.nest+1, "files"); err != nil {
		return nil, err
	}
	path := rooted(*p.dir, s.words[1].text)
	paths := []string{path}
	if strings.ContainsAny(path, "*?[") && p.env.Glob != nil {
		matches, err := p.env.Glob(path)
		if err != nil || len(matches) == 0 {
			return nil, errorf(s.Pos, "expected a file that exists, got %s", path)
		}
		paths = matches
	}
	var out []statement
	for _, path := range paths {
		data, err := p.mustRead(s.Pos, path)
		if err != nil {
			return nil, err
		}
		inner := namedParser{reader: p.reader, text: string(data), pos: Pos{path, 1}, dir: p.dir, nest: p.nest + 1, made: p.made}
		more, err := inner.statements()
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// all lists the statements that begin with one of the words.
func all(ss []statement, words ...string) []statement {
	var out []statement
	for _, s := range ss {
		if slices.Contains(words, s.word(0)) {
			out = append(out, s)
		}
	}
	return out
}

// one is the statement that begins with one of the words. BIND takes no two of them.
func one(ss []statement, words ...string) (statement, bool, error) {
	found := all(ss, words...)
	switch len(found) {
	case 0:
		return statement{}, false, nil
	case 1:
		return found[0], true, nil
	}
	return found[0], true, errorf(found[1].Pos, "expected %s once, it stands at %s too", words[0], found[0].Pos)
}
