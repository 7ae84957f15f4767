package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/dnsloop/dnsloop/kube"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/resolvconf"
	"github.com/dnsloop/dnsloop/verdict"
)

// inputs is what the arguments and the files behind them say.
type inputs struct {
	servers []plan.Server
	files   []verdict.File
	remarks []verdict.Remark
	kubelet bool                // what a kubelet hands on is among them
	lines   map[string][][]byte // of each file
	docs    map[string][]int    // the lines on which a manifest's documents begin
	lookups time.Duration       // that looking up names took, of the run's time
}

// input is a file among the arguments.
type input struct {
	name  string
	kinds []kube.Kind // what it may be; none: anything
	kind  kube.Kind
	data  []byte
}

// read turns the arguments into servers: all targets are one, each file is one.
func (c command) read(ctx context.Context, o options) (inputs, error) {
	in := inputs{lines: map[string][][]byte{}, docs: map[string][]int{}}
	targets := plan.Server{Listeners: o.listeners, Zones: o.zones}
	files := slices.Clone(o.files)
	for _, a := range o.args {
		u, err := plan.ParseTarget(a)
		switch {
		case errors.Is(err, plan.ErrNoTarget):
			files = append(files, input{name: a})
		case err != nil:
			return in, err
		default:
			u.Allowed = o.allow.reason(u.Addr)
			if !slices.Contains(targets.Upstreams, u) {
				targets.Upstreams = append(targets.Upstreams, u)
			}
		}
	}
	if len(targets.Upstreams) > 0 {
		in.servers = append(in.servers, targets)
	}
	r := reader{command: c, o: o, in: &in}
	for i := range files {
		if err := r.load(&files[i]); err != nil {
			return in, err
		}
	}
	return in, r.read(ctx, files)
}

// reader turns files into servers.
type reader struct {
	command
	o    options
	in   *inputs
	node *nodeFile // stands for every /etc/resolv.conf that the others name
}

// nodeFile is a node's resolv.conf, given beside what reads /etc/resolv.conf.
type nodeFile struct {
	name string
	data []byte
	conf resolvconf.File
}

// load reads a file and tells its kind.
func (r *reader) load(f *input) error {
	if _, twice := r.in.lines[f.name]; twice && f.name == "-" {
		return errors.New("-: standard input can be read once")
	}
	var err error
	if f.name == "-" {
		f.data, err = io.ReadAll(io.LimitReader(r.stdin, kube.MaxSize+1))
	} else {
		f.data, err = readBounded(f.name)
	}
	if err != nil {
		return err
	}
	if len(f.data) > kube.MaxSize {
		return fmt.Errorf("%s: larger than %d bytes: nothing that is read here", f.name, kube.MaxSize)
	}
	if f.name == "-" && len(f.data) == 0 && len(f.kinds) == 0 {
		return errors.New("standard input: expected a resolv.conf, a Corefile, a kubelet's configuration or a manifest, got nothing")
	}
	f.kind = kube.Detect(f.name, f.data)
	switch {
	case len(f.kinds) > 0 && !slices.Contains(f.kinds, f.kind):
		f.kind = f.kinds[0]
	case f.kind == kube.Unknown:
		f.kind = kube.ResolvConf // whose reader says what it expected
	}
	r.remember(f.name, f.data)
	return nil
}

// remember keeps the lines of a file, for the comments in them and for changes
// to them.
func (r *reader) remember(name string, data []byte) {
	r.in.lines[name] = bytes.Split(data, []byte("\n"))
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: neither an address (10.0.0.2, [fd00::2]:53, tls://…) nor a file that exists", name)
		}
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: a directory, expected a file", name)
	}
	return io.ReadAll(io.LimitReader(f, kube.MaxSize+1))
}

// read reads each file by its kind.
func (r *reader) read(ctx context.Context, files []input) error {
	files, err := r.takeNodeFile(files)
	if err != nil {
		return err
	}
	for _, f := range files {
		switch f.kind {
		case kube.ResolvConf:
			err = r.resolvConf(f)
		case kube.Corefile:
			err = r.corefile(ctx, f)
		case kube.Manifests:
			err = r.manifest(ctx, f)
		case kube.DnsmasqConf, kube.UnboundConf, kube.NamedConf:
			err = r.forwarders(ctx, f)
		}
		if err != nil {
			return err
		}
	}
	return r.kubelets(files)
}

// takeNodeFile takes a --resolv-conf beside a Corefile, a manifest or a
// configuration of dnsmasq out of the inputs: it stands for the files that those
// name.
func (r *reader) takeNodeFile(files []input) ([]input, error) {
	readers := []kube.Kind{kube.Corefile, kube.Manifests, kube.DnsmasqConf}
	servers := slices.ContainsFunc(files, func(f input) bool { return slices.Contains(readers, f.kind) })
	if !servers || len(r.o.resolvConfs) == 0 {
		return files, nil
	}
	if len(r.o.resolvConfs) > 1 {
		return nil, errors.New("--resolv-conf stands for every /etc/resolv.conf of a Corefile, a manifest or dnsmasq: expected one")
	}
	i := slices.IndexFunc(files, func(f input) bool { return f.name == r.o.resolvConfs[0] && f.kind == kube.ResolvConf })
	f := files[i]
	conf, err := resolvconf.Parse(shown(f.name), bytes.NewReader(f.data))
	if err != nil {
		return nil, err
	}
	r.node = &nodeFile{f.name, f.data, conf}
	return slices.Delete(files, i, i+1), nil
}

func (r *reader) resolvConf(f input) error {
	conf, err := resolvconf.Parse(shown(f.name), bytes.NewReader(f.data))
	if err != nil {
		return err
	}
	r.in.files = append(r.in.files, verdict.File{Name: f.name, Conf: conf})
	s := plan.FromResolvConf(f.name, conf, r.o.listeners, r.o.zones)
	r.annotate(s.Upstreams)
	r.in.servers = append(r.in.servers, s)
	return nil
}

// annotate marks the upstreams that the user allows, by --allow or by a comment
// at the line that names them.
func (r *reader) annotate(us []plan.Upstream) {
	for i := range us {
		u := &us[i]
		u.Allowed = cmp.Or(r.o.allow.reason(u.Addr), r.comment(u.Source), r.comment(u.Via))
	}
}

// allowMark begins a comment that allows the upstreams of its line or, where
// the line holds nothing else, of the next one. The reason follows it.
var allowMark = []byte("dnsloop:allow")

// comment is the reason that a comment gives for the upstreams of a line; empty
// where there is none.
func (r *reader) comment(at plan.Source) string {
	lines := r.in.lines[at.File]
	for n := at.Line; n >= max(1, at.Line-1) && n <= len(lines); n-- {
		before, reason, ok := bytes.Cut(lines[n-1], allowMark)
		before = bytes.TrimSpace(before)
		if !ok || !bytes.HasSuffix(before, []byte("#")) && !bytes.HasSuffix(before, []byte(";")) ||
			n < at.Line && len(before) > 1 {
			continue
		}
		return cmp.Or(string(bytes.TrimSpace(reason)), "by a comment")
	}
	return ""
}

// shown is a file's name as errors give it.
func shown(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}
