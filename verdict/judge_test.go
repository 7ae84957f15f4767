package verdict

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/resolvconf"
)

// What a check can have seen.
var (
	answered = probe.Result{Sent: 8, Answered: 8, RTT: time.Millisecond}
	silent   = probe.Result{Sent: 20, Failure: probe.Silent}
	refused  = probe.Result{Sent: 8, Failure: probe.Refused}
	errored  = probe.Result{Sent: 8, Failure: probe.ErrorRcode, Detail: "SERVFAIL"}
	partly   = probe.Result{Sent: 20, Answered: 3, Failure: probe.Silent}
	filtered = probe.Result{Sent: 11, Answered: 8, Filtered: []string{"HINFO"}}
	returned = probe.Result{Sent: 8, Answered: 8, Returned: 1, Returns: []probe.Return{{
		Query: "HINFO 1.2.", From: netip.MustParseAddrPort("10.0.0.2:4000"), To: netip.MustParseAddrPort("0.0.0.0:53"),
		Transport: plan.UDP, After: time.Millisecond,
	}}}
	direct = probe.Result{Sent: 8, Answered: 8, Returned: 1, Returns: []probe.Return{{
		Query: "HINFO 1.2.", From: netip.MustParseAddrPort("127.0.0.1:4000"), To: netip.MustParseAddrPort("0.0.0.0:53"),
		Transport: plan.UDP, After: time.Millisecond, Direct: true,
	}}}
)

var thisHost = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("10.0.0.1")}

// ears are listeners and their states, over both transports: "0.0.0.0:53 listening".
func ears(specs ...string) []probe.Ear {
	var out []probe.Ear
	for _, s := range specs {
		addr, state, _ := strings.Cut(s, " ")
		for _, t := range []plan.Transport{plan.UDP, plan.TCP} {
			out = append(out, probe.Ear{Addr: netip.MustParseAddrPort(addr), Transport: t, State: probe.State(state)})
		}
	}
	return out
}

// scenario is one upstream over UDP and TCP.
type scenario struct {
	upstream string
	listen   []string // default: the wildcards of port 53
	udp, tcp probe.Result
	ears     []probe.Ear // default: all listen
	change   func(*Input)
}

func (s scenario) input(t *testing.T) Input {
	t.Helper()
	u, err := plan.ParseTarget(s.upstream)
	if err != nil {
		t.Fatal(err)
	}
	if s.listen == nil {
		s.listen = []string{":53"}
	}
	var ls []plan.Listener
	for _, l := range s.listen {
		more, err := plan.ParseListen(l)
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, more...)
	}
	in := Input{Results: []probe.Result{s.udp, s.tcp}, Ears: s.ears, Facts: Facts{Own: thisHost}, FailOn: FailUnknown}
	in.Plan = plan.New([]plan.Server{{Listeners: ls, Zones: []string{"."}, Upstreams: []plan.Upstream{u}}},
		plan.Options{Transports: []plan.Transport{plan.UDP, plan.TCP}})
	if in.Ears == nil {
		for _, l := range ls {
			in.Ears = append(in.Ears, ears(l.Addr.String()+" listening")...)
		}
	}
	if s.change != nil {
		s.change(&in)
	}
	return in
}

// replan makes the plan anew with other options.
func replan(o plan.Options) func(*Input) {
	return func(in *Input) {
		c := in.Plan.Checks[0]
		o.Transports = []plan.Transport{plan.UDP, plan.TCP}
		in.Plan = plan.New([]plan.Server{{Listeners: c.Listeners, Zones: []string{"."}, Upstreams: []plan.Upstream{c.Upstream}}}, o)
		in.NoProbe = o.NoProbe
	}
}

