// Package forwarders reads what dnsmasq, unbound and BIND would forward to, and
// where they would listen, from their configuration files. It knows nothing of
// probing.
//
// Each reader keeps to its server's own: dnsmasq(8) and option.c of 2.90,
// unbound.conf(5) and configlexer.lex of 1.17, named.conf(5) and isccfg of
// BIND 9.18. What has no bearing on forwarding is passed over, so a file that is
// accepted here may still keep its server from starting; what has is read as
// strictly as the server does.
package forwarders

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/spelling"
)

// Format is whose configuration a file is.
type Format string

// The formats.
const (
	Dnsmasq Format = "dnsmasq"
	Unbound Format = "unbound"
	Named   Format = "named"
)

// Pos is a place in a file.
type Pos struct {
	File string // as the user, or the file that includes it, names it
	Line int    // from 1; 0 where the file as a whole is meant
}

// String is the place as messages begin with it: named.conf:7.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Error is why the server would not start with the file.
type Error struct {
	Pos
	Msg string
}

func (e *Error) Error() string {
	return Pos{spelling.Printable(e.File), e.Line}.String() + ": " + spelling.Printable(e.Msg)
}

func errorf(at Pos, format string, args ...any) error {
	return &Error{at, fmt.Sprintf(format, args...)}
}

// ErrLimit says that a file is refused for its size, or for that of what it
// includes, though its server might read it.
var ErrLimit = errors.New("more than is read of a configuration")

// Bounds of what is read: files are not to be trusted.
const (
	maxSize     = 4 << 20 // bytes of all files together
	maxFiles    = 1000    // read, and in a directory or of one pattern
	maxDepth    = 20      // of files that include each other, and of braces
	maxForwards = 32768   // upstreams of all zones together
	maxParts    = 100_000 // statements of a named.conf
	maxViews    = 256     // of a named.conf
	maxSteps    = 1 << 20 // through lists that name each other
)

// Problem is something that the server passes over, or that is not known here.
type Problem struct {
	Pos
	Reason string // printable
	// Unseen says that upstreams may hide behind it, of which nothing is known.
	Unseen bool
}

// Upstream is a server that queries are forwarded to.
type Upstream struct {
	Pos
	Text string // the words of the line that name it, as written
	// Addr is where it is asked. The address is invalid where Host is known alone.
	Addr netip.AddrPort
	Host string
	// Over is "tcp" or "udp" where it is asked over that alone, "tls" where over
	// TLS: then Name is what its certificate is verified against, empty for the
	// address, and CA the file that vouches, empty for the system's.
	Over     string
	Name, CA string
	// Via is the place that names the file of Pos, a resolv.conf; zero where the
	// configuration names the upstream itself.
	Via Pos
	// Choice is the same number for all that the configuration lists beside it:
	// the server chooses among them for the same names.
	Choice int
	// Bare says that an address without a port in its place is asked at port 53.
	Bare bool
}

// Forward is a zone whose names are forwarded.
type Forward struct {
	Zone string // fully qualified, lower case
	To   []Upstream
}

// Listener is an address that the server answers at: over UDP and TCP, or, where
// Secure is "tls" or "https", over that alone, with the files of its certificate
// and key.
type Listener struct {
	Addr      netip.AddrPort
	Secure    string
	Cert, Key string
}

// Config is what a configuration says.
type Config struct {
	Format    Format
	Listeners []Listener // each once
	Forwards  []Forward  // in the order of the files, each zone and view once
	Problems  []Problem
	Views     []View // of BIND, in their order; none where all clients are treated alike
}

// Env is the world that a configuration refers to.
type Env struct {
	// ReadFile returns a file; an error that is fs.ErrNotExist says that there is
	// none. Relative names are meant from the working directory, as the servers
	// themselves have it.
	ReadFile func(path string) ([]byte, error)
	// Glob returns the files that match a pattern, sorted.
	Glob func(pattern string) ([]string, error)
	// ReadDir returns the names of a directory's regular files, sorted.
	ReadDir func(path string) ([]string, error)
	// Interface returns the addresses of an interface of the host that will
	// serve, and whether it exists. Where it is nil, no interface is known.
	Interface func(name string) ([]netip.Addr, bool)
	// Own are the addresses of the host that will serve; empty: not known.
	Own []netip.Addr
}

