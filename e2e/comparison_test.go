package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	comparisonFile = "../docs/comparison.md"
	beginScenes    = "<!-- scenes: written by go test -update -->\n"
	endScenes      = "<!-- end of scenes -->\n"
)

// row is one line of the table: a scene, what dnsloop and CoreDNS said.
type row struct {
	scene   string
	port    int
	loops   bool
	verdict string
	status  int
	plugin  outcome
	ours    []time.Duration
	theirs  []time.Duration // of the runs that found the loop
}

// comparison collects rows from scenes that run at the same time.
type comparison struct {
	mu   sync.Mutex
	rows []row
}

func (c *comparison) add(r row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows = append(c.rows, r)
}

// stable is the part of a row that every machine must measure alike.
func (r row) stable() string {
	truth := "no loop"
	plugin := string(r.plugin)
	if r.loops {
		truth = "loop"
		if r.plugin == quiet {
			plugin = "**missed**"
		}
	}
	return fmt.Sprintf("| %s | %d | %s | %s, exit %d | %s |", r.scene, r.port, truth, r.verdict, r.status, plugin)
}

// timed adds the figures: the medians' ratio, and dnsloop's median.
func (r row) timed() string {
	ours := median(r.ours)
	ratio := "–"
	if len(r.theirs) > 0 {
		ratio = fmt.Sprintf("%.1f ×", float64(median(r.theirs))/float64(ours))
	}
	return fmt.Sprintf("%s %d ms | %s |\n", r.stable(), ours.Milliseconds(), ratio)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// check holds the rows against the table in docs/comparison.md, or writes it.
func (c *comparison) check(t *testing.T) {
	t.Helper()
	order := map[string]int{}
	for i, s := range scenes {
		order[s.name] = i
	}
	slices.SortFunc(c.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(order[a.scene], order[b.scene]), cmp.Compare(a.port, b.port))
	})
	head, table, tail := section(t, beginScenes, endScenes)
	if *update {
		var b strings.Builder
		b.WriteString("\n| topology | port | truth | dnsloop | CoreDNS `loop` | dnsloop takes | CoreDNS takes |\n" +
			"| --- | --- | --- | --- | --- | --- | --- |\n")
		for _, r := range c.rows {
			b.WriteString(r.timed())
		}
		write(t, comparisonFile, head+beginScenes+b.String()+"\n"+endScenes+tail)
		return
	}
	for _, r := range c.rows {
		if !strings.Contains(table, r.stable()) {
			t.Errorf("%s lacks this row (go test -run TestScenes -update writes it):\n%s", comparisonFile, r.stable())
		}
	}
	if got := strings.Count(table, "\n| ") - 2; got != len(c.rows) {
		t.Errorf("%s has %d rows, %d were measured", comparisonFile, got, len(c.rows))
	}
}

// section cuts docs/comparison.md at a pair of markers: what stands before,
// between and after them.
func section(t *testing.T, begin, end string) (head, table, tail string) {
	t.Helper()
	head, rest, ok := strings.Cut(read(t, comparisonFile), begin)
	table, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: no line %q with %q after it", comparisonFile, begin, end)
	}
	return head, table, tail
}
