package forwarders

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// listeners works out where BIND answers: at each address of the host, of both
// families, that listen-on and listen-on-v6 match. It binds each by itself.
func (n *named) listeners(dir string) error {
	for _, word := range []string{"listen-on", "listen-on-v6"} {
		found := all(n.options, word)
		if len(found) == 0 {
			every := statement{words: []quotable{{place: place{text: "any"}}}}
			found = []statement{{words: []quotable{{place: place{text: word}}}, blocks: [][]statement{{every}}}}
		}
		for _, s := range found {
			if err := n.listenOn(s, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// listenOn reads listen-on [port N] [tls NAME] [http NAME] { MATCH; … };
func (n *named) listenOn(s statement, dir string) error {
	block, ok := s.block()
	if !ok {
		return errorf(s.Pos, "%s: expected { ADDRESS; … }", s.word(0))
	}
	how, err := n.how(s.Pos, s.words[1:], asking{port: n.port})
	if err != nil {
		return err
	}
	l := Listener{}
	http := slices.ContainsFunc(s.words, func(w quotable) bool { return w.text == "http" })
	ported := slices.ContainsFunc(s.words, func(w quotable) bool { return w.text == "port" })
	switch {
	case http && how.tls == "": // DNS over HTTP without TLS: nothing that is forwarded to comes that way
		return nil
	case http:
		l.Secure = "https"
		if !ported {
			how.port = 443
		}
	case how.tls != "":
		l.Secure = "tls"
	}
	if l.Secure != "" {
		l.Cert, l.Key = n.certificate(how.tls, dir)
	}
	v6 := s.word(0) == "listen-on-v6"
	for _, a := range n.matched(block, v6) {
		l.Addr = netip.AddrPortFrom(a, how.port)
		n.listen(l)
	}
	return nil
}

// certificate names the files that a tls statement serves with.
func (n *named) certificate(name, dir string) (cert, key string) {
	for _, o := range n.tlses[strings.ToLower(name)] {
		switch {
		case len(o.words) < 2:
		case o.word(0) == "cert-file":
			cert = rooted(dir, o.words[1].text)
		case o.word(0) == "key-file":
			key = rooted(dir, o.words[1].text)
		}
	}
	return cert, key
}

// matched lists the addresses of a family that a list matches: those that it
// names, and the host's own; every one where those are not known and the list
// has more than addresses.
func (n *named) matched(list []statement, v6 bool) []netip.Addr {
	var out []netip.Addr
	open := false // the list may match addresses that it does not name
	for _, e := range list {
		switch a, ok := addrOf(e.word(0)); {
		case ok && a.Is6() == v6 && !a.IsUnspecified():
			out = append(out, a)
		case !ok && e.word(0) != "none" && e.word(0) != "!":
			open = true
		}
	}
	m := matcher{n, true} // rather listen where BIND does not than miss where it does
	for _, a := range n.env.Own {
		if a.Is6() == v6 && m.match(list, a, 0) == yes && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	switch {
	case !open || len(n.env.Own) > 0:
		return out
	case v6:
		return []netip.Addr{netip.IPv6Unspecified()}
	}
	return []netip.Addr{netip.IPv4Unspecified()}
}

// outcome is what an address match list says of an address.
type outcome int

const (
	silent outcome = iota // no element matches
	yes
	no
)

// matcher asks address match lists of addresses.
type matcher struct {
	*named
	unknown bool // what an acl that is not in what was read is taken to say
}

// match looks for the first element that matches an address. What is within
// braces, or an acl, counts only where it says yes.
func (m matcher) match(list []statement, a netip.Addr, depth int) outcome {
	for _, e := range list {
		if m.steps++; m.steps > maxSteps || depth > maxDepth {
			return silent // the former parseNamed tells
		}
		words, says := e.words, yes
		if len(words) > 0 && words[0].text == "!" {
			words, says = words[1:], no
		}
		var hit bool
		switch {
		case len(e.blocks) > 0:
			hit = m.match(e.blocks[0], a, depth+1) == yes
		case len(words) > 0:
			hit = m.element(strings.ToLower(words[0].text), a, depth)
		}
		if hit {
			return says
		}
	}
	return silent
}

// element reports whether a word of a list matches.
func (m matcher) element(word string, a netip.Addr, depth int) bool {
	switch word {
	case "any":
		return true
	case "localhost", "localnets":
		return slices.Contains(m.env.Own, a)
	case "none", "key":
		return false
	}
	if p, ok := shortPrefix(word); ok {
		return p.Contains(a.WithZone(""))
	}
	acl, ok := m.acls[word]
	return !ok && m.unknown || m.match(acl, a, depth+1) == yes
}

// shortPrefix reads a prefix or an address; of a prefix the last numbers may be
// left out, as in 10/8.
func shortPrefix(s string) (netip.Prefix, bool) {
	ip, length, ranged := strings.Cut(s, "/")
	if _, err := strconv.Atoi(length); ranged && err == nil && !strings.Contains(ip, ":") {
		ip += strings.Repeat(".0", max(0, 3-strings.Count(ip, ".")))
		s = ip + "/" + length
	}
	return prefixOf(s)
}

// unasked tells the servers that BIND does not ask, though they are named: those
// that blackhole matches, and those that a server statement calls bogus.
func (n *named) unasked() func(netip.Addr) bool {
	var bogus []netip.Prefix
	for _, s := range all(n.top, "server") {
		p, ok := shortPrefix(s.word(1))
		block, _ := s.block()
		for _, o := range all(block, "bogus") {
			if ok && (o.word(1) == "yes" || o.word(1) == "true" || o.word(1) == "1") {
				bogus = append(bogus, p)
			}
		}
	}
	var holes [][]statement
	for _, s := range all(n.options, "blackhole") {
		block, _ := s.block()
		holes = append(holes, block)
	}
	m := matcher{n, false}
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(bogus, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) }) ||
			slices.ContainsFunc(holes, func(hole []statement) bool { return m.match(hole, a, 0) == yes })
	}
}
