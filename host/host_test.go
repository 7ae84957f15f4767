package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var cmpAddr = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

// root makes a host of files: "path" with its content, "path/" a directory,
// "path -> target" a symbolic link.
func root(t *testing.T, files map[string]string) Host {
	t.Helper()
	h := Host{Root: t.TempDir()}
	for name, text := range files {
		name, target, isLink := strings.Cut(name, " -> ")
		path := h.path(name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case isLink:
			err = os.Symlink(target, path)
		case dir != path:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestCandidates(t *testing.T) {
	h := root(t, map[string]string{
		"/run/systemd/resolve/resolv.conf":        "# uplinks\nnameserver 192.0.2.1\nnameserver 127.0.0.1\nnameserver fe80::1%eth0\n",
		"/run/NetworkManager/no-stub-resolv.conf": "nameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver 0.0.0.0\nnameserver ::\n",
		"/run/NetworkManager/resolv.conf":         "nameserver 2001:db8::53\nnameserver ::1\nnameserver ::ffff:127.0.0.53\nnameserver ::ffff:192.0.2.2\n",
		"/var/run -> ../run":                      "",
		"/etc/resolv.conf":                        "nameserver 192.0.2.99\n",
	})
	want := []Candidate{
		{netip.MustParseAddr("192.0.2.1"), h.path("/run/systemd/resolve/resolv.conf"), 2},
		{netip.MustParseAddr("192.0.2.2"), h.path("/run/NetworkManager/no-stub-resolv.conf"), 1},
		{netip.MustParseAddr("2001:db8::53"), h.path("/var/run/NetworkManager/resolv.conf"), 1},
	}
	if d := cmp.Diff(want, h.Candidates(), cmpAddr); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestCandidatesNone(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no files":    nil,
		"a directory": {"/run/systemd/resolve/resolv.conf/": ""},
		"binary":      {"/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.1\n\x00"},
		"all bad":     {"/run/systemd/resolve/resolv.conf": "nameserver here\n"},
		"empty":       {"/run/systemd/resolve/resolv.conf": ""},
	} {
		if got := root(t, files).Candidates(); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFacts(t *testing.T) {
	type facts struct {
		Resolved, Kubernetes bool
		Kubelet              string
	}
	for _, tt := range []struct {
		file string
		want facts
	}{
		{"/run/systemd/", facts{}},
		{"/run/systemd/resolve/", facts{Resolved: true}},
		{"/run/systemd/resolve", facts{}}, // a file
		{"/var/run/secrets/kubernetes.io/serviceaccount/", facts{Kubernetes: true}},
		{"/var/lib/kubelet/config.yaml", facts{Kubelet: "/var/lib/kubelet/config.yaml"}},
		{"/var/lib/kubelet/config.yaml/", facts{}},
	} {
		h := root(t, map[string]string{tt.file: "x"})
		got := facts{h.SystemdResolved(), h.Kubernetes(), strings.TrimPrefix(h.KubeletConfig(), h.Root)}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.file, d)
		}
	}
}

const fibTrie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 link UNICAST
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 198.51.100.7
        /32 host LOCAL tos=8
`

const ifInet6 = `00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000002 04 40 00 82     eth0
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fe8000000000000000fc00fffe000001 05 40 20 80     wg0
`

func TestAddrs(t *testing.T) {
	four := []string{"127.0.0.1", "192.0.2.2", "198.51.100.7"}
	six := []string{"::1", "fd00::2", "fe80::fc:ff:fe00:1%eth0", "fe80::fc:ff:fe00:1%wg0"}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string
		err   error
	}{
		{"both families", map[string]string{"/proc/net/fib_trie": fibTrie, "/proc/net/if_inet6": ifInet6}, slices.Concat(four, six), nil},
		{"IPv6 off", map[string]string{"/proc/net/fib_trie": fibTrie}, four, nil},
		{"no /proc", nil, nil, fs.ErrNotExist},
		{"garbage", map[string]string{"/proc/net/fib_trie": "|--\n|-- x\n/32 host LOCAL\n/32\n", "/proc/net/if_inet6": "\nzz 1 2 3 4 lo\nfe80 1 2 3 4 lo\n"}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addrs, err := root(t, tt.files).Addrs()
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			var got []string
			for _, a := range addrs {
				got = append(got, a.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// hexAddr is an address as /proc on this machine writes it.
func hexAddr(s string) string {
	ap := netip.MustParseAddrPort(s)
	var b strings.Builder
	for raw := ap.Addr().AsSlice(); len(raw) > 0; raw = raw[4:] {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(raw))
	}
	return fmt.Sprintf("%s:%04X", b.String(), ap.Port())
}

func line(local, peer, state, inode string) string {
	return fmt.Sprintf("   0: %s %s %s 00000000:00000000 00:00000000 00000000   101        0 %s 2 ffff8a2b4c5d6e00 0\n", hexAddr(local), hexAddr(peer), state, inode)
}

const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

func TestHolders(t *testing.T) {
	h := root(t, map[string]string{
		"/proc/net/udp": header +
			line("127.0.0.53:53", "0.0.0.0:0", "07", "501") +
			line("10.0.0.1:53", "10.0.0.9:4711", "01", "509") + // connected: a client
			line("0.0.0.0:5353", "0.0.0.0:0", "07", "502"),
		"/proc/net/udp6": header + line("[::ffff:127.0.0.9]:53", "[::]:0", "07", "503"),
		"/proc/net/tcp": header +
			line("127.0.0.53:53", "0.0.0.0:0", "0A", "504") +
			line("10.0.0.1:4711", "10.0.0.2:53", "01", "505") + // to port 53
			line("10.0.0.1:53", "10.0.0.2:4711", "01", "506"),
		"/proc/net/tcp6":                  header + line("[::]:53", "[::]:0", "0A", "507") + line("[2001:db8::1]:53", "[::]:0", "0A", "508"),
		"/proc/612/comm":                  "systemd-resolve\n",
		"/proc/612/fd/12 -> socket:[501]": "",
		"/proc/612/fd/13 -> socket:[504]": "",
		"/proc/612/fd/0 -> /dev/null":     "",
		"/proc/90/comm":                   "evil\x1b[2J\n",
		"/proc/90/fd/3 -> socket:[507]":   "",
		"/proc/1000/comm":                 "child\n",
		"/proc/1000/fd/3 -> socket:[507]": "",
		"/proc/self/comm":                 "dnsloop\n",
	})
	at := netip.MustParseAddrPort
	want := []Holder{
		{at("127.0.0.9:53"), "udp", "", 0},
		{at("127.0.0.53:53"), "udp", "systemd-resolve", 612},
		{at("127.0.0.53:53"), "tcp", "systemd-resolve", 612},
		{at("[::]:53"), "tcp", "evil?[2J", 90},
		{at("[2001:db8::1]:53"), "tcp", "", 0},
	}
	if d := cmp.Diff(want, slices.Concat(h.Holders("udp", 53), h.Holders("tcp", 53)), cmpAddr); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if got := h.Holders("udp", 54); len(got) > 0 {
		t.Errorf("port 54: %v", got)
	}
	if got := root(t, nil).Holders("tcp", 53); len(got) > 0 {
		t.Errorf("without /proc: %v", got)
	}
}

// TestParseHexAddrPort reads what machines of either byte order write.
func TestParseHexAddrPort(t *testing.T) {
	little, big := binary.LittleEndian, binary.BigEndian
	for _, tt := range []struct {
		in    string
		order binary.ByteOrder
		want  string // empty: an error
	}{
		{"3500007F:0035", little, "127.0.0.53:53"},
		{"7F000035:0035", big, "127.0.0.53:53"},
		{"00000000:0000", little, "0.0.0.0:0"},
		{"00000000000000000000000001000000:0035", little, "[::1]:53"},
		{"00000000000000000000000000000001:0035", big, "[::1]:53"},
		{"B80D0120000000000000000035000000:14E9", little, "[2001:db8::35]:5353"},
		{"20010DB8000000000000000000000035:14E9", big, "[2001:db8::35]:5353"},
		{"0000000000000000FFFF00003500007F:0035", little, "127.0.0.53:53"},
		{"3500007F", little, ""},
		{"3500007F:", little, ""},
		{"3500007F:10000", little, ""},
		{"3500007:0035", little, ""},
		{"3500007G:0035", little, ""},
		{"3500007F3500007F:0035", little, ""},
		{":0035", little, ""},
		{"", little, ""},
	} {
		got, err := parseHexAddrPort(tt.in, tt.order)
		if err != nil && tt.want == "" {
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("%s: %s, error %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// FuzzTables: whatever stands in /proc, what is read of it are addresses.
func FuzzTables(f *testing.F) {
	f.Add(fibTrie)
	f.Add(ifInet6)
	f.Add(header + line("127.0.0.53:53", "0.0.0.0:0", "07", "501"))
	f.Fuzz(func(t *testing.T, text string) {
		four, _ := parseFibTrie(strings.NewReader(text))
		for _, a := range four {
			if !a.Is4() {
				t.Errorf("fib_trie: %v", a)
			}
		}
		six, _ := parseIfInet6(strings.NewReader(text))
		for _, a := range six {
			if !a.IsValid() || a.Is4In6() {
				t.Errorf("if_inet6: %v", a)
			}
		}
		for _, s := range readSockets(strings.NewReader(text), 53, udpUnconn, binary.LittleEndian) {
			if s.addr.Port() != 53 || !s.addr.IsValid() || s.addr.Addr().Is4In6() {
				t.Errorf("udp: %v", s)
			}
		}
	})
}
