package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	corefiles      = "testdata/corefiles"
	beginCorefiles = "<!-- corefiles: written by go test -update -->\n"
	endCorefiles   = "<!-- end of corefiles -->\n"
)

// trial is a directory of testdata/corefiles. Its Corefile says in comments
// what it shows, which servers stand around it, and, at each line that a loop
// leads through, "# guilty: UPSTREAM ZONE": that is the truth, by construction.
// Other files lie beside it; those in etc are the host's.
type trial struct {
	name, title string
	cast        []member
	guilty      []string // "Corefile:9 10.53.0.2:53 ."
}

// readTrial reads one directory.
func readTrial(t *testing.T, dir string) trial {
	t.Helper()
	corefile := read(t, filepath.Join(dir, "Corefile"))
	title, _, _ := strings.Cut(corefile, "\n")
	c := trial{name: filepath.Base(dir), title: strings.TrimPrefix(title, "# "), cast: castOf(t, corefile)}
	mark := regexp.MustCompile(`# guilty: (.*)$`)
	for _, pattern := range []string{"*", "etc/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.IsDir() {
				continue
			}
			name, _ := filepath.Rel(dir, file)
			for i, line := range strings.Split(read(t, file), "\n") {
				if m := mark.FindStringSubmatch(line); m != nil {
					c.guilty = append(c.guilty, fmt.Sprintf("%s:%d %s", name, i+1, m[1]))
				}
			}
		}
	}
	slices.Sort(c.guilty)
	return c
}

// chance lists the Corefiles whose loop the plugin finds by chance: its probe
// must be sent to the guilty upstream twice in a row.
var chance = []string{"one-of-three-random"}

// notClear are the clean Corefiles that dnsloop does not call clear, with why.
var notClear = map[string]struct {
	verdict string
	status  int
}{
	"bind-elsewhere": {"unknown", 3}, // the upstream has nobody to ask, so it never answers
	"local-unbound":  {"risk", 0},    // an address of this host
}

