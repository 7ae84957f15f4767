package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// forwarder is a server of the matrix, set up to forward.
type forwarder struct {
	name  string
	tools []string
	// start runs it on the host as told, and returns when it answers.
	start func(h *host, f forwarding)
}

// forwarding is what a forwarder is told. All of them serve and are asked on
// port 53.
type forwarding struct {
	at     string   // the address it serves on
	to     []string // its forwarders
	zone   string   // a zone that goes elsewhere; empty for none
	zoneTo string   // where that zone goes
}

// ready starts a server and returns when it replies to a question that it
// answers by itself: the way out must not be tried before dnsloop listens.
func (h *host) ready(at, name string, argv ...string) {
	h.t.Helper()
	p := h.start(argv...)
	for _, network := range []string{"udp", "tcp"} {
		p.wait(h.t, "replying at "+at+" over "+network, func() bool {
			return h.inside(func() error {
				c := dns.Client{Net: network, Timeout: 500 * time.Millisecond}
				_, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), addr(at, 53))
				return err
			}) == nil
		})
	}
}

// each joins format, filled with each address, as configurations list them.
func each(to []string, format, sep string) string {
	var list []string
	for _, ip := range to {
		list = append(list, fmt.Sprintf(format, ip))
	}
	return strings.Join(list, sep)
}

// dnsmasqWith is dnsmasq with more options on its command line.
func dnsmasqWith(options ...string) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		argv := []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
			"--user=root", "--pid-file=", "--log-facility=-", "--bind-interfaces", "--listen-address=" + f.at}
		argv = append(argv, options...)
		argv = append(argv, strings.Fields(each(f.to, "--server=%s", " "))...)
		if f.zone != "" {
			argv = append(argv, "--server=/"+f.zone+"/"+f.zoneTo)
		}
		h.serve(addr(f.at, 53), argv...)
	}
}

// rootAnchor is the root zone's key-signing key of 2017, which nothing in a lab
// is signed with: a validating server finds everything bogus.
const rootAnchor = ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"

// unboundWith is Unbound with these lines in its server clause.
func unboundWith(lines ...string) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		var b strings.Builder
		fmt.Fprintf(&b, "server:\n\tdo-daemonize: no\n\tuse-syslog: no\n\tusername: \"\"\n\tchroot: \"\"\n\tpidfile: \"\"\n"+
			"\tdirectory: %q\n\tinterface: %s\n\taccess-control: 0.0.0.0/0 allow\n\taccess-control: ::/0 allow\n"+
			"\tdo-not-query-localhost: no\n\tnum-threads: 1\n", h.dir, f.at)
		for _, line := range lines {
			fmt.Fprintf(&b, "\t%s\n", line)
		}
		b.WriteString("remote-control:\n\tcontrol-enable: no\nforward-zone:\n\tname: \".\"\n")
		b.WriteString(each(f.to, "\tforward-addr: %s\n", ""))
		if f.zone != "" {
			fmt.Fprintf(&b, "forward-zone:\n\tname: %q\n\tforward-addr: %s\n", f.zone, f.zoneTo)
		}
		h.serve(addr(f.at, 53), "unbound", "-d", "-c", h.file("unbound.conf", b.String()))
	}
}

// unboundStub is Unbound with a stub zone in the forward zone's place: it asks
// with RD=0 and minimised names, as if the other were authoritative.
func unboundStub(h *host, f forwarding) {
	conf := fmt.Sprintf("server:\n\tdo-daemonize: no\n\tuse-syslog: no\n\tusername: \"\"\n\tchroot: \"\"\n\tpidfile: \"\"\n"+
		"\tdirectory: %q\n\tinterface: %s\n\taccess-control: 0.0.0.0/0 allow\n\tmodule-config: \"iterator\"\n\tnum-threads: 1\n"+
		"remote-control:\n\tcontrol-enable: no\nstub-zone:\n\tname: \"corp.example\"\n%s",
		h.dir, f.at, each(f.to, "\tstub-addr: %s\n", ""))
	h.serve(addr(f.at, 53), "unbound", "-d", "-c", h.file("unbound.conf", conf))
}

