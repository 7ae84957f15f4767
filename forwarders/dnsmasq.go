package forwarders

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/resolvconf"
)

// systemResolvConf is what dnsmasq reads its servers from unless told otherwise.
const systemResolvConf = "/etc/resolv.conf"

// dnsmasq gathers what the lines of its files say.
type dnsmasq struct {
	*reader
	name        string          // of the first file
	seen        map[string]bool // files that are read once, however often named
	told        map[Pos]bool    // lines of servers that are skipped
	choices     map[string]int  // by the zones of a line
	servers     []server
	serversFile *place
	resolvFiles []place
	noResolv    bool

	port      uint16
	noDNS     bool
	bind      bool // to each address, not to the wildcard
	localhost bool // --local-service=host
	addrs     []netip.Addr
	names     []place // of interfaces
	except    []place // likewise
}

// place is a word with where it stands.
type place struct {
	text string
	Pos
}

func parseDnsmasq(r *reader, name string, data []byte) error {
	d := &dnsmasq{
		reader: r, name: name, port: 53,
		seen: map[string]bool{filepath.Clean(name): true}, told: map[Pos]bool{}, choices: map[string]int{},
	}
	if err := d.file(name, data, 0, false); err != nil {
		return err
	}
	if f := d.serversFile; f != nil {
		data, err := d.read(f.Pos, f.text)
		switch {
		case errors.Is(err, ErrLimit):
			return err
		case err != nil: // dnsmasq starts all the same, and reads it later
			d.unseen(f.Pos, "%s cannot be read: the servers in it are not known", f.text)
		default:
			if err := d.file(f.text, data, 1, true); err != nil {
				return err
			}
		}
	}
	if d.noDNS {
		return nil
	}
	d.listeners()
	return d.forwards()
}

// file reads the lines of a file; serversOnly says that it is a --servers-file.
func (d *dnsmasq) file(name string, data []byte, depth int, serversOnly bool) error {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		at := Pos{name, n}
		text, ok := stripLine(string(line))
		if !ok {
			return errorf(at, `expected a closing "`)
		}
		key, value, given := strings.Cut(text, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if serversOnly && key != "server" && key != "rev-server" {
			continue // dnsmasq logs it, and goes on
		}
		if err := d.option(place{value, at}, key, given, depth); err != nil {
			return err
		}
	}
	return nil
}

