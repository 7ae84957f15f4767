package e2e

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"
)

// watch is how long CoreDNS's loop plugin is given beside dnsloop. It goes
// quiet by itself after 30 s, or 2 s after the first reply, whichever is first.
func watch() time.Duration {
	if *update {
		return 33 * time.Second
	}
	return 6 * time.Second
}

// scene is one topology: what a server would forward to, and what is true.
type scene struct {
	name  string
	loops bool // a query from the server comes back to it
	ports []int
	// arrange builds it around the server that would start at port.
	arrange func(n *network, port int) bed
	verdict string
	status  int
	codes   []string
}

// bed is a scene that stands.
type bed struct {
	server   *host
	args     []string // dnsloop's, beside the listener
	keys     string   // the Corefile's server block, "." where empty
	upstream string   // what CoreDNS forwards to
}

const highPort = 5300

var both = []int{53, highPort}

var scenes = []scene{
	{
		name: "resolv.conf names 127.0.0.53, as in a pod", loops: true, ports: []int{53},
		arrange: func(n *network, _ int) bed {
			h := n.host()
			h.resolvConf("nameserver 127.0.0.53\noptions edns0 trust-ad\n")
			return bed{server: h, upstream: "/etc/resolv.conf"}
		},
		verdict: "loop", status: 1, codes: []string{"DL001", "DL003", "-DL009"},
	},
	{
		name: "forward to itself over 127.0.0.1", loops: true, ports: []int{highPort},
		arrange: func(n *network, port int) bed { return to(n.host(), addr("127.0.0.1", port)) },
		verdict: "loop", status: 1, codes: []string{"DL001"},
	},
	{
		name: "dnsmasq forwards back", loops: true, ports: both,
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			b.dnsmasq(b.v4, port, via(a.v4, port, "#"))
			return to(a, addr(b.v4, port))
		},
		verdict: "loop", status: 1, codes: []string{"DL001", "-DL002", "-DL003"},
	},
	{
		name: "dnsmasq → CoreDNS → back", loops: true, ports: both,
		arrange: func(n *network, port int) bed {
			a, b, c := n.host(), n.host(), n.host()
			c.coreDNS(port, addr(a.v4, port))
			b.dnsmasq(b.v4, port, via(c.v4, port, "#"))
			return to(a, addr(b.v4, port))
		},
		verdict: "loop", status: 1, codes: []string{"DL001", "-DL002", "-DL003"},
	},
	{
		name: "Unbound forwards back", loops: true, ports: both,
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			b.unbound(port, via(a.v4, port, "@"))
			return to(a, addr(b.v4, port))
		},
		verdict: "loop", status: 1, codes: []string{"DL001"},
	},
	{
		name: "IPv6: dnsmasq forwards back", loops: true, ports: both,
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			b.dnsmasq(b.v6, port, via(a.v6, port, "#"))
			return to(a, addr(b.v6, port))
		},
		verdict: "loop", status: 1, codes: []string{"DL001"},
	},
	{
		name: "asked over IPv6, comes back over IPv4", loops: true, ports: []int{53},
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			b.dnsmasq(b.v6, port, via(a.v4, port, "#"))
			return to(a, addr(b.v6, port))
		},
		verdict: "loop", status: 1, codes: []string{"DL001"},
	},
	{
		name: "TCP only: dnsmasq forwards back", loops: true, ports: both,
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			b.dnsmasq(b.v4, port, via(a.v4, port, "#"))
			b.drop("udp", port)
			return to(a, addr(b.v4, port))
		},
		verdict: "loop", status: 1, codes: []string{"DL001"},
	},
	{
		name: "loop in the second zone alone", loops: true, ports: []int{53},
		arrange: func(n *network, port int) bed {
			a, b, w := n.host(), n.host(), n.host()
			w.world()
			b.dnsmasq(b.v4, port, via(w.v4, 53, "#"), "/corp.example/"+via(a.v4, port, "#"))
			return bed{server: a, keys: ". corp.example", upstream: addr(b.v4, port),
				args: []string{"--zone", ".", "--zone", "corp.example", addr(b.v4, port)}}
		},
		verdict: "loop", status: 1, codes: []string{"DL001"},
	},
	{
		name: "127.0.0.53 is held by a dnsmasq that forwards back", loops: true, ports: []int{53},
		arrange: func(n *network, port int) bed {
			a := n.host()
			a.dnsmasq("127.0.0.53", 53, via(a.v4, port, "#"))
			return to(a, "127.0.0.53:53")
		},
		verdict: "loop", status: 1, codes: []string{"DL001", "DL003", "DL009"},
	},
	{
		name: "no loop: dnsmasq → the world", ports: both,
		arrange: func(n *network, port int) bed { return to(n.host(), clean(n, port)) },
		verdict: "clear", status: 0, codes: []string{"-DL007", "-DL009"},
	},
	{
		name: "no loop over IPv6", ports: []int{53},
		arrange: func(n *network, port int) bed {
			a, b, w := n.host(), n.host(), n.host()
			w.world()
			b.dnsmasq(b.v6, port, via(w.v4, 53, "#"))
			return to(a, addr(b.v6, port))
		},
		verdict: "clear", status: 0,
	},
	{
		name: "no loop over TCP only", ports: []int{53},
		arrange: func(n *network, port int) bed {
			a, b, w := n.host(), n.host(), n.host()
			w.world()
			b.dnsmasq(b.v4, port, via(w.v4, 53, "#"))
			b.drop("udp", port)
			return to(a, addr(b.v4, port))
		},
		verdict: "clear", status: 0, codes: []string{"DL012"},
	},
	{
		name: "nothing listens at the upstream", ports: both,
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			return to(a, addr(b.v4, port))
		},
		verdict: "unknown", status: 3, codes: []string{"DL007"},
	},
	{
		name: "the upstream is a black hole", ports: both,
		arrange: func(n *network, port int) bed {
			a, b := n.host(), n.host()
			b.drop("udp", port)
			b.drop("tcp", port)
			return to(a, addr(b.v4, port))
		},
		verdict: "unknown", status: 3, codes: []string{"DL007"},
	},
	{
		name: "127.0.0.53 is held by a dnsmasq → the world", ports: []int{53},
		arrange: func(n *network, _ int) bed {
			a, w := n.host(), n.host()
			w.world()
			a.dnsmasq("127.0.0.53", 53, via(w.v4, 53, "#"))
			return to(a, "127.0.0.53:53")
		},
		verdict: "risk", status: 0, codes: []string{"DL003", "DL009"},
	},
	{
		name: "Docker: 127.0.0.11:53 is redirected to a dnsmasq → the world", ports: []int{53},
		arrange: func(n *network, _ int) bed {
			a, w := n.host(), n.host()
			w.world()
			a.dnsmasq("127.0.0.11", 35353, via(w.v4, 53, "#"))
			a.nft(`table ip nat {
	chain output {
		type nat hook output priority -100
		ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:35353
		ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:35353
	}
}
`)
			a.resolvConf("nameserver 127.0.0.11\noptions ndots:0\n")
			return bed{server: a, upstream: "/etc/resolv.conf"}
		},
		verdict: "risk", status: 0, codes: []string{"DL003", "-DL001", "-DL002", "-DL009"},
	},
}

