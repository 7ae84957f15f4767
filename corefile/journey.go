package corefile

import "slices"

// maxSteps bounds the search for the ways round of one file. A step is an edge
// looked at; a hop of a way found counts for stepsOfHop, for it is kept. With
// as many circles as that takes, whether a way closes is still told of each.
const (
	maxSteps   = 1 << 26
	stepsOfHop = 16
)

// edge leads to a stanza.
type edge struct {
	to    int // its number
	doubt *Doubt
}

// arrival is what becomes of a name at a listener.
type arrival struct {
	known     bool
	receivers []int // blocks
	edges     []edge
}

// journey follows one name at a time through a graph, and keeps what it finds of
// it: most of the upstreams of a file lead to the same few stanzas.
type journey struct {
	Graph
	name     string
	arrivals []arrival // by door
	entered  []int     // the doors whose arrivals are known
	parts    [2]parts  // by ways without a doubt, and by all
	seen     []int     // by stanza: the search that was there last
	searches int
	legs     []leg // of the last search
	steps    int   // of searches, as maxSteps counts them
	looks    int   // at edges and for arrivals, outside of searches
}

func newJourney(g Graph) *journey {
	j := &journey{Graph: g, arrivals: make([]arrival, len(g.listeners)), seen: make([]int, len(g.stanzas))}
	for i := range j.parts {
		j.parts[i] = parts{journey: j, doubtful: i == 1, order: make([]int, len(g.stanzas)), part: make([]int, len(g.stanzas))}
	}
	return j
}

// enter turns to the names of another zone.
func (j *journey) enter(zone string) {
	j.name = sample(zone)
	for _, d := range j.entered {
		j.arrivals[d] = arrival{}
	}
	j.entered = j.entered[:0]
	for i := range j.parts {
		j.parts[i].reset()
	}
}

// at returns what becomes of the name at a door.
func (j *journey) at(door int) arrival {
	if a := &j.arrivals[door]; !a.known {
		*a = j.arrive(j.listeners[door])
		j.entered = append(j.entered, door)
	}
	return j.arrivals[door]
}

// arrive returns what becomes of the name at a listener.
func (j *journey) arrive(l Listener) arrival {
	j.looks++
	a := arrival{known: true, receivers: j.file.route(l, j.name)}
	var choice *Doubt // which block gets the name
	for _, b := range a.receivers {
		if view := j.file.Blocks[b].view; view != nil && choice == nil {
			choice = &Doubt{*view, "view"}
		}
		steps, _ := j.file.Blocks[b].steps(j.name)
		for _, s := range steps {
			e := edge{j.first[b] + s.forward, s.doubt}
			if choice != nil {
				e.doubt = choice
			}
			a.edges = append(a.edges, e)
		}
	}
	return a
}

// judge finds the fate of the name at a path's upstream.
func (j *journey) judge(p *Path) {
	p.Fate, p.Hops = Outside, []Hop{p.Hop}
	to := j.to(p.Hop)
	door := j.door(p.Hop)
	switch {
	case !to.Addr.Addr().IsValid() || !j.file.Blocks[p.Block].Forwards[p.Forward].routed():
		p.Fate = Unasked
		return
	case door == nowhere:
		if to.Reason != "" {
			p.Fate = Unasked
		}
		return
	}
	p.Receivers = slices.Clone(j.at(door).receivers)
	// A way without doubt is looked for first.
	if !j.parts[0].close(p) && (!j.parts[0].left || !j.parts[1].close(p)) {
		p.Fate = Chain
	}
}

// leg is a stanza on the ways of a search, the start being the first.
type leg struct {
	stanza int
	by     int // the leg before
	to     int // the upstream of that leg's stanza which leads here
	doubt  *Doubt
}

// search finds the shortest way from a stanza, through its upstream to or
// through any where to is negative, to the first stanza that is the goal.
// Where doubtful is false only ways without a doubt count; stanzas that are
// not within do not either.
func (j *journey) search(start, to int, doubtful bool, within, goal func(stanza int) bool) ([]Hop, *Doubt, bool) {
	j.searches++
	j.legs = append(j.legs[:0], leg{stanza: start})
	for i := 0; i < len(j.legs); i++ {
		for k, door := range j.doors[j.legs[i].stanza] {
			if door == nowhere || i == 0 && to >= 0 && k != to {
				continue
			}
			for _, e := range j.at(door).edges {
				j.steps++
				doubt := j.legs[i].doubt
				if doubt == nil {
					doubt = e.doubt
				}
				switch {
				case doubt != nil && !doubtful || !within(e.to):
				case goal(e.to):
					return j.hops(i, k), doubt, true
				case j.seen[e.to] != j.searches:
					j.seen[e.to] = j.searches
					j.legs = append(j.legs, leg{e.to, i, k, doubt})
				}
			}
		}
	}
	return nil, nil, false
}

// hops lists the upstreams from the first leg to the last and its upstream.
func (j *journey) hops(last, to int) []Hop {
	n := 1
	for i := last; i > 0; i = j.legs[i].by {
		n++
	}
	j.steps += stepsOfHop * n
	hops := make([]Hop, n)
	for i := last; ; i = j.legs[i].by {
		n--
		hops[n] = j.hop(j.legs[i].stanza, to)
		if i == 0 {
			return hops
		}
		to = j.legs[i].to
	}
}
