package probe

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/plan"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// clock drives one check through time without a socket.
type clock struct {
	t   *testing.T
	c   *check
	now instant
}

func newClock(t *testing.T, change func(*Options)) *clock {
	o := options()
	if change != nil {
		change(&o)
	}
	return &clock{t: t, c: &check{
		Check: &plan.Check{Transport: plan.UDP}, Result: &Result{},
		o: &o, lane: &lane{}, zone: rootZone, types: typesOf(o.Qtypes), index: -1,
	}}
}

// step lets the check decide, and sends what it asks for.
func (k *clock) step() step {
	s := k.c.next(k.now)
	k.c.wanted += s.send
	for range s.send {
		p := newProbe(k.c, k.c.nextType(), 0)
		p.sent = k.now
		k.c.onSend(p)
	}
	if s.send > 0 {
		s.wake = k.c.next(k.now).wake
	}
	return s
}

func (k *clock) sleep(d time.Duration) { k.now = k.now.add(d) }

// result is what the check saw, when the run ends now.
func (k *clock) result() Result {
	k.c.conclude()
	return *k.c.Result
}

// answer lets the upstream answer what matches, in the order sent.
func (k *clock) answer(rcode uint8, match func(*probe) bool) {
	for _, p := range append([]*probe{}, k.c.waiting...) {
		if match(p) {
			k.c.settleProbe(p)
			k.c.onAnswer(p, rcode, k.now)
		}
	}
}

