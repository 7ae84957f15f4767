package e2e

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// strict decodes YAML into a type of the real API as the API server's strict
// field validation does: an unknown field fails, and so does one in other case.
func strict(t *testing.T, text []byte, into any) {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	problems, err := json.UnmarshalStrict(asJSON, into)
	if err := errors.Join(append(problems, err)...); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// kustomize builds testdata/coredns.yaml with the component of deploy/ applied.
func kustomize(t *testing.T, component string) appsv1.Deployment {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	put := func(path, text string) {
		if err := fs.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range globbed(t, "../deploy/kubernetes*/*.yaml") {
		put(strings.TrimPrefix(path, ".."), read(t, path))
	}
	put("/cluster/coredns.yaml", read(t, "testdata/coredns.yaml"))
	put("/cluster/kustomization.yaml", "resources: [coredns.yaml]\ncomponents: [../deploy/"+component+"]\n")
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "/cluster")
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	strict(t, text, &d)
	return d
}

func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}

// TestKubernetesFiles decodes each file by itself into its type.
func TestKubernetesFiles(t *testing.T) {
	for _, path := range globbed(t, "../deploy/kubernetes*/*.yaml") {
		text := []byte(read(t, path))
		if filepath.Base(path) == "kustomization.yaml" {
			var k types.Kustomization
			strict(t, text, &k)
			if k.Kind != types.ComponentKind || k.APIVersion != types.ComponentVersion {
				t.Errorf("%s is a %s of %s", path, k.Kind, k.APIVersion)
			}
			continue
		}
		strict(t, text, new(appsv1.Deployment))
	}
}

// TestComponents: the built Deployment is the given one and one init container,
// with no more rights than it needs.
func TestComponents(t *testing.T) {
	var plain appsv1.Deployment
	strict(t, []byte(read(t, "testdata/coredns.yaml")), &plain)
	for component, want := range map[string]struct {
		user int64
		add  []corev1.Capability
	}{
		"kubernetes":          {0, []corev1.Capability{"NET_BIND_SERVICE"}},
		"kubernetes-rootless": {65532, nil},
	} {
		t.Run(component, func(t *testing.T) {
			d := kustomize(t, component)
			pod := &d.Spec.Template.Spec
			if len(pod.InitContainers) != 1 {
				t.Fatalf("%d init containers", len(pod.InitContainers))
			}
			c := pod.InitContainers[0]
			s := c.SecurityContext
			if *s.RunAsUser != want.user || *s.RunAsNonRoot != (want.user != 0) {
				t.Errorf("runs as %d, runAsNonRoot %v", *s.RunAsUser, *s.RunAsNonRoot)
			}
			if len(s.Capabilities.Add) != len(want.add) || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("capabilities %+v", *s.Capabilities)
			}
			if *s.AllowPrivilegeEscalation || *s.Privileged || !*s.ReadOnlyRootFilesystem ||
				s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("security context %+v", *s)
			}
			if strings.HasSuffix(c.Image, ":latest") || !strings.Contains(c.Image, ":") {
				t.Errorf("image %q names no version", c.Image)
			}
			if len(c.VolumeMounts) != 0 || len(c.Env) != 0 || len(c.Ports) != 0 {
				t.Errorf("more than a check needs: %+v", c)
			}
			pod.InitContainers = nil
			if component == "kubernetes-rootless" {
				pod.SecurityContext = nil
			}
			if diff := cmp.Diff(plain, d); diff != "" {
				t.Errorf("more than the init container changed (-given +built):\n%s", diff)
			}
		})
	}
}

// TestInitContainer runs the init container as the built Deployment has it: its
// arguments, with the rights a runtime would give it, in a pod's network.
func TestInitContainer(t *testing.T) {
	need(t, "dnsmasq")
	for _, component := range []string{"kubernetes", "kubernetes-rootless"} {
		pod := kustomize(t, component).Spec.Template.Spec
		init := pod.InitContainers[0]
		run := func(t *testing.T, h *host) (report, int) {
			if pod.SecurityContext != nil {
				for _, s := range pod.SecurityContext.Sysctls {
					if s.Name != "net.ipv4.ip_unprivileged_port_start" {
						t.Fatalf("sysctl %s", s.Name)
					}
					h.unprivilegedFrom(s.Value)
				}
			}
			s := init.SecurityContext
			c := container{
				uid:  int(*s.RunAsUser),
				bind: slices.Contains(s.Capabilities.Add, "NET_BIND_SERVICE"),
				nnp:  !*s.AllowPrivilegeEscalation,
			}
			return runDNSLoop(t, c.command(h, append([]string{dnsloopBin, "-f", "json"}, init.Args...)...))
		}
		t.Run(component+" loop", func(t *testing.T) {
			h := newNetwork(t).host()
			h.resolvConf("search example.org\nnameserver 127.0.0.53\n")
			r, status := run(t, h)
			r.expect(t, status, "loop", 1, "DL001", "-DL009")
		})
		t.Run(component+" clear", func(t *testing.T) {
			n := newNetwork(t)
			h := n.host()
			h.resolvConf("nameserver " + strings.TrimSuffix(clean(n, 53), ":53") + "\n")
			r, status := run(t, h)
			r.expect(t, status, "clear", 0, "-DL009")
		})
		t.Run(component+" silent upstream", func(t *testing.T) {
			n := newNetwork(t)
			h, hole := n.host(), n.host()
			hole.drop("udp", 53)
			hole.drop("tcp", 53)
			h.resolvConf("nameserver " + hole.v4 + "\n")
			began := time.Now()
			r, status := run(t, h)
			r.expect(t, status, "unknown", 0, "DL007")
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("held up the start for %v with --timeout 5s", took)
			}
		})
	}
}

