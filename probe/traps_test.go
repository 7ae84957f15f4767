package probe

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// No name is asked twice and no ID is the run's only one, however often an
// upstream that fails is asked again: failures are cached by name (RFC 9520),
// and some servers drop what looks like a copy.
func TestEveryTryIsFresh(t *testing.T) {
	t.Parallel()
	s, _ := standIn(t)
	up := start(t, lab.Answer(dns.RcodeServerFailure), lab.Record(1000))
	ctx, cancel := context.WithCancel(t.Context())
	o := options()
	sent := 0
	o.Trace = func(tr Trace) {
		if tr.What == "answered" {
			if sent++; sent > 4*DefaultProbes { // both transports have asked again
				cancel()
			}
		}
	}
	defer time.AfterFunc(10*time.Second, cancel).Stop()
	s.Probe(ctx, checksOf(plan.Upstream{Addr: up.Addr()}), o)
	names, ids := map[string]bool{}, map[uint16]bool{}
	for _, q := range up.Seen() {
		if names[q.Name()] {
			t.Errorf("%s was asked twice", q.Name())
		}
		names[q.Name()] = true
		ids[q.Msg.Id] = true
	}
	if len(names) <= 4*DefaultProbes || len(ids) < len(names)/2 {
		t.Errorf("%d names and %d IDs were seen", len(names), len(ids))
	}
}

// An upstream that refuses what comes at first is asked again.
func TestRateLimit(t *testing.T) {
	for name, loops := range map[string]bool{"loop": true, "clean": false} {
		t.Run(name, func(t *testing.T) {
			s, home := standIn(t)
			h := clean
			if loops {
				h = lab.Forward(lab.First, home)
			}
			limited := lab.ByCount(func(n int) lab.Handler {
				if n <= 2*DefaultProbes {
					return lab.Answer(dns.RcodeRefused)
				}
				return h
			})
			for i, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: start(t, limited).Addr()})) {
				if (r.Returned > 0) != loops || r.Failure != NoFailure {
					t.Errorf("check %d: %+v: want returned: %v", i, r, loops)
				}
			}
		})
	}
}

// An upstream that is asked over IPv4 and forwards over IPv6.
func TestOtherFamily(t *testing.T) {
	six := netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	if c, err := net.ListenPacket("udp", six.String()); err != nil {
		t.Skip("this system has no IPv6:", err)
	} else {
		c.Close()
	}
	s := Listen(t.Context(), []plan.Listener{{Addr: netip.AddrPortFrom(loopback, 0)}, {Addr: six}}, nil, nil)
	t.Cleanup(s.Close)
	var home netip.AddrPort
	for _, e := range s.Ears() {
		if e.Addr.Addr().Is6() && e.State == Listening {
			home = e.Addr
		}
	}
	up := start(t, lab.Forward(lab.First, home))
	for i, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()})) {
		if r.Returned == 0 || r.Returns[0].To != home || !r.Returns[0].From.Addr().Is6() {
			t.Errorf("check %d: %+v: want returns to %s", i, r, home)
		}
	}
}

// A port that a live server shares with whoever else asks for SO_REUSEPORT, as
// CoreDNS does, is held: half of its questions would go astray.
func TestNoSharedPort(t *testing.T) {
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
			return e
		}
		return err
	}}
	l, err := share.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := share.ListenPacket(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	s := Listen(t.Context(), []plan.Listener{{Addr: netip.MustParseAddrPort(l.Addr().String())}}, nil, nil)
	defer s.Close()
	for _, e := range s.Ears() {
		if e.State != Held {
			t.Errorf("%s over %s is %s, want %s", e.Addr, e.Transport, e.State, Held)
		}
	}
}

// The stand-in forwards nothing: what strangers ask it while it probes does not
// reach the one server that it knows.
func TestNeverForwards(t *testing.T) {
	s, home := standIn(t)
	up := start(t, clean)
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		asked := 0
		for {
			select {
			case <-stop:
				done <- asked
				return
			default:
			}
			for _, name := range []string{"www.example.", ".", "a.root-servers.net.", "com."} {
				c := dns.Client{Timeout: time.Second}
				if _, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), home.String()); err == nil {
					asked++
				}
			}
		}
	}()
	sent := 0
	for _, r := range run10s(t, s, options(), checksOf(plan.Upstream{Addr: up.Addr()})) {
		sent += r.Sent
	}
	close(stop)
	if asked := <-done; asked == 0 {
		t.Error("no stranger was answered")
	}
	if up.Queries() != sent {
		t.Errorf("the upstream was asked %d questions, want the %d probes", up.Queries(), sent)
	}
}
