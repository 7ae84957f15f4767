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

// candidateZones is for how many zones others are looked for: an upstream of
// more has to be replaced by hand.
const candidateZones = 64

// check is the main job: read, plan, probe, judge, report, and become the
// server where that was asked for and nothing speaks against it. An error is
// one of usage or input: nothing was sent.
func (c command) check(ctx context.Context, o options) (int, error) {
	start := time.Now()
	in, err := c.readUntil(ctx, o)
	if ctx.Err() != nil {
		fmt.Fprintln(c.stderr, "dnsloop: interrupted while reading: nothing was sent")
		return verdict.ExitUnknown, nil
	}
	if err != nil {
		return 0, err
	}
	o.timeout -= in.lookups
	outs, err := c.openOutputs(o.outputs)
	if err != nil {
		return 0, err
	}

	j := verdict.Input{
		Plan:    plan.New(in.servers, o.plan),
		Files:   in.files,
		Remarks: in.remarks,
		Lines:   in.lines,
		Docs:    in.docs,
		NoProbe: o.plan.NoProbe,
		FailOn:  o.failOn,
	}
	j.Facts = c.facts(j.Plan)
	j.Facts.Kubernetes = j.Facts.Kubernetes || in.kubelet
	done := c.progress(o)
	c.probe(ctx, o, &j)
	done()
	j.Stopped = ctx.Err() != nil
	j.Elapsed = time.Since(start)

	r := verdict.Judge(j)
	if err := c.write(outs, o, r); err != nil {
		fmt.Fprintf(c.stderr, "dnsloop: the report could not be written: %v\n", err)
		if r.ExitStatus == verdict.ExitLoop {
			return verdict.ExitLoop, nil
		}
		return verdict.ExitUnknown, nil
	}
	if o.server == nil || r.ExitStatus != verdict.ExitClear {
		return r.ExitStatus, nil
	}
	if ctx.Err() != nil { // while the report was written: whoever stops dnsloop wants no server
		return verdict.ExitUnknown, nil
	}
	fmt.Fprintf(c.stderr, "dnsloop: %v\n", become(o.server))
	return verdict.ExitUnknown, nil
}

// readUntil reads the inputs, or gives up when ctx is done: a pipe may never end.
func (c command) readUntil(ctx context.Context, o options) (inputs, error) {
	type result struct {
		in  inputs
		err error
	}
	done := make(chan result, 1)
	go func() {
		in, err := c.read(ctx, o)
		done <- result{in, err}
	}()
	select {
	case r := <-done:
		return r.in, r.err
	case <-ctx.Done():
		return inputs{}, ctx.Err()
	}
}

// facts gathers what is known of this host before the stand-in listens.
func (c command) facts(p plan.Plan) verdict.Facts {
	f := verdict.Facts{
		Resolved:   c.host.SystemdResolved(),
		Kubernetes: c.host.Kubernetes() || c.host.KubeletConfig() != "",
		Service:    resolvconf.Service,
	}
	// Without them the addresses of upstreams tell less; the probes tell the same.
	f.Own, _ = c.host.Addrs()
	// Another DNS server, told by its UDP socket.
	if !slices.ContainsFunc(p.Listeners, func(l plan.Listener) bool { return l.Addr.Port() == 53 }) {
		f.Holders = c.holders(nil, "udp", 53)
	}
	return f
}

// holders adds who else serves at a port over a transport.
func (c command) holders(known []verdict.Holder, transport string, port uint16) []verdict.Holder {
	for _, h := range c.host.Holders(transport, port) {
		if h.PID != os.Getpid() && !slices.Contains(known, verdict.Holder(h)) {
			known = append(known, verdict.Holder(h))
		}
	}
	return known
}

// probe stands in for the server and fills in what came of it. When it
// returns, every port is free again.
func (c command) probe(ctx context.Context, o options, j *verdict.Input) {
	if !slices.ContainsFunc(j.Plan.Checks, func(ch plan.Check) bool { return ch.Unprobed == "" }) {
		c.offer(ctx, o, j)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	s := probe.Listen(ctx, j.Plan.Listeners, j.Facts.Own, loopbacks(j.Plan))
	defer s.Close()
	j.Ears = s.Ears()
	for _, e := range j.Ears {
		if e.State == probe.Listening {
			continue
		}
		socket := "tcp" // TLS and HTTPS stand on it
		if e.Transport == plan.UDP {
			socket = "udp"
		}
		j.Facts.Holders = c.holders(j.Facts.Holders, socket, e.Addr.Port())
	}
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
	replied := probe.Alive(ctx, plainUpstreams(j.Plan))
	j.Results = s.Probe(ctx, j.Plan.Checks, o.probe)
	j.Ears = s.Ears() // one may have failed since
	for addr := range replied() {
		for i, ch := range j.Plan.Checks {
			if r := &j.Results[i]; ch.Upstream.Addr == addr && r.Failure == probe.Silent && r.Answered == 0 {
				r.Alive = true
			}
		}
	}
	j.Strays = s.Strays()
	c.findClean(ctx, s, o, j)
}

// offer looks for other upstreams where the addresses alone decided: only then
// is there anything to send.
func (c command) offer(ctx context.Context, o options, j *verdict.Input) {
	if j.NoProbe || len(verdict.GuiltyZones(*j)) == 0 || len(c.host.Candidates()) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	s := probe.Listen(ctx, j.Plan.Listeners, j.Facts.Own, nil)
	defer s.Close()
	c.findClean(ctx, s, o, j)
}

// plainUpstreams lists the upstreams that are asked over UDP, each once.
func plainUpstreams(p plan.Plan) []netip.AddrPort {
	var out []netip.AddrPort
	seen := map[netip.AddrPort]bool{}
	for _, ch := range p.Checks {
		if a := ch.Upstream.Addr; ch.Unprobed == "" && ch.Transport == plan.UDP && !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
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
	candidates := plan.Server{Listeners: j.Plan.Listeners, Zones: verdict.GuiltyZones(*j)}
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
	if n := len(candidates.Zones); n == 0 || n > candidateZones || len(candidates.Upstreams) == 0 || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, candidateTime)
	defer cancel()
	try := verdict.Input{
		Plan:  plan.New([]plan.Server{candidates}, plan.Options{Transports: o.plan.Transports}),
		Facts: j.Facts, Ears: s.Ears(),
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

// openOutputs opens where results go, before anything is sent.
func (c command) openOutputs(outs []output) ([]io.WriteCloser, error) {
	var files []io.WriteCloser
	for _, out := range outs {
		if out.file == "" {
			files = append(files, nopCloser{c.stdout})
			continue
		}
		f, err := os.Create(out.file)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// write writes the report in each format to its place.
func (c command) write(files []io.WriteCloser, o options, r verdict.Report) error {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	var errs []error
	for i, out := range o.outputs {
		w, err := report.For(out.format, report.Options{
			Color: o.color == "always" || o.color == "auto" && out.file == "" && wantsColor(c.stdout),
			Quiet: o.quiet, Dir: dir, Version: version(),
		})
		if err == nil {
			err = errors.Join(w.Write(files[i], r), files[i].Close())
		}
		errs = append(errs, err)
		if name := os.Getenv("GITHUB_STEP_SUMMARY"); out.format == "github" && name != "" {
			if err := appendSummary(name, r); err != nil { // it is not the result
				fmt.Fprintf(c.stderr, "dnsloop: the job's summary could not be written: %v\n", err)
			}
		}
	}
	return errors.Join(errs...)
}

// appendSummary adds to the summary of a GitHub job what its page shows.
func appendSummary(name string, r verdict.Report) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(report.Summary(f, r), f.Close())
}
