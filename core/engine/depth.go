package engine

import (
	"time"

	"sallyport/core/api"
	"sallyport/core/datapath"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/pmtu"
	"sallyport/core/sad"
)

// A depth is how large packets may be on a session's path.
type depth struct {
	search pmtu.Search
	path   ike.Path // that is searched
	mtu    int      // that the Child SAs were given
	sure   int      // and what certainly passes
	firm   bool
	// settled is the path's MTU when the search last came to its end; 0: it has not.
	settled int
	// What the Child SAs had carried at the last look.
	out, in uint64
}

// sounder returns what a session's path is looked into with; nil: it is not.
func (e *Engine) sounder(s *session) host.Sounder {
	p := s.sa.Path()
	if e.net == nil || p.TCP {
		return nil
	}
	i := e.net.socket(p.Remote.Addr(), true)
	if i < 0 {
		return nil
	}
	h, _ := e.net.sockets[i].Conn.(host.Sounder)
	return h
}

// fathom begins to look how large packets may be on the session's path, unless
// that is known or under way.
func (e *Engine) fathom(s *session) {
	p := s.sa.Path()
	if s.depth.path == p {
		return
	}
	h := e.sounder(s)
	s.depth = depth{path: p, out: s.depth.out, in: s.depth.in}
	if h != nil {
		if link := h.LinkMTU(p.Local.Addr()); link > 0 {
			s.depth.search.Start(sad.Path{Remote: p.Remote}.V6(), link, s.sa.Doubted())
		}
	}
	e.deepen(s)
	e.soundNext(s, time.Now(), false, true)
}

// fathomUsed is fathom, but for the clients of a gateway that have sent nothing yet:
// thousands may be connected, and those that are idle are not worth the packets.
func (e *Engine) fathomUsed(s *session) {
	if !s.conn.responder() || s.spoken {
		e.fathom(s)
	}
}

// spoke notes that a session's peer has sent something on a Child SA.
func (e *Engine) spoke(s *session) {
	if !s.spoken {
		s.spoken = true
		e.fathom(s)
	}
}

// soundNext sends the next packet of the search, if it is time for one.
func (e *Engine) soundNext(s *session, now time.Time, used, heard bool) {
	if s.sa.Soundable() && s.sa.Path() == s.depth.path {
		if p, ok := s.depth.search.Next(now, used, heard); ok {
			e.sound(s, p, now)
		}
	}
}

func (e *Engine) sound(s *session, p pmtu.Probe, now time.Time) {
	effects, _ := s.sa.Sound(p.Size, p.Try, p, now)
	e.perform(effects)
}

// sounded follows what became of a packet of the search.
func (e *Engine) sounded(x ike.Sounded) {
	s := e.sas[x.SA]
	p, ok := x.Tag.(pmtu.Probe)
	if s == nil || s.sa != x.SA || x.Path != s.depth.path || !ok {
		return
	}
	now := time.Now()
	if q, again := s.depth.search.Result(p, x.Sent, x.Fits, now); again {
		e.sound(s, q, now)
		return
	}
	e.deepen(s)
	e.soundNext(s, now, false, true)
	if s.depth.search.Settled() && s.depth.settled != s.depth.mtu {
		s.depth.settled = s.depth.mtu
		e.logf(api.LogInfo, "esp", s.conn.name, "the path to %v takes packets of %d bytes", x.Path.Remote.Addr(), s.depth.mtu)
		if !s.conn.responder() || s.depth.mtu > pmtu.Usual {
			if e.deviceMTU() != e.shownMTU {
				e.wishHost()
			}
		}
	}
}

// claimed follows what the system says of a path, by a pair of SAs.
func (e *Engine) claimed(inSPI uint32, mtu int) {
	k := e.kids.bySPI[inSPI]
	if k == nil {
		return
	}
	s := k.session
	e.logf(api.LogInfo, "esp", s.conn.name, "the path is said to take packets of %d bytes", mtu)
	e.fathom(s)
	if s.depth.search.Claim(mtu) {
		e.deepen(s)
		e.soundNext(s, time.Now(), true, true)
	}
}

// deepen gives the Child SAs and IKE what is known of the path now.
func (e *Engine) deepen(s *session) {
	d := &s.depth
	mtu, sure, firm := d.search.MTU(), d.search.Sure(), d.search.Firm()
	if mtu == d.mtu && sure == d.sure && firm == d.firm {
		return
	}
	d.mtu, d.sure, d.firm = mtu, sure, firm
	if d.search.How() != pmtu.Assumed {
		s.sa.SetMTU(mtu)
	}
	for _, k := range s.kids {
		if err := e.net.dp.SetPath(k.sa.InSPI, e.pathFor(s, k.sa.Path)); err != nil {
			e.logf(api.LogWarn, "esp", s.conn.name, "path MTU %d: %v", mtu, err)
		}
	}
	e.peerChanged(s.conn)
}

// pathFor is where a Child SA sends, with what is known of how large packets may be.
func (e *Engine) pathFor(s *session, p ike.Path) sad.Path {
	out := e.sadPath(p)
	if s.depth.path == p {
		out.MTU, out.Sure, out.Firm = s.depth.mtu, s.depth.sure, s.depth.firm
	}
	return out
}

// watchDepths looks, as often as traffic is polled, whether what is known of the
// paths in use is still true.
func (e *Engine) watchDepths(now time.Time) {
	for _, s := range e.sas {
		if len(s.kids) == 0 {
			continue
		}
		var out, in uint64
		for _, k := range s.kids {
			out, in = out+k.seen.OutPackets, in+k.seen.InPackets
		}
		d := &s.depth
		used, heard := out != d.out, in != d.in
		d.out, d.in = out, in
		e.soundNext(s, now, used, heard)
	}
}

// deviceMTU is what the TUN device is to carry. Packets that are too large for one
// of several tunnels are answered with what fits, so the widest counts; up to the
// usual path it is as wide as fits through most links, so that it stays what it is
// from one network to the next.
func (e *Engine) deviceMTU() int {
	widest := 0
	for _, k := range e.kids.bySPI {
		s := k.session
		if k.retired {
			continue
		}
		inner := tunMTU
		if d := &s.depth; d.settled > 0 && (!s.conn.responder() || d.settled > pmtu.Usual) {
			inner = datapath.InnerMTU(d.settled, sad.Path{Remote: d.path.Remote}.V6(), k.sa.Suite)
			if d.settled <= pmtu.Usual {
				inner = min(inner, tunMTU)
			}
		}
		widest = max(widest, inner)
	}
	if widest == 0 {
		return tunMTU
	}
	return max(widest, pmtu.Floor6) // less, and Linux takes IPv6 from the device
}

// shownDepth says how large packets may be, and how that is known.
func shownDepth(d *depth) *api.PathMTU {
	if d.mtu == 0 {
		return nil
	}
	how := api.MTUAssumed
	switch d.search.How() {
	case pmtu.Told:
		how = api.MTUReported
	case pmtu.Proved:
		how = api.MTUProved
	}
	return &api.PathMTU{Bytes: d.mtu, Known: how}
}
