package resolvconf

import (
	"fmt"
	"slices"
	"strings"
)

// keywords are those of resolv.conf(5).
var keywords = []string{"nameserver", "search", "domain", "options", "sortlist"}

// foreign keywords are OpenBSD's; Linux's readers skip them, and nobody minds.
var foreign = []string{"lookup", "family"}

// longestCoreDNSLine is the longest line, in bytes without the newline, that
// the bufio.Scanner in ClientConfigFromReader gets through.
const longestCoreDNSLine = 64<<10 - 1

// longestMuslLine is the same for musl's buffer of 256 bytes (fgets in
// src/network/resolvconf.c).
const longestMuslLine = 254

// parser reads a file line by line, as both readers at once.
type parser struct {
	file          File
	glibc         int     // nameservers that the C library has taken
	coreDNSStop   int     // the line too long for CoreDNS; 0 where there is none
	keywords      bool    // a line of a resolv.conf was seen
	badNameserver Problem // the first nameserver line that no reader uses
	unknown       Problem // the first line that is none of a resolv.conf
}

// line reads line number n, text being without its newline.
func (p *parser) line(n int, text string) {
	if len(text) > longestCoreDNSLine && p.coreDNSStop == 0 {
		p.coreDNSStop = n
		defer p.problem(n, fmt.Sprintf("a line of more than %d bytes: CoreDNS stops reading the file here, the C library does not", longestCoreDNSLine))
	}
	fields := strings.Fields(text)
	if len(fields) == 0 || fields[0][0] == '#' || fields[0][0] == ';' {
		return
	}
	word := fields[0]
	switch {
	case word == "nameserver":
		p.keywords = true
		p.nameserver(n, text, fields)
	case slices.Contains(keywords, word):
		p.keywords = true
		p.other(n, text, word)
	case slices.Contains(foreign, word):
		p.keywords = true
	default:
		p.notKeyword(n, word)
	}
}

// nameserver takes a line whose first word is nameserver.
func (p *parser) nameserver(n int, text string, fields []string) {
	g, glibc := glibcNameserver(text)
	c, coreDNS := coreDNSNameserver(fields)
	reason := nameserverReason(text, fields, g, c)
	if p.coreDNSStop > 0 {
		coreDNS = false
		if !glibc {
			reason = fmt.Sprintf("the C library skips the line, CoreDNS reads no further than line %d", p.coreDNSStop)
		}
	}
	if reason != "" {
		p.problem(n, reason)
	}
	if !glibc && !coreDNS {
		if p.badNameserver.Line == 0 {
			p.badNameserver = Problem{Line: n, Reason: reason}
		}
		return
	}
	ns := Nameserver{Addr: c, Line: n, CoreDNS: coreDNS}
	if glibc {
		ns.Addr = g.addr()
		ns.Glibc = p.glibc < maxNS
		p.glibc++
	}
	if ns.Glibc || ns.CoreDNS {
		p.file.Nameservers = append(p.file.Nameservers, ns)
	}
}

// other takes a line of another keyword. CoreDNS's forward makes nothing of
// these, so what counts is what the C library does.
func (p *parser) other(n int, text, word string) {
	rest, ok := glibcMatch(text, word)
	names := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' })
	last := len(names) - 1
	switch {
	case !ok && strings.TrimSpace(text) == word:
		p.problem(n, fmt.Sprintf("`%s` without a value: the C library skips the line", word))
		return
	case !ok:
		p.problem(n, fmt.Sprintf("the C library wants `%s` at the start of the line and a space or tab after it: it skips the line", word))
		return
	case last >= 0 && strings.HasSuffix(names[last], "\r"):
		names[last] = strings.TrimSuffix(names[last], "\r")
		switch word {
		case "sortlist": // its loop in res_init.c ends at blanks, newline and ";" alone
			p.problem(n, "a carriage return ends the line: glibc reads it for ever, and programs hang")
		case "search", "domain":
			p.problem(n, fmt.Sprintf("a carriage return ends the line: glibc takes it for a part of the domain %s", quote(names[last])))
		}
	}
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	if len(names) == 0 {
		return
	}
	switch word {
	case "domain":
		p.file.Search = names[:1]
	case "search":
		p.file.Search = names
	case "options":
		p.file.Options = append(p.file.Options, names...)
	}
}

// notKeyword takes a line that no reader knows. One that was meant to name a
// nameserver counts as a bad nameserver line.
func (p *parser) notKeyword(n int, word string) {
	const bom = "\ufeff"
	meant := strings.ToLower(strings.TrimPrefix(word, bom))
	reason := fmt.Sprintf("%s is no keyword of a resolv.conf: every reader skips the line", quote(word))
	switch {
	case strings.HasPrefix(word, bom+"#"), strings.HasPrefix(word, bom+";"), word == bom:
		return
	case strings.HasPrefix(word, bom):
		reason = "a UTF-8 byte order mark starts the line: every reader skips it"
	case slices.Contains(keywords, meant):
		reason = fmt.Sprintf("%s is not in lower case: every reader skips the line", quote(word))
	}
	bad := Problem{Line: n, Reason: reason}
	p.problem(n, reason)
	if strings.HasPrefix(meant, "nameserver") {
		if p.badNameserver.Line == 0 {
			p.badNameserver = bad
		}
		p.keywords = true
	}
	if p.unknown.Line == 0 {
		p.unknown = bad
	}
}

// problem notes a Problem. A line too long for CoreDNS is worse than what else
// is wrong with it.
func (p *parser) problem(n int, reason string) {
	if last := len(p.file.Problems) - 1; last >= 0 && p.file.Problems[last].Line == n {
		p.file.Problems[last].Reason = reason
		return
	}
	p.file.Problems = append(p.file.Problems, Problem{Line: n, Reason: reason})
}
