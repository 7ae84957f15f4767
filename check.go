package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/report"
	"github.com/dnsloop/dnsloop/resolvconf"
	"github.com/dnsloop/dnsloop/verdict"
)

// candidateTime bounds how long upstreams that could be offered instead of a
// guilty one are probed.
const candidateTime = 3 * time.Second

// inputs is what the arguments and the files behind them say.
type inputs struct {
	servers []plan.Server
	files   []verdict.File
}

// check is the main job: read, plan, probe, judge, report, and become the
// server where that was asked for and nothing speaks against it. An error is
// one of usage or input: nothing was sent.
func (c command) check(ctx context.Context, o options) (int, error) {
	start := time.Now()
	in, err := c.read(o)
	if err != nil {
		return 0, err
	}
	out, err := c.openOutput(o.output)
	if err != nil {
		return 0, err
	}
	defer out.Close()

	j := verdict.Input{
		Plan:    plan.New(in.servers, o.plan),
		Files:   in.files,
		NoProbe: o.plan.NoProbe,
		Pod:     o.plan.Pod,
		FailOn:  o.failOn,
	}
	j.Facts = c.facts(j.Plan)
	done := c.progress(o)
	c.probe(ctx, o, &j)
	done()
	j.Stopped = ctx.Err() != nil
	j.Elapsed = time.Since(start)

	r := verdict.Judge(j)
	if err := c.write(out, o, r); err != nil {
		fmt.Fprintf(c.stderr, "dnsloop: the report could not be written: %v\n", err)
		return max(r.ExitStatus, verdict.ExitUnknown), nil
	}
	if o.server != nil && r.ExitStatus == verdict.ExitClear {
		return 0, become(o.server)
	}
	return r.ExitStatus, nil
}

// read turns the arguments into servers: all targets are one, each file is one.
func (c command) read(o options) (inputs, error) {
	var in inputs
	targets := plan.Server{Listeners: o.listeners, Zones: o.zones}
	files := slices.Clone(o.resolvConfs)
	for _, a := range o.args {
		u, err := plan.ParseTarget(a)
		switch {
		case errors.Is(err, plan.ErrNoTarget):
			files = append(files, a)
		case err != nil:
			return in, err
		case !slices.Contains(targets.Upstreams, u):
			targets.Upstreams = append(targets.Upstreams, u)
		}
	}
	if len(targets.Upstreams) > 0 {
		in.servers = append(in.servers, targets)
	}
	for _, name := range files {
		conf, err := c.readResolvConf(name)
		if err != nil {
			return in, err
		}
		in.files = append(in.files, verdict.File{Name: name, Conf: conf})
		in.servers = append(in.servers, plan.FromResolvConf(name, conf, o.listeners, o.zones))
	}
	return in, nil
}

