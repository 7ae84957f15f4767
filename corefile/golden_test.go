package corefile

import (
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const corpus = "../testdata/corefile"

// The corpus has three outcomes. ok: CoreDNS and Parse accept the file. err:
// both refuse it. elsewhere: Parse accepts it, and whether CoreDNS starts hangs
// on what is not in the file (a cluster, names, certificates, external
// plugins).
func TestCorpus(t *testing.T) {
	for _, outcome := range []string{"ok", "err", "elsewhere"} {
		files, err := filepath.Glob(filepath.Join(corpus, outcome, "*.corefile"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no inputs in %s: %v", outcome, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".corefile")
			t.Run(outcome+"/"+name, func(t *testing.T) {
				testEnviron(t)
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				f, err := Parse(file, data, testEnv)
				if (err != nil) != (outcome == "err") {
					t.Fatalf("Parse: %v, want the outcome %s", err, outcome)
				}
				got := ""
				if err != nil {
					got = err.Error() + "\n"
				} else {
					got = dump(f)
				}
				golden(t, strings.TrimSuffix(file, ".corefile")+".plan", clean(t, got))
			})
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// clean leaves directories out: they differ from machine to machine.
func clean(t *testing.T, s string) string {
	t.Helper()
	abs, err := filepath.Abs(corpus)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{abs, corpus} {
		for _, sub := range []string{"ok", "err", "elsewhere", "import"} {
			s = strings.ReplaceAll(s, filepath.Join(dir, sub)+"/", "")
		}
	}
	return s
}

func testEnviron(t *testing.T) {
	t.Setenv("DNSLOOP_TEST_ZONE", "env.example")
	t.Setenv("DNSLOOP_TEST_PORT", "5300")
	t.Setenv("DNSLOOP_TEST_UPSTREAM", "127.0.0.1:5300")
}

// testEnv is the corpus's files and a small host.
var testEnv = Env{
	ReadFile: func(path string) ([]byte, error) {
		if path == "/etc/resolv.conf" {
			return []byte("# of the host\nnameserver 10.1\nnameserver 127.0.0.53\nnameserver fe80::53%eth0\nnameserver 9.9.9.9\nnameserver notanip\n"), nil
		}
		return Disk().ReadFile(path)
	},
	Glob: filepath.Glob,
	Interface: func(name string) ([]netip.Addr, bool) {
		own := map[string][]netip.Addr{
			"lo":   {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")},
			"eth0": {netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::7%eth0")},
		}
		addrs, ok := own[name]
		return addrs, ok
	},
}

// dump writes a file and its paths, as a pod has them, for people to read.
func dump(f File) string {
	var b strings.Builder
	for _, p := range f.Problems {
		fmt.Fprintf(&b, "problem %s: %s\n", p.Pos, p.Reason)
	}
	for _, blk := range f.Blocks {
		fmt.Fprintf(&b, "block %s %s\n", blk.Pos, blk.Endpoints)
		for _, l := range blk.Listeners {
			fmt.Fprintf(&b, "  listen %s://%s\n", l.Scheme, l.Addr)
		}
		if blk.Bind != nil {
			fmt.Fprintf(&b, "  bind %s\n", strings.Join(blk.Bind, " "))
		}
		if blk.Cert != "" {
			fmt.Fprintf(&b, "  tls %s %s\n", blk.Cert, blk.Key)
		}
		fmt.Fprintf(&b, "  plugins %s\n", strings.Join(blk.Plugins, " "))
		for _, s := range blk.Forwards {
			b.WriteString(dumpForward(s))
		}
	}
	for i, p := range f.Graph(loopback).Paths() {
		b.WriteString(dumpPath(f, i, p))
	}
	return b.String()
}

func dumpForward(s Forward) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s %s from %s zones %s", s.Plugin, s.Pos, s.From, s.Zones)
	if len(s.Except) > 0 {
		fmt.Fprintf(&b, " except %s", s.Except)
	}
	if s.ForceTCP {
		b.WriteString(" force_tcp")
	}
	if s.PreferUDP {
		b.WriteString(" prefer_udp")
	}
	if s.Next {
		b.WriteString(" next")
	}
	if s.Policy != "" && s.Policy != "random" {
		b.WriteString(" " + s.Policy)
	}
	if len(s.TLSFiles) > 0 {
		fmt.Fprintf(&b, " tls %s", s.TLSFiles)
	}
	if len(s.Resolver) > 0 {
		fmt.Fprintf(&b, " resolver %s", s.Resolver)
	}
	b.WriteString("\n")
	for _, t := range s.To {
		fmt.Fprintf(&b, "    %s %s", t.Scheme, t.Addr)
		if t.Host != "" {
			fmt.Fprintf(&b, " host %s", t.Host)
		}
		if t.ServerName != "" {
			fmt.Fprintf(&b, " name %s", t.ServerName)
		}
		if t.Source != (Pos{}) {
			fmt.Fprintf(&b, " from %s", t.Source)
		}
		if t.Reason != "" {
			fmt.Fprintf(&b, " (%s: %s)", t.Text, t.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func dumpPath(f File, i int, p Path) string {
	at := func(h Hop) string {
		t := f.Blocks[h.Block].Forwards[h.Forward].To[h.To]
		return fmt.Sprintf("%s@%d", t.Addr, t.Line)
	}
	var hops []string
	for _, h := range p.Hops {
		hops = append(hops, at(h))
	}
	s := fmt.Sprintf("path %d %s %s %s", i, p.Zone, p.Fate, strings.Join(hops, " > "))
	for _, r := range p.Receivers {
		s += fmt.Sprintf(" block@%d", f.Blocks[r].Line)
	}
	if p.Leads != nil {
		s += fmt.Sprintf(" leads %d", p.Leads)
	}
	if p.Doubt != nil {
		s += fmt.Sprintf(" unless %s@%d", p.Doubt.Plugin, p.Doubt.Line)
	}
	return s + "\n"
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(corpus + "/*/*.corefile")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	env := testEnv
	env.Glob = func(pattern string) ([]string, error) { return []string{pattern, "/etc/resolv.conf"}, nil }
	env.ReadFile = func(path string) ([]byte, error) {
		if strings.Contains(path, "missing") {
			return nil, fs.ErrNotExist
		}
		return []byte("nameserver 127.0.0.1\nimport " + path + "\n"), nil
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("Corefile", data, env)
		if err != nil {
			if file.Blocks != nil {
				t.Errorf("blocks beside the error %v", err)
			}
			return
		}
		paths := file.Graph(nil).Paths()
		for _, p := range paths {
			for _, l := range p.Leads {
				if l < 0 || l >= len(paths) {
					t.Fatalf("path leads to %d of %d", l, len(paths))
				}
			}
		}
		for _, b := range file.Blocks {
			if len(b.Endpoints) == 0 || slices.Contains(b.Keys, "") {
				t.Errorf("block without a key: %+v", b)
			}
		}
	})
}
