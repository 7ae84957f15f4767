package verdict

import (
	"bytes"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/resolvconf"
)

// ninth is an upstream that another file of the host names and that is clear.
var ninth = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:53")}

// hostOf is a run over files: the Corefile, the resolv.conf "r", or both.
// What is in results by upstream, and zone perhaps, was seen over UDP; the
// others answered.
func hostOf(t *testing.T, files map[string]string, results map[string]probe.Result, clean []netip.AddrPort) Input {
	t.Helper()
	in := Input{
		Lines: map[string][][]byte{}, Clean: clean, CleanFrom: "up.conf", Facts: Facts{Own: thisHost},
		Ears: ears("0.0.0.0:53 listening", "[::]:53 listening"),
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		in.Lines[name] = bytes.Split([]byte(files[name]), []byte("\n"))
		if name == "Corefile" {
			continue
		}
		conf, err := resolvconf.Parse(name, strings.NewReader(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		in.Files = append(in.Files, File{Name: name, Conf: conf})
	}
	ls, _ := plan.ParseListen(":53")
	servers := []plan.Server{}
	if text, ok := files["Corefile"]; ok {
		f, err := corefile.Parse("Corefile", []byte(text), corefile.Env{ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		}})
		if err != nil {
			t.Fatal(err)
		}
		f.Resolve(func(string, []string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}, nil
		})
		servers = plan.FromCorefile(f, false)
	}
	for _, f := range in.Files {
		if f.Name == "r" {
			servers = append(servers, plan.FromResolvConf("r", f.Conf, ls, []string{"."}))
		}
	}
	in.Plan = plan.New(servers, plan.Options{Transports: []plan.Transport{plan.UDP}})
	for _, c := range in.Plan.Checks {
		res, ok := results[c.Upstream.Addr.Addr().String()]
		if !ok {
			res, ok = results[c.Upstream.Addr.Addr().String()+" "+c.Zone]
		}
		if !ok {
			res = answered
		}
		in.Results = append(in.Results, res)
	}
	return in
}

// follow applies remedies as a program does that knows no more than their
// fields, one after the other, and returns the files that were changed.
func followed(t *testing.T, files map[string]string, remedies []Remedy) map[string]string {
	t.Helper()
	changed := map[string]string{}
	for _, r := range remedies {
		text, again := changed[r.File]
		if !again {
			text = files[r.File]
		}
		lines := strings.Split(text, "\n")
		switch {
		case r.Line == 0:
			lines = append(lines[:len(lines)-1], append(slices.Clone(r.New), "")...)
		case r.Line > len(lines) || lines[r.Line-1] != r.Old:
			t.Fatalf("line %d of %q is not %q", r.Line, lines, r.Old)
		default:
			lines = slices.Replace(lines, r.Line-1, r.Line, r.New...)
		}
		changed[r.File] = strings.Join(lines, "\n")
	}
	return changed
}

