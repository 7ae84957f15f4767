package plan

import (
	"cmp"

	"github.com/dnsloop/dnsloop/forwarders"
)

// Conf is how a configuration of dnsmasq, unbound or BIND names an upstream.
type Conf struct {
	Format forwarders.Format
	File   string // the configuration, whichever file of it names the upstream
	Word   string // as written there; empty where it names a resolv.conf
	Choice int    // the same for all that the server chooses among
	Bare   bool   // an address alone in its place is asked at port 53
}

// FromForwarders lists the servers that a configuration makes: one for each zone
// that it forwards. The name is that of the configuration's file.
func FromForwarders(name string, c forwarders.Config, pod bool) []Server {
	var ls []Listener
	for _, l := range c.Listeners {
		ls = append(ls, Listener{Addr: l.Addr, Secure: Transport(l.Secure), Cert: l.Cert, Key: l.Key})
	}
	servers := []Server{{Listeners: ls, Pod: pod}} // what comes home there comes home whatever is forwarded
	var views *forwarders.Config
	if len(c.Views) > 0 {
		views = &c
	}
	for _, f := range c.Forwards {
		s := Server{Listeners: ls, Zones: []string{f.Zone}, Pod: pod, Views: views}
		for _, to := range f.To {
			u := Upstream{
				Addr: to.Addr, Transport: Transport(to.Over), Name: cmp.Or(to.Name, to.Host), CA: to.CA,
				Source: Source(to.Pos), Via: Source(to.Via),
				Conf: Conf{Format: c.Format, File: name},
			}
			if u.Via.File == "" {
				u.Conf.Word, u.Conf.Choice, u.Conf.Bare = to.Text, to.Choice, to.Bare
			}
			s.Upstreams = append(s.Upstreams, u)
		}
		servers = append(servers, s)
	}
	return servers
}