// bindWith is BIND with its "forward only" or "forward first", validating or
// not, and with these clauses beside its options.
func bindWith(forward, validation string, beside ...string) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		listen := "listen-on { " + f.at + "; }; listen-on-v6 { none; };"
		if strings.Contains(f.at, ":") {
			listen = "listen-on { none; }; listen-on-v6 { " + f.at + "; };"
		}
		conf := fmt.Sprintf("options {\n\tdirectory %q;\n\tpid-file none;\n\tlock-file none;\n\t%s\n\trecursion yes;\n"+
			"\tallow-query { any; };\n\tallow-recursion { any; };\n\tforward %s;\n\tforwarders { %s };\n"+
			"\tdnssec-validation %s;\n};\ncontrols { };\n",
			h.dir, listen, forward, each(f.to, "%s;", " "), validation) + strings.Join(beside, "")
		if f.zone != "" {
			conf += fmt.Sprintf("zone %q { type forward; forward only; forwarders { %s; }; };\n", f.zone, f.zoneTo)
		}
		h.serve(addr(f.at, 53), "named", "-g", "-n", "1", "-c", h.file("named.conf", conf))
	}
}

// knotWith is Knot Resolver with its FORWARD (which validates) or STUB policy,
// and with these lines in its configuration.
func knotWith(action string, lines ...string) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		conf := fmt.Sprintf("net.ipv6 = %v\nnet.listen('%s', 53, { kind = 'dns' })\ncache.size = 10 * MB\n"+
			"policy.add(policy.suffix(policy.DENY, {todname('ready.')}))\n%s\n",
			strings.Contains(f.at+f.to[0], ":"), f.at, strings.Join(lines, "\n"))
		if f.zone != "" {
			conf += fmt.Sprintf("policy.add(policy.suffix(policy.%s({'%s'}), {todname('%s')}))\n", action, f.zoneTo, f.zone)
		}
		conf += fmt.Sprintf("policy.add(policy.all(policy.%s({%s})))\n", action, each(f.to, "'%s'", ", "))
		h.ready(f.at, "ready.", "kresd", "-n", "-c", h.file("kresd.conf", conf), h.dir)
	}
}

// recursor is PowerDNS Recursor.
func recursor(h *host, f forwarding) {
	zones := ".=" + each(f.to, "%s", ";")
	if f.zone != "" {
		zones += "," + f.zone + "=" + f.zoneTo
	}
	h.file("recursor.conf", fmt.Sprintf("local-address=%s\nlocal-port=53\nforward-zones-recurse=%s\nallow-from=0.0.0.0/0,::/0\n"+
		"query-local-address=0.0.0.0,::\ndont-query=\nsocket-dir=/run\ndaemon=no\ndisable-syslog=yes\nthreads=1\nsetuid=root\nsetgid=root\n",
		f.at, bracketed(zones)))
	h.serve(addr(f.at, 53), "pdns_recursor", "--config-dir="+h.dir)
}

// bracketed puts the IPv6 addresses of a list like ".=fd53::1;10.53.0.2" into
// brackets.
func bracketed(zones string) string {
	fields := strings.FieldsFunc(zones, func(r rune) bool { return strings.ContainsRune("=;,", r) })
	for _, field := range fields {
		if strings.Contains(field, ":") {
			zones = strings.ReplaceAll(zones, field, "["+field+"]")
		}
	}
	return zones
}

