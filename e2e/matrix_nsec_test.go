package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// topLevels are the delegations of the signed root of the lab. As in the real
// one, all that begins with a digit lies before the first of them.
var topLevels = strings.Fields("aaa abb ac ad ag ai am app ar as at au aw ax az ba band bar bb bd be bet bf bg bh bid bike " +
	"bio biz bj blog bm bn bo br bs bt bw by bz ca cc ch cn com de dev edu eu fr info io it jp mil net nl org ru tv uk us xyz zw")

// unseen are loops through validating servers that hold proofs, from the time
// before the loop, that names of the root do not exist, and so answer such names
// without asking (RFC 8198): those that begin with a digit, or all of them.
func unseen() []cell {
	var list []cell
	for _, f := range []struct {
		name, tool string
		start      func(anchor string) func(*host, forwarding)
	}{
		{"Unbound, validating", "unbound", func(anchor string) func(*host, forwarding) {
			return unboundWith(`module-config: "validator iterator"`, "aggressive-nsec: yes", `trust-anchor: "`+anchor+`"`)
		}},
		{"BIND, forward only, validating", "named", func(anchor string) func(*host, forwarding) {
			_, key, _ := strings.Cut(anchor, "DNSKEY")
			f := strings.Fields(key) // flags, protocol, algorithm and the key in pieces
			return bindWith("only", "yes", fmt.Sprintf("trust-anchors { . static-key %s %s %s %q; };\n",
				f[0], f[1], f[2], strings.Join(f[3:], "")))
		}},
		{"Knot Resolver, FORWARD", "kresd", func(anchor string) func(*host, forwarding) {
			return knotWith("FORWARD", "trust_anchors.remove('.')", "trust_anchors.add([["+anchor+"]])")
		}},
	} {
		for _, held := range []struct {
			behaviour string
			learn     func(b *host)
			swallowed []string
		}{
			{"goes back, but holds the root's proof that no name begins with a digit",
				func(b *host) { b.mustDeny("123456789.", b.v4) }, []string{"987654321."}},
			{"goes back, but holds all of the root's proofs",
				(*host).walkRoot, []string{"4611686018427387904.", "hdkqbjweiscrxa.", "zzzzzzzzzzzzzz."}},
		} {
			list = append(list, cell{server: f.name, behaviour: held.behaviour,
				tools: []string{f.tool, "named", "dnssec-keygen", "dnssec-signzone"}, truth: loops, arrange: func(n *network) bed {
					a, b := n.host(), n.host()
					root, anchor := a.signedRoot(n.t)
					f.start(anchor)(b, forwarding{at: b.v4, to: []string{a.v4}})
					held.learn(b)
					a.mustSwallow(b, held.swallowed)
					root.kill()
					return to(a, b.v4)
				}})
		}
	}
	return list
}

// walkRoot has the server on the host learn every gap of the root, by one name
// in each, and the one of com. It is no validated proof, and is of no use, since
// a delegation that is not signed may lie in it (RFC 5155 section 9.2).
func (h *host) walkRoot() {
	h.t.Helper()
	h.mustDeny("0.", h.v4)
	for _, tld := range topLevels {
		h.mustDeny(tld+"0.", h.v4) // no name lies between these two
	}
	h.exchange(new(dns.Msg).SetQuestion("no-such-name.com.", dns.TypeA).SetEdns0(1232, true), h.v4)
}

