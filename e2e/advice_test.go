package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// remedy is one of dnsloop's remedies, as a program that follows it reads it.
type remedy struct {
	Kind, From, Change, File, Old string
	Addresses, New                []string
	Verified                      bool
	Line                          int
}

// The files of a host that the advice under test changes.
const (
	hostResolvConf = "/etc/resolv.conf"
	kubeletConfig  = "/var/lib/kubelet/config.yaml"
)

// kubeletFile is a kubelet's configuration with a line of its own.
func kubeletFile(line string) string {
	return "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n" +
		"clusterDomain: cluster.local\n" + line
}

// advised is a host whose files close a loop, which following dnsloop's advice
// must end. In its texts LOOP is a dnsmasq that forwards back to the host,
// GOOD a server that resolves, SELF the host.
type advised struct {
	name   string
	files  map[string]string // by the path that the host sees
	args   []string          // dnsloop's
	want   []string          // the change of each remedy, in order
	serves []string          // the server that reads the files, with its arguments; none: CoreDNS
	pod    bool              // the server runs in a pod that the kubelet of the host hands a file to
}

// TestAdviceEndsTheLoop takes dnsloop's remedies from its JSON and follows them
// to the letter: dnsloop must then find nothing, and the real server resolve.
func TestAdviceEndsTheLoop(t *testing.T) {
	need(t, "dnsmasq")
	for _, a := range slices.Concat(advisedHosts, advisedCorefiles) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			a.follow(t)
		})
	}
}

func (a advised) follow(t *testing.T) {
	n := newNetwork(t)
	h, back, good, pod := n.host(), n.host(), n.host(), n.host()
	good.resolver()
	back.dnsmasq(back.v4, 53, via(h.v4, 53, "#"))
	names := strings.NewReplacer("LOOP", back.v4, "GOOD", good.v4, "SELF", h.v4)
	lay := func() {
		for path, text := range a.files {
			write(t, h.real(path), names.Replace(text))
		}
	}
	lay()
	r, status, remedies, text := h.advise(t, a.args...)
	r.expect(t, status, "loop", 1)
	if len(remedies) != len(a.want) {
		t.Fatalf("%d remedies: %+v\nwant %d: %q", len(remedies), remedies, len(a.want), a.want)
	}
	for i, m := range remedies {
		if want := names.Replace(a.want[i]); m.Change != want {
			t.Errorf("remedy %d: %q\nwant %q", i, m.Change, want)
		}
		if !m.Verified || m.Kind != "upstreams" || !slices.Equal(m.Addresses, []string{addr(good.v4, 53)}) {
			t.Errorf("not verified upstreams, %s alone: %+v", good.v4, m)
		}
		if !strings.Contains(text, " "+m.Change+" ") {
			t.Errorf("the text's advice lacks %q:\n%s", m.Change, text)
		}
	}
	for _, way := range ways(remedies) {
		lay()
		for _, m := range way {
			h.apply(t, m)
		}
		if a.pod {
			a.serveInPod(t, h, pod)
		} else {
			a.serve(t, h)
		}
	}
}

// ways are the ways out that remedies offer: each sentence is one by itself,
// while the lines to edit belong together, in the order in which they come.
func ways(remedies []remedy) [][]remedy {
	var out [][]remedy
	var edits []remedy
	for _, m := range remedies {
		if m.File == "" {
			out = append(out, []remedy{m})
		} else {
			edits = append(edits, m)
		}
	}
	if len(edits) > 0 {
		out = append(out, edits)
	}
	return out
}

// serve runs dnsloop again, then the servers that would read the file in turn.
func (a advised) serve(t *testing.T, h *host) {
	t.Helper()
	r, status, _, _ := h.advise(t, a.args...)
	r.expect(t, status, "clear", 0)
	if a.serves != nil {
		h.runs(t, a.serves...)
		return
	}
	h.runsCoreDNS(t)
	if len(a.args) == 0 { // what any server reads, not CoreDNS alone
		p := h.serve(addr(h.v4, 53), "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--user=root",
			"--pid-file=", "--log-facility=-", "--cache-size=0", "--resolv-file="+hostResolvConf)
		h.resolves(t, "dnsmasq")
		p.kill()
	}
}

// serveInPod is serve for a CoreDNS in a pod with dnsPolicy Default: the
// kubelet of the node gives it the file that its configuration names.
func (a advised) serveInPod(t *testing.T, node, pod *host) {
	t.Helper()
	handedOn := hostResolvConf // pkg/kubelet/types, ResolvConfDefault
	if m := regexp.MustCompile(`(?m)^resolvConf: (.*)$`).FindStringSubmatch(read(t, node.real(kubeletConfig))); m != nil {
		handedOn = m[1]
	}
	write(t, pod.real(hostResolvConf), read(t, node.real(handedOn)))
	write(t, pod.real("Corefile"), read(t, node.real("Corefile")))
	if read(t, node.real("Corefile")) == a.files["Corefile"] { // else other pods still get the loop
		r, status, _, _ := node.advise(t, "--kubelet-config", kubeletConfig)
		r.expect(t, status, "clear", 0, "-DL017")
	}
	r, status, _, _ := pod.advise(t, "--pod", "Corefile")
	r.expect(t, status, "clear", 0)
	pod.runsCoreDNS(t)
}

// runsCoreDNS starts CoreDNS with the host's Corefile and asks it for a name.
func (h *host) runsCoreDNS(t *testing.T) {
	t.Helper()
	h.runs(t, coreDNSBin, "-conf", "Corefile")
}

