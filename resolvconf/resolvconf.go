// Package resolvconf reads resolv.conf(5) files as their readers do, and says
// where those readers differ. It knows nothing of probing.
package resolvconf

import "net/netip"

// Nameserver is one nameserver line that at least one reader uses.
type Nameserver struct {
	// Addr is the address, IPv4-mapped ones unmapped, with its IPv6 zone.
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
	Reason string // what is wrong and who does what with it
}

// File is what a resolv.conf says.
type File struct {
	Nameservers []Nameserver // in the order of their lines, duplicates kept
	Search      []string     // of the last search or domain line
	Options     []string     // of all options lines
	Problems    []Problem    // sorted by line
}
