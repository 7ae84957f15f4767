package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const inputs = "../testdata/corefile"

// nodeFile is the host's /etc/resolv.conf that the inputs name.
const nodeFile = "nameserver 127.0.0.53\nnameserver 9.9.9.9\n"

// inputEnv is the environment that the inputs refer to.
var inputEnv = []string{"DNSLOOP_TEST_ZONE=env.example", "DNSLOOP_TEST_PORT=5300", "DNSLOOP_TEST_UPSTREAM=127.0.0.1:5300"}

// elsewhere are the inputs on which CoreDNS is no judge here, with what it
// says. Where it says nothing it starts, and what then becomes of queries hangs
// on what is not in the file. dnsloop has to read them all.
var elsewhere = map[string]string{
	// Plugins that need a cluster, or are not built in.
	"kubeadm": "directive 'kubernetes'", "k3s": "directive 'kubernetes'", "openshift": "directive 'kubernetes'",
	"circle-view": "directive 'view'", "view-after": "directive 'view'",
	"grpc": "directive 'grpc'", "external-plugins": "Unknown directive 'fanout'",
	// Names, files and addresses that this host does not have.
	"compose-name": "failed to resolve", "host-names": "failed to resolve", "missing-file": "failed to resolve",
	"dot-server": "could not load TLS cert", "tls-client": "could not load TLS cert",
	"nodelocal-filled": "cannot assign requested address",
	// What a template has yet to fill in.
	"nodelocal": "not a valid IP address or interface name",
	// It starts.
	"circle-acl": "", "dot-acme": "", "file-zone": "", "ports": "",
}

// otherLine are the inputs of err for which dnsloop names another line than
// CoreDNS, with why.
var otherLine = map[string]string{
	"snippet-self": "CoreDNS names the line after the import",
}

// place is where CoreDNS says that a file is wrong.
var place = regexp.MustCompile(`(/\S+:\d+) - Error during parsing`)

// TestAcceptance: CoreDNS starts with each input of ok and with none of err.
// dnsloop accepts the former and refuses the latter, at the line that CoreDNS
// names, if it names one.
func TestAcceptance(t *testing.T) {
	need(t)
	t.Run("ok", func(t *testing.T) {
		t.Parallel()
		h := inputHost(t)
		for name, path := range corpus(t, "ok") {
			if ok, said := h.coreDNSStarts(path); !ok {
				t.Errorf("%s: CoreDNS does not start\n%s", name, said)
			}
			if ok, said := h.accepts(path); !ok {
				t.Errorf("%s: dnsloop refuses it\n%s", name, said)
			}
		}
	})
	t.Run("err", func(t *testing.T) {
		t.Parallel()
		h := inputHost(t)
		for name, path := range corpus(t, "err") {
			started, theirs := h.coreDNSStarts(path)
			if started {
				t.Errorf("%s: CoreDNS starts\n%s", name, theirs)
			}
			accepted, ours := h.accepts(path)
			if accepted {
				t.Errorf("%s: dnsloop accepts it\n%s", name, ours)
			}
			at := place.FindStringSubmatch(theirs)
			if at != nil && strings.Contains(ours, at[1]+": ") == (otherLine[name] != "") {
				t.Errorf("%s: CoreDNS names %s, dnsloop says\n%s", name, at[1], ours)
			}
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		h := inputHost(t)
		paths := corpus(t, "elsewhere")
		for name, path := range paths {
			why, listed := elsewhere[name]
			if !listed {
				t.Errorf("%s: say why CoreDNS is no judge of it, or move it to ok or err", name)
			}
			if ok, said := h.coreDNSStarts(path); ok != (why == "") || !strings.Contains(said, why) {
				t.Errorf("%s: CoreDNS starts: %t; want %q\n%s", name, ok, why, said)
			}
			if ok, said := h.accepts(path); !ok {
				t.Errorf("%s: dnsloop refuses it\n%s", name, said)
			}
		}
		for name := range elsewhere {
			if paths[name] == "" {
				t.Errorf("%s is listed, but no input", name)
			}
		}
	})
}

// inputHost is a host as the inputs expect it.
func inputHost(t *testing.T) *host {
	t.Helper()
	h := newNetwork(t).host()
	h.resolvConf(nodeFile)
	return h
}

// corpus lists the inputs of one outcome: name and absolute path.
func corpus(t *testing.T, outcome string) map[string]string {
	t.Helper()
	paths := map[string]string{}
	for _, file := range globbed(t, filepath.Join(inputs, outcome, "*.corefile")) {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		paths[strings.TrimSuffix(filepath.Base(file), ".corefile")] = path
	}
	return paths
}

// coreDNSStarts says whether CoreDNS comes up with a Corefile or ends, and what
// it wrote.
func (h *host) coreDNSStarts(corefile string) (bool, string) {
	h.t.Helper()
	cmd := h.command(coreDNSBin, "-conf", corefile)
	cmd.Env, cmd.Dir = append(os.Environ(), inputEnv...), h.dir
	p := launch(h.t, cmd)
	defer p.kill()
	up := func() bool { return strings.Contains(p.log.String(), "CoreDNS-") }
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !up() {
		select {
		case <-tick.C:
		case <-p.gone:
			return up(), p.log.String()
		case <-deadline:
			h.t.Fatalf("%s: CoreDNS neither came up nor ended within %v\n%s", corefile, patience, p.log.String())
		}
	}
	return true, p.log.String()
}

// accepts says whether dnsloop reads a Corefile, and what it wrote. It is not
// run as a linter: that would take the names of interfaces on trust.
func (h *host) accepts(corefile string) (bool, string) {
	h.t.Helper()
	cmd := h.command(dnsloopBin, "--timeout", "100ms", "-q", "--corefile", corefile)
	cmd.Env, cmd.Dir = append(os.Environ(), inputEnv...), h.dir
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode() != 2, string(out)
}