// The contract's tables: each row is the verdict and codes of UDP, then of TCP,
// then the run's verdict and exit status.
func TestVerdicts(t *testing.T) {
	const other = "10.0.0.2"
	noProbe, pod, both := plan.Options{NoProbe: true}, plan.Options{Pod: true}, plan.Options{NoProbe: true, Pod: true}
	allowed := func(in *Input) {
		for i := range in.Plan.Checks {
			in.Plan.Checks[i].Upstream.Allowed = "meant so"
		}
	}
	for name, tt := range map[string]struct {
		s    scenario
		want string
	}{
		"answered, none returned":         {scenario{upstream: other, udp: answered, tcp: answered}, "clear; clear; clear 0"},
		"one return over one transport":   {scenario{upstream: other, udp: returned, tcp: answered}, "loop DL001; clear; loop 1"},
		"a return without an answer":      {scenario{upstream: other, udp: probe.Result{Sent: 1, Returned: 1, Returns: returned.Returns}, tcp: silent}, "loop DL001; loop DL012; loop 1"},
		"straight from our own socket":    {scenario{upstream: "10.0.0.1", udp: direct, tcp: direct}, "loop DL001 DL002 DL004; loop DL001 DL002 DL004; loop 1"},
		"turned around on its way":        {scenario{upstream: other, udp: direct, tcp: direct}, "loop DL001; loop DL001; loop 1"},
		"own addresses not known":         {scenario{upstream: other, udp: direct, tcp: direct, change: func(in *Input) { in.Facts.Own = nil }}, "loop DL001 DL002; loop DL001 DL002; loop 1"},
		"silence":                         {scenario{upstream: other, udp: silent, tcp: silent}, "unknown DL007; unknown DL007; unknown 3"},
		"refused":                         {scenario{upstream: other, udp: refused, tcp: refused}, "unknown DL007; unknown DL007; unknown 3"},
		"error rcodes":                    {scenario{upstream: other, udp: errored, tcp: errored}, "unknown DL007; unknown DL007; unknown 3"},
		"too few answers":                 {scenario{upstream: other, udp: partly, tcp: partly}, "unknown DL007; unknown DL007; unknown 3"},
		"a filtered type":                 {scenario{upstream: other, udp: filtered, tcp: answered}, "clear DL008; clear; clear 0"},
		"TCP refused":                     {scenario{upstream: other, udp: answered, tcp: refused}, "clear; clear DL012; clear 0"},
		"UDP silent":                      {scenario{upstream: other, udp: silent, tcp: answered}, "clear DL012; clear; clear 0"},
		"TCP with errors":                 {scenario{upstream: other, udp: answered, tcp: errored}, "clear; clear DL012; clear 0"},
		"TCP silent beside a loop":        {scenario{upstream: other, udp: returned, tcp: silent}, "loop DL001; loop DL012; loop 1"},
		"one decided, one half":           {scenario{upstream: other, udp: answered, tcp: partly}, "clear; unknown DL007; unknown 3"},
		"loopback that answers":           {scenario{upstream: "127.0.0.53", udp: answered, tcp: answered}, "risk DL003; risk DL003; risk 0"},
		"loopback, TCP refused":           {scenario{upstream: "127.0.0.53", udp: answered, tcp: refused}, "risk DL003; risk DL003 DL012; risk 0"},
		"loopback that is silent":         {scenario{upstream: "127.0.0.53", udp: silent, tcp: silent}, "unknown DL003 DL007; unknown DL003 DL007; unknown 3"},
		"loopback that we hold":           {scenario{upstream: "127.0.0.53", udp: direct, tcp: direct}, "loop DL001 DL002 DL003; loop DL001 DL002 DL003; loop 1"},
		"own address of another server":   {scenario{upstream: "10.0.0.1:5353", udp: answered, tcp: answered}, "risk DL004; risk DL004; risk 0"},
		"unspecified":                     {scenario{upstream: "0.0.0.0", udp: answered, tcp: answered}, "risk DL005; risk DL005; risk 0"},
		"IPv4-mapped":                     {scenario{upstream: "::ffff:127.0.0.53", udp: answered, tcp: answered}, "risk DL003; risk DL003; risk 0"},
		"allowed":                         {scenario{upstream: "127.0.0.53", udp: answered, tcp: answered, change: allowed}, "clear DL003; clear DL003; clear 0"},
		"a loop is never allowed":         {scenario{upstream: "127.0.0.53", udp: returned, tcp: answered, change: allowed}, "loop DL001 DL003; clear DL003; loop 1"},
		"a listener names it":             {scenario{upstream: "127.0.0.53", listen: []string{"127.0.0.53:53"}, udp: answered, tcp: answered}, "loop DL002 DL003; loop DL002 DL003; loop 1"},
		"a listener names loopback, ::":   {scenario{upstream: "::", listen: []string{"[::1]:53"}, udp: silent, tcp: silent}, "loop DL002 DL005; loop DL002 DL005; loop 1"},
		"a listener of another port":      {scenario{upstream: "127.0.0.53", listen: []string{"127.0.0.53:1053"}, udp: answered, tcp: answered}, "risk DL003; risk DL003; risk 0"},
		"no probe":                        {scenario{upstream: other, change: replan(noProbe)}, "clear; clear; clear 0"},
		"no probe, loopback":              {scenario{upstream: "127.0.0.53", change: replan(noProbe)}, "risk DL003; risk DL003; risk 0"},
		"no probe, own":                   {scenario{upstream: "10.0.0.1", change: replan(noProbe)}, "risk DL004; risk DL004; risk 0"},
		"no probe, named":                 {scenario{upstream: "10.0.0.1", listen: []string{"10.0.0.1:53"}, change: replan(noProbe)}, "loop DL002 DL004; loop DL002 DL004; loop 1"},
		"no probe, unspecified":           {scenario{upstream: "0.0.0.0", listen: []string{"0.0.0.0:53"}, change: replan(noProbe)}, "risk DL005; risk DL005; risk 0"},
		"pod":                             {scenario{upstream: "127.0.0.53", change: replan(pod)}, "loop DL002 DL003; loop DL002 DL003; loop 1"},
		"pod, unspecified":                {scenario{upstream: "::", change: replan(pod)}, "loop DL002 DL005; loop DL002 DL005; loop 1"},
		"pod, IPv4 listener, IPv6":        {scenario{upstream: "::1", listen: []string{"0.0.0.0:53"}, change: replan(pod)}, "risk DL003; risk DL003; risk 0"},
		"pod, another port":               {scenario{upstream: "127.0.0.1:5353", change: replan(pod)}, "risk DL003; risk DL003; risk 0"},
		"pod, not probed":                 {scenario{upstream: "127.0.0.53", change: replan(both)}, "loop DL002 DL003; loop DL002 DL003; loop 1"},
		"pod, the node's address":         {scenario{upstream: "10.0.0.1", udp: direct, tcp: direct, change: replan(pod)}, "risk DL004; risk DL004; risk 0"},
		"pod, a node's cache":             {scenario{upstream: "10.0.0.1", udp: answered, tcp: answered, change: replan(pod)}, "clear; clear; clear 0"},
		"pod, a loop elsewhere":           {scenario{upstream: other, udp: returned, tcp: answered, change: replan(pod)}, "loop DL001; clear; loop 1"},
		"deaf":                            {scenario{upstream: other, udp: answered, tcp: answered, ears: ears("0.0.0.0:53 listening", "[::]:53 deaf")}, "unknown DL009; unknown DL009; unknown 3"},
		"no IPv6 here":                    {scenario{upstream: other, udp: answered, tcp: answered, ears: ears("0.0.0.0:53 listening", "[::]:53 unavailable")}, "clear; clear; clear 0"},
		"held, others bound":              {scenario{upstream: other, udp: answered, tcp: answered, ears: ears("0.0.0.0:53 held", "127.0.0.1:53 listening", "10.0.0.1:53 listening", "[::]:53 listening")}, "clear; clear; clear 0"},
		"held where it would come home":   {scenario{upstream: other, udp: answered, tcp: answered, ears: ears("0.0.0.0:53 held", "127.0.0.1:53 listening", "10.0.0.1:53 held", "[::]:53 listening")}, "unknown DL009; unknown DL009; unknown 3"},
		"local, loopback bound":           {scenario{upstream: "127.0.0.53", udp: answered, tcp: answered, ears: ears("0.0.0.0:53 held", "127.0.0.1:53 listening", "10.0.0.1:53 held")}, "risk DL003; risk DL003; risk 0"},
		"one of two named is held":        {scenario{upstream: other, listen: []string{"127.0.0.1:53", "10.0.0.1:53"}, udp: answered, tcp: answered, ears: ears("127.0.0.1:53 listening", "10.0.0.1:53 held")}, "unknown DL009; unknown DL009; unknown 3"},
		"loopback listener, far upstream": {scenario{upstream: other, listen: []string{"127.0.0.1:53"}, udp: answered, tcp: answered}, "clear; clear; clear 0"},
		"no descriptor for one":           {scenario{upstream: other, udp: answered, tcp: answered, ears: ears("0.0.0.0:53 listening", "[::]:53 exhausted")}, "unknown DL009; unknown DL009; unknown 3"},
		"no descriptor for a wildcard":    {scenario{upstream: other, udp: answered, tcp: answered, ears: ears("0.0.0.0:53 exhausted", "[::]:53 listening")}, "unknown DL009; unknown DL009; unknown 3"},
		"a return, though half deaf":      {scenario{upstream: other, udp: returned, tcp: answered, ears: ears("0.0.0.0:53 listening", "[::]:53 deaf")}, "loop DL001; unknown DL009; loop 1"},
		"nowhere to listen": {scenario{upstream: "127.0.0.53", ears: ears("0.0.0.0:53 denied", "[::]:53 denied"), change: func(in *Input) {
			for i := range in.Plan.Checks {
				in.Plan.Checks[i].Unprobed = plan.NoEar
			}
		}}, "unknown DL003 DL009; unknown DL003 DL009; unknown 3"},
		"a name that does not resolve": {scenario{upstream: "tls://dns.example", udp: probe.Result{Failure: probe.NotProbed, Detail: "no such host"}}, "unknown DL014; unknown 3"},
		"TLS without a session":        {scenario{upstream: "tls://10.0.0.2", udp: probe.Result{Sent: 8, Failure: probe.BadTLS}}, "unknown DL007; unknown 3"},
		"questions nobody explains": {scenario{upstream: other, udp: answered, tcp: answered, change: func(in *Input) {
			in.Strays = []probe.Stray{{Query: "A www.example.", From: netip.MustParseAddr(other), Count: 3}}
		}}, "risk DL016; risk DL016; risk 0"},
		"questions of others": {scenario{upstream: other, udp: answered, tcp: answered, change: func(in *Input) {
			in.Strays = []probe.Stray{{Query: "A www.example.", From: netip.MustParseAddr("10.0.0.77"), Count: 3}}
		}}, "clear; clear; clear 0"},
		"stopped": {scenario{upstream: other, udp: answered, tcp: answered, change: func(in *Input) { in.Stopped = true }}, "clear; clear; unknown 3"},
		"stopped after the proof": {scenario{upstream: other, udp: returned, tcp: silent, change: func(in *Input) { in.Stopped, in.FailOn = true, FailNever }},
			"loop DL001; loop DL012; loop 1"},
	} {
		in := tt.s.input(t)
		in.Results = in.Results[:len(in.Plan.Checks)]
		r := Judge(in)
		var got []string
		for _, c := range r.Checks {
			got = append(got, strings.Join(append([]string{string(c.Verdict)}, c.Codes...), " "))
		}
		got = append(got, string(r.Verdict)+" "+string('0'+rune(r.ExitStatus)))
		if g := strings.Join(got, "; "); g != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, g, tt.want)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		f    FailOn
		want [4]int // clear, risk, unknown, loop
	}{
		{FailNever, [4]int{0, 0, 0, 0}},
		{FailLoop, [4]int{0, 0, 0, 1}},
		{FailUnknown, [4]int{0, 0, 3, 1}},
		{FailRisk, [4]int{0, 3, 3, 1}},
	} {
		for i, v := range []Verdict{Clear, Risk, Unknown, Loop} {
			if got := tt.f.exitStatus(v, false); got != tt.want[i] {
				t.Errorf("--fail-on %s, %s: exit status %d, want %d", tt.f, v, got, tt.want[i])
			}
		}
	}
}

