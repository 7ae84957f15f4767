package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// start runs a lab server for the time of a test.
func start(t testing.TB, h lab.Handler, o ...lab.Option) *lab.Server {
	t.Helper()
	s, err := lab.Start(h, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

var clean = lab.Answer(dns.RcodeNameError)

// Whatever lies between, a loop comes home and what goes elsewhere does not.
func TestPathsHome(t *testing.T) {
	toUpper := func(h lab.Handler) lab.Handler { return lab.Rewrite(strings.ToUpper, h) }
	for name, tt := range map[string]struct {
		build func(home netip.AddrPort) lab.Handler
		loops bool
	}{
		"straight back":      {func(home netip.AddrPort) lab.Handler { return lab.Forward(lab.First, home) }, true},
		"to a resolver":      {func(netip.AddrPort) lab.Handler { return lab.Forward(lab.First, start(t, clean).Addr()) }, false},
		"answered by NODATA": {func(netip.AddrPort) lab.Handler { return lab.Answer(dns.RcodeSuccess) }, false},
		"two hops": {func(home netip.AddrPort) lab.Handler {
			return lab.Forward(lab.First, start(t, lab.Forward(lab.First, home)).Addr())
		}, true},
		"one of three in turn": {func(home netip.AddrPort) lab.Handler {
			return lab.Forward(lab.RoundRobin, start(t, clean).Addr(), start(t, clean).Addr(), home)
		}, true},
		"all at once, last wins": {func(home netip.AddrPort) lab.Handler { return lab.Forward(lab.All, start(t, clean).Addr(), home) }, true},
		"case changed":           {func(home netip.AddrPort) lab.Handler { return toUpper(lab.Forward(lab.First, home)) }, true},
		"minimised":              {func(home netip.AddrPort) lab.Handler { return lab.Minimise(lab.Forward(lab.First, home)) }, true},
		"a suffix added": {func(home netip.AddrPort) lab.Handler {
			return lab.Rewrite(func(n string) string { return n + "lan." }, lab.Forward(lab.First, home))
		}, true},
		"a label stripped": {func(home netip.AddrPort) lab.Handler {
			return lab.Rewrite(func(n string) string { _, rest, _ := strings.Cut(n, "."); return rest }, lab.Forward(lab.First, home))
		}, true},
		"home by TCP": {func(home netip.AddrPort) lab.Handler { return lab.Via(plan.TCP, lab.Forward(lab.First, home)) }, true},
		"HINFO refused": {func(home netip.AddrPort) lab.Handler {
			return lab.ByType(map[uint16]lab.Handler{dns.TypeHINFO: lab.Answer(dns.RcodeRefused)}, lab.Forward(lab.First, home))
		}, true},
		"HINFO dropped": {func(home netip.AddrPort) lab.Handler {
			return lab.ByType(map[uint16]lab.Handler{dns.TypeHINFO: lab.Silent()}, lab.Forward(lab.First, home))
		}, true},
		"HINFO answered": {func(home netip.AddrPort) lab.Handler {
			return lab.ByType(map[uint16]lab.Handler{dns.TypeHINFO: clean}, lab.Forward(lab.First, home))
		}, true},
		"every second lost":        {func(home netip.AddrPort) lab.Handler { return lab.Drop(2, lab.Forward(lab.First, home)) }, true},
		"every second lost, clean": {func(netip.AddrPort) lab.Handler { return lab.Drop(2, clean) }, false},
		"all twice":                {func(netip.AddrPort) lab.Handler { return lab.Duplicate(clean) }, false},
		"truncated":                {func(netip.AddrPort) lab.Handler { return lab.Truncate(clean) }, false},
		"garbage, then answers": {func(netip.AddrPort) lab.Handler {
			return lab.Each(lab.Garbage(), lab.Echo(), lab.WrongID(clean), lab.WrongQuestion(clean), lab.CompressionLoop(), clean)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, home := standIn(t)
			up := start(t, tt.build(home))
			for i, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()})) {
				if looped := r.Returned > 0; looped != tt.loops {
					t.Errorf("check %d: %+v: returned: %v, want %v", i, r, looped, tt.loops)
				}
				if !tt.loops && (r.Failure != NoFailure || r.Answered < DefaultProbes) {
					t.Errorf("check %d: %+v: want %d answers", i, r, DefaultProbes)
				}
				for _, ret := range r.Returns {
					if ret.Direct || ret.Query == "" || !ret.From.IsValid() || ret.To != home {
						t.Errorf("check %d: return %+v", i, ret)
					}
				}
			}
		})
	}
}

