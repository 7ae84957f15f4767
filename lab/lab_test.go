package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/dnsloop/dnsloop/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen, never what must not.
const patience = 10 * time.Second

// run starts a server that the test's end closes.
func run(t *testing.T, h Handler, options ...Option) *Server {
	t.Helper()
	s, err := Start(h, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// exchangeWith asks s over UDP or TCP and returns the answer, or nil with the error.
func exchangeWith(s *Server, over plan.Transport, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Net: string(over), Timeout: patience, UDPSize: udpSize}
	answer, _, err := c.Exchange(m, s.Addr().String())
	return answer, err
}

// mustAsk asks s for name and type, and fails the test where nothing comes back.
func mustAsk(t *testing.T, s *Server, over plan.Transport, name string, qtype uint16) *dns.Msg {
	t.Helper()
	answer, err := exchangeWith(s, over, new(dns.Msg).SetQuestion(name, qtype))
	if err != nil {
		t.Fatalf("%s %s over %s: %v", dns.TypeToString[qtype], name, over, err)
	}
	return answer
}

// within fails the test where f takes longer than patience.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not done after %s", what, patience)
	}
}

// names lists what a server was asked: "TXT x.example. over udp".
func names(s *Server) []string {
	var list []string
	for _, q := range s.Seen() {
		list = append(list, fmt.Sprintf("%s %s over %s", dns.TypeToString[q.Type()], q.Name(), q.Transport))
	}
	return list
}

func TestServerIsAskedOverUDPAndTCPOnOnePort(t *testing.T) {
	s := run(t, Answer(dns.RcodeNameError))
	for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
		if got := mustAsk(t, s, over, "X.example.", dns.TypeTXT); got.Rcode != dns.RcodeNameError {
			t.Errorf("over %s: rcode %d, want NXDOMAIN", over, got.Rcode)
		}
	}
	want := []string{"TXT X.example. over udp", "TXT X.example. over tcp"}
	if diff := cmp.Diff(want, names(s)); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	if s.Queries() != 2 {
		t.Errorf("queries: %d, want 2", s.Queries())
	}
	for _, q := range s.Seen() {
		if !q.From.Addr().IsLoopback() || q.From.Port() == 0 {
			t.Errorf("from %s: expected a loopback address with its port", q.From)
		}
	}
}

func TestServerSpeaksOnlyWhatItIsTold(t *testing.T) {
	udp := run(t, Answer(dns.RcodeSuccess), Over(plan.UDP))
	mustAsk(t, udp, plan.UDP, "a.", dns.TypeA)
	if c, err := net.Dial("tcp", udp.Addr().String()); err == nil {
		c.Close()
		t.Error("a UDP server accepted a TCP connection")
	}
	tcp := run(t, Answer(dns.RcodeSuccess), Over(plan.TCP))
	mustAsk(t, tcp, plan.TCP, "a.", dns.TypeA)
	if _, err := exchangeWith(tcp, plan.UDP, new(dns.Msg).SetQuestion("a.", dns.TypeA)); err == nil {
		t.Error("a TCP server answered over UDP")
	}
}

func TestServerOnOtherAddresses(t *testing.T) {
	for _, at := range []string{"127.0.0.2:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) {
			if strings.HasPrefix(at, "[") {
				l, err := net.Listen("tcp", at)
				if err != nil {
					t.Skipf("no IPv6 loopback here: %v", err)
				}
				l.Close()
			}
			s := run(t, Answer(dns.RcodeSuccess), On(at))
			host, _, _ := net.SplitHostPort(at)
			if s.Addr().Addr().String() != host || s.Addr().Port() == 0 {
				t.Errorf("address %s, want %s and a port", s.Addr(), host)
			}
			mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
			mustAsk(t, s, plan.TCP, "a.", dns.TypeA)
		})
	}
}

