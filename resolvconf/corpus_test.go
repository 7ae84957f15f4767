package resolvconf

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const corpusDir = "../testdata/resolv.conf"

var update = flag.Bool("update", false, "write the golden files anew")

// TestCorpus reads each file of testdata/resolv.conf and compares what was
// understood with the golden file beside it.
func TestCorpus(t *testing.T) {
	inputs := corpus(t)
	if len(inputs) < 40 {
		t.Errorf("%d inputs in %s, want at least 40", len(inputs), corpusDir)
	}
	for _, input := range inputs {
		t.Run(filepath.Base(input), func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			got := dump(Parse(filepath.Base(input), bytes.NewReader(data)))
			golden := input + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func corpus(t testing.TB) []string {
	all, err := filepath.Glob(filepath.Join(corpusDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var inputs []string
	for _, path := range all {
		if filepath.Ext(path) != ".golden" {
			inputs = append(inputs, path)
		}
	}
	return inputs
}

// dump writes a File for people to compare: one line a nameserver, with who
// reads it.
func dump(f File, err error) string {
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var b strings.Builder
	for _, ns := range f.Nameservers {
		fmt.Fprintf(&b, "%d: %s%s%s\n", ns.Line, ns.Addr, reader(ns.Glibc, "glibc"), reader(ns.CoreDNS, "coredns"))
	}
	fmt.Fprintf(&b, "search: %q\noptions: %q\ncluster first: %v\n", f.Search, f.Options, f.ClusterFirst())
	for _, p := range f.Problems {
		fmt.Fprintf(&b, "%d: problem: %s\n", p.Line, p.Reason)
	}
	return b.String()
}

func reader(reads bool, name string) string {
	if reads {
		return " " + name
	}
	return ""
}