// to is a bed whose server forwards to one upstream.
func to(h *host, upstream string) bed {
	return bed{server: h, args: []string{upstream}, upstream: upstream}
}

// clean adds a dnsmasq that forwards to the world, and returns its address.
func clean(n *network, port int) string {
	b, w := n.host(), n.host()
	w.world()
	b.dnsmasq(b.v4, port, via(w.v4, 53, "#"))
	return addr(b.v4, port)
}

// drop makes the host a black hole for what comes from the network to port.
func (h *host) drop(transport string, port int) {
	h.t.Helper()
	h.nft(fmt.Sprintf("table inet hole_%s {\n\tchain input {\n\t\ttype filter hook input priority 0\n"+
		"\t\tiifname eth0 %s dport %d counter drop\n\t}\n}\n", transport, transport, port))
}

// TestScenes runs dnsloop in each topology, then a CoreDNS with its loop plugin
// in dnsloop's place, and holds both against docs/comparison.md.
func TestScenes(t *testing.T) {
	need(t, "dnsmasq", "unbound")
	var rows comparison
	t.Run("all", func(t *testing.T) {
		for _, s := range scenes {
			for _, port := range s.ports {
				t.Run(fmt.Sprintf("%s at :%d", s.name, port), func(t *testing.T) {
					t.Parallel()
					rows.add(s.play(t, port))
				})
			}
		}
	})
	if !t.Failed() {
		rows.check(t)
	}
}

