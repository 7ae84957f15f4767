package kube

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseManifestErrors(t *testing.T) {
	const configMap = "kind: ConfigMap\n"
	deep := strings.Repeat("[", 20000)
	// 30 000 containers with 3 000 mounts each.
	bomb := "kind: Pod\nspec:\n  a0: &a0 {volumeMounts: [" + strings.Repeat("{},", 3000) + "]}\n  containers: [" + strings.Repeat("*a0,", 30000) + "]\n"
	for name, c := range map[string]struct{ data, want string }{
		"empty":            {"", "f: expected Kubernetes objects (apiVersion, kind), found none"},
		"comments":         {"# nothing\n---\n# at all\n", "f: expected Kubernetes objects"},
		"no object":        {"replicas: 2\n", "f: expected Kubernetes objects"},
		"a list":           {"- kind: ConfigMap\n", "f: expected Kubernetes objects"},
		"text":             {"hello\n", "f: expected Kubernetes objects"},
		"bad YAML":         {configMap + "data:\n  a: b\n c: d\n", "f:4: expected YAML or JSON: "},
		"first line":       {"{", "f:1: expected YAML or JSON: "},
		"second document":  {configMap + "---\n" + configMap + "data: {a\n", "f:4: document 2: expected YAML or JSON: "},
		"tab":              {"kind: ConfigMap\n\tdata: {}\n", "f:2: expected YAML or JSON: found a tab character"},
		"binary":           {"kind: \x00\x01\x02", "f:1: expected YAML or JSON: control characters are not allowed"},
		"unknown alias":    {configMap + "data: *x\n", "f:1: expected YAML or JSON: unknown anchor 'x'"},
		"Helm template":    {"kind: Service\n{{- if .Values.x }}\nspec: {}\n{{- end }}\n", "f:2: expected YAML or JSON: "},
		"too large":        {strings.Repeat("# 456789\n", MaxSize/9+1), "f: expected at most 8 MiB"},
		"too many values":  {configMap + "data: [" + strings.Repeat("1,", maxNodes) + "]", "f: expected at most 1048576 YAML values"},
		"too many pairs":   {configMap + strings.Repeat("a: b\n", maxNodes*6/10), "f: expected at most 1048576 YAML values"},
		"too deep":         {configMap + "data: " + deep, "f:2: expected YAML or JSON: exceeded max depth"},
		"multiplied":       {bomb, "f: expected a document of bounded size: its aliases (*name) multiply it"},
		"truncated JSON":   {`{"kind": "List", "items": [{"kind": "Pod"`, "f:1: expected YAML or JSON: "},
		"truncated string": {`{"kind": "Pod`, "f:1: expected YAML or JSON: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseManifest("f", []byte(c.data))
			wantError(t, err, c.want)
			if name == "Helm template" && !strings.Contains(err.Error(), "helm template") {
				t.Errorf("got error %v, want a hint at helm template", err)
			}
		})
	}
}

