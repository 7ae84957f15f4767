package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/urfave/cli/v2"

	"github.com/dnsloop/dnsloop/host"
	"github.com/dnsloop/dnsloop/kube"
	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/report"
	"github.com/dnsloop/dnsloop/verdict"
)

// exitUsage is the status of a usage or input error: nothing was sent, and
// nothing was written to standard output.
const exitUsage = 2

// defaultTimeout is the whole run's. A thorough one needs its 15 s and a margin
// for retries.
const (
	defaultTimeout  = 10 * time.Second
	thoroughTimeout = 30 * time.Second
)

const systemResolvConf = "/etc/resolv.conf"

// command is the program as a value, so that tests run it as users do.
type command struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	host           host.Host
}

// run does what the arguments say and returns the exit status.
func (c command) run(ctx context.Context, args []string) int {
	ours, server, err := splitServer(args)
	if err != nil {
		return c.fail(err)
	}
	status := verdict.ExitClear
	app := c.app(func(cc *cli.Context) error {
		o, err := optionsFrom(cc)
		if err != nil {
			return err
		}
		if o.server, err = server, findServer(server); err != nil {
			return err
		}
		status, err = c.check(ctx, o)
		return err
	})
	app.Commands = c.commands(ctx, server, &status)
	if err := app.RunContext(ctx, append([]string{"dnsloop"}, ours...)); err != nil {
		return c.fail(err)
	}
	return status
}

// fail says on standard error what is wrong with what the user gave.
func (c command) fail(err error) int {
	fmt.Fprintf(c.stderr, "dnsloop: %s\n", report.Clean(err.Error()))
	return exitUsage
}

// splitServer cuts the command to become off the arguments.
func splitServer(args []string) (ours, server []string, err error) {
	i := slices.Index(args, "--")
	if i < 0 {
		return args, nil, nil
	}
	if i == len(args)-1 {
		return nil, nil, errors.New("a command is expected after --, as in -- coredns -conf /Corefile")
	}
	return args[:i], args[i+1:], nil
}

// findServer makes sure, before anything is sent, that the command is there.
func findServer(server []string) error {
	if server == nil {
		return nil
	}
	if _, err := exec.LookPath(server[0]); err != nil {
		return fmt.Errorf("the command after -- cannot be run: %w", err)
	}
	return nil
}

// options is what the command line says, checked.
type options struct {
	args        []string
	files       []input // named by an option that says what they are
	resolvConfs []string
	allow       allowed
	listeners   []plan.Listener
	zones       []string
	plan        plan.Options
	probe       probe.Options
	timeout     time.Duration
	failOn      verdict.FailOn
	outputs     []output
	color       string
	quiet       bool
	verbose     bool
	server      []string
}

const usageText = `dnsloop [options] [TARGET | FILE ...] [-- COMMAND [ARG ...]]

TARGET is an upstream: 10.0.0.2, 10.0.0.2:5353, [fd00::2]:53, fe80::1%eth0,
udp://…, tcp://…, tls://… (port 853), https://…. FILE is a resolv.conf, a
Corefile, a configuration of dnsmasq, unbound or BIND, a kubelet's configuration
or a Kubernetes manifest, - is standard input. No argument means
/etc/resolv.conf. With COMMAND, dnsloop becomes it where the exit status would
be 0.`

const description = `Dnsloop listens where a DNS server is about to serve, asks each upstream that the
server would forward to, and sees whether its own questions come back.

exit status: 0 clear (or risk), 1 a loop is proven, 2 usage or input error,
3 unknown. --fail-on changes what counts.`

func (c command) app(action cli.ActionFunc) *cli.App {
	return &cli.App{
		Name:           "dnsloop",
		Usage:          "would this DNS server forward to itself?",
		UsageText:      usageText,
		Description:    description,
		HideVersion:    true, // -v is verbose
		Writer:         c.stdout,
		ErrWriter:      c.stderr,
		Reader:         c.stdin,
		Action:         action,
		Flags:          flags(),
		OnUsageError:   usageError,
		ExitErrHandler: func(*cli.Context, error) {}, // nobody but main exits
		// An argument that is no command is a target, not a typing mistake.
		Suggest:                   false,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // file names have commas
	}
}

