package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// network is a switch (a bridge in a namespace of its own) and the hosts on it.
type network struct {
	t      *testing.T
	prefix string
	hosts  int
}

// host is a machine of the test: a network namespace on the network, with its
// own /etc/resolv.conf and an empty /run.
type host struct {
	t      *testing.T
	ns     string
	v4, v6 string // its addresses on the network
	run    string // the directory its processes see as /run
	dir    string // scratch: configuration files
}

var networks atomic.Int32

// newNetwork makes an empty network that goes away with the test.
func newNetwork(t *testing.T) *network {
	t.Helper()
	need(t, "ip", "nft", "unshare")
	n := &network{t: t, prefix: fmt.Sprintf("dl%d-%d", os.Getpid(), networks.Add(1))}
	addNamespace(t, n.prefix)
	command(t, "ip", "-n", n.prefix, "link", "add", "br0", "type", "bridge")
	command(t, "ip", "-n", n.prefix, "link", "set", "br0", "up")
	return n
}

func addNamespace(t *testing.T, name string) {
	t.Helper()
	command(t, "ip", "netns", "add", name)
	t.Cleanup(func() { command(t, "ip", "netns", "del", name) })
}

// host adds a host with the addresses 10.53.0.N and fd53::N, N counting from 1.
func (n *network) host() *host {
	n.t.Helper()
	n.hosts++
	h := &host{
		t:   n.t,
		ns:  fmt.Sprintf("%s-%d", n.prefix, n.hosts),
		v4:  fmt.Sprintf("10.53.0.%d", n.hosts),
		v6:  fmt.Sprintf("fd53::%d", n.hosts),
		run: worldReadable(n.t),
		dir: worldReadable(n.t),
	}
	addNamespace(n.t, h.ns)
	port := fmt.Sprintf("port%d", n.hosts)
	command(n.t, "ip", "-n", h.ns, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", n.prefix)
	command(n.t, "ip", "-n", n.prefix, "link", "set", port, "master", "br0", "up")
	command(n.t, "ip", "-n", h.ns, "link", "set", "lo", "up")
	command(n.t, "ip", "-n", h.ns, "addr", "add", h.v4+"/24", "dev", "eth0")
	// Without duplicate address detection the address serves at once.
	command(n.t, "ip", "-n", h.ns, "addr", "add", h.v6+"/64", "dev", "eth0", "nodad")
	command(n.t, "ip", "-n", h.ns, "link", "set", "eth0", "addrgenmode", "none")
	command(n.t, "ip", "-n", h.ns, "addr", "add", fmt.Sprintf("fe80::%d/64", n.hosts), "dev", "eth0", "nodad")
	command(n.t, "ip", "-n", h.ns, "link", "set", "eth0", "up")
	h.resolvConf("")
	return h
}

// worldReadable is a temporary directory that an unprivileged process can read.
func worldReadable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// resolvConf sets what the host's processes that start from now on read as
// /etc/resolv.conf: ip-netns(8) binds the files of /etc/netns/NAME over /etc.
func (h *host) resolvConf(text string) {
	h.t.Helper()
	dir := filepath.Join("/etc/netns", h.ns)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		os.RemoveAll(dir)
		os.Remove("/etc/netns") // fails while another network has its files there
	})
	write(h.t, filepath.Join(dir, "resolv.conf"), text)
}

// file writes a file in the host's scratch directory and returns its path.
func (h *host) file(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	write(h.t, path, text)
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command is a process on the host, not started yet. Each wrapper execs the
// next, so the pid is that of the program itself.
func (h *host) command(argv ...string) *exec.Cmd {
	args := []string{"netns", "exec", h.ns, "unshare", "--mount", "sh", "-c",
		`mount --bind "$1" /run && shift && exec "$@"`, "sh", h.run}
	return exec.Command("ip", append(args, argv...)...)
}

// nft loads a ruleset on the host.
func (h *host) nft(rules string) {
	h.t.Helper()
	cmd := h.command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("nft: %v\n%s", err, out)
	}
}

// inside calls f on a thread that is in the host's network namespace: the
// sockets f makes are the host's. The thread ends with the call.
func (h *host) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be used again
		ns, err := os.Open(filepath.Join("/run/netns", h.ns))
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering %s: %w", h.ns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// addr joins an address of the test and a port as dnsloop and CoreDNS write it.
func addr(ip string, port int) string {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port)).String()
}

// command runs a tool of the test bed to its end.
func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}
