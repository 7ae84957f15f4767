package kube

import (
	"cmp"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Server is a CoreDNS that the manifest makes: a Corefile and who reads it.
type Server struct {
	Corefile Text
	// Path is where the container has the Corefile; an import's relative path
	// starts at its directory.
	Path string
	// Workload reads the Corefile; it is nil where the manifest holds only the
	// ConfigMap.
	Workload *Workload
	// Port is the default port of server blocks, by -dns.port; 0 where it is
	// not given and CoreDNS's own default counts, 53.
	Port uint16

	manifest  *Manifest
	namespace string
	mounts    []mount
}

// Servers lists the CoreDNS servers of the manifest: each workload with a
// container that reads a Corefile from a ConfigMap, then the ConfigMaps with a
// Corefile that nobody here reads. The pods and replica sets of a controller
// that is listed too are the same server and left out.
func (m *Manifest) Servers() []Server {
	var servers []Server
	type identity struct{ namespace, owner, configMap, key string }
	read := map[identity]bool{} // without owner: somebody reads it
	for i := range m.Workloads {
		w := &m.Workloads[i]
		if m.hasOwner(w) {
			continue
		}
		s, ok := m.server(w)
		id := identity{w.Namespace, w.owner, s.Corefile.Name, s.Corefile.Key}
		if !ok || w.owner != "" && read[id] {
			continue
		}
		read[id] = true
		read[identity{w.Namespace, "", s.Corefile.Name, s.Corefile.Key}] = true
		servers = append(servers, s)
	}
	for _, c := range m.ConfigMaps {
		for _, t := range c.Texts {
			if t.Key != customaryKey || read[identity{c.Namespace, "", c.Name, t.Key}] {
				continue
			}
			servers = append(servers, Server{
				Corefile: t, Path: "/etc/coredns/" + t.Key,
				manifest: m, namespace: c.Namespace, mounts: customaryMounts(c.Name),
			})
		}
	}
	return servers
}

// customaryKey is the ConfigMap key that holds a server's Corefile where no
// -conf says otherwise. Its likes (kubeadm's Corefile-backup) nobody reads.
const customaryKey = "Corefile"

// customaryMounts is where the ConfigMap named and coredns-custom are in the
// pods of kubeadm, k3s and AKS, for a manifest that does not show the pods.
func customaryMounts(configMap string) []mount {
	return []mount{
		{path: "/etc/coredns", sources: []source{{configMap: configMap}}},
		{path: "/etc/coredns/custom", sources: []source{{configMap: "coredns-custom"}}},
	}
}

// hasOwner says whether w's controller is in the manifest as well.
func (m *Manifest) hasOwner(w *Workload) bool {
	return slices.ContainsFunc(m.Workloads, func(o Workload) bool {
		return o.Namespace == w.Namespace && o.Kind+"/"+o.Name == w.owner
	})
}

// server finds the container of w that reads a Corefile, and which.
func (m *Manifest) server(w *Workload) (Server, bool) {
	containers := slices.Clone(w.containers)
	slices.SortStableFunc(containers, func(a, b container) int {
		return cmp.Compare(rank(a), rank(b))
	})
	for _, c := range containers {
		s := Server{Path: c.conf, Workload: w, Port: c.port, manifest: m, namespace: w.Namespace, mounts: c.mounts}
		if c.coreDNS || path.Base(c.conf) == customaryKey {
			if texts, _ := s.Files(c.conf); len(texts) == 1 {
				s.Corefile = texts[0]
				return s, true
			}
		}
		// A Corefile that -conf does not name: the default one, or the one that
		// NodeLocal DNSCache fills in and writes elsewhere.
		for _, f := range s.files() {
			if f.text.Key == customaryKey {
				s.Corefile, s.Path = f.text, cmp.Or(c.conf, f.path)
				return s, true
			}
		}
	}
	return Server{}, false
}

// rank puts the container that is CoreDNS before sidecars with the same mounts.
func rank(c container) int {
	if c.coreDNS {
		return 0
	}
	return 1
}

// file is a text where a container sees it.
type file struct {
	path string
	text Text
}

// files are the files that the server's container sees from ConfigMaps of the
// manifest, sorted by path.
func (s Server) files() []file {
	var files []file
	for _, mnt := range s.mounts {
		for _, src := range mnt.sources {
			c := s.manifest.configMap(s.namespace, src.configMap)
			if c == nil {
				continue
			}
			for _, t := range c.Texts {
				if at, ok := mnt.at(src, t.Key); ok {
					files = append(files, file{at, t})
				}
			}
		}
	}
	slices.SortStableFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return files
}

// at is where a mount shows a ConfigMap's key, if it does.
func (m mount) at(s source, key string) (string, bool) {
	name := key
	if s.items != nil {
		var ok bool
		if name, ok = s.items[key]; !ok {
			return "", false
		}
	}
	if m.subPath == "" {
		return path.Join(m.path, name), true
	}
	sub := path.Clean(m.subPath)
	if name == sub {
		return m.path, true
	}
	rest, ok := strings.CutPrefix(name, sub+"/")
	return path.Join(m.path, rest), ok
}

// configMap finds a ConfigMap; nil where the manifest has none of that name.
func (m *Manifest) configMap(namespace, name string) *ConfigMap {
	for i := range m.ConfigMaps {
		if c := &m.ConfigMaps[i]; c.Namespace == namespace && c.Name == name {
			return c
		}
	}
	return nil
}

// Files returns the texts of the files that a path or glob pattern names in
// the server's container, sorted by path as filepath.Glob does: what a
// Corefile's "import custom/*.server" brings in. A relative pattern starts at
// the Corefile's directory. For a Corefile without a workload the ConfigMap
// stands at /etc/coredns and coredns-custom at /etc/coredns/custom, as k3s and
// AKS have them.
//
// known is false where the manifest does not tell what is there: the directory
// is the image's own or another volume, or the ConfigMap is not in the
// manifest. A glob pattern that is known and has no texts matches nothing.
func (s Server) Files(pattern string) (texts []Text, known bool) {
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(s.Path), pattern)
	}
	pattern = path.Clean(pattern)
	for _, f := range s.files() {
		if ok, err := path.Match(pattern, f.path); err == nil && ok {
			texts = append(texts, f.text)
		}
	}
	return texts, s.shows(pattern)
}

