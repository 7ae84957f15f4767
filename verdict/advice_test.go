package verdict

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/probe"
)

func addrs(ss ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range ss {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func upstream(addr, file string, line int) plan.Upstream {
	return plan.Upstream{Addr: netip.MustParseAddrPort(addr), Source: plan.Source{File: file, Line: line}}
}

// stub is a host's resolv.conf that names systemd-resolved's stub.
func stub(code string) scene {
	return scene{
		Code: code, Kind: kindResolvConf, Upstream: upstream("127.0.0.53:53", "/etc/resolv.conf", 2),
		Old: "nameserver 127.0.0.53", Service: "systemd-resolved's stub", Resolved: true, Listen: "0.0.0.0:53",
	}
}

func with(s scene, change func(*scene)) scene {
	change(&s)
	return s
}

// verified is a scene in which one real upstream was found clear.
func verified(s *scene) {
	s.Clean, s.CleanFrom = addrs("10.0.0.2:53"), resolvedUplinks
	edited(s)
}

// edited gives a scene the change of its resolv.conf's line, beside addresses
// that stay in the file.
func edited(s *scene, stay ...string) {
	if s.Kind != kindResolvConf {
		return
	}
	at := s.Upstream.Source
	in := Input{Clean: s.Clean, CleanFrom: s.CleanFrom, Lines: map[string][][]byte{at.File: make([][]byte, max(1, at.Line))}}
	in.Lines[at.File][max(0, at.Line-1)] = []byte(s.Old)
	c := choice{choiceKey: choiceKey{&resolvConf, plan.Source{File: at.File}}}
	c.guilty = []mention{{spot{at, ""}, s.Upstream.Addr, c.choiceKey}}
	for _, a := range addrs(stay...) {
		c.stays = append(c.stays, mention{addr: a})
	}
	changes := map[spot]Remedy{}
	in.change(&c, changes)
	s.Lines = nil
	for _, r := range changes {
		s.Lines = append(s.Lines, r)
	}
}

func cluster(s *scene) { s.Kubernetes = true }

func held(process string, pid int) []Holder {
	a := netip.MustParseAddrPort("127.0.0.53:53")
	return []Holder{{a, "udp", process, pid}, {a, "tcp", process, pid}}
}

// TestAdvice asserts the lines to change and the commands to run, by situation.
func TestAdvice(t *testing.T) {
	target := scene{Kind: kindTarget, Upstream: upstream("10.0.0.9:53", "", 0), Listen: "0.0.0.0:53"}
	tests := []struct {
		name   string
		scene  scene
		want   []string // each within one entry
		absent []string // in none
	}{
		{"loop on a host, verified", with(stub("DL001"), verified),
			[]string{
				"in /etc/resolv.conf line 2 write `nameserver 10.0.0.2` instead of `nameserver 127.0.0.53`",
				"`ln -sf /run/systemd/resolve/resolv.conf /etc/resolv.conf`",
				"systemd-resolved's stub answers there, and forwards to the address where this server will serve",
				"`DNS=` in /etc/systemd/resolved.conf",
				runAgain,
			},
			[]string{"kubelet", "ADDRESS"}},
		{"loop on a host, nothing verified", stub("DL001"),
			[]string{
				"`resolvectl dns` lists them, /run/systemd/resolve/resolv.conf holds them",
				"check one: `dnsloop ADDRESS`; if it is clear, in /etc/resolv.conf line 2 write `nameserver ADDRESS` instead of `nameserver 127.0.0.53`",
			},
			[]string{"ln -sf"}},
		{"loop without systemd-resolved", with(stub("DL001"), func(s *scene) { s.Resolved = false; s.Direct = true }),
			[]string{"`nmcli dev show | grep DNS`", "DHCP lease", "`nmcli connection modify NAME ipv4.dns ADDRESS`"},
			[]string{"take this server out of the forwarders"}},
		{"loop in a cluster, verified", with(with(stub("DL001"), verified), cluster),
			[]string{
				"the pod shows CrashLoopBackOff",
				"in /var/lib/kubelet/config.yaml write `resolvConf: /run/systemd/resolve/resolv.conf`",
				"deprecated flag `--resolv-conf` is set, write `--resolv-conf=/run/systemd/resolve/resolv.conf`",
				"`systemctl restart kubelet`",
				"`kubectl -n kube-system delete pod -l k8s-app=kube-dns`",
				"switch off the DNS cache behind that address, and on the node, in /etc/resolv.conf line 2 write `nameserver 10.0.0.2`",
				"in the Corefile write `forward . 10.0.0.2` instead of `forward . /etc/resolv.conf`",
				"leaves every other pod with `dnsPolicy: Default` broken: those are still told to ask 127.0.0.53",
			},
			[]string{"ADDRESS", "FILE"}},
		{"loop in a cluster, nothing verified", with(stub("DL001"), cluster),
			[]string{
				"write `resolvConf: FILE`, once `dnsloop --pod FILE` says clear",
				"`--resolv-conf=FILE`",
				"restore /etc/resolv.conf",
				"`forward . ADDRESS` instead of `forward . /etc/resolv.conf`, once `dnsloop ADDRESS` says clear",
				"leaves every other pod",
			}, nil},
		{"loop in a cluster, another line of the file is clear", with(with(stub("DL001"), cluster), func(s *scene) {
			s.Clean, s.CleanFrom = addrs("10.0.0.2:53"), "/etc/resolv.conf"
			edited(s, "10.0.0.2:53")
		}),
			[]string{"on the node, in /etc/resolv.conf line 2 delete `nameserver 127.0.0.53`; `nameserver 10.0.0.2` stays", "`forward . 10.0.0.2`"},
			[]string{"resolvConf:", "FILE"}},
		{"loop through another host", with(target, func(s *scene) {
			s.Code, s.LastHop = "DL001", netip.MustParseAddrPort("10.0.0.7:4711")
		}),
			[]string{"at 10.0.0.7 (the last hop), or on the way to it from 10.0.0.9:53", "dnsmasq `server=`, unbound `forward-addr:`, BIND `forwarders`, CoreDNS `forward`",
				"if it is clear, forward to it instead of 10.0.0.9:53"}, nil},
		{"loop by a rule on this host", with(target, func(s *scene) {
			s.Code, s.LastHop, s.Direct, s.Captured = "DL001", netip.MustParseAddrPort("10.0.0.1:4711"), true, true
		}),
			[]string{"10.0.0.9 is no address of this host", "turns port 53 around (`redirect`, `dnat`), with `nft list ruleset`", "may be without fault"}, []string{"last hop"}},
		{"target replaced", with(with(target, verified), func(s *scene) { s.Code = "DL002" }),
			[]string{"forward to 10.0.0.2:53 instead of 10.0.0.9:53", "will serve (0.0.0.0:53)"}, []string{"nameserver"}},
		{"Corefile, verified", with(with(stub("DL001"), func(s *scene) {
			s.Kind, s.Upstream, s.Direct = kindCorefile, upstream("127.0.0.53:53", "Corefile", 7), true
		}), verified),
			[]string{"in Corefile line 7 forward to 10.0.0.2 instead of 127.0.0.53"}, []string{"nameserver ", "ln -sf"}},
		{"Corefile, nothing verified", with(stub("DL002"), func(s *scene) {
			s.Kind, s.Upstream = kindCorefile, upstream("127.0.0.1:1053", "Corefile", 7)
		}),
			[]string{"in Corefile line 7 forward to it instead of 127.0.0.1:1053"}, []string{"nameserver"}},
		{"loopback", with(stub("DL003"), verified),
			[]string{"on this host systemd-resolved's stub, in a pod or container that one itself", "write `nameserver 10.0.0.2`", "leave it where"}, nil},
		{"Docker", with(stub("DL003"), func(s *scene) { s.Service = "Docker's embedded DNS" }), []string{"`docker run --dns`"}, nil},
		{"own address", with(stub("DL004"), func(s *scene) { s.Upstream = upstream("10.0.0.5:53", "f", 1) }),
			[]string{"10.0.0.5:53 is an address of this host", "No probe came back", "`ss -lntup 'sport = :53'`"}, nil},
		{"own address, proven", with(stub("DL004"), func(s *scene) { s.LastHop = netip.MustParseAddrPort("10.0.0.5:4711") }),
			[]string{"is an address of this host"}, []string{"No probe came back"}},
		{"unspecified", with(stub("DL005"), verified), []string{"write the loopback address", "write `nameserver 10.0.0.2`"}, nil},
		{"cluster DNS", with(stub("DL006"), verified),
			[]string{"set `dnsPolicy: Default`", "get service kube-dns", "`forward . 10.0.0.2`"}, nil},
		{"refused here", with(stub("DL007"), func(s *scene) { s.Failure = probe.Refused; s.Transport = plan.UDP }),
			[]string{"nothing takes questions over udp", "`ss -lntup 'sport = :53'`", "take it out of /etc/resolv.conf line 2"}, []string{"nft"}},
		{"refused elsewhere", with(target, func(s *scene) { s.Code = "DL007"; s.Failure = probe.Refused }),
			[]string{"`dig @10.0.0.9 . NS`", "do not forward to it"}, []string{"ss -lntup"}},
		{"unreachable IPv6", with(target, func(s *scene) {
			s.Code, s.Failure, s.Upstream.Addr = "DL007", probe.Unreachable, netip.MustParseAddrPort("[fe80::1%eth0]:53")
		}),
			[]string{"`ip route get fe80::1`", "`ip -6 route show default`"}, nil},
		{"unreachable IPv4", with(target, func(s *scene) { s.Code, s.Failure = "DL007", probe.Unreachable }),
			[]string{"`ip route get 10.0.0.9`"}, []string{"ip -6"}},
		{"silent", with(target, func(s *scene) {
			s.Code, s.Failure, s.Transport, s.Zone = "DL007", probe.Silent, plan.UDP, "corp.example."
			s.Upstream.Addr = netip.MustParseAddrPort("10.0.0.9:5353")
		}),
			[]string{"`dig @10.0.0.9 -p 5353 corp.example. NS`", "`nft list ruleset`", "`--timeout 30s"}, nil},
		{"REFUSED", with(target, func(s *scene) { s.Code, s.Failure, s.Detail = "DL007", probe.ErrorRcode, "REFUSED" }),
			[]string{"answers each probe with an error (REFUSED)", "`allow-recursion`", "`access-control:`"}, nil},
		{"SERVFAIL", with(target, func(s *scene) { s.Code, s.Failure, s.Detail = "DL007", probe.ErrorRcode, "SERVFAIL" }),
			[]string{"its own upstreams answer", "`dig +cd`"}, []string{"allow-recursion"}},
		{"NOTIMP", with(target, func(s *scene) { s.Code, s.Failure, s.Detail = "DL007", probe.ErrorRcode, "NOTIMP" }),
			[]string{"resolver that serves this zone"}, []string{"allow-recursion", "+cd"}},
		{"bad TLS", with(target, func(s *scene) {
			s.Code, s.Failure, s.Upstream.Transport, s.Upstream.Name = "DL007", probe.BadTLS, plan.TLS, "dns.example"
			s.Upstream.Addr = netip.MustParseAddrPort("[2001:db8::9]:853")
		}),
			[]string{"`openssl s_client -connect '[2001:db8::9]:853' -servername dns.example`"}, nil},
		{"bad HTTPS", with(target, func(s *scene) {
			s.Code, s.Failure, s.Upstream.URL = "DL007", probe.BadTLS, "https://dns.example/x?a=1;reboot"
		}),
			[]string{"`curl -v 'https://dns.example/x?a=1;reboot'`"}, nil},
		{"filtered", with(target, func(s *scene) { s.Code = "DL008" }), []string{"loop plugin asks HINFO alone"}, nil},
		{"held by systemd-resolved", scene{Code: "DL009", State: probe.Held, Holders: held("systemd-resolve", 412)},
			[]string{"`systemctl stop systemd-resolved` stops 127.0.0.53:53 udp by systemd-resolve (pid 412)",
				"`DNSStubListener=no` under `[Resolve]` in /etc/systemd/resolved.conf", "`ln -sf /run", "`--listen ADDRESS:PORT`"}, nil},
		{"held by a unit that is not known", scene{Code: "DL009", State: probe.Held, Holders: held("dnsmasq", 9)},
			[]string{"`systemctl status 9` names the unit of 127.0.0.53:53 udp by dnsmasq (pid 9)"}, []string{"DNSStubListener", "stop dnsmasq", "tcp"}},
		{"held by a container", scene{Code: "DL009", State: probe.Held, Holders: held("docker-proxy", 9)},
			[]string{"`docker ps --filter publish=53`"}, nil},
		{"held by nobody that can be seen", scene{Code: "DL009", State: probe.Held, Holders: held("", 0)},
			[]string{"`ss -lntup 'sport = :53'`, as root, names who holds 127.0.0.53:53 udp"}, nil},
		{"held, no holder found", scene{Code: "DL009", State: probe.Held}, []string{"see who holds it: `ss -lntup`"}, nil},
		{"denied", scene{Code: "DL009", State: probe.Denied},
			[]string{"`sudo dnsloop`", "setcap cap_net_bind_service=+ep", "no_new_privs voids that", "ip_unprivileged_port_start", "`--listen :1053`"},
			[]string{"systemctl stop"}},
		{"deaf", scene{Code: "DL009", State: probe.Deaf}, []string{"`nft list ruleset`", "did not hear its own test"}, []string{"systemctl"}},
		{"deaf, loopback down", scene{Code: "DL009", State: probe.Deaf, Loopback: "lo"}, []string{"`ip link set lo up`"}, []string{"nft"}},
		{"exhausted", scene{Code: "DL009", State: probe.Exhausted}, []string{"`ulimit -n 1024`", "`LimitNOFILE=1024`"}, []string{"nft", "systemctl"}},
		{"not probed for want of descriptors", with(target, func(s *scene) { s.Code, s.Detail = "DL014", "socket: too many open files" }),
			[]string{"`ulimit -n 1024`", "`LimitNOFILE=1024`"}, []string{"filled in later"}},
		{"unavailable", scene{Code: "DL009", State: probe.Unavailable}, []string{"`ip -brief address`"}, []string{"systemctl"}},
		{"circle", scene{Code: "DL010", Upstream: upstream("127.0.0.1:1053", "Corefile", 4)}, []string{"in Corefile line 4", "`except ZONE`"}, nil},
		{"no nameserver", scene{Code: "DL011", Kind: kindResolvConf, Upstream: plan.Upstream{Source: plan.Source{File: "r.conf"}}},
			[]string{"add `nameserver ADDRESS` to r.conf", "asks the local host"}, nil},
		{"many nameservers", scene{Code: "DL011", Listed: 5, Upstream: plan.Upstream{Source: plan.Source{File: "-", Line: 4}}},
			[]string{"the file on standard input lists 5 nameservers", "keep the 3 that matter"}, nil},
		{"no TCP", with(target, func(s *scene) { s.Code, s.Transport = "DL012", plan.TCP }),
			[]string{"answers over UDP, but not over TCP", "`dig @10.0.0.9 +tcp . NS`", "let port 53 over TCP"}, nil},
		{"no UDP", with(target, func(s *scene) { s.Code, s.Transport = "DL012", plan.UDP }),
			[]string{"answers over TCP, but not over UDP", "let port 53 over UDP"}, []string{"+tcp"}},
		{"chain", with(target, func(s *scene) { s.Code = "DL013" }), []string{"chain and no loop"}, nil},
		{"not probed", with(target, func(s *scene) { s.Code, s.Detail = "DL014", "a placeholder" }), []string{"(a placeholder)"}, nil},
		{"another server", scene{Code: "DL015", Listen: "127.0.0.1:1053", Holders: held("unbound", 3)},
			[]string{"this check listened at 127.0.0.1:1053", "`dnsloop --listen :53`", "`systemctl stop unbound`"}, nil},
		{"strays", with(target, func(s *scene) { s.Code = "DL016" }), []string{"`rewrite`", "`tcpdump -ni any port 53`"}, nil},
		{"kubelet, verified", with(scene{Code: "DL017", Upstream: plan.Upstream{Source: plan.Source{File: "config.yaml", Line: 3}}}, verified),
			[]string{"write `resolvConf: /run/systemd/resolve/resolv.conf`", "restart kubelet"}, []string{"FILE"}},
		{"kubelet, nothing verified", scene{Code: "DL017"}, []string{"write `resolvConf: FILE`"}, nil},
		{"bad line", scene{Kind: kindResolvConf, Code: "DL018", Upstream: plan.Upstream{Source: plan.Source{File: "r.conf", Line: 3}}},
			[]string{"correct r.conf line 3: `nameserver ADDRESS`"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := advice(tt.scene)
			for _, w := range tt.want {
				if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, w) }) {
					t.Errorf("nothing says %q in:\n%s", w, strings.Join(got, "\n"))
				}
			}
			for _, a := range tt.absent {
				if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, a) }) {
					t.Errorf("%q is said in:\n%s", a, strings.Join(got, "\n"))
				}
			}
		})
	}
}

