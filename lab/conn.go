package lab

import (
	"context"
	"net"
	"time"
)

// A listener accepts connections that end with ctx. dns.Server unblocks its
// reads when it is shut down, but not a write to a client that reads nothing.
type listener struct {
	net.Listener
	ctx   context.Context
	every time.Duration
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	// A deadline in the past wakes whoever reads or writes.
	stop := context.AfterFunc(l.ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	return &conn{Conn: c, ctx: l.ctx, every: l.every, stop: stop}, nil
}

// A conn is one client's connection.
type conn struct {
	net.Conn
	ctx   context.Context
	every time.Duration
	stop  func() bool
}

// Write sends p, one byte at a time where the server trickles.
func (c *conn) Write(p []byte) (int, error) {
	if c.every == 0 {
		return c.Conn.Write(p)
	}
	for i := range p {
		if !pause(c.ctx, c.every) {
			return i, c.ctx.Err()
		}
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// Close ends the connection.
func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// pause waits for d and says whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