// One remedy a line, and every remedy applies. Each row: the files, what
// returned, and the files once all remedies are followed, in their order.
func TestLineRemedies(t *testing.T) {
	loop, self := back("0.0.0.0:53", false), back("0.0.0.0:53", true)
	loops := func(addrs ...string) map[string]probe.Result {
		out := map[string]probe.Result{}
		for _, a := range addrs {
			out[a] = loop
		}
		return out
	}
	core := func(forward string) map[string]string {
		return map[string]string{"Corefile": ".:53 {\n\t" + forward + "\n}\n"}
	}
	for name, tt := range map[string]struct {
		files   map[string]string
		results map[string]probe.Result
		none    bool // no other file names one that is clear
		change  func(*Input)
		want    map[string]string
	}{
		"two guilty words": {
			files: core("forward . 10.0.0.2 10.0.0.3 {\n\t}"), results: loops("10.0.0.2", "10.0.0.3"),
			want: core("forward . 10.0.0.9 {\n\t}"),
		},
		"two guilty words about a clear one": {
			files: core("forward  .\t10.0.0.2  10.0.0.4\t10.0.0.3"), results: loops("10.0.0.2", "10.0.0.3"), none: true,
			want: core("forward  .\t10.0.0.4"),
		},
		"a word twice": {
			files: core("forward . 10.0.0.2 10.0.0.2 # 10.0.0.2"), results: loops("10.0.0.2"),
			want: core("forward . 10.0.0.9 # 10.0.0.2"),
		},
		"a word in other words": {
			files: core("forward . dns://10.0.0.2 10.0.0.4 10.0.0.2:53"), results: loops("10.0.0.2"),
			want: core("forward . 10.0.0.4"),
		},
		"in one zone of two": {
			files: map[string]string{"Corefile": "a.example b.example {\nforward . 10.0.0.2\n}"}, results: map[string]probe.Result{"10.0.0.2 b.example.": loop},
			want: map[string]string{"Corefile": "a.example b.example {\nforward . 10.0.0.9\n}"},
		},
		"a line of two blocks": {
			files:   map[string]string{"Corefile": "(up) {\nforward . 10.0.0.2 10.0.0.3\n}\na.example {\nimport up\n}\nb.example {\nimport up\n}"},
			results: map[string]probe.Result{"10.0.0.2 a.example.": loop, "10.0.0.3 b.example.": loop},
			want:    map[string]string{"Corefile": "(up) {\nforward . 10.0.0.9\n}\na.example {\nimport up\n}\nb.example {\nimport up\n}"},
		},
		"two lines": {
			files:   map[string]string{"Corefile": "a.example {\nforward . 10.0.0.2\n}\nb.example {\nforward . 10.0.0.2 10.0.0.4\n}"},
			results: loops("10.0.0.2"),
			want:    map[string]string{"Corefile": "a.example {\nforward . 10.0.0.9\n}\nb.example {\nforward . 10.0.0.4\n}"},
		},
		"quoted, in a file with carriage returns": {
			files: map[string]string{"Corefile": ".:53 {\r\n  forward . \"10.0.0.2\" 10.0.0.4\r\n}\r\n"}, results: loops("10.0.0.2"),
			want: map[string]string{"Corefile": ".:53 {\r\n  forward . 10.0.0.4\r\n}\r\n"},
		},
		"quoted, the last word, with a carriage return": {
			files: map[string]string{"Corefile": ".:53 {\r\n  forward . 10.0.0.4 \"10.0.0.2\"\r\n}\r\n"}, results: loops("10.0.0.2"),
			want: map[string]string{"Corefile": ".:53 {\r\n  forward . 10.0.0.4\r\n}\r\n"},
		},
		"a quote and a word at once": {
			files: core(`forward . "10.0.0.2"10.0.0.7`), results: map[string]probe.Result{"10.0.0.2": loop, "10.0.0.7": silent},
			want: core(`forward . 10.0.0.9 10.0.0.7`),
		},
		"the zone is no upstream": {
			files: core("forward 10.0.0.2 10.0.0.2"), results: loops("10.0.0.2"),
			want: core("forward 10.0.0.2 10.0.0.9"),
		},
		"a name of which one address loops": {
			files: core("forward . up.example 10.0.0.4"), results: loops("10.0.0.3"),
			want: core("forward . 10.0.0.4"),
		},
		"a name alone of which one address loops": {
			files: core("forward . up.example"), results: loops("10.0.0.3"),
			want: core("forward . 10.0.0.9"),
		},
		"beside a TCP upstream": {
			files: core("forward . 10.0.0.2 10.0.0.4 {\nforce_tcp\n}"), results: loops("10.0.0.2"), none: true,
			want: core("forward . 10.0.0.4 {\nforce_tcp\n}"),
		},
		"a file and a word": {
			files:   map[string]string{"Corefile": ".:53 {\nforward . /r 10.0.0.2\n}", "/r": "nameserver 10.0.0.4\nnameserver 10.0.0.2\n"},
			results: loops("10.0.0.2"), none: true,
			want: map[string]string{"Corefile": ".:53 {\nforward . /r\n}", "/r": "nameserver 10.0.0.4\n"},
		},
		"a word and a file": {
			files:   map[string]string{"Corefile": ".:53 {\nforward . 10.0.0.2 /r\n}", "/r": "nameserver 10.0.0.2\n"},
			results: loops("10.0.0.2"),
			want:    map[string]string{"Corefile": ".:53 {\nforward . 10.0.0.9 /r\n}", "/r": "nameserver 10.0.0.9\n"},
		},
		"two files": {
			files:   map[string]string{"Corefile": ".:53 {\nforward . /r /s\n}", "/r": "nameserver 10.0.0.2\n", "/s": "nameserver 10.0.0.4\nnameserver 10.0.0.2\n"},
			results: loops("10.0.0.2"),
			want:    map[string]string{"/r": "nameserver 10.0.0.9\n", "/s": "nameserver 10.0.0.4\n"},
		},
		"two nameservers": {
			files: map[string]string{"r": "nameserver 10.0.0.2\noptions edns0\nnameserver 10.0.0.3\n"}, results: loops("10.0.0.2", "10.0.0.3"),
			change: func(in *Input) { in.Clean = addrs("10.0.0.9:53", "10.0.0.8:53") },
			want:   map[string]string{"r": "nameserver 10.0.0.9\nnameserver 10.0.0.8\noptions edns0\n"},
		},
		"a nameserver twice": {
			files: map[string]string{"r": "nameserver 10.0.0.2\nnameserver 10.0.0.4\nnameserver 10.0.0.2\n"}, results: loops("10.0.0.2"),
			want: map[string]string{"r": "nameserver 10.0.0.4\n"},
		},
		"no room for more than the readers take": {
			files: map[string]string{"r": "nameserver 10.0.0.2\nnameserver 10.0.0.7\n"}, results: map[string]probe.Result{"10.0.0.2": loop, "10.0.0.7": silent},
			change: func(in *Input) { in.Clean = addrs("10.0.0.9:53", "10.0.0.8:53", "10.0.0.6:53") },
			want:   map[string]string{"r": "nameserver 10.0.0.9\nnameserver 10.0.0.8\nnameserver 10.0.0.7\n"},
		},
		"a nameserver with a carriage return": {
			files: map[string]string{"r": "nameserver 10.0.0.2\r\nnameserver 10.0.0.3\r\noptions edns0\r\n"}, results: loops("10.0.0.2", "10.0.0.3"),
			want: map[string]string{"r": "nameserver 10.0.0.9\noptions edns0\r\n"}, // the C library reads the new line too
		},
		"no nameserver": {
			files: map[string]string{"r": "options edns0\n"}, results: map[string]probe.Result{"127.0.0.1": self},
			want: map[string]string{"r": "options edns0\nnameserver 10.0.0.9\n"},
		},
		"a circle": {
			files: map[string]string{"Corefile": ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 127.0.0.1\n}"},
			want:  map[string]string{"Corefile": ".:53 {\nforward . 10.0.0.9\n}\n.:1053 {\nforward . 10.0.0.9\n}"},
		},
		"a circle beside a way out": {
			files: map[string]string{"Corefile": ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 127.0.0.1 10.0.0.4\n}"}, none: true,
			want: map[string]string{"Corefile": ".:53 {\nforward . 127.0.0.1:1053\n}\n.:1053 {\nforward . 10.0.0.4\n}"},
		},
		"a circle of one zone": {
			files: map[string]string{"Corefile": ".:53 {\nforward . 127.0.0.1:1053\n}\na.example:1053 {\nforward . 127.0.0.1\n}"},
			want:  map[string]string{"Corefile": ".:53 {\nforward . 10.0.0.9\n}\na.example:1053 {\nforward . 10.0.0.9\n}"},
		},
		"itself": {
			files: map[string]string{"Corefile": ".:53 {\nbind 127.0.0.2\nforward . 127.0.0.2 127.0.0.2:53\n}"},
			want:  map[string]string{"Corefile": ".:53 {\nbind 127.0.0.2\nforward . 10.0.0.9\n}"},
		},
		"itself behind a wildcard": {
			files: core("forward . 127.0.0.1"), results: map[string]probe.Result{"127.0.0.1": self},
			want: core("forward . 10.0.0.9"),
		},
		"what is guilty is not offered": {
			files: core("forward . 10.0.0.2"), results: loops("10.0.0.2"),
			change: func(in *Input) { in.Clean = addrs("10.0.0.2:53", "10.0.0.9:53") },
			want:   core("forward . 10.0.0.9"),
		},
		"what is allowed stays": {
			files: core("forward . 127.0.0.1 10.0.0.2"), results: loops("10.0.0.2"), none: true,
			change: func(in *Input) {
				for i := range in.Plan.Checks {
					in.Plan.Checks[i].Upstream.Allowed = "meant so"
				}
			},
			want: core("forward . 127.0.0.1"),
		},
		"a file that the Corefile names too": {
			files: map[string]string{"r": "nameserver 10.0.0.2\nnameserver 10.0.0.7\n", "Corefile": ".:53 {\nforward . r\n}"}, results: map[string]probe.Result{"10.0.0.2": loop, "10.0.0.7": silent},
			change: func(in *Input) { in.Clean = addrs("10.0.0.9:53", "10.0.0.8:53", "10.0.0.6:53") },
			want:   map[string]string{"r": "nameserver 10.0.0.9\nnameserver 10.0.0.8\nnameserver 10.0.0.7\n"},
		},
		"a file for which the address does not loop": {
			files:   map[string]string{"r": "nameserver 10.0.0.2\n", "/s": "nameserver 10.0.0.2\n", "Corefile": "a.example {\nforward . /s\n}"},
			results: map[string]probe.Result{"10.0.0.2 .": loop},
			want:    map[string]string{"r": "nameserver 10.0.0.9\n"},
		},
		"a chain beside it was not probed": {
			files: map[string]string{"Corefile": ".:53 {\nforward . 127.0.0.1:1053 10.0.0.2\n}\n.:1053 {\nforward . 10.0.0.4\n}"}, results: loops("10.0.0.2"),
			want: map[string]string{"Corefile": ".:53 {\nforward . 127.0.0.1:1053 10.0.0.9\n}\n.:1053 {\nforward . 10.0.0.4\n}"},
		},
		"its own service": {
			files: core("forward . 10.0.0.2"),
			change: func(in *Input) {
				for i := range in.Plan.Checks {
					in.Plan.Checks[i].Upstream.Own = "Service kube-dns leads to it"
				}
			},
			want: core("forward . 10.0.0.9"),
		},
		"nothing is clear": {files: core("forward . 10.0.0.2 10.0.0.3"), results: loops("10.0.0.2", "10.0.0.3"), none: true, want: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			clean := ninth
			if tt.none {
				clean = nil
			}
			in := hostOf(t, tt.files, tt.results, clean)
			if tt.change != nil {
				tt.change(&in)
			}
			r := Judge(in)
			if diff := cmp.Diff(tt.want, followed(t, tt.files, r.Remedies)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, f := range r.Findings {
				for i, step := range f.Advice {
					if slices.Contains(f.Advice[:i], step) {
						t.Errorf("said twice: %q", step)
					}
				}
			}
			seen := map[plan.Source]bool{}
			for _, m := range r.Remedies {
				if at := (plan.Source{File: m.File, Line: m.Line}); seen[at] {
					t.Errorf("a second remedy for %v", at)
				} else {
					seen[at] = true
				}
				if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return slices.Contains(f.Advice, m.Change) }) {
					t.Errorf("no advice says %q", m.Change)
				}
			}
		})
	}
}

