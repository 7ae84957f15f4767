package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

const dnsMessage = "application/dns-message" // RFC 8484 section 6

// maxQuery is how long a query may be that comes by HTTPS, and its header: far
// more than one has.
const maxQuery = 4096

// guestKey leads from a request to its guest.
type guestKey struct{}

// bindSecure listens for TLS or HTTPS on one address of a listener, and reports
// whether somebody else holds it.
func (s *StandIn) bindSecure(l plan.Listener, addr netip.AddrPort, own []netip.Addr) (held bool) {
	ln, err := listenTCP(addr, own)
	ear := Ear{Addr: addr, Transport: l.Secure, State: stateOf(err), Err: err}
	if err == nil {
		ear.Addr = netip.AddrPortFrom(addr.Addr(), tcpAddr(ln.Addr()).Port())
		s.sockets = append(s.sockets, ln)
		ear.Err = s.serveSecure(ln, l, ear.Addr)
	}
	s.ears = append(s.ears, ear)
	return ear.State == Held
}

// serveSecure answers on a socket with the listener's own certificate. Without
// it nobody would go on to a question, so connections are only counted; the
// error says so.
func (s *StandIn) serveSecure(ln *net.TCPListener, l plan.Listener, addr netip.AddrPort) error {
	s.wg.Add(1)
	cert, err := tls.LoadX509KeyPair(l.Cert, l.Key)
	if err != nil {
		go s.accept(ln, func(g *guest) {
			s.note(fmt.Sprintf("(a connection over %s)", l.Secure), tcpAddr(g.RemoteAddr()).Addr())
		})
		return fmt.Errorf("its certificate cannot be read, so connections are only counted: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if l.Secure == plan.TLS {
		go s.accept(ln, func(g *guest) { s.serveConn(g, tls.Server(g, config), addr, plan.TLS) })
		return nil
	}
	server := &http.Server{
		TLSConfig: config, Handler: s.doh(addr), ErrorLog: log.New(io.Discard, "", 0), // what strangers do wrong is not ours to say
		ReadTimeout: idleGuest, WriteTimeout: idleGuest, IdleTimeout: idleGuest,
		MaxHeaderBytes: maxQuery, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxRequests},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guestKey{}, c.(*tls.Conn).NetConn())
		},
	}
	s.sockets = append(s.sockets, server)
	go func() {
		defer s.wg.Done()
		server.ServeTLS(door{ln, s}, "", "")
	}()
	return nil
}

// doh hears what is posted, or asked in a URL (RFC 8484 section 4.1).
func (s *StandIn) doh(addr netip.AddrPort) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		msg, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuery))
		if r.Method == http.MethodGet {
			msg, err = base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
		}
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		var out []byte
		if err == nil {
			if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
				g.asked()
			}
			out = s.hear(nil, msg, path{local: unmap(from)}, addr, plan.HTTPS)
		}
		if len(out) == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", dnsMessage)
		w.Write(out)
	})
}

// say sends one probe straight to an address, and returns what ends the
// conversation.
func say(ctx context.Context, addr netip.AddrPort, over plan.Transport, p *probe) (io.Closer, error) {
	d := &net.Dialer{Timeout: earWait}
	insecure := &tls.Config{InsecureSkipVerify: true} // it is our own ear
	switch over {
	case plan.UDP:
		c, err := d.DialContext(ctx, "udp", addr.String())
		if err != nil {
			return nil, err
		}
		c.Write(appendQuery(nil, p)) // what is lost is not heard: that is the test
		return c, nil
	case plan.HTTPS:
		t := &http.Transport{TLSClientConfig: insecure, ForceAttemptHTTP2: true, DisableKeepAlives: true}
		client := http.Client{Transport: t, Timeout: 2 * earWait}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr.String()+"/dns-query", bytes.NewReader(appendQuery(nil, p)))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", dnsMessage)
		r, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		return r.Body, nil
	}
	c, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	if over == plan.TLS {
		c = tls.Client(c, insecure)
	}
	c.SetDeadline(time.Now().Add(2 * earWait))
	c.Write(appendFramed(nil, p))
	return c, nil
}
