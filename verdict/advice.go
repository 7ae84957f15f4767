package verdict

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

// The voice of advice: the first entry says what the finding means, in whole
// sentences. Each further entry is one step: lower case, no final period, with
// the command or the line to write between backticks. A word in capitals
// (ADDRESS, FILE) is for the reader to fill in: no step holds an address that
// is not the reader's own or that this run did not find clear.

// The kinds of input that an upstream is read from.
const (
	kindTarget     = "command line"
	kindResolvConf = "resolv.conf"
	kindCorefile   = "Corefile"
	kindConf       = "configuration of dnsmasq, unbound or BIND"
	kindKubelet    = "kubelet configuration"
)

// Files that advice names.
const (
	kubeletConfig    = "/var/lib/kubelet/config.yaml"
	resolvedUplinks  = "/run/systemd/resolve/resolv.conf"
	resolvedConfig   = "/etc/systemd/resolved.conf"
	systemResolvConf = "/etc/resolv.conf"
)

// Holder is a socket of this host that is bound to an address, and who owns it.
type Holder struct {
	Addr      netip.AddrPort
	Transport string // "udp" or "tcp"
	Process   string // "systemd-resolve"; empty where unknown
	PID       int    // 0 where unknown
}

// String is the holder as messages name it.
func (h Holder) String() string {
	s := h.Addr.String() + " " + h.Transport
	if h.Process != "" {
		s += " by " + h.Process
	}
	if h.PID != 0 {
		s += fmt.Sprintf(" (pid %d)", h.PID)
	}
	return s
}

// scene is what advice is worded from: one finding, on this machine, for this
// file.
type scene struct {
	Code string
	// Upstream is whom the finding is about. Only its Source is set where it is
	// about a file or a line.
	Upstream plan.Upstream
	Zone     string // "" is the root
	Kind     string // of the input that names the upstream
	Old      string // the text of the line at Upstream.Source
	Word     string // the word of a Corefile's line that is the upstream

	// LastHop is where the first return came from, Direct that nobody sat
	// between, Captured that it did so from an address of another host; all are
	// zero without a return.
	LastHop  netip.AddrPort
	Direct   bool
	Captured bool
	// Transport, Failure and Detail say what went wrong (DL007, DL012, DL014).
	Transport plan.Transport
	Failure   probe.Failure
	Detail    string
	Alive     bool        // silent, but up
	State     probe.State // what became of the listener (DL009)
	Loopback  string      // the loopback interface, where that is down (DL009)
	Holders   []Holder    // DL009, DL015
	Listed    int         // how many nameservers the file lists (DL011)

	Service    string // who is known to answer at the address; "" is unknown
	Resolved   bool   // systemd-resolved runs here
	Kubernetes bool   // in a pod, or beside a kubelet
	Listen     string // "0.0.0.0:53", where the server will serve

	// Clean lists addresses that this run probed and found clear, and
	// CleanFrom the file that names them, Partly not them alone. Lines are the
	// changes that put them into the lines that name the upstream.
	Clean     []netip.AddrPort
	CleanFrom string
	Partly    bool
	Lines     []Remedy
}

// advice words what a finding means and what to do about it: the meaning
// first, then the steps. A code that it does not know has no advice.
func advice(s scene) []string {
	switch s.Code {
	case "DL001":
		return adviseLoop(s)
	case "DL002":
		return adviseSelf(s)
	case "DL003":
		return adviseLoopback(s)
	case "DL004":
		return adviseOwn(s)
	case "DL005":
		return adviseUnspecified(s)
	case "DL006":
		return adviseClusterDNS(s)
	case "DL007":
		return adviseNoAnswer(s)
	case "DL008":
		return adviseFiltered(s)
	case "DL009":
		return adviseListener(s)
	case "DL010":
		return adviseCircle(s)
	case "DL011":
		return adviseCount(s)
	case "DL012":
		return adviseTransport(s)
	case "DL013":
		return adviseChain(s)
	case "DL014":
		return adviseNotProbed(s)
	case "DL015":
		return adviseOther(s)
	case "DL016":
		return adviseStrays(s)
	case "DL017":
		return adviseHandedOn(s)
	case "DL018":
		return adviseLine(s)
	}
	return nil
}

// runAgain is the last step of every loop: a remedy that nobody checked is a guess.
const runAgain = "run dnsloop again in the same way: it must say clear"

func adviseLoop(s scene) []string {
	meaning := fmt.Sprintf("What this server forwards to %s comes back to it, so one question would circle "+
		"until memory or time runs out. ", s.Upstream)
	switch {
	case s.Kubernetes:
		meaning += "CoreDNS's loop plugin ends the process when it sees that, Kubernetes starts it again, " +
			"and the pod shows CrashLoopBackOff."
	case s.Direct || s.Service == "":
		meaning += "Each such question costs a socket and a wait at every turn, and no client gets an answer."
	default:
		meaning += fmt.Sprintf("%s answers there, and forwards to the address where this server will serve.", s.Service)
	}
	out := []string{meaning}
	if s.Captured {
		out = append(out, fmt.Sprintf("%s is no address of this host, yet the questions never left it: look for a rule that turns port %d "+
			"around (`redirect`, `dnat`), with `nft list ruleset` or `iptables-save`. The upstream itself may be without fault",
			s.Upstream.Addr.Addr(), s.Upstream.Addr.Port()))
	}
	if !s.here() || (!s.Direct && !s.Kubernetes) {
		out = append(out, s.forwardsBack()...)
	}
	out = append(out, s.replace()...)
	return append(out, runAgain)
}