// mustSwallow wants the server on host b to answer the names by itself, as
// dnsloop asks for them, though it forwards to the host, and a new name under
// com to come here.
func (h *host) mustSwallow(b *host, names []string) {
	h.t.Helper()
	h.nft("table inet seen {\n\tcounter questions {\n\t}\n\tchain input {\n\t\ttype filter hook input priority 0\n" +
		"\t\tmeta l4proto { tcp, udp } th dport 53 counter name questions\n\t}\n}\n")
	seen := func() string { return output(h.t, h.command("nft", "list", "counter", "inet", "seen", "questions")) }
	none := seen()
	for _, name := range names {
		for _, qtype := range []uint16{dns.TypeHINFO, dns.TypeA, dns.TypeTXT, dns.TypeAAAA} {
			m := new(dns.Msg).SetQuestion("1."+name, qtype)
			m.CheckingDisabled = true
			if reply := b.exchange(m, b.v4); reply.Rcode != dns.RcodeNameError {
				h.t.Fatalf("%s: expected NXDOMAIN, got\n%v", name, reply)
			}
		}
	}
	if now := seen(); now != none {
		h.t.Fatalf("expected all of %v to be answered from the cache, but questions came: %s", names, now)
	}
	b.exchange(new(dns.Msg).SetQuestion("1.hdkqbjweiscrxa.com.", dns.TypeA), b.v4)
	if seen() == none {
		h.t.Fatal("a name under com was answered from the cache as well")
	}
}

// signedRoot serves a signed root on the host, with NSEC, and a signed com, with
// NSEC3 and Opt-Out as the real one has, and returns the root's key.
func (h *host) signedRoot(t *testing.T) (p *process, anchor string) {
	t.Helper()
	com, _ := h.sign("com.", "example.com. 86400 NS ns.root.\n", "-3", "-", "-H", "0", "-A")
	records := "ns.root. 86400 A " + h.v4 + "\n"
	for _, tld := range topLevels {
		records += tld + ". 86400 NS ns.root.\n"
	}
	root, anchor := h.sign(".", records, "-g") // -g: with the DS records of com
	conf := "options {\n\tdirectory \"" + h.dir + "\";\n\tpid-file none;\n\tlock-file none;\n\tlisten-on { " + h.v4 + "; };\n" +
		"\tlisten-on-v6 { none; };\n\trecursion no;\n};\ncontrols { };\n" +
		"zone \".\" { type primary; file \"" + root + "\"; };\nzone \"com\" { type primary; file \"" + com + "\"; };\n"
	return h.serve(addr(h.v4, 53), "named", "-g", "-n", "1", "-c", h.file("root.conf", conf)), anchor
}

// sign makes a zone of the records and signs it. It returns the file, and the
// key as a line of a zone file.
func (h *host) sign(zone, records string, options ...string) (file, key string) {
	h.t.Helper()
	file = h.file("zone-of-"+zone+"db", zone+" 86400 SOA ns.root. root. 1 60 60 60 86400\n"+zone+" 86400 NS ns.root.\n"+records)
	name := output(h.t, exec.Command("dnssec-keygen", "-q", "-K", h.dir, "-a", "ECDSAP256SHA256", "-f", "KSK", zone))
	args := []string{"dnssec-signzone", "-q", "-S", "-z", "-K", h.dir, "-d", h.dir, "-o", zone, "-f", file + ".signed"}
	command(h.t, append(append(args, options...), file)...)
	for line := range strings.Lines(read(h.t, filepath.Join(h.dir, strings.TrimSpace(name)+".key"))) {
		if strings.Contains(line, "DNSKEY") {
			key = strings.TrimSpace(line)
		}
	}
	return file + ".signed", key
}

// output runs a command to its end and returns what it wrote to standard output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return string(out)
}

// mustDeny asks a server for a name and wants a proof that it does not exist.
func (h *host) mustDeny(name, server string) {
	h.t.Helper()
	reply := h.exchange(new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(1232, true), server)
	if reply.Rcode != dns.RcodeNameError || !reply.AuthenticatedData {
		h.t.Fatalf("%s at %s: expected a validated NXDOMAIN, got\n%v", name, server, reply)
	}
}

// exchange asks a server from the host and returns its reply.
func (h *host) exchange(m *dns.Msg, server string) *dns.Msg {
	h.t.Helper()
	c := dns.Client{Timeout: patience}
	var reply *dns.Msg
	if err := h.inside(func() (err error) {
		reply, _, err = c.Exchange(m, addr(server, 53))
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return reply
}
