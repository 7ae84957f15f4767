package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// misdeed is what an upstream does to those who ask it.
type misdeed struct {
	// serve starts it. It gives each question that it reads to pass, and then
	// does what it does.
	serve func(t *testing.T, pass func(q []byte)) plan.Upstream
	// answers says that an answer is among what it sends all the same.
	answers bool
	// deaf says that it reads no question, and so cannot loop.
	deaf bool
}

// misdeeds lists them, by transport and name.
func misdeeds() map[string]misdeed {
	all := map[string]misdeed{}
	for name, h := range map[string]lab.Handler{
		"garbage":          lab.Garbage(),
		"echo":             lab.Echo(),
		"wrong ID":         lab.WrongID(clean),
		"wrong question":   lab.WrongQuestion(clean),
		"compression loop": lab.CompressionLoop(),
		"hangs up":         lab.HangUp(),
		"truncated":        lab.Truncate(clean),
	} {
		for _, over := range []plan.Transport{plan.UDP, plan.TCP, plan.TLS, plan.HTTPS} {
			all[string(over)+", "+name] = misdeed{serve: messages(over, h), answers: name == "truncated"}
		}
	}
	filler := bytes.Repeat([]byte{0xff}, 1<<16-1)
	frame := append([]byte{0xff, 0xff}, filler...)
	for name, m := range map[string]struct {
		say     func(w io.Writer, answer []byte)
		answers bool
	}{
		"64 KiB frames without end": {func(w io.Writer, _ []byte) { repeat(w, frame) }, false},
		"empty frames without end":  {func(w io.Writer, _ []byte) { repeat(w, make([]byte, 512)) }, false},
		"more promised than comes":  {func(w io.Writer, _ []byte) { w.Write(frame[:100]) }, false},
		"an octet a second":         {func(w io.Writer, a []byte) { trickle(w, a) }, false},
		"64 KiB, then the answer":   {func(w io.Writer, a []byte) { w.Write(frame); w.Write(a) }, true},
	} {
		for _, over := range []plan.Transport{plan.TCP, plan.TLS} {
			all[string(over)+", "+name] = misdeed{serve: frames(over, m.say), answers: m.answers}
		}
	}
	all["tcp, closes at once"] = misdeed{serve: streams(plan.TCP, func(net.Conn, func([]byte)) {}), deaf: true}
	all["tls, no handshake"] = misdeed{serve: streams(plan.TLS, func(c net.Conn, _ func([]byte)) { repeat(c.(*tls.Conn).NetConn(), filler) }), deaf: true}
	for name, m := range map[string]struct {
		say     func(w http.ResponseWriter, answer []byte)
		answers bool
	}{
		"a body without end":            {func(w http.ResponseWriter, _ []byte) { repeat(w, filler) }, false},
		"the answer in an endless body": {func(w http.ResponseWriter, a []byte) { w.Write(a); repeat(w, filler) }, true},
		"an octet a second":             {func(w http.ResponseWriter, a []byte) { trickle(w, a) }, false},
		"a page of HTML":                {func(w http.ResponseWriter, _ []byte) { io.WriteString(w, "<!DOCTYPE html><p>Welcome") }, false},
		"the answer as text/html":       {func(w http.ResponseWriter, a []byte) { w.Header().Set("Content-Type", "text/html"); w.Write(a) }, true},
		"an answer with status 500":     {func(w http.ResponseWriter, a []byte) { w.WriteHeader(500); w.Write(a) }, false},
		"a header of 1 MiB": {func(w http.ResponseWriter, a []byte) {
			w.Header().Set("X", string(bytes.Repeat([]byte{'x'}, 1<<20)))
			w.Write(a)
		}, false},
		"a redirect to one that answers": {func(w http.ResponseWriter, _ []byte) { w.Header().Set("Location", "/answer"); w.WriteHeader(307) }, false},
	} {
		all["https, "+name] = misdeed{serve: bodies(m.say), answers: m.answers}
	}
	return all
}

