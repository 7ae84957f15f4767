package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// job is what deploy/gitlab/dnsloop.yml holds.
type job struct {
	Stage, Image string
	Variables    map[string]string
	Script       []string
	Artifacts    struct {
		When    string
		Paths   []string
		Reports struct{ JUnit string }
	}
}

func gitlabJob(t *testing.T) job {
	t.Helper()
	var jobs map[string]job
	decode(t, "deploy/gitlab/dnsloop.yml", &jobs)
	if _, ok := jobs[".dnsloop"]; !ok || len(jobs) != 1 {
		t.Fatalf("jobs %v, want .dnsloop alone", jobs)
	}
	return jobs[".dnsloop"]
}

// run runs the job's script, one line after the other in one shell, with the
// job's variables but for those that are given.
func (j job) run(t *testing.T, g *gate, variables map[string]string, shell ...string) (int, string, string) {
	t.Helper()
	bin := t.TempDir() // the image has GOBIN on its PATH
	g.path += string(filepath.ListSeparator) + bin
	env := []string{"GOBIN=" + bin}
	for _, vars := range []map[string]string{j.Variables, variables} {
		for name, v := range vars {
			env = append(env, name+"="+v)
		}
	}
	return g.shell(t, strings.Join(j.Script, "\n"), env, shell...)
}

func TestGitLab(t *testing.T) {
	j := gitlabJob(t)
	if j.Artifacts.When != "always" || j.Artifacts.Reports.JUnit == "" || !slices.Contains(j.Artifacts.Paths, j.Artifacts.Reports.JUnit) {
		t.Errorf("the report of a failed job is not kept: %+v", j.Artifacts)
	}
	files := map[string]string{"Corefile": cleanCorefile, "dns/Corefile": loopCorefile, "broken/Corefile": brokenCorefile, "risk.conf": "nameserver ::1\n"}
	for _, shell := range [][]string{{"bash", "-eo", "pipefail"}, {"sh", "-e"}} {
		for _, c := range []struct {
			name      string
			variables map[string]string
			status    int
			out       string
			failures  string // of the JUnit report
		}{
			{"as it is", nil, 0, "clear: ", `failures="0"`},
			{"a loop", map[string]string{"DNSLOOP_FILES": "Corefile dns/*"}, 1, "(dns/Corefile:3)", `failures="2"`},
			{"options", map[string]string{"DNSLOOP_FILES": "risk.conf", "DNSLOOP_ARGS": "--no-probe --pod --fail-on never"}, 0, "loop: ", `failures="2"`},
			{"a broken file", map[string]string{"DNSLOOP_FILES": "broken/*"}, 2, "", ""},
			{"no files", map[string]string{"DNSLOOP_FILES": ""}, 2, "", ""},
		} {
			t.Run(shell[0]+"/"+c.name, func(t *testing.T) {
				g := newGate(t, files)
				status, out, diag := j.run(t, g, c.variables, shell...)
				if status != c.status || !strings.Contains(out, c.out) {
					t.Errorf("exit status %d, want %d; want %q in the output", status, c.status, c.out)
				}
				if c.status == 2 && !strings.Contains(diag, "dnsloop: ") {
					t.Errorf("nothing said of what is wrong: %s", diag)
				}
				junit := readFile(t, filepath.Join(g.dir, j.Artifacts.Reports.JUnit))
				if (junit == "") != (c.failures == "") || !strings.Contains(junit, c.failures) {
					t.Errorf("want %s in the report:\n%s", c.failures, junit)
				}
				if got := g.installed(t); !strings.HasSuffix(got, " github.com/dnsloop/dnsloop@"+j.Variables["DNSLOOP_VERSION"]+"\n") {
					t.Errorf("go %s", got)
				}
			})
		}
	}
}

// hook is one entry of .pre-commit-hooks.yaml.
type hook struct {
	ID, Name, Description, Language, Entry, Files, Exclude string
	Types                                                  []string
}

