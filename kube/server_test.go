package kube

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

const serverData = `
kind: ConfigMap
metadata: {name: conf}
data: {Corefile: ". {}", db.example: zone, resolv.conf: "nameserver 192.0.2.1"}
---
kind: ConfigMap
metadata: {name: more}
data: {a.server: "a {}", b.server: "b {}"}
---
kind: Pod
spec:
  volumes:
  - {name: conf, configMap: {name: conf}}
  - {name: some, configMap: {name: conf, items: [{key: Corefile, path: deep/er/Corefile}]}}
  - {name: more, configMap: {name: more}}
  - {name: gone, configMap: {name: gone}}
  - {name: disk, emptyDir: {}}
  containers:
  - name: coredns
    args: [%s]
    volumeMounts: [%s]
`

// TestFiles holds which file of a container is which key of a ConfigMap.
func TestFiles(t *testing.T) {
	const whole = "{name: conf, mountPath: /etc/coredns/}"
	for name, c := range map[string]struct {
		args, mounts, pattern string
		want                  string
		known                 bool
	}{
		"relative":             {"-conf, /etc/coredns/Corefile", whole, "db.example", "conf/db.example", true},
		"absolute":             {"-conf, /etc/coredns/Corefile", whole, "/etc/coredns/db.*", "conf/db.example", true},
		"upwards":              {"-conf, /etc/coredns/Corefile", whole, "../coredns/db.example", "conf/db.example", true},
		"no match":             {"-conf, /etc/coredns/Corefile", whole, "*.server", "", true},
		"star ends at a slash": {"-conf, /etc/coredns/Corefile", whole + ", {name: more, mountPath: /etc/coredns/x}", "*.server", "", true},
		"second mount":         {"-conf, /etc/coredns/Corefile", whole + ", {name: more, mountPath: /etc/coredns/x}", "x/*.server", "more/a.server more/b.server", true},
		"not here":             {"-conf, /etc/coredns/Corefile", whole + ", {name: gone, mountPath: /etc/coredns/x}", "x/*.server", "", false},
		"other volume":         {"-conf, /etc/coredns/Corefile", whole + ", {name: disk, mountPath: /etc/coredns/x}", "x/*.server", "", false},
		"the image's own":      {"-conf, /etc/coredns/Corefile", whole, "/srv/*.server", "", false},
		"items leave out":      {"-conf, /c/deep/er/Corefile", "{name: some, mountPath: /c}", "/c/*", "", true},
		"items name":           {"-conf, /c/deep/er/Corefile", "{name: some, mountPath: /c}", "Core*", "conf/Corefile", true},
		"sub path, a file":     {"", whole + ", {name: conf, mountPath: /etc/resolv.conf, subPath: resolv.conf}", "/etc/resolv.conf", "conf/resolv.conf", true},
		"sub path, a folder":   {"-conf=/c/er/Corefile", "{name: some, mountPath: /c, subPath: deep/}", "/c/er/*", "conf/Corefile", true},
		"bad pattern":          {"", whole, "[", "", true},
		"root":                 {"-conf, /Corefile", "{name: conf, mountPath: /}", "db.*", "conf/db.example", true},
	} {
		t.Run(name, func(t *testing.T) {
			servers := parse(t, fmt.Sprintf(serverData, c.args, c.mounts)).Servers()
			if len(servers) != 1 || servers[0].Workload == nil {
				t.Fatalf("got %d servers, want that of the pod", len(servers))
			}
			texts, known := servers[0].Files(c.pattern)
			var got []string
			for _, text := range texts {
				got = append(got, text.Name+"/"+text.Key)
			}
			if strings.Join(got, " ") != c.want || known != c.known {
				t.Errorf("got %v, known %v, want %q, known %v", got, known, c.want, c.known)
			}
		})
	}
}

