package verdict

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/plan"
)

// maxNameservers is how many nameservers the C library and the kubelet take
// from a file (MAXNS in <resolv.h>, MaxDNSNameservers in Kubernetes).
const maxNameservers = 3

// dnsPort is the port that a nameserver line, which cannot name one, stands for.
const dnsPort = 53

// remedies words the changes that replace the upstream of s by those found
// clear, the best first; none where nothing was found clear. The advice for
// the same scene carries each Change word for word.
func remedies(s scene) []Remedy {
	var out []Remedy
	add := func(r Remedy, ok bool) {
		if ok {
			out = append(out, r)
		}
	}
	switch {
	case s.Upstream.Own != "": // whatever file its pod is given
		return s.Lines
	case s.Code == "DL006": // the kubelet writes the file, and would do so again
		add(s.corefileFix())
		return out
	case s.inCluster():
		add(s.kubeletFix())
		add(s.corefileFix())
	default:
		add(s.words())
	}
	return append(out, s.Lines...)
}

// kubeletFix has the kubelet hand on the file that names the clean upstreams.
// There is none where that is the very file that names the guilty one, or where
// it names others too, which the pods would get as well.
func (s scene) kubeletFix() (Remedy, bool) {
	if len(s.Clean) == 0 || s.CleanFrom == "" || s.Partly || s.CleanFrom == s.Upstream.Source.File {
		return Remedy{}, false
	}
	return s.remedy(s.Clean, fmt.Sprintf("on the node, in %s write `resolvConf: %s`, so that pods get those upstreams",
		kubeletConfig, s.CleanFrom)), true
}

// corefileFix names the clean upstreams in CoreDNS's own configuration.
func (s scene) corefileFix() (Remedy, bool) {
	if len(s.Clean) == 0 {
		return Remedy{}, false
	}
	return s.remedy(s.Clean, fmt.Sprintf("quick fix: in the Corefile write `forward %s %s` instead of `forward %[1]s %[3]s`",
		s.zone(), shorts(s.Clean, " "), systemResolvConf)), true
}

// words says in words alone what to replace, where no line of a file names the
// upstream: it stands on the command line, or comes from a variable.
func (s scene) words() (Remedy, bool) {
	src := s.Upstream.Source
	switch {
	case len(s.Lines) > 0, len(s.Clean) == 0:
		return Remedy{}, false
	case s.Kind == kindKubelet, s.Kind == kindResolvConf: // a remedy is another file, or that file with another port
		return Remedy{}, false
	case src.File == "":
		var others []string
		for _, a := range s.Clean {
			others = append(others, a.String())
		}
		return s.remedy(s.Clean, fmt.Sprintf("forward to %s instead of %s", and(others), s.Upstream)), true
	case s.Kind == kindConf:
		return s.confWords()
	}
	return s.remedy(s.Clean, fmt.Sprintf("in %s forward to %s instead of %s",
		place(src), shorts(s.Clean, " "), cmp.Or(s.Word, short(s.Upstream.Addr)))), true
}

// confWords is words for a line of a configuration of dnsmasq, unbound or BIND
// that names the upstream in a way that is not edited.
func (s scene) confWords() (Remedy, bool) {
	var use []netip.AddrPort
	var texts []string
	for _, a := range s.Clean {
		if text := strings.TrimSuffix(confNotation(s.Upstream).write(a), ";"); text != "" {
			use, texts = append(use, a), append(texts, text)
		}
	}
	if len(use) == 0 {
		return Remedy{}, false
	}
	return s.remedy(use, fmt.Sprintf("in %s forward to %s instead of %s", place(s.Upstream.Source), and(texts), s.Word)), true
}

// inOrder lists remedies, each once: first those that are a sentence alone, in
// the order told, then the lines of each file, the last line first. So none is
// moved by another before its turn.
func inOrder(all []Remedy) []Remedy {
	files := map[string]int{} // the order in which they were told; 0: none
	seen := map[string]bool{}
	var out []Remedy
	for _, r := range all {
		if seen[r.Change] {
			continue
		}
		seen[r.Change] = true
		if _, told := files[r.File]; !told && r.File != "" {
			files[r.File] = len(files) + 1
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Remedy) int {
		return cmp.Or(cmp.Compare(files[a.File], files[b.File]), cmp.Compare(b.Line, a.Line))
	})
	return out
}

// remedy is a change that puts addresses, all found clear, in use.
func (s scene) remedy(addrs []netip.AddrPort, change string) Remedy {
	r := Remedy{Kind: "upstreams", From: s.CleanFrom, Verified: true, Change: change}
	for _, a := range addrs {
		r.Addresses = append(r.Addresses, a.String())
	}
	return r
}

// zone is the zone as a Corefile's forward names it.
func (s scene) zone() string {
	if s.Zone == "" {
		return "."
	}
	return s.Zone
}

// maxQuoted is the longest line of a file that a step quotes whole.
const maxQuoted = 60

// oldLine is the guilty line as a step quotes it.
func (s scene) oldLine() string {
	old := strings.TrimSpace(s.Old)
	if old == "" || len(old) > maxQuoted {
		return "nameserver " + s.Upstream.Addr.Addr().String()
	}
	return old
}

func nameserver(a netip.AddrPort) string { return "nameserver " + a.Addr().String() }

// fileName is the file as a sentence names it.
func fileName(src plan.Source) string {
	if src.File == "-" {
		return "the file on standard input"
	}
	return src.File
}

// place is where a line stands, as a sentence names it.
func place(src plan.Source) string {
	if src.Line == 0 {
		return fileName(src)
	}
	return fmt.Sprintf("%s line %d", fileName(src), src.Line)
}

// short is an address as a Corefile names it: without the port where that is 53.
func short(a netip.AddrPort) string {
	if a.Port() == dnsPort {
		return a.Addr().String()
	}
	return a.String()
}

func shorts(addrs []netip.AddrPort, sep string) string {
	var out []string
	for _, a := range addrs {
		out = append(out, short(a))
	}
	return strings.Join(out, sep)
}

// and joins words as a sentence does: "a", "a and b", "a, b and c".
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