func TestPreCommit(t *testing.T) {
	var hooks []hook
	decode(t, ".pre-commit-hooks.yaml", &hooks)
	if len(hooks) != 1 || hooks[0].ID != "dnsloop" || hooks[0].Language != "golang" {
		t.Fatalf("hooks %+v", hooks)
	}
	h := hooks[0]
	// These say the same to Go as to Python, whose search pre-commit uses.
	files, exclude := regexp.MustCompile(h.Files), regexp.MustCompile(h.Exclude)
	wanted := []string{
		"Corefile", "dns/Corefile", "Corefile.prod", "Corefile-edge", "Corefile_lab", "prod.corefile", "a/b/c.corefile",
		"x.Corefile", "resolv.conf", "etc/resolv.conf", "k3s-resolv.conf", "no-stub-resolv.conf", "node.resolv.conf",
		"resolv.conf.head", "resolv.conf-node",
	}
	unwanted := []string{
		"Corefiles", "Corefile/README", "aCorefile", "corefile.go", "x.corefile.go", "main.go", "Dockerfile",
		"resolv.config", "resolvXconf", "myresolv.conf", "resolvconf/parser.go", "docs/Corefile.md", "Corefile.j2",
		"templates/Corefile.tmpl", "resolv.conf.erb", "coredns.yaml", "resolved.conf", "resolv.conf/README",
	}
	var got []string
	for _, name := range slices.Concat(wanted, unwanted) {
		if files.MatchString(name) && !exclude.MatchString(name) {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("files that are checked (-want +got):\n%s", diff)
	}
	// Each of these names tells dnsloop the kind, whatever the file begins with.
	for _, name := range wanted {
		text := cleanCorefile
		if strings.Contains(name, "resolv.conf") {
			text = "# empty, but for this\n"
		}
		if status, _, diag := h.run(t, map[string]string{name: text}, name); status != 0 {
			t.Errorf("%s: exit status %d: %s", name, status, diag)
		}
	}
	both := map[string]string{"dns/Corefile": loopCorefile, "Corefile": cleanCorefile}
	if status, out, _ := h.run(t, both, "Corefile", "dns/Corefile"); status != 1 || !strings.Contains(out, "(dns/Corefile:3)") {
		t.Errorf("a loop: exit status %d:\n%s", status, out)
	}
	if status, _, diag := h.run(t, map[string]string{"Corefile": brokenCorefile}, "Corefile"); status != 2 || !strings.Contains(diag, "Corefile:2: ") {
		t.Errorf("a broken file: exit status %d: %s", status, diag)
	}
}

// run runs the hook on files as pre-commit does: the names behind the entry.
func (h hook) run(t *testing.T, files map[string]string, names ...string) (int, string, string) {
	t.Helper()
	argv := append(strings.Fields(h.Entry), names...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = workspace(t, files)
	cmd.Env = append(os.Environ(), "HOST_ROOT="+t.TempDir())
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), diag.String()
}

// TestGatesTakeNamesAsNames: what a file is called never becomes an option, a
// command to become, or a command of the shell.
func TestGatesTakeNamesAsNames(t *testing.T) {
	var a action
	decode(t, "action.yml", &a)
	job := gitlabJob(t)
	files := map[string]string{"--": loopCorefile, "--fail-on=never": cleanCorefile, "Corefile": cleanCorefile}
	for name, c := range map[string]struct {
		list   string
		status int
	}{
		"options":  {"*", 1},
		"commands": {"$(touch,pwned) `touch,pwned` ;touch,pwned Corefile", 2},
	} {
		list := c.list
		t.Run("action/"+name, func(t *testing.T) {
			g := newGate(t, files)
			g.onRunner(t)
			status, out, _ := a.run(t, g, map[string]string{"files": list, "version": "latest"})
			if status != c.status || c.status == 1 && !strings.Contains(out, "::error file=./--,line=3,") {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			untouched(t, g)
		})
		t.Run("gitlab/"+name, func(t *testing.T) {
			g := newGate(t, files)
			status, out, _ := job.run(t, g, map[string]string{"DNSLOOP_FILES": list}, "sh", "-e")
			if status != c.status || c.status == 1 && !strings.Contains(out, "(./--:3)") {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			untouched(t, g)
		})
	}
}

func untouched(t *testing.T, g *gate) {
	t.Helper()
	if made, _ := filepath.Glob(filepath.Join(g.dir, "*pwned*")); made != nil {
		t.Errorf("a name was executed: %v", made)
	}
}
