package resolvconf

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// coreDNSWould lists what CoreDNS's forward dials for a file: what the parser
// that it uses returns, zones stripped, of which addresses and localhost lead
// somewhere.
func coreDNSWould(text string) []netip.Addr {
	conf, err := dns.ClientConfigFromReader(strings.NewReader(text))
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, s := range conf.Servers {
		if end := strings.LastIndex(s, "%"); end >= 0 {
			s = s[:end]
		}
		addr, err := netip.ParseAddr(s)
		if strings.EqualFold(s, "localhost") {
			addr, err = netip.MustParseAddr("127.0.0.1"), nil
		}
		if err == nil {
			addrs = append(addrs, addr.Unmap().WithZone(""))
		}
	}
	return addrs
}

// coreDNSSays lists what we say that CoreDNS dials.
func coreDNSSays(f File) []netip.Addr {
	var addrs []netip.Addr
	for _, ns := range f.Nameservers {
		if ns.CoreDNS {
			addrs = append(addrs, ns.Addr.WithZone(""))
		}
	}
	return addrs
}

// FuzzParse holds Parse to what is true of any file, and to what CoreDNS's own
// parser makes of it.
func FuzzParse(f *testing.F) {
	for _, path := range corpus(f) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("#" + strings.Repeat("-", 65535) + "\nnameserver 192.0.2.1\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("resolv.conf", strings.NewReader(text))
		if err != nil {
			checkShown(t, err.Error())
			return
		}
		lines := strings.Split(text, "\n")
		glibc, last := 0, 0
		for _, ns := range file.Nameservers {
			if ns.Line <= last || ns.Line > len(lines) {
				t.Errorf("line %d after %d of %d", ns.Line, last, len(lines))
			}
			last = ns.Line
			if !ns.Addr.IsValid() || ns.Addr.Is4In6() {
				t.Errorf("line %d: address %s", ns.Line, ns.Addr)
			}
			checkShown(t, ns.Addr.String())
			if ns.Glibc {
				glibc++
			}
			if !strings.Contains(lines[ns.Line-1], "nameserver") {
				t.Errorf("line %d: text %q", ns.Line, lines[ns.Line-1])
			}
		}
		if glibc > maxNS {
			t.Errorf("glibc takes %d nameservers", glibc)
		}
		if !slices.IsSortedFunc(file.Problems, func(a, b Problem) int { return a.Line - b.Line }) {
			t.Errorf("problems out of order: %v", file.Problems)
		}
		for _, p := range file.Problems {
			if p.Line < 1 || p.Line > len(lines) {
				t.Errorf("problem in line %d of %d", p.Line, len(lines))
			}
			checkShown(t, p.Reason)
		}
		if d := cmp.Diff(coreDNSWould(text), coreDNSSays(file), cmpAddr); d != "" {
			t.Errorf("CoreDNS: -would +says\n%s", d)
		}
	})
}

// checkShown fails where a terminal would get a byte raw.
func checkShown(t *testing.T, s string) {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			t.Errorf("%q is not fit for a terminal", s)
			return
		}
	}
}

func FuzzInetAton(f *testing.F) {
	f.Add("127.0.0.1")
	f.Add("0177.0x1.2")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := inetAton(s)
		if want, err := netip.ParseAddr(s); err == nil && want.Is4() && (!ok || got != want) {
			t.Errorf("inetAton(%q) = %s, %v; want %s", s, got, ok, want)
		}
		if ok && !got.Is4() {
			t.Errorf("inetAton(%q) = %s", s, got)
		}
	})
}
