package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// containerEnv tells the test's own program to become a container's first
// process; its value is a container as text.
const containerEnv = "DNSLOOP_E2E_CONTAINER"

// container is what a container runtime sets before it executes a program.
type container struct {
	uid  int
	bind bool // CAP_NET_BIND_SERVICE is added; everything else is dropped
	nnp  bool // allowPrivilegeEscalation: false
}

// command is a process on the host as the container's first one.
func (c container) command(h *host, argv ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command(append([]string{self}, argv...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %t %t", containerEnv, c.uid, c.bind, c.nnp))
	return cmd
}

// startAsContainer drops what a runtime drops, in runc's order, and executes
// argv: bounding set, then the user with capabilities kept, then the sets
// themselves (ambient and inheritable stay empty, as Kubernetes offers no field
// for them), then no_new_privs. It returns only when that failed.
func startAsContainer(how string, argv []string) error {
	var c container
	if _, err := fmt.Sscanf(how, "%d %t %t", &c.uid, &c.bind, &c.nnp); err != nil {
		return fmt.Errorf("%s=%q: %w", containerEnv, how, err)
	}
	runtime.LockOSThread() // credentials are the thread's, and this one executes
	for cap := 0; cap <= unix.CAP_LAST_CAP; cap++ {
		if c.bind && cap == unix.CAP_NET_BIND_SERVICE {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(cap), 0, 0, 0); err != nil {
			return fmt.Errorf("bounding set, capability %d: %w", cap, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping capabilities: %w", err)
	}
	for _, call := range []uintptr{unix.SYS_SETGID, unix.SYS_SETUID} {
		if _, _, errno := unix.RawSyscall(call, uintptr(c.uid), 0, 0); errno != 0 {
			return fmt.Errorf("becoming user %d: %w", c.uid, errno)
		}
	}
	var sets [2]unix.CapUserData
	if c.bind {
		sets[0].Permitted = 1 << unix.CAP_NET_BIND_SERVICE
		sets[0].Effective = sets[0].Permitted
	}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if c.nnp {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no_new_privs: %w", err)
		}
	}
	return fmt.Errorf("executing %s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}

// withFileCapability is a copy of dnsloop that carries cap_net_bind_service=+ep,
// as CoreDNS's image has it: capabilities(7), struct vfs_cap_data revision 2.
func (h *host) withFileCapability() string {
	h.t.Helper()
	data, err := os.ReadFile(dnsloopBin)
	if err != nil {
		h.t.Fatal(err)
	}
	path := filepath.Join(h.dir, "dnsloop")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		h.t.Fatal(err)
	}
	xattr := make([]byte, 20)
	binary.LittleEndian.PutUint32(xattr, 0x02000001) // revision 2, effective
	binary.LittleEndian.PutUint32(xattr[4:], 1<<unix.CAP_NET_BIND_SERVICE)
	if err := unix.Setxattr(path, "security.capability", xattr, 0); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// unprivilegedFrom sets the first port that needs no privilege on the host.
func (h *host) unprivilegedFrom(port string) {
	h.t.Helper()
	out, err := h.command("sh", "-c", "echo "+port+" >/proc/sys/net/ipv4/ip_unprivileged_port_start").CombinedOutput()
	if err != nil {
		h.t.Fatalf("net.ipv4.ip_unprivileged_port_start: %v\n%s", err, out)
	}
}

// TestRightToBind is the ground that deploy/README.md's choice stands on: what
// gives a container's process the right to bind port 53.
func TestRightToBind(t *testing.T) {
	need(t, "dnsmasq")
	const nobody = 65532
	for _, c := range []struct {
		name      string
		container container
		fileCap   bool
		sysctl    string
		status    int // of dnsloop; 125: the kernel refuses to execute it
	}{
		{name: "root with the capability", container: container{uid: 0, bind: true, nnp: true}, status: 0},
		{name: "root without", container: container{uid: 0, nnp: true}, status: 3},
		{name: "another user with the capability", container: container{uid: nobody, bind: true, nnp: true}, status: 3},
		{name: "another user with it and a file capability", container: container{uid: nobody, bind: true, nnp: true},
			fileCap: true, status: 0},
		{name: "another user with a file capability alone", container: container{uid: nobody, nnp: true},
			fileCap: true, status: 125},
		{name: "another user where port 53 is unprivileged", container: container{uid: nobody, nnp: true},
			sysctl: "53", status: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			h := n.host()
			upstream := clean(n, 53)
			if c.sysctl != "" {
				h.unprivilegedFrom(c.sysctl)
			}
			bin := dnsloopBin
			if c.fileCap {
				bin = h.withFileCapability()
			}
			cmd := c.container.command(h, bin, "-f", "json", "--timeout", "5s", upstream)
			if c.status == 125 {
				out, _ := cmd.CombinedOutput()
				if got := cmd.ProcessState.ExitCode(); got != 125 || !strings.Contains(string(out), "operation not permitted") {
					t.Errorf("exit status %d, %s; want the exec to fail", got, out)
				}
				return
			}
			r, status := runDNSLoop(t, cmd)
			verdict := map[int]string{0: "clear", 3: "unknown"}[c.status]
			r.expect(t, status, verdict, c.status)
			for _, l := range r.Listeners {
				if want := map[int]string{0: "listening", 3: "denied"}[c.status]; l.State != want {
					t.Errorf("%s over %s is %s, want %s", l.Address, l.Transport, l.State, want)
				}
			}
		})
	}
}
