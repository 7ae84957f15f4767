package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// proc reads a file of the process in /proc.
func (p *process) proc(t *testing.T, name string) string {
	t.Helper()
	return read(t, fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
}

// is says whether the process runs the program of that name by now.
func (p *process) is(comm string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.cmd.Process.Pid))
	return err == nil && strings.TrimSpace(string(text)) == comm
}

// state is what a program inherits over exec and could tell dnsloop by.
func (p *process) state(t *testing.T) map[string]any {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for i := range fds {
		fds[i] = filepath.Base(fds[i])
	}
	env := strings.Split(p.proc(t, "environ"), "\x00")
	slices.Sort(env)
	signals := regexp.MustCompile(`(?m)^(Sig(Blk|Ign|Cgt)|NoNewPrivs|Seccomp|CapEff):.*$`)
	return map[string]any{
		"open files": fds, "environment": env, "limits": p.proc(t, "limits"),
		"signals and rights": signals.FindAllString(p.proc(t, "status"), -1),
		"directory":          dirOf(t, p),
	}
}

func dirOf(t *testing.T, p *process) string {
	t.Helper()
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBecomesCommand: after a clear run COMMAND is what it would have been
// without dnsloop, to the pid, the open files and the limits.
func TestBecomesCommand(t *testing.T) {
	need(t, "dnsmasq")
	n := newNetwork(t)
	h := n.host()
	upstream := clean(n, 53)

	alone := h.start("sleep", "1000")
	alone.wait(t, "sleep", func() bool { return alone.is("sleep") })
	after := h.start(dnsloopBin, upstream, "--", "sleep", "1000")
	after.wait(t, "sleep", func() bool { return after.is("sleep") })
	// The shell of the test bed sets $_ to the program that it executes.
	ignore := cmp.FilterValues(func(a, b string) bool {
		return strings.HasPrefix(a, "_=") && strings.HasPrefix(b, "_=")
	}, cmp.Ignore())
	// A program that was just executed still opens what its loader needs: what
	// counts is what is left when it has come to rest.
	diff := ""
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if diff = cmp.Diff(alone.state(t), after.state(t), ignore); diff == "" || time.Now().After(deadline) {
			break
		}
	}
	if diff != "" {
		t.Errorf("sleep started alone, and by dnsloop (-alone +by dnsloop):\n%s", diff)
	}
}

// TestStatusPassesThrough: exit status and signals are the command's own.
func TestStatusPassesThrough(t *testing.T) {
	need(t, "dnsmasq")
	n := newNetwork(t)
	h := n.host()
	upstream := clean(n, 53)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": -1} {
		p := h.start(dnsloopBin, upstream, "--", "sh", "-c", script)
		if got := p.status(t); got != want {
			t.Errorf("sh -c %q: exit status %d, want %d", script, got, want)
		}
	}
	p := h.start(dnsloopBin, upstream, "--", "sh", "-c",
		`sleep 1000 & trap "kill $!; exit 42" TERM; echo trap is set; wait`)
	p.wait(t, "trapping", func() bool { return strings.Contains(p.log.String(), "trap is set") })
	p.signal(t, syscall.SIGTERM)
	if got := p.status(t); got != 42 {
		t.Errorf("SIGTERM: exit status %d, want 42", got)
	}
}

// TestCommandIsNotRun where the status would not be 0.
func TestCommandIsNotRun(t *testing.T) {
	need(t)
	n := newNetwork(t)
	h := n.host()
	h.resolvConf("nameserver 127.0.0.53\n")
	mark := filepath.Join(h.dir, "was run")
	p := h.start(dnsloopBin, "--", "touch", mark)
	if got := p.status(t); got != 1 {
		t.Errorf("exit status %d, want 1", got)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("COMMAND was run in spite of the loop")
	}
}

// TestCoreDNSNext: the port is free the moment dnsloop ends, as two steps and
// as one, and CoreDNS ends on SIGTERM with the status it has by itself.
func TestCoreDNSNext(t *testing.T) {
	need(t, "dnsmasq")
	for _, port := range both {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			n := newNetwork(t)
			h, back := n.host(), n.host()
			upstream := clean(n, 53)
			back.dnsmasq(back.v4, port, via(h.v4, port, "#"))
			listen := fmt.Sprintf(":%d", port)
			corefile := h.file("Corefile", fmt.Sprintf(".:%d {\n\tchaos\n\terrors\n\tloop\n\tforward . %s\n}\n", port, upstream))
			server := []string{coreDNSBin, "-conf", corefile}
			serves := func(p *process) int {
				p.answers(h, addr("127.0.0.1", port))
				if !p.is("coredns") {
					t.Errorf("pid %d is not CoreDNS", p.cmd.Process.Pid)
				}
				p.signal(t, syscall.SIGTERM)
				return p.status(t)
			}
			want := serves(h.start(server...))

			// A run that found a loop had connections at the port itself.
			r, status := h.dnsloop("--listen", listen, addr(back.v4, port))
			r.expect(t, status, "loop", 1)
			if got := serves(h.start(server...)); got != want {
				t.Errorf("after a loop: exit status %d, want %d", got, want)
			}
			r, status = h.dnsloop("--listen", listen, upstream)
			r.expect(t, status, "clear", 0)
			if got := serves(h.start(server...)); got != want {
				t.Errorf("two steps: exit status %d, want %d", got, want)
			}
			oneStep := append([]string{dnsloopBin, "--listen", listen, upstream, "--"}, server...)
			if got := serves(h.start(oneStep...)); got != want {
				t.Errorf("one step: exit status %d, want %d", got, want)
			}
		})
	}
}

// TestSignals: a signal in mid-run prints what is known and leaves no loop
// unsaid.
func TestSignals(t *testing.T) {
	need(t, "dnsmasq")
	for _, c := range []struct {
		name    string
		signal  syscall.Signal
		failOn  string
		loop    bool
		verdict string
		status  int
	}{
		{"SIGINT, nothing known", syscall.SIGINT, "unknown", false, "unknown", 3},
		{"SIGTERM, nothing known", syscall.SIGTERM, "unknown", false, "unknown", 3},
		{"SIGTERM, nothing known, and that would do", syscall.SIGTERM, "loop", false, "unknown", 3},
		{"SIGTERM, a loop proven", syscall.SIGTERM, "unknown", true, "loop", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			h, hole, back := n.host(), n.host(), n.host()
			hole.drop("udp", 53)
			hole.drop("tcp", 53)
			argv := []string{dnsloopBin, "-f", "json", "--timeout", "1m", "--fail-on", c.failOn, hole.v4}
			known := func() bool { return hole.dropped() }
			if c.loop {
				mirror := back.dnsmasq(back.v4, 53, via(h.v4, 53, "#"))
				argv = append(argv, back.v4)
				known = func() bool { return hole.dropped() && strings.Contains(mirror.log.String(), "reply ") }
			}
			cmd := h.command(argv...)
			var out bytes.Buffer
			cmd.Stdout = &out
			p := launch(t, cmd)
			p.wait(t, "probing", known)
			p.signal(t, c.signal)
			status := p.status(t)
			parseReport(t, out.Bytes(), p.log.String()).expect(t, status, c.verdict, c.status)
		})
	}
}

// dropped says whether the host has swallowed a packet by now.
func (h *host) dropped() bool {
	out, err := h.command("nft", "list", "ruleset").Output()
	return err == nil && regexp.MustCompile(`counter packets [1-9]`).Match(out)
}
