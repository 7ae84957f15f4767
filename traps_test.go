package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every test that docs/traps.md names stands in the sources, with its case, and
// each of the sixteen traps has one.
func TestTraps(t *testing.T) {
	page, err := os.ReadFile("docs/traps.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:[a-z0-9]+)\\.(?:Test|Fuzz)[^`/]*(?:/[^`]*)?|testdata/script/[a-z]+)`")
	trap := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		if n, err := strconv.Atoi(strings.TrimPrefix(cells[0], "| ")); err == nil {
			if trap++; n != trap {
				t.Errorf("trap %d stands where %d is due", n, trap)
			}
		} else if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| |") || strings.HasPrefix(line, "| ---") || cells[0] == "| trap" {
			continue
		}
		held := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(held) == 0 {
			t.Errorf("no test is named: %s", line)
		}
		for _, h := range held {
			if !stands(t, h[1]) {
				t.Errorf("%s is not in the sources", h[1])
			}
		}
	}
	if trap != 16 {
		t.Errorf("%d traps, want 16", trap)
	}
}

// stands reports whether a test, named as docs/traps.md does, is in the sources.
func stands(t *testing.T, name string) bool {
	t.Helper()
	if strings.HasPrefix(name, "testdata/") {
		_, err := os.Stat(name + ".txtar")
		return err == nil
	}
	test, caseOf, _ := strings.Cut(name, "/")
	dir, function, _ := strings.Cut(test, ".")
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(b)
	}
	return strings.Contains(sources.String(), "func "+function+"(") && (caseOf == "" || strings.Contains(sources.String(), strconv.Quote(caseOf)))
}
