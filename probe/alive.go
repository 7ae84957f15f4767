package probe

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// aliveAfter is how long a run goes on before upstreams are asked whether they
// are alive: most runs are over by then, and nobody is asked.
const aliveAfter = time.Second

const aliveTries = 5

// Alive asks upstreams, one second into the run, the one question that servers
// answer by themselves, who they are (version.bind, RFC 4892 section 3), over
// UDP. Any reply will do: one that never resolves a fresh name and replies to
// this is up, and what it forwards to is not, or leads back to it. The function
// that is returned ends the asking and lists who replied.
func Alive(ctx context.Context, upstreams []netip.AddrPort) (replied func() map[netip.AddrPort]bool) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	alive := map[netip.AddrPort]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(aliveAfter):
		}
		for _, u := range upstreams[:min(len(upstreams), maxInFlight)] {
			wg.Go(func() {
				if replies(ctx, u) {
					mu.Lock()
					alive[u] = true
					mu.Unlock()
				}
			})
		}
	})
	return func() map[netip.AddrPort]bool {
		cancel()
		wg.Wait()
		return alive
	}
}

// replies reports whether an upstream replies to the question who it is,
// whatever it says.
func replies(ctx context.Context, u netip.AddrPort) bool {
	c, err := new(net.Dialer).DialContext(ctx, "udp", u.String())
	if err != nil {
		return false
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	q := new(dns.Msg).SetQuestion("version.bind.", dns.TypeTXT)
	q.Question[0].Qclass = dns.ClassCHAOS
	msg, err := q.Pack()
	if err != nil {
		return false
	}
	buf := make([]byte, 512)
	for range aliveTries {
		if _, err := c.Write(msg); err != nil {
			return false
		}
		c.SetReadDeadline(time.Now().Add(aliveAfter))
		switch n, err := c.Read(buf); {
		case ctx.Err() != nil:
			return false
		case err == nil && n >= headerLen && buf[2]&(flagQR>>8) != 0 && buf[0] == msg[0] && buf[1] == msg[1]:
			return true
		}
	}
	return false
}
