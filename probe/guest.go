package probe

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// guest is a connection that somebody made to the stand-in.
type guest struct {
	*net.TCPConn
	s      *StandIn
	active atomic.Int64 // the instant when it came, or last asked a whole query
}

// asked notes a whole query.
func (g *guest) asked() { g.active.Store(int64(now())) }

// Close ends the connection and gives its place back.
func (g *guest) Close() error {
	g.s.mu.Lock()
	delete(g.s.guests, g)
	g.s.mu.Unlock()
	return g.TCPConn.Close()
}

// dismiss ends the connection without the TIME_WAIT that would keep the real
// server from the port. Its place is for the caller to give back.
func (g *guest) dismiss() {
	g.SetLinger(0)
	g.TCPConn.Close()
}

// admit gives an accepted connection a place; nil once the stand-in is closed.
// Where all places are taken, the guest that was idle for longest gives way:
// strangers who hold them must not keep a return out.
func (s *StandIn) admit(c *net.TCPConn) *guest {
	g := &guest{TCPConn: c, s: s}
	g.asked()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		g.dismiss()
		return nil
	}
	if len(s.guests) >= maxGuests {
		var idlest *guest
		for other := range s.guests {
			if idlest == nil || other.active.Load() < idlest.active.Load() {
				idlest = other
			}
		}
		delete(s.guests, idlest)
		idlest.dismiss()
	}
	s.guests[g] = true
	return g
}

// door is a listener whose connections are guests.
type door struct {
	*net.TCPListener
	s *StandIn
}

// Accept waits for the next guest. It fails only once the door is closed.
func (d door) Accept() (net.Conn, error) {
	g, err := d.guest()
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (d door) guest() (*guest, error) {
	for {
		c, err := d.AcceptTCP()
		switch {
		case err == nil:
			if g := d.s.admit(c); g != nil {
				return g, nil
			}
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case outOfDescriptors(err):
			d.s.starve(err)
			fallthrough
		default:
			time.Sleep(time.Millisecond) // do not spin
		}
	}
}

// accept serves each guest of a listener in a goroutine of its own.
func (s *StandIn) accept(l *net.TCPListener, serve func(*guest)) {
	defer s.wg.Done()
	for {
		g, err := door{l, s}.guest()
		if err != nil {
			return
		}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer g.Close()
			serve(g)
		}()
	}
}
