package probe

import (
	"bufio"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// Strangers who hold every place, some in the middle of a query, do not keep a
// return out: the idlest gives way. Nor do they get more places than there are.
func TestIdleStrangers(t *testing.T) {
	cert, key := keyPair(t)
	for _, over := range []plan.Transport{plan.TCP, plan.TLS, plan.HTTPS} {
		t.Run(string(over), func(t *testing.T) {
			l := plan.Listener{Addr: netip.AddrPortFrom(loopback, 0)}
			if over != plan.TCP {
				l.Secure, l.Cert, l.Key = over, cert, key
			}
			s := listenAt(t, l)
			home := s.Ears()[0].Addr
			var turnedOut []net.Conn
			for i := range maxGuests + 8 {
				c, err := net.Dial("tcp", home.String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.Write([]byte{0x16, 3, 1}[:i%4]) // a length of 5635, and a TLS record's first octets
				if i < 8 {
					turnedOut = append(turnedOut, c)
				}
			}
			u := plan.Upstream{Addr: home, Transport: over}
			switch over {
			case plan.TCP:
				u = plan.Upstream{Addr: start(t, lab.Via(plan.TCP, lab.Forward(lab.First, home))).Addr()}
			case plan.HTTPS:
				u.URL = "https://" + home.String() + "/dns-query"
			}
			// In less time than the idle are given by themselves.
			if r := probeFor(t, s, idleGuest*3/5, u); r.Returned == 0 || r.Returns[0].Transport != over {
				t.Errorf("%+v: want a return over %s", r, over)
			}
			s.mu.Lock()
			if n := len(s.guests); n > maxGuests {
				t.Errorf("%d guests, want %d at most", n, maxGuests)
			}
			s.mu.Unlock()
			for i, c := range turnedOut {
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
					t.Errorf("the stranger who came %d. of all is still there: %v", i+1, err)
				}
			}
		})
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// Who asks is not idle: a guest that came first outstays those who came later.
func TestWhoAsksStays(t *testing.T) {
	s, home := standIn(t)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", home.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	asks := dial()
	answers := bufio.NewReader(asks)
	ask := func() error {
		if _, err := asks.Write(appendFramed(nil, newProbe(nil, typeHINFO, 0))); err != nil {
			return err
		}
		_, err := readFrame(answers, nil)
		return err
	}
	for range 2 * maxGuests {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		idle := dial()
		idle.Write([]byte{0})
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	s.Close()
	if _, err := asks.Read(make([]byte, 1)); err == nil {
		t.Error("a guest is still served after the end")
	}
}
