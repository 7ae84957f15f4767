// Load measures the prober against a responder that does nothing but answer.
// The two run as processes of their own, so that a peer such as dnsperf meets
// the very same responder.
//
//	load serve ADDR:PORT          prints the address, answers until killed
//	load probe -port P [flags]    prints one line of figures
//	load race N -- CMD -- CMD …   runs the commands in turn, N times each, and
//	                              prints median ms and most KiB of each
//	load plot < FIGURES > SVG     draws what probe printed
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) > 0 && args[0] == "probe":
		return ask(args[1:])
	case len(args) > 3 && args[0] == "race":
		return race(args[1], args[3:])
	case len(args) == 1 && args[0] == "plot":
		return plot(os.Stdin, os.Stdout)
	}
	return errors.New("expected serve, probe, race or plot and their arguments")
}

// ask probes every zone through every upstream and prints what it took.
func ask(args []string) error {
	f := flag.NewFlagSet("probe", flag.ExitOnError)
	port := f.Uint("port", 0, "of the responder, at every address of 127.0.0.0/8")
	upstreams := f.Int("upstreams", 1, "how many addresses are asked")
	zones := f.Int("zones", 1000, "how many zones each is asked under")
	transport := f.String("transport", "udp", "udp or tcp")
	timeout := f.Duration("timeout", 5*time.Minute, "of the whole run")
	settle := f.Bool("settle", true, "wait for late returns, as a real run does")
	profile := f.String("cpuprofile", "", "write a profile to `FILE`")
	f.Parse(args)

	checks := checks(*upstreams, *zones, uint16(*port), plan.Transport(*transport))
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	s := probe.Listen(ctx, []plan.Listener{{Addr: netip.AddrPortFrom(loopback, 0)}}, []netip.Addr{loopback}, nil)
	defer s.Close()
	if *profile != "" {
		out, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	wait := time.Duration(0)
	if *settle {
		wait = probe.DefaultSettle
	}
	before := peak()
	began := time.Now()
	results := s.Probe(ctx, checks, probe.Options{
		Probes: probe.DefaultProbes, Qtypes: probe.DefaultQtypes,
		QueryTimeout: 2 * time.Second, Settle: wait, AdaptSettle: true,
	})
	took := time.Since(began)
	after := peak()
	sent := 0
	for i, r := range results {
		sent += r.Sent
		if r.Failure != probe.NoFailure {
			return fmt.Errorf("%s under %s: %s: %s", checks[i].Upstream, checks[i].Zone, r.Failure, r.Detail)
		}
	}
	fmt.Printf("transport=%s checks=%d sent=%d seconds=%.3f rate=%.0f bytes=%.0f\n",
		*transport, len(checks), sent, took.Seconds(), float64(sent)/took.Seconds(), float64(after-before)/float64(len(checks)))
	return nil
}

func checks(upstreams, zones int, port uint16, t plan.Transport) []plan.Check {
	all := make([]plan.Check, 0, upstreams*zones)
	names := make([]string, zones)
	for z := range names {
		names[z] = fmt.Sprintf("zone%d.example.", z)
	}
	for u := range upstreams {
		addr := netip.AddrFrom4([4]byte{127, byte(1 + u>>16), byte(u >> 8), byte(u)})
		for _, z := range names {
			all = append(all, plan.Check{Upstream: plan.Upstream{Addr: netip.AddrPortFrom(addr, port)}, Zone: z, Transport: t})
		}
	}
	return all
}

// peak is the most memory that the process has held so far, in bytes, after
// a collection: what follows is added to it.
func peak() int {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	kib := 0
	if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
		fmt.Sscan(rest, &kib)
	}
	return kib << 10
}
