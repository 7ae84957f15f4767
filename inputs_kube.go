package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strings"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/kube"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/resolvconf"
	"github.com/dnsloop/dnsloop/verdict"
)

// kubelets reads what kubelets hand on to their pods. A configuration and flags
// among the inputs are one kubelet's, of which a flag beats the file.
func (r *reader) kubelets(files []input) error {
	var config, flags []input
	for _, f := range files {
		switch f.kind {
		case kube.KubeletConfig:
			config = append(config, f)
		case kube.KubeletFlags:
			flags = append(flags, f)
		}
	}
	if len(config) == 1 && len(flags) == 1 {
		k, err := kube.ParseKubelet(shown(config[0].name), config[0].data)
		if err != nil {
			return err
		}
		f, err := kube.ParseKubelet(shown(flags[0].name), flags[0].data)
		if err != nil {
			return err
		}
		name := config[0].name
		if f.From == kube.FromFlag {
			name = flags[0].name
		}
		return r.kubelet(name, k.Override(f))
	}
	for _, f := range append(config, flags...) {
		k, err := kube.ParseKubelet(shown(f.name), f.data)
		if err != nil {
			return err
		}
		if err := r.kubelet(f.name, k); err != nil {
			return err
		}
	}
	return nil
}

// kubelet adds the server that a CoreDNS would be in a pod with dnsPolicy
// Default: it forwards to what the kubelet hands on.
func (r *reader) kubelet(name string, k kube.Kubelet) error {
	r.in.kubelet = true
	src := plan.Source{File: name, Line: k.Line}
	for _, p := range k.Problems {
		r.remark("DL018", verdict.Clear, plan.Source{File: name, Line: p.Line}, p.Reason)
	}
	s := plan.Server{Listeners: r.o.listeners, Zones: r.o.zones, Pod: true}
	if k.ResolvConf == "" {
		r.remark("DL017", verdict.Risk, src, `resolvConf is empty: pods with dnsPolicy Default get the local host as nameserver, which is the pod itself`)
		for _, a := range k.Localhost() {
			s.Upstreams = append(s.Upstreams, plan.Upstream{Addr: netip.AddrPortFrom(a, 53), Source: src})
		}
		r.add(s)
		return nil
	}
	if _, err := os.Stat(k.ResolvConf); errors.Is(err, fs.ErrNotExist) {
		r.remark("DL017", verdict.Unknown, src, fmt.Sprintf("%s, which pods would be given, does not exist", k.ResolvConf))
		return nil
	}
	data, err := readBounded(k.ResolvConf)
	if err != nil {
		return err
	}
	r.remember(k.ResolvConf, data)
	conf, err := resolvconf.Parse(k.ResolvConf, bytes.NewReader(data))
	if err != nil {
		return err
	}
	r.in.files = append(r.in.files, verdict.File{Name: k.ResolvConf, Conf: conf})
	s.Upstreams = handedOn(plan.FromResolvConf(k.ResolvConf, conf, nil, nil).Upstreams)
	for _, u := range s.Upstreams {
		if plan.IsLocal(u.Addr.Addr()) {
			r.remark("DL017", verdict.Risk, src, fmt.Sprintf("%s hands on %s, which to a pod is the pod itself", k.ResolvConf, u.Addr.Addr()))
		}
	}
	r.add(s)
	return nil
}

// handedOn are the nameservers that a pod gets.
func handedOn(us []plan.Upstream) []plan.Upstream {
	return us[:min(len(us), kube.MaxNameservers)]
}

func (r *reader) add(s plan.Server) {
	r.annotate(s.Upstreams)
	r.in.servers = append(r.in.servers, s)
}

func (r *reader) remark(code string, v verdict.Verdict, src plan.Source, message string) {
	r.in.remarks = append(r.in.remarks, verdict.Remark{Code: code, Verdict: v, Source: src, Message: message})
}

// manifest adds each CoreDNS that a manifest makes, as it would be in its pod.
func (r *reader) manifest(ctx context.Context, f input) error {
	m, err := kube.ParseManifest(shown(f.name), f.data)
	if err != nil {
		return err
	}
	for _, p := range m.Problems {
		r.remark("DL018", verdict.Clear, plan.Source{File: f.name, Line: p.Line}, p.Reason)
	}
	for i, line := range r.in.lines[f.name] {
		if i == 0 || bytes.HasPrefix(line, []byte("---")) {
			r.in.docs[f.name] = append(r.in.docs[f.name], i+1)
		}
	}
	servers := m.Servers()
	if len(servers) == 0 {
		return fmt.Errorf("%s: expected a ConfigMap that holds a Corefile", shown(f.name))
	}
	for _, s := range servers {
		p := podServer{reader: r, name: f.name, m: m, s: s}
		if err := p.add(ctx); err != nil {
			return err
		}
	}
	return nil
}

// podServer is one CoreDNS of a manifest.
type podServer struct {
	*reader
	name string // of the manifest
	m    *kube.Manifest
	s    kube.Server
	ns   []plan.Upstream // its /etc/resolv.conf, in order; Own and Source alone beside the address
}

