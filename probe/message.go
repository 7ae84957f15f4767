package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"
)

// Flags of a message's header: RFC 1035 section 4.1.1, RFC 2535 section 6.1.
const (
	flagQR  = 1 << 15
	flagAA  = 1 << 10
	flagTC  = 1 << 9
	flagRD  = 1 << 8
	flagRA  = 1 << 7
	flagCD  = 1 << 4
	opcodes = 0xf << 11

	headerLen  = 12
	maxNameLen = 255
)

// question is the first question of a message, as it stands on the wire.
type question struct {
	name  []byte // labels with their lengths, the root label last
	qtype uint16
	class uint16
	end   int // offset of what follows
}

// parseQuestion reads the only question of a message. It is false for whatever
// is no message with exactly one uncompressed question.
func parseQuestion(msg []byte) (q question, ok bool) {
	if len(msg) < headerLen || binary.BigEndian.Uint16(msg[4:]) != 1 {
		return q, false
	}
	at := headerLen
	for {
		if at >= len(msg) || at-headerLen >= maxNameLen {
			return q, false
		}
		n := int(msg[at])
		at++
		if n == 0 {
			break
		}
		if n > 63 { // a compression pointer has nothing to point at yet
			return q, false
		}
		at += n
	}
	if at+4 > len(msg) || at-headerLen > maxNameLen {
		return q, false
	}
	return question{
		name:  msg[headerLen:at],
		qtype: binary.BigEndian.Uint16(msg[at:]),
		class: binary.BigEndian.Uint16(msg[at+2:]),
		end:   at + 4,
	}, true
}

// String is the question as people read it: "HINFO name.".
func (q question) String() string {
	name, _, err := dns.UnpackDomainName(q.name, 0)
	if err != nil {
		name = "?"
	}
	return typeName(q.qtype) + " " + name
}

func typeName(t uint16) string { return dns.Type(t).String() }

// appendQuery packs a query for one probe: RD=1, since forwarders answer
// RD=0 themselves, and CD=1, since a validating upstream would otherwise
// refuse to forward or withhold what came of it.
func appendQuery(b []byte, p *probe) []byte {
	b = binary.BigEndian.AppendUint16(b, p.id)
	b = binary.BigEndian.AppendUint16(b, flagRD|flagCD)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
	return p.appendQuestion(b)
}

func (p *probe) appendQuestion(b []byte) []byte {
	b = p.inner.twin().append(b, p.has(letters))
	b = p.inner.append(b, p.has(letters))
	b = append(b, p.zone()...)
	b = binary.BigEndian.AppendUint16(b, p.qtype)
	return binary.BigEndian.AppendUint16(b, dns.ClassINET)
}

// question is the probe's question as people read it.
func (p *probe) question() string {
	var buf [maxNameLen + 4]byte
	b := p.appendQuestion(buf[:0])
	return question{name: b[:len(b)-4], qtype: p.qtype}.String()
}

// packZone is the name in wire form of a zone that the plan has checked.
func packZone(zone string) string {
	var b [maxNameLen + 1]byte
	n, err := dns.PackDomainName(zone, b[:], 0, nil, false)
	if err != nil {
		panic(fmt.Sprintf("zone %q was not checked: %v", zone, err))
	}
	return string(b[:n])
}

// checkReply validates a message with question q against the probe that it
// should answer: QR, ID and the question itself, which the library's client
// does not look at.
func checkReply(msg []byte, q question, p *probe) (rcode uint8, ok bool) {
	flags := binary.BigEndian.Uint16(msg[2:])
	var buf [maxNameLen + 4]byte
	want := p.appendQuestion(buf[:0])
	got := msg[headerLen:q.end]
	n := len(want) - 4 // type and class are compared as they are
	return uint8(flags & 0xf), flags&flagQR != 0 && binary.BigEndian.Uint16(msg) == p.id && len(got) == len(want) &&
		bytes.EqualFold(got[:n], want[:n]) && bytes.Equal(got[n:], want[n:])
}

// usable reports whether an rcode ends the question: the upstream answered it.
func usable(rcode uint8) bool {
	return rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError
}

// rcodeName is an rcode as RFC 9499 and dig write it.
func rcodeName(rcode uint8) string {
	if s, ok := dns.RcodeToString[int(rcode)]; ok {
		return s
	}
	return "an unknown rcode"
}
