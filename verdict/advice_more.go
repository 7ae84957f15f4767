package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

func adviseNoAnswer(s scene) []string {
	const unseen = "A loop through it cannot be ruled out before it answers."
	switch s.Failure {
	case probe.Refused:
		out := []string{fmt.Sprintf("The host behind %s is there, but nothing takes questions over %s, or a firewall rejects them. %s",
			s.Upstream, s.Transport, unseen)}
		if s.here() {
			out = append(out, fmt.Sprintf("see whether its server runs: `ss -lntup 'sport = :%d'`; if it starts later, check after it has", s.Upstream.Addr.Port()))
		} else {
			out = append(out, "see whether its server runs, and at this port: "+ask(s.Upstream, s.zone()))
		}
		return append(out, s.dropIt())
	case probe.Unreachable:
		out := []string{fmt.Sprintf("This host has no way to %s. %s", s.Upstream, unseen)}
		if a := s.Upstream.Addr.Addr(); a.IsValid() {
			out = append(out, fmt.Sprintf("see which way is taken: `ip route get %s`", a.WithZone("")))
			if a.Is6() {
				out = append(out, "see whether this host has IPv6 at all: `ip -6 route show default`")
			}
		}
		return append(out, "where a VPN or a link leads there, check again once it is up", s.dropIt())
	case probe.BadTLS:
		out := []string{fmt.Sprintf("%s spoke no TLS that can be used, not even unverified. %s", s.Upstream, unseen)}
		return append(out, "see what it presents: "+ask(s.Upstream, s.zone()),
			"compare the name and the port with what its operator gives (DNS over TLS is 853)", s.dropIt())
	case probe.ErrorRcode:
		return adviseRcode(s, unseen)
	}
	if s.Alive {
		return []string{
			fmt.Sprintf("%s is up, yet resolves no fresh name: what it forwards to is down, or it and another server forward to each other, "+
				"a loop that never comes here. %s", s.Upstream, unseen),
			"there, look at what it forwards to: dnsmasq `server=`, unbound `forward-addr:`, BIND `forwarders`, CoreDNS `forward`",
			"check each of those from there: `dnsloop ADDRESS`",
			s.dropIt(),
		}
	}
	return []string{
		fmt.Sprintf("Too little usable came back from %s over %s within the time given: packets are lost or dropped, or the server is down. %s",
			s.Upstream, s.Transport, unseen),
		"ask by hand: " + ask(s.Upstream, s.zone()),
		"look for a firewall on the way: `nft list ruleset`, or `iptables-save`",
		"where it is only slow, give it longer: `--timeout 30s --query-timeout 5s`",
		s.dropIt(),
	}
}

// adviseRcode is adviseNoAnswer for a server that answers, but with an error.
func adviseRcode(s scene, unseen string) []string {
	out := []string{fmt.Sprintf("%s is up, but answers each probe with an error (%s), which says nothing of where questions go. %s",
		s.Upstream, s.Detail, unseen)}
	switch {
	case strings.Contains(s.Detail, "REFUSED"):
		out = append(out, "let it serve this host: BIND `allow-recursion`, unbound `access-control:`, dnsmasq without `--local-service`",
			"it may limit the rate, or not be a resolver at all: "+ask(s.Upstream, s.zone()))
	case strings.Contains(s.Detail, "SERVFAIL"):
		out = append(out, "see whether its own upstreams answer, in its log, and by hand: "+ask(s.Upstream, s.zone()),
			"where it fails only validation, `dig +cd` answers: its trust anchor or its clock is wrong")
	default:
		out = append(out, "see whether it is a resolver that serves this zone: "+ask(s.Upstream, s.zone()))
	}
	return append(out, s.dropIt())
}

// dropIt is the step for an upstream that is not there any more.
func (s scene) dropIt() string {
	if s.Upstream.Source.File == "" {
		return "if it is gone for good, do not forward to it"
	}
	return "if it is gone for good, take it out of " + place(s.Upstream.Source)
}

