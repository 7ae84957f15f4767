package report

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// columns is the width that text is wrapped to.
const columns = 80

// hardSpace is a space that wrap does not break at.
const hardSpace = "\u00a0"

// wrap breaks s at spaces into lines that, behind indent characters, fit into
// columns. What stands between backquotes is to be copied and stays in one
// piece, as do the groups of a number and words that are too long.
func wrap(s string, indent int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Split(keepTogether(s), " ") {
		switch {
		case line == "":
			line = word
		case indent+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= columns:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	lines = append(lines, line)
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], hardSpace, " ")
	}
	return lines
}

// keepTogether hardens the spaces between the groups of a number, and those
// between backticks.
func keepTogether(s string) string {
	parts := strings.Split(s, "`")
	for i, part := range parts {
		if i%2 == 1 && i < len(parts)-1 {
			parts[i] = strings.ReplaceAll(part, " ", hardSpace)
		} else {
			parts[i] = hardenNumbers(part)
		}
	}
	return strings.Join(parts, "`")
}

// hardenNumbers hardens each space that has a digit before it and a group of
// three behind it, as grouped writes them.
func hardenNumbers(s string) string {
	digits := func(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
	var b strings.Builder
	for i := range len(s) {
		if s[i] == ' ' && i > 0 && digits(s[i-1:i]) == 1 && digits(s[i+1:]) == 3 {
			b.WriteString(hardSpace)
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// grouped writes n with its thousands set apart by spaces, as ISO 80000-1 does.
func grouped[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
