package corefile

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loopback is what a server in a pod claims.
func loopback(a netip.Addr) bool { return a.IsLoopback() }

// manyZones are keys.
func manyZones(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "z%d.example ", i)
	}
	return b.String()
}

// The shapes that a file may grow in. Each is of n blocks, or of n zones.
var shapes = map[string]func(n int) string{
	"chain": func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ".:%d {\nforward . 127.0.0.1:%d\n}\n", i+1, i+2)
		}
		return b.String()
	},
	"ring": func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ".:%d {\nforward . 127.0.0.1:%d\n}\n", i+1, (i+1)%n+1)
		}
		return b.String()
	},
	"forward, 14 upstreams each": func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ".:%d {\nforward .", i+1)
			for k := range 14 {
				fmt.Fprintf(&b, " 127.0.0.1:%d", i+k+2)
			}
			b.WriteString("\n}\n")
		}
		return b.String()
	},
	"round, 14 upstreams each": func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ".:%d {\nforward .", i+1)
			for k := range 14 {
				fmt.Fprintf(&b, " 127.0.0.1:%d", (i*7+k*k*k+1)%n+1)
			}
			b.WriteString("\n}\n")
		}
		return b.String()
	},
	"zones in one block": func(n int) string {
		return manyZones(n) + "{\nforward . 127.0.0.1:1 127.0.0.1:2 192.0.2.1\n}\n" +
			".:1 {\nforward . 127.0.0.1:2\n}\n.:2 {\nforward . 9.9.9.9\n}\n"
	},
	"a block for each zone": func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "z%d.example {\nforward . 127.0.0.1:1 127.0.0.1:2 192.0.2.1\n}\n", i)
		}
		return b.String() + ". {\nforward . 127.0.0.1:1\n}\n.:1 {\nforward . 127.0.0.1:2\n}\n.:2 {\nforward . 9.9.9.9\n}\n"
	},
	"a forward for each zone": func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "forward z%d.example 127.0.0.1:1 127.0.0.1:2 192.0.2.1\n", i)
		}
		return ". {\n" + b.String() + "}\n.:1 {\nforward . 127.0.0.1:2\n}\n.:2 {\nforward . 9.9.9.9\n}\n"
	},
}

// looked returns the paths of a file of a shape, and how much was looked at for
// them.
func looked(t *testing.T, shape string, n int) ([]Path, int) {
	t.Helper()
	g := mustParse(t, shapes[shape](n)).Graph(loopback)
	j := newJourney(g)
	paths := g.paths(j)
	return paths, j.looks + j.steps
}

func BenchmarkPaths(b *testing.B) {
	for name := range shapes {
		n := 1000
		switch {
		case strings.Contains(name, "14 upstreams"):
			n = 300
		case strings.HasSuffix(name, "for each zone"):
			n = 1000
		case strings.Contains(name, "zone"):
			n = 5000
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			text := []byte(shapes[name](n))
			for b.Loop() {
				f, err := Parse("Corefile", text, testEnv)
				if err != nil {
					b.Fatal(err)
				}
				f.Graph(loopback).Paths()
			}
		})
	}
}

// What is looked at grows with the file, for a ring with the ways round that
// are listed: twice the file is twice, or for a ring four times, the work.
func TestWorkGrowsWithFile(t *testing.T) {
	for name := range shapes {
		t.Run(name, func(t *testing.T) {
			most := 2.2
			if name == "ring" || strings.HasPrefix(name, "round") {
				most = 4.4 // every upstream has a way round of its own to be found
			}
			paths, small := looked(t, name, 100)
			twice, large := looked(t, name, 200)
			if len(twice) < 2*len(paths)-10 {
				t.Fatalf("%d and %d paths", len(paths), len(twice))
			}
			if growth := float64(large) / float64(small); growth > most {
				t.Errorf("%d steps for 100, %d for 200: %.1f times as many", small, large, growth)
			}
		})
	}
}

// A stanza that many ways lead to is gone on from once.
func TestManyWaysToOneStanza(t *testing.T) {
	const n = 12
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ".:%d {\nforward . 127.0.0.1:%d 127.0.0.2:%[2]d\n}\n", i+1, (i+1)%n+1)
	}
	g := mustParse(t, b.String()).Graph(loopback)
	j := newJourney(g)
	ways := len(g.paths(j)) // each of n hops
	if most := ways * n * (2 + stepsOfHop); j.steps > most {
		t.Errorf("%d steps, want %d at most", j.steps, most)
	}
}

// A zone of the stanza is no zone below another of its.
func TestCircleOnce(t *testing.T) {
	f := mustParse(t, `.:1 example.org:1 {
    forward . 127.0.0.1:2
}
example.org:2 {
    forward . 127.0.0.1:1
}
`)
	var got []string
	for _, p := range f.Graph(loopback).Paths() {
		got = append(got, fmt.Sprint(p.Hop, p.Zone, p.Fate))
	}
	want := []string{"{0 0 0}.chain", "{0 0 0}example.org.circle", "{1 0 0}example.org.circle"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A file may hold more circles than it has room for ways: they stay circles,
// and a plugin that may break one is not forgotten.
func TestMoreCirclesThanWays(t *testing.T) {
	for name, plugin := range map[string]string{"plain": "log", "in doubt": "acl {\nblock net 10.0.0.0/8\n}"} {
		t.Run(name, func(t *testing.T) {
			f := mustParse(t, ".:1 {\n"+plugin+"\nforward . 127.0.0.1:2\n}\n.:2 {\nforward . 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3\n}\n.:3 {\nforward . 9.9.9.9\n}\n")
			g := f.Graph(loopback)
			want := g.Paths()
			j := newJourney(g)
			j.steps = maxSteps
			for i, p := range g.paths(j) {
				if p.Fate != want[i].Fate || (p.Doubt == nil) != (want[i].Doubt == nil) || len(p.Hops) != 1 {
					t.Errorf("path %+v, want %+v but for the way", p, want[i])
				}
			}
			if want[0].Fate != Circle || len(want[0].Hops) != 2 || (want[0].Doubt != nil) != (name == "in doubt") {
				t.Errorf("path %+v", want[0])
			}
		})
	}
}

// Files that CoreDNS runs are not refused for their size.
func TestLargeFilesAreRead(t *testing.T) {
	for name, n := range map[string]int{"zones in one block": 20_000, "a block for each zone": 4200, "a forward for each zone": maxForwards} {
		t.Run(name, func(t *testing.T) {
			if paths, _ := looked(t, name, n); len(paths) < 3*n {
				t.Errorf("%d paths", len(paths))
			}
		})
	}
}