// Whatever an upstream does, a loop through it is found, nothing but an answer is
// one, the run ends, and memory stays bounded.
func TestHostile(t *testing.T) {
	before := fromSystem()
	t.Run("all", func(t *testing.T) {
		for name, m := range misdeeds() {
			t.Run(name+"/clean", func(t *testing.T) {
				t.Parallel()
				s, _ := standIn(t)
				lasts := 500 * time.Millisecond // until the run is given up
				if m.answers {
					lasts = 10 * time.Second
				}
				r := m.probe(t, s, lasts, func([]byte) {})
				if answered := r.Answered >= DefaultProbes; answered != m.answers || r.Returned != 0 ||
					!m.answers && (r.Answered != 0 || r.Failure == NoFailure) {
					t.Errorf("%+v: want answers: %v", r, m.answers)
				}
			})
			if m.deaf {
				continue
			}
			t.Run(name+"/loop", func(t *testing.T) {
				t.Parallel()
				s, home := standIn(t)
				if r := m.probe(t, s, 10*time.Second, func(q []byte) { tell(home, q) }); r.Returned == 0 || r.Returned > r.Sent || r.Failure != NoFailure {
					t.Errorf("%+v: want a return", r)
				}
			})
		}
	})
	if most := fromSystem() - before; most > 64<<20 {
		t.Errorf("%d MiB were needed", most>>20)
	}
}

// probe asks the upstream until all is known, or for so long.
func (m misdeed) probe(t *testing.T, s *StandIn, lasts time.Duration, pass func(q []byte)) Result {
	checks := checksOf(m.serve(t, pass))
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	over := make(chan Result, 1)
	go func() { over <- s.Probe(ctx, checks, options())[0] }()
	select {
	case r := <-over:
		return r
	case <-time.After(lasts + 5*time.Second):
		t.Fatal("the run does not end")
		return Result{}
	}
}

// fromSystem is how much memory the process was ever given for its heap.
func fromSystem() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys
}

// tell asks a question, and hears the answer out.
func tell(at netip.AddrPort, q []byte) {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	c.Write(q)
	c.Read(make([]byte, 512))
}

// answerTo is NOERROR, and no data.
func answerTo(q []byte) []byte {
	a := bytes.Clone(q)
	a[2] |= flagQR >> 8
	return a
}

func repeat(w io.Writer, b []byte) {
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// trickle writes one octet at a time: a message takes far longer than a query may.
func trickle(w io.Writer, b []byte) {
	for i := range b {
		if _, err := w.Write(b[i : i+1]); err != nil {
			return
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// messages is an upstream whose messages are odd.
func messages(over plan.Transport, h lab.Handler) func(*testing.T, func([]byte)) plan.Upstream {
	return func(t *testing.T, pass func([]byte)) plan.Upstream {
		up := start(t, func(ctx context.Context, q *lab.Query) lab.Reply {
			if wire, err := q.Msg.Pack(); err == nil {
				pass(wire)
			}
			return h(ctx, q)
		}, lab.Over(over))
		u := plan.Upstream{Addr: up.Addr(), Transport: over}
		if over == plan.HTTPS {
			u.URL = up.URL()
		}
		return u
	}
}

// frames is an upstream that says something odd to each question of a connection.
func frames(over plan.Transport, say func(w io.Writer, answer []byte)) func(*testing.T, func([]byte)) plan.Upstream {
	return streams(over, func(c net.Conn, pass func([]byte)) {
		for r := bufio.NewReader(c); ; {
			q, err := readFrame(r, nil)
			if err != nil {
				return
			}
			pass(q)
			say(c, append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), answerTo(q)...))
		}
	})
}

// streams is an upstream that does something odd with a connection.
func streams(over plan.Transport, serve func(c net.Conn, pass func([]byte))) func(*testing.T, func([]byte)) plan.Upstream {
	return func(t *testing.T, pass func([]byte)) plan.Upstream {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := tcpAddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.Addr().(*net.TCPAddr).Port})
		if over == plan.TLS {
			certificate, err := tls.LoadX509KeyPair(keyPair(t))
			if err != nil {
				t.Fatal(err)
			}
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}})
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				wg.Go(func() {
					defer c.Close()
					defer stop()
					serve(c, pass)
				})
			}
		})
		t.Cleanup(func() {
			l.Close()
			cancel()
			wg.Wait()
		})
		return plan.Upstream{Addr: at, Transport: over}
	}
}

// bodies is an HTTPS upstream that says something odd.
func bodies(say func(w http.ResponseWriter, answer []byte)) func(*testing.T, func([]byte)) plan.Upstream {
	return func(t *testing.T, pass func([]byte)) plan.Upstream {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q, err := io.ReadAll(r.Body)
			if err != nil || len(q) < headerLen {
				return
			}
			w.Header().Set("Content-Type", dnsMessage)
			if r.URL.Path == "/answer" {
				w.Write(answerTo(q))
				return
			}
			pass(q)
			say(w, answerTo(q))
		}))
		srv.EnableHTTP2 = true
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		t.Cleanup(func() {
			srv.CloseClientConnections()
			srv.Close()
		})
		return plan.Upstream{Addr: netip.MustParseAddrPort(srv.Listener.Addr().String()), Transport: plan.HTTPS, URL: srv.URL + "/dns-query"}
	}
}
