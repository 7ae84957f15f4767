package forwarders

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// What is hostile is refused. Without a bound, some of these would not end.
func TestLimits(t *testing.T) {
	pyramid := func(kind, leaf string) string { // each list names the next one many times
		var b strings.Builder
		for i := range 15 {
			fmt.Fprintf(&b, "%s l%d { %s};\n", kind, i, strings.Repeat(fmt.Sprintf("l%d; ", i+1), 50))
		}
		return b.String() + kind + " l15 { " + leaf + " };\n"
	}
	for _, c := range []struct {
		name   string
		format Format
		data   string
	}{
		{"includes itself", Unbound, "include: \"f\"\n"},
		{"includes itself, too", Named, "include \"f\";\n"},
		{"includes itself many times", Unbound, strings.Repeat("include: f\n", 3)},
		{"lists of acls", Named, pyramid("acl", "none;") + "options { listen-on { l0; }; };"},
		{"lists of servers", Named, pyramid("primaries", "") + `zone "a" { type stub; primaries { l0; }; };`},
		{"a list of itself", Named, `primaries a { a; }; zone "a" { type stub; primaries { a; }; };`},
		{"braces", Named, strings.Repeat("a { ", 100_000)},
		{"statements", Named, strings.Repeat("a;", 200_000)},
		{"views", Named, strings.Repeat("view a { };", 1000)},
		{"zones of a line", Dnsmasq, "server=/" + strings.Repeat("a/", maxForwards+1) + "10.0.0.1\n"},
		{"servers", Dnsmasq, "no-resolv\n" + strings.Repeat("server=10.0.0.1\n", maxForwards+1)},
		{"servers of many zones", Dnsmasq, "no-resolv\n" + strings.Repeat("server=10.0.0.1\n", maxForwards/2) + strings.Repeat("server=/a/#\n", 2)},
		{"servers of many zones, too", Dnsmasq, "no-resolv\n" + strings.Repeat("server=10.0.0.1\n", maxForwards/2) + "server=/a/#\nserver=/b/#\n"},
		{"forwarders", Unbound, "forward-zone:\nname: .\n" + strings.Repeat("forward-addr: 10.0.0.1\n", maxForwards+1)},
		{"forwarders, too", Named, "options { forwarders { " + strings.Repeat("10.0.0.1;", maxForwards+1) + " }; };"},
		{"bytes", Dnsmasq, strings.Repeat("#\n", maxSize)},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := testEnv(c.format)
			env.ReadFile = func(string) ([]byte, error) { return []byte(c.data), nil }
			if _, err := Parse(c.format, "f", []byte(c.data), env); !errors.Is(err, ErrLimit) {
				t.Errorf("got %v, want %v", err, ErrLimit)
			}
		})
	}
}

// A resolver with thousands of forwarded zones is no attack.
func TestManyZones(t *testing.T) {
	const zones = 10_000
	for format, line := range map[Format]string{
		Dnsmasq: "server=/z%d.example/10.0.0.1\n",
		Unbound: "forward-zone:\nname: z%d.example\nforward-addr: 10.0.0.1\n",
		Named:   "zone z%d.example { type forward; forwarders { 10.0.0.1; }; };\n",
	} {
		var b strings.Builder
		for i := range zones {
			fmt.Fprintf(&b, line, i)
		}
		got, err := Parse(format, "f", []byte(b.String()), testEnv(format))
		n := 0
		for _, f := range got.Forwards {
			if f.Zone != "." {
				n++
			}
		}
		if err != nil || n != zones {
			t.Errorf("%s: %v, %d zones, want %d", format, err, n, zones)
		}
	}
}

// A directory of files that name each other is read once each.
func TestManyFiles(t *testing.T) {
	env := Env{
		ReadFile: func(string) ([]byte, error) { return []byte("conf-dir=d\n"), nil },
		ReadDir: func(string) ([]string, error) {
			var names []string
			for i := range 2 * maxFiles {
				names = append(names, fmt.Sprint(i))
			}
			return names, nil
		},
	}
	_, err := Parse(Dnsmasq, "f", []byte("conf-dir=d\n"), env)
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want %v", err, ErrLimit)
	}
}

// What nothing is known of is not taken for known.
func TestNothingKnown(t *testing.T) {
	for _, c := range []struct {
		format     Format
		data, want string
	}{
		{Dnsmasq, "", "problem f: /etc/resolv.conf cannot be read: the nameservers in it are not known (unseen)\nlisten 0.0.0.0:53\nlisten [::]:53\n"},
		{Dnsmasq, "no-resolv\nbind-interfaces\nserver=127.0.0.1\n",
			"problem f:3: dnsmasq skips 127.0.0.1:53: it takes that for an address of its own\nlisten 0.0.0.0:53\nlisten [::]:53\n"},
		{Dnsmasq, "no-resolv\ninterface=eth0\nexcept-interface=lo\nserver=10.0.0.1\n",
			"problem f:2: the addresses of interface eth0 are not known\nforward .\n  f:4 10.0.0.1:53 `10.0.0.1`\n"},
		{Dnsmasq, "no-resolv\nservers-file=s\nconf-script=/bin/x\n",
			"problem f:3: conf-script: what /bin/x writes is not known (unseen)\nproblem f:2: s cannot be read: the servers in it are not known (unseen)\n" +
				"listen 0.0.0.0:53\nlisten [::]:53\n"},
		{Dnsmasq, "no-resolv\nservers-file=\"a # b\"\n",
			"problem f:2: a # b cannot be read: the servers in it are not known (unseen)\nlisten 0.0.0.0:53\nlisten [::]:53\n"},
		{Unbound, "server: interface: eth0\ninclude: \"*.conf\"\n", "problem f:1: the addresses of interface eth0 are not known\n"},
		{Named, "options { listen-on { localnets; }; listen-on-v6 { ours; }; };", "listen 0.0.0.0:53\nlisten [::]:53\n"},
		{Named, "options { listen-on { !10.0.0.1; 10.0.0.2; }; listen-on-v6 { none; }; };", "listen 10.0.0.2:53\n"},
	} {
		got, err := Parse(c.format, "f", []byte(c.data), Env{})
		if err != nil || dump(got) != c.want {
			t.Errorf("%s %q: %v, got\n%swant\n%s", c.format, c.data, err, dump(got), c.want)
		}
	}
	if _, err := Parse(Named, "f", []byte(`include "g";`), Env{}); err == nil || err.Error() != "f:1: expected a file that exists, got g" {
		t.Errorf("got %v", err)
	}
	env := Env{ReadFile: func(string) ([]byte, error) { return nil, os.ErrPermission }}
	if _, err := Parse(Named, "f", []byte(`include "g";`), env); err == nil || err.Error() != "f:1: permission denied" {
		t.Errorf("got %v", err)
	}
}
