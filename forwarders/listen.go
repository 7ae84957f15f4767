package forwarders

import (
	"net/netip"
	"slices"
)

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// listen adds listeners that are not there yet.
func (r *reader) listen(ls ...Listener) {
	for _, l := range ls {
		if !slices.Contains(r.config.Listeners, l) {
			r.config.Listeners = append(r.config.Listeners, l)
		}
	}
}

// listenAt adds plain listeners at a port of addresses.
func (r *reader) listenAt(port uint16, addrs ...netip.Addr) {
	for _, a := range addrs {
		r.listen(Listener{Addr: netip.AddrPortFrom(a, port)})
	}
}

// interfaceAddrs returns the addresses of an interface. Where it is not known,
// that is noted: so is what the server does there.
func (r *reader) interfaceAddrs(at Pos, name string) []netip.Addr {
	if r.env.Interface == nil {
		r.problem(at, "the addresses of interface %s are not known", name)
		return nil
	}
	addrs, ok := r.env.Interface(name)
	if !ok {
		r.problem(at, "this host has no interface %s", name)
	}
	return addrs
}

// each lists the host's own addresses, or, where they are not known, the
// unspecified ones, which stand for all.
func (r *reader) each() []netip.Addr {
	if len(r.env.Own) > 0 {
		return r.env.Own
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}
