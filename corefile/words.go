package corefile

import (
	"unicode"
	"unicode/utf8"
)

// Word is a word of one line, as CoreDNS's lexer takes it.
type Word struct {
	Text     string // without the quotes
	From, To int    // where it stands in the line, in bytes, with its quotes
}

// Words splits a line of a Corefile as caddyfile/lexer.go does, and says where
// each word stands, which that does not tell. Quotes that are not closed on the
// line leave their word out: it goes on in the next.
func Words(line string) []Word {
	var words []Word
	var text []rune
	var quoted, escaped, comment bool
	from, to := 0, 0
	end := func() {
		words = append(words, Word{string(text), from, to})
		text = nil
	}
	for i, r := range line {
		_, size := utf8.DecodeRuneInString(line[i:]) // 1 for what is no UTF-8
		after := i + size
		switch {
		case quoted && !escaped && r == '\\':
			escaped = true
		case quoted && !escaped && r == '"':
			quoted, to = false, after
			end()
		case quoted:
			if escaped && r != '"' {
				text = append(text, '\\')
			}
			text, escaped = append(text, r), false
		case r == '\r': // which ends no word
		case unicode.IsSpace(r):
			if len(text) > 0 {
				end()
				comment = false // one that began within a word goes no further
			}
		case comment, r == '#':
			comment = true
		case len(text) == 0 && r == '"':
			quoted, from = true, i
		default:
			if len(text) == 0 {
				from = i
			}
			text, to = append(text, r), after
		}
	}
	if len(text) > 0 && !quoted {
		end()
	}
	return words
}