// ask is the command that asks an upstream one question by hand.
func ask(u plan.Upstream, zone string) string {
	switch {
	case u.URL != "":
		return "`curl -v " + shellQuote(u.URL) + "`"
	case u.Transport == plan.TLS && u.Name != "":
		return fmt.Sprintf("`openssl s_client -connect %s -servername %s`", shellQuote(u.String()), shellQuote(u.Name))
	case u.Transport == plan.TLS:
		return fmt.Sprintf("`openssl s_client -connect %s`", shellQuote(u.String()))
	}
	host := u.Name
	if u.Addr.Addr().IsValid() {
		host = u.Addr.Addr().String()
	}
	cmd := "dig @" + shellQuote(host)
	if p := u.Addr.Port(); p != dnsPort {
		cmd += fmt.Sprintf(" -p %d", p)
	}
	if u.Transport == plan.TCP {
		cmd += " +tcp"
	}
	return "`" + cmd + " " + shellQuote(zone) + " NS`"
}

// shellQuote makes one word of s for a shell, whatever a file said: people
// paste commands.
func shellQuote(s string) string {
	special := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("./:%@_-", r)
	}
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func adviseFiltered(s scene) []string {
	return []string{
		fmt.Sprintf("%s gives no usable answer to some query types, so the verdict rests on the others. "+
			"CoreDNS's loop plugin asks HINFO alone: where that is the type, it would see nothing here.", s.Upstream),
		"nothing to change for dnsloop; to lift the filter, look for rules by query type at the upstream",
	}
}

func adviseTransport(s scene) []string {
	other := "UDP"
	if s.Transport == plan.UDP {
		other = "TCP"
	}
	out := []string{fmt.Sprintf("%s answers over %s, but not over %s. The verdict is that of %s; "+
		"answers too large for UDP, or a server told to use the other transport, will fail.", s.Upstream, other, strings.ToUpper(string(s.Transport)), other)}
	u := s.Upstream
	u.Transport = s.Transport
	return append(out, "ask by hand: "+ask(u, s.zone()),
		fmt.Sprintf("let port %d over %s through the firewalls between: RFC 7766 wants both of every server", s.Upstream.Addr.Port(), strings.ToUpper(string(s.Transport))))
}

// units are the systemd units of servers that often hold port 53. dnsmasq has
// none here: libvirt and NetworkManager start theirs without a unit.
var units = map[string]string{
	"systemd-resolve": "systemd-resolved",
	"unbound":         "unbound",
	"named":           "named",
	"coredns":         "coredns",
	"dnsdist":         "dnsdist",
	"pdns_recursor":   "pdns-recursor",
	"pihole-FTL":      "pihole-FTL",
	"AdGuardHome":     "AdGuardHome",
}

// stop says how to end the one who holds a socket.
func (h Holder) stop() string {
	unit, known := units[h.Process]
	switch {
	case h.Process == "docker-proxy":
		return fmt.Sprintf("`docker ps --filter publish=%d` names the container that publishes the port, `docker stop NAME` ends it", h.Addr.Port())
	case known:
		return fmt.Sprintf("`systemctl stop %s` stops %s", unit, h)
	case h.PID != 0:
		return fmt.Sprintf("`systemctl status %d` names the unit of %s; stop that", h.PID, h)
	}
	return fmt.Sprintf("`ss -lntup 'sport = :%d'`, as root, names who holds %s", h.Addr.Port(), h)
}

// stops says how to end each holder, once for all its sockets.
func stops(holders []Holder) []string {
	type owner struct {
		process string
		pid     int
	}
	var out []string
	seen := map[owner]bool{}
	for _, h := range holders {
		if o := (owner{h.Process, h.PID}); !seen[o] {
			seen[o] = true
			out = append(out, h.stop())
		}
	}
	return out
}

// moreDescriptors is what a process needs that has run out of them. A Go program
// raises its soft limit to the hard one by itself.
var moreDescriptors = []string{
	"raise the hard limit in the shell that starts it, as root: `ulimit -n 1024` (`ulimit -Hn` shows what it is)",
	"in a systemd unit write `LimitNOFILE=1024`",
	"where the error says `in system`, the whole machine has none left: `sysctl fs.file-nr` shows used and most, `sysctl -w fs.file-max=…` raises it",
}

