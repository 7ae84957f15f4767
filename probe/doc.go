// Package probe stands in for a DNS server that is about to start: it listens
// where the server will listen, asks each upstream under fresh names, and
// counts which of them come home. It is the only package that opens sockets.
// It does not judge: verdicts are made elsewhere from its results.
package probe