func usageError(_ *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w (see dnsloop --help)", err)
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "listen", Aliases: []string{"l"}, Usage: "`ADDR:PORT` where the server will serve, repeatable (default: :53)"},
		&cli.StringSliceFlag{Name: "zone", Aliases: []string{"z"}, Usage: "`ZONE` to probe under, repeatable (default: .)"},
		&cli.StringSliceFlag{Name: "resolv-conf", Usage: "`FILE` is a resolv.conf; beside a Corefile, manifest or dnsmasq.conf, what their /etc/resolv.conf is"},
		&cli.StringSliceFlag{Name: "corefile", Usage: "`FILE` is a Corefile"},
		&cli.StringSliceFlag{Name: "dnsmasq-conf", Usage: "`FILE` is a configuration of dnsmasq"},
		&cli.StringSliceFlag{Name: "unbound-conf", Usage: "`FILE` is a configuration of unbound"},
		&cli.StringSliceFlag{Name: "named-conf", Usage: "`FILE` is a configuration of BIND"},
		&cli.StringSliceFlag{Name: "kubelet-config", Usage: "`FILE` is a kubelet's configuration or flags"},
		&cli.StringSliceFlag{Name: "manifest", Usage: "`FILE` holds Kubernetes manifests"},
		&cli.StringSliceFlag{Name: "allow", Usage: "`ADDR[:PORT]` is an upstream meant to be local: no risk"},
		&cli.StringFlag{Name: "transport", Value: "udp,tcp", Usage: "how plain upstreams are asked: `udp,tcp`, udp or tcp"},
		&cli.StringSliceFlag{Name: "qtype", Usage: "query `TYPE`, repeatable (default: a mix of HINFO, A, TXT, AAAA)"},
		&cli.IntFlag{Name: "probes", Value: probe.DefaultProbes, Usage: "`N` answered probes before a check may be called clear"},
		&cli.BoolFlag{Name: "thorough", Usage: fmt.Sprintf("%d probes a check over %s: for upstreams that choose among many forwarders", probe.ThoroughProbes, probe.ThoroughSpread)},
		&cli.DurationFlag{Name: "timeout", Value: defaultTimeout, Usage: "of the whole run"},
		&cli.DurationFlag{Name: "query-timeout", Value: 2 * time.Second, Usage: "of one probe"},
		&cli.DurationFlag{Name: "settle", Value: probe.DefaultSettle, Usage: "how long, at most, a late return is waited for"},
		&cli.BoolFlag{Name: "no-probe", Usage: "judge the configuration alone; no socket is opened"},
		&cli.BoolFlag{Name: "pod", Usage: "read the files as a pod would: loopback is the pod itself"},
		&cli.StringFlag{Name: "fail-on", Value: "unknown", Usage: "the mildest verdict that fails: never, loop, unknown or risk"},
		&cli.StringSliceFlag{Name: "format", Aliases: []string{"f"}, Usage: "text (default), json, sarif, junit or github; with `FORMAT=FILE` beside another, into a file"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write results to `FILE` instead of standard output"},
		&cli.StringFlag{Name: "color", Value: "auto", Usage: "auto, always or never"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "the verdict line alone"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "each probe and return as it happens, on standard error"},
	}
}

// optionsFrom checks what the library parsed.
func optionsFrom(cc *cli.Context) (options, error) {
	o := options{
		args:        cc.Args().Slice(),
		resolvConfs: cc.StringSlice("resolv-conf"),
		plan:        plan.Options{NoProbe: cc.Bool("no-probe"), Pod: cc.Bool("pod")},
		timeout:     cc.Duration("timeout"),
		failOn:      verdict.FailOn(cc.String("fail-on")),
		color:       cc.String("color"),
		quiet:       cc.Bool("quiet"),
		verbose:     cc.Bool("verbose"),
	}
	for _, a := range o.args {
		if len(a) > 1 && strings.HasPrefix(a, "-") {
			return o, fmt.Errorf("%s: options go before targets and files", a)
		}
	}
	for _, f := range fileFlags {
		for _, name := range cc.StringSlice(f.name) {
			o.files = append(o.files, input{name: name, kinds: f.kinds})
		}
	}
	if len(o.args)+len(o.files) == 0 {
		o.args = []string{systemResolvConf}
	}
	for _, f := range []func() error{
		func() error { return o.where(cc) },
		func() error { return o.how(cc) },
		func() error { return oneOf("fail-on", string(o.failOn), "never", "loop", "unknown", "risk") },
		func() error { return oneOf("color", o.color, "auto", "always", "never") },
		func() error { return o.what(cc.StringSlice("format"), cc.String("output")) },
		func() error { return o.allow.parse(cc.StringSlice("allow")) },
	} {
		if err := f(); err != nil {
			return o, err
		}
	}
	return o, nil
}

// fileFlags name files and say what they are.
var fileFlags = []struct {
	name  string
	kinds []kube.Kind // told apart by content where there are two
}{
	{"resolv-conf", []kube.Kind{kube.ResolvConf}},
	{"corefile", []kube.Kind{kube.Corefile}},
	{"dnsmasq-conf", []kube.Kind{kube.DnsmasqConf}},
	{"unbound-conf", []kube.Kind{kube.UnboundConf}},
	{"named-conf", []kube.Kind{kube.NamedConf}},
	{"kubelet-config", []kube.Kind{kube.KubeletConfig, kube.KubeletFlags}},
	{"manifest", []kube.Kind{kube.Manifests}},
}

// output is one format and where it goes; no file is standard output.
type output struct {
	format, file string
}

