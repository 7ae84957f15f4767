package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/resolvconf"
	"github.com/dnsloop/dnsloop/verdict"
)

// lookupTime bounds how long one name of an upstream is looked up.
const lookupTime = 3 * time.Second

// corefile reads a Corefile of this host.
func (r *reader) corefile(ctx context.Context, f input) error {
	env := corefile.Disk()
	disk := env.ReadFile
	env.ReadFile = func(path string) ([]byte, error) {
		if r.node != nil && path == systemResolvConf {
			return r.node.data, nil
		}
		data, err := disk(path)
		if err == nil {
			r.remember(path, data)
		}
		return data, err
	}
	if !r.o.plan.NoProbe {
		env.Interface = interfaceAddrs // asks the kernel by a socket
	}
	cf, err := corefile.Parse(shown(f.name), f.data, env)
	if err != nil {
		return err
	}
	r.resolve(ctx, &cf)
	cf.Relocate(func(p corefile.Pos) corefile.Pos {
		switch {
		case p.File == shown(f.name):
			p.File = f.name
		case r.node != nil && p.File == systemResolvConf:
			p.File = r.node.name
		}
		return p
	})
	r.addCorefile(cf, r.o.plan.Pod, func(name string) ([]byte, error) {
		if r.node != nil && name == r.node.name {
			return r.node.data, nil
		}
		return env.ReadFile(name)
	})
	return nil
}

// resolve looks up the upstreams that are given by name, as CoreDNS does when
// it starts; without probes no name is looked up. All of them together take no
// more than half the run's time: the other half is for probes.
func (r *reader) resolve(ctx context.Context, cf *corefile.File) {
	if r.o.plan.NoProbe {
		return
	}
	cf.Resolve(func(name string, resolvers []string) ([]netip.Addr, error) { return r.lookup(ctx, name, resolvers) })
}

// lookup looks up one name in its share of the run's time.
func (r *reader) lookup(ctx context.Context, name string, resolvers []string) ([]netip.Addr, error) {
	start := time.Now()
	defer func() { r.in.lookups += time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, min(lookupTime, r.o.timeout/2-r.in.lookups))
	defer cancel()
	return lookup(ctx, name, resolvers)
}

// lookup asks the first of the resolvers that answers, or this host's own.
func lookup(ctx context.Context, name string, resolvers []string) ([]netip.Addr, error) {
	if len(resolvers) == 0 {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	var errs []error
	for _, at := range resolvers {
		if a, err := netip.ParseAddr(at); err == nil {
			at = netip.AddrPortFrom(a, 53).String()
		}
		res := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		}}
		addrs, err := res.LookupNetIP(ctx, "ip", name)
		if err == nil {
			return addrs, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// addCorefile adds what a Corefile makes, with the resolv.conf files that it
// names and what reading it showed.
func (r *reader) addCorefile(cf corefile.File, pod bool, read func(string) ([]byte, error)) {
	for _, p := range cf.Problems {
		r.in.remarks = append(r.in.remarks, verdict.Remark{Code: "DL018", Message: p.Reason, Source: plan.Source(p.Pos)})
	}
	for _, s := range plan.FromCorefile(cf, pod) {
		r.annotate(s.Upstreams)
		r.in.servers = append(r.in.servers, s)
		for _, u := range s.Upstreams {
			r.addNamed(u, read)
		}
	}
}

// addNamed remembers the resolv.conf that a Corefile names, for what its search
// list tells.
func (r *reader) addNamed(u plan.Upstream, read func(string) ([]byte, error)) {
	name := u.Source.File
	if u.Via.File == "" || slices.ContainsFunc(r.in.files, func(f verdict.File) bool { return f.Name == name }) {
		return
	}
	data, err := read(name)
	if err != nil {
		return
	}
	if conf, err := resolvconf.Parse(name, bytes.NewReader(data)); err == nil {
		conf.Problems = nil // the Corefile's own reader told them
		r.in.files = append(r.in.files, verdict.File{Name: name, Conf: conf})
	}
}

// interfaceAddrs lists the addresses of an interface of this host.
func interfaceAddrs(name string) ([]netip.Addr, bool) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, false
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, false
	}
	var out []netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr()
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(name)
		}
		out = append(out, ip)
	}
	return out, true
}
