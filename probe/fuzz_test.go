package probe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// shapes are the messages that servers were seen to send on behalf of a query, or
// could: a corpus for what reads them.
func shapes(t testing.TB, query []byte) [][]byte {
	t.Helper()
	made := func(change func(*dns.Msg)) []byte {
		m := new(dns.Msg)
		if err := m.Unpack(query); err != nil {
			t.Fatal(err)
		}
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	with := func(name string, qtype uint16) func(*dns.Msg) {
		return func(m *dns.Msg) { m.Question[0].Name, m.Question[0].Qtype = name, qtype }
	}
	pointer := append(bytes.Clone(query[:headerLen]), 0xc0, headerLen, 0, 1, 0, 1)
	toRoot := append(bytes.Clone(query[:headerLen]), 1, 'a', 0xc0, headerLen+1, 0, 1, 0, 1)
	return [][]byte{
		nil,
		query[:headerLen],
		query[:len(query)-1],
		query,
		append(bytes.Clone(query), 0xff), // something behind the question
		pointer,
		toRoot,
		made(func(m *dns.Msg) { m.RecursionDesired, m.CheckingDisabled = false, false }),
		made(func(m *dns.Msg) { m.Question[0].Name = strings.ToUpper(m.Question[0].Name) }),
		made(func(m *dns.Msg) { // minimised (RFC 9156)
			_, rest, _ := strings.Cut(m.Question[0].Name, ".")
			with(rest, dns.TypeA)(m)
			m.RecursionDesired = false
		}),
		made(func(m *dns.Msg) { m.Question[0].Name += "lan." }),
		made(func(m *dns.Msg) { m.SetEdns0(1232, true) }),
		made(func(m *dns.Msg) { // EDNS with a cookie, and padding (RFC 7873, 7830)
			m.SetEdns0(4096, false)
			m.Extra[0].(*dns.OPT).Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "24a5ac1223344556"}, &dns.EDNS0_PADDING{Padding: make([]byte, 64)}}
		}),
		made(func(m *dns.Msg) { m.Response = true }),
		made(func(m *dns.Msg) { m.Response, m.Truncated = true, true }),
		made(func(m *dns.Msg) { m.Response, m.Rcode = true, dns.RcodeNameError }),
		made(func(m *dns.Msg) { // an answer whose names are compressed
			m.Response, m.Compress = true, true
			for range 3 {
				m.Answer = append(m.Answer, &dns.HINFO{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET}, Cpu: "a"})
			}
		}),
		made(func(m *dns.Msg) { m.Question = nil }),
		made(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
		made(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
		made(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }),
		made(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		made(with(".", dns.TypeNS)),
		made(with("a.root-servers.net.", dns.TypeA)),
		made(with("_ta-4f66.", dns.TypeNULL)),
		made(with(strings.Repeat("a.", 126), dns.TypeANY)),
		made(with(strings.Repeat(strings.Repeat("x", 63)+".", 3), dns.TypeA)),
	}
}

// heard is what a fuzzed stand-in works with.
func heard() *StandIn { return &StandIn{inbox: newInbox(), strays: map[strayKey]int{}} }

// FuzzHear throws packets at the stand-in: no panic, nothing answered that is a
// response, no refusal larger than what was asked.
func FuzzHear(f *testing.F) {
	for _, b := range shapes(f, appendQuery(nil, testProbe(f, "example.org.", letters))) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		checkAnswer(t, msg, heard().hear(nil, msg, path{local: at("127.0.0.1:1")}, at("127.0.0.1:53"), plan.UDP))
	})
}

// checkAnswer holds what the stand-in says to a message against the rules for it.
func checkAnswer(t *testing.T, msg, out []byte) {
	t.Helper()
	if len(out) == 0 {
		return
	}
	if msg[2]&0x80 != 0 {
		t.Fatalf("a response was answered: %x", msg)
	}
	if out[3]&0xf == dns.RcodeRefused && len(out) > len(msg) {
		t.Fatalf("%d octets refused with %d", len(msg), len(out))
	}
	if out[2]&0x80 == 0 || out[0] != msg[0] || out[1] != msg[1] {
		t.Fatalf("%x is no answer to %x", out, msg)
	}
}

