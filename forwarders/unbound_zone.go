package forwarders

import (
	"net/netip"
	"slices"
	"strings"
)

// forwards gathers the upstreams of each zone. Of two zones of one name and kind
// unbound takes the later: it reads its list from the end.
func (u *unbound) forwards() error {
	type key struct{ kind, zone string }
	last := map[key]*unboundZone{}
	names := map[*unboundZone]string{}
	for _, z := range u.zones {
		if z.name == nil {
			return errorf(z.Pos, "%s: expected a name", z.kind)
		}
		zone, ok := zoneOf(z.name.text)
		if !ok {
			return errorf(z.name.Pos, "name: expected a domain name, got %q", z.name.text)
		}
		if former := last[key{z.kind, zone}]; former != nil {
			u.problem(former.Pos, "unbound ignores this %s: a later one is of %s too", z.kind, zone)
		}
		last[key{z.kind, zone}], names[z] = z, zone
	}
	for i, z := range u.zones {
		to, err := u.upstreams(z, i+1)
		if err != nil {
			return err
		}
		if last[key{z.kind, names[z]}] != z {
			continue
		}
		if err := u.forward(z.Pos, names[z], to); err != nil {
			return err
		}
	}
	return nil
}

// upstreams reads the upstreams of a zone, those left out that unbound never asks.
func (u *unbound) upstreams(z *unboundZone, choice int) ([]Upstream, error) {
	over := ""
	switch {
	case z.tls || u.tls:
		over = "tls"
	case z.tcp || u.tcp || u.noUDP:
		over = "tcp"
	case u.noTCP:
		over = "udp"
	}
	var to []Upstream
	for i, v := range slices.Concat(z.addrs, z.hosts) {
		up, err := upstreamOf(v, i >= len(z.addrs))
		if err != nil {
			return nil, err
		}
		up.Choice, up.Bare = choice, over != "tls"
		if up.Over = over; over == "tls" {
			up.CA = u.bundle
		} else {
			up.Name = ""
		}
		if why := u.unasked(up.Addr.Addr()); why != "" {
			u.problem(v.Pos, "unbound never asks %s: %s", up.Addr, why)
			continue
		}
		to = append(to, up)
	}
	return to, nil
}

// upstreamOf reads ADDR[@PORT][#NAME], or HOST in the place of ADDR. A name, which is that of a certificate,
// makes the port 853 unless one is given (authextstrtoaddr in net_help.c).
func upstreamOf(v place, byName bool) (Upstream, error) {
	up := Upstream{Pos: v.Pos, Text: v.text}
	rest, name, named := strings.Cut(v.text, "#")
	host, number, ported := strings.Cut(rest, "@")
	port := uint16(53)
	if named {
		port, up.Name = 853, name
	}
	if ported {
		var ok bool
		if port, ok = portOf(number); !ok {
			return up, errorf(v.Pos, "expected a port from 1 to 65535 behind @, got %q", number)
		}
	}
	ip, ok := addrOf(host)
	switch {
	case !byName && !ok:
		return up, errorf(v.Pos, "expected an address, got %q", host)
	case byName && !isHost(host):
		return up, errorf(v.Pos, "expected a host name, got %q", host)
	case byName:
		up.Host = host
	}
	up.Addr = netip.AddrPortFrom(ip, port)
	return up, nil
}

// unasked is why unbound never asks an address, though it is named; empty: it
// does (iter_donotq.c, iter_filter_unsuitable in iter_utils.c).
func (u *unbound) unasked(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return ""
	case a.IsLoopback() && !u.localhost:
		return "do-not-query-localhost is on unless it is set to no"
	case a.Is4() && u.noIP4:
		return "do-ip4 is no"
	case a.Is6() && u.noIP6:
		return "do-ip6 is no"
	}
	for _, p := range u.notAsked {
		if p.Contains(a.WithZone("")) {
			return "do-not-query-address has " + p.String()
		}
	}
	return ""
}