// TestCorefiles runs dnsloop on each Corefile, then CoreDNS, with loop on in
// each block, on the same file, and holds both against the truth and against
// docs/comparison.md.
func TestCorefiles(t *testing.T) {
	need(t, "dnsmasq", "unbound")
	dirs, err := filepath.Glob(filepath.Join(corefiles, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	rows := map[string]string{}
	clean := 0
	t.Run("all", func(t *testing.T) {
		for _, dir := range dirs {
			c := readTrial(t, dir)
			if len(c.guilty) == 0 {
				clean++
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := c.play(t, dir)
				mu.Lock()
				defer mu.Unlock()
				rows[c.name] = r
			})
		}
	})
	if len(dirs)-clean < 10 || clean < 10 {
		t.Errorf("%d Corefiles with a loop and %d without: not the table that was promised", len(dirs)-clean, clean)
	}
	if !t.Failed() && len(rows) == len(dirs) {
		checkCorefiles(t, rows)
	}
}

// play runs one trial and returns its row of the table. dnsloop and CoreDNS are
// each given a network of their own: a forwarder that had a stand-in to talk to
// answers the next server's first query with the error of a stale connection,
// which ends the watch of CoreDNS's plugin.
func (c trial) play(t *testing.T, dir string) string {
	h := c.stage(t, dir)
	cmd := h.command(dnsloopBin, "-f", "json", "--timeout", "5s", "Corefile")
	cmd.Dir = h.dir
	r, status := runDNSLoop(t, cmd)
	c.judge(t, r, status, h.dir)

	plugin := c.plugin(t, c.stage(t, dir))
	truth, place := "no loop", ""
	if len(c.guilty) > 0 {
		truth, place = "loop", ": "+strings.Join(lines(c.guilty), ", ")
	}
	link := fmt.Sprintf("[%s](../e2e/%s/Corefile)", c.name, dir)
	return fmt.Sprintf("| %s | %s | %s | %s, exit %d%s | %s |", link, c.title, truth, r.Verdict, status, place, plugin)
}

// stage is a new network with all servers running, and the host for the one
// under test, with its files.
func (c trial) stage(t *testing.T, dir string) *host {
	t.Helper()
	h := perform(newNetwork(t), c.cast)
	if err := os.CopyFS(h.dir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if conf := filepath.Join(dir, "etc/resolv.conf"); exists(conf) {
		h.resolvConf(read(t, conf))
	}
	return h
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// judge compares dnsloop's report with the truth: verdict, status, and each
// upstream and zone that it accuses, by file and line.
func (c trial) judge(t *testing.T, r report, status int, dir string) {
	t.Helper()
	verdict, want := "clear", 0
	if other, ok := notClear[c.name]; ok {
		verdict, want = other.verdict, other.status
	}
	if len(c.guilty) > 0 {
		verdict, want = "loop", 1
	}
	r.expect(t, status, verdict, want)
	relative := func(file string) string {
		return strings.TrimPrefix(strings.TrimPrefix(file, dir), "/")
	}
	var accused []string
	for _, ch := range r.Checks {
		if ch.Verdict == "loop" {
			accused = append(accused, fmt.Sprintf("%s:%d %s %s", relative(ch.Source.File), ch.Source.Line, ch.Upstream, ch.Zone))
		}
	}
	slices.Sort(accused)
	accused = slices.Compact(accused) // over UDP and TCP
	if diff := cmp.Diff(c.guilty, accused); diff != "" {
		t.Errorf("upstreams and zones that loop (-truth +dnsloop):\n%s", diff)
	}
	for _, f := range r.Findings {
		at := fmt.Sprintf("%s:%d", relative(f.File), f.Line)
		if f.Level == "error" && !slices.Contains(lines(c.guilty), at) {
			t.Errorf("%s is laid at %s, but the guilty lines are %v", f.Code, at, lines(c.guilty))
		}
	}
}

// lines cuts the places off what is guilty, each once.
func lines(guilty []string) []string {
	var places []string
	for _, g := range guilty {
		place, _, _ := strings.Cut(g, " ")
		places = append(places, place)
	}
	return slices.Compact(places)
}

// starts is how often CoreDNS is started where chance decides.
const starts = 10

// plugin is what CoreDNS's loop plugin comes to, as the table has it.
func (c trial) plugin(t *testing.T, h *host) string {
	t.Helper()
	if slices.Contains(chance, c.name) {
		n := 0
		if *update {
			for range starts {
				if o, _ := h.watchLoop("Corefile", 6*time.Second); o == found {
					n++
				}
			}
		}
		return fmt.Sprintf("found in %d of %d starts", n, starts)
	}
	o, _ := h.watchLoop("Corefile", watch())
	switch {
	case len(c.guilty) == 0 && o != quiet:
		t.Errorf("CoreDNS: %s, where there is no loop", o)
	case len(c.guilty) > 0 && o == quiet:
		return "**missed**"
	}
	return string(o)
}

// checkCorefiles holds the rows against the table in docs/comparison.md, or
// writes it: first what loops, then what does not.
func checkCorefiles(t *testing.T, rows map[string]string) {
	t.Helper()
	head, table, tail := section(t, beginCorefiles, endCorefiles)
	var loops, cleans []string
	for _, r := range rows {
		if strings.Contains(r, "| no loop |") {
			cleans = append(cleans, r)
		} else {
			loops = append(loops, r)
		}
	}
	slices.Sort(loops)
	slices.Sort(cleans)
	const columns = "\n| Corefile | what it shows | truth | dnsloop | CoreDNS `loop` |\n| --- | --- | --- | --- | --- |\n"
	want := columns + strings.Join(append(loops, cleans...), "\n") + "\n\n"
	if *update {
		write(t, comparisonFile, head+beginCorefiles+want+endCorefiles+tail)
		return
	}
	byChance := regexp.MustCompile(`found in \d+ of`)
	same := func(s string) string { return byChance.ReplaceAllString(s, "found in some of") }
	if diff := cmp.Diff(same(table), same(want)); diff != "" {
		t.Errorf("%s (go test -run TestCorefiles -update writes it; -doc +measured):\n%s", comparisonFile, diff)
	}
}