// asking is the receiving side of a lane, which asked one thing.
func asking(f *testing.F) (w wire, p *probe, reply []byte) {
	p = testProbe(f, "example.org.", letters)
	p.id, p.inner = 7, labelTop+1
	w = wire{names: &registry{}, lane: &lane{}}
	w.names.add(p)
	p.check.lane = w.lane
	reply = appendQuery(nil, p)
	reply[2] |= 0x80
	return w, p, reply
}

// FuzzCheckReply throws messages at the validation of replies.
func FuzzCheckReply(f *testing.F) {
	w, p, reply := asking(f)
	for _, b := range shapes(f, appendQuery(nil, p)) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if got, _ := w.asked(msg); got != nil && !answers(msg, reply) {
			t.Fatalf("%x was taken for an answer like %x", msg, reply)
		}
	})
}

// answers reports whether a message is the reply but for its flags, its counts,
// the case of its letters, and what comes behind the question.
func answers(msg, reply []byte) bool {
	return len(msg) >= len(reply) && msg[2]&0x80 != 0 && bytes.Equal(msg[:2], reply[:2]) &&
		strings.EqualFold(string(msg[headerLen:len(reply)]), string(reply[headerLen:]))
}

// FuzzFrames throws what may come over a connection at the reading of messages
// behind their length, however it arrives, and at the stand-in behind that.
func FuzzFrames(f *testing.F) {
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	var all []byte
	for _, b := range shapes(f, appendQuery(nil, testProbe(f, "example.org.", 0))) {
		f.Add(frame(b))
		all = append(all, frame(b)...)
	}
	f.Add(all)
	f.Add(all[:len(all)-1])
	f.Add([]byte{0xff, 0xff, 1})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var msgs [][]byte
		for rest := stream; len(rest) >= 2; {
			n := int(binary.BigEndian.Uint16(rest))
			if len(rest) < 2+n {
				break
			}
			msgs, rest = append(msgs, rest[2:2+n]), rest[2+n:]
		}
		s := heard()
		r := bufio.NewReader(iotest.HalfReader(bytes.NewReader(stream)))
		var buf []byte
		for i := 0; ; i++ {
			var err error
			if buf, err = readFrame(r, buf); err != nil {
				if i != len(msgs) {
					t.Fatalf("%d messages and %v, want %d", i, err, len(msgs))
				}
				return
			}
			if i == len(msgs) || !bytes.Equal(buf, msgs[i]) {
				t.Fatalf("message %d is %x", i, buf)
			}
			checkAnswer(t, buf, s.hear(nil, buf, path{local: at("127.0.0.1:1")}, at("127.0.0.1:53"), plan.TCP))
		}
	})
}

// FuzzHTTPSReply throws responses at the reading of replies over HTTPS.
func FuzzHTTPSReply(f *testing.F) {
	w, p, reply := asking(f)
	c := &httpsCarrier{wire: w}
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n"
	for _, b := range shapes(f, appendQuery(nil, p)) {
		f.Add([]byte(ok + "\r\n" + string(b)))
	}
	for _, head := range []string{
		ok + "Content-Length: 9999\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n2d\r\n", ok + "Content-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "HTTP/1.0 307 See\r\nLocation: /\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n",
	} {
		f.Add([]byte(head + string(reply)))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), nil)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		resp.Body = io.NopCloser(io.TeeReader(resp.Body, &body))
		if _, err := c.read(resp, p); err == nil && (resp.StatusCode != http.StatusOK || !answers(body.Bytes(), reply)) {
			t.Fatalf("%q was taken for an answer", response)
		}
		if body.Len() > maxReply {
			t.Fatalf("%d octets were read", body.Len())
		}
	})
}
