package report_test

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/verdict"
)

// reports are what the writers are tried on, by the name of their golden files.
var reports = map[string]verdict.Report{
	"mix":        mixed(),
	"direct":     direct(),
	"tls":        overTLS(),
	"nothing":    {Verdict: verdict.Clear, Probed: true},
	"unprobed":   unprobed(),
	"no-ear":     noEar(),
	"stopped":    stopped(),
	"many":       manyChecks(),
	"hostile":    hostile("\x1b[31m\a\u202e\u2028\xff\r\n::error::x ##[y]\t%0A`|<b>]]>&,\"'$(z)"),
	"one-clear":  clearRun(check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, answered(8))),
	"two-clear":  clearRun(check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, answered(8)), check("10.0.0.3:53", ".", plan.UDP, verdict.Clear, answered(60))),
	"over-tcp":   overTCP(),
	"chain":      clearRun(check("127.0.0.1:5301", ".", plan.UDP, verdict.Clear, returned(8, 0, false, plan.UDP), "DL013")),
	"loopback":   riskOf("DL003"),
	"own":        riskOf("DL004"),
	"unspec":     riskOf("DL005"),
	"cluster":    riskOf("DL006"),
	"strays":     riskOf("DL016"),
	"risks":      {Verdict: verdict.Risk, Probed: true, Checks: append(riskOf("DL003").Checks, check("10.9.9.9:53", ".", plan.UDP, verdict.Risk, answered(8), "DL004"))},
	"self":       loopOf("DL002"),
	"seen-last":  {Verdict: verdict.Loop, Probed: true, Checks: append(loopOf("DL010").Checks, check("10.9.9.7:53", ".", plan.UDP, verdict.Loop, returned(1, 0, false, plan.TCP), "DL001"))},
	"service":    loopOf("DL006"),
	"bare-loop":  loopOf("DL001"),
	"refused":    unknownOf(failed(probe.Refused, "")),
	"rcode":      unknownOf(failed(probe.ErrorRcode, "REFUSED")),
	"no-route":   unknownOf(failed(probe.Unreachable, "")),
	"unsent":     unknownOf(failed(probe.NotProbed, "no such host")),
	"elsewhere":  unknownOf(answered(8)),
	"failures":   unknownOf(failed(probe.Silent, ""), failed(probe.Refused, "")),
	"lint":       lint(),
	"no-checks":  {Verdict: verdict.Unknown, ExitStatus: 3, Probed: true},
	"empty-read": {Verdict: verdict.Loop, ExitStatus: 1, Findings: []verdict.Finding{{Code: "DL017", Level: verdict.Error, Message: "the kubelet's resolvConf is empty, which gives pods 127.0.0.1", Source: plan.Source{File: "config.yaml", Line: 4}}}},
}

func check(addr, zone string, t plan.Transport, v verdict.Verdict, r probe.Result, codes ...string) verdict.CheckReport {
	return verdict.CheckReport{
		Check:   plan.Check{Upstream: plan.Upstream{Addr: netip.MustParseAddrPort(addr)}, Zone: zone, Transport: t},
		Verdict: v, Result: r, Probed: true, Codes: codes,
	}
}

// at is c with the place where its upstream was read.
func at(c verdict.CheckReport, file string, line int) verdict.CheckReport {
	c.Upstream.Source = plan.Source{File: file, Line: line}
	return c
}

func answered(n int) probe.Result {
	return probe.Result{Sent: n, Answered: n, RTT: 12345678 * time.Nanosecond}
}

func failed(f probe.Failure, detail string) probe.Result {
	return probe.Result{Sent: 8, Failure: f, Detail: detail}
}

func returned(n int, after time.Duration, direct bool, over plan.Transport) probe.Result {
	r := probe.Result{Sent: n, Answered: n, Returned: n, RTT: time.Millisecond}
	for i := range n {
		r.Returns = append(r.Returns, probe.Return{
			Query: fmt.Sprintf("HINFO 454%d.368%d.", i, i), From: netip.MustParseAddrPort("127.0.0.1:41953"),
			To: netip.MustParseAddrPort("0.0.0.0:53"), Transport: over, After: after + time.Duration(n-i)*time.Millisecond, Direct: direct,
		})
	}
	return r
}

func clearRun(checks ...verdict.CheckReport) verdict.Report {
	return verdict.Report{Verdict: verdict.Clear, Probed: true, Elapsed: 200 * time.Millisecond, Checks: checks}
}

// loopOf and riskOf have one upstream, judged by what code says; unknownOf has
// one for each result.
func loopOf(code string) verdict.Report {
	return verdict.Report{Verdict: verdict.Loop, ExitStatus: 1, Checks: []verdict.CheckReport{check("10.9.9.8:53", ".", plan.UDP, verdict.Loop, probe.Result{}, code)}}
}

func riskOf(code string) verdict.Report {
	return verdict.Report{Verdict: verdict.Risk, Probed: true, Checks: []verdict.CheckReport{check("10.9.9.8:53", ".", plan.UDP, verdict.Risk, answered(8), code)}}
}

