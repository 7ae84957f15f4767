package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestForeignQuestions: 20 000 questions a second that are not this run's
// change no verdict and take no memory.
func TestForeignQuestions(t *testing.T) {
	need(t, "dnsmasq")
	for _, name := range []string{"udp/loop", "udp/clear", "tcp/loop", "tcp/clear"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport, verdict, _ := strings.Cut(name, "/")
			n := newNetwork(t)
			a, b, stranger := n.host(), n.host(), n.host()
			// Late returns are awaited for 3 s; a loop's run is held up by a hole.
			argv := []string{dnsloopBin, "-f", "json", "--settle", "3s"}
			status := 0
			if verdict == "loop" {
				hole := n.host()
				hole.drop("udp", 53)
				hole.drop("tcp", 53)
				b.dnsmasq(b.v4, 53, via(a.v4, 53, "#"))
				argv, status = append(argv, "--timeout", "3s", b.v4, hole.v4), 1
			} else {
				argv = append(argv, strings.TrimSuffix(clean(n, 53), ":53"))
			}
			ctx, stop := context.WithCancel(t.Context())
			answered := stranger.flood(ctx, transport, a.v4)

			cmd := a.command(argv...)
			var out bytes.Buffer
			cmd.Stdout = &out
			p := launch(t, cmd)
			peak := p.peak(t)
			got := p.status(t)
			stop()
			r := parseReport(t, out.Bytes(), p.log.String())
			r.expect(t, got, verdict, status, "-DL016")
			if n := answered(); n < 6_000 {
				t.Errorf("the stand-in answered %d foreign questions: that was no flood", n)
			}
			if peak == 0 || peak >= 32<<10 {
				t.Errorf("dnsloop held up to %d KiB, want less than 32 MiB", peak)
			}
		})
	}
}

// flood asks to a new question 20 000 times a second, over one socket, until the
// context ends. The result ends it and says how many were answered.
func (h *host) flood(ctx context.Context, transport, to string) (answered func() int) {
	var replies atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			// Over TCP there is nobody to be connected with at first.
			if conn, err := h.dial(transport, to); err == nil {
				ask(ctx, conn, tick.C, &replies)
			}
			<-tick.C
		}
	}()
	return func() int {
		<-ended
		return int(replies.Load())
	}
}

// ask asks over a connection at the pace of flood, and closes it when the context
// ends or it fails.
func ask(ctx context.Context, conn *dns.Conn, tick <-chan time.Time, replies *atomic.Int32) {
	const rate = 20_000
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for buf := make([]byte, dns.MinMsgSize); ; {
			switch _, err := conn.Read(buf); {
			case err == nil:
				replies.Add(1)
			case !errors.Is(err, syscall.ECONNREFUSED):
				return
			}
		}
	}()
	defer func() { conn.Close(); <-heard }()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	began := time.Now()
	for i := 0; ctx.Err() == nil; <-tick {
		for due := int(time.Since(began).Seconds() * rate); i < due; i++ {
			m := new(dns.Msg).SetQuestion(fmt.Sprintf("%d.%d.", i, rand.Uint64()>>2), dns.TypeHINFO)
			// Over UDP a refusal is told to the next one who writes.
			if err := conn.WriteMsg(m); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				return
			}
		}
	}
}

// dial is a connection from the host to port 53 of another.
func (h *host) dial(transport, to string) (conn *dns.Conn, err error) {
	err = h.inside(func() error { conn, err = dns.DialTimeout(transport, addr(to, 53), time.Second); return err })
	return conn, err
}

// peak waits for the end of the process and returns the most memory that it was
// seen to hold, in KiB. The kernel's count of a child that has ended will not
// do: it holds that of the test itself, from before the exec.
func (p *process) peak(t *testing.T) (kib int) {
	t.Helper()
	line := regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.gone:
			return kib
		case <-time.After(2 * patience):
			t.Fatal("still running")
		case <-tick.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if m := line.FindSubmatch(status); err == nil && m != nil {
			now, _ := strconv.Atoi(string(m[1])) // the expression lets nothing else through
			kib = max(kib, now)
		}
	}
}

// TestPlayedBack: who plays a probe back a thousand times proves one return.
func TestPlayedBack(t *testing.T) {
	need(t)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			a, b := n.host(), n.host()
			var replies atomic.Int32
			b.listen(func(w dns.ResponseWriter, q *dns.Msg) {
				conn, err := b.dial(transport, a.v4)
				if err != nil {
					return // dnsloop is gone
				}
				t.Cleanup(func() { conn.Close() })
				go func() {
					buf := make([]byte, dns.MinMsgSize)
					for i := 0; ; i++ {
						size, err := conn.Read(buf)
						if err != nil {
							return
						}
						replies.Add(1)
						if i == 0 {
							w.Write(buf[:size]) //nolint:errcheck // whoever asked may be gone
						}
					}
				}()
				go func() {
					for i := 0; i < 1000 && err == nil; i++ {
						err = conn.WriteMsg(q)
					}
				}()
			})
			r, status := a.dnsloop(b.v4)
			r.expect(t, status, "loop", 1, "DL001", "-DL016")
			r.bounded(t)
			sent := 0
			for _, c := range r.Checks {
				sent += c.Sent
			}
			if int(replies.Load()) <= 2*sent {
				t.Errorf("%d probes were heard %d times: that was no playing back", sent, replies.Load())
			}
		})
	}
}

// TestIdleStrangers: who holds connections to the stand-in without a word, more
// than it takes, keeps no return by TCP out.
func TestIdleStrangers(t *testing.T) {
	need(t)
	n := newNetwork(t)
	a, b, stranger := n.host(), n.host(), n.host()
	b.slow(time.Second, a.v4) // by then they are there
	ctx, stop := context.WithCancel(t.Context())
	held := make(chan int)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var conns []*dns.Conn
		for len(conns) < 200 && ctx.Err() == nil {
			conn, err := stranger.dial("tcp", a.v4)
			if err != nil {
				<-tick.C
				continue
			}
			conns = append(conns, conn)
			conn.Conn.Write([]byte{0}) //nolint:errcheck // it may have been turned out
		}
		<-ctx.Done()
		for _, conn := range conns {
			conn.Close()
		}
		held <- len(conns)
	}()
	r, status := a.dnsloop("--timeout", "4s", b.v4) // they are not idle for 5 s
	stop()
	if n := <-held; n < 200 {
		t.Errorf("%d strangers came", n)
	}
	r.expect(t, status, "loop", 1, "DL001", "-DL016")
	for _, c := range r.Checks {
		if c.Transport == "tcp" && c.Returned == 0 {
			t.Errorf("over TCP none of %d probes returned", c.Sent)
		}
	}
}
