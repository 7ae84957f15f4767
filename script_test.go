package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dnsloop/dnsloop/host"
	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/plan"
)

// TestMain lets scripts run the command as a process of its own. Its host is a
// folder of the script's, so that no outcome hangs on this machine's files.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"dnsloop": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			c := command{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, host: host.Host{Root: os.Getenv("HOST_ROOT")}}
			status := c.run(ctx, os.Args[1:])
			os.Exit(status)
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOST_ROOT", filepath.Join(e.WorkDir, "host"))
			return os.MkdirAll(filepath.Join(e.WorkDir, "host"), 0o777)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"home":   home,
			"lab":    startLab,
			"field":  field,
			"status": status,
		},
		RequireExplicitExec: true,
	})
}

// home NAME sets NAME to an address that nobody else binds.
func home(ts *testscript.TestScript, _ bool, args []string) {
	addr, err := freeAddr()
	ts.Check(err)
	ts.Setenv(args[0], addr)
}

// freeAddr is a free port of a loopback address out of sixteen million.
func freeAddr() (string, error) {
	addr := netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return "", err
	}
	return c.LocalAddr().String(), c.Close()
}

// startLab NAME KIND [ADDR ...] starts a server and sets NAME to its address.
func startLab(ts *testscript.TestScript, _ bool, args []string) {
	name, kind := args[0], args[1]
	var to []netip.AddrPort
	for _, a := range args[2:] {
		to = append(to, netip.MustParseAddrPort(a))
	}
	clean := lab.Answer(dns.RcodeNameError)
	var options []lab.Option
	var h lab.Handler
	switch kind {
	case "clean":
		h = clean
	case "servfail":
		h = lab.Answer(dns.RcodeServerFailure)
	case "silent":
		h = lab.Silent()
	case "forward":
		h = lab.Forward(lab.First, to...)
	case "rotate":
		h = lab.Forward(lab.RoundRobin, to...)
	case "corp":
		h = lab.ByZone(map[string]lab.Handler{".": clean, "corp.example.": lab.Forward(lab.First, to...)})
	case "nohinfo":
		h = lab.ByType(map[uint16]lab.Handler{dns.TypeHINFO: lab.Answer(dns.RcodeRefused)}, clean)
	case "udponly":
		h, options = clean, append(options, lab.Over(plan.UDP))
	case "hollow":
		h = func(ctx context.Context, q *lab.Query) lab.Reply {
			if q.Msg.Question[0].Qclass == dns.ClassCHAOS {
				return lab.Answer(dns.RcodeRefused)(ctx, q)
			}
			return lab.Reply{}
		}
	case "tcponly":
		h, options = clean, append(options, lab.Over(plan.TCP))
	case "silenttcp":
		h = func(ctx context.Context, q *lab.Query) lab.Reply {
			if q.Transport == plan.TCP {
				return lab.Reply{}
			}
			return clean(ctx, q)
		}
	case "tls":
		h, options = clean, append(options, lab.Over(plan.TLS))
	case "tlsloop":
		h, options = lab.Forward(lab.First, to...), append(options, lab.Over(plan.TLS))
	case "https":
		h, options = clean, append(options, lab.Over(plan.HTTPS))
	case "httpsloop":
		h, options = lab.Forward(lab.First, to...), append(options, lab.Over(plan.HTTPS))
	case "dead":
		s, err := lab.Dead()
		ts.Check(err)
		ts.Defer(s.Close)
		ts.Setenv(name, s.Addr().String())
		return
	default:
		ts.Fatalf("lab: no such server: %s", kind)
	}
	s, err := lab.Start(h, options...)
	ts.Check(err)
	ts.Defer(s.Close)
	ts.Setenv(name, s.Addr().String())
}

// field PATH VALUE compares one field of the JSON on standard output; a PATH
// such as checks.0.verdict, with len for the length of a list.
func field(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, key := range strings.Split(args[0], ".") {
		switch x := v.(type) {
		case map[string]any:
			got, ok := x[key]
			if !ok {
				ts.Fatalf("no field %s in %s", key, args[0])
			}
			v = got
		case []any:
			if key == "len" {
				v = len(x)
				continue
			}
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i >= len(x) {
				ts.Fatalf("%s: the list has %d entries", args[0], len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%s: %v has no %s", args[0], v, key)
		}
	}
	got := fmt.Sprint(v)
	if (got == args[1]) == neg {
		ts.Fatalf("%s is %q, want %q (negated: %v)", args[0], got, args[1], neg)
	}
}

// status N COMMAND ... runs a command that must end with exit status N.
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (interface{ ExitCode() int })(nil); asExit(err, &e) {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

func asExit(err error, e *interface{ ExitCode() int }) bool {
	x, ok := err.(interface{ ExitCode() int })
	*e = x
	return ok
}
