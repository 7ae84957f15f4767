package spelling

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReverse(t *testing.T) {
	for prefix, want := range map[string][]string{
		"10.0.0.0/8":      {"10.in-addr.arpa."},
		"10.1.2.3/32":     {"3.2.1.10.in-addr.arpa."},
		"192.168.77.0/16": {"168.192.in-addr.arpa."},
		"172.16.0.0/14":   {"16.172.in-addr.arpa.", "17.172.in-addr.arpa.", "18.172.in-addr.arpa.", "19.172.in-addr.arpa."},
		"0.0.0.0/0":       {"in-addr.arpa."},
		"fd00::/8":        {"d.f.ip6.arpa."},
		"2001:db8::/31":   {"8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa."},
	} {
		if diff := cmp.Diff(want, Reverse(netip.MustParsePrefix(prefix))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", prefix, diff)
		}
	}
}

func TestLower(t *testing.T) {
	for in, want := range map[string]string{
		"Example.ORG.": "example.org.", "[\\]^_`{": "[\\]^_`{", "\xb5É": "\xb5É",
	} {
		if got := Lower(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"forward . é": "forward . é", "\x1b[31m\n\u202e": "�[31m��", "\xff": "�",
		strings.Repeat("é", 501): strings.Repeat("é", 500) + "…",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
