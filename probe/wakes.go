package probe

import "container/heap"

// wakes is a heap of checks, the next one to wake first.
type wakes []*check

// set makes a check wake at a time, or never.
func (w *wakes) set(c *check, at instant) {
	c.wake = at
	switch {
	case at == never && c.index >= 0:
		heap.Remove(w, c.index)
	case at == never:
	case c.index < 0:
		heap.Push(w, c)
	default:
		heap.Fix(w, c.index)
	}
}

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake < w[j].wake }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}
func (w *wakes) Push(x any) {
	c := x.(*check)
	c.index = len(*w)
	*w = append(*w, c)
}
func (w *wakes) Pop() any {
	last := len(*w) - 1
	c := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	c.index = -1
	return c
}
