package corefile

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// placeholder is what templates of Corefiles hold until they are filled in:
// NodeLocal DNSCache's __PILLAR__LOCAL__DNS__, Helm's and shells' references.
var placeholder = pattern(`__[A-Za-z0-9_]+__|\{\{.*\}\}|\$\{\w+\}|<[\w-]+>`)

// IsPlaceholder reports whether a zone or address is still to be filled in.
func IsPlaceholder(s string) bool { return placeholder().MatchString(s) }

// wildcard is every address of both families: for an empty host as for 0.0.0.0
// and ::, net.Listen serves both (its documentation; the kernel's dual-stack
// sockets).
func wildcard(scheme string, port uint16) []Listener {
	return []Listener{
		{scheme, netip.AddrPortFrom(netip.IPv4Unspecified(), port)},
		{scheme, netip.AddrPortFrom(netip.IPv6Unspecified(), port)},
	}
}

// bind reads where the block listens (plugin/bind/setup.go). All bind lines of
// a block count; except takes away from its own line.
func (r *reader) bind(w *walker) error {
	var all []host
	for w.Next() {
		at := w.pos()
		names, err := w.some("an address or the name of an interface")
		if err != nil {
			return err
		}
		on, err := r.addresses(w, at, names)
		if err != nil {
			return err
		}
		var except []host
		for w.NextBlock() {
			if w.Val() != "except" {
				return w.errorf("bind has no option %q", w.Val())
			}
			not, err := w.some("an address or the name of an interface")
			if err != nil {
				return err
			}
			if except, err = r.addresses(w, at, not); err != nil {
				return err
			}
		}
		r.block.Bind = append(r.block.Bind, names...)
		for _, h := range on {
			if !slices.Contains(except, h) {
				all = append(all, h)
			}
		}
	}
	if err := r.limit(len(all), maxHosts, "addresses"); err != nil {
		return err
	}
	for _, h := range all {
		r.block.hosts = append(r.block.hosts, h.text)
	}
	for _, e := range r.block.Endpoints {
		for _, h := range all {
			if h.addr.IsUnspecified() {
				r.listen(wildcard(e.Scheme, e.Port)...)
			} else {
				r.listen(Listener{e.Scheme, netip.AddrPortFrom(h.addr, e.Port)})
			}
		}
	}
	return nil
}

// host is an address to listen on. Its text is what CoreDNS compares blocks by.
type host struct {
	text string
	addr netip.Addr
}

// addresses returns the addresses that arguments of bind stand for, as far as
// they are known.
func (r *reader) addresses(w *walker, at Pos, names []string) ([]host, error) {
	var all []host
	for _, name := range names {
		if net.ParseIP(name) != nil {
			all = append(all, host{name, netip.MustParseAddr(name).Unmap()})
			continue
		}
		if IsPlaceholder(name) {
			r.problem(at, "bind: %s is to be filled in: not known where the block listens", name)
			continue
		}
		if r.env.Interface == nil && couldBeInterface(name) {
			r.problem(at, "bind: the addresses of interface %s are not known", name)
			continue
		}
		var own []netip.Addr
		exists := false
		if r.env.Interface != nil {
			own, exists = r.env.Interface(name)
		}
		if !exists {
			return nil, w.errorf("bind: neither an address nor an interface of this host: %q", name)
		}
		for _, a := range own {
			all = append(all, host{a.String(), a.Unmap()})
		}
	}
	return all, nil
}

// couldBeInterface keeps to what Linux lets an interface be called
// (dev_valid_name in net/core/dev.c: at most 15 bytes, no slash, colon or
// white space).
func couldBeInterface(name string) bool {
	return len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r")
}

// loop checks the arguments of the loop plugin (plugin/loop/setup.go).
func (r *reader) loop(w *walker) error {
	for n := 0; w.Next(); n++ {
		if n > 0 {
			return w.errorf("loop may stand in a block once only")
		}
		if err := w.none(); err != nil {
			return err
		}
	}
	return nil
}