// TestSystemd lets systemd read each drop-in, those of the page included, on a
// unit that could be its server's.
func TestSystemd(t *testing.T) {
	need(t, "systemd-analyze", "unshare")
	dropIns := map[string]string{"coredns.service.d/dnsloop.conf": read(t, "../deploy/systemd/coredns.service.d/dnsloop.conf")}
	for i, m := range regexp.MustCompile("(?s)```ini\n(.*?)```").FindAllStringSubmatch(read(t, "../deploy/README.md"), -1) {
		dropIns[fmt.Sprintf("README.md, block %d", i+1)] = m[1]
	}
	if len(dropIns) != 4 {
		t.Errorf("%d drop-ins, want CoreDNS's and the page's for dnsmasq, Unbound and BIND", len(dropIns))
	}
	for name, text := range dropIns {
		t.Run(name, func(t *testing.T) {
			if out, err := verifyUnit(t, text); err != nil || out != "" {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
			if !strings.Contains(text, "--timeout 5s --fail-on loop") {
				t.Errorf("without --timeout 5s --fail-on loop:\n%s", text)
			}
			if out, err := verifyUnit(t, strings.ReplaceAll(text, "ExecStartPre", "ExecStartPer")); err == nil && out == "" {
				t.Error("a misspelt directive is not noticed: this test proves nothing")
			}
		})
	}
}

// verifyUnit runs systemd-analyze verify on testdata/coredns.service with a
// drop-in, where both programs are installed in /usr/local/bin.
func verifyUnit(t *testing.T, dropIn string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	unit := filepath.Join(dir, "coredns.service")
	write(t, unit, read(t, "testdata/coredns.service"))
	write(t, filepath.Join(dir, "coredns.service.d/dnsloop.conf"), dropIn)
	cmd := exec.Command("unshare", "--mount", "sh", "-c",
		`mount --bind "$1" /usr/local/bin && exec systemd-analyze verify --man=no "$2"`, "sh", filepath.Dir(dnsloopBin), unit)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":/lib/systemd/system")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestDockerfile: the last stage is empty but for dnsloop, its user is a
// number and not root, and the build command, run for real, makes a static
// program.
func TestDockerfile(t *testing.T) {
	text := strings.ReplaceAll(read(t, "../Dockerfile"), "\\\n", " ")
	stages := regexp.MustCompile(`(?m)^FROM `).Split(text, -1)
	last := stages[len(stages)-1]
	if len(stages) != 3 || !strings.HasPrefix(last, "scratch\n") {
		t.Errorf("%d stages, the last: %s", len(stages)-1, last)
	}
	if !regexp.MustCompile(`(?m)^USER [1-9][0-9]*:[1-9][0-9]*$`).MatchString(last) {
		t.Errorf("USER is no number, or root:\n%s", last)
	}
	if !regexp.MustCompile(`(?m)^ENTRYPOINT \["/dnsloop"\]$`).MatchString(last) {
		t.Errorf("ENTRYPOINT:\n%s", last)
	}
	if regexp.MustCompile(`(?m)^(RUN|ADD) `).MatchString(last) {
		t.Errorf("the last stage runs or fetches something:\n%s", last)
	}

	build := regexp.MustCompile(`(?m)^RUN (.*go build.*)$`).FindStringSubmatch(text)
	if build == nil {
		t.Fatal("no go build")
	}
	out := filepath.Join(t.TempDir(), "dnsloop")
	cmd := exec.Command("sh", "-ec", strings.Replace(build[1], "-o /dnsloop", "-o "+out, 1))
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH=amd64", "TARGETVARIANT=", "GOFLAGS=-buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build[1], err, text)
	}
	static(t, out)
}

func static(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("needs a dynamic linker")
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("is not stripped")
	}
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) != 0 {
		t.Errorf("imports %v, %v", libs, err)
	}
}
