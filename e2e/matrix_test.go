package e2e

import (
	"cmp"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// truth is what is so in a cell, by the way it was built.
type truth string

const (
	loops  truth = "loop"            // a question comes back to the server
	ends   truth = "no loop"         // every question is answered elsewhere
	nobody truth = "nothing answers" // nor does a question come back
	hidden truth = "loop, dormant"   // the way back is there, and not taken now
)

// cell is one server in one situation.
type cell struct {
	server, behaviour string
	tools             []string
	truth             truth
	// arrange builds it around the host whose port 53 is in question.
	arrange func(n *network) bed
	args    []string // dnsloop's, beside those of the bed
	// of says which checks of a loop are those that show it; nil: all of them.
	of func(zone, transport string) bool
	// fresh says that the truth is that of servers which were not asked before:
	// they settle on one of their forwarders.
	fresh bool
	// honest is what the report says where the verdict cannot be the truth
	// itself; empty where it must be.
	honest string
}

// name is the cell as the test's name, whose commas would end up in paths.
func (c cell) name() string { return strings.ReplaceAll(c.server+"/"+c.behaviour, ",", "") }

// The outcomes of a cell.
const (
	right  = "right"
	honest = "honest"
	wrong  = "**wrong**"
)

// outcome holds a verdict against the truth. Words are those that excuse one
// which is not the truth itself.
func (c cell) outcome(verdict string, said bool) string {
	switch {
	case verdict == "loop" && (c.truth == loops || c.truth == hidden):
		return right
	case verdict == "loop":
		return wrong
	case verdict == "clear" && c.truth == ends:
		return right
	case verdict == "clear" && c.truth != hidden:
		return wrong
	case c.honest != "" && said:
		return honest
	}
	return wrong
}

// TestMatrix runs dnsloop before every server in every situation, and holds
// the verdicts against the truth and against docs/comparison.md.
func TestMatrix(t *testing.T) {
	var table matrix
	t.Run("all", func(t *testing.T) {
		for _, c := range cells() {
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				need(t, c.tools...)
				table.add(c.play(t))
			})
		}
	})
	if !t.Failed() || *update {
		table.check(t)
	}
}

// play runs one cell and returns its line of the table.
func (c cell) play(t *testing.T) line {
	b := c.arrange(newNetwork(t))
	r, status, words := c.ask(t, b)
	said := c.honest != "" && regexp.MustCompile(c.honest).MatchString(words)
	l := line{cell: c, verdict: r.Verdict, status: status, outcome: c.outcome(r.Verdict, said)}
	if l.outcome == wrong || c.honest == "" && l.outcome != right {
		t.Errorf("the truth is %q, the verdict %s: %s. The report:\n%s", c.truth, r.Verdict, l.outcome, words)
	}
	if c.of != nil {
		for _, check := range r.Checks {
			if (check.Verdict == "loop") != c.of(check.Zone, check.Transport) {
				t.Errorf("%s under %s over %s: %s", check.Upstream, check.Zone, check.Transport, check.Verdict)
			}
		}
	}
	if *update {
		l.plugin, l.detect = c.peers(t)
	}
	return l
}

// ask runs dnsloop in the bed. The words are its report for people, in one line.
func (c cell) ask(t *testing.T, b bed) (r report, status int, words string) {
	text := filepath.Join(b.server.dir, "report")
	args := append([]string{"--listen", ":53", "-f", "text=" + text}, c.args...)
	r, status = b.server.dnsloop(append(args, b.args...)...)
	return r, status, strings.Join(strings.Fields(read(t, text)), " ")
}

// peers runs in dnsloop's place a CoreDNS with its loop plugin, then a dnsmasq
// with --dns-loop-detect. Each gets the cell built anew: what servers remember
// of the one before must not count against it.
func (c cell) peers(t *testing.T) (plugin, detect string) {
	b := c.arrange(newNetwork(t))
	o, _ := b.server.loopPlugin(cmp.Or(b.keys, "."), 53, b.upstream)
	plugin = c.peer(o == found, o == notBound)
	if b.keys != "" && !strings.HasPrefix(b.keys, ".") {
		return plugin, c.peer(false, true) // dnsmasq looks under test. alone
	}
	b = c.arrange(newNetwork(t))
	return plugin, c.peer(b.server.loopDetect(t, b.args))
}

// peer words what another program came to.
func (c cell) peer(found, unable bool) string {
	switch {
	case unable:
		return "–"
	case found && (c.truth == loops || c.truth == hidden):
		return "found"
	case found:
		return "**false**"
	case c.truth == loops:
		return "**missed**"
	}
	return "nothing said"
}

// loopDetect starts a dnsmasq with --dns-loop-detect in dnsloop's place, in
// front of the bed's plain upstreams. It asks each of them one question at its
// start and never again; 3 s are given to that.
func (h *host) loopDetect(t *testing.T, args []string) (found, unable bool) {
	t.Helper()
	argv := []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--user=root", "--pid-file=", "--log-facility=-", "--bind-interfaces", "--dns-loop-detect",
		"--listen-address=" + h.v4 + "," + h.v6, "--except-interface=lo"}
	for _, a := range args {
		if strings.Contains(a, "://") || strings.HasPrefix(a, "/") {
			return false, true
		}
	}
	argv = append(argv, "--server="+args[len(args)-1])
	p := h.start(argv...)
	defer p.kill()
	const said = "loop detected"
	deadline := time.After(3 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.log.String(), said) {
		select {
		case <-p.gone:
			t.Logf("dnsmasq: %s", p.log.String())
			return false, true
		case <-deadline:
			return false, false
		case <-tick.C:
		}
	}
	return true, false
}
