package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsloop/dnsloop/corefile"
)

// Some probes for the root go under a zone that nobody's configuration tells
// from the rest of the root: what returns there must mean the root's loop.
func TestOptOut(t *testing.T) {
	zones := func(z ...string) []Server {
		return []Server{{Zones: z, Upstreams: []Upstream{{}}}}
	}
	read := func(text string) []Server {
		f, err := corefile.Parse("Corefile", []byte(text), corefile.Env{})
		if err != nil {
			t.Fatal(err)
		}
		return FromCorefile(f, false)
	}
	for name, tt := range map[string]struct {
		servers []Server
		want    map[string]string // of checks, by zone
	}{
		"the root":              {zones("."), map[string]string{".": "com."}},
		"another zone":          {zones("corp.example."), map[string]string{"corp.example.": ""}},
		"both":                  {zones(".", "corp.example."), map[string]string{".": "com.", "corp.example.": ""}},
		"com asked for":         {zones(".", "com."), map[string]string{".": "net.", "com.": ""}},
		"below com asked for":   {zones(".", "a.example.com."), map[string]string{".": "net.", "a.example.com.": ""}},
		"only called like it":   {zones(".", "telecom."), map[string]string{".": "com.", "telecom.": ""}},
		"all asked for":         {zones("org.", "net.", "com.", "."), map[string]string{".": "", "com.": "", "net.": "", "org.": ""}},
		"com of another server": {append(zones("."), zones("com.")...), map[string]string{".": "net.", "com.": ""}},

		"a Corefile":              {read(".:53 {\nforward . 10.0.0.2\n}"), map[string]string{".": "com."}},
		"a forward of com":        {read(".:53 {\nforward com 10.0.0.3\nforward . 10.0.0.2\n}"), map[string]string{".": "net.", "com.": ""}},
		"a block of com":          {read(".:53 {\nforward . 10.0.0.2\n}\ncom:53 {\nwhoami\n}"), map[string]string{".": "net."}},
		"elsewhere, a door":       {read(".:53 {\nforward . 10.0.0.2\n}\n.:1053 {\nwhoami\n}\ncom:1053 {\nwhoami\n}"), map[string]string{".": "net."}},
		"below com":               {read(".:53 {\nforward . 10.0.0.2\n}\ncorp.com:53 {\nforward . 10.0.0.3\n}"), map[string]string{".": "net.", "corp.com.": ""}},
		"except com":              {read(".:53 {\nforward . 10.0.0.2 {\nexcept com\n}\n}"), map[string]string{".": "net."}},
		"a plugin answers com":    {read(".:53 {\nfile db com\nforward . 10.0.0.2\n}"), map[string]string{".": "net."}},
		"a plugin renames com":    {read(".:53 {\nrewrite name suffix .com .example\nforward . 10.0.0.2\n}"), map[string]string{".": "net."}},
		"a plugin answers one":    {read(".:53 {\nfile db corp.com\nforward . 10.0.0.2\n}"), map[string]string{".": "com."}},
		"all are somebody else's": {read(".:53 {\nforward . 10.0.0.2 {\nexcept com net org\n}\n}"), map[string]string{".": ""}},
	} {
		got := map[string]string{}
		for _, c := range New(tt.servers, Options{Transports: []Transport{UDP, TCP}}).Checks {
			got[c.Zone] = c.OptOut
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
