package corefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/resolvconf"
	"github.com/dnsloop/dnsloop/spelling"
)

// To is an upstream that a stanza names, or one nameserver of a file that it
// names.
type To struct {
	Text string // as written in the Corefile
	Pos         // there
	// Addr is where it is asked. CoreDNS drops IPv6 zones, so it has none. Its
	// address is invalid, its port is not, while it is known by Host alone.
	Addr   netip.AddrPort
	Scheme string // dns, tls, https, quic or grpc
	// ServerName is what the certificate must be for, and the host name of an
	// https upstream; empty where the address is.
	ServerName string
	Host       string // the name to resolve, or that was resolved
	// Source is the line of the file that names it; zero without a file.
	Source Pos
	// Reason says why it cannot be asked (DL014); empty where it can.
	Reason string
	// Again lists where else the stanza names the same upstream, which CoreDNS
	// leaves out.
	Again []Naming
}

// Naming is a place that names an upstream.
type Naming struct {
	Text   string // as written in the Corefile
	Pos           // there
	Source Pos    // the line of the file that Text names; zero without a file
}

// Names lists every place that names the upstream, at least one.
func (t To) Names() []Naming {
	return append([]Naming{{t.Text, t.Pos, t.Source}}, t.Again...)
}

// The reasons for which an upstream cannot be asked.
const (
	notFilledIn = "a placeholder that is still to be filled in"
	notResolved = "a host name, which CoreDNS resolves when it starts"
	notSpoken   = "dnsloop does not speak this transport"
)

// upstreams reads the upstreams of a stanza of forward or grpc
// (plugin/forward/setup.go and resolve.go, plugin/pkg/parse/host.go).
func (r *reader) upstreams(f Forward, args []argument) ([]To, error) {
	if len(args) > maxTo {
		return nil, &Error{f.Pos, fmt.Sprintf("%s takes %d upstreams at most, not %d", f.Plugin, maxTo, len(args))}
	}
	var all []To
	for _, a := range args {
		to, err := r.upstream(f, a)
		if err != nil {
			return nil, err
		}
		for _, t := range to {
			if f.Plugin == pluginGRPC && t.Reason == "" { // whatever names it, a file too
				t.Scheme, t.Reason = schemeGRPC, notSpoken
			}
			if t.ServerName != "" && f.TLSServerName != "" {
				return nil, &Error{a.pos, fmt.Sprintf("two names for the certificate of %s: %s and tls_servername %s", a.text, t.ServerName, f.TLSServerName)}
			}
			if t.ServerName == "" && t.Scheme != schemeDNS {
				t.ServerName = f.TLSServerName
			}
			all = addTo(all, t)
		}
	}
	if len(all) == 0 {
		return nil, &Error{f.Pos, fmt.Sprintf("%s has no upstream: the files that it names list no nameserver", f.Plugin)}
	}
	return all, nil
}

// addTo leaves out what asks the same address in the same way, the first kept.
func addTo(all []To, t To) []To {
	for i, o := range all {
		same := o.Scheme == t.Scheme && o.Addr == t.Addr && strings.EqualFold(o.ServerName, t.ServerName)
		if same && (t.Addr.Addr().IsValid() || o.Text == t.Text) {
			all[i].Again = append(o.Again, t.Names()...)
			return all
		}
	}
	return append(all, t)
}

// upstream reads one argument: an address, a file's name, or a host's.
func (r *reader) upstream(f Forward, a argument) ([]To, error) {
	scheme, rest := cutScheme(a.text)
	to := To{Text: a.text, Pos: a.pos, Scheme: scheme}
	bad := func(format string, args ...any) ([]To, error) {
		return nil, &Error{a.pos, f.Plugin + ": " + fmt.Sprintf(format, args...)}
	}
	switch {
	case IsPlaceholder(a.text):
		to.Reason = notFilledIn
		return []To{to}, nil
	case rest == "":
		return bad("not an upstream: %q", a.text)
	case f.Plugin == pluginGRPC && scheme == schemeDNS:
	case scheme == schemeUnix || scheme == schemeGRPC || scheme == schemeHTTPS3:
		return bad("%s:// is no transport to an upstream: %q", scheme, a.text)
	case scheme == schemeHTTPS && strings.Contains(rest, "/"):
		return bad("an https:// upstream takes no path, /dns-query is asked: %q", a.text)
	case scheme == schemeQUIC:
		to.Reason = notSpoken
	}
	if r.address(&to, rest) {
		return []To{to}, nil
	}
	path := rest
	if _, _, err := net.SplitHostPort(rest); err != nil {
		path = strings.Trim(rest, "[]")
	}
	if all, ok := r.nameservers(a, path); ok {
		return all, nil
	}
	if f.Plugin == pluginForward {
		if resolvable(&to, rest) {
			return []To{to}, nil
		}
		if filePath().MatchString(path) && !isPrefix(path) {
			to.Reason = fmt.Sprintf("the file %s is not here", path)
			return []To{to}, nil
		}
	}
	return bad("neither an address, nor a file, nor a host name: %q", a.text)
}

