package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

func askTLS(s *Server, c *tls.Config) (*dns.Msg, error) {
	client := dns.Client{Net: "tcp-tls", TLSConfig: c, Timeout: patience}
	m, _, err := client.Exchange(new(dns.Msg).SetQuestion("a.example.", dns.TypeA), s.Addr().String())
	return m, err
}

func TestTLS(t *testing.T) {
	s := run(t, Answer(dns.RcodeNameError), Over(plan.TLS))
	for _, name := range []string{"127.0.0.1", Hostname} {
		got, err := askTLS(s, &tls.Config{RootCAs: s.Roots(), ServerName: name})
		if err != nil {
			t.Fatalf("as %s: %v", name, err)
		}
		if got.Rcode != dns.RcodeNameError {
			t.Errorf("as %s: rcode %d, want NXDOMAIN", name, got.Rcode)
		}
	}
	if diff := cmp.Diff([]string{"A a.example. over tls", "A a.example. over tls"}, names(s)); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}

	var unknown x509.UnknownAuthorityError
	if _, err := askTLS(s, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}); !errors.As(err, &unknown) {
		t.Errorf("without its roots: %v, want an unknown authority", err)
	}
	var wrong x509.HostnameError
	if _, err := askTLS(s, &tls.Config{RootCAs: s.Roots(), ServerName: "other.invalid"}); !errors.As(err, &wrong) {
		t.Errorf("under another name: %v, want a wrong host name", err)
	}
	if s.Queries() != 2 {
		t.Errorf("%d queries: some came over what the client did not trust", s.Queries())
	}
}

func TestTLSBesideUDP(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess), Over(plan.UDP, plan.TLS))
	mustAsk(t, s, plan.UDP, "a.", dns.TypeA)
	if _, err := askTLS(s, &tls.Config{RootCAs: s.Roots(), ServerName: Hostname}); err != nil {
		t.Error(err)
	}
}

// httpsClient trusts s, and speaks the HTTP of that major version.
func httpsClient(t *testing.T, s *Server, major int) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(major == 1)
	protocols.SetHTTP2(major == 2)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots()}, Protocols: &protocols}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func TestHTTPS(t *testing.T) {
	s := run(t, Answer(dns.RcodeNameError), Over(plan.HTTPS))
	wire, err := new(dns.Msg).SetQuestion("a.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, major := range []int{1, 2} {
		c := httpsClient(t, s, major)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			url, body := s.URL(), io.Reader(bytes.NewReader(wire))
			if method == http.MethodGet {
				url, body = url+"?dns="+base64.RawURLEncoding.EncodeToString(wire), nil
			}
			r, err := http.NewRequest(method, url, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", dohType)
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != dohType || resp.ProtoMajor != major {
				t.Fatalf("%s over HTTP/%d: %s %s %q (%v)", method, resp.ProtoMajor, resp.Status, resp.Header, b, err)
			}
			if m := unpack(t, b); m.Rcode != dns.RcodeNameError {
				t.Errorf("%s over HTTP/%d: rcode %d, want NXDOMAIN", method, major, m.Rcode)
			}
		}
	}
	seen := names(s)
	if diff := cmp.Diff(strings.Split(strings.Repeat("A a.example. over https,", 4), ",")[:4], seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	for _, q := range s.Seen() {
		if !q.From.Addr().IsLoopback() {
			t.Errorf("from %s, want a loopback address", q.From)
		}
	}
}

func TestHTTPSRefusals(t *testing.T) {
	s := run(t, Answer(dns.RcodeSuccess), Over(plan.HTTPS))
	c := httpsClient(t, s, 2)
	response, err := new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("a.", dns.TypeA)).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, url, contentType, body string
		want                                 int
	}{
		{"put", http.MethodPut, s.URL(), dohType, "", http.StatusMethodNotAllowed},
		{"another media type", http.MethodPost, s.URL(), "text/plain", "", http.StatusUnsupportedMediaType},
		{"noise", http.MethodPost, s.URL(), dohType, "noise", http.StatusBadRequest},
		{"a response", http.MethodPost, s.URL(), dohType, string(response), http.StatusBadRequest},
		{"too long", http.MethodPost, s.URL(), dohType, strings.Repeat("x", dns.MaxMsgSize+1), http.StatusBadRequest},
		{"bad base64", http.MethodGet, s.URL() + "?dns=%21", "", "", http.StatusBadRequest},
		{"no query", http.MethodGet, s.URL(), "", "", http.StatusBadRequest},
		{"another path", http.MethodGet, strings.TrimSuffix(s.URL(), dohPath) + "/", "", "", http.StatusNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequest(tt.method, tt.url, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", tt.contentType)
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.want)
			}
		})
	}
	if s.Queries() != 0 {
		t.Errorf("%d queries, want none", s.Queries())
	}
}

func TestHTTPSHangUp(t *testing.T) {
	s := run(t, HangUp(), Over(plan.HTTPS))
	for _, major := range []int{1, 2} {
		resp, err := httpsClient(t, s, major).Post(s.URL(), dohType, queryBody(t))
		if err == nil {
			resp.Body.Close()
			t.Errorf("HTTP/%d: %s, want a response cut off", major, resp.Status)
		}
	}
}

func queryBody(t *testing.T) io.Reader {
	t.Helper()
	b, err := new(dns.Msg).SetQuestion("a.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

func TestCloseWithSecureQueriesInFlight(t *testing.T) {
	entered := make(chan struct{}, 1)
	h := func(ctx context.Context, q *Query) Reply {
		entered <- struct{}{}
		return Silent()(ctx, q)
	}
	t.Run("https", func(t *testing.T) {
		for _, major := range []int{1, 2} {
			s := run(t, h, Over(plan.HTTPS))
			c, failed := httpsClient(t, s, major), make(chan error, 1)
			body := queryBody(t)
			go func() {
				resp, err := c.Post(s.URL(), dohType, body)
				if err == nil {
					resp.Body.Close()
				}
				failed <- err
			}()
			within(t, "the query's arrival", func() { <-entered })
			within(t, "Close", s.Close)
			within(t, "the client's end", func() {
				if err := <-failed; err == nil {
					t.Errorf("a silent server answered over HTTP/%d", major)
				}
			})
			run(t, Silent(), On(s.Addr().String())) // the port is free at once
		}
	})
	t.Run("tls", func(t *testing.T) {
		s := run(t, h, Over(plan.TLS))
		failed := make(chan error, 1)
		go func() {
			_, err := askTLS(s, &tls.Config{RootCAs: s.Roots(), ServerName: Hostname})
			failed <- err
		}()
		within(t, "the query's arrival", func() { <-entered })
		within(t, "Close", s.Close)
		within(t, "the client's end", func() {
			if err := <-failed; err == nil {
				t.Error("a silent server answered")
			}
		})
	})
}
