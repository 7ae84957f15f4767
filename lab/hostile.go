package lab

import (
	"context"
	"encoding/binary"
	"net"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// Each sends what every one of the handlers replies, in their order: a forged
// reply and then the true one is Each(WrongID(h), h).
func Each(handlers ...Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		var all Reply
		for _, h := range handlers {
			r := h(ctx, q)
			all.Messages = append(all.Messages, r.Messages...)
			all.HangUp = all.HangUp || r.HangUp
		}
		return all
	}
}

// edited is h with f applied to each of its messages.
func edited(h Handler, f func(*Query, *dns.Msg)) Handler {
	return func(ctx context.Context, q *Query) Reply {
		return h(ctx, q).edit(func(m *dns.Msg) { f(q, m) })
	}
}

// WrongID is h, with another ID than the query's.
func WrongID(h Handler) Handler {
	return edited(h, func(_ *Query, m *dns.Msg) { m.Id ^= 0x5555 })
}

// WrongQuestion is h, as if something else had been asked.
func WrongQuestion(h Handler) Handler {
	return edited(h, func(_ *Query, m *dns.Msg) {
		m.Question = []dns.Question{{Name: "wrong.invalid.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}
	})
}

// Truncate is h, but over UDP the answers are left out and TC is set
// (RFC 2181 section 9).
func Truncate(h Handler) Handler {
	return edited(h, func(q *Query, m *dns.Msg) {
		if q.Transport == plan.UDP {
			m.Truncated, m.Answer, m.Ns = true, nil, nil
		}
	})
}

// Duplicate is h, each message sent twice.
func Duplicate(h Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		r := h(ctx, q)
		var twice [][]byte
		for _, b := range r.Messages {
			twice = append(twice, b, b)
		}
		r.Messages = twice
		return r
	}
}

// FromElsewhere is h, but its UDP replies come from another port than the one
// that was asked, as a forger's would.
func FromElsewhere(h Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		r := h(ctx, q)
		if q.Transport != plan.UDP {
			return r
		}
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(q.From))
		if err != nil {
			return Reply{} // the client is out of reach, and so goes without
		}
		defer c.Close()
		for _, b := range r.Messages {
			if _, err := c.Write(b); err != nil {
				break
			}
		}
		return Reply{}
	}
}

// Echo sends the query back as it is: QR=0.
func Echo() Handler {
	return func(_ context.Context, q *Query) Reply {
		b, err := q.Msg.Pack()
		if err != nil {
			return Reply{}
		}
		return Reply{Messages: [][]byte{b}}
	}
}

// raw replies with a header that bears the query's ID, QR=1, RCODE 0 and the
// count of questions claimed, and with body behind it.
func raw(questions uint16, body ...byte) Handler {
	return func(_ context.Context, q *Query) Reply {
		b := binary.BigEndian.AppendUint16(nil, q.Msg.Id)
		b = binary.BigEndian.AppendUint16(b, 1<<15)
		b = binary.BigEndian.AppendUint16(b, questions)
		b = append(b, 0, 0, 0, 0, 0, 0)
		return Reply{Messages: [][]byte{append(b, body...)}}
	}
}

// CompressionLoop replies with a name that is a compression pointer to itself,
// which a careless reader follows for ever (RFC 9267 section 2).
func CompressionLoop() Handler {
	const self = 12 // the octet behind the header
	return raw(1, 0xc0, self, 0, 1, 0, 1)
}

// Garbage replies with two messages that are none: one too short for a header,
// and a header under the right ID that promises 65535 questions and holds
// noise.
func Garbage() Handler {
	short := func(context.Context, *Query) Reply { return Reply{Messages: [][]byte{{0xff, 0xff, 0xff}}} }
	return Each(short, raw(0xffff, 0xff, 0xff, 0xff, 0xff))
}

// HangUp closes a TCP connection as soon as a query has been read. Over UDP it
// is Silent.
func HangUp() Handler {
	return func(context.Context, *Query) Reply { return Reply{HangUp: true} }
}
