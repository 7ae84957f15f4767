package verdict

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/corefile"
	"github.com/dnsloop/dnsloop/plan"
)

// A line of a file is changed once, for all that is guilty in it: a program
// that applies the remedies finds each line as it was read. What was found
// clear comes in once for each choice.

// mention is a spot where a file names an upstream.
type mention struct {
	spot
	addr   netip.AddrPort // the upstream's
	choice choiceKey
}

// spot is a word of a line.
type spot struct {
	at   plan.Source
	word string // as the file's reader takes it; empty: the line as a whole
}

// choiceKey tells choices apart: by the file, or by the line where each line
// is a choice of its own, or, in a file of many, by a number in the line's place.
type choiceKey struct {
	*notation
	at plan.Source
}

// choice is the upstreams that a server chooses among for the same names: those
// of a resolv.conf, or those of a forward.
type choice struct {
	choiceKey
	guilty []mention
	stays  []mention
	clear  []netip.AddrPort // of stays: probed and found clear where they stand
}

// cure is what there is to put in the place of a guilty upstream.
type cure struct {
	clean []netip.AddrPort // those beside it that are clear, or else others that are
	from  string           // the file that names them
	lines []Remedy         // the changes of the lines that name it
}

// cures works out, for each guilty upstream that a file names, how its lines
// are to be changed.
func (in Input) cures(groups [][]CheckReport) map[plan.Upstream]cure {
	names, choices := in.choices(groups)
	changes := map[spot]Remedy{}
	sharers := map[plan.Source]map[*choice]bool{}
	for _, c := range choices {
		for _, m := range c.guilty {
			if sharers[m.at] == nil {
				sharers[m.at] = map[*choice]bool{}
			}
			sharers[m.at][c] = true
		}
	}
	for _, c := range choices {
		// A line that two changes were due is left to people.
		c.guilty = slices.DeleteFunc(c.guilty, func(m mention) bool { return len(sharers[m.at]) > 1 })
		in.change(c, changes)
	}
	out := map[plan.Upstream]cure{}
	for u, ms := range names {
		var c cure
		c.clean, c.from = in.offered(choices[ms[0].choice])
		told := map[plan.Source]bool{}
		for _, m := range ms {
			if r, ok := changes[m.spot]; ok && !told[m.at] {
				told[m.at] = true
				c.lines = append(c.lines, r)
			}
		}
		out[u] = c
	}
	return out
}

// choices gathers what upstreams files name beside the guilty ones, and where
// they name these.
func (in Input) choices(groups [][]CheckReport) (map[plan.Upstream][]mention, map[choiceKey]*choice) {
	names, choices := map[plan.Upstream][]mention{}, map[choiceKey]*choice{}
	blamed, kept := map[spot]bool{}, map[spot]bool{}
	type candidate struct {
		choice *choice
		addr   netip.AddrPort
	}
	found := map[candidate]bool{}
	lines := in.nameservers()
	for _, g := range groups {
		if !isGuilty(g) {
			continue
		}
		named, _ := in.mentions(g, lines)
		for _, m := range named {
			u := g[0].Upstream
			names[u] = append(names[u], m)
			if blamed[m.spot] {
				continue
			}
			blamed[m.spot] = true
			if choices[m.choice] == nil {
				choices[m.choice] = &choice{choiceKey: m.choice}
			}
			choices[m.choice].guilty = append(choices[m.choice].guilty, m)
		}
	}
	for _, g := range groups {
		if len(names) == 0 || isGuilty(g) {
			continue // and the line that names its file is not to blame
		}
		named, through := in.mentions(g, lines)
		for _, m := range append(named, through...) {
			c := choices[m.choice]
			if c == nil || blamed[m.spot] { // of one name an address may be guilty and another not
				continue
			}
			if !kept[m.spot] {
				kept[m.spot] = true
				c.stays = append(c.stays, m)
			}
			if at := (candidate{c, m.addr}); !found[at] && isClear(g) {
				found[at] = true
				c.clear = append(c.clear, m.addr)
			}
		}
	}
	return names, choices
}

// isGuilty reports whether the cure for an upstream is another one.
func isGuilty(group []CheckReport) bool {
	return slices.ContainsFunc(group, func(c CheckReport) bool {
		return slices.ContainsFunc(c.Codes, func(code string) bool {
			return slices.Contains(guilty, code) && (c.Upstream.Allowed == "" || !slices.Contains(risky, code))
		})
	})
}

// isClear reports whether an upstream was probed and found clear where it
// stands: nothing nearer can be offered.
func isClear(group []CheckReport) bool {
	return group[0].Upstream.Addr.Addr().IsValid() && !slices.ContainsFunc(group, func(c CheckReport) bool {
		return c.Verdict != Clear || !c.Probed
	})
}

// listing is an address in a resolv.conf.
type listing struct {
	file string
	addr netip.Addr
}

// nameservers lists the lines that name an address in each resolv.conf.
func (in Input) nameservers() map[listing][]int {
	lines := map[listing][]int{}
	for _, f := range in.Files {
		for _, ns := range f.Conf.Nameservers {
			at := listing{f.Name, ns.Addr}
			lines[at] = append(lines[at], ns.Line)
		}
	}
	return lines
}