func TestStartErrors(t *testing.T) {
	held := run(t, Silent())
	for _, tt := range []struct {
		name    string
		options []Option
		want    string
	}{
		{"no port", []Option{On("127.0.0.1")}, `address "127.0.0.1": expected ADDR:PORT`},
		{"held", []Option{On(held.Addr().String())}, "address already in use"},
		{"held for UDP alone", []Option{On(held.Addr().String()), Over(plan.UDP)}, "address already in use"},
		{"not ours", []Option{On("192.0.2.1:0")}, "192.0.2.1:0"},
		{"nothing to speak", []Option{Over()}, "no transport"},
		{"two over one port", []Option{Over(plan.TCP, plan.TLS)}, "transports tcp and tls"},
		{"unknown", []Option{Over("quic")}, `transport "quic"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Start(Silent(), tt.options...)
			if err == nil {
				s.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
		})
	}
}

func TestRecordIsBoundedAndTheCountIsNot(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess), Record(2))
	for _, name := range []string{"a.", "b.", "c."} {
		mustAsk(t, s, plan.UDP, name, dns.TypeA)
	}
	if diff := cmp.Diff([]string{"A a. over udp", "A b. over udp"}, names(s)); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	if s.Queries() != 3 {
		t.Errorf("queries: %d, want 3", s.Queries())
	}
}

func TestHandleReplacesTheHandler(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess))
	mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	s.Handle(Answer(dns.RcodeRefused))
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeA); got.Rcode != dns.RcodeRefused {
		t.Errorf("rcode %d, want REFUSED", got.Rcode)
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess))
	const clients, each = 20, 20
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			over := []plan.Transport{plan.UDP, plan.TCP}[i%2]
			for j := range each {
				name := fmt.Sprintf("%d.%d.example.", i, j)
				got, err := exchangeWith(s, over, new(dns.Msg).SetQuestion(name, dns.TypeA))
				if err != nil {
					t.Errorf("%s over %s: %v", name, over, err)
				} else if got.Question[0].Name != name {
					t.Errorf("%s over %s: answered as %s", name, over, got.Question[0].Name)
				}
			}
		})
	}
	wg.Wait()
	if s.Queries() != clients*each {
		t.Errorf("queries: %d, want %d", s.Queries(), clients*each)
	}
}

func TestCloseWithQueriesInFlight(t *testing.T) {
	for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
		t.Run(string(over), func(t *testing.T) {
			entered := make(chan struct{})
			s := run(t, func(ctx context.Context, _ *Query) Reply {
				close(entered)
				<-ctx.Done()
				return Reply{}
			})
			c, err := net.Dial(string(over), s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := (&dns.Conn{Conn: c}).WriteMsg(new(dns.Msg).SetQuestion("a.", dns.TypeA)); err != nil {
				t.Fatal(err)
			}
			within(t, "the query's arrival", func() { <-entered })
			within(t, "Close", s.Close)
			within(t, "a second Close", s.Close)
			run(t, Silent(), On(s.Addr().String())) // the port is free at once
		})
	}
}

func TestCloseDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	entered := make(chan struct{})
	big := make([]byte, dns.MaxMsgSize-1)
	s := run(t, func(context.Context, *Query) Reply {
		close(entered)
		var r Reply
		for range 1000 { // more than the sockets' buffers hold
			r.Messages = append(r.Messages, big)
		}
		return r
	})
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := (&dns.Conn{Conn: c}).WriteMsg(new(dns.Msg).SetQuestion("a.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	within(t, "the query's arrival", func() { <-entered })
	within(t, "Close", s.Close)
}

func TestAHeaderAloneIsNoQuery(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess))
	c, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil { // QDCOUNT 1, and nothing behind
		t.Fatal(err)
	}
	mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	if s.Queries() != 1 {
		t.Errorf("queries: %d, want the whole one alone", s.Queries())
	}
}

func TestTrickle(t *testing.T) {
	const every = time.Millisecond
	s := run(t, Answer(dns.RcodeNameError), Trickle(every))
	start := time.Now()
	got := mustAsk(t, s, plan.TCP, "a.", dns.TypeA)
	if got.Rcode != dns.RcodeNameError {
		t.Errorf("rcode %d, want NXDOMAIN", got.Rcode)
	}
	if took, least := time.Since(start), time.Duration(got.Len()+2)*every; took < least {
		t.Errorf("took %s, want at least %s for %d bytes", took, least, got.Len()+2)
	}
	// It is given up, not waited for, when the server closes.
	slow := run(t, Answer(dns.RcodeSuccess), Trickle(time.Hour))
	c, err := net.Dial("tcp", slow.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := (&dns.Conn{Conn: c}).WriteMsg(new(dns.Msg).SetQuestion("a.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	within(t, "Close", slow.Close)
	if rest, err := io.ReadAll(c); !bytes.Equal(rest, nil) {
		t.Errorf("read %x (%v) of a reply that had an hour to go", rest, err)
	}
}

func TestDead(t *testing.T) {
	s, err := Dead()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for range 2 { // it stays dead
		for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
			_, err := exchangeWith(s, over, new(dns.Msg).SetQuestion("a.", dns.TypeA))
			if err == nil || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("over %s: %v, want connection refused", over, err)
			}
		}
	}
	if taken, err := Start(Silent(), On(s.Addr().String())); err == nil {
		taken.Close()
		t.Error("the port could be bound while it was held")
	}
	for _, over := range []plan.Transport{plan.UDP, plan.TCP} {
		if taken, err := Start(Silent(), On(s.Addr().String()), Over(over)); err == nil {
			taken.Close()
			t.Errorf("the port could be bound for %s alone while it was held", over)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	h := Answer(dns.RcodeSuccess)
	q := &Query{Msg: new(dns.Msg).SetQuestion("1234567890.1234567890.example.", dns.TypeHINFO), Transport: plan.UDP}
	b.ReportAllocs()
	for b.Loop() {
		h(b.Context(), q)
	}
}
