package kube

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDetect(t *testing.T) {
	for name, c := range map[string]struct {
		file, data string
		want       Kind
	}{
		"resolv.conf":                {"-", "# by NetworkManager\nsearch example\nnameserver 192.0.2.1\n", ResolvConf},
		"resolv.conf, options":       {"-", "\n; x\r\noptions edns0\r\n", ResolvConf},
		"resolv.conf, comment":       {"-", "# not a {\nnameserver 192.0.2.1", ResolvConf},
		"resolv.conf, tab":           {"-", "nameserver\t192.0.2.1", ResolvConf},
		"resolv.conf named Corefile": {"Corefile", "nameserver 192.0.2.1\n", ResolvConf},
		"resolv.conf, misspelt":      {"/etc/resolv.conf", "namserver 192.0.2.1\n", ResolvConf},
		"resolv.conf, empty":         {"/run/systemd/resolve/resolv.conf", "", ResolvConf},
		"resolv.conf, by name":       {"my-resolv.conf.bak", "# nothing\n", ResolvConf},
		"Corefile":                   {"-", "# dns\n.:53 {\n  forward . 192.0.2.1\n}\n", Corefile},
		"Corefile, several keys":     {"-", "a.example,\nb.example {\n}\n", Corefile},
		"Corefile, comment at brace": {"-", ". { # all\n}\n", Corefile},
		"Corefile, snippet":          {"-", "(common) {\n errors\n}\n", Corefile},
		"Corefile, variable":         {"-", "{$ZONE}:53 {\n}\n", Corefile},
		"Corefile, no braces":        {"-", ".:53\nforward . 192.0.2.1\n", Corefile},
		"Corefile, import":           {"-", "import zones/*\n", Corefile},
		"Corefile, zone search":      {"-", "search {\n}\n", Corefile},
		"Corefile named resolv":      {"resolv.conf", ". {\n forward . 192.0.2.1\n}\n", Corefile},
		"Corefile, empty":            {"/etc/coredns/Corefile", "", Corefile},
		"Corefile, one line":         {"Corefile.prod", ".:53\n", Corefile},
		"kubelet":                    {"-", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n", KubeletConfig},
		"kubelet, second document":   {"x.yaml", "kind: InitConfiguration\n---\nkind: \"KubeletConfiguration\" # x\r\n", KubeletConfig},
		"kubelet, JSON":              {"-", `{"apiVersion":"kubelet.config.k8s.io/v1beta1","kind":"KubeletConfiguration"}`, KubeletConfig},
		"kubelet, by name":           {"/var/lib/kubelet/config.yaml", "", KubeletConfig},
		"flags, environment file":    {"-", "KUBELET_KUBEADM_ARGS=\"--node-ip=192.0.2.1\"\n", KubeletFlags},
		"flags, other name":          {"-", "DAEMON_ARGS=\"--resolv-conf=/x\"\n", KubeletFlags},
		"flags, unit":                {"-", "# x\n[Service]\nEnvironment=\"A=--resolv-conf=/x\"\n", KubeletFlags},
		"flags, command":             {"-", "/usr/bin/kubelet --resolv-conf=/x\n", KubeletFlags},
		"flags, bare":                {"-", "--resolv-conf=/x\n", KubeletFlags},
		"flags, by name":             {"/etc/default/kubelet", "# none\n", KubeletFlags},
		"flags, empty":               {"kubeadm-flags.env", "", KubeletFlags},
		"another service's unit":     {"-", "[Service]\nExecStart=/usr/sbin/dnsmasq --keep-in-foreground\n", Unknown},
		"another service's options":  {"-", "DNSMASQ_OPTS=\"--no-resolv\"\n", Unknown},
		"manifest":                   {"-", "---\n# Source: x\napiVersion: v1\nkind: ConfigMap\ndata:\n  Corefile: |\n    . {\n", Manifests},
		"manifest with a kubelet's":  {"-", "apiVersion: v1\ndata:\n  kubelet: |\n    kind: KubeletConfiguration\nkind: ConfigMap\n", Manifests},
		"manifest, JSON":             {"-", " {\n \"apiVersion\": \"v1\",\n \"data\": {\"kubelet\": \"{\\\"kind\\\": \\\"KubeletConfiguration\\\"}\"}}", Manifests},
		"manifest named Corefile":    {"Corefile", "kind: List\n", Manifests},
		"manifest, template":         {"-", "{{- if .Values.x }}\napiVersion: v1\n", Manifests},
		"manifest, by name":          {"a.yml", "", Manifests},
		"dnsmasq":                    {"/etc/dnsmasq.conf", "domain = lan\n", DnsmasqConf},
		"dnsmasq, directory":         {"/etc/dnsmasq.d/lan", "server=192.0.2.1\n", DnsmasqConf},
		"dnsmasq's resolv.conf":      {"/etc/dnsmasq.d/resolv.conf", "nameserver 192.0.2.1\n", ResolvConf},
		"unbound":                    {"unbound.conf", "server:\n", UnboundConf},
		"unbound, directory":         {"etc/unbound/unbound.conf.d/forward.conf", "forward-zone:\n", UnboundConf},
		"BIND":                       {"named.conf", "options {\n};\n", NamedConf},
		"BIND, options":              {"/etc/bind/named.conf.options", "options {\n};\n", NamedConf},
		"BIND, local":                {"named.conf.local", "", NamedConf},
		"BIND, directory":            {"bind/forward.conf", "zone \".\" {\n};\n", NamedConf},
		"BIND, another name":         {"forward.conf", "options {\n};\n", Corefile},
		"BIND, data":                 {"/etc/bind/db.local", "; nothing\n", Unknown},
		"empty":                      {"-", "", Unknown},
		"comments":                   {"-", "# hello\n", Unknown},
		"text":                       {"notes.txt", "hello\n", Unknown},
		"JSON of another kind":       {"-", "{\"a\": 1}", Unknown},
		"binary":                     {"-", "\x7fELF\x00nameserver 192.0.2.1\n", Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Detect(c.file, []byte(c.data)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestDetectCorpus detects the test inputs as standard input: by content alone.
func TestDetectCorpus(t *testing.T) {
	for pattern, want := range map[string]Kind{
		"manifest/*.yaml": Manifests, "manifest/*.json": Manifests,
		"kubelet/*.yaml": KubeletConfig, "kubelet/*.json": KubeletConfig,
		"kubelet/*.env": KubeletFlags, "kubelet/*.conf": KubeletFlags, "kubelet/*.sh": KubeletFlags,
	} {
		files, err := filepath.Glob("../testdata/" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no inputs %s: %v", pattern, err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if got := Detect("-", data); got != want {
				t.Errorf("%s: got %q, want %q", f, got, want)
			}
		}
	}
}
