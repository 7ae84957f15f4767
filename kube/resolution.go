package kube

import (
	"fmt"
	"net/netip"
	"slices"
)

// MaxNameservers is how many nameservers kubelet gives a pod
// (MaxDNSNameservers in pkg/apis/core/validation), whatever its dnsPolicy.
const MaxNameservers = 3

// Resolution is what the pods of a workload find in /etc/resolv.conf.
type Resolution struct {
	// Policy says what the file starts from: the node's file as kubelet hands
	// it on (Default), the cluster's DNS addresses (ClusterFirst), nothing (None).
	Policy Policy
	// Cluster holds the cluster's DNS addresses where Policy is ClusterFirst
	// and the manifest gives them: those of its DNS Services.
	Cluster []Address
	// Added holds dnsConfig.nameservers, which follow.
	Added []Address
	// Self says why the cluster's DNS is the workload itself, so that its own
	// file leads back to it whatever its nameservers are: "Service
	// kube-system/kube-dns selects it". It is empty where that is not so, or
	// not said by the manifest, and where Policy is not ClusterFirst.
	Self string

	unique bool // kubelet drops repeated addresses where dnsConfig is given
}

// Resolution returns what the pods of w find in /etc/resolv.conf.
func (m *Manifest) Resolution(w Workload) Resolution {
	r := Resolution{Policy: w.Policy, Added: w.Nameservers, unique: w.HasDNSConfig}
	if w.Policy != ClusterFirst {
		return r
	}
	stated := false
	for _, s := range m.Services {
		if !s.DNS {
			continue
		}
		stated = true
		r.Cluster = append(r.Cluster, s.ClusterIPs...)
		if r.Self == "" && s.Selects(w) {
			r.Self = fmt.Sprintf("Service %s selects it", qualified(s.Namespace, s.Name))
		}
	}
	// The Service that the manifest leaves out selects this label.
	if !stated && w.Namespace == "kube-system" && w.Labels["k8s-app"] == "kube-dns" {
		r.Self = "it bears k8s-app: kube-dns in kube-system, which the Service kube-dns selects"
	}
	return r
}

// Nameservers returns the nameservers of the file in their order, as kubelet
// makes it (GetPodDNS in pkg/kubelet/network/dns): base, which is what the
// node's file or the cluster's DNS Service comes to, then those of dnsConfig;
// three at most. base is not used where Policy is None.
func (r Resolution) Nameservers(base []netip.Addr) []Address {
	var all []Address
	add := func(a Address) {
		same := func(b Address) bool { return b.Addr == a.Addr }
		if !r.unique || !slices.ContainsFunc(all, same) {
			all = append(all, a)
		}
	}
	if r.Policy != None {
		for _, a := range base {
			add(Address{Addr: a})
		}
	}
	for _, a := range r.Added {
		add(a)
	}
	return all[:min(len(all), MaxNameservers)]
}

// qualified is an object's name with its namespace where that is said.
func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}
