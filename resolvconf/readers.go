package resolvconf

import (
	"net/netip"
	"strconv"
	"strings"
)

// glibcAddr is an address as glibc reads it from a nameserver line.
type glibcAddr struct {
	ip      netip.Addr // without zone, as written; invalid where it reads none
	zone    string     // what follows the first %
	hasZone bool
}

// addr is where glibc sends: unmapped, with the zone where that has a meaning.
// A scope that it cannot parse is ignored, "for backwards compatibility".
func (g glibcAddr) addr() netip.Addr {
	ip := g.ip.Unmap()
	if ip.IsLinkLocalUnicast() && validZone(g.zone) {
		ip = ip.WithZone(g.zone) // no effect on IPv4
	}
	return ip
}

// glibcMatch is the macro MATCH of res_init.c: the keyword stands at the very
// start of the line, with a space or a tab behind it. rest is what follows the
// blanks.
func glibcMatch(line, keyword string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(line, keyword)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
		return "", false
	}
	return strings.TrimLeft(rest, " \t"), true
}

// glibcNameserver reads a nameserver line as res_vinit_1 in res_init.c has done
// since glibc 2.29: the text before the first space or tab must be an address
// to inet_aton, or what of it precedes a % to inet_pton. Nothing else ends an
// address, neither a comment sign nor a carriage return.
func glibcNameserver(line string) (glibcAddr, bool) {
	rest, ok := glibcMatch(line, "nameserver")
	if !ok {
		return glibcAddr{}, false
	}
	if end := strings.IndexAny(rest, " \t"); end >= 0 {
		rest = rest[:end]
	}
	if ip, ok := inetAton(rest); ok {
		return glibcAddr{ip: ip}, true
	}
	text, zone, hasZone := strings.Cut(rest, "%")
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is6() {
		return glibcAddr{}, false
	}
	return glibcAddr{ip: ip, zone: zone, hasZone: hasZone}, true
}

// inetAton is __inet_aton_exact of glibc (resolv/inet_addr.c): one to four
// numbers, each decimal, octal (0…) or hexadecimal (0x…), the last filling the
// bytes that are left. Unlike inet_aton(3) it takes nothing behind them.
func inetAton(s string) (netip.Addr, bool) {
	parts := strings.SplitN(s, ".", 5)
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var addr uint32
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 32 - 8*i
		}
		v, ok := cNumber(part, bits)
		if !ok {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			addr |= v
		} else {
			addr |= v << (24 - 8*i)
		}
	}
	return netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}), true
}

// cNumber reads all of s as strtoul(3) with base 0 does.
func cNumber(s string, bits int) (uint32, bool) {
	base := 10
	switch {
	case len(s) > 1 && (s[:2] == "0x" || s[:2] == "0X"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	v, err := strconv.ParseUint(s, base, bits) // takes no sign and, base given, no underscore
	return uint32(v), err == nil
}

// coreDNSNameserver reads a nameserver line as CoreDNS does: the second word,
// cut at its last % (stripZone in plugin/pkg/parse/host.go). Nothing checks
// that this is an address: CoreDNS starts with any text, and dials it as a
// host name when a query comes. Of those names only localhost is known to mean
// an address (RFC 6761 section 6.3).
func coreDNSNameserver(fields []string) (netip.Addr, bool) {
	if len(fields) < 2 {
		return netip.Addr{}, false
	}
	text := fields[1]
	if end := strings.LastIndexByte(text, '%'); end >= 0 {
		text = text[:end]
	}
	if strings.EqualFold(text, "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.Unmap().WithZone(""), true
}

// validZone says whether an interface can have this name or number: netdevice
// names of Linux are shorter than IFNAMSIZ, 16, and hold no slash and no blank.
func validZone(zone string) bool {
	if zone == "" || len(zone) > 15 {
		return false
	}
	for _, c := range []byte(zone) {
		if c <= ' ' || c >= 0x7f || c == '/' {
			return false
		}
	}
	return true
}
