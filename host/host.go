// Package host gathers facts about this machine: its addresses, who holds a
// port, which files name the real upstreams. It opens no socket: on Linux all
// comes from /proc and /run, so that a run that promises no socket keeps it.
package host

import "net/netip"

// Holder is a socket of this host that is bound to an address, and who owns it.
type Holder struct {
	Addr      netip.AddrPort // the address as bound: 0.0.0.0 and :: are wildcards
	Transport string         // "udp" or "tcp"
	Process   string         // "systemd-resolve"; empty where /proc does not tell
	PID       int            // 0 where unknown
}

// Candidate is an upstream address that a file of this host names.
type Candidate struct {
	Addr netip.Addr
	File string
	Line int
}