// runs starts a server in the host's scratch directory and asks it for a name.
func (h *host) runs(t *testing.T, argv ...string) {
	t.Helper()
	cmd := h.command(argv...)
	cmd.Dir = h.dir
	p := launch(t, cmd)
	p.answers(h, addr(h.v4, 53))
	h.resolves(t, argv[0])
	p.kill()
}

// resolved is what resolver answers, for every name.
const resolved = "192.0.2.7"

// resolver starts a server on the host that knows an address for every name.
func (h *host) resolver() {
	h.t.Helper()
	h.serve(addr(h.v4, 53), coreDNSBin, "-conf", h.file("resolver", ".:53 {\n\tchaos\n"+
		"\ttemplate IN A {\n\t\tanswer \"{{ .Name }} 60 IN A "+resolved+"\"\n\t}\n"+
		"\ttemplate ANY ANY {\n\t\trcode NOERROR\n\t\tauthority \". 60 IN SOA ns.invalid. root.invalid. 1 60 60 60 60\"\n\t}\n}\n"))
}

// resolves asks the server at the host's port 53 for a name, over UDP and TCP.
func (h *host) resolves(t *testing.T, server string) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		err := h.inside(func() error {
			m := new(dns.Msg)
			m.SetQuestion("www.example.net.", dns.TypeA)
			c := dns.Client{Net: network, Timeout: 5 * time.Second}
			reply, _, err := c.Exchange(m, addr(h.v4, 53))
			if err != nil {
				return err
			}
			if len(reply.Answer) != 1 || !strings.HasSuffix(reply.Answer[0].String(), "\t"+resolved) {
				return fmt.Errorf("expected the address %s: %v", resolved, reply)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s resolves no name over %s: %v", server, network, err)
		}
	}
}

// real is where a file that the host sees at path lies; /var/lib is in its
// scratch directory too.
func (h *host) real(path string) string {
	switch {
	case path == hostResolvConf:
		return filepath.Join("/etc/netns", h.ns, "resolv.conf")
	case strings.HasPrefix(path, "/run/"):
		return filepath.Join(h.run, strings.TrimPrefix(path, "/run/"))
	}
	return filepath.Join(h.dir, path)
}

// advise runs dnsloop in the host's scratch directory, and returns with its
// report the remedies and the advice of the text, of the same run.
func (h *host) advise(t *testing.T, args ...string) (report, int, []remedy, string) {
	t.Helper()
	if err := os.MkdirAll(h.real("/var/lib/"), 0o755); err != nil {
		t.Fatal(err)
	}
	argv := []string{"sh", "-c", `mount --bind "$1" /var/lib && shift && exec "$@"`, "sh", h.real("/var/lib/"),
		dnsloopBin, "--timeout", "5s", "-f", "json", "-f", "json=out.json", "-f", "text=out.txt"}
	cmd := h.command(append(argv, args...)...)
	cmd.Dir = h.dir
	r, status := runDNSLoop(t, cmd)
	var out struct{ Remedies []remedy }
	if err := json.Unmarshal([]byte(read(t, h.real("out.json"))), &out); err != nil {
		t.Fatal(err)
	}
	// Behind the advice each remedy stands once more, ready to copy.
	advice, _, _ := strings.Cut(read(t, h.real("out.txt")), "\nverified remedy\n")
	return r, status, out.Remedies, strings.Join(strings.Fields(advice), " ")
}

// written is a step that is followed by hand: which file, the line to write,
// and the line that it takes the place of, if it is told.
var written = regexp.MustCompile("in (?:the )?(\\S+) write `([^`]+)`(?: instead of `([^`]+)`)?")

// apply follows a remedy: by its fields, or, where it names no file to edit, by
// its sentence.
func (h *host) apply(t *testing.T, m remedy) {
	t.Helper()
	path, edit := m.File, m.edit
	if m.File == "" {
		step := written.FindStringSubmatch(m.Change)
		if step == nil {
			t.Fatalf("%q says neither which file nor what to write", m.Change)
		}
		path, edit = step[1], func(lines []string) ([]string, error) { return setting(lines, step[2], step[3]) }
	}
	path = h.real(path)
	lines, err := edit(strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n"))
	if err != nil {
		t.Fatalf("%+v: %s: %v", m, path, err)
	}
	write(t, path, strings.Join(lines, "\n")+"\n")
}

// edit replaces line Line, which must read Old, by the lines New; line 0 adds them.
func (m remedy) edit(lines []string) ([]string, error) {
	switch {
	case m.Line == 0:
		return append(lines, m.New...), nil
	case m.Line > len(lines):
		return nil, fmt.Errorf("no line %d", m.Line)
	case lines[m.Line-1] != m.Old:
		return nil, fmt.Errorf("line %d is %q, expected %q", m.Line, lines[m.Line-1], m.Old)
	}
	return slices.Replace(lines, m.Line-1, m.Line, m.New...), nil
}

// setting writes text in the place of old, or, where old is not told, of the
// line that says the same of something else ("resolvConf: …"), which may lack.
func setting(lines []string, text, old string) ([]string, error) {
	key, _, _ := strings.Cut(text, " ")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, cmp.Or(old, key)) })
	switch {
	case i >= 0:
		lines[i] = strings.Replace(lines[i], cmp.Or(old, lines[i]), text, 1)
	case old != "":
		return nil, fmt.Errorf("no line has %q", old)
	default:
		lines = append(lines, text)
	}
	return lines, nil
}
