package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/forwarders"
	"github.com/dnsloop/dnsloop/kube"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/resolvconf"
	"github.com/dnsloop/dnsloop/verdict"
)

// formats are the kinds of files that the package forwarders reads.
var formats = map[kube.Kind]forwarders.Format{
	kube.DnsmasqConf: forwarders.Dnsmasq,
	kube.UnboundConf: forwarders.Unbound,
	kube.NamedConf:   forwarders.Named,
}

// forwarders reads the configuration of a dnsmasq, unbound or BIND of this host.
func (r *reader) forwarders(ctx context.Context, f input) error {
	disk := corefile.Disk()
	env := forwarders.Env{Glob: disk.Glob, ReadDir: regularFiles}
	env.ReadFile = func(path string) ([]byte, error) {
		if r.node != nil && path == systemResolvConf {
			return r.node.data, nil
		}
		data, err := disk.ReadFile(path)
		if err == nil {
			r.remember(path, data)
		}
		return data, err
	}
	if !r.o.plan.NoProbe {
		env.Interface = interfaceAddrs // asks the kernel by a socket
	}
	if !r.o.plan.Pod { // which has others
		env.Own, _ = r.host.Addrs()
	}
	c, err := forwarders.Parse(formats[f.kind], f.name, f.data, env)
	if broken := (*forwarders.Error)(nil); errors.As(err, &broken) && broken.File == f.name {
		broken.File = shown(f.name)
	}
	if err != nil {
		return err
	}
	for _, p := range c.Problems {
		code, v := "DL018", verdict.Clear
		if p.Unseen {
			code = "DL014"
			if !r.o.plan.NoProbe {
				v = verdict.Unknown
			}
		}
		r.remark(code, v, r.moved(p.Pos), p.Reason)
	}
	if !r.o.plan.NoProbe {
		c.Resolve(func(host string) ([]netip.Addr, error) { return r.lookup(ctx, host, nil) })
	}
	for _, s := range plan.FromForwarders(f.name, c, r.o.plan.Pod) {
		for i := range s.Upstreams {
			u := &s.Upstreams[i]
			u.Source = r.moved(forwarders.Pos(u.Source))
			if u.Via.File != "" {
				r.addServersFile(u.Source.File, env)
			}
		}
		r.add(s)
	}
	return nil
}

// moved is a place as the user named its file.
func (r *reader) moved(p forwarders.Pos) plan.Source {
	if r.node != nil && p.File == systemResolvConf {
		p.File = r.node.name
	}
	return plan.Source(p)
}

// addServersFile remembers a resolv.conf that dnsmasq reads, for changes to it.
func (r *reader) addServersFile(name string, env forwarders.Env) {
	if slices.ContainsFunc(r.in.files, func(f verdict.File) bool { return f.Name == name }) {
		return
	}
	path := name
	if r.node != nil && name == r.node.name {
		path = systemResolvConf
	}
	data, err := env.ReadFile(path)
	if err != nil {
		return
	}
	if conf, err := resolvconf.Parse(name, bytes.NewReader(data)); err == nil {
		conf.Problems = nil // dnsmasq passes over what is none of a nameserver's
		r.in.files = append(r.in.files, verdict.File{Name: name, Conf: conf})
	}
}

// regularFiles lists the names of a directory's regular files, sorted, also where
// a link leads to one.
func regularFiles(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err != nil || !info.Mode().IsRegular()
	}), nil
}