// What is no answer to the question asked never counts as one.
func TestNoAnswer(t *testing.T) {
	dead, err := lab.Dead()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dead.Close)
	for name, tt := range map[string]struct {
		up   *lab.Server
		want Failure
	}{
		"silent":           {start(t, lab.Silent()), Silent},
		"dead":             {dead, Refused},
		"SERVFAIL":         {start(t, lab.Answer(dns.RcodeServerFailure)), ErrorRcode},
		"REFUSED":          {start(t, lab.Answer(dns.RcodeRefused)), ErrorRcode},
		"NOTIMP":           {start(t, lab.Answer(dns.RcodeNotImplemented)), ErrorRcode},
		"garbage":          {start(t, lab.Garbage()), Silent},
		"echo":             {start(t, lab.Echo()), Silent},
		"wrong ID":         {start(t, lab.WrongID(clean)), Silent},
		"wrong question":   {start(t, lab.WrongQuestion(clean)), Silent},
		"compression loop": {start(t, lab.CompressionLoop()), Silent},
		"from elsewhere":   {start(t, lab.FromElsewhere(clean), lab.Over(plan.UDP)), Silent},
		"hangs up":         {start(t, lab.HangUp(), lab.Over(plan.TCP)), Silent},
		"a byte a second":  {start(t, clean, lab.Over(plan.TCP), lab.Trickle(time.Second)), Silent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := standIn(t)
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			for _, r := range s.Probe(ctx, checksOf(plan.Upstream{Addr: tt.up.Addr()}), options()) {
				only := r.Failure == Refused // the transport that the server does not speak
				if !only && r.Failure != tt.want || r.Answered != 0 || r.Returned != 0 {
					t.Errorf("%+v: want %s", r, tt.want)
				}
			}
		})
	}
}

// A silent transport holds the run up for a bounded while, not for the timeout.
func TestOneTransportOnly(t *testing.T) {
	for _, only := range []plan.Transport{plan.UDP, plan.TCP} {
		s, _ := standIn(t)
		up := start(t, func(ctx context.Context, q *lab.Query) lab.Reply {
			if q.Transport != only {
				return lab.Reply{}
			}
			return clean(ctx, q)
		})
		began := time.Now()
		rs := run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()}))
		if time.Since(began) > 5*time.Second {
			t.Errorf("%s only: the run waited for its timeout", only)
		}
		for i, transport := range []plan.Transport{plan.UDP, plan.TCP} {
			if want := transport == only; (rs[i].Failure == NoFailure) != want {
				t.Errorf("%s only: over %s %+v", only, transport, rs[i])
			}
		}
	}
}

func TestTLSAndHTTPS(t *testing.T) {
	for _, transport := range []plan.Transport{plan.TLS, plan.HTTPS} {
		t.Run(string(transport), func(t *testing.T) {
			s, home := standIn(t)
			for _, loops := range []bool{false, true} {
				h := clean
				if loops {
					h = lab.Forward(lab.First, home)
				}
				up := start(t, h, lab.Over(transport))
				u := plan.Upstream{Addr: up.Addr(), Transport: transport}
				if transport == plan.HTTPS {
					u.URL = up.URL()
				}
				r := run10s(t, s, options(), checksOf(u))[0]
				if (r.Returned > 0) != loops || !loops && r.Answered < DefaultProbes || r.Failure != NoFailure {
					t.Errorf("loops %v: %+v", loops, r)
				}
				if !strings.Contains(r.Unverified, "certificate") {
					t.Errorf("the lab's own certificate was not complained of: %q", r.Unverified)
				}
			}
		})
	}
}