// address reads ADDR, ADDR:PORT, [ADDR]:PORT, each with %NAME behind the
// address: the name in a certificate, or a zone, which CoreDNS drops. It is
// false where it is no address.
func (r *reader) address(to *To, s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), strconv.Itoa(int(defaultPorts[to.Scheme]))
	}
	name := ""
	if i := strings.LastIndexByte(host, '%'); i >= 0 {
		host, name = host[:i], host[i+1:]
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		number, to.Reason = 0, fmt.Sprintf("no port to ask: %q", port)
	}
	to.Addr = netip.AddrPortFrom(ip.Unmap(), uint16(number))
	if to.Scheme == schemeTLS || to.Scheme == schemeQUIC {
		to.ServerName = name
	}
	return true
}

// nameservers reads a file that an upstream names as CoreDNS does: every
// nameserver, at port 53. It is false where there is no such file.
func (r *reader) nameservers(a argument, path string) ([]To, bool) {
	data, err := r.env.readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	to := To{Text: a.text, Pos: a.pos, Scheme: schemeDNS}
	var file resolvconf.File
	if err == nil {
		file, err = resolvconf.Parse(path, bytes.NewReader(data))
	}
	if err != nil {
		to.Reason = spelling.Printable(err.Error())
		return []To{to}, true
	}
	for _, p := range file.Problems {
		r.problem(Pos{path, p.Line}, "%s", p.Reason)
	}
	var all []To
	for _, ns := range file.Nameservers {
		if ns.CoreDNS {
			to.Addr = netip.AddrPortFrom(ns.Addr.WithZone(""), 53)
			to.Source = Pos{path, ns.Line}
			all = append(all, to)
		}
	}
	if len(all) == 0 {
		r.problem(Pos{File: path}, "lists no nameserver that CoreDNS would ask")
	}
	return all, true
}

// hostName is what can be looked up: letters, digits, hyphens and underscores
// (RFC 1123 section 2.1, and RFC 8552 for the underscores).
var hostName = pattern(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

// allDigits is a name that no top-level domain ends (RFC 3696 section 2): an
// address with a mistake in it, such as 10.0.0.256.
var allDigits = pattern(`(^|\.)[0-9]+\.?$`)

// resolvable reads HOST or HOST:PORT with %NAME behind (parseAsHostEntry). It is
// false where it is no host name.
func resolvable(to *To, s string) bool {
	name := ""
	if i := strings.LastIndexByte(s, '%'); i >= 0 {
		s, name = s[:i], s[i+1:]
		if colon := strings.LastIndexByte(name, ':'); colon >= 0 {
			s, name = s+name[colon:], name[:colon]
		}
	}
	host, port := s, strconv.Itoa(int(defaultPorts[to.Scheme]))
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	}
	number, err := strconv.ParseUint(port, 10, 16)
	_, valid := dns.IsDomainName(host)
	if err != nil || number == 0 || !valid || !hostName().MatchString(host) || allDigits().MatchString(host) {
		return false
	}
	to.Host = host
	to.Addr = netip.AddrPortFrom(netip.Addr{}, uint16(number))
	if to.Scheme == schemeTLS || to.Scheme == schemeQUIC {
		to.ServerName = name
	}
	if to.Reason == "" {
		to.Reason = notResolved
	}
	return true
}

// filePath is what looks like a file that is on another machine.
var filePath = pattern(`^[\w.-]*(/[\w.-]+)+$`)

func isPrefix(s string) bool {
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// Resolve replaces the upstreams that are known by name by the addresses that
// lookup finds for them, as CoreDNS does when it starts; resolvers are those of
// the stanza, none where the system's are meant. A name for which lookup fails
// stays, with the error for its Reason.
func (f *File) Resolve(lookup func(host string, resolvers []string) ([]netip.Addr, error)) {
	for i := range f.Blocks {
		for j := range f.Blocks[i].Forwards {
			s := &f.Blocks[i].Forwards[j]
			var all []To
			for _, t := range s.To {
				for _, r := range resolve(t, s.Resolver, lookup) {
					all = addTo(all, r)
				}
			}
			s.To = all
		}
	}
}

func resolve(t To, resolvers []string, lookup func(string, []string) ([]netip.Addr, error)) []To {
	if t.Reason != notResolved {
		return []To{t}
	}
	addrs, err := lookup(t.Host, resolvers)
	if err != nil {
		t.Reason = spelling.Printable(err.Error())
		return []To{t}
	}
	if len(addrs) == 0 {
		t.Reason = "no address is known for " + t.Host
		return []To{t}
	}
	var all []To
	t.Reason = ""
	for _, a := range addrs {
		r := t
		r.Addr = netip.AddrPortFrom(a.Unmap().WithZone(""), t.Addr.Port())
		all = append(all, r)
	}
	return all
}
