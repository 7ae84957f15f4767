package forwarders

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const corpus = "../testdata/forwarders"

// The corpus has three outcomes. ok: the server and Parse accept the file. err:
// both refuse it. elsewhere: Parse accepts it, and an older server, or one that
// sees this file alone, does not.
func TestCorpus(t *testing.T) {
	for _, f := range []Format{Dnsmasq, Unbound, Named} {
		files, err := filepath.Glob(filepath.Join(corpus, string(f), "*", "*.conf"))
		if err != nil || len(files) < 24 {
			t.Fatalf("%d inputs of %s: %v", len(files), f, err)
		}
		for _, file := range files {
			outcome := filepath.Base(filepath.Dir(file))
			if outcome == "include" {
				continue
			}
			t.Run(filepath.Join(string(f), outcome, filepath.Base(file)), func(t *testing.T) {
				c, err := Parse(f, filepath.Base(file), read(t, file), testEnv(f))
				if (err != nil) != (outcome == "err") {
					t.Fatalf("Parse: %v, want the outcome %s", err, outcome)
				}
				got := dump(c)
				if err != nil {
					got = err.Error() + "\n"
				}
				golden(t, strings.TrimSuffix(file, ".conf")+".golden", got)
			})
		}
	}
}

func read(tb testing.TB, file string) []byte {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(read(t, path)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// testEnv is the corpus's files and a small host.
func testEnv(f Format) Env {
	root := func(path string) string {
		if filepath.IsAbs(path) {
			return filepath.Join(corpus, "none", path)
		}
		return filepath.Join(corpus, string(f), path)
	}
	lo := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	eth0 := []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::7%eth0")}
	return Env{
		ReadFile: func(path string) ([]byte, error) {
			if path == systemResolvConf {
				return []byte("# of the host\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver 10.1\nnameserver fe80::53%eth0\n"), nil
			}
			return os.ReadFile(root(path))
		},
		Glob: func(pattern string) ([]string, error) {
			found, err := filepath.Glob(root(pattern))
			for i := range found {
				found[i], _ = filepath.Rel(root("."), found[i])
			}
			return found, err
		},
		ReadDir: func(path string) ([]string, error) {
			entries, err := os.ReadDir(root(path))
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			return names, err
		},
		Interface: func(name string) ([]netip.Addr, bool) {
			addrs, ok := map[string][]netip.Addr{"lo": lo, "eth0": eth0}[name]
			return addrs, ok
		},
		Own: slices.Concat(lo, eth0),
	}
}

// dump writes a configuration for people to read.
func dump(c Config) string {
	var b strings.Builder
	for _, p := range c.Problems {
		fmt.Fprintf(&b, "problem %s: %s", p.Pos, p.Reason)
		if p.Unseen {
			b.WriteString(" (unseen)")
		}
		b.WriteString("\n")
	}
	for _, l := range c.Listeners {
		fmt.Fprintf(&b, "listen %s", l.Addr)
		if l.Secure != "" {
			fmt.Fprintf(&b, " %s %s %s", l.Secure, l.Cert, l.Key)
		}
		b.WriteString("\n")
	}
	for _, f := range c.Forwards {
		fmt.Fprintf(&b, "forward %s\n", f.Zone)
		for _, u := range f.To {
			fmt.Fprintf(&b, "  %s %s `%s`", u.Pos, u.Addr, u.Text)
			for _, s := range []string{u.Host, u.Over, u.Name, u.CA} {
				if s != "" {
					b.WriteString(" " + s)
				}
			}
			if u.Via != (Pos{}) {
				fmt.Fprintf(&b, " via %s", u.Via)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// fuzz holds what is true of any input: no panic, no hang, errors that name a
// place, and upstreams that stand where they are said to.
func fuzz(f *testing.F, format Format) {
	files, _ := filepath.Glob(filepath.Join(corpus, string(format), "*", "*"))
	for _, file := range files {
		if filepath.Ext(file) != ".golden" && filepath.Ext(file) != ".d" {
			f.Add(read(f, file))
		}
	}
	env := testEnv(format)
	env.Glob = func(pattern string) ([]string, error) { return []string{pattern, "again"}, nil }
	env.ReadDir = func(string) ([]string, error) { return []string{"a.conf", ".b", "c~", "#d#"}, nil }
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Split(string(data), "\n")
		env.ReadFile = func(path string) ([]byte, error) {
			if strings.Contains(path, "missing") {
				return nil, os.ErrNotExist
			}
			return data, nil
		}
		c, err := Parse(format, "f", data, env)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) && !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), ": ") {
				t.Fatalf("%T without a place: %v", err, err)
			}
			return
		}
		for _, fw := range c.Forwards {
			if zone, ok := zoneOf(fw.Zone); !ok || zone != fw.Zone || len(fw.To) == 0 {
				t.Errorf("zone %q of %d upstreams", fw.Zone, len(fw.To))
			}
			for _, u := range fw.To {
				if u.Line < 1 || u.Line > len(lines) || u.Addr.Port() == 0 || u.Addr.Addr().IsValid() == (u.Host != "") {
					t.Errorf("%+v", u)
				}
			}
		}
		c.Home("example.", loopback4, loopback6)
		for _, l := range c.Listeners {
			if !l.Addr.IsValid() || l.Addr.Port() == 0 {
				t.Errorf("%+v", l)
			}
		}
	})
}

func FuzzDnsmasq(f *testing.F) { fuzz(f, Dnsmasq) }
func FuzzUnbound(f *testing.F) { fuzz(f, Unbound) }
func FuzzNamed(f *testing.F)   { fuzz(f, Named) }
