package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/dnsloop/dnsloop/plan"
)

// maxRequests is how many requests are under way to one HTTPS upstream, or from
// one guest, and maxReply how much of a reply is read, of its header and of its
// body each: what is longer is no DNS message.
const (
	maxRequests = 8
	maxReply    = 64 << 10
)

// httpsCarrier posts probes to a DNS-over-HTTPS upstream (RFC 8484).
type httpsCarrier struct {
	wire
	up     plan.Upstream
	certs  *certificates
	client *http.Client
	slots  chan struct{}
	wg     sync.WaitGroup
}

func newHTTPSCarrier(w wire, up plan.Upstream) *httpsCarrier {
	c := &httpsCarrier{
		wire: w, up: up, slots: make(chan struct{}, maxRequests),
		certs: &certificates{name: up.Name, addr: up.Addr.Addr()},
	}
	c.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   c.certs.config(),
			ForceAttemptHTTP2: true,

			MaxResponseHeaderBytes: maxReply,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				addr, err := c.resolve(up)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, addr.String())
			},
		},
		// A redirect names another upstream, which is not the one to be judged.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func (c *httpsCarrier) unverified() string { return c.certs.unverified() }

func (c *httpsCarrier) send(p *probe) {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-c.ctx.Done():
			return
		}
		c.names.add(p)
		rcode, err := c.post(p)
		var unresolved errResolve
		switch {
		case err == nil:
			c.answer(p, rcode)
		case errors.As(err, &unresolved):
			c.down(NotProbed, unresolved)
		case !c.fail(err):
			c.lost(p, err)
		}
	}()
}

func (c *httpsCarrier) post(p *probe) (rcode uint8, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, p.check.o.QueryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.up.URL, bytes.NewReader(appendQuery(nil, p)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/dns-message")
	req.Header.Set("Accept", "application/dns-message")
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return c.read(resp, p)
}

// read takes the answer to a probe out of a response, whatever that says its
// type is.
func (c *httpsCarrier) read(resp *http.Response, p *probe) (rcode uint8, err error) {
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return 0, err
	}
	answered, rcode := c.asked(body)
	if answered != p {
		return 0, errors.New("the reply is no DNS answer to the question")
	}
	return rcode, nil
}

func (c *httpsCarrier) close() {
	c.wg.Wait() // the context is done: every request ends at once
	c.client.CloseIdleConnections()
}
