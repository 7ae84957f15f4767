package lab

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// A Query is one question as it arrived. It holds exactly one, and handlers
// share it: they copy what they change.
type Query struct {
	Msg       *dns.Msg
	Transport plan.Transport // over which it came
	From      netip.AddrPort
}

// Name is the name asked for, fully qualified, in the case it came in.
func (q Query) Name() string { return q.Msg.Question[0].Name }

// Type is the type asked for.
func (q Query) Type() uint16 { return q.Msg.Question[0].Qtype }

// asking is the same query for another name and type.
func (q Query) asking(name string, qtype uint16) *Query {
	m := *q.Msg
	m.Question = []dns.Question{{Name: name, Qtype: qtype, Qclass: q.Msg.Question[0].Qclass}}
	q.Msg = &m
	return &q
}

// A Reply is what a server does about a query. The zero Reply is silence.
type Reply struct {
	// Messages are sent in this order, over TCP each with its length. They
	// need not be DNS messages. Over HTTPS only the first is sent.
	Messages [][]byte
	// HangUp closes the connection afterwards; over UDP there is none.
	HangUp bool
}

// edit is the reply with f applied to its messages; what is no DNS message
// stays as it is.
func (r Reply) edit(f func(*dns.Msg)) Reply {
	edited := make([][]byte, len(r.Messages))
	for i, b := range r.Messages {
		edited[i] = b
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			continue
		}
		f(m)
		if p, err := m.Pack(); err == nil {
			edited[i] = p
		}
	}
	r.Messages = edited
	return r
}

// A Handler answers one query. It may be called many times at once, and may
// take its time: UDP queries do not wait for each other, those of one TCP
// connection do. It returns soon after ctx is done, which is when the server
// closes.
type Handler func(ctx context.Context, q *Query) Reply

// Answer answers everything with rcode, 0 to 15, and no records: NODATA for
// NOERROR.
func Answer(rcode int) Handler {
	return func(_ context.Context, q *Query) Reply { return answer(q, rcode) }
}

func answer(q *Query, rcode int) Reply {
	m := new(dns.Msg).SetRcode(q.Msg, rcode)
	m.RecursionAvailable = true
	if o := q.Msg.IsEdns0(); o != nil { // RFC 6891 section 6.1.1: EDNS begets EDNS
		m.SetEdns0(udpSize, o.Do())
	}
	b, err := m.Pack()
	if err != nil {
		return Reply{} // a name that can be read but not written again
	}
	return Reply{Messages: [][]byte{b}}
}

// Silent reads and never answers.
func Silent() Handler {
	return func(context.Context, *Query) Reply { return Reply{} }
}

// ByZone asks the handler of the longest zone that holds the name, and refuses
// names that no zone holds. Zones may be written in any case, with or without
// the final dot.
func ByZone(zones map[string]Handler) Handler {
	canonical := make(map[string]Handler, len(zones))
	for zone, h := range zones {
		canonical[dns.CanonicalName(zone)] = h
	}
	return func(ctx context.Context, q *Query) Reply {
		name := dns.CanonicalName(q.Name())
		for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
			if h, ok := canonical[name[off:]]; ok {
				return h(ctx, q)
			}
		}
		if h, ok := canonical["."]; ok {
			return h(ctx, q)
		}
		return answer(q, dns.RcodeRefused)
	}
}

// ByType asks the handler of the query's type, and otherwise for the rest.
func ByType(types map[uint16]Handler, otherwise Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		if h, ok := types[q.Type()]; ok {
			return h(ctx, q)
		}
		return otherwise(ctx, q)
	}
}

// ByCount asks the handler that pick names for the nth query, n from 1.
func ByCount(pick func(n int) Handler) Handler {
	var count atomic.Int64
	return func(ctx context.Context, q *Query) Reply {
		return pick(int(count.Add(1)))(ctx, q)
	}
}

// Drop is h, but every nth query gets no answer and never reaches it. Drop(1, h)
// is Silent.
func Drop(nth int, h Handler) Handler {
	silent := Silent()
	return ByCount(func(n int) Handler {
		if n%nth == 0 {
			return silent
		}
		return h
	})
}

// Delay asks h only once d has passed.
func Delay(d time.Duration, h Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		if !pause(ctx, d) {
			return Reply{}
		}
		return h(ctx, q)
	}
}

// Rewrite asks h for f(name), and gives the answer out under the name that was
// asked for: strings.ToUpper is a forwarder that mixes case (DNS 0x20).
func Rewrite(f func(name string) string, h Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		name := f(q.Name())
		return h(ctx, q.asking(name, q.Type())).edit(func(m *dns.Msg) {
			m.Question = q.Msg.Question
			for _, rr := range m.Answer {
				if strings.EqualFold(rr.Header().Name, name) {
					rr.Header().Name = q.Name()
				}
			}
		})
	}
}

// Minimise asks h for the parent's A records with RD=0 before it asks for the
// whole name, as a resolver that minimises names does (RFC 9156 section 2.3).
func Minimise(h Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		name := q.Name()
		if off, end := dns.NextLabel(name, 0); !end {
			parent := q.asking(name[off:], dns.TypeA)
			parent.Msg.RecursionDesired = false
			h(ctx, parent)
		}
		return h(ctx, q)
	}
}

// Via is h as if the query had come over t: a forwarder then asks over t.
func Via(t plan.Transport, h Handler) Handler {
	return func(ctx context.Context, q *Query) Reply {
		over := *q
		over.Transport = t
		return h(ctx, &over)
	}
}