// scenes is every code in every situation that changes its words.
func scenes(yield func(scene)) {
	failures := []probe.Failure{probe.Refused, probe.Unreachable, probe.BadTLS, probe.ErrorRcode, probe.Silent}
	states := []probe.State{probe.Held, probe.Denied, probe.Unavailable, probe.Deaf, probe.Exhausted}
	for _, code := range Codes {
		for _, kind := range []string{kindTarget, kindResolvConf, kindCorefile} {
			for _, up := range []string{"127.0.0.53:53", "10.0.0.9:5353", "[::]:53"} {
				for i, failure := range failures {
					for bits := range 16 {
						s := stub(code.Code)
						s.Kind, s.Failure, s.State = kind, failure, states[i%len(states)]
						s.Upstream = upstream(up, "/etc/resolv.conf", 2)
						if kind == kindTarget {
							s.Upstream.Source = plan.Source{}
						}
						s.Holders, s.Transport, s.Detail = held("named", 7), plan.UDP, "REFUSED"
						s.Resolved, s.Kubernetes, s.Direct = bits&1 > 0, bits&2 > 0, bits&4 > 0
						if bits&8 > 0 {
							verified(&s)
						}
						yield(s)
					}
				}
			}
		}
	}
}

// TestAdvicePromisesNothing: an address in a step is the reader's own or was
// found clear, and the steps keep the voice.
func TestAdvicePromisesNothing(t *testing.T) {
	address := regexp.MustCompile(`[0-9a-fA-F]*[.:][0-9a-fA-F.:]*[0-9a-fA-F]`)
	known := func(s scene, a netip.Addr) bool {
		return a == s.Upstream.Addr.Addr() || a.String() == "0.0.0.0" || // where it listens
			slices.ContainsFunc(s.Holders, func(h Holder) bool { return h.Addr.Addr() == a }) ||
			slices.ContainsFunc(s.Clean, func(c netip.AddrPort) bool { return c.Addr() == a })
	}
	seen := map[string]bool{} // most scenes say much the same
	scenes(func(s scene) {
		got := advice(s)
		key := fmt.Sprint(s.Upstream, s.Clean, got)
		if seen[key] {
			return
		}
		seen[key] = true
		if len(got) < 2 {
			t.Fatalf("%+v: %d entries, want a meaning and steps", s, len(got))
		}
		for i, line := range got {
			for _, word := range address.FindAllString(line, -1) {
				a, err := netip.ParseAddr(word)
				if ap, perr := netip.ParseAddrPort(word); perr == nil {
					a, err = ap.Addr(), nil
				}
				if err == nil && !known(s, a) {
					t.Fatalf("%s: %q names %s, which nobody verified", s.Code, line, a)
				}
			}
			bad := ""
			switch {
			case strings.ContainsAny(line, "\n\t") || strings.Contains(line, "  ") || strings.Contains(line, "%!"):
				bad = "is not one clean line"
			case i == 0 && !strings.HasSuffix(line, "."):
				bad = "is a meaning without whole sentences"
			case i > 0 && (strings.HasSuffix(line, ".") || line[0] >= 'A' && line[0] <= 'Z' || len(line) > 160):
				bad = "is not a step in lower case without a final period, in 160 characters"
			case strings.Count(line, "`")%2 != 0:
				bad = "leaves a quotation open"
			case slices.Contains(got[:i], line):
				bad = "is said twice"
			}
			if bad != "" {
				t.Fatalf("%s: %q %s", s.Code, line, bad)
			}
		}
	})
}

func TestAdviceUnknownCode(t *testing.T) {
	if got := advice(scene{Code: "DL999"}); got != nil {
		t.Errorf("got %q, want none", got)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"dns.example": "dns.example", "fe80::1%eth0": "fe80::1%eth0", "": "''",
		"a b": "'a b'", "$(x)": "'$(x)'", "it's": `'it'\''s'`, "a;b": "'a;b'", "a\nb": "'a\nb'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestHolderString(t *testing.T) {
	for _, h := range held("named", 7)[:1] {
		if got, want := h.String(), "127.0.0.53:53 udp by named (pid 7)"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got, want := fmt.Sprint(held("", 0)[1]), "127.0.0.53:53 tcp"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