func adviseListener(s scene) []string {
	switch s.State {
	case probe.Denied:
		return []string{
			"Ports below 1024 need a right that this user lacks, so no probe could be heard at them. " +
				"The server needs the same right to serve there.",
			"run as root: `sudo dnsloop`",
			"or give it CAP_NET_BIND_SERVICE alone: `setcap cap_net_bind_service=+ep \"$(command -v dnsloop)\"`",
			"no_new_privs voids that: in a systemd unit write `AmbientCapabilities=CAP_NET_BIND_SERVICE`",
			"in a pod (`allowPrivilegeEscalation: false` is no_new_privs): set the sysctl `net.ipv4.ip_unprivileged_port_start` to 0, " +
				"or run as user 0 with NET_BIND_SERVICE",
			"if the server will serve on another port, say so: `--listen :1053`",
		}
	case probe.Exhausted:
		return append([]string{"This process had no file descriptor left, so what comes home there is not heard. A firewall or " +
			"another server has no part in it."}, moreDescriptors...)
	case probe.Deaf:
		if s.Loopback != "" {
			return []string{
				"What a host sends to one of its own addresses goes through its loopback interface. That is down, so the stand-in " +
					"could not hear its own test, and whoever asks this server from this host will not be heard either.",
				"`ip link set " + s.Loopback + " up`",
			}
		}
		return []string{
			"The stand-in holds an address but did not hear its own test there, so silence proves nothing. " +
				"A firewall, a redirect, or a second socket on the same port takes the packets.",
			"look for rules on the way: `nft list ruleset`, or `iptables-save`",
			"see who else listens: `ss -lntup`",
		}
	case probe.Unavailable:
		return []string{
			"This host does not have one of the addresses that the server is to serve on, so the server cannot bind there either. " +
				"A loop that comes home at that address is not seen.",
			"compare with the addresses of this host: `ip -brief address`",
			"name those that the server will serve on: `--listen ADDRESS:PORT`",
		}
	}
	out := []string{"Someone else has an address where the server is to serve: the server itself could not bind there, and a loop " +
		"that comes home at that address is not seen. Where it is to serve on other addresses only, say which."}
	out = append(out, stops(s.Holders)...)
	if len(s.Holders) == 0 {
		out = append(out, "see who holds it: `ss -lntup`, as root")
	}
	if heldByResolved(s.Holders) {
		out = append(out, freeResolved...)
	}
	return append(out, "or have both serve, on addresses of their own: `--listen ADDRESS:PORT`")
}

func heldByResolved(hs []Holder) bool {
	return slices.ContainsFunc(hs, func(h Holder) bool { return h.Process == "systemd-resolve" })
}

// freeResolved takes the port from systemd-resolved, which goes on resolving
// for programs that ask it by nss-resolve or D-Bus (resolved.conf(5)).
var freeResolved = []string{
	"or keep systemd-resolved without its listener: `DNSStubListener=no` under `[Resolve]` in " + resolvedConfig +
		", then `systemctl restart systemd-resolved`",
	"then the file must not name the stub any more: `ln -sf " + resolvedUplinks + " " + systemResolvConf + "`",
}

func adviseOther(s scene) []string {
	out := []string{fmt.Sprintf("Another server has port 53 here, while this check listened at %s. "+
		"If an upstream forwards to that server, and it back to the upstream, that circle is not seen.", s.Listen)}
	out = append(out, "to check that server itself, take its place for a moment: stop it, `dnsloop --listen :53`, start it again")
	out = append(out, stops(s.Holders)...)
	return append(out, "leave it where it is neither the server in question nor forwarded to by its upstreams")
}

func adviseStrays(s scene) []string {
	return []string{
		fmt.Sprintf("While %s was probed it sent questions that are not dnsloop's. "+
			"It may forward to this host: its own questions, or what it was asked with the name changed on the way, which would hide a loop.", s.Upstream),
		"see what it sends: `tcpdump -ni any port 53`, while you ask it: " + ask(s.Upstream, s.zone()),
		"look there for rules that change names (CoreDNS `rewrite`, unbound `local-zone: … redirect`) and for this host among its forwarders",
		"leave it where it is a client of this host by design",
	}
}

