package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// The servers that read the configurations under test, each in the foreground,
// from the scratch directory of its host.
var (
	runDnsmasq = []string{"dnsmasq", "--keep-in-foreground", "--conf-file=dnsmasq.conf", "--user=root", "--pid-file=", "--log-facility=-"}
	runUnbound = []string{"unbound", "-d", "-p", "-c", "unbound.conf"}
	runNamed   = []string{"named", "-g", "-c", "named.conf"}
)

// unboundServer is how the Unbound under test serves everybody.
const unboundServer = "server:\n\tdo-daemonize: no\n\tuse-syslog: no\n\tusername: \"\"\n\tchroot: \"\"\n\tpidfile: \"\"\n" +
	"\tdirectory: \".\"\n\tmodule-config: iterator\n\taccess-control: 0.0.0.0/0 allow\n\tinterface: 0.0.0.0\n"

// namedOptions are those of the BIND under test.
const namedOptions = "\tdirectory \".\";\n\tpid-file none;\n\tsession-keyfile none;\n\tdnssec-validation no;\n\tlisten-on-v6 { none; };\n"

var advisedServers = []advised{
	{
		name: "dnsmasq forwards to a loop", serves: runDnsmasq, args: []string{"dnsmasq.conf"},
		files: map[string]string{
			resolvedFile:     "nameserver GOOD\n",
			"dnsmasq.conf":   "no-resolv\nno-hosts\nconf-dir=dnsmasq.d\n",
			"dnsmasq.d/back": "# the router\nserver=LOOP#53 # it asks back\n",
		},
		want: []string{"in dnsmasq.d/back line 2 write `server=GOOD # it asks back` instead of `server=LOOP#53 # it asks back`"},
	},
	{
		name: "dnsmasq forwards to a loop and to a server", serves: runDnsmasq, args: []string{"dnsmasq.conf"},
		files: map[string]string{"dnsmasq.conf": "no-resolv\nno-hosts\nserver=LOOP\nserver=GOOD\n"},
		want:  []string{"in dnsmasq.conf line 3 delete `server=LOOP`; `GOOD` stays"},
	},
	{
		name: "dnsmasq forwards one zone to a loop", serves: runDnsmasq, args: []string{"dnsmasq.conf"},
		files: map[string]string{"dnsmasq.conf": "no-resolv\nno-hosts\nserver=/example.net/LOOP\nserver=GOOD\n", resolvedFile: "nameserver GOOD\n"},
		want:  []string{"in dnsmasq.conf line 3 write `server=/example.net/GOOD` instead of `server=/example.net/LOOP`"},
	},
	{
		name: "dnsmasq takes a loop from /etc/resolv.conf", serves: runDnsmasq, args: []string{"dnsmasq.conf"},
		files: map[string]string{
			"dnsmasq.conf": "no-hosts\n", hostResolvConf: "nameserver 127.0.0.1\nnameserver LOOP\nnameserver GOOD\n",
		},
		want: []string{"in /etc/resolv.conf line 2 delete `nameserver LOOP`; `nameserver GOOD` stays"},
	},
	{
		name: "dnsmasq forwards to an address that it holds and does not know", serves: runDnsmasq, args: []string{"dnsmasq.conf"},
		files: map[string]string{"dnsmasq.conf": "no-resolv\nno-hosts\nserver=127.0.0.53\n", resolvedFile: "nameserver GOOD\n"},
		want:  []string{"in dnsmasq.conf line 3 write `server=GOOD` instead of `server=127.0.0.53`"},
	},
	{
		name: "unbound forwards to a loop", serves: runUnbound, args: []string{"unbound.conf"},
		files: map[string]string{
			resolvedFile:              "nameserver GOOD\n",
			"unbound.conf":            unboundServer + "include-toplevel: \"unbound.conf.d/*.conf\"\n",
			"unbound.conf.d/fwd.conf": "forward-zone:\n\tname: \".\"\n\tforward-addr: LOOP@53\n",
		},
		want: []string{"in unbound.conf.d/fwd.conf line 3 write `forward-addr: GOOD` instead of `forward-addr: LOOP@53`"},
	},
	{
		name: "unbound forwards to a loop and to a server", serves: runUnbound, args: []string{"unbound.conf"},
		files: map[string]string{"unbound.conf": unboundServer + "forward-zone:\n\tname: \".\"\n\tforward-addr: LOOP\n\tforward-addr: GOOD\n"},
		want:  []string{"in unbound.conf line 13 delete `forward-addr: LOOP`; `GOOD` stays"},
	},
	{
		name: "unbound forwards to itself", serves: runUnbound, args: []string{"unbound.conf"},
		files: map[string]string{
			resolvedFile:   "nameserver GOOD\n",
			"unbound.conf": unboundServer + "forward-zone:\n\tname: example.net\n\tforward-addr: SELF\n",
		},
		want: []string{"in unbound.conf line 13 write `forward-addr: GOOD` instead of `forward-addr: SELF`"},
	},
	{
		name: "BIND forwards to a loop", serves: runNamed, args: []string{"named.conf"},
		files: map[string]string{
			resolvedFile:         "nameserver GOOD\n",
			"named.conf":         "include \"named.conf.options\";\n",
			"named.conf.options": "options {\n" + namedOptions + "\tforward only;\n\tforwarders {\n\t\tLOOP; // the router\n\t};\n};\n",
		},
		want: []string{"in named.conf.options line 9 write `GOOD; // the router` instead of `LOOP; // the router`"},
	},
	{
		name: "BIND forwards to a loop and to a server", serves: runNamed, args: []string{"named.conf"},
		files: map[string]string{"named.conf": "options {\n" + namedOptions + "\tforward only;\n\tforwarders { LOOP; GOOD; };\n};\n"},
		want:  []string{"in named.conf line 8 write `forwarders { GOOD; };` instead of `forwarders { LOOP; GOOD; };`"},
	},
	{
		name: "BIND forwards a zone to itself", serves: runNamed, args: []string{"named.conf"},
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"named.conf": "options {\n" + namedOptions + "};\nzone \"example.net\" { type forward; forward only; forwarders { SELF port 53; }; };\n",
		},
		want: []string{"in named.conf line 8 write `zone \"example.net\" { type forward; forward only; forwarders { GOOD; }; };` " +
			"instead of `zone \"example.net\" { type forward; forward only; forwarders { SELF port 53; }; };`"},
	},
}

