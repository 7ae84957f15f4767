package forwarders

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/dnsloop/dnsloop/spelling"
)

// server is a server line's upstream for one zone.
type server struct {
	zone     string
	standard bool // "#": whoever serves the other names
	Upstream
}

// server reads [/DOMAIN/[DOMAIN/]][ADDR[#PORT]][@SOURCE] (parse_server in
// option.c). Without an address the domains are answered from local data.
func (d *dnsmasq) server(v place) error {
	words := strings.Split(v.text, "/")
	to := words[len(words)-1]
	zones := []string{"."}
	if len(words) > 1 {
		if words[0] != "" || len(words) == 2 {
			return errorf(v.Pos, "server: expected /DOMAIN/ADDRESS, got %q", v.text)
		}
		zones = nil
		for _, w := range words[1 : len(words)-1] {
			switch zone, ok := d.zone(w); {
			case w == "" && to != "":
				d.problem(v.Pos, "%s is asked for names without a dot alone, which no probe has", to)
			case !ok && w != "":
				d.problem(v.Pos, "server: no name is in the domain %q", w)
			case ok:
				zones = append(zones, zone)
			}
		}
	}
	return d.add(v.Pos, zones, to)
}

// zone is the zone that a domain of a server line stands for: with or without a
// dot or an asterisk in front much the same, and # is all names.
func (d *dnsmasq) zone(domain string) (string, bool) {
	if domain == "#" {
		return ".", true
	}
	return zoneOf(strings.TrimLeft(domain, "*."))
}

// add adds the server that a line names for each of its zones.
func (d *dnsmasq) add(at Pos, zones []string, to string) error {
	if to == "" {
		return nil
	}
	s := server{standard: to == "#", Upstream: Upstream{Pos: at, Bare: true}}
	key := strings.Join(zones, " ")
	if d.choices[key] == 0 {
		d.choices[key] = len(d.choices) + 1
	}
	s.Choice = d.choices[key]
	if !s.standard {
		host, _, _ := strings.Cut(to, "@") // how it is asked from here
		s.Text = host
		host, port, ported := strings.Cut(host, "#")
		number := uint16(53)
		if ported {
			var ok bool
			if number, ok = portOf(port); !ok {
				return errorf(at, "expected a port from 1 to 65535 behind #, got %q", port)
			}
		}
		ip, ok := addrOf(host)
		if !ok && !isHost(host) {
			return errorf(at, "expected an address or a host name, got %q", host)
		}
		if !ok {
			s.Host = host
		}
		s.Addr = netip.AddrPortFrom(ip, number)
	}
	for _, s.zone = range zones {
		d.servers = append(d.servers, s)
	}
	return d.limit(at, len(d.servers))
}

// revServer reads PREFIX[,SERVER]: a server line for the zones under which the
// addresses of the prefix have their names.
func (d *dnsmasq) revServer(v place) error {
	text, to, _ := strings.Cut(v.text, ",")
	ip, length, ranged := strings.Cut(strings.TrimSpace(text), "/")
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		return errorf(v.Pos, "rev-server: expected ADDRESS[/LENGTH],SERVER, got %q", v.text)
	}
	bits := addr.BitLen()
	if ranged {
		bits, err = strconv.Atoi(length)
	}
	if err != nil || bits < 1 || bits > addr.BitLen() {
		return errorf(v.Pos, "rev-server: expected a prefix length from 1 to %d, got %q", addr.BitLen(), length)
	}
	return d.add(v.Pos, spelling.Reverse(netip.PrefixFrom(addr, bits)), strings.TrimSpace(to))
}
