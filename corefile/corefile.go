// Package corefile reads a Corefile as CoreDNS 1.15 would: its server blocks,
// the zones and listeners of each, and what each forwards where. It also knows
// how CoreDNS routes a name among the blocks, and so which forwards of one
// file lead back to the file itself (Graph). It knows nothing of probing.
//
// Lexer and parser are CoreDNS's own, github.com/coredns/caddy/caddyfile. What
// follows the parser (keys, bind, forward, grpc, loop, the overlap of blocks)
// keeps to core/dnsserver/register.go, plugin/normalize.go and the setup.go of
// each plugin; the arguments of other plugins are not checked. A file that
// Parse accepts can still fail to start: names that do not resolve, files and
// certificates that are missing, ports that are held.
package corefile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/coredns/caddy/caddyfile"

	"github.com/dnsloop/dnsloop/spelling"
)

// Pos is a place in a Corefile, or in a file that it imports or forwards to.
type Pos struct {
	File string // as the user named it; imported files by absolute path
	Line int    // from 1; 0 where the file as a whole is meant
}

// String is the place as messages begin with it: Corefile:7.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Error is why CoreDNS would not start with the file.
type Error struct {
	Pos
	Msg string
}

func (e *Error) Error() string {
	return Pos{spelling.Printable(e.File), e.Line}.String() + ": " + spelling.Printable(e.Msg) + " (CoreDNS would not start)"
}

// ErrLimit says that a file is refused for its size, or for that of what it
// imports, though CoreDNS might read it.
var ErrLimit = errors.New("more than is read of a configuration")

// Problem is something that CoreDNS passes over, or that is not known here.
type Problem struct {
	Pos
	Reason string // printable
}

// File is what a Corefile says.
type File struct {
	Name string
	// Blocks are the server blocks in their order. A Corefile without any
	// stands for the block that CoreDNS then serves: .:53 with whoami and log.
	Blocks   []Block
	Problems []Problem // in the order found

	routes routes
}

// Block is one server block.
type Block struct {
	Pos                  // of its first key
	Keys      []string   // as written, environment filled in
	Endpoints []Endpoint // of every key; reverse networks may give several
	// Bind lists what bind names, as written: addresses, interface names,
	// placeholders. It is empty where the block serves on every address.
	Bind []string
	// Listeners are the sockets of the block, each once. Every address of both
	// families is 0.0.0.0 and :: (Go binds both for either of them). What a
	// placeholder or an unknown interface stands for is missing.
	Listeners []Listener
	Forwards  []Forward
	// Cert and Key are the files of the tls plugin, empty without them (and
	// where certificates come by ACME).
	Cert, Key string
	Plugins   []string // in the order in which CoreDNS asks them

	hosts  []string // what blocks are compared by; one empty host is every address
	takers []taker  // plugins that may keep names from the forwards
	sieve  sieve    // of the forwards
	view   *Pos     // of the view that chooses the block's queries, if any
}

// Endpoint is a zone that a block serves, by one protocol on one port.
type Endpoint struct {
	Zone   string // fully qualified, lower case
	Scheme string // dns, tls, https, https3, grpc, quic
	Port   uint16
}

// Listener is a socket that a block serves on: UDP and TCP for dns, TCP for
// tls, https and grpc, UDP for quic and https3.
type Listener struct {
	Scheme string
	Addr   netip.AddrPort
}

// Forward is one stanza of forward, or of another plugin that asks upstreams.
type Forward struct {
	Pos
	Plugin string   // forward, grpc, fanout, alternate, dnsredir
	From   string   // fully qualified, lower case
	Except []string // likewise
	To     []To     // duplicates left out, as CoreDNS does
	// Zones are those under which the stanza gets names that no other block,
	// stanza or plugin takes first: the zones to probe under.
	Zones               []string
	ForceTCP, PreferUDP bool
	Policy              string   // random, round_robin, sequential
	TLSServerName       string   // for all of To
	TLSFiles            []string // arguments of tls: CA; or certificate and key; or all three
	Resolver            []string // address or address:port, who resolves host names
	Next                bool     // some answers go to the block's next forward
}

