package corefile

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"", ""},
		{"\tforward . 10.0.0.9 {\r", "forward|.|10.0.0.9|{"},
		{`forward . "10.0.0.9" 10.0.0.8`, `forward|.|"10.0.0.9"|10.0.0.8`},
		{`forward . 10.0.0.9 # 10.0.0.8`, `forward|.|10.0.0.9`},
		{`forward . 10.0.0.9#x 10.0.0.8`, `forward|.|10.0.0.9|10.0.0.8`}, // caddyfile's comment within a word
		{`# forward . 10.0.0.9`, ``},
		{`a"b "c d""e"`, `a"b|"c d"|"e"`},
		{`"a\"b" "c\d" ü "`, `"a\"b"|"c\d"|ü`},
		{"\"10.0.0.9\"{", `"10.0.0.9"|{`},
	} {
		var got []string
		for _, w := range Words(tt.line) {
			got = append(got, tt.line[w.From:w.To])
		}
		if g := strings.Join(got, "|"); g != tt.want {
			t.Errorf("%q: %s, want %s", tt.line, g, tt.want)
		}
	}
}

// FuzzWords holds Words to the lexer itself.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"forward . 10.0.0.9 {\r", `"a b" "c\"d" "e\f"#g`, "a\rb \u00a0c\xff", `""x"`, `a"b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n") || strings.HasPrefix(line, "\ufeff") {
			return // one line, and not a file's first
		}
		words := Words(line)
		var got, want []string
		for _, w := range words {
			got = append(got, w.Text)
		}
		// A quote left open would go on in the next line; closed there, the lexer's last word is it.
		for _, token := range lex("Corefile", []byte(line+"\n\"")) {
			want = append(want, token.Text)
		}
		if len(want) > len(got) && strings.HasSuffix(want[len(want)-1], "\n") {
			want = want[:len(got)]
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
		for i, w := range words {
			if w.From > w.To || w.To > len(line) || i > 0 && w.From < words[i-1].To {
				t.Errorf("%q: %+v", line, words)
			}
		}
	})
}

// What CoreDNS leaves out for being there twice is still in the file.
func TestNames(t *testing.T) {
	files := map[string]string{"/a": "nameserver 10.0.0.8\nnameserver 10.0.0.9\nnameserver 10.0.0.9\n", "/b": "nameserver 10.0.0.9\n"}
	f, err := Parse("Corefile", []byte(".:53 {\nforward . 10.0.0.7 /a dns://10.0.0.9:53 /b up.example\n}"), Env{
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		}})
	if err != nil {
		t.Fatal(err)
	}
	f.Resolve(func(string, []string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.9")}, nil
	})
	f.Relocate(func(p Pos) Pos { p.Line *= 10; return p })
	var got []string
	for _, to := range f.Blocks[0].Forwards[0].To {
		got = append(got, to.Addr.Addr().String()+":")
		for _, n := range to.Names() {
			got = append(got, fmt.Sprintf("%s %s %s", n.Pos, n.Text, n.Source))
		}
	}
	want := []string{
		"10.0.0.7:", "Corefile:20 10.0.0.7 ",
		"10.0.0.8:", "Corefile:20 /a /a:10",
		"10.0.0.9:", "Corefile:20 /a /a:20", "Corefile:20 /a /a:30", "Corefile:20 dns://10.0.0.9:53 ", "Corefile:20 /b /b:10", "Corefile:20 up.example ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