// errNode says that a manifest does not tell what its pods get from the node.
var errNode = errors.New(plan.NodeFile)

func (p *podServer) add(ctx context.Context) error {
	known := p.nameservers()
	read := func(name string) ([]byte, error) { return p.readFile(name, known) }
	env := corefile.Env{ReadFile: read, Glob: p.glob}
	cf, err := corefile.Parse(p.s.Path, []byte(p.s.Corefile.Data), env)
	if err != nil {
		var broken *corefile.Error
		if errors.As(err, &broken) {
			moved := *broken
			moved.Pos = p.move(broken.Pos)
			return &moved
		}
		return fmt.Errorf("%s: %w", shown(p.name), err)
	}
	p.resolve(ctx, &cf)
	cf.Relocate(p.move)
	before := len(p.in.servers)
	p.addCorefile(cf, true, read)
	for i := range p.in.servers[before:] {
		p.mark(p.in.servers[before+i].Upstreams)
	}
	return nil
}

// nameservers works out what the pod finds in /etc/resolv.conf; false where
// only the node could tell.
func (p *podServer) nameservers() bool {
	if p.s.Workload == nil {
		return p.fromNode()
	}
	w := *p.s.Workload
	res := p.m.Resolution(w)
	src := plan.Source{File: p.name, Line: w.PolicyLine}
	known := true
	var base []plan.Upstream
	switch res.Policy {
	case kube.Default:
		known = p.fromNode()
		base = p.ns
	case kube.ClusterFirst:
		for _, a := range res.Cluster {
			base = append(base, plan.Upstream{Addr: netip.AddrPortFrom(a.Addr, 53), Source: src, Own: res.Self})
		}
		if res.Self != "" && len(base) == 0 {
			p.remark("DL006", verdict.Loop, src, "the pod's nameserver is this very server: "+res.Self)
		}
		known = len(base) > 0
	}
	for _, a := range res.Added {
		base = append(base, plan.Upstream{Addr: netip.AddrPortFrom(a.Addr, 53), Source: plan.Source{File: p.name, Line: a.Line}})
	}
	p.ns = handedOn(base)
	return known || len(res.Added) > 0
}

// fromNode takes the node's file, if it was given.
func (p *podServer) fromNode() bool {
	if p.node == nil {
		return false
	}
	p.ns = handedOn(plan.FromResolvConf(p.node.name, p.node.conf, nil, nil).Upstreams)
	return true
}

// readFile is a file as the server's container has it.
func (p *podServer) readFile(name string, known bool) ([]byte, error) {
	texts, told := p.s.Files(name)
	switch {
	case told && len(texts) > 0:
		return []byte(texts[0].Data), nil
	case name != systemResolvConf && told:
		return nil, fs.ErrNotExist
	case name != systemResolvConf:
		return nil, errors.New("not in this manifest")
	case !known:
		return nil, errNode
	}
	var b bytes.Buffer
	for _, u := range p.ns {
		fmt.Fprintf(&b, "nameserver %s\n", u.Addr.Addr())
	}
	return b.Bytes(), nil
}

// glob lists the files that a pattern matches in the server's container.
func (p *podServer) glob(pattern string) ([]string, error) {
	texts, known := p.s.Files(pattern)
	if !known {
		// k3s and AKS mount what users may add, where they add something.
		p.remark("DL014", verdict.Clear, plan.Source{File: p.name, Line: p.s.Corefile.Line},
			"what import "+pattern+" brings in is not in this manifest")
	}
	var names []string
	for _, t := range texts {
		names = append(names, path.Join(path.Dir(pattern), t.Key))
	}
	return names, nil
}

// move turns a place in the container into the place in the manifest, or in
// the node's file, that it comes from.
func (p *podServer) move(at corefile.Pos) corefile.Pos {
	switch {
	case at.File == p.s.Path:
		return corefile.Pos{File: p.name, Line: p.s.Corefile.FileLine(at.Line)}
	case at.File == systemResolvConf && at.Line >= 1 && at.Line <= len(p.ns):
		return corefile.Pos(p.ns[at.Line-1].Source)
	}
	if texts, ok := p.s.Files(at.File); ok && len(texts) > 0 {
		return corefile.Pos{File: p.name, Line: texts[0].FileLine(at.Line)}
	}
	return at
}

// mark says of each upstream that leads to this very server why it does.
func (p *podServer) mark(us []plan.Upstream) {
	for i := range us {
		for _, ns := range p.ns {
			if ns.Own != "" && ns.Addr == us[i].Addr && us[i].Via.File != "" {
				us[i].Own = ns.Own
			}
		}
		if svc, ok := p.s.Behind(us[i].Addr.Addr()); ok && us[i].Own == "" {
			us[i].Own = "Service " + strings.TrimPrefix(svc.Namespace+"/"+svc.Name, "/") + " leads to it"
		}
	}
}
