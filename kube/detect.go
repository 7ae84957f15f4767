package kube

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Kind is what a file given to the program is.
type Kind string

// The kinds of files. An Unknown one is empty or nothing that is known.
const (
	Unknown       Kind = ""
	ResolvConf    Kind = "resolv.conf"
	Corefile      Kind = "Corefile"
	KubeletConfig Kind = "kubelet configuration"
	KubeletFlags  Kind = "kubelet flags"
	Manifests     Kind = "Kubernetes manifest"
	DnsmasqConf   Kind = "dnsmasq configuration"
	UnboundConf   Kind = "unbound configuration"
	NamedConf     Kind = "named.conf"
)

// detectSize is how much of a file is looked at.
const detectSize = 1 << 20

// Detect tells a file's kind: by its content where that is unmistakable, else
// by its name. Name may be "-". Configurations of dnsmasq, unbound and BIND are
// told by their names alone: their lines look like those of other files.
func Detect(name string, data []byte) Kind {
	if k := serverKind(name); k != Unknown {
		return k
	}
	if k := byContent(data); k != Unknown {
		return k
	}
	return byName(name)
}

// byContent looks for the first line that only one kind of file can hold.
func byContent(data []byte) Kind {
	data = bytes.TrimPrefix(data[:min(len(data), detectSize)], []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(data[:min(len(data), 1<<10)], 0) >= 0 {
		return Unknown
	}
	if jsonStart().Match(data) {
		return jsonKind(data)
	}
	isYAML := false
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case kubeletKind().Match(line):
			return KubeletConfig
		case yamlObject().Match(line):
			isYAML = true
		}
	}
	if isYAML {
		return Manifests
	}
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == ';' {
			continue
		}
		k := lineKind(line)
		if k == KubeletFlags && !kubeletWord().Match(data) {
			return Unknown // another service's unit or environment
		}
		if k != Unknown {
			return k
		}
	}
	return Unknown
}

var (
	// A Corefile may start with a brace too: {$ZONE}:53 {
	jsonStart = pattern(`^\s*\{\s*["}]`)
	jsonField = pattern(`"(?:kind|apiVersion)"\s*:`)

	kubeletKind = pattern(`^kind:\s+["']?KubeletConfiguration["']?\s*(?:#.*)?$`)
	jsonKubelet = pattern(`"kind"\s*:\s*"KubeletConfiguration"`)
	yamlObject  = pattern(`^(?:kind|apiVersion):(?:\s|$)`)

	resolvLine  = pattern(`^(?:nameserver|search|domain|options|sortlist)(?:[ \t][^{]*)?$`)
	unitLine    = pattern(`^\[(?:Unit|Service|Install)\]$|^(?:Environment|ExecStart)\s*=`)
	flagsLine   = pattern(`^[A-Z_][A-Z0-9_]*=.*--[a-z]|^KUBELET_[A-Z0-9_]*=`)
	kubeletWord = pattern(`(?i)kubelet|--resolv[-_]conf|--cluster[-_]dns`)
	commandLine = pattern(`^(?:exec\s+)?\S*kubelet\s.*--|^--(?:resolv[-_]conf|config|cluster[-_]dns)\b`)
	// A block's opening brace or, for the one block that needs none, a plugin.
	corefileLine = pattern(`\{\s*(?:#.*)?$|^(?:import|forward|errors|log|cache|whoami)(?:\s|$)`)
)

// pattern compiles an expression when it is first asked for: every run starts,
// few read all kinds of files.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

func lineKind(line []byte) Kind {
	switch {
	case resolvLine().Match(line):
		return ResolvConf
	case unitLine().Match(line), flagsLine().Match(line), commandLine().Match(line):
		return KubeletFlags
	case corefileLine().Match(line):
		return Corefile
	}
	return Unknown
}

func jsonKind(data []byte) Kind {
	switch {
	case jsonKubelet().Match(data):
		return KubeletConfig
	case jsonField().Match(data):
		return Manifests
	}
	return Unknown
}

func byName(name string) Kind {
	path := strings.ToLower(filepath.ToSlash(name))
	base := path[strings.LastIndexByte(path, '/')+1:]
	switch ext := filepath.Ext(base); {
	case ext == ".yaml" || ext == ".yml" || ext == ".json":
		if strings.Contains(path, "kubelet") {
			return KubeletConfig
		}
		return Manifests
	case strings.Contains(base, "resolv"):
		return ResolvConf
	case strings.Contains(base, "corefile"):
		return Corefile
	case strings.Contains(base, "kubelet"), strings.Contains(base, "kubeadm-flags"):
		return KubeletFlags
	}
	return Unknown
}

// serverKind tells the configuration of another DNS server by its name.
func serverKind(name string) Kind {
	path := "/" + strings.ToLower(filepath.ToSlash(name))
	base := path[strings.LastIndexByte(path, '/')+1:]
	within := func(dir string) bool { return strings.Contains(path, "/"+dir+"/") }
	switch {
	case strings.Contains(base, "resolv"), strings.Contains(base, "corefile"):
	case base == "dnsmasq.conf", within("dnsmasq.d"):
		return DnsmasqConf
	case base == "unbound.conf", within("unbound.conf.d"):
		return UnboundConf
	case base == "named.conf", base == "named.conf.options", base == "named.conf.local",
		within("bind") && strings.HasSuffix(base, ".conf"):
		return NamedConf
	}
	return Unknown
}
