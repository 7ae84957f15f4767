package e2e

import (
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

const resolvedFile = "/run/systemd/resolve/resolv.conf"

// TestRemedyIsTrue follows dnsloop's advice: what it offers as verified makes
// the next run clear, and what forwards back is not offered.
func TestRemedyIsTrue(t *testing.T) {
	need(t, "dnsmasq")
	n := newNetwork(t)
	h, back := n.host(), n.host()
	good := clean(n, 53)
	back.dnsmasq(back.v4, 53, via(h.v4, 53, "#"))
	goodIP := good[:len(good)-len(":53")]
	h.resolvConf("nameserver 127.0.0.53\noptions edns0\n")
	write(t, filepath.Join(h.run, "systemd/resolve/resolv.conf"),
		"nameserver "+back.v4+"\nnameserver "+goodIP+"\n")

	r, status := h.dnsloop("--timeout", "5s")
	r.expect(t, status, "loop", 1, "DL001", "DL003")
	var offered []string
	for _, m := range r.Remedies {
		if !m.Verified {
			t.Errorf("offered without being verified: %+v", m)
		}
		if m.From != resolvedFile {
			t.Errorf("remedy from %q, want %s", m.From, resolvedFile)
		}
		if m.Change == "" {
			t.Errorf("no change to make: %+v", m)
		}
		offered = append(offered, m.Addresses...)
	}
	slices.Sort(offered)
	if got := slices.Compact(offered); !slices.Equal(got, []string{good}) {
		t.Fatalf("offered %v, want %s alone", got, good)
	}

	h.resolvConf("nameserver " + goodIP + "\n")
	r, status = h.dnsloop("--timeout", "5s")
	r.expect(t, status, "clear", 0, "-DL001", "-DL003")
	if len(r.Remedies) != 0 {
		t.Errorf("remedies where nothing is wrong: %+v", r.Remedies)
	}
}

// TestOtherServerAtPort53: a loop through a server that is not stood in for is
// not seen, and that is said.
func TestOtherServerAtPort53(t *testing.T) {
	need(t, "dnsmasq")
	n := newNetwork(t)
	h := n.host()
	upstream := clean(n, 53)
	h.dnsmasq(h.v4, 53, "10.53.0.2")
	r, status := h.dnsloop("--listen", ":5300", "--timeout", "5s", upstream)
	r.expect(t, status, "clear", 0, "DL015", "-DL009")

	alone := newNetwork(t)
	h = alone.host()
	r, status = h.dnsloop("--listen", ":5300", "--timeout", "5s", clean(alone, 53))
	r.expect(t, status, "clear", 0, "-DL015")
}

// TestTransportsTogether: where one transport is blocked it takes the other's
// verdict.
func TestTransportsTogether(t *testing.T) {
	need(t, "dnsmasq")
	n := newNetwork(t)
	h, b := n.host(), n.host()
	b.dnsmasq(b.v4, 53, via(h.v4, 53, "#"))
	b.drop("udp", 53)
	r, _ := h.dnsloop("--timeout", "5s", b.v4)
	if got := r.over("tcp"); !slices.Equal(got, []string{"loop"}) {
		t.Errorf("over TCP: %v, want loop", got)
	}
	if got := r.over("udp"); !slices.Equal(got, []string{"loop"}) {
		t.Errorf("over UDP, which is blocked: %v, want TCP's loop", got)
	}
	if !r.has("DL012") {
		t.Errorf("findings %v, want DL012", r.codes())
	}
}

// TestNoSocket: --no-probe opens no socket of any kind, not even netlink.
func TestNoSocket(t *testing.T) {
	need(t, "strace")
	n := newNetwork(t)
	h := n.host()
	h.resolvConf("nameserver 127.0.0.53\n")
	file := h.file("resolv.conf", "nameserver 127.0.0.53\nnameserver "+h.v4+"\n")
	for _, c := range []struct {
		name string
		args []string
		none bool
	}{
		{"a file", []string{"--no-probe", file}, true},
		{"no argument", []string{"--no-probe"}, true},
		{"a target", []string{"--no-probe", h.v4}, true},
		{"a pod's file", []string{"--no-probe", "--pod", file}, true},
		{"probing, which shows that strace would see it", []string{"--timeout", "2s", file}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			argv := []string{"strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=socket,socketpair", "-o", log,
				dnsloopBin, "-f", "json"}
			r, status := runDNSLoop(t, h.command(append(argv, c.args...)...))
			if c.none && (status == 2 || status == 3 || r.Verdict == "unknown") {
				t.Errorf("verdict %s, exit status %d", r.Verdict, status)
			}
			// A thread that ends while strace attaches leaves a line without a name.
			calls := regexp.MustCompile(`socket(pair)?\(.*`).FindAllString(read(t, log), -1)
			if (len(calls) == 0) != c.none {
				t.Errorf("socket calls: %q", calls)
			}
			for _, check := range r.Checks {
				if c.none && check.Sent != 0 {
					t.Errorf("sent %d to %s", check.Sent, check.Upstream)
				}
			}
		})
	}
}
