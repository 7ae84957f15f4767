package lab

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// datagrams asks a server with handler h over UDP and returns the n datagrams that
// come back, with the query.
func datagrams(t *testing.T, h Handler, n int) (*dns.Msg, [][]byte) {
	t.Helper()
	s := run(t, h)
	c, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT)
	if err := (&dns.Conn{Conn: c}).WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	return q, readAll(t, c, n)
}

func unpack(t *testing.T, b []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return m
}

func TestForgedReplies(t *testing.T) {
	h := Answer(dns.RcodeSuccess)
	for _, tt := range []struct {
		name  string
		h     Handler
		n     int
		check func(t *testing.T, q *dns.Msg, got []*dns.Msg)
	}{
		{"wrong ID", WrongID(h), 1, func(t *testing.T, q *dns.Msg, got []*dns.Msg) {
			if got[0].Id == q.Id || !got[0].Response {
				t.Errorf("ID %d for %d, want a response under another", got[0].Id, q.Id)
			}
		}},
		{"wrong question", WrongQuestion(h), 1, func(t *testing.T, q *dns.Msg, got []*dns.Msg) {
			if got[0].Id != q.Id || got[0].Question[0].Name == q.Question[0].Name {
				t.Errorf("got %v, want another question under ID %d", got[0], q.Id)
			}
		}},
		{"echo", Echo(), 1, func(t *testing.T, q *dns.Msg, got []*dns.Msg) {
			if got[0].Response || got[0].Id != q.Id || got[0].Question[0] != q.Question[0] {
				t.Errorf("got %v, want the query", got[0])
			}
		}},
		{"duplicate", Duplicate(h), 2, func(t *testing.T, q *dns.Msg, got []*dns.Msg) {
			for _, m := range got {
				if m.Id != q.Id || !m.Response {
					t.Errorf("got %v, want a response under ID %d", m, q.Id)
				}
			}
		}},
		{"a forgery first", Each(WrongID(h), h), 2, func(t *testing.T, q *dns.Msg, got []*dns.Msg) {
			if got[0].Id == q.Id || got[1].Id != q.Id {
				t.Errorf("IDs %d, %d for %d: want the forged one first", got[0].Id, got[1].Id, q.Id)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, wire := datagrams(t, tt.h, tt.n)
			if len(wire) != tt.n {
				t.Fatalf("%d datagrams, want %d", len(wire), tt.n)
			}
			var got []*dns.Msg
			for _, b := range wire {
				got = append(got, unpack(t, b))
			}
			tt.check(t, q, got)
		})
	}
}

func TestRepliesThatAreNone(t *testing.T) {
	q, got := datagrams(t, Garbage(), 2)
	if len(got) != 2 || len(got[0]) >= 12 {
		t.Fatalf("got %x, want two datagrams, the first shorter than a header", got)
	}
	if new(dns.Msg).Unpack(got[1]) == nil || uint16(got[1][0])<<8|uint16(got[1][1]) != q.Id {
		t.Errorf("got %x, want noise under ID %d", got[1], q.Id)
	}

	q, got = datagrams(t, CompressionLoop(), 1)
	if len(got) != 1 || uint16(got[0][0])<<8|uint16(got[0][1]) != q.Id {
		t.Fatalf("got %x, want one datagram under ID %d", got, q.Id)
	}
	if _, _, err := dns.UnpackDomainName(got[0], 12); err == nil {
		t.Errorf("the name in %x can be read", got[0])
	}
	if name := got[0][12:14]; name[0] != 0xc0 || name[1] != 12 {
		t.Errorf("name %x, want a pointer to itself", name)
	}
}

func TestTruncate(t *testing.T) {
	full := func(q *Query, m *dns.Msg) {
		m.Answer = []dns.RR{&dns.HINFO{
			Hdr: dns.RR_Header{Name: q.Name(), Rrtype: dns.TypeHINFO, Class: dns.ClassINET}, Cpu: "a", Os: "b",
		}}
	}
	s := run(t, Truncate(edited(Answer(dns.RcodeSuccess), full)))
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeHINFO); !got.Truncated || len(got.Answer) != 0 {
		t.Errorf("over UDP: %v, want TC and no answer", got)
	}
	if got := mustAsk(t, s, plan.TCP, "a.", dns.TypeHINFO); got.Truncated || len(got.Answer) != 1 {
		t.Errorf("over TCP: %v, want the answer", got)
	}
}

func TestFromElsewhere(t *testing.T) {
	s := run(t, FromElsewhere(Answer(dns.RcodeSuccess)))
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := new(dns.Msg).SetQuestion("a.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(b, net.UDPAddrFromAddrPort(s.Addr())); err != nil {
		t.Fatal(err)
	}
	within(t, "the reply", func() {
		b := make([]byte, udpSize)
		n, from, err := c.ReadFrom(b)
		if err != nil {
			t.Error(err)
			return
		}
		if addrPort(from) == s.Addr() {
			t.Errorf("from %s itself", from)
		}
		if m := new(dns.Msg); m.Unpack(b[:n]) != nil || !m.Response {
			t.Errorf("%x is no response", b[:n])
		}
	})
	// Over TCP there is no elsewhere.
	mustAsk(t, s, plan.TCP, "a.", dns.TypeA)
}

func TestHangUp(t *testing.T) {
	s := run(t, HangUp())
	start := time.Now()
	got, err := exchangeWith(s, plan.TCP, new(dns.Msg).SetQuestion("a.", dns.TypeA))
	if err == nil {
		t.Errorf("answered %v, want the end of the connection", got)
	}
	// miekg/dns would end an idle connection after 8 s.
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("the connection stayed open for %s", took)
	}
	unanswered(t, s, plan.UDP, "a.")
	// The server itself goes on.
	s.Handle(Answer(dns.RcodeSuccess))
	mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	mustAsk(t, s, plan.TCP, "a.", dns.TypeA)
}
