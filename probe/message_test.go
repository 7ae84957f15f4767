package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// newProbe is one probe of a check under a zone.
func newProbe(c *check, qtype uint16, shape uint32) *probe {
	p := new(probe)
	p.draw(c, qtype, shape)
	return p
}

func testProbe(t testing.TB, zone string, shape uint32) *probe {
	t.Helper()
	return newProbe(&check{zone: packZone(zone)}, typeHINFO, shape)
}

func TestQueryIsWhatTheLibraryReads(t *testing.T) {
	for _, zone := range []string{".", "example.org.", "8.b.d.0.1.0.0.2.ip6.arpa."} {
		for _, shape := range []uint32{0, letters} {
			p := testProbe(t, zone, shape)
			var m dns.Msg
			if err := m.Unpack(appendQuery(nil, p)); err != nil {
				t.Fatal(err)
			}
			if m.Id != p.id || m.Response || !m.RecursionDesired || !m.CheckingDisabled || m.Opcode != dns.OpcodeQuery {
				t.Errorf("header %+v: want a query with RD and CD", m.MsgHdr)
			}
			q := m.Question[0]
			labels := dns.SplitDomainName(q.Name)
			if q.Qtype != dns.TypeHINFO || q.Qclass != dns.ClassINET || !dns.IsSubDomain(zone, q.Name) ||
				len(labels) != 2+dns.CountLabel(zone) {
				t.Errorf("question %v: want HINFO of two labels under %s", q, zone)
			}
			if p.question() != "HINFO "+q.Name {
				t.Errorf("question reads %q", p.question())
			}
		}
	}
}

func TestCheckReply(t *testing.T) {
	p := testProbe(t, "example.org.", letters)
	reply := func(change func(*dns.Msg)) []byte {
		var q, m dns.Msg
		if err := q.Unpack(appendQuery(nil, p)); err != nil {
			t.Fatal(err)
		}
		m.SetRcode(&q, dns.RcodeNameError)
		change(&m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := reply(func(*dns.Msg) {})
	w := wire{names: &registry{}, lane: &lane{}}
	w.names.add(p)
	p.check.lane = w.lane
	for name, tt := range map[string]struct {
		msg  []byte
		want bool
	}{
		"as it should be": {good, true},
		"truncated":       {reply(func(m *dns.Msg) { m.Truncated = true }), true},
		"other case":      {reply(func(m *dns.Msg) { m.Question[0].Name = strings.ToUpper(m.Question[0].Name) }), true},
		"wrong ID":        {reply(func(m *dns.Msg) { m.Id++ }), false},
		"QR=0":            {reply(func(m *dns.Msg) { m.Response = false }), false},
		"another name":    {reply(func(m *dns.Msg) { m.Question[0].Name = "x." + m.Question[0].Name }), false},
		"another type":    {reply(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), false},
		"another class":   {reply(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), false},
		"no question":     {reply(func(m *dns.Msg) { m.Question = nil }), false},
		"cut in the name": {good[:20], false},
		"empty":           {nil, false},
		"name a pointer":  {append(append([]byte{}, good[:12]...), 0xc0, 12, 0, 13, 0, 1), false},
	} {
		if got, rcode := w.asked(tt.msg); (got == p) != tt.want || tt.want && rcode != dns.RcodeNameError {
			t.Errorf("%s: got %v, %d; want an answer: %v", name, got, rcode, tt.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	type answer struct {
		Rcode, Answers int
		AA, RA, CD     bool
		EDNS           bool
	}
	query := func(name string, qtype uint16, change func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion(name, qtype)
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	asIs := func(*dns.Msg) {}
	for name, tt := range map[string]struct {
		query []byte
		kind  kind
		want  answer
	}{
		"ours, HINFO":     {query("a.b.", dns.TypeHINFO, asIs), ours, answer{Answers: 1, RA: true}},
		"ours, A":         {query("a.b.", dns.TypeA, asIs), ours, answer{RA: true}},
		"ours, iterating": {query("a.b.", dns.TypeHINFO, func(m *dns.Msg) { m.RecursionDesired = false }), ours, answer{Answers: 1, AA: true}},
		"ours, EDNS":      {query("a.b.", dns.TypeTXT, func(m *dns.Msg) { m.SetEdns0(4096, true) }), ours, answer{RA: true, EDNS: true}},
		"ours, CD":        {query("a.b.", dns.TypeA, func(m *dns.Msg) { m.CheckingDisabled = true }), ours, answer{RA: true, CD: true}},
		"health":          {query(".", dns.TypeNS, asIs), health, answer{RA: true}},
		"foreign":         {query("www.example.", dns.TypeA, asIs), foreign, answer{Rcode: dns.RcodeRefused}},
		"foreign, EDNS":   {query("www.example.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(4096, true) }), foreign, answer{Rcode: dns.RcodeRefused, EDNS: true}},
		"ours, a notify":  {query("a.b.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), ours, answer{Rcode: dns.RcodeRefused}},
		"ours, CHAOS":     {query("a.b.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), ours, answer{Rcode: dns.RcodeRefused}},
	} {
		q, ok := parseQuestion(tt.query)
		if !ok {
			t.Fatalf("%s: the query does not parse", name)
		}
		out := appendAnswer(nil, tt.query, q, tt.kind)
		var m dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := answer{m.Rcode, len(m.Answer), m.Authoritative, m.RecursionAvailable, m.CheckingDisabled, m.IsEdns0() != nil}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !m.Response || len(m.Ns) != 0 {
			t.Errorf("%s: %v: want a response without an authority section", name, &m)
		}
		for _, rr := range m.Answer {
			if rr.Header().Ttl != 0 {
				t.Errorf("%s: TTL of %v, want 0", name, rr)
			}
		}
		if tt.kind == foreign && len(out) > len(tt.query) {
			t.Errorf("%s: refused with %d octets, asked with %d", name, len(out), len(tt.query))
		}
	}
}

func TestHealthChecks(t *testing.T) {
	for name, want := range map[string]bool{
		".": true, "a.root-servers.net.": true, "M.ROOT-SERVERS.NET.": true, "_ta-4f66.": true,
		"root-servers.net.": false, "b.a.root-servers.net.": false, "www.example.": false, "_ta-4f66.example.": false,
		"com.": true, "ORG.": true, "net.": true, "nu.": false, "example.com.": false,
	} {
		b, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		if q, _ := parseQuestion(b); isHealthCheck(q) != want {
			t.Errorf("%s: got %v, want %v", name, !want, want)
		}
	}
}
