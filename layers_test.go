package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Data flows one way: a package knows those before it and none behind it, and
// only the command and the reports know of terminals.
func TestLayers(t *testing.T) {
	const module = "github.com/dnsloop/dnsloop/"
	knows := map[string][]string{
		"spelling":   {},
		"resolvconf": {},
		"corefile":   {"spelling", "resolvconf"},
		"kube":       {},
		"forwarders": {"spelling", "resolvconf"},
		"plan":       {"spelling", "resolvconf", "corefile", "forwarders"},
		"probe":      {"plan"},
		"verdict":    {"resolvconf", "corefile", "forwarders", "plan", "probe"},
		"report":     {"plan", "probe", "verdict"},
		"host":       {"resolvconf"},
		"lab":        {"plan"},
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module)
		may, ok := knows[name]
		if !ok {
			continue // the command, and the scripts' programs
		}
		seen++
		for _, imported := range words[1:] {
			ours := strings.HasPrefix(imported, module)
			terminal := strings.Contains(imported, "urfave/cli") || strings.Contains(imported, "isatty") ||
				strings.Contains(imported, "fatih/color") && name != "report"
			if terminal || ours && !slices.Contains(may, strings.TrimPrefix(imported, module)) {
				t.Errorf("%s must not know %s", name, imported)
			}
		}
	}
	if seen != len(knows) {
		t.Errorf("%d of %d packages were found", seen, len(knows))
	}
}