func (c command) readResolvConf(name string) (resolvconf.File, error) {
	if name == "-" {
		return resolvconf.Parse("standard input", c.stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return resolvconf.File{}, fmt.Errorf("%s: neither an address (10.0.0.2, [fd00::2]:53, tls://…) nor a file that exists", name)
		}
		return resolvconf.File{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return resolvconf.File{}, fmt.Errorf("%s: a directory, expected a resolv.conf", name)
	}
	return resolvconf.Parse(name, f)
}

// facts gathers what is known of this host, before the stand-in holds ports of
// its own.
func (c command) facts(p plan.Plan) verdict.Facts {
	f := verdict.Facts{
		Resolved:   c.host.SystemdResolved(),
		Kubernetes: c.host.Kubernetes() || c.host.KubeletConfig() != "",
		Service:    resolvconf.Service,
	}
	// Without them the addresses of upstreams tell less; the probes tell the same.
	f.Own, _ = c.host.Addrs()
	ports := []uint16{53}
	for _, l := range p.Listeners {
		if !slices.Contains(ports, l.Addr.Port()) {
			ports = append(ports, l.Addr.Port())
		}
	}
	for _, port := range ports {
		for _, h := range c.host.Holders(port) {
			f.Holders = append(f.Holders, verdict.Holder(h))
		}
	}
	return f
}

// probe stands in for the server and fills in what came of it. When it
// returns, every port is free again.
func (c command) probe(ctx context.Context, o options, j *verdict.Input) {
	if !slices.ContainsFunc(j.Plan.Checks, func(ch plan.Check) bool { return ch.Unprobed == "" }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	s := probe.Listen(ctx, j.Plan.Listeners, j.Facts.Own, loopbacks(j.Plan))
	defer s.Close()
	j.Ears = s.Ears()
	if !slices.ContainsFunc(j.Ears, func(e probe.Ear) bool { return e.State == probe.Listening }) {
		for i := range j.Plan.Checks {
			if ch := &j.Plan.Checks[i]; ch.Unprobed == "" {
				ch.Unprobed = plan.NoEar
			}
		}
		return
	}
	if o.verbose {
		o.probe.Trace = c.trace
	}
	j.Results = s.Probe(ctx, j.Plan.Checks, o.probe)
	j.Strays = s.Strays()
	if verdict.WantsUpstreams(*j) && ctx.Err() == nil {
		c.findClean(ctx, s, o, j)
	}
}

// loopbacks lists the loopback addresses that upstreams have.
func loopbacks(p plan.Plan) []netip.Addr {
	var out []netip.Addr
	for _, ch := range p.Checks {
		if a := ch.Upstream.Addr.Addr(); a.IsLoopback() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// findClean probes, in the same way, the upstreams that files of this host
// name, and keeps those that are clear: only they are offered.
func (c command) findClean(ctx context.Context, s *probe.StandIn, o options, j *verdict.Input) {
	candidates := plan.Server{Listeners: o.listeners, Zones: o.zones}
	listed := map[string]int{} // by file
	for _, cand := range c.host.Candidates() {
		listed[cand.File]++
		if !plan.IsLocal(cand.Addr) && !slices.Contains(j.Facts.Own, cand.Addr) {
			candidates.Upstreams = append(candidates.Upstreams, plan.Upstream{
				Addr:   netip.AddrPortFrom(cand.Addr, 53),
				Source: plan.Source{File: cand.File, Line: cand.Line},
			})
		}
	}
	if len(candidates.Upstreams) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, candidateTime)
	defer cancel()
	try := verdict.Input{
		Plan:  plan.New([]plan.Server{candidates}, plan.Options{Transports: o.plan.Transports}),
		Facts: j.Facts, Ears: j.Ears,
	}
	try.Results = s.Probe(ctx, try.Plan.Checks, o.probe)
	for _, u := range verdict.ClearUpstreams(verdict.Judge(try)) {
		j.Clean = append(j.Clean, u.Addr)
		if j.CleanFrom == "" {
			j.CleanFrom = u.Source.File
		}
		if u.Source.File == j.CleanFrom {
			listed[j.CleanFrom]--
		}
	}
	j.CleanPartly = listed[j.CleanFrom] > 0
}

// openOutput opens where results go, before anything is sent.
func (c command) openOutput(name string) (io.WriteCloser, error) {
	if name == "" {
		return nopCloser{c.stdout}, nil
	}
	return os.Create(name)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (c command) write(out io.Writer, o options, r verdict.Report) error {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	w, err := report.For(o.format, report.Options{
		Color: o.color == "always" || o.color == "auto" && o.output == "" && wantsColor(c.stdout),
		Quiet: o.quiet, Dir: dir, Version: version(),
	})
	if err != nil {
		return err
	}
	if err := w.Write(out, r); err != nil {
		return err
	}
	if name := os.Getenv("GITHUB_STEP_SUMMARY"); o.format == "github" && name != "" {
		return appendSummary(name, r)
	}
	return nil
}

// appendSummary adds to the summary of a GitHub job what its page shows.
func appendSummary(name string, r verdict.Report) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(report.Summary(f, r), f.Close())
}
