package engine

import "slices"

// A kids finds the installed Child SAs: each by its inbound SPI, and those of one
// group. A gateway has thousands.
type kids struct {
	bySPI   map[uint32]*childSA
	byGroup map[uint32][]*childSA
}

func newKids() kids {
	return kids{make(map[uint32]*childSA), make(map[uint32][]*childSA)}
}

// addKid makes an installed Child SA findable.
func (e *Engine) addKid(k *childSA) {
	spi := k.sa.InSPI
	e.kids.bySPI[spi], k.session.kids[spi] = k, k
	e.kids.byGroup[k.group] = append(e.kids.byGroup[k.group], k)
	c := k.session.conn
	if c.kids == nil {
		c.kids = make(map[*childSA]struct{})
	}
	c.kids[k] = struct{}{}
}

// removeKid forgets one.
func (e *Engine) removeKid(k *childSA) {
	delete(e.kids.bySPI, k.sa.InSPI)
	delete(k.session.kids, k.sa.InSPI)
	delete(k.session.conn.kids, k)
	group := slices.DeleteFunc(e.kids.byGroup[k.group], func(o *childSA) bool { return o == k })
	if len(group) > 0 {
		e.kids.byGroup[k.group] = group
	} else {
		delete(e.kids.byGroup, k.group)
	}
}

// forgetKids forgets all of them.
func (e *Engine) forgetKids() {
	for _, k := range e.kids.bySPI {
		delete(k.session.conn.kids, k)
	}
	e.kids = newKids()
	clear(e.peers)
}

// A peerKey is who a peer of a connection has proved to be.
type peerKey struct{ conn, id string }

func (s *session) peerKey() peerKey { return peerKey{s.conn.name, s.est.PeerID.Key()} }

// knowPeer makes a session findable by its peer.
func (e *Engine) knowPeer(s *session) {
	key := s.peerKey()
	if !slices.Contains(e.peers[key], s) {
		e.peers[key] = append(e.peers[key], s)
	}
}

// forgetSession undoes that.
func (e *Engine) forgetSession(s *session) {
	if s.est == nil {
		return
	}
	key := s.peerKey()
	list := slices.DeleteFunc(e.peers[key], func(o *session) bool { return o == s })
	if len(list) > 0 {
		e.peers[key] = list
	} else {
		delete(e.peers, key)
	}
}