// An upstream that serves the questions of a connection one after the other, and
// takes its time, is asked over more connections, so that its answers come within
// the time of a query. One that is fast is not, nor is any asked over too many.
func TestSlowConnections(t *testing.T) {
	for _, tt := range []struct {
		over  plan.Transport
		takes time.Duration
		conns int // at most
		sent  int // a check, at most
	}{
		{plan.TCP, 0, connsEach, DefaultProbes},
		{plan.TLS, 0, connsTLS, DefaultProbes},
		{plan.TCP, options().QueryTimeout * 13 / 20, connsSlow, 3 * DefaultProbes},
		{plan.TLS, options().QueryTimeout * 13 / 20, connsSlow, 3 * DefaultProbes},
	} {
		t.Run(fmt.Sprintf("%s, %v", tt.over, tt.takes), func(t *testing.T) {
			t.Parallel()
			s, _ := standIn(t)
			u, speaks := plan.Upstream{}, []plan.Transport{plan.UDP, plan.TCP}
			if tt.over == plan.TLS {
				u.Transport, speaks = plan.TLS, []plan.Transport{plan.TLS}
			}
			up := start(t, lab.Delay(tt.takes, clean), lab.Over(speaks...))
			u.Addr = up.Addr()
			for _, r := range run10s(t, s, options(), checksOf(u)) {
				if r.Failure != NoFailure || r.Answered < DefaultProbes || r.Sent > tt.sent {
					t.Errorf("%+v: want %d answers to %d probes at most", r, DefaultProbes, tt.sent)
				}
			}
			from := map[netip.AddrPort]bool{}
			for _, q := range up.Seen() {
				if q.Transport == tt.over {
					from[q.From] = true
				}
			}
			if len(from) > tt.conns {
				t.Errorf("asked over %d connections, want %d at most", len(from), tt.conns)
			}
		})
	}
}

// Two zones through one upstream: a loop in one is told from the other.
func TestReturnsAreAttributed(t *testing.T) {
	s, home := standIn(t)
	up := start(t, lab.ByZone(map[string]lab.Handler{".": clean, "corp.example.": lab.Forward(lab.First, home)}))
	checks := checksOf(plan.Upstream{Addr: up.Addr()}, ".", "corp.example.", "other.example.")
	for i, r := range run10s(t, s, options(), checks) {
		if want := checks[i].Zone == "corp.example."; (r.Returned > 0) != want {
			t.Errorf("%s over %s: %+v", checks[i].Zone, checks[i].Transport, r)
		}
	}
}

// An upstream that asks several servers at once and answers by the fastest: the
// loop through the slow one comes home after the last answer.
func TestLateReturns(t *testing.T) {
	s, home := standIn(t)
	slow := start(t, lab.Delay(70*time.Millisecond, lab.Forward(lab.First, home)))
	up := start(t, lab.Forward(lab.All, start(t, clean).Addr(), slow.Addr()))
	for i, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()})) {
		if r.Returned == 0 || r.Returns[0].After < 70*time.Millisecond {
			t.Errorf("check %d: %+v: want a return after 70 ms", i, r)
		}
	}
}

