package verdict

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

const pages = "../docs/explain"

// pageWidth is how many columns a page may take: it is read in a terminal.
const pageWidth = 78

// TestPages: each code has a page that begins with the code and its title, has
// the sections that readers look for, and fits a terminal.
func TestPages(t *testing.T) {
	for _, c := range Codes {
		t.Run(c.Code, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(pages, c.Code+".md"))
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if want := "# " + c.Code + "\n\n" + c.Title + "\n\n"; !strings.HasPrefix(text, want) {
				t.Errorf("does not begin with %q", want)
			}
			for _, h := range []string{"What was seen", "Why it matters", "Check it by hand", "Fix it", "When to leave it", "See also"} {
				if !strings.Contains(text, "\n## "+h) {
					t.Errorf("no section %q", h)
				}
			}
			for _, kind := range []string{"systemd-resolved", "NetworkManager", "Docker", "Kubernetes", "dnsmasq", "unbound", "BIND"} {
				if !strings.Contains(text, kind) {
					t.Errorf("%s is not spoken of", kind)
				}
			}
			if !strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "\n\n") {
				t.Error("does not end in one newline")
			}
			for i, line := range strings.Split(text, "\n") {
				switch {
				case utf8.RuneCountInString(line) > pageWidth:
					t.Errorf("line %d has more than %d columns: %s", i+1, pageWidth, line)
				case strings.TrimRight(line, " \t\r") != line:
					t.Errorf("line %d ends in blanks", i+1)
				}
			}
		})
	}
}

// TestNoPageWithoutCode: a page that no code leads to is never read.
func TestNoPageWithoutCode(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(pages, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(Codes) {
		t.Errorf("%d pages for %d codes", len(files), len(Codes))
	}
}

// TestLoopPage: the page of a loop covers what CoreDNS's own troubleshooting
// does, and says what dnsloop cannot see.
func TestLoopPage(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(pages, "DL001.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(data)), " ")
	for topic, words := range map[string]string{
		"forwards of the looping zone": "every forward of the zone in which the loop was found",
		"a file with a local address":  "that file must hold no local address",
		"an upstream forwards back":    "Where the upstream forwards back",
		"kubelet configuration":        "resolvConf: /run/systemd/resolve/resolv.conf",
		"deprecated flag":              "The flag `--resolv-conf=FILE` does the same. It is deprecated",
		"other places than systemd's":  "elsewhere it is another file",
		"host cache off":               "systemctl disable --now systemd-resolved",
		"restore resolv.conf":          "restore /etc/resolv.conf",
		"new pods":                     "delete pod -l k8s-app=kube-dns",
		"quick fix":                    "quick fix is to name the upstreams in the Corefile",
		"what it leaves broken":        "Every other pod with `dnsPolicy: Default` is still given the file",
		"why CrashLoopBackOff":         "the pod then shows CrashLoopBackOff",
		"blind: marked down":           "marked this server down",
		"blind: answered locally":      "answers the probed zone from its own data",
		"blind: service not ready":     "this server's pod is not Ready yet",
		"blind: rare choice":           "chooses rarely among many forwarders",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("%s: the page does not say %q", topic, words)
		}
	}
}
