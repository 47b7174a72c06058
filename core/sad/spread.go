package sad

import "slices"

// A child may have several pairs to send on at once, each for a resource of its
// own (RFC 9611): the flows are spread over them. The pair for no resource carries
// what is left, when there is no other.
//
// Each flow has a share, and each share a pair: a flow stays with its pair as
// long as that lives, but for the shares that a further pair takes over.

// shares is how many shares the flows are cut into.
const shares = 64

// A spread says which pair each share is sent on.
type spread [shares]*SA

// of returns the pair of a flow with that hash. Its low bits, which are the best,
// find the flow among others too: those here depend on all of them.
func (s *spread) of(hash uint64) *SA { return s[hash*0xc2b2ae3d27d4eb4f>>58] }

// A line is one resource of a group, across rekeys.
type line struct {
	resource int
	active   *SA
}

// setLocked makes sa the pair to send on for its resource; the caller holds the
// Table's lock.
func (g *Group) setLocked(sa *SA) {
	if sa.Resource == 0 {
		g.fallback = sa
		g.shareLocked()
		return
	}
	i, found := slices.BinarySearchFunc(g.lines, sa.Resource, func(l line, r int) int { return l.resource - r })
	if !found {
		g.lines = slices.Insert(g.lines, i, line{resource: sa.Resource})
	}
	g.lines[i].active = sa
	g.shareLocked()
}

// unsetLocked undoes that, unless another took its place.
func (g *Group) unsetLocked(sa *SA) {
	if g.fallback == sa {
		g.fallback = nil
	}
	g.lines = slices.DeleteFunc(g.lines, func(l line) bool { return l.active == sa })
	g.shareLocked()
}

// shareLocked publishes what is sent on which pair. Of the shares only those
// change their line that have to.
func (g *Group) shareLocked() {
	if len(g.lines) < 2 {
		only := g.fallback
		if len(g.lines) == 1 {
			only = g.lines[0].active
		}
		g.only.Store(only)
		g.spread.Store(nil)
		return
	}
	next := new(spread)
	counts := make(map[int]int, len(g.lines)) // shares of each line
	most := (shares + len(g.lines) - 1) / len(g.lines)
	pair := make(map[int]*SA, len(g.lines))
	for _, l := range g.lines {
		pair[l.resource] = l.active
	}
	var before spread
	if s := g.spread.Load(); s != nil {
		before = *s
	} else if sa := g.only.Load(); sa != nil {
		for i := range before {
			before[i] = sa
		}
	}
	for i, sa := range before {
		if sa == nil || pair[sa.Resource] == nil || counts[sa.Resource] == most {
			continue
		}
		next[i] = pair[sa.Resource]
		counts[sa.Resource]++
	}
	for i := range next {
		if next[i] == nil {
			l := slices.MinFunc(g.lines, func(a, b line) int { return counts[a.resource] - counts[b.resource] })
			next[i] = l.active
			counts[l.resource]++
		}
	}
	g.only.Store(g.lines[0].active)
	g.spread.Store(next)
}
