package corefile

// Relocate moves every position of the file by move: a Corefile that stands
// inside another file, a Kubernetes manifest, has lines of its own.
func (f *File) Relocate(move func(Pos) Pos) {
	for i := range f.Problems {
		f.Problems[i].Pos = move(f.Problems[i].Pos)
	}
	for i := range f.Blocks {
		b := &f.Blocks[i]
		b.Pos = move(b.Pos)
		for j := range b.takers {
			b.takers[j].Pos = move(b.takers[j].Pos)
		}
		if b.view != nil {
			*b.view = move(*b.view)
		}
		for j := range b.Forwards {
			s := &b.Forwards[j]
			s.Pos = move(s.Pos)
			for k := range s.To {
				s.To[k].Pos = move(s.To[k].Pos)
				s.To[k].Source = move(s.To[k].Source)
				for l := range s.To[k].Again {
					n := &s.To[k].Again[l]
					n.Pos, n.Source = move(n.Pos), move(n.Source)
				}
			}
		}
	}
}
