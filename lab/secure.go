package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

// Hostname is the one name, beside the server's address, that the certificate
// of a TLS or HTTPS server is good for.
const Hostname = "lab.invalid"

// selfSigned makes a certificate for addr and Hostname that vouches for
// itself, and the pool that trusts it.
func selfSigned(addr netip.Addr) (*tls.Config, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: Hostname},
		DNSNames:              []string{Hostname},
		IPAddresses:           []net.IP{addr.AsSlice()},
		NotBefore:             now.Add(-time.Hour), // clocks may differ a little
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, roots, nil
}

// What RFC 8484 prescribes: the media type (section 6), and the path that its
// examples use and everybody after them (section 4.1.1).
const (
	dohType = "application/dns-message"
	dohPath = "/dns-query"
)

// startHTTPS serves DNS over HTTPS (HTTP/1.1 and HTTP/2) on l.
func (s *Server) startHTTPS(l net.Listener, config *tls.Config) {
	var open sync.WaitGroup
	mux := http.NewServeMux()
	mux.HandleFunc(dohPath, s.serveHTTP)
	srv := &http.Server{
		Handler:           mux,
		TLSConfig:         config,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		// Clients that refuse the certificate are part of the lab, not news.
		ErrorLog: log.New(io.Discard, "", 0),
		// Close does not wait for the goroutines of connections; this does.
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Done()
			}
		},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// It returns when srv is closed; before that only if the listener
		// breaks, which its clients see.
		_ = srv.ServeTLS(l, "", "")
	}()
	s.stops = append(s.stops, func() {
		// It closes l too, in case ServeTLS has not come to know it yet.
		_ = srv.Close()
		_ = l.Close()
		<-ended // no connection is new after this
		open.Wait()
	})
}

// serveHTTP answers one DoH exchange (RFC 8484 section 4). Silence holds the
// request until the client or the server gives up; of several messages only
// the first fits into a response.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	wire, status, err := dohMessage(w, r)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil || m.Response {
		http.Error(w, "expected a DNS query", http.StatusBadRequest)
		return
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply := s.ask(r.Context(), &Query{Msg: m, Transport: plan.HTTPS, From: from})
	if len(reply.Messages) == 0 {
		if !reply.HangUp {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler) // net/http's way to end without a response
	}
	w.Header().Set("Content-Type", dohType)
	w.Header().Set("Cache-Control", "max-age=0") // section 5.1: the lab's records have TTL 0
	_, _ = w.Write(reply.Messages[0])            // fails only where the client is gone
}

// dohMessage takes the DNS message out of a request, or says which status
// refuses it and why.
func dohMessage(w http.ResponseWriter, r *http.Request) (wire []byte, status int, err error) {
	switch r.Method {
	case http.MethodGet:
		wire, err = base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
		return wire, http.StatusBadRequest, err
	case http.MethodPost:
		if t := r.Header.Get("Content-Type"); t != dohType {
			return nil, http.StatusUnsupportedMediaType, fmt.Errorf("content type %q: expected %s", t, dohType)
		}
		wire, err = io.ReadAll(http.MaxBytesReader(w, r.Body, dns.MaxMsgSize))
		return wire, http.StatusBadRequest, err
	}
	return nil, http.StatusMethodNotAllowed, errors.New("expected GET or POST")
}
