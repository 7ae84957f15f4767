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
	if s.inCluster() {
		for _, fix := range []func() (Remedy, bool){s.kubeletFix, s.corefileFix} {
			if r, ok := fix(); ok {
				out = append(out, r)
			}
		}
	}
	if r, ok := s.fileFix(); ok {
		out = append(out, r)
	}
	return out
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

// fileFix changes the line that names the guilty upstream, or the target of
// the command line.
func (s scene) fileFix() (Remedy, bool) {
	src := s.Upstream.Source
	switch {
	case len(s.Clean) == 0, s.Kind == kindKubelet: // whose remedy is another file
		return Remedy{}, false
	case src.File == "":
		return s.remedy(s.Clean, fmt.Sprintf("forward to %s instead of %s", and(s.Clean, netip.AddrPort.String), s.Upstream)), true
	case s.Kind != kindResolvConf:
		return s.forwardFix(), true
	}
	return s.nameserverFix()
}

// forwardFix rewrites one line of a Corefile: the guilty word goes, and the
// clean upstreams take its place unless they stand in the line already. Where
// the word is not in the line (a variable, an import), the change is said in
// words alone.
func (s scene) forwardFix() Remedy {
	src := s.Upstream.Source
	words := strings.Fields(s.Old)
	i := slices.Index(words, s.Word)
	if i < 0 || s.Word == "" {
		return s.remedy(s.Clean, fmt.Sprintf("in %s forward to %s instead of %s",
			place(src), shorts(s.Clean, " "), cmp.Or(s.Word, short(s.Upstream.Addr))))
	}
	var clean []string
	if len(s.Kept) == 0 {
		clean = strings.Split(shorts(s.Clean, " "), " ")
	}
	line := strings.Join(slices.Replace(slices.Clone(words), i, i+1, clean...), " ")
	indent := s.Old[:strings.Index(s.Old, words[0])]
	r := s.remedy(s.Clean, fmt.Sprintf("in %s write `%s` instead of `%s`", place(src), line, strings.Join(words, " ")))
	r.File, r.Line, r.Old, r.New = src.File, src.Line, s.Old, []string{indent + line}
	return r
}

// nameserverFix rewrites one line of a resolv.conf. Addresses that the file
// keeps are not written twice, and no more are added than its readers take.
func (s scene) nameserverFix() (Remedy, bool) {
	var use, add []netip.AddrPort
	room := max(1, maxNameservers-len(s.Kept))
	for _, a := range s.Clean {
		switch {
		case a.Port() != dnsPort: // which a nameserver line cannot say
		case slices.Contains(s.Kept, a.Addr()):
			use = append(use, a)
		case len(add) < room:
			use, add = append(use, a), append(add, a)
		}
	}
	if len(use) == 0 {
		return Remedy{}, false
	}
	src := s.Upstream.Source
	quoted := func(a netip.AddrPort) string { return "`" + nameserver(a) + "`" }
	var change string
	switch {
	case src.Line == 0 && len(add) == 0:
		return Remedy{}, false // nothing to delete, nothing to add
	case src.Line == 0:
		change = fmt.Sprintf("add %s to %s", and(add, quoted), fileName(src))
	case len(add) == 0:
		change = fmt.Sprintf("in %s delete `%s`; %s %s", place(src), s.oldLine(), and(use, quoted), stay(len(use)))
	default:
		change = fmt.Sprintf("in %s write %s instead of `%s`", place(src), and(add, quoted), s.oldLine())
	}
	r := s.remedy(use, change)
	r.File, r.Line, r.Old = src.File, src.Line, s.Old
	for _, a := range add {
		r.New = append(r.New, nameserver(a))
	}
	return r, true
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

// and joins addresses as a sentence does: "a", "a and b", "a, b and c".
func and(addrs []netip.AddrPort, word func(netip.AddrPort) string) string {
	var b strings.Builder
	for i, a := range addrs {
		switch {
		case i > 0 && i == len(addrs)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(word(a))
	}
	return b.String()
}

func stay(n int) string {
	if n == 1 {
		return "stays"
	}
	return "stay"
}
