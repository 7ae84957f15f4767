package corefile

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxTo is how many upstreams a stanza may name, a file counting as one (max
// in plugin/forward/setup.go and plugin/grpc/setup.go).
const maxTo = 15

// defaultExpire is how long forward keeps an idle connection
// (plugin/forward/forward.go).
const defaultExpire = 10 * time.Second

// The plugins that ask upstreams.
const (
	pluginForward   = "forward"
	pluginGRPC      = "grpc"
	pluginFanout    = "fanout"
	pluginAlternate = "alternate"
	pluginDNSRedir  = "dnsredir"
)

// forward reads the stanzas of forward (plugin/forward/setup.go).
func (r *reader) forward(w *walker) error {
	for w.Next() {
		f, to, err := r.stanza(w, pluginForward)
		if err != nil {
			return err
		}
		s := forwardOptions{walker: w, f: &f, reader: r, expire: defaultExpire}
		for w.NextBlock() {
			if err := s.option(w.Val()); err != nil {
				return err
			}
		}
		if s.maxAge > 0 && s.maxAge < s.expire {
			return &Error{f.Pos, "max_age must not be less than expire, which is " + s.expire.String()}
		}
		if f.To, err = r.upstreams(f, to); err != nil {
			return err
		}
		r.block.Forwards = append(r.block.Forwards, f)
		if err := r.limit(len(r.block.Forwards), maxForwards, "stanzas of forward"); err != nil {
			return err
		}
	}
	return nil
}

// stanza reads the first line of a stanza: PLUGIN FROM TO...
func (r *reader) stanza(w *walker, plugin string) (Forward, []argument, error) {
	f := Forward{Pos: w.pos(), Plugin: plugin, Policy: "random"}
	if w.Val() != plugin { // from a snippet, or behind a brace: not on a line of its own to the parser
		return f, nil, w.errorf("%q is read as part of the %s before it, not as a directive", w.Val(), plugin)
	}
	from, err := w.one("a zone and upstreams")
	if err != nil {
		return f, nil, err
	}
	zones := hostZones(from)
	if len(zones) == 0 {
		return f, nil, w.errorf("%s: not a zone: %q", plugin, from)
	}
	f.From = zones[0]
	if len(zones) > 1 {
		r.problem(f.Pos, "%s: %s is %d reverse zones, of which CoreDNS takes the first alone: %s", plugin, from, len(zones), f.From)
	}
	to := arguments(w)
	if len(to) == 0 {
		return f, nil, w.errorf("%s %s expects upstreams", plugin, from)
	}
	return f, to, nil
}

// argument is a word of a directive with its place.
type argument struct {
	text string
	pos  Pos
}

// arguments returns the remaining ones of the line.
func arguments(w *walker) []argument {
	var args []argument
	for _, text := range w.RemainingArgs() {
		args = append(args, argument{text, w.pos()})
	}
	return args
}

// forwardOptions reads what stands between a stanza's braces. An argument too
// many is read as the next option, as CoreDNS does.
type forwardOptions struct {
	*walker
	f              *Forward
	reader         *reader
	expire, maxAge time.Duration
}

func (o *forwardOptions) option(name string) error {
	switch name {
	case "except":
		zones, err := o.some("zones")
		for _, z := range zones {
			o.f.Except = append(o.f.Except, hostZones(z)...)
		}
		return err
	case "force_tcp":
		o.f.ForceTCP = true
		return o.none()
	case "prefer_udp":
		o.f.PreferUDP = true
		return o.none()
	case "next_on_nodata":
		o.f.Next = true
		return o.none()
	case "failfast_all_unhealthy_upstreams":
		return o.none()
	case "tls":
		if o.f.TLSFiles = o.reader.rooted(o.RemainingArgs()); len(o.f.TLSFiles) > 3 {
			return o.errorf("tls expects a certificate, a key and a CA at most, not %d files", len(o.f.TLSFiles))
		}
		return nil
	case "tls_servername":
		var err error
		o.f.TLSServerName, err = o.one("a name")
		return err
	case "policy":
		return o.policy()
	case "next":
		o.f.Next = true
		return o.rcodes("NOERROR and other rcodes", false)
	case "failover":
		return o.rcodes("rcodes", true)
	case "resolver":
		return o.resolver()
	case "source_address":
		return o.check("an address", func(s string) bool { return net.ParseIP(s) != nil })
	case "doh_method":
		return o.check("POST or GET", func(s string) bool { return s == http.MethodPost || s == http.MethodGet })
	case "max_fails", "max_connect_attempts":
		return o.check("a number", func(s string) bool { _, err := strconv.ParseUint(s, 10, 32); return err == nil })
	case "max_idle_conns", "max_concurrent":
		return o.check("a number", func(s string) bool { n, err := strconv.Atoi(s); return err == nil && n >= 0 })
	case "expire":
		return o.duration(&o.expire, 0)
	case "max_age":
		return o.duration(&o.maxAge, 0)
	case "read_timeout":
		return o.duration(new(time.Duration), 1)
	case "health_check":
		return o.healthCheck()
	}
	return o.errorf("forward has no option %q", name)
}

// check reads one argument of a form.
func (o *forwardOptions) check(what string, valid func(string) bool) error {
	name := o.Val()
	s, err := o.one(what)
	if err == nil && !valid(s) {
		err = o.errorf("%s expects %s, not %q", name, what, s)
	}
	return err
}

func (o *forwardOptions) duration(d *time.Duration, least time.Duration) error {
	name := o.Val()
	s, err := o.one("a duration, as in 10s")
	if err != nil {
		return err
	}
	if *d, err = time.ParseDuration(s); err != nil || *d < least {
		return o.errorf("%s expects a duration, as in 10s, not %q", name, s)
	}
	return nil
}

func (o *forwardOptions) policy() error {
	policies := []string{"random", "round_robin", "sequential"}
	err := o.check("random, round_robin or sequential", func(s string) bool { return slices.Contains(policies, s) })
	o.f.Policy = o.Val()
	return err
}

func (o *forwardOptions) rcodes(what string, failure bool) error {
	name := o.Val()
	rcodes, err := o.some(what)
	for _, s := range rcodes {
		rcode, known := dns.StringToRcode[strings.ToUpper(s)]
		if !known {
			return o.errorf("%s: not an rcode: %q", name, s)
		}
		if failure && rcode == dns.RcodeSuccess {
			return o.errorf("%s cannot take NOERROR for a failure", name)
		}
	}
	return err
}

func (o *forwardOptions) resolver() error {
	resolvers, err := o.some("addresses")
	for _, s := range resolvers {
		host := s
		if h, _, err := net.SplitHostPort(s); err == nil {
			host = h
		}
		if net.ParseIP(host) == nil {
			return o.errorf("resolver expects addresses, with a port perhaps, not %q", s)
		}
	}
	o.f.Resolver = resolvers
	return err
}

func (o *forwardOptions) healthCheck() error {
	if err := o.duration(new(time.Duration), 0); err != nil {
		return err
	}
	for o.NextArg() {
		switch o.Val() {
		case "no_rec":
		case "domain":
			domain := func(s string) bool { _, ok := dns.IsDomainName(s); return ok }
			if err := o.check("a domain name", domain); err != nil {
				return err
			}
		default:
			return o.errorf("health_check has no option %q", o.Val())
		}
	}
	return nil
}

// grpc reads the stanza of grpc (plugin/grpc/setup.go): it is spoken over
// gRPC, which dnsloop does not.
func (r *reader) grpc(w *walker) error {
	for n := 0; w.Next(); n++ {
		if n > 0 {
			return w.errorf("grpc may stand in a block once only")
		}
		f, to, err := r.stanza(w, pluginGRPC)
		if err != nil {
			return err
		}
		if f.To, err = r.upstreams(f, to); err != nil {
			return err
		}
		o := forwardOptions{walker: w, f: &f, reader: r}
		for w.NextBlock() {
			switch name := w.Val(); name {
			case "except", "tls", "tls_servername", "policy":
				err = o.option(name)
			case "fallthrough":
				w.RemainingArgs()
			default:
				err = w.errorf("grpc has no option %q", name)
			}
			if err != nil {
				return err
			}
		}
		r.block.Forwards = append(r.block.Forwards, f)
	}
	return nil
}
