package corefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What is imported or forwarded to may lie in anybody's hands: nothing is read
// without an end, and nothing is waited for.
func TestDiskReadsRegularFilesAlone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(dir, "full")
	if err := os.WriteFile(full, []byte(strings.Repeat("#\n", maxFileSize/2)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, want string // "" is success
	}{
		{fifo, "not a regular file"},
		{"/dev/zero", "not a regular file"},
		{dir, "not a regular file"},
		{large, "larger than 1048576 bytes"},
		{full, ""},
		{filepath.Join(dir, "none"), "no such file"},
	} {
		_, err := Disk().ReadFile(c.path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("ReadFile(%s) = %v, want %q", c.path, err, c.want)
		}
		_, err = Parse("Corefile", []byte("import "+c.path), Disk())
		if c.want != "" && err == nil {
			t.Errorf("import %s is accepted", c.path)
		}
	}

	f, err := Parse("Corefile", []byte(". {\nforward . "+fifo+" 9.9.9.9\n}\n"), Disk())
	if err != nil {
		t.Fatal(err)
	}
	if to := f.Blocks[0].Forwards[0].To[0]; !strings.Contains(to.Reason, "not a regular file") {
		t.Errorf("forward to a FIFO: %+v", to)
	}
}

func TestLimits(t *testing.T) {
	files := map[string]string{"/fan": "import /twig\nimport /twig\n", "/twig": strings.Repeat("x ", 1000) + "\n"}
	env := Env{
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			if strings.HasPrefix(path, "/many/") {
				return []byte("a.example\n"), nil
			}
			return nil, fs.ErrNotExist
		},
		Glob: func(string) ([]string, error) { return make([]string, maxFiles+1), nil },
	}
	doubling := func(n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "(s0) {\n%s\n}\n", strings.Repeat("log a b c d e f g\n", 1000))
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&b, "(s%d) {\nimport s%d\nimport s%[2]d\n}\n", i, i-1)
		}
		fmt.Fprintf(&b, ". {\nimport s%d\n}\n", n)
		return b.String()
	}
	var many strings.Builder
	for i := range maxFiles + 1 {
		fmt.Fprintf(&many, "import /many/%d\n", i)
	}
	for _, c := range []struct {
		name, text string
		limit      bool // ErrLimit, else *Error
	}{
		{"size", strings.Repeat("#", maxFileSize+1), true},
		{"snippets that double", doubling(20), true},
		{"files that double", ". {\n" + strings.Repeat("import /fan\n", 300) + "}\n", true},
		{"imports", ". {\n" + strings.Repeat("import /fan\n", 400) + "}\n", true},
		{"glob", "import /any/*\n", true},
		{"files", many.String(), true},
		{"zones", strings.Repeat("2001:db8::/29 ", maxEndpoints/8+1) + " {\nlog\n}\n", true},
		{"addresses", ". {\nbind" + strings.Repeat(" 127.0.0.1", maxHosts+1) + "\n}\n", true},
		{"forwards", ". {\n" + strings.Repeat("forward . 9.9.9.9\n", maxForwards+1) + "}\n", true},
		{"zones and upstreams", manyZones(maxPairs/16+1) + "{\n" + strings.Repeat("forward . 192.0.2.1 192.0.2.2 {\nnext NXDOMAIN\n}\n", 8) + "}\n", true},
		{"zones and external upstreams", manyZones(maxPairs/16+1) + "{\n" + strings.Repeat("fanout . 192.0.2.1 192.0.2.2\n", 8) + "}\n", true},
		{"endless import", "import /self\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			files["/self"] = "import /self\n"
			_, err := Parse("Corefile", []byte(c.text), env)
			var e *Error
			if err == nil || errors.Is(err, ErrLimit) != c.limit || errors.As(err, &e) == c.limit {
				t.Errorf("Parse: %v, want a limit: %v", err, c.limit)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

// The zero Env reads nothing, and takes interfaces on trust.
func TestZeroEnv(t *testing.T) {
	f, err := Parse("Corefile", []byte(". {\nbind eth7\nimport *.conf\nforward . /etc/resolv.conf\n}\n"), Env{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range f.Problems {
		got = append(got, p.String()+" "+p.Reason)
	}
	want := "Corefile:3 import *.conf: not known here, taken for no file|" +
		"Corefile:2 bind: the addresses of interface eth7 are not known"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("problems %q, want %q", s, want)
	}
	if r := f.Blocks[0].Forwards[0].To[0].Reason; r != "the file /etc/resolv.conf is not here" {
		t.Errorf("reason %q", r)
	}
	if _, err := Parse("Corefile", []byte(". {\nbind no/interface\n}\n"), Env{}); err == nil {
		t.Error("bind to what cannot be an interface is accepted")
	}
}

// The parser must get the very tokens of the lexer, on the lines that the
// words have to each other.
func TestWriteRoundTrip(t *testing.T) {
	text := "a \"b c\" \"\" \"#d\" e#f\n\"g\nh\" i\n\"say \\\"hi\\\"\" \"back\\\\slash\\\\\" \\ x\\y \"\\x\"\n\uFEFFbom \u00e9\nimport"
	var words []word
	for _, tok := range lex("f", []byte(text)) {
		words = append(words, word{Token: tok})
	}
	written, places := write(words)
	got := lex("f", []byte(written))
	if len(got) != len(words) {
		t.Fatalf("%d tokens, want %d: %q", len(got), len(words), written)
	}
	restored := slices.Clone(got)
	restore(restored, places)
	for i, w := range words {
		if restored[i] != w.Token {
			t.Errorf("token %d is %+v, want %+v", i, restored[i], w.Token)
		}
		if i > 0 && newLine(got[i-1], got[i]) != newLine(words[i-1].Token, w.Token) {
			t.Errorf("token %d, %q: on another line than it was", i, w.Text)
		}
	}
	if strings.Contains(written, " import") || strings.Contains(written, "\nimport") {
		t.Errorf("the parser would import: %q", written)
	}
}

// No word of a Corefile makes the parser itself read a file.
func TestParserNeverImports(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DNSLOOP_TEST_IMPORT", "import")
	t.Setenv("DNSLOOP_TEST_BRACE", "{")
	file := filepath.Join(dir, "imported")
	if err := os.WriteFile(file, []byte("imported..here {\nlog\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"a {$DNSLOOP_TEST_BRACE} import " + file + "\nlog\n}\n",
		"{$DNSLOOP_TEST_IMPORT} " + file + "\n",
		"(more) {\nimport " + file + "\n}\n(o) {\nimport more\n}\n. {\nforward . 9.9.9.9 {\nimport o\n}\n}\n",
		"{ import " + file + " }\n",
		"}\nimport " + file + "\n",
		". {\nlog } import " + file + "\n}\n",
		"a,\nimport " + file + "\n",
	} {
		_, err := Parse("Corefile", []byte(text), Env{})
		if err != nil && strings.Contains(err.Error(), "imported..here") {
			t.Errorf("%q: read %s: %v", text, file, err)
		}
	}
}
