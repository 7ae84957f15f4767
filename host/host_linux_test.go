package host

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLocalHolders binds sockets and finds this process named as their owner.
func TestLocalHolders(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []net.Addr{udp.LocalAddr(), tcp.Addr()} {
		at := netip.MustParseAddrPort(a.String())
		want := Holder{Addr: at, Transport: a.Network(), Process: strings.TrimSpace(string(comm)), PID: os.Getpid()}
		if got := Local.Holders(a.Network(), at.Port()); !slices.Contains(got, want) {
			t.Errorf("%s %s is held by %v, want %v among them", a.Network(), a, got, want)
		}
	}
}

// TestLocalAddrs compares what /proc tells with what netlink does.
func TestLocalAddrs(t *testing.T) {
	got, err := Local.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	want, err := interfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpAddr); d != "" {
		t.Errorf("-netlink +proc\n%s", d)
	}
}
