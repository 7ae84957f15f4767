package report

import (
	"fmt"
	"math"

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

// blindSpots says what n answered probes without a return leave open.
func blindSpots(n int) []string {
	return []string{
		fmt.Sprintf("an upstream that spreads over 2 forwarders would hide a loop from these probes %s; one that spreads over 3, %s",
			onceIn(missed(2, n)), onceIn(missed(3, n))),
		"not seen from here: a loop through a forwarder that an upstream does not use now, since it gave it up for a while, found another one faster, or keeps it for later",
	}
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
