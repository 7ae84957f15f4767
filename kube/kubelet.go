package kube

import (
	"net/netip"

	"go.yaml.in/yaml/v3"
)

// DefaultResolvConf is the file that a kubelet hands on when it is not told
// which (ResolvConfDefault in pkg/kubelet/types, Linux).
const DefaultResolvConf = "/etc/resolv.conf"

// From is where a kubelet's setting comes from.
type From string

// The places of a setting.
const (
	FromDefault From = "default"
	FromConfig  From = "config" // KubeletConfiguration
	FromFlag    From = "flag"   // --resolv-conf, which beats the configuration
)

// Kubelet is what a kubelet is told about its pods' DNS.
type Kubelet struct {
	// ResolvConf is the file whose contents pods with dnsPolicy Default get:
	// DefaultResolvConf where it is not given. Where it is given as "", they
	// get Localhost.
	ResolvConf string
	From       From
	Line       int // of resolvConf or --resolv-conf; 0 for the default
	Doc        int // YAML document, from 1; 0 for flags

	ClusterDNS    []netip.Addr // what ClusterFirst pods get; without any, they are Default ones
	ClusterDomain string
	// NodeIPs are those of --node-ip; their families decide Localhost.
	NodeIPs []netip.Addr
	// Config is the file of --config, which holds what the flags do not.
	Config   string
	Problems []Problem
}

// Localhost returns the nameservers that Default pods get where ResolvConf is
// "": 127.0.0.1 for each IPv4 address of the node and ::1 for each IPv6 one,
// 127.0.0.1 where none is known (GetPodDNS in pkg/kubelet/network/dns). To a
// pod each of them is the pod itself.
func (k Kubelet) Localhost() []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range k.NodeIPs {
		if ip.Is6() {
			addrs = append(addrs, netip.IPv6Loopback())
		} else {
			addrs = append(addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		}
	}
	if len(addrs) == 0 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return addrs
}

// Override returns k as the flags of the same kubelet change it: a flag beats
// the configuration file.
func (k Kubelet) Override(flags Kubelet) Kubelet {
	if flags.From == FromFlag {
		k.ResolvConf, k.From, k.Line, k.Doc = flags.ResolvConf, flags.From, flags.Line, flags.Doc
	}
	if len(flags.ClusterDNS) > 0 {
		k.ClusterDNS = flags.ClusterDNS
	}
	if flags.ClusterDomain != "" {
		k.ClusterDomain = flags.ClusterDomain
	}
	if len(flags.NodeIPs) > 0 {
		k.NodeIPs = flags.NodeIPs
	}
	return k
}

// ParseKubelet reads a KubeletConfiguration (YAML or JSON, alone or among other
// documents, as kubeadm takes them) or kubelet's flags: an environment file such
// as kubeadm-flags.env, a systemd unit or drop-in, a command line. The error is
// an *Error.
func ParseKubelet(name string, data []byte) (Kubelet, error) {
	if Detect(name, data) == KubeletFlags {
		return parseFlags(name, data)
	}
	docs, err := documents(name, data)
	if err != nil {
		return Kubelet{}, err
	}
	r := reader{file: name}
	for _, d := range docs {
		if r.doc = d.number; r.str(d.root, "kind") == "KubeletConfiguration" {
			return r.kubelet(d.root)
		}
	}
	return Kubelet{}, &Error{File: name, Msg: "expected kind: KubeletConfiguration, or kubelet's flags (--resolv-conf=FILE)"}
}

// kubelet reads a KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
func (r *reader) kubelet(n *yaml.Node) (Kubelet, error) {
	k := Kubelet{ResolvConf: DefaultResolvConf, From: FromDefault}
	// null is as good as omitted: the field is a pointer to a string.
	if f := r.entry(n, "resolvConf"); !isNull(f.value) {
		if !isString(f.value) {
			return Kubelet{}, &Error{r.file, r.doc, f.key.Line, `resolvConf: expected a path as a string, or ""`}
		}
		k.ResolvConf, k.From, k.Line, k.Doc = f.value.Value, FromConfig, f.key.Line, r.doc
	}
	if f := r.entry(n, "clusterDNS"); !isNull(f.value) && f.value.Kind != yaml.SequenceNode {
		return Kubelet{}, &Error{r.file, r.doc, f.key.Line, "clusterDNS: expected a list of IP addresses"}
	}
	for _, ip := range r.list(r.get(n, "clusterDNS")) {
		if !isString(ip) {
			return Kubelet{}, &Error{r.file, r.doc, ip.Line, "clusterDNS: expected a list of strings"}
		}
		if a, ok := r.address(ip, "clusterDNS", "kubelet passes over it"); ok {
			k.ClusterDNS = append(k.ClusterDNS, a.Addr)
		}
	}
	k.ClusterDomain = r.str(n, "clusterDomain")
	k.Problems = r.problems
	return k, nil
}
