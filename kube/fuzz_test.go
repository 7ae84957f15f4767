package kube

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func seed(f *testing.F, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// FuzzManifest: no input makes the reader panic or hang, every error says
// where, and every line handed out is a line of the file.
func FuzzManifest(f *testing.F) {
	seed(f, "../testdata/manifest/*")
	f.Fuzz(func(t *testing.T, data []byte) {
		Detect("-", data)
		m, err := ParseManifest("f", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Msg == "" {
				t.Fatalf("got error %v of %T, want an *Error", err, err)
			}
			return
		}
		for _, s := range m.Servers() {
			s.Files("custom/*.server")
			if s.Corefile.Line < 1 || s.Corefile.Doc < 1 {
				t.Errorf("a Corefile without a place: %+v", s.Corefile)
			}
		}
		for _, w := range m.Workloads {
			if n := len(m.Resolution(w).Nameservers(nil)); n > MaxNameservers {
				t.Errorf("%d nameservers", n)
			}
		}
		for _, p := range m.Problems {
			if p.Doc < 1 || p.Line < 1 {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
	})
}

// FuzzKubelet is the same for a kubelet's configuration and flags.
func FuzzKubelet(f *testing.F) {
	seed(f, "../testdata/kubelet/*")
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKubelet("-", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Msg == "" {
				t.Fatalf("got error %v of %T, want an *Error", err, err)
			}
			return
		}
		if lines := strings.Count(string(data), "\n") + 1; k.From == FromFlag && (k.Line < 1 || k.Line > lines) {
			t.Errorf("line %d of %d", k.Line, lines)
		}
	})
}
