package corefile

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/spelling"
)

// The schemes that CoreDNS knows (plugin/pkg/transport).
const (
	schemeDNS    = "dns"
	schemeTLS    = "tls"
	schemeQUIC   = "quic"
	schemeGRPC   = "grpc"
	schemeHTTPS  = "https"
	schemeHTTPS3 = "https3"
	schemeUnix   = "unix"
)

// defaultPorts are those of keys and upstreams that name none.
var defaultPorts = map[string]uint16{
	schemeDNS: 53, schemeTLS: 853, schemeQUIC: 853, schemeGRPC: 443, schemeHTTPS: 443, schemeHTTPS3: 443,
}

// cutScheme splits scheme:// off. What has none that CoreDNS knows is dns,
// whatever it looks like (plugin/pkg/parse, Transport).
func cutScheme(s string) (scheme, rest string) {
	for _, scheme := range []string{schemeTLS, schemeDNS, schemeQUIC, schemeGRPC, schemeHTTPS3, schemeHTTPS, schemeUnix} {
		if rest, ok := strings.CutPrefix(s, scheme+"://"); ok {
			return scheme, rest
		}
	}
	return schemeDNS, s
}

// keys reads the block's keys (core/dnsserver/register.go,
// InspectServerBlocks).
func (r *reader) keys() error {
	for _, key := range r.block.Keys {
		scheme, rest := cutScheme(key)
		zones, port, err := splitZones(rest)
		if err != nil {
			return &Error{r.block.Pos, fmt.Sprintf("key %q: %v", key, err)}
		}
		number := defaultPorts[scheme]
		if port != "" {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return &Error{r.block.Pos, fmt.Sprintf("key %q: no port: %s", key, port)}
			}
			number = uint16(n)
		}
		for _, zone := range zones {
			r.block.Endpoints = append(r.block.Endpoints, Endpoint{Zone: zone, Scheme: scheme, Port: number})
		}
		if err := r.limit(len(r.block.Endpoints), maxEndpoints, "zones"); err != nil {
			return err
		}
	}
	return nil
}

// splitZones splits the port off a zone and spells out a reverse network in
// CIDR notation, which may come to several zones: 10.0.0.0/23 is two /24
// (plugin/normalize.go, SplitHostPort). The port is empty where none is given.
func splitZones(s string) (zones []string, port string, err error) {
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 {
		if colon == len(s)-1 {
			return nil, "", fmt.Errorf("a port or address is expected after the last colon")
		}
		if n, err := strconv.Atoi(s[colon+1:]); err == nil {
			port, s = strconv.Itoa(n), s[:colon]
		}
	}
	if len(s) > 255 {
		return nil, "", fmt.Errorf("a zone has at most 255 characters, not %d", len(s))
	}
	if _, ok := dns.IsDomainName(s); !ok {
		return nil, "", fmt.Errorf("not a domain name: %q", s)
	}
	_, network, err := net.ParseCIDR(s)
	if err != nil {
		zone := strings.ToLower(dns.Fqdn(s))
		if _, ok := dns.IsDomainName(zone); !ok {
			return nil, "", fmt.Errorf("not a domain name: %q", zone)
		}
		return []string{zone}, port, nil
	}
	if s[0] == ':' || s[0] == '0' && strings.Contains(s, ":") {
		return nil, "", fmt.Errorf("%q cannot be spelt out as a reverse zone", s)
	}
	address, _ := netip.AddrFromSlice(network.IP)
	length, _ := network.Mask.Size()
	return spelling.Reverse(netip.PrefixFrom(address, length)), port, nil
}

// hostZones is splitZones for arguments of plugins, which may bear a scheme
// and a port that do not matter (plugin/normalize.go, NormalizeExact). It
// returns none where the argument is malformed.
func hostZones(s string) []string {
	_, rest := cutScheme(s)
	zones, _, err := splitZones(rest)
	if err != nil {
		return nil
	}
	return zones
}

// checkOverlap refuses two blocks that claim a zone on the same sockets, as
// CoreDNS does (core/dnsserver/address.go). It compares addresses as written,
// and "every address" with all of them. Blocks with a view may share a zone.
func checkOverlap(blocks []Block) error {
	type claim struct {
		Endpoint
		host string
	}
	exact := map[claim]Pos{}
	some := map[Endpoint]Pos{}
	for _, b := range blocks {
		for _, e := range b.Endpoints {
			for _, host := range b.hosts {
				at, taken := exact[claim{e, host}]
				wide, everywhere := exact[claim{e, ""}]
				other, bound := some[e]
				switch {
				case taken && b.view == nil:
					return &Error{b.Pos, fmt.Sprintf("%s is served by the block at %s already", e, at)}
				case taken:
				case host == "" && bound:
					return &Error{b.Pos, fmt.Sprintf("%s is served on every address, and by the block at %s on one", e, other)}
				case everywhere:
					return &Error{b.Pos, fmt.Sprintf("%s is served on every address by the block at %s", e, wide)}
				case b.view == nil:
					exact[claim{e, host}], some[e] = b.Pos, b.Pos
				}
			}
		}
	}
	return nil
}

// String is the endpoint as CoreDNS names it: dns://example.org.:53.
func (e Endpoint) String() string {
	return e.Scheme + "://" + e.Zone + ":" + strconv.Itoa(int(e.Port))
}
