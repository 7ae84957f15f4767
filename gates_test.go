package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	cleanCorefile  = ".:53 {\n    errors\n    forward . 10.0.0.2\n}\n"
	loopCorefile   = ".:53 {\n    bind 127.0.0.2\n    forward . 127.0.0.2\n}\n" // to itself, in line 3
	brokenCorefile = ".:53 {\n    foward . 10.0.0.2\n}\n"
)

// decode reads a YAML file into a type that knows each of its keys.
func decode(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// workspace is a directory with files, as a pipeline checks them out.
func workspace(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// gate is a machine that runs the shell of a pipeline: its programs are this
// machine's, but for dnsloop, which is not there yet.
type gate struct {
	dir  string   // the workspace
	env  []string // beside the environment of this test
	path string
	goes string // the log of the go that stands for the real one
}

// newGate is a gate whose go "installs" the dnsloop of this test.
func newGate(t *testing.T, files map[string]string) *gate {
	t.Helper()
	dnsloop, err := exec.LookPath("dnsloop")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{dir: workspace(t, files), goes: filepath.Join(t.TempDir(), "log")}
	bin := workspace(t, map[string]string{
		"go": "#!/bin/sh\necho \"$@\" >>" + g.goes + "\nmkdir -p \"$GOBIN\" && ln -s " + dnsloop + " \"$GOBIN/dnsloop\"\n",
	})
	if err := os.Chmod(filepath.Join(bin, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	// The directory of this test's dnsloop is left out: it must be installed.
	g.path = strings.Join(slices.DeleteFunc(append([]string{bin}, filepath.SplitList(os.Getenv("PATH"))...),
		func(dir string) bool { return dir == filepath.Dir(dnsloop) }), string(filepath.ListSeparator))
	g.env = []string{"HOST_ROOT=" + t.TempDir(), "GOFLAGS=-buildvcs=false"}
	return g
}

// program is the path of what a test cannot do without: where it is missing
// the test is skipped, but not in CI.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// shell runs a script and returns its exit status and streams.
func (g *gate) shell(t *testing.T, script string, env []string, argv ...string) (int, string, string) {
	t.Helper()
	shell := program(t, argv[0])
	file := filepath.Join(t.TempDir(), "script.sh")
	if err := os.WriteFile(file, []byte(script), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shell, append(argv[1:], file)...)
	cmd.Dir = g.dir
	cmd.Env = slices.Concat(os.Environ(), g.env, env, []string{"PATH=" + g.path})
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\nstandard output:\n%s\nstandard error:\n%s", script, out.String(), diag.String())
		}
	})
	return cmd.ProcessState.ExitCode(), out.String(), diag.String()
}

// installed is what go was asked to do.
func (g *gate) installed(t *testing.T) string {
	t.Helper()
	return readFile(t, g.goes)
}

// readFile is a file's text; empty where there is none.
func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// action is action.yml, as far as a composite action may go.
type action struct {
	Name, Description string
	Branding          map[string]string
	Inputs            map[string]struct {
		Description, Default string
		Required             bool
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			Name, ID, Shell, Run string
			Env                  map[string]string
		}
	}
}

// expression is the one form of GitHub's expressions that action.yml uses.
var expression = regexp.MustCompile(`^\$\{\{ ((?:inputs|steps)\.[\w.-]+) \}\}$`)

// run runs the steps as GitHub's runner does, until one fails, and returns the
// exit status of the last, what all wrote, and the action's outputs.
func (a action) run(t *testing.T, g *gate, inputs map[string]string) (int, string, map[string]string) {
	t.Helper()
	known := map[string]string{}
	for name, in := range a.Inputs {
		known["inputs."+name] = in.Default
	}
	for name, value := range inputs {
		known["inputs."+name] = value
	}
	value := func(s string) string {
		m := expression.FindStringSubmatch(s)
		if m == nil {
			return s
		}
		if _, ok := known[m[1]]; !ok && strings.HasPrefix(m[1], "inputs.") {
			t.Errorf("no input for %s", s)
		}
		return known[m[1]]
	}
	status, out := 0, ""
	for _, s := range a.Runs.Steps {
		files := workspace(t, map[string]string{"output": "", "path": ""})
		env := []string{
			"GITHUB_OUTPUT=" + filepath.Join(files, "output"), "GITHUB_PATH=" + filepath.Join(files, "path"),
		}
		for name, v := range s.Env {
			env = append(env, name+"="+value(v))
		}
		// The runner's own words for shell: bash.
		code, stdout, _ := g.shell(t, s.Run, env, "bash", "--noprofile", "--norc", "-eo", "pipefail")
		status, out = code, out+stdout
		for line := range strings.Lines(readFile(t, filepath.Join(files, "path"))) {
			g.path = strings.TrimSpace(line) + string(filepath.ListSeparator) + g.path
		}
		for line := range strings.Lines(readFile(t, filepath.Join(files, "output"))) {
			name, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			known["steps."+s.ID+".outputs."+name] = v
		}
		if status != 0 {
			break
		}
	}
	outputs := map[string]string{}
	for name, o := range a.Outputs {
		outputs[name] = value(o.Value)
	}
	return status, out, outputs
}

