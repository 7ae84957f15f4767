package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write what was measured into ../docs/comparison.md")

// The programs under test, built once for the whole run.
var dnsloopBin, coreDNSBin string

func TestMain(m *testing.M) {
	flag.Parse()
	if how := os.Getenv(containerEnv); how != "" {
		fmt.Fprintln(os.Stderr, startAsContainer(how, os.Args[1:]))
		os.Exit(125)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dnsloop-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// An unprivileged user of the tests executes what is built here.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dnsloopBin = filepath.Join(dir, "dnsloop")
	coreDNSBin = filepath.Join(dir, "coredns")
	err = errors.Join(build("..", dnsloopBin, "."), build(".", coreDNSBin, "./coredns"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(dir, out, pkg string) error {
	text, err := exec.Command("go", "build", "-C", dir, "-buildvcs=false", "-o", out, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s in %s: %w\n%s", pkg, dir, err, text)
	}
	return nil
}

// need skips a test for want of root or of a tool, and fails it in CI, where
// nothing may go untested in silence.
func need(t *testing.T, tools ...string) {
	t.Helper()
	lack := t.Skipf
	if os.Getenv("CI") == "true" {
		lack = t.Fatalf
	}
	if os.Geteuid() != 0 {
		lack("needs root: it makes network namespaces")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			lack("needs %s: %v", tool, err)
		}
	}
}