// stripLine takes the comment and the quotes off a line, as read_file in option.c
// does; it is false where a quote is not closed. A # is a comment only behind a
// blank, and within quotes never.
func stripLine(line string) (string, bool) {
	var b strings.Builder
	quoted, blank := false, true
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"':
			quoted = !quoted
			continue
		case quoted && c == '\\' && i+1 < len(line) && strings.IndexByte(`"\`, line[i+1]) >= 0:
			i++
			c = line[i]
		case !quoted && blank && c == '#':
			return strings.TrimSpace(b.String()), true
		}
		blank = !quoted && strings.IndexByte(" \t\r\n\v\f", c) >= 0
		b.WriteByte(c)
	}
	return strings.TrimSpace(b.String()), !quoted
}

// withValue are the options read here that are nothing without a value, and
// withoutValue those that take none.
var (
	withValue    = []string{"server", "local", "rev-server", "port", "listen-address"}
	withoutValue = []string{"no-resolv", "bind-interfaces", "bind-dynamic"}
)

func (d *dnsmasq) option(v place, key string, given bool, depth int) error {
	switch {
	case !given && slices.Contains(withValue, key):
		return errorf(v.Pos, "expected %s=VALUE", key)
	case given && slices.Contains(withoutValue, key):
		return errorf(v.Pos, "expected %s alone, got the value %q", key, v.text)
	}
	switch key {
	case "server", "local":
		return d.server(v)
	case "rev-server":
		return d.revServer(v)
	case "port":
		return d.setPort(v)
	case "no-resolv":
		d.noResolv = true
	case "resolv-file":
		if v.text != "" {
			d.resolvFiles = append(d.resolvFiles, v)
		}
	case "servers-file":
		d.serversFile = &v
	case "bind-interfaces", "bind-dynamic":
		d.bind = true
	case "local-service":
		d.localhost = v.text == "host"
	case "listen-address":
		return d.listenAddress(v)
	case "interface":
		d.names = append(d.names, list(v)...)
	case "except-interface":
		d.except = append(d.except, list(v)...)
	case "conf-file":
		return d.confFile(v.Pos, v.text, depth)
	case "conf-dir":
		return d.confDir(v, depth)
	case "conf-script":
		d.unseen(v.Pos, "conf-script: what %s writes is not known", v.text)
	}
	return nil
}

// list splits a value at its commas.
func list(v place) []place {
	var out []place
	for word := range strings.SplitSeq(v.text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, place{word, v.Pos})
		}
	}
	return out
}

func (d *dnsmasq) setPort(v place) error {
	if d.noDNS = strings.Trim(v.text, "0") == ""; d.noDNS {
		return nil
	}
	var ok bool
	if d.port, ok = portOf(v.text); !ok {
		return errorf(v.Pos, "port: expected a number up to 65535, got %q", v.text)
	}
	return nil
}

func (d *dnsmasq) listenAddress(v place) error {
	for _, word := range list(v) {
		a, ok := addrOf(word.text)
		if !ok {
			return errorf(v.Pos, "listen-address: expected addresses, got %q", word.text)
		}
		d.addrs = append(d.addrs, a)
	}
	return nil
}

// confFile reads a file once, however often it is named.
func (d *dnsmasq) confFile(at Pos, path string, depth int) error {
	if path == "" || d.seen[filepath.Clean(path)] {
		return nil
	}
	d.seen[filepath.Clean(path)] = true
	if err := deeper(at, depth, "files"); err != nil {
		return err
	}
	data, err := d.mustRead(at, path)
	if err != nil {
		return err
	}
	return d.file(path, data, depth+1, false)
}

// confDir reads the files of a directory: DIR[,SUFFIX...] leaves out those that
// end in a SUFFIX, and takes those alone that end in one after a *.
func (d *dnsmasq) confDir(v place, depth int) error {
	words := list(v)
	if len(words) == 0 {
		return nil
	}
	var names []string
	err := fs.ErrNotExist
	if d.env.ReadDir != nil {
		names, err = d.env.ReadDir(words[0].text)
	}
	if err != nil {
		return errorf(v.Pos, "conf-dir: expected a directory that can be read, got %s", words[0].text)
	}
	var take, leave []string
	for _, w := range words[1:] {
		if suffix, ok := strings.CutPrefix(w.text, "*"); ok {
			take = append(take, suffix)
		} else {
			leave = append(leave, w.text)
		}
	}
	for _, name := range names {
		ends := func(suffix string) bool { return len(name) > len(suffix) && strings.HasSuffix(name, suffix) }
		backup := name[0] == '.' || strings.HasSuffix(name, "~") || name[0] == '#' && strings.HasSuffix(name, "#")
		if backup || len(take) > 0 && !slices.ContainsFunc(take, ends) || slices.ContainsFunc(leave, ends) {
			continue
		}
		if err := d.confFile(v.Pos, filepath.Join(words[0].text, name), depth); err != nil {
			return err
		}
	}
	return nil
}

// standard are the servers for names that no other server line claims.
func (d *dnsmasq) standard() ([]Upstream, error) {
	var all []Upstream
	for _, s := range d.servers {
		if s.zone == "." && !s.standard {
			all = append(all, s.Upstream)
		}
	}
	if d.noResolv {
		return all, nil
	}
	files := d.resolvFiles
	if len(files) == 0 {
		files = []place{{systemResolvConf, Pos{File: d.name}}}
	}
	for _, f := range files {
		more, err := d.resolvConf(f)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// resolvConf reads the nameservers of a file. dnsmasq takes them all, and passes
// over the lines that name none. Of several files it uses the one that changed
// last, so that each is used some day.
func (d *dnsmasq) resolvConf(f place) ([]Upstream, error) {
	data, err := d.read(f.Pos, f.text)
	if errors.Is(err, ErrLimit) {
		return nil, err
	}
	var conf resolvconf.File
	if err == nil {
		conf, err = resolvconf.Parse(f.text, bytes.NewReader(data))
		if err != nil {
			d.problem(f.Pos, "%v", err)
			return nil, nil
		}
	} else {
		d.unseen(f.Pos, "%s cannot be read: the nameservers in it are not known", f.text)
	}
	var all []Upstream
	for _, ns := range conf.Nameservers {
		if ns.CoreDNS { // which reads addresses as strictly as dnsmasq does
			all = append(all, Upstream{
				Pos: Pos{f.text, ns.Line}, Text: ns.Addr.String(), Addr: netip.AddrPortFrom(ns.Addr, 53), Via: f.Pos,
			})
		}
	}
	return all, nil
}

// forwards gathers the servers of each zone.
func (d *dnsmasq) forwards() error {
	standard, err := d.standard()
	if err != nil {
		return err
	}
	standard = d.asked(standard)
	zones := []string{"."}
	to := map[string][]Upstream{".": standard}
	n := len(standard)
	for _, s := range d.servers {
		if s.zone == "." {
			continue
		}
		if _, ok := to[s.zone]; !ok {
			zones = append(zones, s.zone)
		}
		more := standard
		if !s.standard {
			more = d.asked([]Upstream{s.Upstream})
		}
		to[s.zone] = append(to[s.zone], more...)
		n += len(more)
		if err := d.limit(s.Pos, n); err != nil {
			return err
		}
	}
	for _, zone := range zones {
		if err := d.forward(Pos{File: d.name}, zone, to[zone]); err != nil {
			return err
		}
	}
	return nil
}

// asked are the servers that dnsmasq would ask. The others are told of.
func (d *dnsmasq) asked(us []Upstream) []Upstream {
	var out []Upstream
	for _, u := range us {
		switch {
		case !d.skips(u.Addr):
			out = append(out, u)
		case !d.told[u.Pos]: // a line may name many zones
			d.told[u.Pos] = true
			d.problem(u.Pos, "dnsmasq skips %s: it takes that for an address of its own", u.Addr)
		}
	}
	return out
}