// TestNested holds Lists in Lists, and lists that hold themselves by an alias.
func TestNested(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`{"kind": "List", "items": [`, n) + `{"kind": "Pod", "spec": {}}` + strings.Repeat(`]}`, n)
	}
	for name, c := range map[string]struct {
		data                string
		workloads, problems int
	}{
		"one":                {nested(1), 1, 0},
		"at limit":           {nested(maxLists), 1, 0},
		"over limit":         {nested(maxLists + 1), 0, 1},
		"itself":             {"&l\nkind: List\nitems: [*l, *l, {kind: Pod, spec: {}}]\n", 1, 0},
		"typed":              {"kind: PodList\nitems: [{spec: {}}, {spec: {}}]\n", 2, 0},
		"typed, but another": {"kind: PodList\nitems: [{kind: ConfigMap}, {kind: Pod, spec: {}}]\n", 1, 0},
		"CRLF, BOM":          {"\xef\xbb\xbfkind: Pod\r\nspec:\r\n  dnsPolicy: Default\r\n", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest("f", []byte(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Workloads) != c.workloads || len(m.Problems) != c.problems {
				t.Errorf("got %d workloads and problems %v, want %d and %d", len(m.Workloads), m.Problems, c.workloads, c.problems)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	for spec, want := range map[string]Policy{
		"{}":                        ClusterFirst,
		"{dnsPolicy: }":             ClusterFirst,
		"{hostNetwork: true}":       Default,
		"{hostNetwork: false}":      ClusterFirst,
		`{hostNetwork: "true"}`:     ClusterFirst, // a string, which the API server rejects
		"{dnsPolicy: ClusterFirst}": ClusterFirst,
		"{dnsPolicy: ClusterFirst, hostNetwork: true}":            Default,
		"{dnsPolicy: ClusterFirstWithHostNet}":                    ClusterFirst,
		"{dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true}": ClusterFirst,
		"{dnsPolicy: Default, hostNetwork: true}":                 Default,
		`{dnsPolicy: None, dnsConfig: {nameservers: ["::1"]}}`:    None,
		"{dnsPolicy: nonsense, hostNetwork: true}":                ClusterFirst,
	} {
		t.Run(spec, func(t *testing.T) {
			m, err := ParseManifest("f", []byte("kind: Pod\nspec: "+spec))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Workloads[0].Policy; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestNameservers(t *testing.T) {
	for name, c := range map[string]struct {
		spec, base, want string
	}{
		"the node's":              {"{dnsPolicy: Default}", "192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2"},
		"three at most":           {"{dnsPolicy: Default}", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", "192.0.2.1 192.0.2.2 192.0.2.3"},
		"repeated":                {"{dnsPolicy: Default}", "192.0.2.1 192.0.2.1 192.0.2.1 192.0.2.4", "192.0.2.1 192.0.2.1 192.0.2.1"},
		"repeated, dnsConfig":     {"{dnsPolicy: Default, dnsConfig: {}}", "192.0.2.1 192.0.2.1 192.0.2.1 192.0.2.4", "192.0.2.1 192.0.2.4"},
		"dnsConfig follows":       {`{dnsPolicy: Default, dnsConfig: {nameservers: ["::1", 192.0.2.1]}}`, "192.0.2.1", "192.0.2.1 ::1"},
		"dnsConfig is cut":        {`{dnsConfig: {nameservers: ["::1"]}}`, "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.1 10.0.0.2 10.0.0.3"},
		"dnsConfig alone":         {"{dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.9]}}", "192.0.2.1", "192.0.2.9"},
		"IPv4-mapped is repeated": {"{dnsConfig: {nameservers: ['::ffff:192.0.2.1']}}", "192.0.2.1", "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest("f", []byte("kind: Pod\nspec: "+c.spec))
			if err != nil {
				t.Fatal(err)
			}
			var got []netip.Addr
			for _, a := range m.Resolution(m.Workloads[0]).Nameservers(addrs(strings.Fields(c.base)...)) {
				got = append(got, a.Addr)
			}
			if d := cmp.Diff(addrs(strings.Fields(c.want)...), got, compareAddr); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// TestSelf holds when the cluster's DNS is the workload itself.
func TestSelf(t *testing.T) {
	pod := func(namespace, label string) string {
		return "kind: Pod\nmetadata: {namespace: " + namespace + ", labels: {k8s-app: " + label + ", x: y}}\nspec: {}\n---\n"
	}
	service := func(namespace, name, selector string) string {
		return "kind: Service\nmetadata: {namespace: " + namespace + ", name: " + name + "}\nspec: {selector: {" + selector + "}}\n---\n"
	}
	for name, c := range map[string]struct {
		data string
		want bool
	}{
		"selected":                     {pod("kube-system", "a") + service("kube-system", "kube-dns", "k8s-app: a"), true},
		"selected by two labels":       {pod("kube-system", "a") + service("kube-system", "kube-dns", "k8s-app: a, x: y"), true},
		"one label differs":            {pod("kube-system", "a") + service("kube-system", "kube-dns", "k8s-app: a, x: z"), false},
		"other namespace":              {pod("team", "a") + service("kube-system", "kube-dns", "k8s-app: a"), false},
		"no selector":                  {pod("kube-system", "a") + service("kube-system", "kube-dns", ""), false},
		"a Service of another name":    {pod("kube-system", "a") + service("kube-system", "web", "k8s-app: a"), false},
		"kube-dns of a team's own":     {pod("team", "a") + service("team", "kube-dns", "k8s-app: a"), false},
		"label alone":                  {pod("kube-system", "kube-dns"), true},
		"label alone, elsewhere":       {pod("team", "kube-dns"), false},
		"label, no namespace":          {pod("", "kube-dns"), false},
		"another label alone":          {pod("kube-system", "coredns"), false},
		"label, selector says no":      {pod("kube-system", "kube-dns") + service("kube-system", "kube-dns", "k8s-app: other"), false},
		"NodeLocal DNSCache's Service": {pod("kube-system", "kube-dns") + service("kube-system", "kube-dns-upstream", "k8s-app: kube-dns"), true},
		"no namespace at all":          {pod("", "a") + service("", "kube-dns", "k8s-app: a"), true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest("f", []byte(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Resolution(m.Workloads[0]).Self; (got != "") != c.want {
				t.Errorf("got %q, want one: %v", got, c.want)
			}
		})
	}
}
