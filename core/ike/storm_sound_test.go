package ike

// sound lets either end ask with a packet of some size. On the way of the storm
// those above 1400 bytes are swallowed.
func (s *weather) sound() {
	if !s.mobile && !s.harsh {
		return
	}
	p := []*peer{s.a, s.b}[s.rng.IntN(2)]
	for _, sa := range p.e.SAs() {
		if !sa.Soundable() || len(sa.queue) > 4 {
			continue
		}
		fx, _ := sa.Sound(576+s.rng.IntN(1000), s.rng.IntN(3), nil, p.clock())
		kept := fx[:0]
		for _, x := range fx {
			if k, ok := x.(Send); !ok || k.Size != NeverCut || len(k.Data) <= 1400-32 {
				kept = append(kept, x)
			}
		}
		p.do(kept)
	}
}
