package e2e

import (
	"strings"
	"testing"
)

// TestDeafEar: where a firewall keeps questions from the stand-in, what does not
// come back proves nothing. What does is proof all the same.
func TestDeafEar(t *testing.T) {
	need(t, "dnsmasq")
	n := newNetwork(t)
	a, back := n.host(), n.host()
	back.dnsmasq(back.v4, 53, via(a.v4, 53, "#"))
	good := clean(n, 53)
	a.nft("table inet deaf {\n\tchain input {\n\t\ttype filter hook input priority 0\n\t\tiifname lo udp dport 53 drop\n\t}\n}\n")
	r, status := a.dnsloop(good)
	r.expect(t, status, "unknown", 3, "DL009", "-DL001")
	states := map[string]bool{}
	for _, l := range r.Listeners {
		states[l.Transport+" "+l.State] = true
	}
	if !states["udp deaf"] || !states["tcp listening"] || states["udp listening"] {
		t.Errorf("listeners %v: want UDP deaf", r.Listeners)
	}
	r, status = a.dnsloop(back.v4)
	r.expect(t, status, "loop", 1, "DL001", "DL009")
}

// TestTurnedAround: a rule on this host answers for the upstream. The loop is
// real, the upstream is not at fault, and no address of its own is at stake.
func TestTurnedAround(t *testing.T) {
	need(t)
	n := newNetwork(t)
	a, w := n.host(), n.host()
	w.world()
	a.nft("table inet nat {\n\tchain output {\n\t\ttype nat hook output priority -100\n" +
		"\t\tip daddr " + w.v4 + " meta l4proto { tcp, udp } th dport 53 redirect to :53\n\t}\n}\n")
	r, status := a.dnsloop(w.v4)
	r.expect(t, status, "loop", 1, "DL001", "-DL002")
	for _, f := range r.Findings {
		if f.Code != "DL001" {
			continue
		}
		if !strings.Contains(f.Message, "from "+a.v4+":") {
			t.Errorf("the message does not say from where they came back: %s", f.Message)
		}
		if advice := strings.Join(f.Advice, "\n"); !strings.Contains(advice, "`redirect`") || !strings.Contains(advice, "without fault") {
			t.Errorf("the advice does not name the rule:\n%s", advice)
		}
	}
}
