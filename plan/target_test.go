package plan

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var addrs = cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})

func TestParseTarget(t *testing.T) {
	ap := netip.MustParseAddrPort
	for in, want := range map[string]Upstream{
		"10.0.0.2":                       {Addr: ap("10.0.0.2:53")},
		"10.0.0.2:5353":                  {Addr: ap("10.0.0.2:5353")},
		"fd00::2":                        {Addr: ap("[fd00::2]:53")},
		"[fd00::2]":                      {Addr: ap("[fd00::2]:53")},
		"[fd00::2]:5353":                 {Addr: ap("[fd00::2]:5353")},
		"fe80::1%eth0":                   {Addr: ap("[fe80::1%eth0]:53")},
		"[fe80::1%eth0]:5353":            {Addr: ap("[fe80::1%eth0]:5353")},
		"::ffff:127.0.0.1":               {Addr: ap("127.0.0.1:53")},
		"[::ffff:10.0.0.2]:54":           {Addr: ap("10.0.0.2:54")},
		"udp://10.0.0.2":                 {Addr: ap("10.0.0.2:53"), Transport: UDP},
		"TCP://10.0.0.2:54":              {Addr: ap("10.0.0.2:54"), Transport: TCP},
		"dns://10.0.0.2":                 {Addr: ap("10.0.0.2:53")},
		"tls://10.0.0.2":                 {Addr: ap("10.0.0.2:853"), Transport: TLS},
		"tls://[fd00::2]:8853":           {Addr: ap("[fd00::2]:8853"), Transport: TLS},
		"tls://fe80::1%eth0":             {Addr: ap("[fe80::1%eth0]:853"), Transport: TLS},
		"tls://10.0.0.2%dns.example":     {Addr: ap("10.0.0.2:853"), Transport: TLS, Name: "dns.example"},
		"tls://10.0.0.2:8853%dns.ex":     {Addr: ap("10.0.0.2:8853"), Transport: TLS, Name: "dns.ex"},
		"tls://fd00::2%dns.example":      {Addr: ap("[fd00::2]:853"), Transport: TLS, Name: "dns.example"},
		"tls://dns.example":              {Addr: netip.AddrPortFrom(netip.Addr{}, 853), Transport: TLS, Name: "dns.example"},
		"tls://dns.example:8853":         {Addr: netip.AddrPortFrom(netip.Addr{}, 8853), Transport: TLS, Name: "dns.example"},
		"https://dns.example/dns-query":  {Addr: netip.AddrPortFrom(netip.Addr{}, 443), Transport: HTTPS, Name: "dns.example", URL: "https://dns.example/dns-query"},
		"https://dns.example":            {Addr: netip.AddrPortFrom(netip.Addr{}, 443), Transport: HTTPS, Name: "dns.example", URL: "https://dns.example/dns-query"},
		"https://10.0.0.2:8443/q":        {Addr: ap("10.0.0.2:8443"), Transport: HTTPS, URL: "https://10.0.0.2:8443/q"},
		"https://[fd00::2]/dns-query":    {Addr: ap("[fd00::2]:443"), Transport: HTTPS, URL: "https://[fd00::2]/dns-query"},
		"https://[::ffff:10.0.0.2]/q":    {Addr: ap("10.0.0.2:443"), Transport: HTTPS, URL: "https://[::ffff:10.0.0.2]/q"},
		"https://dns.example:8443/dns-q": {Addr: netip.AddrPortFrom(netip.Addr{}, 8443), Transport: HTTPS, Name: "dns.example", URL: "https://dns.example:8443/dns-q"},
	} {
		got, err := ParseTarget(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got, addrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

// What is no address names a file; what looks like one and is wrong is an error
// that says so.
func TestParseTargetErrors(t *testing.T) {
	for in, file := range map[string]bool{
		"resolv.conf": true, "/etc/resolv.conf": true, "-": true, "10.0.0.300": true, "localhost": true,
		"Corefile:53": true, "[fd00::2": true, "": true, "fe80::1%": true,
		"10.0.0.2:": false, "10.0.0.2:0": false, "10.0.0.2:65536": false, "10.0.0.2:domain": false,
		"[fd00::2]53": false, "[fd00::2]:x": false,
		"ftp://10.0.0.2": false, "quic://10.0.0.2": false, "udp://": false, "udp://dns.example": false, "tcp://10.0.0.300": false,
		"tls://": false, "tls://10.0.0.300": false, "tls://a b": false, "tls://dns.example:0": false, "tls://10.0.0.2%": false,
		"https://": false, "https://u@dns.example/": false, "https://dns.example:0/": false, "https://dns.example/?a=b": false, "https://10.0.0.300/": false,
	} {
		_, err := ParseTarget(in)
		if err == nil || errors.Is(err, ErrNoTarget) != file {
			t.Errorf("%q: %v; a file: %v", in, err, file)
		}
	}
}

func TestParseListen(t *testing.T) {
	for in, want := range map[string]string{
		":53": "0.0.0.0:53 [::]:53", ":1053": "0.0.0.0:1053 [::]:1053", "[::]:53": "0.0.0.0:53 [::]:53",
		"0.0.0.0:53": "0.0.0.0:53", "127.0.0.1:53": "127.0.0.1:53", "[::1]:53": "[::1]:53", "10.0.0.2": "10.0.0.2:53",
		"fd00::2": "[fd00::2]:53", "[fe80::1%eth0]:53": "[fe80::1%eth0]:53", "[::ffff:10.0.0.2]:53": "10.0.0.2:53",
	} {
		ls, err := ParseListen(in)
		var got []string
		for _, l := range ls {
			got = append(got, l.Addr.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", ":", ":0", ":x", ":65536", "localhost:53", "10.0.0.2:0", "*:53", "udp://10.0.0.2:53"} {
		if ls, err := ParseListen(in); err == nil || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("%q: %v, %v; want an error that names the option", in, ls, err)
		}
	}
}

func TestParseZone(t *testing.T) {
	long := strings.Repeat("a123456789.", 19)
	for in, want := range map[string]string{
		".": ".", "example.org": "example.org.", "Example.ORG.": "example.org.", "8.b.d.0.1.0.0.2.ip6.arpa": "8.b.d.0.1.0.0.2.ip6.arpa.",
		"_tcp.example": "_tcp.example.", long: long, strings.Repeat("\xb5", 60): strings.Repeat("\xb5", 60) + ".",
	} {
		if got, err := ParseZone(in); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a..b", ".example", "10.0.0.0/8", "a b", strings.Repeat("a", 64), "bcdefgh." + long} {
		if got, err := ParseZone(in); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}

// FuzzParseTarget: no panic, and what is read back from its own name is the same.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"10.0.0.2", "[fe80::1%eth0]:53", "tls://10.0.0.2%dns.example", "https://dns.example/dns-query"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseTarget(s)
		if err != nil {
			return
		}
		if u.Addr.Port() == 0 || !u.Addr.Addr().IsValid() && u.Name == "" {
			t.Fatalf("%q: nowhere to send to: %+v", s, u)
		}
		if u.Transport == "" {
			if again, err := ParseTarget(u.String()); err != nil || again != u {
				t.Fatalf("%q reads as %v, which reads as %v, %v", s, u, again, err)
			}
		}
	})
}