func adviseSelf(s scene) []string {
	out := []string{fmt.Sprintf("%s is where this server itself will serve (%s), so it would send its questions to itself. "+
		"No other server can answer there while this one runs.", s.Upstream, s.Listen)}
	out = append(out, s.replace()...)
	return append(out, runAgain)
}

func adviseLoopback(s scene) []string {
	who := "whoever listens there"
	if s.Service != "" {
		who = s.Service
	}
	out := []string{fmt.Sprintf("%s means another place to each reader: on this host %s, in a pod or container that one itself. "+
		"A DNS server that is given this address there forwards to itself.", s.Upstream, who)}
	out = append(out, s.replace()...)
	if s.Service == "Docker's embedded DNS" {
		out = append(out, "see that `docker run --dns`, or `\"dns\"` in /etc/docker/daemon.json, does not name this container")
	}
	return append(out, "leave it where a resolver on this host is meant, and no container or pod is given the file")
}

func adviseOwn(s scene) []string {
	meaning := fmt.Sprintf("%s is an address of this host, so a question to it is answered by whatever serves there: "+
		"soon perhaps the server that asks.", s.Upstream)
	if !s.LastHop.IsValid() {
		meaning += " No probe came back this time."
	}
	out := []string{meaning, fmt.Sprintf("see who serves there: `ss -lntup 'sport = :%d'`", s.Upstream.Addr.Port())}
	out = append(out, s.replace()...)
	return append(out, "leave it where another server holds that very address, and starts before this one")
}

func adviseUnspecified(s scene) []string {
	out := []string{fmt.Sprintf("%s names no host: Linux and the C library send it to the local host, other readers fail. "+
		"There it is this server itself that may answer.", s.Upstream)}
	out = append(out, s.replace()...)
	return append(out, "where the local host is meant, write the loopback address that the other server listens on")
}

func adviseClusterDNS(s scene) []string {
	if s.Upstream.Own != "" || s.Upstream.String() == "" {
		return adviseOwnService(s)
	}
	out := []string{fmt.Sprintf("This file is what Kubernetes gives to pods with `dnsPolicy: ClusterFirst`, and %s is the cluster's DNS service. "+
		"A CoreDNS behind that service, given this file, forwards to itself as soon as its pod is Ready.", s.Upstream)}
	out = append(out,
		"compare the address: `kubectl -n kube-system get service kube-dns -o jsonpath='{.spec.clusterIP}'`",
		"in CoreDNS's Deployment set `dnsPolicy: Default`, so that it is given the node's file "+
			"(left out, it is ClusterFirst)",
		"if this is the node's own file, take the service's address out of it: a node must not need its own cluster")
	if fix, ok := s.corefileFix(); ok {
		out = append(out, fix.Change)
	}
	return append(out, "leave it where the server in question is not the one behind that service")
}

// adviseOwnService is for a CoreDNS that its own manifest leads back to itself.
func adviseOwnService(s scene) []string {
	out := []string{"The address belongs to the DNS service in front of this very server, so what it forwards there comes back to it. " +
		"CoreDNS's loop plugin then ends the process, and the pod shows CrashLoopBackOff, or runs out of memory."}
	if s.Kind == kindCorefile {
		for _, r := range s.Lines {
			out = append(out, r.Change)
		}
		if len(s.Lines) == 0 {
			out = append(out, fmt.Sprintf("in %s forward to a server outside the cluster instead of %s", place(s.Upstream.Source), short(s.Upstream.Addr)))
		}
		return append(out, runAgain)
	}
	return append(out,
		fmt.Sprintf("in %s set `dnsPolicy: Default`, so that the pod is given the node's file (left out, it is ClusterFirst)", place(s.Upstream.Source)),
		runAgain)
}

// here says that the upstream's address is the local host to its reader.
func (s scene) here() bool {
	a := s.Upstream.Addr.Addr()
	return a.IsValid() && (a.IsLoopback() || a.IsUnspecified()) || s.Direct
}

// inCluster says that the kubelet may hand the file on to pods, or makes up
// what it hands on.
func (s scene) inCluster() bool {
	return s.Kind == kindKubelet || s.Kubernetes && s.Kind == kindResolvConf
}