func (k *clock) want(what string, got, want any) {
	k.t.Helper()
	if got != want {
		k.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func all(*probe) bool { return true }

func TestClearAfterSettling(t *testing.T) {
	k := newClock(t, nil)
	k.want("sent at once", k.step().send, DefaultProbes)
	k.sleep(20 * time.Millisecond)
	k.answer(dns.RcodeNameError, all)
	s := k.step()
	k.want("done with the last answer", s.done, false)
	k.want("settle time", s.wake.sub(k.now), minSettle+40*time.Millisecond)
	k.sleep(minSettle + 40*time.Millisecond)
	k.want("done when settled", k.step().done, true)
	k.want("failure", k.result().Failure, NoFailure)
}

func TestSettleIsBounded(t *testing.T) {
	k := newClock(t, nil)
	k.step()
	k.sleep(300 * time.Millisecond)
	k.answer(dns.RcodeNameError, all)
	k.want("settle time", k.step().wake.sub(k.now), DefaultSettle)

	k = newClock(t, func(o *Options) { o.Settle, o.AdaptSettle = time.Second, false })
	k.step()
	k.answer(dns.RcodeNameError, all)
	k.want("settle time asked for", k.step().wake.sub(k.now), time.Second)
}

// A filter on HINFO alone leaves the others to reach the number of answers.
func TestFilteredTypeIsReplaced(t *testing.T) {
	for name, filter := range map[string]func(*clock){
		"refused": func(k *clock) {
			k.answer(dns.RcodeRefused, func(p *probe) bool { return p.qtype == dns.TypeHINFO })
		},
		"dropped": func(k *clock) {},
	} {
		t.Run(name, func(t *testing.T) {
			k := newClock(t, nil)
			k.step()
			k.sleep(time.Millisecond)
			for range 50 {
				filter(k)
				k.answer(dns.RcodeNameError, func(p *probe) bool { return p.qtype != dns.TypeHINFO })
				s := k.step()
				if s.done {
					break
				}
				if s.send == 0 {
					k.now = s.wake
				}
			}
			r := k.result()
			k.want("done", k.step().done, true)
			k.want("answered", r.Answered, DefaultProbes)
			k.want("failure", r.Failure, NoFailure)
			if len(r.Filtered) != 1 || r.Filtered[0] != "HINFO" {
				t.Errorf("filtered %v, want HINFO", r.Filtered)
			}
			if r.Sent > 2*DefaultProbes {
				t.Errorf("%d probes sent", r.Sent)
			}
		})
	}
}

// Silence and error rcodes are asked again with growing pauses, fewer at a
// time, and never end a check by themselves.
func TestBackoff(t *testing.T) {
	for name, answers := range map[string]bool{"silent": false, "SERVFAIL": true} {
		t.Run(name, func(t *testing.T) {
			k := newClock(t, nil)
			var pauses []time.Duration
			end := k.now.add(10 * time.Second)
			for k.now < end {
				s := k.step()
				if s.done {
					t.Fatalf("done after %v", k.now.sub(k.c.started))
				}
				if answers {
					k.answer(dns.RcodeServerFailure, all)
				}
				if s.send > 0 {
					pauses = append(pauses, s.wake.sub(k.now))
				}
				k.now = s.wake
			}
			for i := 1; i < len(pauses); i++ {
				if pauses[i] < pauses[i-1] {
					t.Errorf("pauses shrink: %v", pauses)
				}
			}
			if n := k.c.Sent; n > 30 || n < 15 {
				t.Errorf("%d probes in 10 s", n)
			}
			want := Silent
			if answers {
				want = ErrorRcode
			}
			k.want("failure", k.result().Failure, want)
		})
	}
}

func TestProofEndsTheCheck(t *testing.T) {
	k := newClock(t, nil)
	k.step()
	k.sleep(time.Millisecond)
	first := k.c.waiting[0]
	first.first(returned)
	k.c.onReturn(Return{}, k.now)
	s := k.step()
	k.want("more is sent", s.send, 0)
	k.want("done while others may still come home", s.done, false)
	k.sleep(s.wake.sub(k.now))
	k.want("done when settled", k.step().done, true)

	k = newClock(t, nil)
	k.step()
	for _, p := range k.c.waiting {
		p.first(returned)
		k.c.onReturn(Return{}, k.now)
	}
	k.want("wait for the answers", k.step().wake.sub(k.now), answerTail)
	k.answer(dns.RcodeSuccess, all)
	k.want("done when all is in", k.step().done, true)
}

func TestSilentTransportWaitsForItsSibling(t *testing.T) {
	udp, tcp := newClock(t, nil), newClock(t, nil)
	udp.c.sibling, tcp.c.sibling = tcp.c, udp.c
	udp.step()
	tcp.step()
	udp.answer(dns.RcodeNameError, all)
	udp.sleep(time.Second)
	udp.want("UDP done", udp.step().done, true)
	udp.c.done, udp.c.doneAt = true, udp.now

	tcp.now = udp.now
	s := tcp.step()
	tcp.want("TCP done with its sibling", s.done, false)
	tcp.now = udp.now.add(patience)
	tcp.want("TCP done when patience ends", tcp.step().done, true)
	tcp.want("failure", tcp.result().Failure, Silent)
}

// A proven loop leaves little to wait for.
func TestSilentTransportBesideALoop(t *testing.T) {
	udp, tcp := newClock(t, nil), newClock(t, nil)
	udp.c.sibling, tcp.c.sibling = tcp.c, udp.c
	tcp.step()
	udp.c.done, udp.c.doneAt, udp.c.Returned = true, udp.now, 1
	tcp.want("TCP done at once", tcp.step().done, false)
	tcp.now = udp.now.add(minSettle)
	tcp.want("TCP done when settled", tcp.step().done, true)
}

func TestSpread(t *testing.T) {
	k := newClock(t, func(o *Options) { o.Probes, o.Spread = 60, 15*time.Second })
	for k.c.Sent < 60 {
		s := k.step()
		k.answer(dns.RcodeNameError, all)
		if s.send > 1 {
			t.Fatalf("%d probes at once", s.send)
		}
		k.now = s.wake
	}
	if d := k.now.sub(k.c.started); d < 14*time.Second || d > 16*time.Second {
		t.Errorf("60 probes took %v", d)
	}
}

func TestSlowAnswersCountOnlyInTime(t *testing.T) {
	k := newClock(t, nil)
	k.step()
	k.sleep(3 * time.Second)
	k.answer(dns.RcodeNameError, all)
	k.want("answered", k.result().Answered, 0)
	k.want("failure", k.result().Failure, Silent)
}
