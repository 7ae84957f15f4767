package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/dnsloop/dnsloop/verdict"
)

// missed is the probability that a loop through one of k forwarders among which
// an upstream chooses anew for each query stays unseen by n answered probes. It
// says nothing of one that settles on a forwarder.
func missed(k, n int) float64 {
	return math.Pow(1-1/float64(k), float64(n))
}

// fewestAnswers is how many probes were answered, over all transports, for the
// upstream and zone that answered fewest and yet is said to be free of returns:
// the weakest of the run's verdicts. It is 0 where nothing was.
func fewestAnswers(checks []verdict.CheckReport) int {
	type pair struct{ upstream, zone string }
	answered := map[pair]int{}
	for _, c := range checks {
		if c.Probed && c.Result.Returned == 0 && (c.Verdict == verdict.Clear || c.Verdict == verdict.Risk) {
			answered[pair{c.Upstream.String(), c.Zone}] += c.Result.Answered
		}
	}
	fewest := 0
	for _, n := range answered {
		if n > 0 && (fewest == 0 || n < fewest) {
			fewest = n
		}
	}
	return fewest
}

// blindSpots says what a run leaves open where a probed upstream answered and
// nothing came back.
func blindSpots(r verdict.Report) []string {
	n := fewestAnswers(r.Checks)
	if n == 0 {
		return []string{}
	}
	spots := []string{
		fmt.Sprintf("an upstream that spreads over 2 forwarders would hide a loop from these probes %s; one that spreads over 3, %s",
			onceIn(missed(2, n)), onceIn(missed(3, n))),
		"not seen from here: a loop through a forwarder that an upstream does not use now, since it gave it up for a while, found another one faster, or keeps it for later; or through a service address that leads to this server only once it is ready",
	}
	if zones := servedLocally(r.Checks); len(zones) > 0 {
		spots = append(spots, fmt.Sprintf("many resolvers answer %s themselves, so what they forward for other zones is not seen there: `--zone .` shows it",
			strings.Join(zones, ", ")))
	}
	return spots
}

// localZones are those that resolvers answer themselves by default: RFC 6303,
// RFC 6761, RFC 7686, RFC 8375 and RFC 9476.
var localZones = []string{
	"localhost.", "test.", "invalid.", "onion.", "alt.", "home.arpa.",
	"10.in-addr.arpa.", "168.192.in-addr.arpa.", "127.in-addr.arpa.", "254.169.in-addr.arpa.",
	"d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.",
	"16.172.in-addr.arpa.", "17.172.in-addr.arpa.", "18.172.in-addr.arpa.", "19.172.in-addr.arpa.",
	"20.172.in-addr.arpa.", "21.172.in-addr.arpa.", "22.172.in-addr.arpa.", "23.172.in-addr.arpa.",
	"24.172.in-addr.arpa.", "25.172.in-addr.arpa.", "26.172.in-addr.arpa.", "27.172.in-addr.arpa.",
	"28.172.in-addr.arpa.", "29.172.in-addr.arpa.", "30.172.in-addr.arpa.", "31.172.in-addr.arpa.",
}

// servedLocally lists the zones without a return that lie in one of localZones,
// unless the root was asked too: what came of it tells more.
func servedLocally(checks []verdict.CheckReport) []string {
	var zones []string
	for _, c := range checks {
		switch {
		case c.Zone == ".":
			return nil
		case c.Probed && c.Result.Returned == 0 && !slices.Contains(zones, c.Zone) && isLocal(c.Zone):
			zones = append(zones, c.Zone)
		}
	}
	return zones
}

func isLocal(zone string) bool {
	return slices.ContainsFunc(localZones, func(z string) bool { return dns.IsSubDomain(z, zone) })
}

// onceIn says a probability as people do.
func onceIn(p float64) string {
	const rare = 1_000_000_000
	runs := math.Round(1 / p)
	if runs >= rare {
		return "less than once in " + grouped(rare) + " runs"
	}
	return fmt.Sprintf("once in %s runs", grouped(int64(runs)))
}
