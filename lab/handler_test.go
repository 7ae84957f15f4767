package lab

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

func TestAnswer(t *testing.T) {
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeRefused, dns.RcodeServerFailure, dns.RcodeNotImplemented} {
		t.Run(dns.RcodeToString[rcode], func(t *testing.T) {
			s := run(t, Answer(rcode))
			got := mustAsk(t, s, plan.UDP, "MiXed.example.", dns.TypeHINFO)
			if got.Rcode != rcode || !got.Response || !got.RecursionDesired || !got.RecursionAvailable {
				t.Errorf("got %v, want rcode %d, QR, RD and RA", got.MsgHdr, rcode)
			}
			if q := got.Question[0]; q.Name != "MiXed.example." || q.Qtype != dns.TypeHINFO {
				t.Errorf("question %v: not the one asked", q)
			}
			if len(got.Answer)+len(got.Ns)+len(got.Extra) != 0 {
				t.Errorf("records in %v", got)
			}
		})
	}
}

func TestAnswerSpeaksEDNSToThoseWhoDo(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess))
	got, err := exchangeWith(s, plan.UDP, new(dns.Msg).SetQuestion("a.", dns.TypeA).SetEdns0(1232, true))
	if err != nil {
		t.Fatal(err)
	}
	if o := got.IsEdns0(); o == nil || !o.Do() {
		t.Errorf("OPT %v, want one with DO", o)
	}
}

// unanswered asks and fails the test where something comes back. The wait is
// short: there is nothing to wait for.
func unanswered(t *testing.T, s *Server, over plan.Transport, name string) {
	t.Helper()
	c := dns.Client{Net: string(over), Timeout: 50 * time.Millisecond}
	got, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), s.Addr().String())
	if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%s over %s: %v, %v, want silence", name, over, got, err)
	}
}

func TestSilent(t *testing.T) {
	s := run(t, Silent())
	unanswered(t, s, plan.UDP, "a.")
	unanswered(t, s, plan.TCP, "a.")
	if s.Queries() != 2 {
		t.Errorf("queries: %d, want 2: silent is not deaf", s.Queries())
	}
}

func TestByZone(t *testing.T) {
	most := map[string]Handler{
		"example":          Answer(dns.RcodeSuccess),
		"DEEP.example.":    Answer(dns.RcodeServerFailure),
		"10.in-addr.arpa.": Answer(dns.RcodeNotImplemented),
	}
	rooted := map[string]Handler{".": Answer(dns.RcodeNameError), "example.": Answer(dns.RcodeSuccess)}
	for _, tt := range []struct {
		zones map[string]Handler
		name  string
		want  int
	}{
		{most, "example.", dns.RcodeSuccess},
		{most, "a.b.EXAMPLE.", dns.RcodeSuccess},
		{most, "deep.example.", dns.RcodeServerFailure},
		{most, "x.deep.example.", dns.RcodeServerFailure},
		{most, "xdeep.example.", dns.RcodeSuccess},
		{most, "1.10.in-addr.arpa.", dns.RcodeNotImplemented},
		{most, "notexample.", dns.RcodeRefused},
		{most, ".", dns.RcodeRefused},
		{rooted, ".", dns.RcodeNameError},
		{rooted, "com.", dns.RcodeNameError},
		{rooted, "a.example.", dns.RcodeSuccess},
	} {
		if got := mustAsk(t, run(t, ByZone(tt.zones)), plan.UDP, tt.name, dns.TypeA).Rcode; got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, dns.RcodeToString[got], dns.RcodeToString[tt.want])
		}
	}
}

func TestByType(t *testing.T) {
	s := run(t, ByType(map[uint16]Handler{dns.TypeHINFO: Answer(dns.RcodeRefused)}, Answer(dns.RcodeSuccess)))
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeHINFO).Rcode; got != dns.RcodeRefused {
		t.Errorf("HINFO: rcode %d, want REFUSED", got)
	}
	if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeTXT).Rcode; got != dns.RcodeSuccess {
		t.Errorf("TXT: rcode %d, want NOERROR", got)
	}
}

func TestByCount(t *testing.T) {
	s := run(t, ByCount(func(n int) Handler { return Answer(n) }))
	for want := 1; want <= 3; want++ {
		if got := mustAsk(t, s, plan.UDP, "a.", dns.TypeA).Rcode; got != want {
			t.Errorf("query %d: rcode %d", want, got)
		}
	}
}