// dnsdistWith is dnsdist with a policy, and with or without health checks: the
// checks find dnsloop's address dead before dnsloop is there.
func dnsdistWith(policy string, health bool) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		conf := fmt.Sprintf("setLocal('%s')\nsetACL({'0.0.0.0/0', '::/0'})\nsetServerPolicy(%s)\n"+
			"addAction(QNameRule('ready.'), RCodeAction(DNSRCode.NXDOMAIN))\n", addr(f.at, 53), policy)
		up := ""
		if !health {
			up = ":setUp()"
		}
		for _, ip := range f.to {
			conf += fmt.Sprintf("newServer({address='%s', weight=1000})%s\n", addr(ip, 53), up)
		}
		if f.zone != "" {
			conf += fmt.Sprintf("newServer({address='%s', pool='zone'})%s\naddAction(SuffixMatchNodeRule(newSuffixMatchNode()), PoolAction('zone'))\n",
				addr(f.zoneTo, 53), up)
			conf = strings.Replace(conf, "SuffixMatchNodeRule(newSuffixMatchNode())", "makeRule('"+f.zone+".')", 1)
		}
		h.ready(f.at, "ready.", "dnsdist", "--supervised", "--disable-syslog", "-C", h.file("dnsdist.conf", conf))
	}
}

// coreDNSWith is CoreDNS with these lines in its forward block and these beside it.
func coreDNSWith(inside, beside string) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		conf := ""
		if f.zone != "" {
			conf = fmt.Sprintf("%s:53 {\n\tbind %s\n\tforward . %s\n}\n", f.zone, f.at, f.zoneTo)
		}
		conf += fmt.Sprintf(".:53 {\n\tbind %s\n\tchaos\n\terrors\n%s\tforward . %s {\n%s\t}\n}\n",
			f.at, beside, each(f.to, "%s", " "), inside)
		h.serve(addr(f.at, 53), coreDNSBin, "-conf", h.file("Corefile", conf))
	}
}

// resolvedWith is systemd-resolved, validating or not, which listens on
// 127.0.0.53 and at f.at. It wants a user, a writable /run and its own
// configuration directory; it does without D-Bus.
func resolvedWith(dnssec string) func(*host, forwarding) {
	return func(h *host, f forwarding) {
		conf := fmt.Sprintf("[Resolve]\nDNS=%s\nFallbackDNS=\nDomains=~.\nDNSSEC=%s\nCache=no\nLLMNR=no\nMulticastDNS=no\n",
			each(f.to, "%s", " "), dnssec)
		if f.at != "127.0.0.53" {
			conf += "DNSStubListenerExtra=" + f.at + "\n"
		}
		h.file("systemd/resolved.conf", conf)
		h.file("passwd", "root:x:0:0::/root:/bin/sh\nsystemd-resolve:x:990:990::/:/usr/sbin/nologin\n")
		h.file("group", "root:x:0:\nsystemd-resolve:x:990:\n")
		script := `mkdir /run/systemd && mount --bind passwd /etc/passwd && mount --bind group /etc/group && mount --bind systemd /etc/systemd && exec "$0"`
		h.ready(f.at, "localhost.", "sh", "-c", "cd "+h.dir+" && "+script, resolvedBin(h.t))
	}
}

// stubby is a forwarder of the DNS over TLS kind: it takes plain questions and
// asks over TLS.
func stubby(h *host, f forwarding) {
	conf := fmt.Sprintf("resolution_type: GETDNS_RESOLUTION_STUB\ndns_transport_list: [GETDNS_TRANSPORT_TLS]\n"+
		"tls_authentication: GETDNS_AUTHENTICATION_NONE\nidle_timeout: 10000\nlisten_addresses: [%s@53]\nappdata_dir: %q\n"+
		"upstream_recursive_servers:\n%s", f.at, h.dir, each(f.to, "  - address_data: %s\n", ""))
	h.ready(f.at, "localhost.", "stubby", "-C", h.file("stubby.yml", conf))
}

