package plan

import (
	"strings"

	"github.com/dnsloop/dnsloop/corefile"
)

// OptOutZones are top-level zones that are signed with NSEC3 and Opt-Out. A
// denial there says nothing of the unsigned delegations that it spans (RFC 5155
// section 6), so no resolver can answer another name from it (RFC 8198), as
// it may from the root's NSEC records.
var OptOutZones = []string{"com.", "net.", "org."}

// optOut is the zone that some of the root's probes go under: the first of
// OptOutZones whose names all servers treat as they do the rest of the root's.
// It is empty where there is none.
func optOut(servers []Server) string {
	for _, zone := range OptOutZones {
		if !apart(servers, zone) {
			return zone
		}
	}
	return ""
}

// apart reports whether a server has its own way with names of a zone: it
// forwards that zone, or one below it, by itself, or a Corefile tells such
// names from others.
func apart(servers []Server, zone string) bool {
	seen := map[*corefile.File]bool{}
	for _, s := range servers {
		for _, z := range s.Zones {
			if z == zone || strings.HasSuffix(z, "."+zone) {
				return true
			}
		}
		if s.Route == nil || seen[s.Route.File] {
			continue
		}
		seen[s.Route.File] = true
		if !s.Route.File.Alike(".", zone) {
			return true
		}
	}
	return false
}
