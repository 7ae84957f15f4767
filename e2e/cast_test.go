package e2e

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// member is one server of the network that a Corefile is meant for, as a
// comment in the Corefile has it: "# 10.53.0.2: dnsmasq . 10.53.0.3". A /tcp
// behind the address says that TCP goes there, and UDP to the server that is at
// the address without it.
type member struct {
	at      netip.AddrPort
	tcp     bool
	kind    string
	answers []pair
}

// pair is a zone and where its queries go; for the kind names, a name and its
// address.
type pair struct {
	name string
	to   netip.AddrPort
}

var memberLine = regexp.MustCompile(`(?m)^# ((?:10\.53\.0\.|fd53::)[0-9:]+)(/tcp)?: (.*)$`)

// castOf reads the servers from a Corefile's comments.
func castOf(t *testing.T, corefile string) []member {
	t.Helper()
	var cast []member
	for _, m := range memberLine.FindAllStringSubmatch(corefile, -1) {
		words := strings.Fields(m[3])
		if len(words)%2 == 0 {
			t.Fatalf("%q: expected a kind, then zones each with an address", m[0])
		}
		c := member{at: endpoint(t, m[1]), tcp: m[2] != "", kind: words[0]}
		for i := 1; i < len(words); i += 2 {
			c.answers = append(c.answers, pair{words[i], endpoint(t, words[i+1])})
		}
		cast = append(cast, c)
	}
	return cast
}

// endpoint reads an address, whose port is 53 where none is given.
func endpoint(t *testing.T, s string) netip.AddrPort {
	t.Helper()
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53)
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// number is which host of the network has the address: 10.53.0.N and fd53::N.
func number(a netip.Addr) int {
	b := a.As16()
	return int(b[15])
}

// perform starts the servers on hosts of the network. The first host is left
// for the server under test; it is returned, with the certificate authority of
// all TLS servers in its scratch directory.
func perform(n *network, cast []member) *host {
	hosts := []*host{n.host()}
	for _, c := range cast {
		for len(hosts) < number(c.at.Addr()) {
			hosts = append(hosts, n.host())
		}
	}
	cert, key := selfSigned(n.t, "dot.example")
	hosts[0].file("ca.pem", cert)
	for _, c := range cast {
		h := hosts[number(c.at.Addr())-1]
		h.file("cert.pem", cert)
		h.file("key.pem", key)
		c.start(h)
	}
	return hosts[0]
}

func (c member) start(h *host) {
	h.t.Helper()
	port := int(c.at.Port())
	forwards := func(sep string) string { return via(c.answers[0].to.Addr().String(), int(c.answers[0].to.Port()), sep) }
	if c.tcp {
		const elsewhere = 5353
		h.nft(fmt.Sprintf("table inet split {\n\tchain in {\n\t\ttype nat hook prerouting priority -100\n"+
			"\t\ttcp dport %d redirect to :%d\n\t}\n}\n", port, elsewhere))
		port = elsewhere
	}
	switch c.kind {
	case "world":
		h.world()
	case "dnsmasq":
		var servers []string
		for _, a := range c.answers {
			server := via(a.to.Addr().String(), int(a.to.Port()), "#")
			if a.name != "." {
				server = "/" + a.name + "/" + server
			}
			servers = append(servers, server)
		}
		h.dnsmasq(c.at.Addr().String(), port, servers...)
	case "unbound":
		h.unbound(port, forwards("@"))
	case "unbound-dot":
		h.unboundDoT(forwards("@"))
	case "dot":
		h.coreDNSWith(".:%d {\n\tchaos\n}\n\ntls://.:853 {\n\ttls %s/cert.pem %[2]s/key.pem\n\tforward . %s\n}\n", port, h.dir, c.answers[0].to)
	case "nohinfo":
		h.coreDNSWith(".:%d {\n\tchaos\n\ttemplate ANY HINFO {\n\t\trcode REFUSED\n\t}\n\tforward . %s\n}\n", port, c.answers[0].to)
	case "names":
		h.coreDNSWith(".:%d {\n\tchaos\n\thosts {\n\t\t%s %s\n\t}\n}\n", port, c.answers[0].to.Addr(), c.answers[0].name)
	default:
		h.t.Fatalf("no server of the kind %q", c.kind)
	}
}

// unboundDoT starts an Unbound that serves over TLS, and at port 53 for its
// version, and forwards everything to upstream.
func (h *host) unboundDoT(upstream string) *process {
	h.t.Helper()
	conf := fmt.Sprintf(`server:
	do-daemonize: no
	use-syslog: no
	username: ""
	chroot: ""
	pidfile: ""
	directory: %q
	interface: %s@53
	interface: %[2]s@853
	tls-service-pem: cert.pem
	tls-service-key: key.pem
	access-control: 0.0.0.0/0 allow
	module-config: "iterator"
forward-zone:
	name: "."
	forward-addr: %s
`, h.dir, h.v4, upstream)
	return h.serve(addr(h.v4, 53), "unbound", "-d", "-c", h.file("unbound.conf", conf))
}

// coreDNSWith starts a CoreDNS whose Corefile is format with the port first; it
// answers for its version there.
func (h *host) coreDNSWith(format string, port int, args ...any) *process {
	h.t.Helper()
	corefile := fmt.Sprintf(format, append([]any{port}, args...)...)
	return h.serve(addr(h.v4, port), coreDNSBin, "-conf", h.file("server.corefile", corefile))
}
