package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/spelling"
)

// Default ports: RFC 1035 section 4.2, RFC 7858 section 3.1, RFC 8484.
const (
	portDNS   = 53
	portTLS   = 853
	portHTTPS = 443
)

// ErrNoTarget says that an argument is no target, so it names a file.
var ErrNoTarget = errors.New("not an address")

// ParseTarget reads an upstream as the command line and Corefiles write it:
// 10.0.0.2, 10.0.0.2:5353, [fd00::2]:53, fe80::1%eth0, udp://…, tcp://…,
// tls://ADDR[:853][%NAME], tls://NAME, https://NAME/PATH. What has no scheme
// and is no address is ErrNoTarget; every other error is a malformed target.
func ParseTarget(s string) (Upstream, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		addr, err := parseAddrPort(s, portDNS)
		return Upstream{Addr: addr}, err
	}
	switch strings.ToLower(scheme) {
	case "dns":
		return plainTarget(s, rest, "")
	case "udp":
		return plainTarget(s, rest, UDP)
	case "tcp":
		return plainTarget(s, rest, TCP)
	case "tls":
		return tlsTarget(s, rest)
	case "https":
		return httpsTarget(s)
	}
	return Upstream{}, fmt.Errorf("%q: unknown scheme, expected udp, tcp, tls or https", s)
}

func plainTarget(s, rest string, t Transport) (Upstream, error) {
	addr, err := parseAddrPort(rest, portDNS)
	if err != nil {
		return Upstream{}, fmt.Errorf("%q: expected an address after the scheme, as in udp://10.0.0.2:53", s)
	}
	return Upstream{Addr: addr, Transport: t}, nil
}

// tlsTarget reads what follows tls://. A name behind % is what the certificate
// is verified against, as CoreDNS's forward writes it; behind a link-local
// address it is that address's zone.
func tlsTarget(s, rest string) (Upstream, error) {
	addr, err := parseAddrPort(rest, portTLS)
	if err == nil && (addr.Addr().Zone() == "" || addr.Addr().IsLinkLocalUnicast()) {
		return Upstream{Addr: addr, Transport: TLS}, nil
	}
	host, name, named := strings.Cut(rest, "%")
	if addr, err = parseAddrPort(host, portTLS); err == nil && named && isHostname(name) {
		return Upstream{Addr: addr, Transport: TLS, Name: name}, nil
	}
	port := uint16(portTLS)
	if h, p, ok := strings.Cut(rest, ":"); ok {
		rest = h
		if port, err = parsePort(p); err != nil {
			return Upstream{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	if !isHostname(rest) {
		return Upstream{}, fmt.Errorf("%q: expected an address or a host name after tls://", s)
	}
	return Upstream{Addr: netip.AddrPortFrom(netip.Addr{}, port), Transport: TLS, Name: rest}, nil
}

func httpsTarget(s string) (Upstream, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Upstream{}, fmt.Errorf("%q: expected a URL such as https://dns.example/dns-query", s)
	}
	if u.Path == "" {
		u.Path = "/dns-query" // what RFC 8484's examples and most servers use
	}
	up := Upstream{Transport: HTTPS, URL: u.String()}
	port := uint16(portHTTPS)
	if u.Port() != "" {
		if port, err = parsePort(u.Port()); err != nil {
			return Upstream{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		if !isHostname(u.Hostname()) {
			return Upstream{}, fmt.Errorf("%q: %q is neither an address nor a host name", s, u.Hostname())
		}
		up.Name = u.Hostname()
	}
	up.Addr = netip.AddrPortFrom(ip.Unmap(), port)
	return up, nil
}

// ParseListen reads where a server will serve. ":53" stands for every address
// of both families. So does "[::]:53", since servers that bind it serve IPv4
// too unless told otherwise.
func ParseListen(s string) ([]Listener, error) {
	v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if p, ok := strings.CutPrefix(s, ":"); ok && !strings.Contains(p, ":") {
		port, err := parsePort(p)
		if err != nil {
			return nil, fmt.Errorf("--listen %q: %w", s, err)
		}
		return []Listener{{Addr: netip.AddrPortFrom(v4, port)}, {Addr: netip.AddrPortFrom(v6, port)}}, nil
	}
	addr, err := parseAddrPort(s, portDNS)
	if err != nil {
		return nil, fmt.Errorf("--listen %q: expected ADDR:PORT, as in :53, 10.0.0.2:53 or [::1]:53", s)
	}
	if addr.Addr() == v6 {
		return []Listener{{Addr: netip.AddrPortFrom(v4, addr.Port())}, {Addr: addr}}, nil
	}
	return []Listener{{Addr: addr}}, nil
}

// ParseZone reads a zone's name. It leaves room for the two labels that a
// probe puts in front (RFC 1035 section 2.3.4: a name has at most 255 octets).
func ParseZone(s string) (string, error) {
	zone := spelling.Lower(dns.Fqdn(s))
	if _, ok := dns.IsDomainName(zone); !ok || s == "" || strings.ContainsAny(s, "/ \t\\\"") {
		return "", fmt.Errorf("--zone %q: expected a domain name such as example.org", s)
	}
	if len(zone)+1 > 255-2*20 {
		return "", fmt.Errorf("--zone %q: too long: no room for a probe's two labels in front", s)
	}
	return zone, nil
}

// parseAddrPort reads ADDR, ADDR:PORT, [ADDR] and [ADDR]:PORT, IPv4-mapped
// addresses unmapped.
func parseAddrPort(s string, port uint16) (netip.AddrPort, error) {
	host := s
	if h, ok := strings.CutPrefix(s, "["); ok {
		h, p, ok := strings.Cut(h, "]")
		if !ok {
			return netip.AddrPort{}, fmt.Errorf("%q: %w: ] is missing", s, ErrNoTarget)
		}
		host = h
		if p != "" {
			var err error
			if !strings.HasPrefix(p, ":") {
				return netip.AddrPort{}, fmt.Errorf("%q: expected :PORT after ]", s)
			}
			if port, err = parsePort(p[1:]); err != nil {
				return netip.AddrPort{}, fmt.Errorf("%q: %w", s, err)
			}
		}
	} else if h, p, ok := strings.Cut(s, ":"); ok && !strings.Contains(p, ":") {
		if _, err := netip.ParseAddr(h); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q: %w", s, ErrNoTarget)
		}
		var err error
		if port, err = parsePort(p); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q: %w", s, err)
		}
		host = h
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || strings.ContainsFunc(addr.Zone(), notInZone) {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", s, ErrNoTarget)
	}
	return netip.AddrPortFrom(addr.Unmap(), port), nil
}

// notInZone reports what no interface's name or number, an address's zone
// (RFC 4007 section 11), is made of in practice.
func notInZone(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-@", r))
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q: expected a number from 1 to 65535", s)
	}
	return uint16(n), nil
}

// isHostname reports whether s can be looked up: letters, digits, hyphens and
// dots (RFC 1123 section 2.1), and not a number that only looks like an address.
func isHostname(s string) bool {
	if _, ok := dns.IsDomainName(s); !ok || s == "" {
		return false
	}
	letter := false
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			letter = true
		case '0' <= r && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return letter
}