// TestServerFlags holds what a container's command line says of its CoreDNS.
func TestServerFlags(t *testing.T) {
	const mounts = "{name: conf, mountPath: /etc/coredns}"
	for args, want := range map[string]struct {
		key, path string
		port      uint16
	}{
		"":                               {"Corefile", "/etc/coredns/Corefile", 0},
		"-conf, /etc/coredns/Corefile":   {"Corefile", "/etc/coredns/Corefile", 0},
		"--conf=/etc/coredns/db.example": {"db.example", "/etc/coredns/db.example", 0},
		"-conf, /etc/Corefile":           {"Corefile", "/etc/Corefile", 0},
		"-conf":                          {"Corefile", "/etc/coredns/Corefile", 0},
		"-dns.port, '1053'":              {"Corefile", "/etc/coredns/Corefile", 1053},
		"--dns.port=1053, -p=1054":       {"Corefile", "/etc/coredns/Corefile", 1054},
		"-p, '65536'":                    {"Corefile", "/etc/coredns/Corefile", 0},
		"-conf, /etc/coredns/x, -conf, /etc/coredns/db.example": {"db.example", "/etc/coredns/db.example", 0},
	} {
		t.Run(args, func(t *testing.T) {
			s := parse(t, fmt.Sprintf(serverData, args, mounts)).Servers()[0]
			if s.Corefile.Key != want.key || s.Path != want.path || s.Port != want.port {
				t.Errorf("got %s at %s, port %d, want %+v", s.Corefile.Key, s.Path, s.Port, want)
			}
		})
	}
}

// TestWhichServer holds which containers with a -conf are taken for a CoreDNS
// where the ConfigMap's key is not named Corefile.
func TestWhichServer(t *testing.T) {
	const data = `
kind: ConfigMap
metadata: {name: conf}
data: {main: ". {}"}
---
kind: Pod
spec:
  volumes: [{name: v, configMap: {name: conf, items: [{key: main, path: %s}]}}]
  containers: [{name: x, image: %s, args: [-conf, /etc/%s], volumeMounts: [{name: v, mountPath: /etc}]}]
`
	for name, c := range map[string]struct {
		path, image string
		want        int
	}{
		"by the image": {"dns.conf", "registry.example/CoreDNS:1", 1},
		"by the file":  {"Corefile", "registry.example/resolver", 1},
		"nginx":        {"nginx.conf", "nginx", 0},
	} {
		t.Run(name, func(t *testing.T) {
			servers := parse(t, fmt.Sprintf(data, c.path, c.image, c.path)).Servers()
			if len(servers) != c.want {
				t.Errorf("got %+v, want %d", servers, c.want)
			}
		})
	}
}

func TestBehind(t *testing.T) {
	const services = `
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}}
---
kind: Service
metadata: {name: team-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.11, selector: {k8s-app: team}}
---
`
	configMap := func(name string) string {
		return "kind: ConfigMap\nmetadata: {name: " + name + ", namespace: kube-system}\ndata: {Corefile: \". {}\"}\n---\n"
	}
	pod := func(label string) string {
		return "kind: Pod\nmetadata: {namespace: kube-system, labels: {k8s-app: " + label + "}}\n" +
			"spec: {volumes: [{name: v, configMap: {name: coredns}}], containers: [{name: c, volumeMounts: [{name: v, mountPath: /etc/coredns}]}]}\n"
	}
	for name, c := range map[string]struct {
		data, addr string
		want       bool
	}{
		"selected":               {configMap("coredns") + pod("kube-dns"), "10.96.0.10", true},
		"as an IPv4-mapped one":  {configMap("coredns") + pod("kube-dns"), "::ffff:10.96.0.10", true},
		"selected, any Service":  {configMap("coredns") + pod("team"), "10.96.0.11", true},
		"not selected":           {configMap("coredns") + pod("team"), "10.96.0.10", false},
		"no Service's address":   {configMap("coredns") + pod("kube-dns"), "10.96.0.12", false},
		"the cluster's Corefile": {configMap("coredns"), "10.96.0.10", true},
		"another Service":        {configMap("coredns"), "10.96.0.11", false},
		"NodeLocal DNSCache's":   {configMap("node-local-dns"), "10.96.0.10", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := parse(t, services+c.data).Servers()
			if len(s) != 1 {
				t.Fatalf("got %d servers, want 1", len(s))
			}
			if svc, ok := s[0].Behind(netip.MustParseAddr(c.addr)); ok != c.want {
				t.Errorf("got %+v, %v, want %v", svc, ok, c.want)
			}
		})
	}
}

func parse(t *testing.T, data string) *Manifest {
	t.Helper()
	m, err := ParseManifest("f", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
