package kube

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestManifestCorpus reads each manifest of testdata/manifest and compares what
// was understood with the golden file beside it.
func TestManifestCorpus(t *testing.T) {
	corpus(t, "../testdata/manifest", func(t *testing.T, name string, data []byte) string {
		m, err := ParseManifest(name, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range m.ConfigMaps {
			for _, text := range c.Texts {
				checkLines(t, text, data)
			}
		}
		return dumpManifest(m)
	})
}

// TestKubeletCorpus is the same for testdata/kubelet.
func TestKubeletCorpus(t *testing.T) {
	corpus(t, "../testdata/kubelet", func(t *testing.T, name string, data []byte) string {
		k, err := ParseKubelet(name, data)
		if err != nil {
			t.Fatal(err)
		}
		return dumpKubelet(k)
	})
}

func corpus(t *testing.T, dir string, read func(t *testing.T, name string, data []byte) string) {
	inputs, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, input := range inputs {
		if filepath.Ext(input) == ".golden" {
			continue
		}
		ran++
		t.Run(filepath.Base(input), func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			got := read(t, filepath.Base(input), data)
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
	if ran < 10 {
		t.Errorf("only %d inputs in %s", ran, dir)
	}
}

// checkLines holds a text's lines against those of the file.
func checkLines(t *testing.T, text Text, file []byte) {
	t.Helper()
	lines := strings.Split(string(file), "\n")
	if !text.Literal {
		if got := lines[text.FileLine(7)-1]; !strings.Contains(got, text.Key) {
			t.Errorf("%s/%s: line %d is %q, not the key's", text.Name, text.Key, text.Line, got)
		}
		return
	}
	for i, want := range strings.Split(strings.TrimRight(text.Data, "\n"), "\n") {
		if got := lines[text.FileLine(i+1)-1]; strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s/%s: text line %d is %q, file line %d is %q", text.Name, text.Key, i+1, want, text.FileLine(i+1), got)
		}
	}
}

func dumpManifest(m *Manifest) string {
	var b strings.Builder
	for _, s := range m.Services {
		fmt.Fprintf(&b, "service %s document %d line %d dns=%v selector=%v ips=%s\n",
			qualified(s.Namespace, s.Name), s.Doc, s.Line, s.DNS, s.Selector, dumpAddresses(s.ClusterIPs))
	}
	for _, w := range m.Workloads {
		fmt.Fprintf(&b, "workload %s %s document %d line %d labels=%v configmaps=%v\n",
			w.Kind, qualified(w.Namespace, w.Name), w.Doc, w.Line, w.Labels, w.ConfigMaps)
		r := m.Resolution(w)
		fmt.Fprintf(&b, "  resolv.conf: %s (line %d, host network %v) cluster=%s added=%s self=%q\n",
			r.Policy, w.PolicyLine, w.HostNetwork, dumpAddresses(r.Cluster), dumpAddresses(r.Added), r.Self)
	}
	for _, s := range m.Servers() {
		c := s.Corefile
		fmt.Fprintf(&b, "server %s %s document %d line %d literal=%v path=%s port=%d", qualified(c.Namespace, c.Name), c.Key, c.Doc, c.Line, c.Literal, s.Path, s.Port)
		if s.Workload != nil {
			fmt.Fprintf(&b, " run by %s %s", s.Workload.Kind, s.Workload.Name)
		}
		b.WriteString("\n")
		for i, line := range strings.Split(c.Data, "\n") {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "forward ") {
				fmt.Fprintf(&b, "  %d: %s\n", c.FileLine(i+1), line)
			}
			if pattern, ok := strings.CutPrefix(line, "import "); ok {
				texts, known := s.Files(pattern)
				fmt.Fprintf(&b, "  %d: %s: known=%v", c.FileLine(i+1), line, known)
				for _, text := range texts {
					fmt.Fprintf(&b, " %s/%s:%d", text.Name, text.Key, text.Line)
				}
				b.WriteString("\n")
			}
		}
		for _, svc := range m.Services {
			for _, ip := range svc.ClusterIPs {
				if by, ok := s.Behind(ip.Addr); ok {
					fmt.Fprintf(&b, "  behind %s: %s\n", ip.Addr, qualified(by.Namespace, by.Name))
				}
			}
		}
	}
	dumpProblems(&b, m.Problems)
	return b.String()
}

func dumpKubelet(k Kubelet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "resolv.conf %q from %s, document %d line %d\n", k.ResolvConf, k.From, k.Doc, k.Line)
	if k.ResolvConf == "" {
		fmt.Fprintf(&b, "localhost %v\n", k.Localhost())
	}
	fmt.Fprintf(&b, "cluster dns %v domain %q node ip %v config %q\n", k.ClusterDNS, k.ClusterDomain, k.NodeIPs, k.Config)
	dumpProblems(&b, k.Problems)
	return b.String()
}

func dumpAddresses(addrs []Address) string {
	var s []string
	for _, a := range addrs {
		s = append(s, fmt.Sprintf("%s@%d", a.Addr, a.Line))
	}
	return "[" + strings.Join(s, " ") + "]"
}

func dumpProblems(b *strings.Builder, problems []Problem) {
	for _, p := range problems {
		fmt.Fprintf(b, "problem document %d line %d: %s\n", p.Doc, p.Line, p.Reason)
	}
}

// wantError checks that err is an *Error that reads as want.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v of %T, want an *Error", err, err)
	}
	if !strings.HasPrefix(e.Error(), want) {
		t.Errorf("got error  %q\nwant prefix %q", e.Error(), want)
	}
}