// resolvedBin is where systemd-resolved lies: where it is installed, or where
// .ci/run puts a copy.
func resolvedBin(t *testing.T) string {
	t.Helper()
	const bin = "lib/systemd/systemd-resolved"
	if _, err := os.Stat("/" + bin); err == nil {
		return "/" + bin
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(cache, "dnsloop-e2e", bin)
	need(t, copied)
	return copied
}

// coreDNSOver is CoreDNS that is asked over TLS or HTTPS, and forwards plainly.
// It returns the file of the certificate that vouches for it.
func (h *host) coreDNSOver(scheme, upstream string) (authority string) {
	h.t.Helper()
	authority, key := h.certificate()
	conf := fmt.Sprintf("%s://. {\n\tbind %s\n\ttls %s %s\n\terrors\n\tforward . %s\n}\n"+
		".:53 {\n\tbind %[2]s\n\tchaos\n\tlocal\n}\n", scheme, h.v4, authority, key, upstream)
	h.serve(addr(h.v4, 53), coreDNSBin, "-conf", h.file("Corefile", conf))
	return authority
}

// dnsdistOver is dnsdist likewise.
func (h *host) dnsdistOver(scheme, upstream string) (authority string) {
	h.t.Helper()
	authority, key := h.certificate()
	local := fmt.Sprintf("addTLSLocal('%s', '%s', '%s')", addr(h.v4, 853), authority, key)
	if scheme == "https" {
		local = fmt.Sprintf("addDOHLocal('%s', '%s', '%s', '/dns-query')", addr(h.v4, 443), authority, key)
	}
	conf := fmt.Sprintf("setLocal('%s')\n%s\nsetACL('0.0.0.0/0')\naddAction(QNameRule('ready.'), RCodeAction(DNSRCode.NXDOMAIN))\n"+
		"newServer({address='%s'}):setUp()\n", addr(h.v4, 53), local, addr(upstream, 53))
	h.ready(h.v4, "ready.", "dnsdist", "--supervised", "--disable-syslog", "-C", h.file("dnsdist.conf", conf))
	return authority
}

// unboundTLS is Unbound that asks its forwarders over TLS, whoever they are.
func unboundTLS(h *host, f forwarding) {
	conf := fmt.Sprintf("server:\n\tdo-daemonize: no\n\tuse-syslog: no\n\tusername: \"\"\n\tchroot: \"\"\n\tpidfile: \"\"\n"+
		"\tdirectory: %q\n\tinterface: %s\n\taccess-control: 0.0.0.0/0 allow\n\tmodule-config: \"iterator\"\n\tnum-threads: 1\n"+
		"remote-control:\n\tcontrol-enable: no\nforward-zone:\n\tname: \".\"\n\tforward-tls-upstream: yes\n%s",
		h.dir, f.at, each(f.to, "\tforward-addr: %s@853\n", ""))
	h.serve(addr(f.at, 53), "unbound", "-d", "-c", h.file("unbound.conf", conf))
}

// slow is a forwarder that takes its time with each question, over UDP and TCP.
func (h *host) slow(d time.Duration, upstream string) {
	h.t.Helper()
	h.listen(func(w dns.ResponseWriter, q *dns.Msg) {
		// Questions of one connection do not wait for each other.
		time.AfterFunc(d, func() {
			c := dns.Client{Net: w.RemoteAddr().Network(), Timeout: 5 * time.Second}
			var reply *dns.Msg
			if h.inside(func() (err error) { reply, _, err = c.Exchange(q, addr(upstream, 53)); return err }) == nil {
				w.WriteMsg(reply) //nolint:errcheck // whoever asked may be gone
			}
		})
	})
}

// certificate makes the host a certificate and its key, and returns the files.
func (h *host) certificate() (cert, key string) {
	h.t.Helper()
	c, k := selfSigned(h.t, h.v4)
	return h.file("cert.pem", c), h.file("key.pem", k)
}

// selfSigned makes a certificate for an address or a host name that vouches for
// itself, and its key, as PEM.
func selfSigned(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", secret)
}