// mentions lists where files name an upstream, each spot once, and the words of
// a Corefile through which it comes from another file.
func (in Input) mentions(group []CheckReport, nameservers map[listing][]int) (named, through []mention) {
	u := group[0].Upstream
	seen := map[spot]bool{}
	add := func(to *[]mention, n *notation, choice, at plan.Source, word string) {
		if s := (spot{at, word}); !seen[s] {
			seen[s] = true
			*to = append(*to, mention{s, u.Addr, choiceKey{n, choice}})
		}
	}
	whole := plan.Source{File: u.Source.File}
	for _, f := range in.Files {
		if whole == u.Source && f.Name == whole.File { // it lists nobody, which means this upstream
			add(&named, &resolvConf, whole, whole, "")
		}
	}
	for _, line := range nameservers[listing{whole.File, u.Addr.Addr()}] {
		add(&named, &resolvConf, whole, plan.Source{File: whole.File, Line: line}, "")
	}
	if conf := u.Conf; conf.Word != "" {
		add(&named, confNotation(u), plan.Source{File: conf.File, Line: conf.Choice}, u.Source, conf.Word)
	}
	type stanza struct {
		*corefile.File
		corefile.Hop
	}
	read := map[stanza]bool{} // one may have many zones
	for _, c := range group {
		if c.Route == nil || read[stanza{c.Route.File, c.Route.Path().Hop}] {
			continue
		}
		read[stanza{c.Route.File, c.Route.Path().Hop}] = true
		for _, n := range c.Route.To(c.Route.Path().Hop).Names() {
			at, source := plan.Source(n.Pos), plan.Source(n.Source)
			if source.File == "" {
				add(&named, &forwardLine, at, at, n.Text)
				continue
			}
			if in.isNameserver(source) {
				add(&named, &resolvConf, plan.Source{File: source.File}, source, "")
			}
			add(&through, &forwardLine, at, at, n.Text)
		}
	}
	return named, through
}

// line is the text of a line as it stands, without its newline; empty where it
// is not known.
func (in Input) line(at plan.Source) string {
	if lines := in.Lines[at.File]; at.Line > 0 && at.Line <= len(lines) {
		return string(lines[at.Line-1])
	}
	return ""
}

// isNameserver tells a line of a resolv.conf from that of a manifest which
// stands for one.
func (in Input) isNameserver(at plan.Source) bool {
	words := strings.Fields(in.line(at))
	return len(words) > 0 && words[0] == "nameserver"
}

// offered are the upstreams to use in the place of a choice's guilty ones, and
// the file that names them.
func (in Input) offered(c *choice) ([]netip.AddrPort, string) {
	if len(c.clear) > 0 {
		return c.clear, c.at.File
	}
	return in.Clean, in.CleanFrom
}

// change words the change of each line of a choice, for each spot that goes
// with it. The first of the lines gets what is offered, as far as it does not
// stay anyway and its readers take it.
func (in Input) change(c *choice, changes map[spot]Remedy) {
	clean, from := in.offered(c)
	r := Remedy{Kind: "upstreams", From: from, Verified: true}
	stands := map[netip.AddrPort]bool{}
	for _, m := range c.stays {
		stands[m.addr] = true
	}
	var stay, add []string
	for _, a := range clean {
		text := c.write(a)
		switch {
		case text == "":
			continue
		case stands[a]:
			stay = append(stay, text)
		case len(add) < max(1, c.most-len(c.stays)):
			add = append(add, text)
		default:
			continue
		}
		r.Addresses = append(r.Addresses, a.String())
	}
	if len(r.Addresses) == 0 {
		return
	}
	why := "; " + and(quoted(stay)) + " " + stays(len(stay))
	for _, ms := range byLine(c.guilty) {
		r.File, r.Line, r.Old = ms[0].at.File, ms[0].at.Line, in.line(ms[0].at)
		var gone []mention
		r.New, gone = c.rewrite(r.Old, ms, add)
		if len(gone) == 0 {
			continue
		}
		r.Change = c.sentence(r, ms[0])
		if len(r.New) == 0 {
			r.Change += why
		}
		for _, m := range gone {
			changes[m.spot] = r
		}
		if len(add) > 0 {
			why = fmt.Sprintf(": line %d gets %s", r.Line, and(quoted(add)))
			add = nil
		}
	}
}

// byLine gathers mentions by their lines, in the order of the file.
func byLine(ms []mention) [][]mention {
	slices.SortStableFunc(ms, func(a, b mention) int { return cmp.Compare(a.at.Line, b.at.Line) })
	var out [][]mention
	for i, m := range ms {
		if i == 0 || m.at != ms[i-1].at {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], m)
	}
	return out
}

// sentence says how a line is to be changed.
func (c *choice) sentence(r Remedy, m mention) string {
	old := strings.Join(strings.Fields(r.Old), " ")
	if c.single && len(old) > maxQuoted {
		old = c.write(m.addr)
	}
	switch {
	case r.Line == 0:
		return fmt.Sprintf("add %s to %s", and(quoted(r.New)), fileName(m.at))
	case len(r.New) == 0:
		return fmt.Sprintf("in %s delete `%s`", place(m.at), old)
	}
	return fmt.Sprintf("in %s write %s instead of `%s`", place(m.at), and(quoted(r.New)), old)
}

// quoted puts text that is to be written between backticks, on one line.
func quoted(texts []string) []string {
	var out []string
	for _, t := range texts {
		out = append(out, "`"+strings.Join(strings.Fields(t), " ")+"`")
	}
	return out
}

// stays is the verb for so many that do.
func stays(n int) string {
	if n == 1 {
		return "stays"
	}
	return "stay"
}