func unknownOf(results ...probe.Result) verdict.Report {
	r := verdict.Report{Verdict: verdict.Unknown, ExitStatus: 3, Probed: true}
	for i, res := range results {
		r.Checks = append(r.Checks, check(fmt.Sprintf("10.9.9.%d:53", i), ".", plan.UDP, verdict.Unknown, res, "DL007"))
	}
	return r
}

func lint() verdict.Report {
	c := check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, probe.Result{})
	c.Probed, c.Unprobed = false, plan.ByRequest
	return verdict.Report{Verdict: verdict.Clear, Checks: []verdict.CheckReport{c}}
}

var ears = []probe.Ear{
	{Addr: netip.MustParseAddrPort("127.0.0.1:53"), Transport: plan.UDP, State: probe.Listening},
	{Addr: netip.MustParseAddrPort("127.0.0.53:53"), Transport: plan.UDP, State: probe.Held, Err: errors.New("bind: address already in use")},
}

func mixed() verdict.Report {
	conf := "/etc/resolv.conf"
	return verdict.Report{
		Verdict: verdict.Loop, ExitStatus: 1, Elapsed: 212400567 * time.Nanosecond, Probed: true, Ears: ears,
		Checks: []verdict.CheckReport{
			at(check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, answered(8)), conf, 1),
			at(check("10.0.0.2:53", ".", plan.TCP, verdict.Clear, failed(probe.Refused, ""), "DL012"), conf, 1),
			at(check("127.0.0.53:53", ".", plan.UDP, verdict.Loop, returned(8, 400*time.Microsecond, false, plan.UDP), "DL001", "DL003"), conf, 2),
			at(check("127.0.0.53:53", ".", plan.TCP, verdict.Loop, returned(8, 900*time.Microsecond, false, plan.UDP), "DL001", "DL003"), conf, 2),
			at(check("10.9.9.9:53", ".", plan.UDP, verdict.Unknown, failed(probe.Silent, ""), "DL007"), conf, 3),
			at(check("10.9.9.9:53", ".", plan.TCP, verdict.Unknown, failed(probe.Unreachable, "connect: network is unreachable"), "DL007"), conf, 3),
			at(check("127.0.0.1:5335", ".", plan.UDP, verdict.Risk, filtered(), "DL003", "DL008"), "my conf", 7),
		},
		Findings: []verdict.Finding{
			{Code: "DL001", Level: verdict.Error, Message: "forwarding loop through 127.0.0.53:53: 16 of 16 probes came back", Source: plan.Source{File: conf, Line: 2},
				Advice: []string{"The local resolver at 127.0.0.53 forwards to the server that you are about to start, which forwards to it again.", "In /etc/resolv.conf, line 2, write `nameserver 10.0.0.2` in place of `nameserver 127.0.0.53`.", "Start the server again."}},
			{Code: "DL007", Level: verdict.Warning, Message: "no answer from 10.9.9.9:53", Source: plan.Source{File: conf, Line: 3}, Advice: []string{"Nothing is known of it.", "Ask it by hand."}},
			{Code: "DL007", Level: verdict.Warning, Message: "no answer from 10.9.9.9:53 over tcp", Source: plan.Source{File: conf, Line: 3}, Advice: []string{"Nothing is known of it.", "Ask it by hand."}},
			{Code: "DL008", Level: verdict.Note, Message: "HINFO is filtered", Source: plan.Source{File: "my conf", Line: 7}},
			{Code: "DL009", Level: verdict.Warning, Message: "127.0.0.53:53 is held by systemd-resolve", Advice: []string{"It is taken."}},
		},
		Remedies: []verdict.Remedy{{
			Kind: "upstreams", Addresses: []string{"10.0.0.2:53"}, From: "/run/systemd/resolve/resolv.conf", Verified: true,
			Change: "in /etc/resolv.conf:2 write `nameserver 10.0.0.2` instead of `nameserver\t127.0.0.53`",
			File:   conf, Line: 2, Old: "nameserver\t127.0.0.53", New: []string{"nameserver 10.0.0.2"},
		}},
	}
}

func filtered() probe.Result {
	r := answered(6)
	r.Filtered = []string{"HINFO", "TXT"}
	return r
}

func direct() verdict.Report {
	return verdict.Report{
		Verdict: verdict.Loop, ExitStatus: 1, Probed: true, Ears: ears[:1],
		Checks: []verdict.CheckReport{
			check("127.0.0.1:53", ".", plan.UDP, verdict.Loop, returned(1, 0, true, plan.UDP), "DL001", "DL002"),
			check("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:53", "example.org.", plan.TCP, verdict.Loop, returned(2, 0, true, plan.TCP), "DL001", "DL002"),
		},
		Findings: []verdict.Finding{{Code: "DL002", Level: verdict.Error, Message: "self-forward"}},
	}
}

func overTLS() verdict.Report {
	dot := check("9.9.9.9:853", ".", plan.TLS, verdict.Clear, answered(16))
	dot.Upstream.Name = "dns.quad9.net"
	dot.Result.Unverified = "x509: certificate signed by unknown authority"
	doh := check("192.0.2.1:443", ".", plan.HTTPS, verdict.Unknown, failed(probe.BadTLS, "TLS failed: handshake failure"), "DL007")
	doh.Upstream.URL = "https://resolver.department.of.rather.long.names.example.net/dns-query/with/a/path"
	return verdict.Report{Verdict: verdict.Unknown, ExitStatus: 3, Probed: true, Checks: []verdict.CheckReport{dot, doh}}
}

