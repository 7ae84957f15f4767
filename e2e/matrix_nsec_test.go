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

// unseen are loops through validating servers that hold a proof, from the time
// before the loop, that no top-level name begins with a digit: they answer such
// names without asking (RFC 8198).
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
	} {
		list = append(list, cell{server: f.name, behaviour: "goes back, but holds the root's proof that no name begins with a digit",
			tools: []string{f.tool, "named", "dnssec-keygen", "dnssec-signzone"}, truth: loops, arrange: func(n *network) bed {
				a, b := n.host(), n.host()
				root, anchor := a.signedRoot(n.t)
				f.start(anchor)(b, forwarding{at: b.v4, to: []string{a.v4}})
				b.mustDeny("123456789.", b.v4)
				root.kill()
				b.mustDeny("987654321.", b.v4) // from what it holds: nobody else is there
				return to(a, b.v4)
			}})
	}
	return list
}

// signedRoot serves a signed root on the host, and returns its key.
func (h *host) signedRoot(t *testing.T) (p *process, anchor string) {
	t.Helper()
	zone := ". 86400 SOA ns.root. root. 1 60 60 60 86400\n. 86400 NS ns.root.\nns.root. 86400 A " + h.v4 + "\n"
	for _, tld := range topLevels {
		zone += tld + ". 86400 NS ns.root.\n"
	}
	file := h.file("root.zone", zone)
	key, err := exec.Command("dnssec-keygen", "-q", "-K", h.dir, "-a", "ECDSAP256SHA256", "-f", "KSK", ".").Output()
	if err != nil {
		t.Fatalf("dnssec-keygen: %v", err)
	}
	command(t, "dnssec-signzone", "-q", "-S", "-z", "-K", h.dir, "-d", h.dir, "-o", ".", "-f", file+".signed", file)
	for _, line := range strings.Split(read(t, filepath.Join(h.dir, strings.TrimSpace(string(key))+".key")), "\n") {
		if strings.Contains(line, "DNSKEY") {
			anchor = line
		}
	}
	conf := "options {\n\tdirectory \"" + h.dir + "\";\n\tpid-file none;\n\tlock-file none;\n\tlisten-on { " + h.v4 + "; };\n" +
		"\tlisten-on-v6 { none; };\n\trecursion no;\n};\ncontrols { };\nzone \".\" { type primary; file \"" + file + ".signed\"; };\n"
	return h.serve(addr(h.v4, 53), "named", "-g", "-n", "1", "-c", h.file("root.conf", conf)), anchor
}

// mustDeny asks a server for a name and wants a proof that it does not exist.
func (h *host) mustDeny(name, server string) {
	h.t.Helper()
	if err := h.inside(func() error {
		c := dns.Client{Timeout: patience}
		m := new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(1232, true)
		reply, _, err := c.Exchange(m, addr(server, 53))
		if err == nil && (reply.Rcode != dns.RcodeNameError || !reply.AuthenticatedData) {
			h.t.Fatalf("%s at %s: expected a validated NXDOMAIN, got\n%v", name, server, reply)
		}
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
}
