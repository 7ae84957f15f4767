package corefile

import (
	"regexp"
	"slices"
	"strings"

	"github.com/coredns/caddy/caddyfile"
	"github.com/miekg/dns"
)

// Whether a loop would spin depends on the plugins that CoreDNS asks before
// forward. They are looked at for one name only, a fresh one under a zone (see
// sample), and in three ways:
//
//   - template, hosts, route53, azure, clouddns, k8s_external, kubernetes, file,
//     secondary and etcd answer it where their zones cover it and fallthrough
//     does not let it pass: forward never sees it;
//   - tsig, rewrite and acl, and external plugins that answer everything, may
//     refuse, rename or answer it: a circle through them is in doubt;
//   - every other plugin is taken to pass it on (cache, since the name is
//     fresh; auto, since its zones are known only when it runs).

// taker is a plugin that may keep a name from the forwards of its block.
type taker struct {
	Pos
	plugin  string
	certain bool // it does, not may
	takes   func(name string) bool
}

// sample is a name under a zone that no plugin holds and nothing is named by.
func sample(zone string) string {
	return "4611686018427387903.2305843009213693951." + strings.TrimPrefix(zone, ".")
}

// takers returns those of a block in the order in which CoreDNS asks them.
func takers(tokens map[string][]caddyfile.Token, endpoints []Endpoint) []taker {
	var own []string
	for _, e := range endpoints {
		own = append(own, e.Zone)
	}
	var all []taker
	for _, plugin := range inOrder(tokens) {
		w := walk(tokens[plugin])
		for w.Next() {
			s := readStanza(w)
			t := taker{Pos: s.pos, plugin: plugin, certain: true}
			switch plugin {
			case "template":
				t.takes = s.template(own)
			case "hosts", "file":
				t.takes = s.authority(s.args[min(1, len(s.args)):], own)
			case "k8s_external", "kubernetes", "secondary", "etcd":
				t.takes = s.authority(s.args, own)
			case "route53", "azure", "clouddns": // ZONE:ID...
				var zones []string
				for _, a := range s.args {
					zone, _, _ := strings.Cut(a, ":")
					zones = append(zones, zone)
				}
				t.takes = s.authority(zones, own)
			case "rewrite":
				t.takes, t.certain = s.renames(), false
			case "acl":
				t.takes, t.certain = s.refuses(own), false
			case "tsig":
				t.takes, t.certain = func(string) bool { return s.option("require") != nil }, false
			case "fanout", "dnsredir", "proxy", "recursor", "unbound":
				t.takes, t.certain = func(string) bool { return true }, false
			default:
				continue
			}
			all = append(all, t)
		}
	}
	return all
}

// stanza is one appearance of a directive: its arguments, and the lines
// between its braces.
type stanza struct {
	pos   Pos
	args  []string
	lines [][]string
}

func readStanza(w *walker) stanza {
	s := stanza{pos: w.pos(), args: w.RemainingArgs()}
	for w.NextBlock() {
		s.lines = append(s.lines, append([]string{w.Val()}, w.RemainingArgs()...))
	}
	return s
}

// option is the line that begins with a word, nil where there is none.
func (s stanza) option(name string) []string {
	for _, line := range s.lines {
		if line[0] == name {
			return line
		}
	}
	return nil
}

// passes returns the zones whose unknown names fallthrough lets pass.
func (s stanza) passes() []string {
	line := s.option("fallthrough")
	switch len(line) {
	case 0:
		return nil
	case 1:
		return []string{"."}
	}
	return origins(line[1:], nil)
}

// origins are the zones that arguments name, or else those of the block.
func origins(args, own []string) []string {
	if len(args) == 0 {
		return own
	}
	var zones []string
	for _, a := range args {
		zones = append(zones, hostZones(a)...)
	}
	return zones
}

// authority takes the names of its zones, known or not.
func (s stanza) authority(args, own []string) func(string) bool {
	zones, passes := setOf(origins(args, own)), setOf(s.passes())
	return func(name string) bool { return zones.hold(name) && !passes.hold(name) }
}

// template takes the names of its zones that it matches, and those that it
// does not match unless fallthrough lets them pass. One for a single type or
// another class leaves a way open.
func (s stanza) template(own []string) func(string) bool {
	never := func(string) bool { return false }
	if len(s.args) < 2 || s.args[0] != "IN" && s.args[0] != "ANY" || s.args[1] != "ANY" {
		return never
	}
	zones, passes := setOf(origins(s.args[2:], own)), setOf(s.passes())
	var matches []*regexp.Regexp
	for _, line := range s.lines {
		if line[0] != "match" {
			continue
		}
		for _, expr := range line[1:] {
			re := compile(expr)
			if re == nil {
				return never
			}
			matches = append(matches, re)
		}
	}
	return func(name string) bool {
		matched := len(matches) == 0 || slices.ContainsFunc(matches, func(re *regexp.Regexp) bool { return re.MatchString(name) })
		return zones.hold(name) && (matched || !passes.hold(name))
	}
}

// maxRegexp is the longest expression that is compiled here, in bytes.
const maxRegexp = 1000

// compile returns nil for an expression that does not compile.
func compile(expr string) *regexp.Regexp {
	if len(expr) > maxRegexp {
		return nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil
	}
	return re
}

// renames is true of names that a rule of rewrite may change. Rules for one
// exact name do not concern a fresh one.
func (s stanza) renames() func(string) bool {
	var rules []func(string) bool
	for _, rule := range append([][]string{s.args}, s.lines...) {
		if len(rule) > 0 && (rule[0] == "continue" || rule[0] == "stop") {
			rule = rule[1:]
		}
		if len(rule) < 4 || !strings.EqualFold(rule[0], "name") {
			continue
		}
		from := strings.ToLower(dns.Fqdn(rule[2]))
		part := strings.TrimSuffix(from, ".")
		switch strings.ToLower(rule[1]) {
		case "suffix":
			rules = append(rules, func(name string) bool { return strings.HasSuffix(name, from) })
		case "prefix":
			rules = append(rules, func(name string) bool { return strings.HasPrefix(name, part) })
		case "substring":
			rules = append(rules, func(name string) bool { return strings.Contains(name, part) })
		case "regex":
			re := compile(rule[2])
			rules = append(rules, func(name string) bool { return re == nil || re.MatchString(name) })
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(rules, func(changes func(string) bool) bool { return changes(name) })
	}
}

// refuses is true of the zones of an acl that does more than allow: whom it
// refuses depends on the address that a query comes from.
func (s stanza) refuses(own []string) func(string) bool {
	zones := setOf(origins(s.args, own))
	blocks := slices.ContainsFunc(s.lines, func(line []string) bool { return !strings.EqualFold(line[0], "allow") })
	return func(name string) bool { return blocks && zones.hold(name) }
}