// replace says how to put real upstreams in the place of the guilty one:
// those that were found clear, or else how to find them.
func (s scene) replace() []string {
	if s.inCluster() {
		return s.replaceInCluster()
	}
	var out []string
	for _, r := range remedies(s) {
		out = append(out, r.Change)
	}
	if len(out) == 0 {
		out = append(out, s.findReal(), s.writeFound())
	}
	if s.Upstream.Source.File != systemResolvConf || s.Kind != kindResolvConf {
		return out
	}
	switch {
	case s.CleanFrom == resolvedUplinks:
		return append(out, "or let systemd-resolved keep the list: `ln -sf "+resolvedUplinks+" "+systemResolvConf+"`")
	case s.Resolved:
		return append(out, "if systemd-resolved writes the file (`ls -l "+systemResolvConf+"`), "+
			"change `DNS=` in "+resolvedConfig+" instead")
	}
	return append(out, "where NetworkManager writes the file, change it there, or the line is lost: "+
		"`nmcli connection modify NAME ipv4.dns ADDRESS`")
}

// findReal says where this machine keeps the addresses of its upstreams. It
// names places, never an address: nothing was found clear.
func (s scene) findReal() string {
	if s.Resolved {
		return "find the real upstreams: `resolvectl dns` lists them, " + resolvedUplinks + " holds them as a file"
	}
	return "find the real upstreams: `nmcli dev show | grep DNS`, `resolvectl dns`, or the DHCP lease in /var/lib/dhcp"
}

// writeFound is the step that follows findReal: where to write what was found.
func (s scene) writeFound() string {
	const first = "check one: `dnsloop ADDRESS`; if it is clear, "
	src := s.Upstream.Source
	switch {
	case src.File == "":
		return first + fmt.Sprintf("forward to it instead of %s", s.Upstream)
	case s.Kind == kindCorefile, s.Kind == kindConf:
		return first + fmt.Sprintf("in %s forward to it instead of %s", place(src), short(s.Upstream.Addr))
	case src.Line == 0:
		return first + fmt.Sprintf("add `nameserver ADDRESS` to %s", src.File)
	}
	return first + fmt.Sprintf("in %s write `nameserver ADDRESS` instead of `%s`", place(src), s.oldLine())
}

// newPods makes a change of the node's file reach CoreDNS.
const newPods = "`kubectl -n kube-system delete pod -l k8s-app=kube-dns`: a pod keeps the file it was started with"

// handOn is the step to have the kubelet hand on another file, which is still
// to be found.
const handOn = "on the node, in " + kubeletConfig + " write `resolvConf: FILE`, once `dnsloop --pod FILE` says clear"

// replaceInCluster is replace for a file that the kubelet hands on to pods.
func (s scene) replaceInCluster() []string {
	var out []string
	var edits []string
	for _, r := range s.Lines {
		change := r.Change
		if r.File == s.Upstream.Source.File {
			change = "on the node, " + change
		}
		edits = append(edits, change)
	}
	node, moved := s.kubeletFix()
	switch {
	case moved:
		out = append(out, node.Change, beatsFile(s.CleanFrom), "`systemctl restart kubelet`", newPods)
		for i, edit := range edits {
			switch {
			case i > 0:
				out = append(out, "and "+edit)
			case s.here():
				out = append(out, "or switch off the DNS cache behind that address, and "+edit)
			default:
				out = append(out, "or, "+edit)
			}
		}
	case len(edits) > 0:
		out = append(append(out, edits...), newPods)
	default:
		out = append(out, s.findReal(), handOn, beatsFile("FILE"), "`systemctl restart kubelet`", newPods,
			"or switch off the DNS cache on the node, and restore "+systemResolvConf+" with the real upstreams")
	}
	if fix, ok := s.corefileFix(); ok {
		out = append(out, fix.Change)
	} else {
		out = append(out, fmt.Sprintf("quick fix: in the Corefile write `forward %s ADDRESS` instead of `forward %[1]s %s`, "+
			"once `dnsloop ADDRESS` says clear", s.zone(), systemResolvConf))
	}
	return append(out, fmt.Sprintf("the quick fix leaves every other pod with `dnsPolicy: Default` broken: "+
		"those are still told to ask %s", short(s.Upstream.Addr)))
}

// beatsFile is the step for a kubelet that is told the file by a flag.
func beatsFile(file string) string {
	return "where the deprecated flag `--resolv-conf` is set, write `--resolv-conf=" + file + "`: it beats the configuration"
}

// forwardsBack says how to break a circle at the server in between.
func (s scene) forwardsBack() []string {
	a := s.Upstream.Addr.Addr()
	if s.Resolved && strings.HasPrefix(s.Service, "systemd-resolved") {
		return []string{"`resolvectl dns` shows which link has this server's address: take it out of that link's settings, " +
			"or out of `DNS=` in " + resolvedConfig}
	}
	at := s.Upstream.String()
	if s.LastHop.IsValid() && s.LastHop.Addr() != a && !s.LastHop.Addr().IsLoopback() {
		at = fmt.Sprintf("%s (the last hop), or on the way to it from %s", s.LastHop.Addr(), s.Upstream)
	}
	return []string{
		"at " + at + ", take this server out of the forwarders: dnsmasq `server=`, unbound `forward-addr:`, " +
			"BIND `forwarders`, CoreDNS `forward`",
		"a dnsmasq that reads a resolv.conf may learn this server from there: give it `no-resolv` and `server=ADDRESS`",
	}
}