// what is written where.
func (o *options) what(formats []string, file string) error {
	if len(formats) == 0 {
		formats = []string{"text"}
	}
	first := true
	for _, f := range formats {
		format, to, named := strings.Cut(f, "=")
		if err := oneOf("format", format, report.Formats...); err != nil {
			return err
		}
		if slices.ContainsFunc(o.outputs, func(x output) bool { return named && x.file == to }) || named && to == file {
			return fmt.Errorf("--format %q: another format goes to that file", f)
		}
		switch {
		case named && to == "":
			return fmt.Errorf("--format %q: expected a file after =", f)
		case !named && !first:
			return fmt.Errorf("--format %q: a second format needs a file, as in %s=report", f, format)
		case !named:
			first, to = false, file
		}
		o.outputs = append(o.outputs, output{format, to})
	}
	if file != "" && first {
		return errors.New("--output: each --format has a file of its own")
	}
	return nil
}

// allowed are the upstreams that the user means to be local.
type allowed []netip.AddrPort // port 0: any

func (a *allowed) parse(args []string) error {
	for _, s := range args {
		if addr, err := netip.ParseAddr(s); err == nil {
			*a = append(*a, netip.AddrPortFrom(addr.Unmap(), 0))
			continue
		}
		u, err := plan.ParseTarget(s)
		if err != nil || u.Transport != "" {
			return fmt.Errorf("--allow %q: expected ADDR or ADDR:PORT", s)
		}
		*a = append(*a, u.Addr)
	}
	return nil
}

// reason is why an upstream is allowed; empty: it is not.
func (a allowed) reason(up netip.AddrPort) string {
	if slices.ContainsFunc(a, func(x netip.AddrPort) bool {
		return x.Addr() == up.Addr() && (x.Port() == 0 || x.Port() == up.Port())
	}) {
		return "--allow"
	}
	return ""
}

// where the server will serve, and for which zones.
func (o *options) where(cc *cli.Context) error {
	listen := cc.StringSlice("listen")
	if len(listen) == 0 {
		listen = []string{":53"}
	}
	for _, l := range listen {
		ls, err := plan.ParseListen(l)
		if err != nil {
			return err
		}
		o.listeners = append(o.listeners, ls...)
	}
	zones := cc.StringSlice("zone")
	if len(zones) == 0 {
		zones = []string{"."}
	}
	for _, z := range zones {
		zone, err := plan.ParseZone(z)
		if err != nil {
			return err
		}
		if !slices.Contains(o.zones, zone) {
			o.zones = append(o.zones, zone)
		}
	}
	return nil
}

// how upstreams are probed.
func (o *options) how(cc *cli.Context) error {
	for _, t := range strings.Split(cc.String("transport"), ",") {
		if t = strings.TrimSpace(t); t != "udp" && t != "tcp" {
			return fmt.Errorf("--transport %q: expected udp, tcp or udp,tcp", cc.String("transport"))
		}
		if !slices.Contains(o.plan.Transports, plan.Transport(t)) {
			o.plan.Transports = append(o.plan.Transports, plan.Transport(t))
		}
	}
	o.probe = probe.Options{
		Probes:       cc.Int("probes"),
		QueryTimeout: cc.Duration("query-timeout"),
		Settle:       cc.Duration("settle"),
		AdaptSettle:  !cc.IsSet("settle"),
	}
	if cc.Bool("thorough") {
		o.probe.Spread = probe.ThoroughSpread
		if !cc.IsSet("probes") {
			o.probe.Probes = probe.ThoroughProbes
		}
		if !cc.IsSet("timeout") {
			o.timeout = thoroughTimeout
		}
	}
	if o.probe.Probes < 1 || o.probe.Probes > maxProbes {
		return fmt.Errorf("--probes %d: expected a number from 1 to %d", o.probe.Probes, maxProbes)
	}
	if o.timeout <= 0 || o.probe.QueryTimeout <= 0 || o.probe.Settle < 0 {
		return errors.New("--timeout and --query-timeout are more than 0, --settle is not less")
	}
	for _, name := range cc.StringSlice("qtype") {
		t, ok := dns.StringToType[strings.ToUpper(name)]
		if !ok || metaType(t) {
			return fmt.Errorf("--qtype %q: expected a type of resource records, such as HINFO, A or TXT", name)
		}
		o.probe.Qtypes = append(o.probe.Qtypes, t)
	}
	if o.probe.Qtypes == nil {
		o.probe.Qtypes = probe.DefaultQtypes
	}
	return nil
}

// maxProbes bounds what one check may ask: dnsloop is no load generator.
const maxProbes = 1000

// metaType reports a type that names no data (RFC 6895 section 3.1).
func metaType(t uint16) bool {
	return t == dns.TypeNone || t == dns.TypeOPT || t >= 128 && t <= 255 || t == dns.TypeReserved
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("--%s %q: expected one of %s", flag, value, strings.Join(allowed, ", "))
}
