package forwarders

import (
	"net/netip"
	"slices"
	"strings"
)

// unbound gathers what its files say.
type unbound struct {
	*reader
	section string // the one that the words belong to; empty: none has begun
	dir     string // where unbound works, since a directory line
	zones   []*unboundZone

	interfaces   []place
	automatic    bool
	port         uint16
	tlsPorts     []uint16
	httpsPort    uint16
	cert, key    string
	bundle       string
	noIP4, noIP6 bool
	noUDP, noTCP bool
	tcp, tls     bool
	localhost    bool // loopback addresses may be asked
	notAsked     []netip.Prefix
}

// unboundZone is a forward-zone or a stub-zone.
type unboundZone struct {
	kind string // the section
	Pos
	name     *place
	addrs    []place
	hosts    []place
	tls, tcp bool
}

// The sections that are read here, and all that there are.
const (
	serverSection  = "server"
	forwardSection = "forward-zone"
	stubSection    = "stub-zone"
)

var unboundSections = []string{
	serverSection, forwardSection, stubSection, "auth-zone", "rpz", "view", "remote-control", "python", "dynlib",
	"dnstap", "dnscrypt", "cachedb", "ipset",
}

func parseUnbound(r *reader, name string, data []byte) error {
	u := &unbound{reader: r, port: 53, httpsPort: 443}
	if err := u.file(Pos{File: name}, name, data, 0); err != nil {
		return err
	}
	if err := u.listeners(); err != nil {
		return err
	}
	return u.forwards()
}

// file reads a file that the line at includes.
func (u *unbound) file(at Pos, name string, data []byte, depth int) error {
	if err := deeper(at, depth, "files"); err != nil {
		return err
	}
	l := &lexer{text: string(data), pos: Pos{name, 1}}
	for {
		word, err := l.keyword()
		if err != nil || word == "" {
			return err
		}
		switch {
		case slices.Contains(unboundSections, word):
			u.section = word
			if word == forwardSection || word == stubSection {
				u.zones = append(u.zones, &unboundZone{kind: word, Pos: l.pos})
			}
		case word == "include" || word == "include-toplevel":
			err = u.include(l, word, depth)
		default:
			err = u.keyword(l, word)
		}
		if err != nil {
			return err
		}
	}
}

// include reads the files of a pattern. A pattern that matches none is no error,
// a name of which there is no file is.
func (u *unbound) include(l *lexer, word string, depth int) error {
	v, err := l.value(word)
	if err != nil {
		return err
	}
	if v.text == "" {
		return errorf(v.Pos, "%s: expected a file, got nothing", word)
	}
	paths := []string{rooted(u.dir, v.text)}
	if strings.ContainsAny(v.text, "*?[{~") {
		paths = nil
		if u.env.Glob != nil {
			if paths, err = u.env.Glob(rooted(u.dir, v.text)); err != nil {
				return errorf(v.Pos, "%s: expected a pattern, got %s", word, v.text)
			}
		}
	}
	apart := word == "include-toplevel"
	for _, path := range paths {
		if apart {
			u.section = ""
		}
		data, err := u.mustRead(v.Pos, path)
		if err != nil {
			return err
		}
		if err := u.file(v.Pos, path, data, depth+1); err != nil {
			return err
		}
	}
	if apart {
		u.section = ""
	}
	return nil
}

// sectionOf is the section of a keyword that is read here; empty: it is not.
func sectionOf(word string) string {
	switch word {
	case "interface", "ip-address", "interface-automatic", "port", "do-ip4", "do-ip6", "do-udp", "do-tcp",
		"tcp-upstream", "tls-upstream", "ssl-upstream", "tls-port", "ssl-port", "additional-tls-port",
		"tls-additional-port", "https-port", "tls-service-pem", "ssl-service-pem", "tls-service-key", "ssl-service-key",
		"tls-cert-bundle", "ssl-cert-bundle", "do-not-query-localhost", "do-not-query-address", "directory":
		return serverSection
	case "forward-addr", "forward-host", "forward-tls-upstream", "forward-ssl-upstream", "forward-tcp-upstream":
		return forwardSection
	case "stub-addr", "stub-host", "stub-tls-upstream", "stub-ssl-upstream", "stub-tcp-upstream":
		return stubSection
	}
	return ""
}

func (u *unbound) keyword(l *lexer, word string) error {
	at := l.pos
	section := sectionOf(word)
	if word == "name" && (u.section == forwardSection || u.section == stubSection) {
		section = u.section
	}
	switch {
	case section == "":
		return l.skip(word)
	case section != u.section:
		return errorf(at, "expected %s: in the section %s:", word, section)
	}
	v, err := l.value(word)
	if err != nil {
		return err
	}
	if section != serverSection {
		return u.zones[len(u.zones)-1].option(strings.Replace(word, "ssl", "tls", 1), v)
	}
	return u.option(strings.Replace(word, "ssl", "tls", 1), v)
}

