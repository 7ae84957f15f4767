package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	beginMatrix = "<!-- matrix: written by go test -run TestMatrix -update -->\n"
	endMatrix   = "<!-- end of matrix -->\n"
)

// line is one cell of the matrix with what came of it.
type line struct {
	cell
	verdict string
	status  int
	outcome string
	plugin  string // what CoreDNS's loop plugin said; measured with -update alone
	detect  string // what dnsmasq --dns-loop-detect said, likewise
}

// stable is the part of a line that every run must come to. Where chance
// decides whether the truth comes out, that is no more than the cell's names.
func (l line) stable() string {
	if l.honest != "" && l.truth != nobody {
		return fmt.Sprintf("| %s | %s | %s |", l.server, l.behaviour, l.truth)
	}
	return l.full()
}

// full is what dnsloop came to.
func (l line) full() string {
	return fmt.Sprintf("| %s | %s | %s | %s, exit %d | %s |", l.server, l.behaviour, l.truth, l.verdict, l.status, l.outcome)
}

// matrix collects lines from cells that run at the same time.
type matrix struct {
	mu    sync.Mutex
	lines []line
}

func (m *matrix) add(l line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, l)
}

// check holds the lines against the table in docs/comparison.md, or writes
// those that were measured into it.
func (m *matrix) check(t *testing.T) {
	t.Helper()
	head, table, tail := section(t, beginMatrix, endMatrix)
	if *update {
		write(t, comparisonFile, head+beginMatrix+m.render(table)+endMatrix+tail)
		return
	}
	for _, l := range m.lines {
		if !strings.Contains(table, l.stable()) {
			t.Errorf("%s lacks this line (go test -run TestMatrix -update writes it):\n%s", comparisonFile, l.stable())
		}
	}
}

// render is the table in the order of the cells. Cells that were not run keep
// their line of the old table.
func (m *matrix) render(old string) string {
	var rows []string
	count := map[string]int{}
	for _, c := range cells() {
		key := fmt.Sprintf("| %s | %s |", c.server, c.behaviour)
		row := ""
		if i := slices.IndexFunc(m.lines, func(l line) bool { return l.name() == c.name() }); i >= 0 {
			l := m.lines[i]
			row = fmt.Sprintf("%s %s | %s |", l.full(), l.plugin, l.detect)
		} else if _, after, ok := strings.Cut(old, key); ok {
			after, _, _ = strings.Cut(after, "\n")
			row = key + after
		} else {
			continue
		}
		rows = append(rows, row+"\n")
		for _, o := range []string{right, honest, wrong, "**missed**", "**false**"} {
			if strings.Contains(row, "| "+o+" |") {
				count[o]++
			}
		}
		if strings.Contains(row, "| "+string(loops)+" |") {
			count["loops"]++
		}
	}
	return fmt.Sprintf("\n%d cells: %d right, %d honest, %d wrong.\n\n", len(rows), count[right], count[honest], count[wrong]) +
		"| server | situation | truth | dnsloop | outcome | CoreDNS `loop` | dnsmasq `--dns-loop-detect` |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n" + strings.Join(rows, "") + "\n"
}

// TestOutcome holds the judge of the matrix against its own rules: a matrix
// that calls everything right shows nothing.
func TestOutcome(t *testing.T) {
	for _, tt := range []struct {
		truth   truth
		honest  string
		verdict string
		said    bool
		want    string
	}{
		{loops, "", "loop", false, right},
		{loops, "", "clear", false, wrong},
		{loops, "", "unknown", false, wrong},
		{loops, "DL016", "risk", true, honest},
		{loops, "DL016", "risk", false, wrong},
		{loops, "DL016", "clear", true, wrong},
		{ends, "", "clear", false, right},
		{ends, "", "loop", false, wrong},
		{ends, "", "risk", false, wrong},
		{ends, "DL003", "risk", true, honest},
		{ends, "DL003", "loop", true, wrong},
		{nobody, "DL007", "unknown", true, honest},
		{nobody, "DL007", "clear", true, wrong},
		{nobody, "DL007", "loop", true, wrong},
		{hidden, "given up", "clear", true, honest},
		{hidden, "given up", "clear", false, wrong},
		{hidden, "given up", "loop", false, right},
	} {
		if got := (cell{truth: tt.truth, honest: tt.honest}).outcome(tt.verdict, tt.said); got != tt.want {
			t.Errorf("%s, verdict %s, excuse %q said %v: %s, want %s", tt.truth, tt.verdict, tt.honest, tt.said, got, tt.want)
		}
	}
}

// TestCellNames: a cell's line in the table is found by its names.
func TestCellNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells() {
		if seen[c.name()] {
			t.Errorf("two cells are called %s", c.name())
		}
		seen[c.name()] = true
	}
}
