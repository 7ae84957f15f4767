package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patience bounds every wait for a server of the test bed.
const patience = 20 * time.Second

// process is a running program on a host, with what it wrote.
type process struct {
	cmd  *exec.Cmd
	log  buffer
	gone chan struct{} // closed when it has ended
}

// buffer is what a process wrote so far, to be read while it still writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts a program on the host and kills it, by its pid, with the test.
func (h *host) start(argv ...string) *process {
	h.t.Helper()
	return launch(h.t, h.command(argv...))
}

// launch starts a command whose streams are not set yet.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, gone: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.log
	}
	cmd.Stderr = &p.log
	cmd.WaitDelay = time.Second // a child it left behind must not hold up the test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait() //nolint:errcheck // the status is read from ProcessState
		close(p.gone)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(cmd.Args, " "), p.log.String())
		}
	})
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
	<-p.gone
}

// status waits for the end and returns the exit status; -1 is a signal.
func (p *process) status(t *testing.T) int {
	t.Helper()
	select {
	case <-p.gone:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s still runs after %v:\n%s", strings.Join(p.cmd.Args, " "), patience, p.log.String())
		return 0
	}
}

// signal sends a signal to the process.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait polls until ok, which the process brings about; its end ends the wait.
func (p *process) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-p.gone:
			t.Fatalf("ended before %s: %v\n%s", what, p.cmd.ProcessState, p.log.String())
		case <-deadline:
			t.Fatalf("not %s within %v\n%s", what, patience, p.log.String())
		}
	}
}

// serve starts a DNS server on the host and returns when it answers at address
// over UDP and TCP. It is asked for its version, which each answers itself.
func (h *host) serve(address string, argv ...string) *process {
	h.t.Helper()
	p := h.start(argv...)
	p.answers(h, address)
	return p
}

func (p *process) answers(h *host, address string) {
	h.t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		p.wait(h.t, "answering at "+address+" over "+network, func() bool {
			return h.inside(func() error { return askVersion(network, address) }) == nil
		})
	}
}

func askVersion(network, address string) error {
	m := new(dns.Msg)
	m.SetQuestion("version.bind.", dns.TypeTXT)
	m.Question[0].Qclass = dns.ClassCHAOS
	c := dns.Client{Net: network, Timeout: 500 * time.Millisecond}
	reply, _, err := c.Exchange(m, address)
	if err == nil && len(reply.Answer) == 0 {
		err = errors.New("no version: another server, or dnsloop itself")
	}
	return err
}

// dnsmasq starts a dnsmasq at listen:port that forwards to the servers, given
// as "10.53.0.1#53" or "/zone/10.53.0.1#53".
func (h *host) dnsmasq(listen string, port int, servers ...string) *process {
	h.t.Helper()
	argv := []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--user=root", "--pid-file=", "--log-facility=-", "--log-queries", "--bind-interfaces", "--cache-size=0",
		"--listen-address=" + listen, fmt.Sprintf("--port=%d", port)}
	for _, s := range servers {
		argv = append(argv, "--server="+s)
	}
	return h.serve(addr(listen, port), argv...)
}

// via is a server as dnsmasq and Unbound write it.
func via(ip string, port int, sep string) string { return fmt.Sprintf("%s%s%d", ip, sep, port) }

// coreDNS starts a CoreDNS on port that forwards everything to upstream.
func (h *host) coreDNS(port int, upstream string) *process {
	h.t.Helper()
	corefile := fmt.Sprintf(".:%d {\n\tbind %s %s\n\tchaos\n\terrors\n\tforward . %s\n}\n", port, h.v4, h.v6, upstream)
	return h.serve(addr(h.v4, port), coreDNSBin, "-conf", h.file("Corefile", corefile))
}

// world starts the server that ends every chain: it answers all names itself.
func (h *host) world() *process {
	h.t.Helper()
	const corefile = ".:53 {\n\tchaos\n\ttemplate ANY ANY {\n\t\trcode NXDOMAIN\n" +
		"\t\tauthority \". 60 IN SOA ns.invalid. root.invalid. 1 60 60 60 60\"\n\t}\n}\n"
	return h.serve(addr(h.v4, 53), coreDNSBin, "-conf", h.file("world", corefile))
}

// unbound starts an Unbound on port that forwards everything to upstream.
func (h *host) unbound(port int, upstream string) *process {
	h.t.Helper()
	conf := fmt.Sprintf(`server:
	do-daemonize: no
	use-syslog: no
	username: ""
	chroot: ""
	pidfile: ""
	directory: %q
	interface: %s@%d
	access-control: 0.0.0.0/0 allow
	do-not-query-localhost: no
	module-config: "iterator"
	num-threads: 1
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: %s
`, h.dir, h.v4, port, upstream)
	return h.serve(addr(h.v4, port), "unbound", "-d", "-c", h.file("unbound.conf", conf))
}
