package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dnsloop/dnsloop/plan"
)

// keyPair writes a certificate of its own and its key.
func keyPair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A block that is served over TLS or HTTPS hears what comes home that way.
func TestSecureEars(t *testing.T) {
	cert, key := keyPair(t)
	for _, over := range []plan.Transport{plan.TLS, plan.HTTPS} {
		at := netip.AddrPortFrom(loopback, 0)
		s := Listen(t.Context(), []plan.Listener{{Addr: at, Secure: over, Cert: cert, Key: key}}, []netip.Addr{loopback}, nil)
		t.Cleanup(s.Close)
		if es := s.Ears(); len(es) != 1 || es[0].State != Listening || es[0].Err != nil || es[0].Transport != over {
			t.Fatalf("%s: %+v", over, es)
		}
		home := s.Ears()[0].Addr
		u := plan.Upstream{Addr: home, Transport: over}
		if over == plan.HTTPS {
			u.URL = "https://" + home.String() + "/dns-query"
		}
		r := run10s(t, s, options(), checksOf(u))[0]
		if r.Returned == 0 || r.Returns[0].Transport != over || r.Returns[0].To != home {
			t.Errorf("%s: %+v", over, r)
		}
	}
}

// Without a certificate that can be read, connections are counted.
func TestSecureEarWithoutCertificate(t *testing.T) {
	at := netip.AddrPortFrom(loopback, 0)
	s := Listen(t.Context(), []plan.Listener{{Addr: at, Secure: plan.TLS, Cert: "missing.pem", Key: "missing.key"}}, []netip.Addr{loopback}, nil)
	t.Cleanup(s.Close)
	e := s.Ears()[0]
	if e.State != Listening || e.Err == nil || !strings.Contains(e.Err.Error(), "missing.pem") {
		t.Fatalf("%+v", e)
	}
	if strays := s.Strays(); len(strays) != 0 {
		t.Fatalf("strays %v before anybody came", strays)
	}
	r := probeFor(t, s, time.Second, plan.Upstream{Addr: e.Addr, Transport: plan.TLS})
	if r.Returned != 0 || r.Answered != 0 {
		t.Errorf("%+v", r)
	}
	if strays := s.Strays(); len(strays) != 1 || strays[0].Query != "(a connection over tls)" || strays[0].From != loopback || strays[0].Count == 0 {
		t.Errorf("strays %v, want connections over TLS", strays)
	}
}

// What is not trusted is noted and the session goes on; what is, is not
// complained of.
func TestCertificates(t *testing.T) {
	cert, key := keyPair(t)
	at := netip.AddrPortFrom(loopback, 0)
	s := Listen(t.Context(), []plan.Listener{{Addr: at, Secure: plan.TLS, Cert: cert, Key: key}}, []netip.Addr{loopback}, nil)
	t.Cleanup(s.Close)
	for _, tt := range []struct{ name, ca, want string }{
		{"", "", "unknown authority"},
		{"", cert, ""},
		{"dns.example", cert, "dns.example"},
		{"", "missing.pem", "missing.pem"},
		{"", key, "no certificate"},
	} {
		c := &certificates{name: tt.name, addr: loopback, ca: tt.ca}
		conn, err := tls.Dial("tcp", s.Ears()[0].Addr.String(), c.config())
		if err != nil {
			t.Fatalf("%+v: the session must go on: %v", tt, err)
		}
		conn.Close()
		if got := c.unverified(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: complaint %q", tt, got)
		}
	}
}

// probeFor probes one upstream for a bounded time.
func probeFor(t *testing.T, s *StandIn, d time.Duration, u plan.Upstream) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return s.Probe(ctx, checksOf(u), options())[0]
}