// TestServersAdviceEndsTheLoop is TestAdviceEndsTheLoop for the configurations of
// dnsmasq, unbound and BIND: the changed file is what the real server starts with.
func TestServersAdviceEndsTheLoop(t *testing.T) {
	need(t, "dnsmasq", "unbound", "named")
	for _, a := range advisedServers {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			a.follow(t)
		})
	}
}

// TestServersAcceptance: each server accepts the inputs of ok and refuses those of
// err, and so does dnsloop.
func TestServersAcceptance(t *testing.T) {
	need(t, "dnsmasq", "unbound-checkconf", "named-checkconf")
	for _, s := range []struct {
		name, option string
		check        []string
	}{
		{"dnsmasq", "--dnsmasq-conf", []string{"dnsmasq", "--test", "-C"}},
		{"unbound", "--unbound-conf", []string{"unbound-checkconf"}},
		{"named", "--named-conf", []string{"named-checkconf"}},
	} {
		dir := filepath.Join("../testdata/forwarders", s.name)
		run := func(argv ...string) (bool, string) {
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			return err == nil, string(out)
		}
		for _, path := range globbed(t, filepath.Join(dir, "*", "*.conf")) {
			outcome, base := filepath.Base(filepath.Dir(path)), filepath.Base(path)
			if outcome == "include" {
				continue
			}
			input := filepath.Join(outcome, base)
			if ok, said := run(append(s.check, input)...); ok != (outcome == "ok") {
				t.Errorf("%s: %s accepts it: %t\n%s", path, s.name, ok, said)
			}
			ours := exec.Command(dnsloopBin, "--no-probe", "-q", "--fail-on", "never", s.option, input)
			ours.Dir = dir
			said, err := ours.CombinedOutput()
			if status := ours.ProcessState.ExitCode(); status != 0 && status != 2 || (status == 2) != (outcome == "err") {
				t.Errorf("%s: dnsloop: %v\n%s", path, err, said)
			}
		}
	}
}

