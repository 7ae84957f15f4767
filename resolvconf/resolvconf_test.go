package resolvconf

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var cmpAddr = cmpopts.EquateComparable(netip.Addr{})

func TestParse(t *testing.T) {
	got, err := Parse("resolv.conf", strings.NewReader("search example.com\nnameserver 192.0.2.1 \r\nnameserver  fe80::1%eth0\noptions rotate\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := File{
		Nameservers: []Nameserver{
			{Addr: netip.MustParseAddr("192.0.2.1"), Line: 2, Glibc: true, CoreDNS: true},
			{Addr: netip.MustParseAddr("fe80::1%eth0"), Line: 3, Glibc: true, CoreDNS: true},
		},
		Search:   []string{"example.com"},
		Options:  []string{"rotate"},
		Problems: []Problem{{Line: 3, Reason: `CoreDNS drops the zone "eth0", and cannot reach a link-local address without it`}},
	}
	if d := cmp.Diff(want, got, cmpAddr); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestLongLines looks at lines as long as each reader's buffer, and one byte
// longer. Padding with blanks keeps the line meaningful to glibc.
func TestLongLines(t *testing.T) {
	const line = "nameserver 192.0.2.1"
	padded := func(n int) string { return line + strings.Repeat(" ", n-len(line)) }
	for _, tt := range []struct {
		name string
		text string
		want string
	}{
		{"musl's longest", padded(254) + "\nnameserver", "1: 192.0.2.1 glibc coredns\n3: 192.0.2.2 glibc coredns\n2: problem: `nameserver` without"},
		{"over musl's", padded(255), "1: 192.0.2.1 glibc coredns\n2: 192.0.2.2 glibc coredns\n1: problem: a line of more than 254 bytes: musl skips it"},
		{"CoreDNS's longest", padded(65535), "1: 192.0.2.1 glibc coredns\n2: 192.0.2.2 glibc coredns\n1: problem: a line of more than 254 bytes: musl skips it"},
		{"over CoreDNS's", padded(65536), "1: 192.0.2.1 glibc\n2: 192.0.2.2 glibc\n1: problem: a line of more than 65535 bytes: CoreDNS stops"},
		{"a comment over CoreDNS's", "#" + strings.Repeat("-", 65535), "2: 192.0.2.2 glibc\n1: problem: a line of more than 65535 bytes: CoreDNS stops"},
		{"two over CoreDNS's", "#" + strings.Repeat("-", 70000) + "\n" + padded(70000), "2: 192.0.2.1 glibc\n3: 192.0.2.2 glibc\n1: problem: a line of more than 65535 bytes: CoreDNS stops"},
		{"trailing text over CoreDNS's", line + strings.Repeat(" 192.0.2.3", 10000), "1: 192.0.2.1 glibc\n2: 192.0.2.2 glibc\n1: problem: a line of more than 65535 bytes: CoreDNS stops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("resolv.conf", strings.NewReader(tt.text+"\nnameserver 192.0.2.2\n"))
			got := strings.Replace(dump(f, err), "search: []\noptions: []\ncluster first: false\n", "", 1)
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got\n%.200s\nwant\n%s", got, tt.want)
			}
			for i := 1; i < len(f.Problems); i++ {
				p := f.Problems[i]
				if p.Line <= f.Problems[i-1].Line || strings.Contains(p.Reason, "CoreDNS stops") {
					t.Errorf("one problem too many: line %d: %s", p.Line, p.Reason)
				}
			}
			if d := cmp.Diff(coreDNSWould(tt.text+"\nnameserver 192.0.2.2\n"), coreDNSSays(f), cmpAddr); d != "" {
				t.Errorf("CoreDNS: -would +says\n%s", d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	noDirectory := func(t *testing.T) io.Reader {
		f, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	text := func(s string) func(*testing.T) io.Reader {
		return func(*testing.T) io.Reader { return strings.NewReader(s) }
	}
	for _, tt := range []struct {
		name string
		file string
		r    func(*testing.T) io.Reader
		want string
		is   error
	}{
		{"a directory", "etc", noDirectory, "read etc: is a directory", syscall.EISDIR},
		{"a read that fails", "resolv.conf", func(*testing.T) io.Reader { return iotest.ErrReader(fs.ErrPermission) },
			"read resolv.conf: permission denied", fs.ErrPermission},
		{"NUL", "resolv.conf", text("# a\nnameserver 192.0.2.1\x00\n"), "resolv.conf:2: NUL byte: not a text file", nil},
		{"NUL first", "resolv.conf", text("\x00"), "resolv.conf:1: NUL byte: not a text file", nil},
		{"too large", "resolv.conf", text("nameserver 192.0.2.1\n" + strings.Repeat("#\n", 5<<20)),
			"resolv.conf: larger than 1048576 bytes: not a resolv.conf", nil},
		{"every nameserver bad", "resolv.conf", text("\nnameserver a\nnameserver b\n"),
			`resolv.conf:2: no usable nameserver: "a" is no IP address: the C library skips the line, CoreDNS takes it for a host name`, nil},
		{"every nameserver misspelt", "resolv.conf", text("options rotate\nNameServer 192.0.2.1\n"),
			`resolv.conf:2: no usable nameserver: "NameServer" is not in lower case: every reader skips the line`, nil},
		{"nameserver without a blank", "resolv.conf", text("nameserver:192.0.2.1\n"),
			`resolv.conf:1: no usable nameserver: "nameserver:192.0.2.1" is no keyword of a resolv.conf: every reader skips the line`, nil},
		{"only CoreDNS would read it, and has stopped", "resolv.conf", text("#" + strings.Repeat("-", 1<<16) + "\n nameserver 192.0.2.1\n"),
			"resolv.conf:2: no usable nameserver: the C library skips the line, CoreDNS reads no further than line 1", nil},
		{"another kind of file", "README", text("\nHello, world\n"), `README:2: not a resolv.conf: "Hello," is no keyword of a resolv.conf: every reader skips the line`, nil},
		{"bad bytes in what is shown", "a\x1b[2Jb", text("nameserver \xff\x1b[2J\n"),
			`"a\x1b[2Jb":1: no usable nameserver: "\xff\x1b[2J" is no IP address: the C library skips the line, CoreDNS takes it for a host name`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse(tt.file, tt.r(t))
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %v\n want %v", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v does not wrap %v", err, tt.is)
			}
			if d := cmp.Diff(File{}, f, cmpAddr); d != "" {
				t.Errorf("a file beside an error: %s", d)
			}
		})
	}
}

// TestLargest: what is exactly as large as allowed is read.
func TestLargest(t *testing.T) {
	text := "nameserver 192.0.2.1\n"
	text += strings.Repeat("\n", maxSize-len(text))
	if f, err := Parse("resolv.conf", strings.NewReader(text)); err != nil || len(f.Nameservers) != 1 {
		t.Errorf("%d nameservers, error %v; want 1 and none", len(f.Nameservers), err)
	}
}

func TestValidZone(t *testing.T) {
	for zone, want := range map[string]bool{
		"eth0": true, "2": true, "enp0s31f6.4094": true, "fifteen-letters": true,
		"": false, "sixteen--letters": false, "a/b": false, "a b": false, "a\r": false, "\x7f": false, "ä": false,
	} {
		if got := validZone(zone); got != want {
			t.Errorf("validZone(%q) is %v, want %v", zone, got, want)
		}
	}
}

// TestLinear: no input of the largest size takes more than a moment.
func TestLinear(t *testing.T) {
	for _, unit := range []string{"\n", "x\n", "nameserver 192.0.2.1\n", "nameserver x\n", "nameserver ", "search a ", "options\ta\n", "1.", "%", "fe80::1%"} {
		for _, prefix := range []string{"", "nameserver 192.0.2.1\nnameserver "} {
			text := prefix + strings.Repeat(unit, (maxSize-len(prefix))/len(unit))
			start := time.Now()
			Parse("resolv.conf", strings.NewReader(text))
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%q and many %q: %v", prefix, unit, took)
			}
		}
	}
}

// TestInetAton has the forms of inet_aton(3).
func TestInetAton(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1",
		"192.0.2.1 text":       "",
		"192.0.2.1\r":          "",
		"192.0.2.1\vtext":      "",
		"127.1":                "127.0.0.1",
		"127.0.257":            "127.0.1.1",
		"1":                    "0.0.0.1",
		"0":                    "0.0.0.0",
		"4294967295":           "255.255.255.255",
		"0x7F000035":           "127.0.0.53",
		"0X7f.0.0x0.1":         "127.0.0.1",
		"0177.0.0.065":         "127.0.0.53",
		"00000000000177.1":     "127.0.0.1",
		"010.1":                "8.0.0.1",
		"1.16777215":           "1.255.255.255",
		"":                     "",
		" 192.0.2.1":           "",
		"192.0.2":              "192.0.0.2",
		"192.0.2.":             "",
		".1":                   "",
		"192..2.1":             "",
		"192.0.2.1.":           "",
		"192.0.2.1.1":          "",
		"192.0.2.256":          "",
		"256.1":                "",
		"1.16777216":           "",
		"1.2.65536":            "",
		"4294967296":           "",
		"99999999999999999999": "",
		"08":                   "",
		"0x":                   "",
		"0xg":                  "",
		"1_0":                  "",
		"+1":                   "",
		"-1":                   "",
		"1.-1":                 "",
		"192.0.2.1#53":         "",
		"192.0.2.1;":           "",
		"192.0.2.1:53":         "",
		"192.0.2.1/24":         "",
		"192.0.2.1\u00a0":      "",
		"::1":                  "",
	} {
		got := ""
		if addr, ok := inetAton(in); ok {
			got = addr.String()
		}
		if got != want {
			t.Errorf("inetAton(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestCarriageReturns: only glibc minds them, and on a sortlist it hangs.
func TestCarriageReturns(t *testing.T) {
	f, err := Parse("resolv.conf", strings.NewReader("sortlist 192.0.2.0/24\r\noptions rotate\r\nnameserver 192.0.2.1\r\nnameserver 192.0.2.2 \r\n"))
	const want = `3: 192.0.2.1 coredns
4: 192.0.2.2 glibc coredns
search: []
options: ["rotate"]
cluster first: false
1: problem: a carriage return ends the line: glibc reads it for ever, and programs hang
3: problem: a carriage return right behind the address: glibc skips the line, musl and CoreDNS read it
`
	if d := cmp.Diff(want, dump(f, err)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestClusterFirst(t *testing.T) {
	for search, want := range map[string]bool{
		"":                                false,
		"svc.cluster.local cluster.local": false,
		"a.svc.cluster.local":             false,
		"a.svc.cluster.local svc.cluster.local cluster.local":     true,
		"a.svc.cluster.local. svc.cluster.local. cluster.local.":  true,
		"A.svc.Cluster.local svc.cluster.LOCAL cluster.local lan": true,
		"a.svc.k8s svc.k8s k8s":                                   true,
		"a.svc.cluster.local svc.cluster.local other.local":       false,
		"a.svc.other.local svc.cluster.local cluster.local":       false,
		"a.b.svc.cluster.local svc.cluster.local cluster.local":   false,
		".svc.cluster.local svc.cluster.local cluster.local":      false,
		"a.sv.cluster.local sv.cluster.local cluster.local":       false,
		"lan a.svc.cluster.local svc.cluster.local cluster.local": false,
		"a.svc svc. .": false,
	} {
		f := File{Search: strings.Fields(search), Options: []string{"ndots:5"}}
		if got := f.ClusterFirst(); got != want {
			t.Errorf("search %s: ClusterFirst is %v, want %v", search, got, want)
		}
	}
}

func TestService(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.53":         "systemd-resolved's stub",
		"::ffff:127.0.0.53":  "systemd-resolved's stub",
		"127.0.0.54":         "systemd-resolved's proxy stub",
		"127.0.0.11":         "Docker's embedded DNS",
		"127.0.1.1":          "NetworkManager's dnsmasq",
		"169.254.20.10":      "NodeLocal DNSCache",
		"100.100.100.100":    "Tailscale's MagicDNS",
		"fd7a:115c:a1e0::53": "Tailscale's MagicDNS",
		"127.0.0.1":          "",
		"192.0.2.1":          "",
	} {
		if got := Service(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Service(%s) = %q, want %q", addr, got, want)
		}
	}
	if got := Service(netip.Addr{}); got != "" {
		t.Errorf("Service of no address = %q", got)
	}
}
