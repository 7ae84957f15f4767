package verdict

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAdviceCarriesRemedies: what a program reads and what people read is one.
func TestAdviceCarriesRemedies(t *testing.T) {
	n := 0
	scenes(func(s scene) {
		if !slices.Contains(guilty, s.Code) {
			return
		}
		all := strings.Join(advice(s), "\n")
		for _, r := range remedies(s) {
			n++
			if !strings.Contains(all, r.Change) {
				t.Fatalf("%s: the advice lacks %q:\n%s", s.Code, r.Change, all)
			}
		}
	})
	if n == 0 {
		t.Error("no remedies at all")
	}
}

func TestRemedies(t *testing.T) {
	file := func(line int, old string) scene {
		return scene{Kind: kindResolvConf, Upstream: upstream("127.0.0.53:53", "r.conf", line), Old: old, CleanFrom: "up.conf"}
	}
	clean := func(ss ...string) func(*scene) {
		return func(s *scene) { s.Clean = addrs(ss...); edited(s) }
	}
	tests := []struct {
		name  string
		scene scene
		want  []Remedy
	}{
		{"nothing clean", file(2, "nameserver 127.0.0.53"), nil},
		{"one", with(file(2, "nameserver 127.0.0.53  "), clean("10.0.0.2:53")), []Remedy{{
			Change: "in r.conf line 2 write `nameserver 10.0.0.2` instead of `nameserver 127.0.0.53`",
			File:   "r.conf", Line: 2, Old: "nameserver 127.0.0.53  ", New: []string{"nameserver 10.0.0.2"}, Addresses: []string{"10.0.0.2:53"},
		}}},
		{"never more than three in the file", with(file(2, "nameserver 127.0.0.53"), func(s *scene) {
			s.Clean = addrs("10.0.0.2:53", "[fd00::2]:53", "10.0.0.4:53")
			edited(s, "10.0.0.9:53")
		}), []Remedy{{
			Change: "in r.conf line 2 write `nameserver 10.0.0.2` and `nameserver fd00::2` instead of `nameserver 127.0.0.53`",
			File:   "r.conf", Line: 2, Old: "nameserver 127.0.0.53", New: []string{"nameserver 10.0.0.2", "nameserver fd00::2"},
			Addresses: []string{"10.0.0.2:53", "[fd00::2]:53"},
		}}},
		{"a full file", with(file(2, "nameserver 127.0.0.53"), func(s *scene) {
			s.Clean = addrs("10.0.0.2:53", "10.0.0.3:53")
			edited(s, "10.0.0.7:53", "10.0.0.8:53", "10.0.0.9:53")
		}), []Remedy{{
			Change: "in r.conf line 2 write `nameserver 10.0.0.2` instead of `nameserver 127.0.0.53`",
			File:   "r.conf", Line: 2, Old: "nameserver 127.0.0.53", New: []string{"nameserver 10.0.0.2"}, Addresses: []string{"10.0.0.2:53"},
		}}},
		{"already there", with(file(2, "nameserver 127.0.0.53"), func(s *scene) {
			s.Clean = addrs("10.0.0.2:53", "10.0.0.3:53")
			edited(s, "10.0.0.2:53", "10.0.0.3:53")
		}), []Remedy{{
			Change: "in r.conf line 2 delete `nameserver 127.0.0.53`; `nameserver 10.0.0.2` and `nameserver 10.0.0.3` stay",
			File:   "r.conf", Line: 2, Old: "nameserver 127.0.0.53", Addresses: []string{"10.0.0.2:53", "10.0.0.3:53"},
		}}},
		{"no nameserver line yet", with(file(0, ""), clean("10.0.0.2:53")), []Remedy{{
			Change: "add `nameserver 10.0.0.2` to r.conf",
			File:   "r.conf", New: []string{"nameserver 10.0.0.2"}, Addresses: []string{"10.0.0.2:53"},
		}}},
		{"a port that the file cannot say", with(file(2, "nameserver 127.0.0.53"), clean("10.0.0.2:5353")), nil},
		{"a long line is not quoted", with(file(2, "nameserver 127.0.0.53 # "+strings.Repeat("x", 70)), clean("10.0.0.2:53")), []Remedy{{
			Change: "in r.conf line 2 write `nameserver 10.0.0.2` instead of `nameserver 127.0.0.53`",
			File:   "r.conf", Line: 2, Old: "nameserver 127.0.0.53 # " + strings.Repeat("x", 70), New: []string{"nameserver 10.0.0.2"}, Addresses: []string{"10.0.0.2:53"},
		}}},
		{"standard input", with(file(2, "nameserver 127.0.0.53"), func(s *scene) { s.Upstream.Source.File = "-"; clean("10.0.0.2:53")(s) }), []Remedy{{
			Change: "in the file on standard input line 2 write `nameserver 10.0.0.2` instead of `nameserver 127.0.0.53`",
			File:   "-", Line: 2, Old: "nameserver 127.0.0.53", New: []string{"nameserver 10.0.0.2"}, Addresses: []string{"10.0.0.2:53"},
		}}},
		{"target", scene{Kind: kindTarget, Upstream: upstream("127.0.0.53:53", "", 0), CleanFrom: "up.conf", Clean: addrs("10.0.0.2:53", "10.0.0.3:53", "10.0.0.4:53")},
			[]Remedy{{
				Change:    "forward to 10.0.0.2:53, 10.0.0.3:53 and 10.0.0.4:53 instead of 127.0.0.53:53",
				Addresses: []string{"10.0.0.2:53", "10.0.0.3:53", "10.0.0.4:53"},
			}}},
		{"Corefile", scene{Kind: kindCorefile, Upstream: upstream("127.0.0.1:1053", "Corefile", 3), CleanFrom: "up.conf", Clean: addrs("10.0.0.2:53", "10.0.0.3:5353")},
			[]Remedy{{
				Change:    "in Corefile line 3 forward to 10.0.0.2 10.0.0.3:5353 instead of 127.0.0.1:1053",
				Addresses: []string{"10.0.0.2:53", "10.0.0.3:5353"},
			}}},
		{"cluster", with(file(2, "nameserver 127.0.0.53"), func(s *scene) {
			s.Kubernetes, s.Zone = true, "corp.example."
			clean("10.0.0.2:53")(s)
		}), []Remedy{
			{Change: "on the node, in /var/lib/kubelet/config.yaml write `resolvConf: up.conf`, so that pods get those upstreams", Addresses: []string{"10.0.0.2:53"}},
			{Change: "quick fix: in the Corefile write `forward corp.example. 10.0.0.2` instead of `forward corp.example. /etc/resolv.conf`", Addresses: []string{"10.0.0.2:53"}},
			{
				Change: "in r.conf line 2 write `nameserver 10.0.0.2` instead of `nameserver 127.0.0.53`",
				File:   "r.conf", Line: 2, Old: "nameserver 127.0.0.53", New: []string{"nameserver 10.0.0.2"}, Addresses: []string{"10.0.0.2:53"},
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.want {
				tt.want[i].Kind, tt.want[i].From, tt.want[i].Verified = "upstreams", "up.conf", true
			}
			if diff := cmp.Diff(tt.want, remedies(tt.scene)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