// Parse reads a configuration. The name is where it lies, for positions. The
// error is an *Error where the server would not start, and wraps ErrLimit where
// the file is refused for its size.
func Parse(f Format, name string, data []byte, env Env) (Config, error) {
	r := &reader{env: env, config: Config{Format: f}}
	err := r.count(Pos{File: name}, data)
	switch {
	case err != nil:
	case f == Dnsmasq:
		err = parseDnsmasq(r, name, data)
	case f == Unbound:
		err = parseUnbound(r, name, data)
	default:
		err = parseNamed(r, name, data)
	}
	if err != nil {
		return Config{}, err
	}
	return r.config, nil
}

// Resolve replaces the upstreams that are known by name by the addresses that
// lookup finds for them. A name for which it fails stays.
func (c *Config) Resolve(lookup func(host string) ([]netip.Addr, error)) {
	for i := range c.Forwards {
		f := &c.Forwards[i]
		var all []Upstream
		for _, u := range f.To {
			var addrs []netip.Addr
			if u.Host != "" {
				addrs, _ = lookup(u.Host) // whoever asks by name finds why not
			}
			if len(addrs) == 0 {
				all = append(all, u)
			}
			for _, a := range addrs {
				found := u
				found.Addr = netip.AddrPortFrom(a.Unmap(), u.Addr.Port())
				all = append(all, found)
			}
		}
		f.To = all
	}
}

// reader is what the three formats share.
type reader struct {
	env    Env
	config Config
	files  int
	size   int
	to     int // upstreams
}

func (r *reader) problem(at Pos, format string, args ...any) {
	r.config.Problems = append(r.config.Problems, Problem{Pos: at, Reason: spelling.Printable(fmt.Sprintf(format, args...))})
}

// unseen is a problem behind which upstreams may hide.
func (r *reader) unseen(at Pos, format string, args ...any) {
	r.problem(at, format, args...)
	r.config.Problems[len(r.config.Problems)-1].Unseen = true
}

// forward adds upstreams of a zone.
func (r *reader) forward(at Pos, zone string, to []Upstream) error {
	r.to += len(to)
	if len(to) > 0 {
		r.config.Forwards = append(r.config.Forwards, Forward{zone, to})
	}
	return r.limit(at, r.to)
}

// limit is an error where there are more upstreams than can be asked.
func (r *reader) limit(at Pos, upstreams int) error {
	if upstreams > maxForwards {
		return fmt.Errorf("%s: %w: over %d upstreams in all zones", at, ErrLimit, maxForwards)
	}
	return nil
}

// zoneOf is a domain name as Forward has it. A probe puts two labels in front,
// for which there has to be room (RFC 1035 section 2.3.4).
func zoneOf(s string) (string, bool) {
	if _, ok := dns.IsDomainName(s); !ok || s == "" || strings.ContainsAny(s, " \t\\\"") {
		return "", false
	}
	zone := spelling.Lower(dns.Fqdn(s))
	return zone, len(zone)+1 <= 255-2*20
}

// addrOf reads an address. The zone of a link-local one stays, IPv4-mapped
// addresses are unmapped.
func addrOf(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, false
	}
	if a = a.Unmap(); !a.IsLinkLocalUnicast() {
		a = a.WithZone("")
	}
	return a, true
}

// portOf reads a port that can be asked or served at.
func portOf(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

// isHost reports whether a word can be looked up. What ends in digits alone is
// an address with a mistake in it (RFC 3696 section 2).
func isHost(s string) bool {
	if _, ok := dns.IsDomainName(s); !ok || s == "" {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("-._", rune(c)) {
			return false
		}
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