// The stand-in under the packets of strangers: nothing counts but a probe, and
// nothing is answered that must not be.
func TestStandInAndStrangers(t *testing.T) {
	s, home := standIn(t)
	c, err := net.Dial("udp", home.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	query := func(change func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion("www.example.", dns.TypeA)
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// What gets no answer goes first, so that the first answer must be to the last.
	for _, b := range [][]byte{
		{}, {0}, []byte("not DNS at all, but long enough for a header"),
		query(func(m *dns.Msg) { m.Response = true }),
		query(func(m *dns.Msg) { m.Question = nil }),
		query(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
		query(func(m *dns.Msg) { m.Id = 7 }),
	} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 512)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if id := binary.BigEndian.Uint16(buf); id != 7 || buf[3]&0xf != dns.RcodeRefused {
		t.Errorf("first answer %x: want REFUSED with ID 7", buf[:n])
	}
	want := []Stray{{Query: "A www.example.", From: loopback, Count: 1}}
	if got := s.Strays(); !slices.Equal(got, want) {
		t.Errorf("strays %v, want %v", got, want)
	}
}

// A name played back without end counts once.
func TestReplaysCountOnce(t *testing.T) {
	s, home := standIn(t)
	up := start(t, func(ctx context.Context, q *lab.Query) lab.Reply {
		for range 20 {
			lab.Forward(lab.First, home)(ctx, q)
		}
		return clean(ctx, q)
	})
	for _, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()})) {
		if r.Returned > r.Sent || len(r.Returns) != r.Returned {
			t.Errorf("%d sent, %d returned, %d told", r.Sent, r.Returned, len(r.Returns))
		}
	}
}

// The port is free the moment Close returns, whatever was connected to it. It is
// one of an address that nobody else binds, who might take it in between.
func TestCloseFreesThePort(t *testing.T) {
	alone := netip.AddrFrom4([4]byte{127, 0, byte(os.Getpid() >> 8), byte(os.Getpid())})
	if runtime.GOOS != "linux" { // where one address is all that there is of 127.0.0.0/8
		alone = loopback
	}
	for range 20 {
		s := listenAt(t, plan.Listener{Addr: netip.AddrPortFrom(alone, 0)})
		home := s.Ears()[0].Addr
		c, err := net.Dial("tcp", home.String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(appendFramed(nil, newProbe(nil, typeHINFO, 0)))
		c.Read(make([]byte, 512))
		s.Close()
		l, err := net.Listen("tcp", home.String())
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", home.String())
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		u.Close()
		c.Close()
	}
}

func TestHeldAddresses(t *testing.T) {
	taken := start(t, clean)
	port := taken.Addr().Port()
	wild := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	named := netip.MustParseAddr("127.0.0.7")
	s := Listen(t.Context(), []plan.Listener{{Addr: wild}}, []netip.Addr{loopback}, []netip.Addr{named})
	defer s.Close()
	got := map[string]State{}
	for _, e := range s.Ears() {
		got[e.Addr.String()+" "+string(e.Transport)] = e.State
	}
	one, other := netip.AddrPortFrom(loopback, port).String(), netip.AddrPortFrom(named, port).String()
	for addr, want := range map[string]State{wild.String(): Held, one: Held, other: Listening} {
		for _, transport := range []string{"udp", "tcp"} {
			if got[addr+" "+transport] != want {
				t.Errorf("%s %s is %q, want %q", addr, transport, got[addr+" "+transport], want)
			}
		}
	}
}

// A stopped run tells what it knows.
func TestStopped(t *testing.T) {
	s, home := standIn(t)
	ctx, cancel := context.WithCancel(t.Context())
	silent, looping := start(t, lab.Silent()), start(t, lab.Forward(lab.First, home))
	checks := append(checksOf(plan.Upstream{Addr: silent.Addr()}), checksOf(plan.Upstream{Addr: looping.Addr()})...)
	o := options()
	returns := 0
	o.Trace = func(tr Trace) {
		if tr.What == "returned" {
			if returns++; returns == 2*DefaultProbes {
				cancel()
			}
		}
	}
	rs := s.Probe(ctx, checks, o)
	if rs[0].Failure != Silent || rs[2].Returned == 0 || rs[3].Returned == 0 {
		t.Errorf("%+v", rs)
	}
}