// shows says whether the manifest holds all that is mounted where pattern looks.
func (s Server) shows(pattern string) bool {
	// The innermost mount hides what is below it.
	var inner *mount
	for i, m := range s.mounts {
		within := m.path == pattern || m.path == "/" || strings.HasPrefix(pattern, m.path+"/")
		if within && (inner == nil || len(m.path) > len(inner.path)) {
			inner = &s.mounts[i]
		}
	}
	if inner == nil || len(inner.sources) == 0 {
		return false
	}
	return !slices.ContainsFunc(inner.sources, func(src source) bool {
		return s.manifest.configMap(s.namespace, src.configMap) == nil
	})
}

// Behind returns the Service of the manifest that has addr as cluster address
// and leads to this server: an upstream with this address is the server itself
// (coredns/coredns#4289). Without a workload only the cluster's own CoreDNS is
// known, by its ConfigMap's name.
func (s Server) Behind(addr netip.Addr) (Service, bool) {
	for _, svc := range s.manifest.Services {
		has := slices.ContainsFunc(svc.ClusterIPs, func(a Address) bool { return a.Addr == addr.Unmap() })
		if !has {
			continue
		}
		if s.Workload != nil && svc.Selects(*s.Workload) ||
			s.Workload == nil && svc.DNS && s.Corefile.Name == "coredns" && svc.Namespace == s.namespace {
			return svc, true
		}
	}
	return Service{}, false
}