// onRunner sets what GitHub's runner does, and returns where summaries go.
func (g *gate) onRunner(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	summary := filepath.Join(t.TempDir(), "summary")
	g.env = append(g.env, "GITHUB_ACTIONS=true", "GITHUB_ACTION_PATH="+root, "RUNNER_TEMP="+t.TempDir(),
		"GITHUB_WORKSPACE="+g.dir, "GITHUB_STEP_SUMMARY="+summary)
	return summary
}

func TestAction(t *testing.T) {
	var a action
	decode(t, "action.yml", &a)
	if a.Runs.Using != "composite" {
		t.Errorf("using: %s", a.Runs.Using)
	}
	for _, s := range a.Runs.Steps {
		if s.Shell != "bash" || s.Run == "" || strings.Contains(s.Run, "${{") {
			t.Errorf("step %q: shell %q; its script takes what it is given from the environment:\n%s", s.Name, s.Shell, s.Run)
		}
	}
	files := map[string]string{
		"Corefile": cleanCorefile, "dns/loop.corefile": loopCorefile, "dns/clean.corefile": cleanCorefile,
		"risk.conf": "nameserver 127.0.0.53\n", "broken/Corefile": brokenCorefile,
	}
	for _, c := range []struct {
		name    string
		inputs  map[string]string
		status  int
		out     string // a line of it
		sarif   bool
		verdict string // of the summary
	}{
		{"clean", map[string]string{"files": "Corefile"}, 0, "", true, "clear"},
		{"a loop", map[string]string{"files": "dns/loop.corefile"}, 1, "::error file=dns/loop.corefile,line=3,title=DL002", true, "loop"},
		{"patterns and lines", map[string]string{"files": "Corefile\ndns/*.corefile\n"}, 1, "::error file=dns/loop.corefile,line=3,", true, "loop"},
		{"options", map[string]string{"files": "risk.conf", "args": "--no-probe --fail-on risk"}, 3, "::warning file=risk.conf,line=1,", true, "risk"},
		{"a risk", map[string]string{"files": "risk.conf"}, 0, "::warning file=risk.conf,line=1,", true, "risk"},
		{"a broken file", map[string]string{"files": "broken/Corefile"}, 2, "", false, ""},
		{"a pattern that matches nothing", map[string]string{"files": "none/*.corefile"}, 2, "", false, ""},
		{"no files", map[string]string{"files": " \n"}, 2, "::error::dnsloop: the input files names none", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t, files)
			summary := g.onRunner(t)
			c.inputs["version"] = "v0.1.0"
			status, out, outputs := a.run(t, g, c.inputs)
			if status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			if !strings.Contains("\n"+out, "\n"+c.out) {
				t.Errorf("no line begins with %q", c.out)
			}
			if c.status != 2 && outputs["exit-status"] != string('0'+rune(c.status)) {
				t.Errorf("output exit-status %q", outputs["exit-status"])
			}
			text := readFile(t, outputs["sarif"])
			if c.sarif != strings.Contains(text, `"version": "2.1.0"`) || !c.sarif && outputs["sarif"] != "" {
				t.Errorf("output sarif %q:\n%s", outputs["sarif"], text)
			}
			if c.verdict == "loop" && !strings.Contains(text, `"uri": "dns/loop.corefile"`) {
				t.Errorf("SARIF names no path within the workspace:\n%s", text)
			}
			text = readFile(t, summary)
			if (text != "") != (c.verdict != "") || !strings.HasPrefix(text+" ", "### dnsloop: "+c.verdict) && c.verdict != "" {
				t.Errorf("summary:\n%s", text)
			}
			if got := g.installed(t); !strings.HasSuffix(got, " github.com/dnsloop/dnsloop@v0.1.0\n") || strings.Count(got, "\n") != 1 {
				t.Errorf("go %s", got)
			}
		})
	}
}

// TestActionBuildsItself: without a version the action installs the source that
// it came with.
func TestActionBuildsItself(t *testing.T) {
	goBin := program(t, "go")
	var a action
	decode(t, "action.yml", &a)
	g := newGate(t, map[string]string{"Corefile": loopCorefile})
	g.onRunner(t)
	g.path = filepath.Dir(goBin) + string(filepath.ListSeparator) + g.path
	status, out, outputs := a.run(t, g, map[string]string{"files": "Corefile"})
	if status != 1 || outputs["exit-status"] != "1" || !strings.Contains(out, "::error file=Corefile,line=3,title=DL002") {
		t.Errorf("exit status %d, outputs %v", status, outputs)
	}
	if got := g.installed(t); got != "" {
		t.Errorf("the wrong go was asked: %s", got)
	}
}
