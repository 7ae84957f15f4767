package e2e

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var soak = flag.Int("soak", 0, "runs over the clean cells of the matrix, and as many over the loops, in TestSoak")

// tally counts the runs over one kind of cell by their verdicts.
type tally struct {
	mu       sync.Mutex
	cells    int
	runs     int
	verdicts map[string]int
}

func (t *tally) add(verdict string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs++
	t.verdicts[verdict]++
}

func (t *tally) String() string {
	n := t.verdicts
	return fmt.Sprintf("%d runs: %d loop, %d clear, %d risk, %d unknown",
		t.runs, n["loop"], n["clear"], n["risk"], n["unknown"])
}

// kind sorts the cells for the soak: where nothing comes back, where every
// question does, where the upstream picks one of several forwarders by chance.
// The rest have no one true verdict, or only once.
func (c cell) kind() string {
	switch {
	case c.honest != "" || c.fresh || slices.Contains(c.args, "--thorough"):
		return ""
	case slices.Contains(c.args, "--probes"):
		return "chance"
	case c.truth == loops:
		return "loop"
	}
	return "clean"
}

// TestSoak repeats ordinary runs of dnsloop over the cells of the matrix that
// have one true verdict, each in its servers as they stand after the run before.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("needs -soak N: scripts/soak runs it")
	}
	tallies := map[string]*tally{}
	for _, kind := range []string{"clean", "loop", "chance"} {
		tallies[kind] = &tally{verdicts: map[string]int{}}
	}
	for _, c := range cells() {
		if tally := tallies[c.kind()]; tally != nil {
			tally.cells++
		}
	}
	began := time.Now()
	t.Run("all", func(t *testing.T) {
		for _, c := range cells() {
			kind := c.kind()
			sum := tallies[kind]
			if sum == nil {
				continue
			}
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				need(t, c.tools...)
				b := c.arrange(newNetwork(t))
				own := tally{verdicts: map[string]int{}}
				for range (*soak + sum.cells - 1) / sum.cells {
					// An ordinary run, without the cell's own options: what chance hides is counted.
					r, _ := b.server.dnsloop(b.args...)
					sum.add(r.Verdict)
					own.add(r.Verdict)
					if kind == "clean" && r.Verdict != "clear" || kind == "loop" && r.Verdict != "loop" {
						t.Errorf("the truth is %q, the verdict %s: %s", c.truth, r.Verdict, strings.Join(r.codes(), ", "))
					}
				}
				if kind == "chance" {
					fmt.Printf("soak: %s, %s: %v\n", c.server, c.behaviour, &own)
				}
			})
		}
	})
	for kind, sum := range tallies {
		fmt.Printf("soak: %s, %d cells: %v\n", kind, sum.cells, sum)
	}
	fmt.Printf("soak: took %v\n", time.Since(began).Round(time.Second))
}