func TestWorse(t *testing.T) {
	order := []Verdict{Clear, Risk, Unknown, Loop}
	for i, a := range order {
		for j, b := range order {
			if got := worse(a, b); got != order[max(i, j)] {
				t.Errorf("%s and %s make %s", a, b, got)
			}
		}
	}
}

// file is an input with a resolv.conf of its own.
func file(t *testing.T, text string, results ...probe.Result) Input {
	t.Helper()
	conf, err := resolvconf.Parse("f", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ls, _ := plan.ParseListen(":53")
	in := Input{Files: []File{{Name: "f", Conf: conf}}, Lines: map[string][][]byte{"f": bytes.Split([]byte(text), []byte("\n"))}, Results: results, Ears: ears("0.0.0.0:53 listening", "[::]:53 listening"), Facts: Facts{Own: thisHost, Service: resolvconf.Service}}
	in.Plan = plan.New([]plan.Server{plan.FromResolvConf("f", conf, ls, []string{"."})}, plan.Options{Transports: []plan.Transport{plan.UDP}})
	return in
}

func TestFindingsOfAFile(t *testing.T) {
	type place struct {
		Code  string
		Level Level
		Line  int
	}
	for name, tt := range map[string]struct {
		in   Input
		want []place
	}{
		"a loop, a risk and a bad line": {
			file(t, "nameserver 127.0.0.53\nnameserver x\nnameserver 10.0.0.2\n", answered, returned),
			[]place{{"DL001", Error, 3}, {"DL003", Warning, 1}, {"DL018", Warning, 2}},
		},
		"no nameserver": {file(t, "search example.\n", answered), []place{{"DL003", Warning, 0}, {"DL011", Warning, 0}}},
		"four": {
			file(t, "nameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\nnameserver 10.0.0.5\n", answered, answered, answered, answered),
			[]place{{"DL011", Warning, 4}},
		},
		"a ClusterFirst pod's": {
			file(t, "search a.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n", answered),
			[]place{{"DL006", Warning, 2}},
		},
	} {
		var got []place
		for _, f := range Judge(tt.in).Findings {
			got = append(got, place{f.Code, f.Level, f.Source.Line})
			if f.Source.File != "f" || f.Message == "" || len(f.Advice) == 0 {
				t.Errorf("%s: %+v: want file, message and advice", name, f)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A remedy is an address that this run found clear, and nothing else.
func TestRemediesAreVerified(t *testing.T) {
	in := file(t, "nameserver 127.0.0.53\n", returned)
	if r := Judge(in); len(r.Remedies) != 0 {
		t.Errorf("nothing was found clear, yet offered: %+v", r.Remedies)
	}
	in.Clean, in.CleanFrom = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:53")}, "/run/systemd/resolve/resolv.conf"
	r := Judge(in)
	want := []Remedy{{
		Kind: "upstreams", Addresses: []string{"10.0.0.9:53"}, From: in.CleanFrom, Verified: true,
		Change: "in f line 1 write `nameserver 10.0.0.9` instead of `nameserver 127.0.0.53`",
		File:   "f", Line: 1, Old: "nameserver 127.0.0.53", New: []string{"nameserver 10.0.0.9"},
	}}
	if diff := cmp.Diff(want, r.Remedies); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !slices.Contains(r.Findings[0].Advice, want[0].Change) {
		t.Errorf("the advice does not carry the change: %q", r.Findings[0].Advice)
	}

	// The file's own clear nameserver comes before any other file's.
	in = file(t, "nameserver 127.0.0.53\nnameserver 10.0.0.2\n", returned, answered)
	in.Clean, in.CleanFrom = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:53")}, "/run/systemd/resolve/resolv.conf"
	if got := Judge(in).Remedies; len(got) != 1 || got[0].From != "f" || len(got[0].New) != 0 {
		t.Errorf("remedies %+v: want line 1 deleted", got)
	}
	// One that loops or is silent is not kept.
	in = file(t, "nameserver 127.0.0.53\nnameserver 10.0.0.2\n", returned, silent)
	if got := Judge(in).Remedies; len(got) != 0 {
		t.Errorf("remedies %+v: want none", got)
	}
}

func TestListenerFindings(t *testing.T) {
	in := scenario{upstream: "10.0.0.2", listen: []string{":1053"}, udp: answered, tcp: answered}.input(t)
	in.Facts.Holders = []Holder{{Addr: netip.MustParseAddrPort("0.0.0.0:53"), Transport: "udp", Process: "dnsmasq", PID: 7}}
	r := Judge(in)
	if len(r.Findings) != 1 || r.Findings[0].Code != "DL015" || !strings.Contains(r.Findings[0].Message, "dnsmasq (pid 7)") || r.Verdict != Clear {
		t.Errorf("%s, %+v: want clear with DL015 that names dnsmasq", r.Verdict, r.Findings)
	}
	in = scenario{upstream: "10.0.0.2", udp: answered, tcp: answered,
		ears: ears("0.0.0.0:53 held", "127.0.0.1:53 listening", "10.0.0.1:53 listening", "[::]:53 unavailable")}.input(t)
	in.Facts.Holders = []Holder{{Addr: netip.MustParseAddrPort("127.0.0.53:53"), Transport: "udp", Process: "systemd-resolve", PID: 7}}
	r = Judge(in)
	if len(r.Findings) != 1 || r.Findings[0].Code != "DL009" || !strings.Contains(r.Findings[0].Message, "systemd-resolve (pid 7)") ||
		!strings.Contains(r.Findings[0].Message, "the server itself cannot bind there") {
		t.Errorf("%+v: want DL009 that names systemd-resolve", r.Findings)
	}
}

// What kept the stand-in from hearing is said where it is known, and nobody
// else is blamed.
func TestDeafForAReason(t *testing.T) {
	for _, tt := range []struct {
		states  []string
		err     error
		message string
		advice  string
	}{
		{[]string{"0.0.0.0:53 held", "[::]:53 exhausted"}, errors.New("socket: too many open files"), "dnsloop ran out of file descriptors", "`ulimit -n 1024`"},
		{[]string{"0.0.0.0:53 deaf"}, probe.LoopbackDown("lo"), "the interface lo is down", "`ip link set lo up`"},
		{[]string{"0.0.0.0:53 deaf"}, errors.New("not heard"), "0.0.0.0:53 tcp (deaf)", "`nft list ruleset`"},
	} {
		in := scenario{upstream: "10.0.0.2", udp: answered, tcp: answered, ears: ears(tt.states...)}.input(t)
		for i := range in.Ears {
			in.Ears[i].Err = tt.err
		}
		fs := Judge(in).Findings
		if len(fs) != 1 || fs[0].Code != "DL009" || !strings.HasSuffix(fs[0].Message, tt.message) ||
			!slices.ContainsFunc(fs[0].Advice, func(s string) bool { return strings.Contains(s, tt.advice) }) {
			t.Errorf("%v, %v: %+v: want DL009 that ends with %q and advises %q", tt.states, tt.err, fs, tt.message, tt.advice)
		}
	}
}
