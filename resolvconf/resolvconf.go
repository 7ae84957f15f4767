// Package resolvconf reads resolv.conf(5) files as their readers do, and says
// where those readers differ. It knows nothing of probing.
//
// Two readers matter. The C library (glibc, resolv/res_init.c) is what every
// program of a host and what kubelet's pods resolve with; CoreDNS's forward
// plugin reads the file with miekg/dns's ClientConfigFromFile and its own
// plugin/pkg/parse. musl is named where it departs from glibc.
package resolvconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
)

// maxNS is how many nameservers the C library asks: MAXNS in <resolv.h>.
const maxNS = 3

// maxSize bounds what Parse reads, in bytes. No real file comes near it.
const maxSize = 1 << 20

// Nameserver is one nameserver line that at least one reader uses.
type Nameserver struct {
	// Addr is the address, IPv4-mapped ones unmapped. Only a link-local
	// address keeps its IPv6 zone: on others no reader heeds it.
	Addr netip.Addr
	Line int // from 1
	// Glibc says that the C library asks it: it takes the first three
	// (MAXNS in <resolv.h>).
	Glibc bool
	// CoreDNS says that CoreDNS's forward plugin, which reads with
	// miekg/dns's ClientConfigFromFile, would forward to it.
	CoreDNS bool
}

// Problem is a line that a reader skips, misreads or stops at.
type Problem struct {
	Line   int
	Reason string // what is wrong and who does what with it; printable
}

// File is what a resolv.conf says.
type File struct {
	// Nameservers are in the order of their lines, duplicates kept. There are
	// none where the file has no nameserver line: the C library then asks the
	// local host, and CoreDNS does not start.
	Nameservers []Nameserver
	Search      []string  // of the last search or domain line that glibc reads
	Options     []string  // of all options lines that glibc reads
	Problems    []Problem // sorted by line, at most one a line
}

// Parse reads a resolv.conf from r. The name is for error texts alone.
//
// What readers skip or misread is no error but a Problem, with these
// exceptions, each an error that begins with the name: a read that fails
// (wrapped); more than 1 MiB; a NUL byte, which no text file holds; nameserver
// lines of which no reader can use a single one; and text in which no line is
// one of a resolv.conf. More nameservers than the C library takes are no
// Problem: they show as Glibc being false.
func Parse(name string, r io.Reader) (File, error) {
	name = printable(name)
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		// An *os.File names itself in its errors, by the path it was opened with.
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return File{}, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxSize {
		return File{}, fmt.Errorf("%s: larger than %d bytes: not a resolv.conf", name, maxSize)
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		line := 1 + bytes.Count(data[:at], []byte("\n"))
		return File{}, fmt.Errorf("%s:%d: NUL byte: not a text file", name, line)
	}

	var p parser
	n := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		n++
		p.line(n, line)
	}
	if len(p.file.Nameservers) == 0 && p.badNameserver.Line > 0 {
		return File{}, fmt.Errorf("%s:%d: no usable nameserver: %s", name, p.badNameserver.Line, p.badNameserver.Reason)
	}
	if !p.keywords && p.unknown.Line > 0 {
		return File{}, fmt.Errorf("%s:%d: not a resolv.conf: %s", name, p.unknown.Line, p.unknown.Reason)
	}
	return p.file, nil
}

// ClusterFirst says whether kubelet wrote the file for a pod whose DNS policy
// is ClusterFirst: its search list then begins with
// <namespace>.svc.<domain> svc.<domain> <domain>
// (generateSearchesForDNSClusterFirst in pkg/kubelet/network/dns), and its
// nameserver is the cluster's DNS service.
func (f File) ClusterFirst() bool {
	if len(f.Search) < 3 {
		return false
	}
	var s [3]string
	for i := range s {
		s[i] = strings.ToLower(strings.TrimSuffix(f.Search[i], "."))
	}
	namespace, svc, _ := strings.Cut(s[0], ".")
	return namespace != "" && s[2] != "" && svc == s[1] && s[1] == "svc."+s[2]
}

// printable is s, quoted where a terminal could choke on it.
func printable(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}
