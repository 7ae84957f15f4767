package corefile

// parts are the strongly connected components of a graph for one name: the
// stanzas of a part lead to each other, and no circle leaves its part. They are
// found for the stanzas that are asked for, and what these lead to (Tarjan,
// Depth-first search and linear graph algorithms, 1972).
type parts struct {
	*journey
	doubtful bool     // edges with a doubt count
	order    []int    // by stanza: when it was come to, from 1 on; 0: not yet
	part     []int    // by stanza: the part, from 1 on; 0: not found yet
	visited  []int    // stanzas, in order
	stack    []int    // stanzas whose part is still open
	doubts   []*Doubt // by part, from 0 on: one on an edge within it, if any
	left     bool     // an edge was left out for its doubt
}

func (c *parts) reset() {
	for _, v := range c.visited {
		c.order[v], c.part[v] = 0, 0
	}
	c.visited, c.doubts, c.left = c.visited[:0], c.doubts[:0], false
}

// edges calls f for each edge from a stanza.
func (c *parts) edges(v int, f func(edge)) {
	for _, door := range c.doors[v] {
		if door == nowhere {
			continue
		}
		for _, e := range c.at(door).edges {
			c.looks++
			if e.doubt == nil || c.doubtful {
				f(e)
			} else {
				c.left = true
			}
		}
	}
}

// visit finds the parts of a stanza and of what it leads to. It returns the
// earliest stanza of an open part, by order, that they lead back to.
func (c *parts) visit(v int) int {
	c.visited = append(c.visited, v)
	at := len(c.stack)
	c.stack = append(c.stack, v)
	c.order[v] = len(c.visited)
	low := c.order[v]
	c.edges(v, func(e edge) {
		switch {
		case c.order[e.to] == 0:
			low = min(low, c.visit(e.to))
		case c.part[e.to] == 0:
			low = min(low, c.order[e.to])
		}
	})
	if low < c.order[v] {
		return low
	}
	members := c.stack[at:]
	c.stack = c.stack[:at]
	for _, m := range members {
		c.part[m] = len(c.doubts) + 1
	}
	c.doubts = append(c.doubts, c.doubtWithin(members))
	return low
}

// doubtWithin returns a doubt on an edge among the members of a part.
func (c *parts) doubtWithin(members []int) *Doubt {
	if !c.doubtful {
		return nil
	}
	var doubt *Doubt
	for _, m := range members {
		c.edges(m, func(e edge) {
			if doubt == nil && c.part[e.to] == c.part[m] {
				doubt = e.doubt
			}
		})
	}
	return doubt
}

// close tells whether the name comes back from a path's upstream to its stanza,
// and completes the path if so.
func (c *parts) close(p *Path) bool {
	home := c.id(p.Hop)
	if c.order[home] == 0 {
		c.visit(home)
	}
	within := func(stanza int) bool { return c.part[stanza] == c.part[home] }
	back, self := false, false
	for _, e := range c.at(c.door(p.Hop)).edges {
		if e.doubt == nil || c.doubtful {
			back = back || within(e.to)
			self = self || e.to == home
		}
	}
	if !back {
		return false
	}
	p.Fate = Circle
	if self {
		p.Fate = Self
	}
	if c.steps >= maxSteps {
		p.Doubt = c.doubts[c.part[home]-1]
		return true
	}
	p.Hops, p.Doubt, _ = c.search(home, p.To, c.doubtful, within, func(stanza int) bool { return stanza == home })
	return true
}
