package verdict

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/dnsloop/dnsloop/forwarders"
	"github.com/dnsloop/dnsloop/plan"
)

// The notations of the configurations of dnsmasq, unbound and BIND. A word that
// is not found as it should stand (behind a quote that begins earlier, or on
// another line than what belongs to it) is not edited: the change is then said
// in words alone.
var (
	// dnsmasqLine drops how the former server was to be asked from here, behind @:
	// what is offered was asked without.
	dnsmasqLine = notation{find: findDnsmasq, write: ported("#%d"), single: true, most: maxConf}

	unboundLine = notation{find: findUnbound, write: ported("@%d"), single: true, most: maxConf}
	// unboundTLS has nothing at port 53 to offer: it would be asked over TLS.
	unboundTLS = notation{find: findUnbound, write: secure("%s@%d"), single: true, most: maxConf}

	namedList = notation{find: findNamed, write: named(ported(" port %d")), most: maxConf}
	// namedPorts is for lists with a port of their own.
	namedPorts = notation{find: findNamed, write: named(func(a netip.AddrPort) string {
		return fmt.Sprintf("%s port %d", a.Addr(), a.Port())
	}), most: maxConf}
	namedTLS = notation{find: findNamed, write: named(secure("%s port %d")), most: maxConf}
)

// maxConf is more than is ever offered: these servers take as many as there are.
const maxConf = 100

// confNotation is the notation in which a configuration names an upstream.
func confNotation(u plan.Upstream) *notation {
	tls := u.Transport == plan.TLS
	switch u.Conf.Format {
	case forwarders.Dnsmasq:
		return &dnsmasqLine
	case forwarders.Unbound:
		if tls {
			return &unboundTLS
		}
		return &unboundLine
	}
	switch {
	case tls:
		return &namedTLS
	case !u.Conf.Bare:
		return &namedPorts
	}
	return &namedList
}

// ported writes an address, with its port where that is not 53.
func ported(suffix string) func(netip.AddrPort) string {
	return func(a netip.AddrPort) string {
		if a.Port() == dnsPort {
			return a.Addr().String()
		}
		return a.Addr().String() + fmt.Sprintf(suffix, a.Port())
	}
}

// secure writes what is asked over TLS, which nothing at port 53 is.
func secure(format string) func(netip.AddrPort) string {
	return func(a netip.AddrPort) string {
		if a.Port() == dnsPort {
			return ""
		}
		return fmt.Sprintf(format, a.Addr(), a.Port())
	}
}

// named ends an element of a list.
func named(write func(netip.AddrPort) string) func(netip.AddrPort) string {
	return func(a netip.AddrPort) string {
		if s := write(a); s != "" {
			return s + ";"
		}
		return ""
	}
}

// uncommented is how far a line reaches that may end in a comment: a # behind a
// blank.
func uncommented(line string) int {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && (line[i-1] == ' ' || line[i-1] == '\t') {
			return i
		}
	}
	return len(line)
}

// findDnsmasq finds the server of a line, with what stands behind it: where it
// is asked from. A quote may stand around it alone.
func findDnsmasq(line, word string) []span {
	end := len(strings.TrimRight(line[:uncommented(line)], " \t\r"))
	from := strings.LastIndex(line[:end], word)
	if from < 1 || strings.IndexByte("=/, \t\"", line[from-1]) < 0 {
		return nil
	}
	if line[from-1] == '"' {
		if from--; from < 1 {
			return nil
		}
	}
	s, quotes := span{from, end}, strings.Count(line[from:end], `"`)
	if strings.Contains(line[:from], `"`) || quotes != 0 && (quotes != 2 || line[end-1] != '"' || line[from] != '"') {
		return nil
	}
	return []span{s}
}

// findUnbound finds the value of a line that has one keyword alone.
func findUnbound(line, word string) []span {
	end := len(strings.TrimRight(line[:uncommented(line)], " \t\r"))
	keyword, value, ok := strings.Cut(line[:end], ":")
	from := end - len(strings.TrimLeft(value, " \t"))
	if !ok || strings.ContainsAny(strings.TrimSpace(keyword), " \t") {
		return nil
	}
	if text := line[from:end]; text != word && text != `"`+word+`"` && text != "'"+word+"'" {
		return nil
	}
	return []span{{from, end}}
}

// findNamed finds the one element of a list that has the word's words, with the
// semicolon that ends it.
func findNamed(line, word string) []span {
	line = withoutComments(line)
	words := strings.Fields(word)
	var out []span
	for from := 0; ; {
		i := strings.Index(line[from:], words[0])
		if i < 0 {
			return out
		}
		from += i
		if end, ok := element(line, from, words); ok {
			out = append(out, span{from, end})
		}
		if len(out) > 1 {
			return nil // of one list or of several: not told from here
		}
		from += len(words[0])
	}
}

// element is where the element ends that begins at a place of a line, if it is
// made of the words.
func element(line string, from int, words []string) (int, bool) {
	if from > 0 && strings.IndexByte(" \t{;", line[from-1]) < 0 {
		return 0, false
	}
	rest := line[from:]
	for i, w := range append(words[:len(words):len(words)], ";") {
		after := strings.TrimLeft(rest, " \t")
		if i > 0 && w != ";" && len(after) == len(rest) || !strings.HasPrefix(after, w) {
			return 0, false
		}
		rest = after[len(w):]
	}
	return len(line) - len(rest), true
}

// withoutComments is a line of a named.conf with blanks for comments.
func withoutComments(line string) string {
	b := []byte(line)
	for i := 0; i < len(b); i++ {
		end := i
		switch rest := line[i:]; {
		case rest[0] == '#', strings.HasPrefix(rest, "//"):
			end = len(b)
		case strings.HasPrefix(rest, "/*"):
			if end = len(b); strings.Contains(rest[2:], "*/") {
				end = i + 2 + strings.Index(rest[2:], "*/") + 2
			}
		}
		for ; i < end; i++ {
			b[i] = ' '
		}
	}
	return string(b)
}
