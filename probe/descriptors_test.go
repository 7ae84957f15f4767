package probe

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// fewDescriptors lets this process open so many more files until the function
// that it returns is called.
func fewDescriptors(t *testing.T, more int) (restore func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Skip("this system has no limit of file descriptors:", err)
	}
	low := was
	low.Cur = min(low.Cur, 256) // of their numbers, not of how many are open: holes are to be filled
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	for range more {
		held[len(held)-1].Close()
		held = held[:len(held)-1]
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
		for _, f := range held {
			f.Close()
		}
	}
}

// Out of file descriptors, an upstream is not probed: no panic, no verdict.
func TestNoFileDescriptors(t *testing.T) {
	up := start(t, clean)
	s, _ := standIn(t)
	restore := fewDescriptors(t, 0)
	rs := run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()}))
	restore()
	for _, r := range rs {
		if r.Failure != NotProbed || !strings.Contains(r.Detail, "too many open files") {
			t.Errorf("%+v: want not probed, too many open files", r)
		}
	}
}

// Out of file descriptors, an ear says so, whether it is the socket itself that
// lacks one, the ear's test, or who comes later.
func TestEarsWithoutDescriptors(t *testing.T) {
	listeners := []plan.Listener{{Addr: netip.AddrPortFrom(loopback, 0)}}
	for name, more := range map[string]int{"no socket": 0, "no test": 2} {
		restore := fewDescriptors(t, more)
		s := Listen(t.Context(), listeners, []netip.Addr{loopback}, nil)
		restore()
		for _, e := range s.Ears() {
			if e.State != Exhausted || !strings.Contains(e.Err.Error(), "too many open files") {
				t.Errorf("%s: %s over %s: %s: %v", name, e.Addr, e.Transport, e.State, e.Err)
			}
		}
		s.Close()
	}

	s, home := standIn(t)
	restore := fewDescriptors(t, 1)
	c, err := net.Dial("tcp", home.String())
	for end := time.Now().Add(10 * time.Second); s.starving() == nil && time.Now().Before(end); {
		runtime.Gosched()
	}
	restore()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, e := range s.Ears() {
		if want := map[plan.Transport]State{plan.UDP: Listening, plan.TCP: Exhausted}[e.Transport]; e.State != want {
			t.Errorf("%s over %s: %s, want %s", e.Addr, e.Transport, e.State, want)
		}
	}
}