// option takes a keyword of the section server.
func (u *unbound) option(word string, v place) error {
	var flag *bool
	switch word {
	case "interface", "ip-address":
		u.interfaces = append(u.interfaces, v)
	case "port", "tls-port", "additional-tls-port", "tls-additional-port", "https-port":
		port, ok := portOf(v.text)
		switch {
		case !ok:
			return errorf(v.Pos, "%s: expected a number from 1 to 65535, got %q", word, v.text)
		case word == "port":
			u.port = port
		case word == "https-port":
			u.httpsPort = port
		default:
			u.tlsPorts = append(u.tlsPorts, port)
		}
	case "tls-service-pem":
		u.cert = v.text
	case "tls-service-key":
		u.key = v.text
	case "tls-cert-bundle":
		u.bundle = v.text
	case "directory":
		u.dir = v.text
	case "do-not-query-address":
		p, ok := prefixOf(v.text)
		if !ok {
			return errorf(v.Pos, "%s: expected an address or a prefix, got %q", word, v.text)
		}
		u.notAsked = append(u.notAsked, p)
	case "do-ip4":
		flag = &u.noIP4
	case "do-ip6":
		flag = &u.noIP6
	case "do-udp":
		flag = &u.noUDP
	case "do-tcp":
		flag = &u.noTCP
	case "do-not-query-localhost":
		flag = &u.localhost
	case "interface-automatic":
		flag = &u.automatic
	case "tcp-upstream":
		flag = &u.tcp
	case "tls-upstream":
		flag = &u.tls
	}
	if flag == nil {
		return nil
	}
	yes, err := yesNo(word, v)
	*flag = yes != strings.HasPrefix(word, "do-") // whose default is yes, and no is told
	return err
}

// option takes a keyword of a zone's section, with its prefix or without.
func (z *unboundZone) option(word string, v place) error {
	var err error
	switch _, word, _ = strings.Cut(word, "-"); word {
	case "":
		if z.name != nil {
			return errorf(v.Pos, "expected one name in a %s, got also %q", z.kind, v.text)
		}
		z.name = &v
	case "addr":
		z.addrs = append(z.addrs, v)
	case "host":
		z.hosts = append(z.hosts, v)
	case "tls-upstream":
		z.tls, err = yesNo(word, v)
	case "tcp-upstream":
		z.tcp, err = yesNo(word, v)
	}
	return err
}

func yesNo(word string, v place) (bool, error) {
	if v.text != "yes" && v.text != "no" {
		return false, errorf(v.Pos, "%s: expected yes or no, got %q", word, v.text)
	}
	return v.text == "yes", nil
}

// prefixOf reads a prefix, or an address as the prefix of itself.
func prefixOf(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, ok := addrOf(s)
	return netip.PrefixFrom(a.WithZone(""), a.BitLen()), ok
}

// listeners works out where unbound answers: at the local host alone unless told
// otherwise.
func (u *unbound) listeners() error {
	switch {
	case u.automatic:
		u.serve(u.port, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	case len(u.interfaces) == 0:
		u.serve(u.port, loopback4, loopback6)
	}
	if u.automatic {
		return nil
	}
	for _, i := range u.interfaces {
		text, number, ported := strings.Cut(i.text, "@")
		port := u.port
		if ported {
			var ok bool
			if port, ok = portOf(number); !ok {
				return errorf(i.Pos, "interface: expected a port from 1 to 65535 behind @, got %q", number)
			}
		}
		switch a, ok := addrOf(text); {
		case ok:
			u.serve(port, a)
		case !couldBeInterface(text):
			return errorf(i.Pos, "interface: expected an address or the name of an interface, got %q", text)
		default:
			u.serve(port, u.interfaceAddrs(i.Pos, text)...)
		}
	}
	return nil
}

// couldBeInterface keeps to what Linux lets an interface be called. A name that
// begins with a digit and has dots or slashes is an address with a mistake.
func couldBeInterface(s string) bool {
	return s != "" && len(s) <= 15 && !strings.ContainsAny(s, "/: #") && strings.Trim(s, "0123456789.") != ""
}

// serve adds listeners at a port, which may stand for TLS or HTTPS.
func (u *unbound) serve(port uint16, addrs ...netip.Addr) {
	for _, a := range addrs {
		l := Listener{Addr: netip.AddrPortFrom(a, port)}
		switch {
		case a.Is4() && u.noIP4, a.Is6() && u.noIP6:
			continue
		case u.cert == "" || u.key == "":
		case port == u.httpsPort:
			l.Secure, l.Cert, l.Key = "https", rooted(u.dir, u.cert), rooted(u.dir, u.key)
		case slices.Contains(u.tlsPorts, port), port == 853 && len(u.tlsPorts) == 0:
			l.Secure, l.Cert, l.Key = "tls", rooted(u.dir, u.cert), rooted(u.dir, u.key)
		}
		u.listen(l)
	}
}