func adviseCount(s scene) []string {
	src := s.Upstream.Source
	if s.Listed == 0 {
		return []string{
			fmt.Sprintf("%s lists no nameserver: the C library then asks the local host, where this very server may listen. "+
				"CoreDNS does not start on such a file.", fileName(src)),
			s.findReal(),
			s.writeFound(),
		}
	}
	return []string{
		fmt.Sprintf("%s lists %d nameservers: the C library and pods use the first %d, CoreDNS's forward all of them. "+
			"What a check of one reader shows need not hold for the other.", fileName(src), s.Listed, maxNameservers),
		fmt.Sprintf("keep the %d that matter in %s, the surest first", maxNameservers, fileName(src)),
	}
}

func adviseLine(s scene) []string {
	if s.Kind != kindResolvConf {
		return []string{
			"What this line says is not used, or not as it seems. The server may then forward less than meant, or elsewhere.",
			fmt.Sprintf("correct %s, or take the line out", place(s.Upstream.Source)),
		}
	}
	return []string{
		"Readers skip this line, or read something else in it than it seems to say. " +
			"The server may then use fewer upstreams than meant, or others.",
		fmt.Sprintf("correct %s: `nameserver ADDRESS`, from the first column, one address a line, without a port or a name", place(s.Upstream.Source)),
	}
}

func adviseCircle(s scene) []string {
	out := []string{"Blocks of this configuration forward to each other, so a question between them goes round and never leaves. " +
		"CoreDNS's loop plugin sees this only for the first zone of a block."}
	for _, r := range remedies(s) {
		out = append(out, r.Change)
	}
	if len(out) > 1 {
		out = append(out, "one line of a circle is enough: the others then lead out of it")
	} else {
		out = append(out, fmt.Sprintf("in %s, or in one of the other lines of the circle, forward to a server outside", place(s.Upstream.Source)))
	}
	return append(out,
		"or narrow one `forward` to its own zone, or add `except ZONE`, so that the circle does not close",
		runAgain)
}

func adviseChain(s scene) []string {
	if s.Kind == kindConf {
		return []string{
			fmt.Sprintf("What is forwarded to %s comes back to another view of this server, which does not send it there again. "+
				"That is no loop, as long as no client of that view is sent back here.", s.Upstream),
			"nothing to change",
		}
	}
	return []string{
		fmt.Sprintf("%s is another block of the same server, which forwards on to somewhere else. "+
			"That is a chain and no loop, as long as the second block does not forward back.", s.Upstream),
		"nothing to change; the verdict is that of the second block's own upstreams",
	}
}

func adviseNotProbed(s scene) []string {
	if s.Upstream.String() == "" {
		return []string{
			"This part of the configuration is not in what was read, so nothing is known of what it would forward.",
			"check it together with the rest, as the server will read it",
		}
	}
	why := "for the reason given"
	if s.Detail != "" {
		why = "(" + s.Detail + ")"
	}
	meaning := fmt.Sprintf("%s was not asked %s. Nothing is known of where its questions go.", s.Upstream, why)
	if strings.Contains(s.Detail, "too many open files") { // EMFILE, and ENFILE with more behind
		return append([]string{meaning}, moreDescriptors...)
	}
	return []string{
		meaning,
		"where the name or the address is filled in later, check the finished file, or name the address: `dnsloop ADDRESS`",
	}
}

func adviseHandedOn(s scene) []string {
	out := []string{"The kubelet makes the resolv.conf of pods with `dnsPolicy: Default`, CoreDNS among them, from this file. " +
		"Where it is missing no pod starts, and with `resolvConf: \"\"` such a pod is told to ask itself."}
	if r, ok := s.kubeletFix(); ok {
		out = append(out, r.Change)
	} else {
		out = append(out, s.findReal(), handOn)
	}
	return append(out, "`systemctl restart kubelet`", newPods)
}
