package forwarders

import (
	"fmt"
	"net/netip"
	"strings"
)

// named is what a named.conf says, by its statements.
type named struct {
	*reader
	name    string
	top     []statement
	options []statement
	port    uint16                 // of options: to serve at, and to ask forwarders at
	acls    map[string][]statement // by name
	tlses   map[string][]statement
	lists   map[string]statement  // of servers
	never   func(netip.Addr) bool // servers that BIND does not ask
	steps   int                   // through lists that name each other
	choices map[*statement]int    // by the first of a list
}

func parseNamed(r *reader, name string, data []byte) error {
	p := namedParser{reader: r, text: string(data), pos: Pos{name, 1}, dir: new(string), made: new(int)}
	top, err := p.statements()
	if err != nil {
		return err
	}
	n := &named{
		reader: r, name: name, top: top, port: 53,
		acls: map[string][]statement{}, tlses: map[string][]statement{}, lists: map[string]statement{}, choices: map[*statement]int{},
	}
	options, _, err := one(top, "options")
	if err != nil {
		return err
	}
	n.options, _ = options.block()
	if port, ok, err := one(n.options, "port"); err != nil {
		return err
	} else if ok {
		if n.port, ok = portOf(port.word(1)); !ok {
			return errorf(port.Pos, "port: expected a number from 1 to 65535, got %q", port.word(1))
		}
	}
	for _, s := range top {
		switch s.word(0) {
		case "acl":
			n.acls[s.word(1)], _ = s.block()
		case "tls":
			n.tlses[s.word(1)], _ = s.block()
		case "primaries", "masters", "remote-servers":
			n.lists[s.word(1)] = s
		}
	}
	if err := n.listeners(*p.dir); err != nil {
		return err
	}
	n.never = n.unasked()
	if err := n.views(); err != nil {
		return err
	}
	if n.steps > maxSteps {
		return fmt.Errorf("%s: %w: lists that name each other over and over", name, ErrLimit)
	}
	return nil
}

// zoneBody reads the servers that one zone's names are asked of.
func (n *named) zoneBody(found *taken, z statement, body []statement) error {
	kind, _, err := one(body, "type")
	if err != nil {
		return err
	}
	var to statement
	ok, port := false, uint16(53)
	switch kind.word(1) {
	case "forward":
		to, ok, err = one(body, "forwarders")
		port = n.port
	case "stub":
		to, ok, err = one(body, "primaries", "masters")
		port = n.port
	case "static-stub":
		to, ok, err = one(body, "server-addresses")
	}
	name, valid := zoneOf(z.word(1))
	if valid && kind.word(1) != "hint" {
		found.to[name] = nil // nobody, or whom zone adds
	}
	if err != nil || !ok {
		return err
	}
	former, twice := found.seen[name]
	switch {
	case !valid:
		return errorf(z.Pos, "zone: expected a domain name, got %q", z.word(1))
	case twice:
		return errorf(z.Pos, "expected the servers of zone %s once, they stand at %s too", name, former)
	}
	found.seen[name] = z.Pos
	return n.zone(found, z.Pos, name, to, port)
}

// zone adds the servers that a statement lists, with those left out that BIND
// never asks.
func (n *named) zone(found *taken, at Pos, name string, list statement, port uint16) error {
	us, err := n.servers(list, port, 0)
	if err != nil {
		return err
	}
	var to []Upstream
	for _, u := range us {
		if n.never(u.Addr.Addr()) {
			n.problem(u.Pos, "BIND never asks %s: blackhole or a server statement keeps it from that", u.Addr)
			continue
		}
		to = append(to, u)
	}
	if len(to) > 0 {
		found.forwards = append(found.forwards, Forward{name, to})
		found.to[name] = to
	}
	return n.limit(at, len(to))
}

