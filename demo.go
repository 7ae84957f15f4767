package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/report"
	"github.com/dnsloop/dnsloop/verdict"
)

// demoTimeout ends the scene in which nobody answers.
const demoTimeout = 2 * time.Second

// demoScene is a small network on loopback, with the verdict that its own
// construction makes true.
type demoScene struct {
	title string
	story string
	zones []string
	want  []verdict.Verdict // of each zone
	// build starts the servers and returns the one that would be forwarded to.
	// home is where the server to be checked will serve.
	build func(home netip.AddrPort, start starter) (netip.AddrPort, error)
}

// starter starts a lab server that ends with its scene.
type starter func(lab.Handler) (netip.AddrPort, error)

func demoScenes() []demoScene {
	root := []string{"."}
	clean := lab.Answer(dns.RcodeNameError)
	return []demoScene{
		{
			"a clean forwarder", "you → forwarder → resolver", root, []verdict.Verdict{verdict.Clear},
			func(_ netip.AddrPort, start starter) (netip.AddrPort, error) {
				resolver, err := start(clean)
				if err != nil {
					return resolver, err
				}
				return start(lab.Forward(lab.First, resolver))
			},
		},
		{
			"a direct self-forward", "you → you: the upstream is your own address", root, []verdict.Verdict{verdict.Loop},
			func(home netip.AddrPort, _ starter) (netip.AddrPort, error) { return home, nil },
		},
		{
			"a loop over two hops", "you → forwarder → forwarder → you", root, []verdict.Verdict{verdict.Loop},
			func(home netip.AddrPort, start starter) (netip.AddrPort, error) {
				second, err := start(lab.Forward(lab.First, home))
				if err != nil {
					return second, err
				}
				return start(lab.Forward(lab.First, second))
			},
		},
		{
			"a loop behind one of three", "you → balancer → one of: resolver, resolver, you", root, []verdict.Verdict{verdict.Loop},
			func(home netip.AddrPort, start starter) (netip.AddrPort, error) {
				one, err := start(clean)
				if err != nil {
					return one, err
				}
				two, err := start(clean)
				if err != nil {
					return two, err
				}
				return start(lab.Forward(lab.RoundRobin, one, two, home))
			},
		},
		{
			"a loop in one zone only", "you → forwarder → you, for corp.example. alone",
			[]string{".", "corp.example."}, []verdict.Verdict{verdict.Clear, verdict.Loop},
			func(home netip.AddrPort, start starter) (netip.AddrPort, error) {
				return start(lab.ByZone(map[string]lab.Handler{".": clean, "corp.example.": lab.Forward(lab.First, home)}))
			},
		},
		{
			"a silent upstream", "you → nobody who answers", root, []verdict.Verdict{verdict.Unknown},
			func(_ netip.AddrPort, start starter) (netip.AddrPort, error) { return start(lab.Silent()) },
		},
	}
}

// demo runs the engine against each scene, shows what it says, and succeeds
// where all came out as they must.
func (c command) demo(ctx context.Context) (int, error) {
	color := wantsColor(c.stdout)
	fmt.Fprint(c.stdout, "dnsloop demo: six small networks on loopback, asked as a real one would be.\n"+
		"\"you\" are the DNS server that is about to start.\n")
	wrong := 0
	scenes := demoScenes()
	for i, scene := range scenes {
		fmt.Fprintf(c.stdout, "\n── %d of %d: %s ──\n   %s\n\n", i+1, len(scenes), scene.title, scene.story)
		r, err := scene.run(ctx)
		if ctx.Err() != nil {
			fmt.Fprintln(c.stderr, "dnsloop: the demo was interrupted")
			return verdict.ExitUnknown, nil
		}
		if err != nil {
			return 0, fmt.Errorf("demo, %s: %w", scene.title, err)
		}
		if err := (report.Text{Color: color}).Write(c.stdout, r); err != nil {
			return 0, err
		}
		if got := scene.wrong(r); got != "" {
			wrong++
			fmt.Fprintf(c.stdout, "\nNOT as it must be: %s\n", got)
		}
	}
	if wrong > 0 {
		fmt.Fprintf(c.stdout, "\n%d of %d scenes did not come out as they must.\n", wrong, len(scenes))
		return verdict.ExitUnknown, nil
	}
	fmt.Fprintf(c.stdout, "\nAll %d scenes came out as they must. Now your own: sudo dnsloop\n", len(scenes))
	return verdict.ExitClear, nil
}

// run builds the scene around a stand-in and judges what came of it.
func (d demoScene) run(ctx context.Context) (verdict.Report, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	s := probe.Listen(ctx, []plan.Listener{{Addr: netip.AddrPortFrom(loopback, 0)}}, []netip.Addr{loopback}, nil)
	defer s.Close()
	for _, e := range s.Ears() {
		if e.State != probe.Listening {
			return verdict.Report{}, fmt.Errorf("listen on loopback: %w", e.Err)
		}
	}
	home := s.Ears()[0].Addr

	var servers []*lab.Server
	defer func() {
		for _, srv := range servers {
			srv.Close()
		}
	}()
	upstream, err := d.build(home, func(h lab.Handler) (netip.AddrPort, error) {
		srv, err := lab.Start(h)
		if err != nil {
			return netip.AddrPort{}, err
		}
		servers = append(servers, srv)
		return srv.Addr(), nil
	})
	if err != nil {
		return verdict.Report{}, err
	}
	server := plan.Server{
		Listeners: []plan.Listener{{Addr: home}},
		Zones:     d.zones,
		Upstreams: []plan.Upstream{{Addr: upstream, Allowed: "the demo's network is on loopback"}},
	}
	in := verdict.Input{
		Plan: plan.New([]plan.Server{server}, plan.Options{Transports: []plan.Transport{plan.UDP, plan.TCP}}),
		Ears: s.Ears(),
	}
	in.Results = s.Probe(ctx, in.Plan.Checks, probe.Options{
		Probes: probe.DefaultProbes, Qtypes: probe.DefaultQtypes,
		QueryTimeout: demoTimeout, Settle: probe.DefaultSettle, AdaptSettle: true,
	})
	in.Elapsed = time.Since(start)
	return verdict.Judge(in), nil
}

// wrong says which check did not come out as the scene was built; empty: none.
func (d demoScene) wrong(r verdict.Report) string {
	for _, ch := range r.Checks {
		for i, zone := range d.zones {
			if ch.Zone == zone && ch.Verdict != d.want[i] {
				return fmt.Sprintf("zone %s over %s is %s, built to be %s", zone, ch.Transport, ch.Verdict, d.want[i])
			}
		}
	}
	return ""
}