func unprobed() verdict.Report {
	circle := at(check("127.0.0.1:1053", "example.org.", plan.UDP, verdict.Loop, probe.Result{}, "DL010"), "sub/Corefile", 3)
	allowed := at(check("127.0.0.1:5335", ".", plan.UDP, verdict.Clear, probe.Result{}, "DL003"), "sub/Corefile", 9)
	allowed.Upstream.Allowed = "unbound lives here"
	for _, c := range []*verdict.CheckReport{&circle, &allowed} {
		c.Probed, c.Unprobed = false, plan.ByRequest
	}
	return verdict.Report{Verdict: verdict.Loop, ExitStatus: 1, Checks: []verdict.CheckReport{circle, allowed}}
}

func noEar() verdict.Report {
	c := check("10.0.0.2:53", ".", plan.UDP, verdict.Unknown, probe.Result{}, "DL009")
	c.Probed, c.Unprobed = false, plan.NoEar
	return verdict.Report{
		Verdict: verdict.Unknown, ExitStatus: 3, Probed: true, Checks: []verdict.CheckReport{c},
		Ears: []probe.Ear{{Addr: netip.MustParseAddrPort("0.0.0.0:53"), Transport: plan.UDP, State: probe.Denied, Err: errors.New("bind: permission denied")}},
	}
}

func stopped() verdict.Report {
	return verdict.Report{Verdict: verdict.Unknown, ExitStatus: 3, Probed: true, Stopped: true, Checks: []verdict.CheckReport{
		check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, answered(8)),
		check("10.0.0.3:53", ".", plan.UDP, verdict.Unknown, failed(probe.Silent, ""), "DL007"),
	}}
}

func overTCP() verdict.Report {
	r := clearRun(check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, answered(8)))
	pod := check("127.0.0.11:53", ".", plan.UDP, verdict.Clear, probe.Result{})
	pod.Probed, pod.Unprobed = false, plan.OfThePod
	r.Checks = append(r.Checks, pod)
	return r
}

// manyChecks has 2500 upstreams with four zones each; the last few are silent.
func manyChecks() verdict.Report {
	r := verdict.Report{Verdict: verdict.Unknown, ExitStatus: 3, Probed: true}
	for i := range 2500 {
		addr := fmt.Sprintf("10.1.%d.%d:53", i/256, i%256)
		for _, zone := range []string{".", "a.example.", "b.example.", "c.example."} {
			c := check(addr, zone, plan.UDP, verdict.Clear, answered(8))
			if i >= 2470 {
				c = check(addr, zone, plan.UDP, verdict.Unknown, failed(probe.Silent, ""), "DL007")
			}
			r.Checks = append(r.Checks, at(c, "Corefile", i+1))
		}
		if i >= 2470 {
			r.Findings = append(r.Findings, verdict.Finding{Code: "DL007", Level: verdict.Warning, Message: "no answer from " + addr, Source: plan.Source{File: "Corefile", Line: i + 1}, Advice: []string{"Nothing is known of it."}})
		}
	}
	return r
}

// hostile puts s wherever a report has words of others.
func hostile(s string) verdict.Report {
	c := at(check("10.0.0.2:53", s, plan.HTTPS, verdict.Loop, probe.Result{
		Sent: 2, Answered: 1, Returned: 1, RTT: time.Millisecond, Failure: probe.ErrorRcode, Detail: s, Filtered: []string{s}, Unverified: s,
		Returns: []probe.Return{{Query: s, From: netip.MustParseAddrPort("10.0.0.2:1"), To: netip.MustParseAddrPort("10.0.0.1:53"), Transport: plan.UDP}},
	}, "DL001"), s, 1)
	c.Upstream.URL, c.Upstream.Name, c.Upstream.Allowed = s, s, s
	named := c
	named.Upstream.URL, named.Verdict = "", verdict.Clear
	skipped := c
	skipped.Upstream.URL = ""
	skipped.Probed, skipped.Unprobed, skipped.Verdict, skipped.Result = false, s, verdict.Clear, probe.Result{}
	return verdict.Report{
		Verdict: verdict.Loop, ExitStatus: 1, Probed: true,
		Ears:     []probe.Ear{{Addr: netip.MustParseAddrPort("0.0.0.0:53"), Transport: plan.UDP, State: probe.Held, Err: errors.New(s)}},
		Checks:   []verdict.CheckReport{c, named, skipped},
		Findings: []verdict.Finding{{Code: "DL001", Level: verdict.Error, Message: s, Source: plan.Source{File: s, Line: 1}, Advice: []string{s, s}}},
		Remedies: []verdict.Remedy{{Kind: "upstreams", Addresses: []string{s}, From: s, Verified: true, Change: s, File: s, Line: 1, Old: s, New: []string{s}}},
	}
}