// servers reads forwarders [port N] [tls NAME] { ADDR [port N] [tls NAME]; … };
// and lists of primaries, which may name others that the file defines.
func (n *named) servers(list statement, port uint16, depth int) ([]Upstream, error) {
	block, ok := list.block()
	if !ok {
		return nil, errorf(list.Pos, "%s: expected { ADDRESS; … }", list.word(0))
	}
	if err := deeper(list.Pos, depth, "lists"); err != nil {
		return nil, err
	}
	words := list.words[1:]
	if list.word(0) != "forwarders" && len(words)%2 == 1 {
		words = words[1:] // the name of the list
	}
	outer, err := n.how(list.Pos, words, asking{port: port})
	if err != nil {
		return nil, err
	}
	isForward := list.word(0) == "forwarders"
	bare := outer == asking{port: 53}
	var to []Upstream
	for _, s := range block {
		if n.steps++; n.steps > maxSteps {
			return nil, nil // which parseNamed tells
		}
		ip, valid := addrOf(s.word(0))
		switch {
		case len(s.words) == 0 || len(s.blocks) > 0, !valid && (isForward || list.word(0) == "server-addresses"),
			valid && s.words[0].quoted:
			return nil, errorf(s.Pos, "%s: expected an address, got %q", list.word(0), s.word(0))
		case !valid:
			more, err := n.listed(s, outer.port, depth)
			if err != nil {
				return nil, err
			}
			if to = append(to, more...); len(to) > maxForwards {
				return nil, n.limit(s.Pos, len(to))
			}
			continue
		}
		h, err := n.how(s.Pos, s.words[1:], outer)
		if err == nil && list.word(0) == "server-addresses" && len(s.words) > 1 {
			err = errorf(s.Pos, "server-addresses: expected an address alone, got %q", textOf(s.words))
		}
		if err != nil {
			return nil, err
		}
		u := Upstream{
			Pos: s.Pos, Text: textOf(s.words), Addr: netip.AddrPortFrom(ip, h.port),
			Choice: n.choice(block), Bare: bare,
		}
		if isForward && h.tls != "" { // of a stub's primaries it is for zone transfers
			u.Over = "tls"
			u.Name, u.CA = n.tls(h.tls)
		}
		to = append(to, u)
	}
	return to, nil
}

// choice numbers a list, whichever views and zones take it.
func (n *named) choice(block []statement) int {
	first := &block[0]
	if n.choices[first] == 0 {
		n.choices[first] = len(n.choices) + 1
	}
	return n.choices[first]
}

// listed are the servers of a list that the file defines by name.
func (n *named) listed(s statement, port uint16, depth int) ([]Upstream, error) {
	if list, ok := n.lists[s.word(0)]; ok {
		return n.servers(list, port, depth+1)
	}
	n.unseen(s.Pos, "the list of servers %s is not in what was read", s.word(0))
	return nil, nil
}

func textOf(words []quotable) string {
	var texts []string
	for _, w := range words {
		texts = append(texts, w.text)
	}
	return strings.Join(texts, " ")
}

// asking is how servers are asked.
type asking struct {
	port uint16
	tls  string // the name of a tls statement; empty: not over TLS
}

// how reads [port N] [tls NAME] and the like. TLS makes the port 853 unless one
// is given.
func (n *named) how(at Pos, words []quotable, a asking) (asking, error) {
	ported := false
	for ; len(words) > 0; words = words[min(2, len(words)):] {
		key := strings.ToLower(words[0].text)
		if len(words) == 1 {
			return a, errorf(at, "expected a value behind %q", words[0].text)
		}
		value := words[1].text
		switch key {
		case "port":
			var ok bool
			if a.port, ok = portOf(value); !ok {
				return a, errorf(words[1].Pos, "expected a port from 1 to 65535, got %q", value)
			}
			ported = true
		case "tls":
			if a.tls = value; value == "none" {
				a.tls = ""
			}
			if a.tls != "" && !ported {
				a.port = 853
			}
		case "dscp", "key", "http": // which do not change who is asked
		default:
			return a, errorf(words[0].Pos, "expected port or tls, got %q", words[0].text)
		}
	}
	return a, nil
}

// tls is what a tls statement says of the servers that are asked with it.
func (n *named) tls(name string) (host, ca string) {
	for _, o := range n.tlses[strings.ToLower(name)] {
		switch {
		case len(o.words) < 2:
		case o.word(0) == "remote-hostname":
			host = o.words[1].text
		case o.word(0) == "ca-file":
			ca = o.words[1].text
		}
	}
	return host, ca
}