// What a node's lines are told for its pods, each remedy word for word.
func TestLineChangesInCluster(t *testing.T) {
	in := hostOf(t, map[string]string{"r": "nameserver 10.0.0.2\nnameserver 10.0.0.2\n"}, map[string]probe.Result{"10.0.0.2": back("0.0.0.0:53", false)}, ninth)
	in.Facts.Kubernetes = true
	advice := Judge(in).Findings[0].Advice
	for _, want := range []string{
		"or, on the node, in r line 1 write `nameserver 10.0.0.9` instead of `nameserver 10.0.0.2`",
		"and on the node, in r line 2 delete `nameserver 10.0.0.2`: line 1 gets `nameserver 10.0.0.9`",
	} {
		if !slices.Contains(advice, want) {
			t.Errorf("no step says %q: %q", want, advice)
		}
	}
}

// The sentences, in the order in which they are to be followed.
func TestLineChanges(t *testing.T) {
	loop := back("0.0.0.0:53", false)
	for _, tt := range []struct {
		files map[string]string
		want  []string
	}{
		{map[string]string{"r": "nameserver 10.0.0.2\nnameserver 10.0.0.3\n"}, []string{
			"in r line 2 delete `nameserver 10.0.0.3`: line 1 gets `nameserver 10.0.0.9`",
			"in r line 1 write `nameserver 10.0.0.9` instead of `nameserver 10.0.0.2`",
		}},
		{map[string]string{"r": "nameserver 10.0.0.2\nnameserver 10.0.0.4\nnameserver 10.0.0.3\n"}, []string{
			"in r line 3 delete `nameserver 10.0.0.3`; `nameserver 10.0.0.4` stays",
			"in r line 1 delete `nameserver 10.0.0.2`; `nameserver 10.0.0.4` stays",
		}},
		{map[string]string{"Corefile": ".:53 {\n\tforward . /r  10.0.0.2 {\r\n\t}\n}", "/r": "nameserver 10.0.0.2\nnameserver 10.0.0.3\n"}, []string{
			"in /r line 2 delete `nameserver 10.0.0.3`: line 1 gets `nameserver 10.0.0.9`",
			"in /r line 1 write `nameserver 10.0.0.9` instead of `nameserver 10.0.0.2`",
			"in Corefile line 2 write `forward . /r 10.0.0.9 {` instead of `forward . /r 10.0.0.2 {`",
		}},
	} {
		var got []string
		for _, m := range Judge(hostOf(t, tt.files, map[string]probe.Result{"10.0.0.2": loop, "10.0.0.3": loop}, ninth)).Remedies {
			got = append(got, m.Change)
			if !m.Verified || m.Kind != "upstreams" || m.From == "" || len(m.Addresses) != 1 {
				t.Errorf("%+v: want one verified upstream and where it is from", m)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.files, diff)
		}
	}
}

// Others are looked for that are clear under every zone of what they replace.
func TestGuiltyZones(t *testing.T) {
	in := hostOf(t, map[string]string{"Corefile": "a.example b.example {\nforward . 10.0.0.2\n}\nc.example {\nforward . 10.0.0.3\n}"},
		map[string]probe.Result{"10.0.0.2 b.example.": back("0.0.0.0:53", false)}, nil)
	if diff := cmp.Diff([]string{"a.example.", "b.example."}, GuiltyZones(in)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
