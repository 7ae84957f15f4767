// Package host gathers facts about this machine: its addresses, who holds a
// port, which files name the real upstreams. It opens no socket: on Linux all
// comes from /proc and /run, so that a run that promises no socket keeps it.
package host

import (
	"net/netip"
	"os"
	"path/filepath"

	"github.com/dnsloop/dnsloop/resolvconf"
)

// Host is a machine whose files stand under Root. It is read afresh at each
// call and holds nothing open.
type Host struct {
	Root string
}

// Local is the machine that the program runs on: in a container or a network
// namespace, what is seen from inside.
var Local = Host{Root: "/"}

// Holder is a socket of this host that is bound to an address, and who owns it.
type Holder struct {
	Addr      netip.AddrPort // the address as bound: 0.0.0.0 and :: are wildcards
	Transport string         // "udp" or "tcp"
	Process   string         // "systemd-resolve"; empty where /proc does not tell
	PID       int            // 0 where unknown
}

// Candidate is an upstream address that a file of this host names.
type Candidate struct {
	Addr netip.Addr
	File string
	Line int
}

// candidateFiles name a host's real upstreams where its resolv.conf names a
// local stub, the most telling first: systemd-resolved(8), and NetworkManager,
// which writes no-stub-resolv.conf whatever it does with /etc/resolv.conf
// (NetworkManager.conf(5), rc-manager).
var candidateFiles = []string{
	"/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
	"/var/run/NetworkManager/resolv.conf",
	"/run/NetworkManager/resolv.conf",
}

// Candidates lists the nameservers that this host's services write down as
// the real upstreams, each address once, by the first file that names it.
// Left out are addresses that cannot stand in a server's configuration:
// loopback, unspecified, and link-local ones of IPv6, whose zone CoreDNS drops
// and a pod does not share. This host's own addresses are not left out. A file
// that is missing, unreadable or no resolv.conf has no candidates.
func (h Host) Candidates() []Candidate {
	var found []Candidate
	seen := map[netip.Addr]bool{}
	for _, name := range candidateFiles {
		for _, ns := range h.nameservers(name) {
			if a := ns.Addr; a.IsLoopback() || a.IsUnspecified() || a.Is6() && a.IsLinkLocalUnicast() || seen[a] {
				continue
			}
			seen[ns.Addr] = true
			found = append(found, Candidate{Addr: ns.Addr, File: h.path(name), Line: ns.Line})
		}
	}
	return found
}

func (h Host) nameservers(name string) []resolvconf.Nameserver {
	f, err := os.Open(h.path(name))
	if err != nil {
		return nil
	}
	defer f.Close()
	conf, err := resolvconf.Parse(name, f)
	if err != nil {
		return nil
	}
	return conf.Nameservers
}

// SystemdResolved says whether systemd-resolved runs here, or did since boot:
// it makes its runtime directory when it starts.
func (h Host) SystemdResolved() bool { return h.isDir("/run/systemd/resolve") }

// Kubernetes says whether this is a container of a Kubernetes pod, told by the
// mount point of its service account (where a pod declines the account's
// token, it is not told).
func (h Host) Kubernetes() bool {
	return h.isDir("/var/run/secrets/kubernetes.io/serviceaccount")
}

// KubeletConfig is the path of the kubelet's configuration where kubeadm and
// its kin put it, or empty where there is none or it cannot be seen.
func (h Host) KubeletConfig() string {
	path := h.path("/var/lib/kubelet/config.yaml")
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

func (h Host) path(name string) string { return filepath.Join(h.Root, name) }

func (h Host) isDir(name string) bool {
	info, err := os.Stat(h.path(name))
	return err == nil && info.IsDir()
}