// play runs one scene and returns its row of the comparison. Each round has a
// network of its own: an upstream that forwards to a server which was killed
// marks it down, and the loop plugin then misses what it found before.
func (s scene) play(t *testing.T, port int) row {
	out := row{scene: s.name, port: port, loops: s.loops}
	rounds := 1
	if *update {
		rounds = 5
	}
	for round := range rounds {
		b := s.arrange(newNetwork(t), port)
		args := append([]string{"--listen", fmt.Sprintf(":%d", port), "--timeout", "5s"}, b.args...)
		began := time.Now()
		r, status := b.server.dnsloop(args...)
		out.ours = append(out.ours, time.Since(began))
		r.expect(t, status, s.verdict, s.status, s.codes...)
		out.verdict, out.status = r.Verdict, status
		if out.plugin == quiet {
			continue // it was given all the time it takes
		}
		o, took := b.server.loopPlugin(b.keys, port, b.upstream)
		if o == found {
			out.theirs = append(out.theirs, took)
		}
		if round > 0 && o != out.plugin {
			t.Errorf("CoreDNS: %s, and before %s", o, out.plugin)
		}
		out.plugin = o
	}
	return out
}

// outcome is what CoreDNS came to with its loop plugin.
type outcome string

const (
	found    outcome = "loop found, exit 1"
	quiet    outcome = "nothing said"
	notBound outcome = "does not start: address in use"
)

// loopPlugin starts a CoreDNS with the loop plugin in dnsloop's place.
func (h *host) loopPlugin(keys string, port int, upstream string) (outcome, time.Duration) {
	h.t.Helper()
	var blocks []string
	for _, key := range strings.Fields(cmp.Or(keys, ".")) {
		blocks = append(blocks, fmt.Sprintf("%s:%d", key, port))
	}
	corefile := h.file("loop", fmt.Sprintf("%s {\n\terrors\n\tloop\n\tforward . %s\n}\n", strings.Join(blocks, " "), upstream))
	return h.watchLoop(corefile, watch())
}

// watchLoop starts CoreDNS in the host's scratch directory with a Corefile that
// has the loop plugin on, and kills it when it has said nothing for so long.
func (h *host) watchLoop(corefile string, watch time.Duration) (outcome, time.Duration) {
	h.t.Helper()
	cmd := h.command(coreDNSBin, "-conf", corefile)
	cmd.Dir = h.dir
	began := time.Now()
	p := launch(h.t, cmd)
	defer p.kill()
	select {
	case <-time.After(watch):
		if !strings.Contains(p.log.String(), "CoreDNS-") {
			h.t.Errorf("CoreDNS did not come up:\n%s", p.log.String())
		}
		return quiet, watch
	case <-p.gone:
	}
	took, log := time.Since(began), p.log.String()
	switch {
	case strings.Contains(log, "Loop (") && p.cmd.ProcessState.ExitCode() == 1:
		return found, took
	case strings.Contains(log, "address already in use"):
		return notBound, took
	}
	h.t.Errorf("CoreDNS ended: %v\n%s", p.cmd.ProcessState, log)
	return quiet, took
}
