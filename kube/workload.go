package kube

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Policy is what a pod's /etc/resolv.conf is made from.
type Policy string

// The policies as they take effect, see Workload.Policy.
const (
	Default      Policy = "Default"      // the node's file, as kubelet hands it on
	ClusterFirst Policy = "ClusterFirst" // the cluster's DNS Service
	None         Policy = "None"         // dnsConfig alone
)

// Workload is a kind of pod that the manifest makes.
type Workload struct {
	Kind, Namespace, Name string
	Doc, Line             int
	// Policy is the dnsPolicy as kubelet applies it (getPodDNSType in
	// pkg/kubelet/network/dns): an omitted one is ClusterFirst, ClusterFirst
	// with hostNetwork is Default, ClusterFirstWithHostNet is ClusterFirst.
	Policy Policy
	// PolicyLine is the line of dnsPolicy or, where that is omitted, the first
	// line of the pod's spec.
	PolicyLine  int
	HostNetwork bool
	// HasDNSConfig says that dnsConfig is given, Nameservers are those it lists.
	HasDNSConfig bool
	Nameservers  []Address
	Labels       map[string]string // of the pods
	ConfigMaps   []string          // names of those mounted, in the order of the volumes

	owner      string // "ReplicaSet/coredns-5dd5756b68", the controller's kind and name
	containers []container
}

// container is what of a container decides which files its CoreDNS reads.
type container struct {
	coreDNS bool   // by its name, image or command
	conf    string // the value of -conf
	port    uint16 // the value of -dns.port; 0: not given
	mounts  []mount
}

// mount is a volume as a container sees it.
type mount struct {
	path, subPath string
	sources       []source // empty: a volume that holds no ConfigMap
}

// source is a ConfigMap that a volume shows as files.
type source struct {
	configMap string
	items     map[string]string // key to path; nil: each key is a file
}

// workload reads the pods that template describes.
func (p *manifestParser) workload(kind string, n, template *yaml.Node) {
	w := Workload{Kind: kind, Doc: p.doc, Labels: p.strs(p.get(template, "metadata", "labels"))}
	w.Namespace, w.Name, w.Line = p.meta(n)
	spec := p.get(template, "spec")
	if spec == nil {
		p.problem(n, "%s %s: expected a pod's spec: not read", kind, w.Name)
		return
	}
	for _, o := range p.list(p.get(n, "metadata", "ownerReferences")) {
		if p.isTrue(p.get(o, "controller")) {
			w.owner = p.str(o, "kind") + "/" + p.str(o, "name")
		}
	}
	w.HostNetwork = p.isTrue(p.get(spec, "hostNetwork"))
	p.dns(&w, spec)

	volumes := map[string][]source{}
	for _, v := range p.list(p.get(spec, "volumes")) {
		sources := p.sources(v)
		volumes[p.str(v, "name")] = sources
		for _, s := range sources {
			w.ConfigMaps = append(w.ConfigMaps, s.configMap)
		}
	}
	for _, c := range p.list(p.get(spec, "containers")) {
		w.containers = append(w.containers, p.container(c, volumes))
	}
	p.m.Workloads = append(p.m.Workloads, w)
}

// dns reads dnsPolicy and dnsConfig; w.HostNetwork is known.
func (p *manifestParser) dns(w *Workload, spec *yaml.Node) {
	w.PolicyLine = spec.Line
	f := p.entry(spec, "dnsPolicy")
	if f.key != nil {
		w.PolicyLine = f.key.Line
	}
	policy := p.str(f.value)
	switch policy {
	case "Default", "None":
		w.Policy = Policy(policy)
	case "ClusterFirstWithHostNet":
		w.Policy = ClusterFirst
	default:
		w.Policy = ClusterFirst
		if policy != "" && policy != "ClusterFirst" {
			p.problem(f.value, "dnsPolicy: expected Default, ClusterFirst, ClusterFirstWithHostNet or None, found %q: the API server rejects it", policy)
		} else if w.HostNetwork {
			w.Policy = Default
		}
	}

	config := p.get(spec, "dnsConfig")
	w.HasDNSConfig = !isNull(config)
	for _, ns := range p.list(p.get(config, "nameservers")) {
		if a, ok := p.address(ns, "dnsConfig.nameservers", "the API server rejects it"); ok {
			w.Nameservers = append(w.Nameservers, a)
		}
	}
	if len(w.Nameservers) > MaxNameservers {
		p.problem(config, "dnsConfig.nameservers: expected at most %d: the API server rejects it", MaxNameservers)
	}
	if w.Policy == None && len(w.Nameservers) == 0 {
		p.problem(f.key, "dnsPolicy None: expected at least one address in dnsConfig.nameservers: the API server rejects it")
	}
}

// sources lists the ConfigMaps of a volume, plain or projected.
func (p *manifestParser) sources(volume *yaml.Node) []source {
	nodes := []*yaml.Node{p.get(volume, "configMap")}
	for _, s := range p.list(p.get(volume, "projected", "sources")) {
		nodes = append(nodes, p.get(s, "configMap"))
	}
	var sources []source
	for _, n := range nodes {
		s := source{configMap: p.str(n, "name")}
		if s.configMap == "" {
			continue
		}
		for _, item := range p.list(p.get(n, "items")) {
			if s.items == nil {
				s.items = map[string]string{}
			}
			s.items[p.str(item, "key")] = p.str(item, "path")
		}
		sources = append(sources, s)
	}
	return sources
}

func (p *manifestParser) container(n *yaml.Node, volumes map[string][]source) container {
	var c container
	for _, m := range p.list(p.get(n, "volumeMounts")) {
		c.mounts = append(c.mounts, mount{
			path:    path.Clean("/" + p.str(m, "mountPath")),
			subPath: p.str(m, "subPath"),
			sources: volumes[p.str(m, "name")],
		})
	}
	words := []string{}
	for _, key := range []string{"command", "args"} {
		for _, a := range p.list(p.get(n, key)) {
			words = append(words, p.str(a))
		}
	}
	c.conf = goFlag(words, "conf")
	if port, err := strconv.ParseUint(goFlag(words, "dns.port", "p"), 10, 16); err == nil {
		c.port = uint16(port)
	}
	about := strings.ToLower(p.str(n, "name") + " " + p.str(n, "image") + " " + strings.Join(words, " "))
	c.coreDNS = strings.Contains(about, "coredns")
	return c
}

// goFlag returns the value of a flag with these names as package flag reads it:
// one dash or two, the value behind "=" or as the next word, the last one counts.
func goFlag(words []string, names ...string) string {
	value := ""
	for i, w := range words {
		name, v, given := strings.Cut(w, "=")
		name, dashed := strings.CutPrefix(name, "-")
		if !dashed || !slices.Contains(names, strings.TrimPrefix(name, "-")) {
			continue
		}
		if !given && i+1 < len(words) {
			v = words[i+1]
		}
		value = v
	}
	return value
}
