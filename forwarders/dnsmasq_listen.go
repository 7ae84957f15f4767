package forwarders

import (
	"net/netip"
	"slices"
)

// listeners works out where dnsmasq answers. Without bind-interfaces it binds
// the wildcard and drops what came to other addresses than these.
func (d *dnsmasq) listeners() {
	var lo []netip.Addr
	not := map[netip.Addr]bool{}
	if !slices.ContainsFunc(d.except, func(p place) bool { return p.text == "lo" }) {
		lo = []netip.Addr{loopback4, loopback6}
	}
	for _, p := range d.except {
		if p.text == "lo" {
			not[loopback4], not[loopback6] = true, true
			continue
		}
		for _, a := range d.interfaceAddrs(p.Pos, p.text) {
			not[a] = true
		}
	}
	listen := func(addrs ...netip.Addr) {
		d.listenAt(d.port, slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return not[a] })...)
	}
	switch {
	case len(d.names)+len(d.addrs) > 0:
		listen(d.addrs...)
		for _, p := range d.names {
			if p.text != "lo" {
				listen(d.interfaceAddrs(p.Pos, p.text)...)
			}
		}
		if len(d.names) > 0 {
			listen(lo...)
		}
	case len(d.except) > 0:
		listen(d.each()...)
	case d.localhost:
		listen(lo...)
	case d.bind:
		listen(d.each()...)
	default:
		listen(netip.IPv4Unspecified(), netip.IPv6Unspecified())
	}
}

// skips reports whether dnsmasq leaves a server out since it serves there itself
// ("local interface", check_servers in network.c). It knows the addresses of
// interfaces alone: of 127.0.0.0/8 it skips no more than 127.0.0.1.
func (d *dnsmasq) skips(a netip.AddrPort) bool {
	if a.Addr() == netip.IPv4Unspecified() {
		return true
	}
	for _, l := range d.config.Listeners {
		if l.Addr == a {
			return true
		}
		if l.Addr.Addr().IsUnspecified() && l.Addr.Port() == a.Port() &&
			(a.Addr() == loopback4 || a.Addr() == loopback6 || slices.Contains(d.env.Own, a.Addr())) {
			return true
		}
	}
	return false
}