// Env is the world that a Corefile refers to. A nil function knows nothing.
// {$VAR} and {%VAR%} are filled in from the process's own environment: the
// parser leaves no choice.
type Env struct {
	// ReadFile returns a file that is imported or forwarded to; an error that
	// is fs.ErrNotExist says that there is none. Relative names are meant from
	// the working directory.
	ReadFile func(path string) ([]byte, error)
	// Glob returns the files that match an absolute pattern, sorted.
	Glob func(pattern string) ([]string, error)
	// Interface returns the addresses of an interface of the host that will
	// serve, link-local ones with their zone, and whether it exists. Where it
	// is nil, every name that could be an interface's is taken on trust.
	Interface func(name string) ([]netip.Addr, bool)
}

// Parse reads a Corefile. The name is where it lies: imports are relative to
// it, and positions bear it. The error is an *Error where CoreDNS would not
// start, and wraps ErrLimit where the file is refused for its size.
func Parse(name string, data []byte, env Env) (File, error) {
	f := File{Name: name}
	tokens, err := expand(name, data, env, &f.Problems)
	if err != nil {
		return File{}, err
	}
	blocks, err := parse(tokens)
	if err != nil {
		return File{}, err
	}
	endpoints := 0
	for _, b := range blocks {
		r := reader{env: env, problems: &f.Problems, tokens: b.Tokens, heard: map[Listener]bool{}}
		if r.block.Pos, r.block.Keys = b.pos, b.Keys; r.block.Pos.File == "" {
			r.block.Pos.File = name
		}
		if err := r.read(); err != nil {
			return File{}, err
		}
		endpoints += len(r.block.Endpoints)
		if err := r.limit(endpoints, maxEndpoints, "zones in all blocks"); err != nil {
			return File{}, err
		}
		f.Blocks = append(f.Blocks, r.block)
	}
	if len(f.Blocks) == 0 {
		f.Blocks = []Block{emptyFile(name)}
	}
	if err := checkOverlap(f.Blocks); err != nil {
		return File{}, err
	}
	if err := f.findZones(); err != nil {
		return File{}, err
	}
	return f, nil
}

// emptyFile is what CoreDNS serves without any server block
// (core/dnsserver/register.go, DefaultInput).
func emptyFile(name string) Block {
	e := Endpoint{Zone: ".", Scheme: schemeDNS, Port: 53}
	return Block{
		Pos: Pos{File: name}, Keys: []string{".:53"}, Endpoints: []Endpoint{e},
		Listeners: wildcard(e.Scheme, e.Port), Plugins: []string{"log", "whoami"},
	}
}

// reader turns the tokens of one server block into a Block.
type reader struct {
	env      Env
	problems *[]Problem
	tokens   map[string][]caddyfile.Token
	block    Block
	heard    map[Listener]bool
	root     string // of the root plugin: where certificates lie
}

func (r *reader) read() error {
	if err := r.keys(); err != nil {
		return err
	}
	steps := []struct {
		directive string
		read      func(*walker) error
	}{
		{"root", r.readRoot}, {"bind", r.bind}, {"tls", r.tls}, {"loop", r.loop}, {"view", r.readView},
		{"forward", r.forward}, {"grpc", r.grpc}, {"fanout", r.fanout}, {"alternate", r.alternate}, {"dnsredir", r.dnsredir},
	}
	for _, s := range steps {
		if tokens := r.tokens[s.directive]; tokens != nil {
			if err := s.read(walk(tokens)); err != nil {
				return err
			}
		}
	}
	if r.tokens["bind"] == nil {
		r.block.hosts = []string{""}
		for _, e := range r.block.Endpoints {
			r.listen(wildcard(e.Scheme, e.Port)...)
		}
	}
	r.block.Plugins = inOrder(r.tokens)
	r.block.takers = takers(r.tokens, r.block.Endpoints)
	return nil
}

func (r *reader) problem(at Pos, format string, args ...any) {
	*r.problems = append(*r.problems, Problem{Pos: at, Reason: spelling.Printable(fmt.Sprintf(format, args...))})
}

// listen adds the listeners that the block does not have yet.
func (r *reader) listen(ls ...Listener) {
	for _, l := range ls {
		if !r.heard[l] {
			r.heard[l] = true
			r.block.Listeners = append(r.block.Listeners, l)
		}
	}
}

// limit is an error where a block has more of something than is read.
func (r *reader) limit(n, most int, of string) error {
	if n > most {
		return fmt.Errorf("%s: %w: over %d %s", r.block.Pos, ErrLimit, most, of)
	}
	return nil
}
