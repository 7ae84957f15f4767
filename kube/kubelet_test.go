package kube

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{})

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestParseKubeletErrors(t *testing.T) {
	const head = "kind: KubeletConfiguration\n"
	for name, c := range map[string]struct{ data, want string }{
		"empty":             {"", "f: expected kind: KubeletConfiguration, or kubelet's flags"},
		"another kind":      {"kind: Config\napiVersion: v1\n", "f: expected kind: KubeletConfiguration"},
		"resolvConf number": {head + "\nresolvConf: 53\n", `f:3: resolvConf: expected a path as a string, or ""`},
		"resolvConf list":   {head + "resolvConf: [/etc/resolv.conf]\n", "f:2: resolvConf: expected a path"},
		"clusterDNS scalar": {head + "clusterDNS: 10.96.0.10\n", "f:2: clusterDNS: expected a list of IP addresses"},
		"clusterDNS number": {head + "clusterDNS:\n- 53\n", "f:3: clusterDNS: expected a list of strings"},
		"bad YAML":          {head + "a: b\n c: d\n", "f:3: expected YAML or JSON: mapping values are not allowed"},
		"flags too large":   {"KUBELET_A=" + strings.Repeat("x", MaxSize), "f: expected at most 8 MiB"},
		"later document":    {"kind: A\n---\n" + head + "resolvConf: {}\n", "f:4: document 2: resolvConf: expected a path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKubelet("f", []byte(c.data))
			wantError(t, err, c.want)
		})
	}
}

// TestFlags holds the ways in which --resolv-conf can be written, and the value
// that kubelet would get.
func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		data, want string
		line       int
	}{
		"unquoted":               {"KUBELET_EXTRA_ARGS=--v=2 --resolv-conf=/a\n", "/a", 1},
		"quoted":                 {`KUBELET_EXTRA_ARGS="--resolv-conf=/a --v=2"`, "/a", 1},
		"single quotes":          {`KUBELET_EXTRA_ARGS='--resolv-conf=/a'`, "/a", 1},
		"next word":              {`KUBELET_EXTRA_ARGS="--resolv-conf /a"`, "/a", 1},
		"next word is a flag":    {`KUBELET_EXTRA_ARGS="--resolv-conf --v=2"`, "--v=2", 1},
		"the last one counts":    {"KUBELET_A=--resolv-conf=/a\nKUBELET_B=--resolv-conf=/b\n", "/b", 2},
		"set again":              {"KUBELET_A=--resolv-conf=/a\nKUBELET_B=--resolv-conf=/b\nKUBELET_A=--resolv-conf=/c\n", "/b", 2},
		"literal backslash":      {`KUBELET_EXTRA_ARGS='--resolv-conf=/a\\b'`, `/a\b`, 1},
		"empty":                  {`KUBELET_EXTRA_ARGS="--resolv-conf="`, "", 1},
		"empty in quotes":        {`KUBELET_EXTRA_ARGS="--resolv-conf=\"\""`, "", 1},
		"empty next word":        {`KUBELET_EXTRA_ARGS="--resolv-conf '' --v=2"`, "", 1},
		"escaped space":          {`KUBELET_EXTRA_ARGS="--resolv-conf=/a\\ b"`, "/a b", 1},
		"after --":               {`KUBELET_EXTRA_ARGS="-- --resolv-conf=/a"`, "/etc/resolv.conf", 0},
		"a longer flag":          {`KUBELET_EXTRA_ARGS="--resolv-config=/a"`, "/etc/resolv.conf", 0},
		"one dash":               {`KUBELET_EXTRA_ARGS="--v=2 -resolv-conf=/a"`, "/etc/resolv.conf", 0},
		"comment":                {"#KUBELET_EXTRA_ARGS=--resolv-conf=/a\n;KUBELET_B=--resolv-conf=/a\nKUBELET_C=\n", "/etc/resolv.conf", 0},
		"CRLF":                   {"KUBELET_EXTRA_ARGS=--resolv-conf=/a\r\n", "/a", 1},
		"continued":              {"KUBELET_EXTRA_ARGS=\"--v=2 \\\n  --resolv-conf=/a\"\n", "/a", 2},
		"unit":                   {"[Service]\nEnvironment=A=1 B 'KUBELET_EXTRA_ARGS=--resolv-conf=/a'\n", "/a", 2},
		"unit, spaces":           {"[Service]\nEnvironment = \"K=--resolv-conf=/a\"\n", "/a", 2},
		"unit, reset":            {"[Service]\nEnvironment=\"K=--resolv-conf=/a\"\nEnvironment=\n", "/etc/resolv.conf", 0},
		"unit, reset and named":  {"[Service]\nEnvironment=\"K=--resolv-conf=/a\"\nEnvironment=\nExecStart=kubelet $K\n", "/etc/resolv.conf", 0},
		"unit, not named":        {"[Service]\nEnvironment=\"K=--resolv-conf=/a\"\nExecStart=/usr/bin/kubelet $L\n", "/etc/resolv.conf", 0},
		"unit, order of command": {"[Service]\nEnvironment=\"K=--resolv-conf=/k\"\nEnvironment=\"L=--resolv-conf=/l\"\nExecStart=/usr/bin/kubelet ${L} $K\n", "/k", 2},
		"unit, command reset":    {"[Service]\nExecStart=/usr/bin/kubelet --resolv-conf=/a\nExecStart=\nExecStart=/usr/bin/kubelet --v=2\n", "/etc/resolv.conf", 0},
		"unit, other directive":  {"[Service]\nExecStartPre=/bin/true --resolv-conf=/a\nExecStart=/usr/bin/kubelet\n", "/etc/resolv.conf", 0},
		"command":                {"kubelet --config=/c.yaml --resolv-conf=/a", "/a", 1},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKubelet("-", []byte(c.data))
			if err != nil {
				t.Fatal(err)
			}
			from := FromFlag
			if c.line == 0 {
				from = FromDefault
			}
			if k.ResolvConf != c.want || k.Line != c.line || k.From != from {
				t.Errorf("got %q from %s, line %d, want %q from %s, line %d", k.ResolvConf, k.From, k.Line, c.want, from, c.line)
			}
		})
	}
}

func TestOverride(t *testing.T) {
	config := Kubelet{
		ResolvConf: "/a", From: FromConfig, Line: 3, Doc: 1,
		ClusterDNS: addrs("10.96.0.10"), ClusterDomain: "cluster.local",
	}
	for name, c := range map[string]struct{ flags, want Kubelet }{
		"no flag": {
			Kubelet{ResolvConf: DefaultResolvConf, From: FromDefault},
			config,
		},
		"every flag": {
			Kubelet{ResolvConf: "", From: FromFlag, Line: 1, ClusterDNS: addrs("fd00::a"), ClusterDomain: "x", NodeIPs: addrs("fd00::1")},
			Kubelet{ResolvConf: "", From: FromFlag, Line: 1, ClusterDNS: addrs("fd00::a"), ClusterDomain: "x", NodeIPs: addrs("fd00::1")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, config.Override(c.flags), compareAddr); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestLocalhost(t *testing.T) {
	for name, c := range map[string]struct{ node, want []netip.Addr }{
		"unknown":    {nil, addrs("127.0.0.1")},
		"IPv4":       {addrs("10.0.0.5"), addrs("127.0.0.1")},
		"IPv6":       {addrs("fd00::5"), addrs("::1")},
		"dual stack": {addrs("fd00::5", "10.0.0.5"), addrs("::1", "127.0.0.1")},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Kubelet{NodeIPs: c.node}.Localhost(), compareAddr); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}
