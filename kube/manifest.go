package kube

import (
	"cmp"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Address is an IP address that the manifest gives, IPv4-mapped ones unmapped.
type Address struct {
	Addr      netip.Addr
	Doc, Line int // both 0 for an address that is not from the manifest
}

// Text is one file's worth of text out of a ConfigMap's data.
type Text struct {
	Namespace, Name string // of the ConfigMap; the namespace may be unsaid
	Key             string
	Data            string
	Doc             int
	// Line is where Data's first line stands or, where Literal is false, the
	// line of the key.
	Line int
	// Literal says that Data was written as a literal block (|), so that its
	// lines are lines of the file.
	Literal bool
}

// FileLine returns the line of the file that holds line n of the text, both
// from 1. A text that was quoted or folded is at one line only.
func (t Text) FileLine(n int) int {
	if t.Literal {
		return t.Line + n - 1
	}
	return t.Line
}

// ConfigMap is a ConfigMap with the texts of its data, in the order written.
type ConfigMap struct {
	Namespace, Name string
	Doc, Line       int
	Texts           []Text
}

// Service is a Service with cluster addresses.
type Service struct {
	Namespace, Name string
	Doc, Line       int
	ClusterIPs      []Address
	Selector        map[string]string
	// DNS says that it is the cluster's DNS Service, whose address kubelet
	// gives to ClusterFirst pods: kube-dns by name or by the label
	// k8s-app: kube-dns, in kube-system or in no stated namespace; OpenShift's
	// is openshift-dns/dns-default.
	DNS bool
}

// Selects says whether the pods of w are behind the Service.
func (s Service) Selects(w Workload) bool {
	if len(s.Selector) == 0 || s.Namespace != w.Namespace {
		return false
	}
	for k, v := range s.Selector {
		if w.Labels[k] != v {
			return false
		}
	}
	return true
}

// Manifest is what the objects of a manifest say about DNS.
type Manifest struct {
	ConfigMaps []ConfigMap
	Workloads  []Workload
	Services   []Service
	Problems   []Problem
}

// maxLists is how deep a List may hold Lists.
const maxLists = 8

// ParseManifest reads Kubernetes objects as kubectl, helm template and
// kustomize write them: YAML or JSON, one or many documents, Lists. Kinds that
// say nothing about DNS are passed over. The error is an *Error; input without
// any Kubernetes object is one.
func ParseManifest(name string, data []byte) (*Manifest, error) {
	docs, err := documents(name, data)
	if err != nil {
		return nil, err
	}
	p := manifestParser{reader: reader{file: name}, seen: map[*yaml.Node]bool{}}
	for _, d := range docs {
		p.doc = d.number
		p.object(d.root, "", maxLists)
		if err := p.err(); err != nil {
			return nil, err
		}
	}
	if p.objects == 0 {
		return nil, &Error{File: name, Msg: "expected Kubernetes objects (apiVersion, kind), found none"}
	}
	p.m.Problems = p.problems
	return &p.m, nil
}

type manifestParser struct {
	reader
	m       Manifest
	seen    map[*yaml.Node]bool // an alias brings no object a second time
	objects int
}

// object reads one object. A typed list's items need not say their kind.
func (p *manifestParser) object(n *yaml.Node, kind string, lists int) {
	if n = deref(n); p.seen[n] {
		return
	}
	p.seen[n] = true
	if kind = cmp.Or(p.str(n, "kind"), kind); kind == "" {
		p.problem(n, "expected a Kubernetes object with a kind: not read")
		return
	}
	p.objects++
	spec := p.get(n, "spec")
	switch kind {
	case "ConfigMap":
		p.configMap(n)
	case "Service":
		p.service(n)
	case "Pod":
		p.workload(kind, n, n)
	case "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController":
		p.workload(kind, n, p.get(spec, "template"))
	default:
		of, isList := strings.CutSuffix(kind, "List")
		if !isList {
			return
		}
		if lists == 0 {
			p.problem(n, "a List within %d Lists is not read", maxLists)
			return
		}
		for _, item := range p.list(p.get(n, "items")) {
			p.object(item, of, lists-1)
		}
	}
}

// meta returns an object's namespace and name, and the line it starts at.
func (p *manifestParser) meta(n *yaml.Node) (namespace, name string, line int) {
	return p.str(n, "metadata", "namespace"), p.str(n, "metadata", "name"), n.Line
}

func (p *manifestParser) configMap(n *yaml.Node) {
	c := ConfigMap{Doc: p.doc}
	c.Namespace, c.Name, c.Line = p.meta(n)
	for _, f := range p.fields(p.get(n, "data")) {
		if !isString(f.value) {
			p.problem(f.key, "ConfigMap %s: expected a string as %q: the API server rejects it", c.Name, f.key.Value)
			continue
		}
		t := Text{Namespace: c.Namespace, Name: c.Name, Key: f.key.Value, Data: f.value.Value, Doc: p.doc, Line: f.key.Line}
		if f.value.Style&yaml.LiteralStyle != 0 {
			t.Line, t.Literal = f.value.Line+1, true
		}
		c.Texts = append(c.Texts, t)
	}
	p.m.ConfigMaps = append(p.m.ConfigMaps, c)
}

func (p *manifestParser) service(n *yaml.Node) {
	s := Service{Doc: p.doc, Selector: p.strs(p.get(n, "spec", "selector"))}
	s.Namespace, s.Name, s.Line = p.meta(n)
	ips := p.list(p.get(n, "spec", "clusterIPs"))
	if len(ips) == 0 {
		ips = []*yaml.Node{p.get(n, "spec", "clusterIP")}
	}
	for _, ip := range ips {
		// None is a headless Service, none at all is for the API server to choose.
		if isNull(ip) || ip.Value == "None" || isString(ip) && ip.Value == "" {
			continue
		}
		if a, ok := p.address(ip, "clusterIP", "it is not compared with upstreams"); ok {
			s.ClusterIPs = append(s.ClusterIPs, a)
		}
	}
	switch s.Namespace {
	case "", "kube-system":
		// NodeLocal DNSCache's own way to CoreDNS bears the label too, but no
		// pod is told of it.
		s.DNS = s.Name == "kube-dns" ||
			p.str(n, "metadata", "labels", "k8s-app") == "kube-dns" && s.Name != "kube-dns-upstream"
	case "openshift-dns":
		s.DNS = s.Name == "dns-default"
	}
	p.m.Services = append(p.m.Services, s)
}
