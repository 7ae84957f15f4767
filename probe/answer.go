package probe

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// kind is what the stand-in takes a question for.
type kind uint8

const (
	ours    kind = iota // holds a label of this run
	health              // what health checks and validators ask of a forwarder
	foreign             // anything else
)

// hinfo is the answer to a HINFO question behind the question's own name:
// a compression pointer, type, class, TTL 0, and CPU and OS strings.
var hinfo = []byte("\xc0\x0c\x00\x0d\x00\x01\x00\x00\x00\x00\x00\x09\x07dnsloop\x00")

// optRR is an empty OPT record (RFC 6891) with a payload size of 1232 octets.
var optRR = []byte{0, 0, 41, 1232 >> 8, 1232 & 0xff, 0, 0, 0, 0, 0, 0}

// appendAnswer answers a query. The run's own names get NOERROR at once, with a
// HINFO record of TTL 0 where that was asked and with no data otherwise: an
// error or silence would make most forwarders ask again, and NXDOMAIN sets
// off fall-backs. Health checks get NOERROR, so that an upstream which watches
// its forwarders counts this one alive. No answer holds an SOA record, so
// none is cached (RFC 2308 section 5). All else is REFUSED, in a reply no larger
// than the query.
func appendAnswer(b, query []byte, q question, k kind) []byte {
	flags := binary.BigEndian.Uint16(query[2:])
	out := flags&(opcodes|flagRD|flagCD) | flagQR
	answers := 0
	switch {
	case k == foreign || flags&opcodes != 0 || q.class != dns.ClassINET:
		out |= dns.RcodeRefused
	case flags&flagRD == 0:
		out |= flagAA // a resolver that iterates takes us for a name server
	default:
		out |= flagRA
	}
	if out&0xf == 0 && k == ours && q.qtype == dns.TypeHINFO {
		answers = 1
	}
	edns := hasOPT(query, q)

	b = append(b, query[0], query[1])
	b = binary.BigEndian.AppendUint16(b, out)
	b = append(b, 0, 1, 0, byte(answers), 0, 0, 0, 0)
	b = append(b, query[headerLen:q.end]...)
	if answers == 1 {
		b = append(b, hinfo...)
	}
	if edns {
		b[11] = 1
		b = append(b, optRR...)
	}
	return b
}

// hasOPT reports whether the query's first additional record is an OPT: a
// reply without one would have us remembered as a server without EDNS.
func hasOPT(query []byte, q question) bool {
	counts := query[6:12] // answers, authorities, additionals
	rest := query[q.end:]
	return bytes.Equal(counts[:4], []byte{0, 0, 0, 0}) && counts[5] > 0 &&
		len(rest) >= len(optRR) && rest[0] == 0 && binary.BigEndian.Uint16(rest[1:]) == dns.TypeOPT
}

var rootServers = []byte("\x0croot-servers\x03net\x00")

// parents are the names right above those of the root's probes.
var parents = func() [][]byte {
	names := [][]byte{[]byte(rootZone)}
	for _, zone := range plan.OptOutZones {
		names = append(names, []byte(packZone(zone)))
	}
	return names
}()

// isHealthCheck reports whether a question is one that forwarders are watched
// with, or that a probe brings along: anything about the root (CoreDNS and
// Unbound ask ". NS", validators ". DNSKEY") or a zone that its probes go under
// ("com. DS"), the addresses of the root servers (dnsdist asks
// "a.root-servers.net A"), key tags (RFC 8145: "_ta-4f66. NULL").
func isHealthCheck(q question) bool {
	name := q.name
	if slices.ContainsFunc(parents, func(p []byte) bool { return bytes.EqualFold(p, name) }) {
		return true
	}
	first := name[1 : 1+name[0]]
	rest := name[1+name[0]:]
	if len(rest) == 1 && bytes.HasPrefix(bytes.ToLower(first), []byte("_ta-")) {
		return true
	}
	return bytes.EqualFold(rest, rootServers)
}