// TestServersNeverAsk holds what is said of upstreams that a server leaves out, or
// chooses, against the server.
func TestServersNeverAsk(t *testing.T) {
	need(t, "dnsmasq", "unbound", "named")
	answer := func(t *testing.T, h *host) string {
		t.Helper()
		m := new(dns.Msg)
		m.SetQuestion("www.example.net.", dns.TypeA)
		var reply *dns.Msg
		if err := h.inside(func() (err error) {
			reply, _, err = (&dns.Client{Timeout: patience}).Exchange(m, addr(h.v4, 53))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return dns.RcodeToString[reply.Rcode]
	}
	const own = "no-resolv\nno-hosts\nserver=127.0.0.1\nserver=SELF\nserver=::1\nserver=0.0.0.0\n"
	const forward = "forward-zone:\n\tname: \".\"\n\tforward-addr: 127.0.0.1@5353\n"
	for _, c := range []struct {
		name, file, text string
		argv             []string
		checks           int    // that dnsloop has of it
		rcode            string // NOERROR: the server behind answered
	}{
		{"dnsmasq skips its own addresses", "dnsmasq.conf", own, runDnsmasq, 0, "REFUSED"},
		{"dnsmasq asks another port", "dnsmasq.conf", own + "server=127.0.0.1#5353\n", runDnsmasq, 2, "NOERROR"},
		{"dnsmasq asks an address that it does not serve at", "dnsmasq.conf",
			"no-resolv\nlisten-address=SELF\nbind-interfaces\nport=53\nserver=127.0.0.1#5353\n", runDnsmasq, 2, "NOERROR"},
		{"unbound asks no loopback address", "unbound.conf", unboundServer + forward, runUnbound, 0, "SERVFAIL"},
		{"unbound is told to", "unbound.conf", unboundServer + "\tdo-not-query-localhost: no\n" + forward, runUnbound, 2, "NOERROR"},
		{"unbound is told not to ask one", "unbound.conf",
			unboundServer + "\tdo-not-query-localhost: no\n\tdo-not-query-address: 127.0.0.0/30\n" + forward, runUnbound, 0, "SERVFAIL"},
		{"unbound takes the later of two zones", "unbound.conf", unboundServer + "\tdo-not-query-localhost: no\n" +
			"forward-zone:\n\tname: \".\"\n\tforward-addr: 127.0.0.1@1\n" + forward, runUnbound, 2, "NOERROR"},
		{"BIND takes its own port for its forwarders'", "named.conf",
			"options {\n" + namedOptions + "\tport 5353; listen-on port 53 { SELF; };\n\tforward only; forwarders { 127.0.0.1; };\n};\n", runNamed, 2, "NOERROR"},
		{"BIND asks none that is bogus", "named.conf", "options {\n" + namedOptions +
			"\tforward only; forwarders { 127.0.0.1 port 5353; };\n};\nserver 127.0.0.0/8 { bogus yes; };\n", runNamed, 0, "SERVFAIL"},
		{"BIND asks none that is in blackhole", "named.conf", "options {\n" + namedOptions +
			"\tblackhole { 127.0.0.1; };\n\tforward only; forwarders { 127.0.0.1 port 5353; };\n};\n", runNamed, 0, "SERVFAIL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newNetwork(t).host()
			h.serve("127.0.0.1:5353", coreDNSBin, "-conf", h.file("behind", ".:5353 {\n\tbind 127.0.0.1\n\tchaos\n"+
				"\ttemplate IN A {\n\t\tanswer \"{{ .Name }} 60 IN A "+resolved+"\"\n\t}\n}\n"))
			write(t, h.real(c.file), strings.ReplaceAll(c.text, "SELF", h.v4))
			cmd := h.command(dnsloopBin, "--no-probe", "-f", "json", c.file)
			cmd.Dir = h.dir
			if r, _ := runDNSLoop(t, cmd); len(r.Checks) != c.checks {
				t.Errorf("%d checks, want %d: %+v", len(r.Checks), c.checks, r.Checks)
			}
			cmd = h.command(c.argv...)
			cmd.Dir = h.dir
			p := launch(t, cmd)
			p.answers(h, addr(h.v4, 53))
			if got := answer(t, h); got != c.rcode {
				t.Errorf("%s answers %s, want %s", c.argv[0], got, c.rcode)
			}
		})
	}
}

// TestViews: where BIND's views treat the upstream otherwise than this host, what
// comes home ends there, and names resolve; where they do not, it goes round.
func TestViews(t *testing.T) {
	need(t, "dnsmasq", "named")
	const zone = "$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\nwww A " + resolved + "\n"
	for _, c := range []struct {
		name, clients, verdict string
		status                 int
		codes                  []string
	}{
		{"the upstream has a view of its own", "SELF; localhost;", "clear", 0, []string{"DL013", "-DL001"}},
		{"the upstream has the same view", "any;", "loop", 1, []string{"DL001", "-DL013"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			h, back := n.host(), n.host()
			back.dnsmasq(back.v4, 53, via(h.v4, 53, "#"))
			h.file("zone", zone)
			h.file("named.conf", strings.NewReplacer("SELF", h.v4, "LOOP", back.v4).Replace("options {\n"+namedOptions+"};\n"+
				"view ours { match-clients { "+c.clients+" }; forward only; forwarders { LOOP; }; };\n"+
				"view theirs { zone \"example.net\" { type primary; file \"zone\"; }; };\n"))
			cmd := h.command(dnsloopBin, "--timeout", "5s", "-f", "json", "named.conf")
			cmd.Dir = h.dir
			r, status := runDNSLoop(t, cmd)
			r.expect(t, status, c.verdict, c.status, c.codes...)
			if c.verdict == "clear" {
				h.runs(t, runNamed...)
			}
		})
	}
}
