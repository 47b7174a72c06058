package engine

import (
	"sallyport/core/pool"
	"sallyport/core/ts"
)

// A lending is what the peers of a gateway have in common that have an address of
// its pools. The routes lead all of the pools into the device, and so does the
// firewall; only the data path has to know each of them. So a peer comes and goes
// at a cost that does not depend on how many there are.
type lending struct {
	local, remote ts.List             // what the selectors of such a peer lie within
	groups        map[uint32]struct{} // of those that are there
}

// newLending returns what the peers of a listening connection can have in common;
// nil when it has no pools, or belongs to a rule, which the firewall is to name.
func newLending(c *conn) *lending {
	if c.rule != "" || len(c.profile.Pools) == 0 {
		return nil
	}
	l := &lending{groups: make(map[uint32]struct{})}
	for i := range c.cfg.Children {
		l.local = append(l.local, c.cfg.Children[i].Local...)
	}
	for _, p := range c.profile.Pools {
		if first, last, err := pool.ParseRange(p.Addresses); err == nil {
			l.remote = append(l.remote, ts.Selector{From: first, To: last, ToPort: 65535})
		}
	}
	return l
}

// lends reports whether p is traffic with borrowed addresses alone.
func (l *lending) lends(p protects) bool {
	if l == nil || !l.local.Covers(p.local) || !l.remote.Covers(p.remote) {
		return false
	}
	for _, s := range p.remote {
		if s.From != s.To {
			return false
		}
	}
	return len(p.remote) > 0
}

// lent returns what the peers that are there have in common, or nothing.
func (l *lending) lent() protects {
	if l == nil || len(l.groups) == 0 {
		return protects{}
	}
	return protects{l.local, l.remote}
}

// protect puts in force that the SAs of a group protect p. It reports whether the
// host has to follow.
func (e *Engine) protect(c *conn, group uint32, p protects) bool {
	if c.lending.lends(p) && e.net.dp.Protect(group, p.local, p.remote) == nil {
		if _, before := c.policies[group]; before {
			delete(c.policies, group)
			e.setPolicy()
		}
		c.lending.groups[group] = struct{}{}
		return len(c.lending.groups) == 1
	}
	e.takeBack(c, group)
	if c.policies == nil {
		c.policies = make(map[uint32]protects)
	}
	c.policies[group] = p
	e.setPolicy()
	return true
}

// unprotect ends it for the group of a peer. It reports whether the host has to
// follow.
func (e *Engine) unprotect(c *conn, group uint32) bool {
	if e.takeBack(c, group) {
		return len(c.lending.groups) == 0
	}
	delete(c.policies, group)
	e.setPolicy()
	return true
}

// takeBack reports whether the group was one of a borrowed address, which it no
// longer is.
func (e *Engine) takeBack(c *conn, group uint32) bool {
	if c.lending == nil {
		return false
	}
	_, was := c.lending.groups[group]
	if was {
		delete(c.lending.groups, group)
		e.net.dp.Unprotect(group)
	}
	return was
}
