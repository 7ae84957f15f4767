package forwarders

import "strings"

// lexer takes keywords and values off a file as configlexer.lex does: whether a
// word is one or the other hangs on how many values the keyword before it has.
type lexer struct {
	text string
	pos  Pos
}

// blank skips what stands between words: blanks, newlines, comments.
func (l *lexer) blank() {
	for l.text != "" {
		switch c := l.text[0]; {
		case c == '\n':
			l.pos.Line++
			l.text = l.text[1:]
		case strings.IndexByte(" \t\r", c) >= 0:
			l.text = l.text[1:]
		case c == '#':
			end := strings.IndexByte(l.text, '\n')
			if end < 0 {
				end = len(l.text)
			}
			l.text = l.text[end:]
		default:
			return
		}
	}
}

// run is how long the unquoted word at the start of s is; a backslash takes what
// follows into it. It also ends before stop.
func run(s, stop string) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] != '\n':
			i++
		case strings.IndexByte(" \t\r\n'\"\\", s[i]) >= 0, strings.IndexByte(stop, s[i]) >= 0:
			return i
		}
	}
	return len(s)
}

// keyword takes a keyword with its colon; empty at the end of the file.
func (l *lexer) keyword() (string, error) {
	l.blank()
	if l.text == "" {
		return "", nil
	}
	n := run(l.text, ":")
	if n == 0 || !strings.HasPrefix(l.text[n:], ":") {
		return "", errorf(l.pos, "expected a keyword with a colon, got %q", l.text[:max(1, n)])
	}
	word := l.text[:n]
	l.text = l.text[n+1:]
	return word, nil
}

// value takes a value of a keyword, with or without quotes.
func (l *lexer) value(keyword string) (place, error) {
	l.blank()
	at := l.pos
	if l.text == "" {
		return place{}, errorf(at, "%s: expected a value", keyword)
	}
	if q := l.text[0]; q == '"' || q == '\'' {
		end := 1
		for ; end < len(l.text) && l.text[end] != q && l.text[end] != '\n'; end++ {
			if l.text[end] == '\\' && end+1 < len(l.text) && l.text[end+1] != '\n' {
				end++
			}
		}
		if end >= len(l.text) || l.text[end] != q {
			return place{}, errorf(at, "expected a closing %c", q)
		}
		word := l.text[1:end]
		l.text = l.text[end+1:]
		return place{word, at}, nil
	}
	n := run(l.text, "")
	if n == 0 {
		return place{}, errorf(at, "%s: expected a value, got %q", keyword, l.text[:1])
	}
	word := l.text[:n]
	l.text = l.text[n:]
	return place{word, at}, nil
}

// skip passes over the values of a keyword that has no bearing here: one, and
// what else follows on the line and is no keyword.
func (l *lexer) skip(keyword string) error {
	if _, err := l.value(keyword); err != nil {
		return err
	}
	for {
		l.text = strings.TrimLeft(l.text, " \t\r")
		n := run(l.text, ":")
		if l.text == "" || strings.IndexByte("\n#", l.text[0]) >= 0 || n > 0 && strings.HasPrefix(l.text[n:], ":") {
			return nil
		}
		if _, err := l.value(keyword); err != nil {
			return err
		}
	}
}
