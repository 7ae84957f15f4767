package resolvconf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// nameserverReason says what readers skip or misread in a nameserver line, and
// is empty where none does. g and c are what glibc and CoreDNS read, invalid
// where they read nothing.
func nameserverReason(line string, fields []string, g glibcAddr, c netip.Addr) string {
	if len(fields) == 1 {
		// parseResolvConf in kubelet's pkg/kubelet/network/dns makes it an error.
		return "`nameserver` without an address: every resolver skips the line, kubelet refuses the file"
	}
	word := fields[1]
	switch {
	case !g.ip.IsValid() && !c.IsValid():
		return badAddress(word)
	case !c.IsValid():
		return fmt.Sprintf("the C library reads %s as %s, CoreDNS takes it for a host name", quote(word), g.addr())
	case !g.ip.IsValid():
		return glibcSkips(line, word, c)
	}
	return bothRead(line, fields, g)
}

// badAddress is the reason where no reader finds an address.
func badAddress(word string) string {
	what := "is no IP address"
	_, err := netip.ParseAddrPort(word)
	text, rest := word, ""
	if end := strings.IndexAny(word, "#@;"); end > 0 {
		text, rest = word[:end], word[end+1:]
	}
	_, portErr := strconv.ParseUint(rest, 10, 16)
	_, addrErr := netip.ParseAddr(text)
	switch {
	case err == nil, addrErr == nil && portErr == nil:
		what = "has a port, which a resolv.conf cannot give"
	case addrErr == nil:
		what = "lacks a blank behind the address"
	}
	return fmt.Sprintf("%s %s: the C library skips the line, CoreDNS takes it for a host name", quote(word), what)
}

// glibcSkips is the reason where CoreDNS alone reads the line.
func glibcSkips(line, word string, c netip.Addr) string {
	_, match := glibcMatch(line, "nameserver")
	switch {
	case strings.EqualFold(word, "localhost"):
		return fmt.Sprintf("%s is no IP address: the C library skips the line, CoreDNS looks the name up and asks the local host", quote(word))
	case !match && strings.HasPrefix(line, "nameserver"):
		return "neither space nor tab after `nameserver`: the C library skips the line, CoreDNS reads it"
	case !match:
		return "blanks before `nameserver`: the C library skips the line, CoreDNS reads it"
	case strings.HasSuffix(line, word+"\r"):
		return "a carriage return right behind the address: glibc skips the line, musl and CoreDNS read it"
	}
	return fmt.Sprintf("the C library finds no address in %s and skips the line, CoreDNS reads %s", quote(word), c)
}

// bothRead is the reason where both readers find an address, and yet not the
// one that was meant.
func bothRead(line string, fields []string, g glibcAddr) string {
	addr := g.addr()
	switch linkLocal := addr.Is6() && addr.IsLinkLocalUnicast(); {
	case linkLocal && !g.hasZone:
		return "a link-local address without a zone such as %eth0: no reader can reach it"
	case linkLocal && addr.Zone() == "":
		return fmt.Sprintf("the zone %s names no interface: no reader can reach a link-local address without one", quote(g.zone))
	case linkLocal:
		return fmt.Sprintf("CoreDNS drops the zone %s, and cannot reach a link-local address without it", quote(g.zone))
	case g.hasZone:
		return fmt.Sprintf("the zone %s means nothing on %s, which is not link-local: glibc and CoreDNS go without it, musl skips the line", quote(g.zone), addr)
	case len(fields) > 2 && !strings.ContainsAny(fields[2][:1], "#;"):
		return fmt.Sprintf("every reader takes the first address alone and ignores %s: one `nameserver` line each", quote(fields[2]))
	case len(line) > longestMuslLine:
		return fmt.Sprintf("a line of more than %d bytes: musl skips it, glibc and CoreDNS read it", longestMuslLine)
	}
	return ""
}

// quote is text of the file as a reason may show it: escaped, and short.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		return strconv.QuoteToASCII(s[:longest]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