func TestDrop(t *testing.T) {
	asked := 0
	h := Drop(3, func(context.Context, *Query) Reply { asked++; return Reply{Messages: [][]byte{{1}}} })
	var answered []bool
	for range 6 {
		answered = append(answered, len(h(t.Context(), &Query{}).Messages) > 0)
	}
	if diff := cmp.Diff([]bool{true, true, false, true, true, false}, answered); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
	if asked != 4 {
		t.Errorf("the handler saw %d queries, want 4", asked)
	}
}

func TestDelay(t *testing.T) {
	const d = 30 * time.Millisecond
	s := run(t, Delay(d, Answer(dns.RcodeSuccess)))
	start := time.Now()
	mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	if took := time.Since(start); took < d {
		t.Errorf("took %s, want at least %s", took, d)
	}
}

func TestDelayHoldsUpNobodyElse(t *testing.T) {
	s := run(t, ByType(map[uint16]Handler{dns.TypeTXT: Delay(time.Hour, Silent())}, Answer(dns.RcodeSuccess)))
	c, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := (&dns.Conn{Conn: c}).WriteMsg(new(dns.Msg).SetQuestion("slow.", dns.TypeTXT)); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, s, plan.UDP, "quick.", dns.TypeA)
	within(t, "Close", s.Close)
}

func TestRewrite(t *testing.T) {
	inner := make(chan string, 1)
	s := run(t, Rewrite(strings.ToUpper, func(_ context.Context, q *Query) Reply {
		inner <- q.Name()
		m := new(dns.Msg).SetReply(q.Msg)
		m.Answer = []dns.RR{&dns.TXT{
			Hdr: dns.RR_Header{Name: q.Name(), Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"hello"},
		}}
		b, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return Reply{Messages: [][]byte{b}}
	}))
	got := mustAsk(t, s, plan.UDP, "a.example.", dns.TypeTXT)
	if name := <-inner; name != "A.EXAMPLE." {
		t.Errorf("the handler was asked for %s, want A.EXAMPLE.", name)
	}
	if got.Question[0].Name != "a.example." {
		t.Errorf("question %s, want the name as asked", got.Question[0].Name)
	}
	if len(got.Answer) != 1 || got.Answer[0].Header().Name != "a.example." {
		t.Errorf("answer %v, want a TXT under the name as asked", got.Answer)
	}
	// What the server records is what it was asked, not what it made of it.
	if diff := cmp.Diff([]string{"TXT a.example. over udp"}, names(s)); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

func TestMinimise(t *testing.T) {
	up := run(t, Answer(dns.RcodeSuccess))
	s := run(t, Minimise(Forward(First, up.Addr())))
	mustAsk(t, s, plan.UDP, "outer.inner.example.", dns.TypeHINFO)
	want := []string{"A inner.example. over udp", "HINFO outer.inner.example. over udp"}
	if diff := cmp.Diff(want, names(up)); diff != "" {
		t.Errorf("seen upstream (-want +got):\n%s", diff)
	}
	seen := up.Seen()
	if seen[0].Msg.RecursionDesired || !seen[1].Msg.RecursionDesired {
		t.Error("want RD=0 for the parent, RD=1 for the whole name")
	}
}

func TestMinimiseHasNothingToTakeFromOneLabel(t *testing.T) {
	up := run(t, Answer(dns.RcodeSuccess))
	s := run(t, Minimise(Forward(First, up.Addr())))
	mustAsk(t, s, plan.UDP, "example.", dns.TypeA)
	mustAsk(t, s, plan.UDP, ".", dns.TypeNS)
	if diff := cmp.Diff([]string{"A example. over udp", "NS . over udp"}, names(up)); diff != "" {
		t.Errorf("seen upstream (-want +got):\n%s", diff)
	}
}

// readAll reads n datagrams, and then finds that no more come.
func readAll(t *testing.T, c net.Conn, n int) [][]byte {
	t.Helper()
	var all [][]byte
	for {
		wait := patience
		if len(all) >= n {
			wait = 20 * time.Millisecond
		}
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, udpSize)
		k, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) && len(all) >= n {
			return all
		}
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(all), n, err)
		}
		all = append(all, b[:k])
	}
}
