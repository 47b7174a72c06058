package engine

import (
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/ike"
)

// Reauthentication makes a new IKE SA before it breaks the old one (RFC 7296,
// section 2.8.3), and loses nothing on the way:
//
//   - the initiator asks for the addresses that it has;
//   - it sends on the new Child SAs at once, since the responder has them, and
//     receives on the old ones as long as the responder may send on them;
//   - the responder sends on the new ones when it has seen that the initiator
//     has them, or when the old ones are gone.

// drainTime is how long an IKE SA stays that another took the place of: what is
// on the way on it arrives.
const drainTime = 2 * time.Second

// A drain is a session that ends when what is on the way has arrived.
type drain struct {
	until   time.Time
	session *session
}

// retireSession ends a session that another has taken the place of.
func (e *Engine) retireSession(s *session) {
	now := time.Now()
	s.sa.StopRenewing(now)
	e.drains = append(e.drains, drain{now.Add(drainTime), s})
}

// endDrains ends the sessions whose time is over.
func (e *Engine) endDrains(now time.Time) {
	e.drains = slices.DeleteFunc(e.drains, func(d drain) bool {
		if d.until.After(now) {
			return false
		}
		if e.sas[d.session.sa] == d.session {
			e.perform(d.session.sa.Retire(now))
		}
		return true
	})
}

// askForSame asks the gateway for the addresses that the tunnel has: what the
// applications have opened lives on with them.
func askForSame(cfg *ike.Config, have []netip.Addr) {
	for i, want := range cfg.WantAddresses {
		j := slices.IndexFunc(have, func(a netip.Addr) bool { return a.BitLen() == want.BitLen() })
		if j >= 0 && want.IsUnspecified() && !slices.Contains(cfg.WantAddresses, have[j]) {
			cfg.WantAddresses[i] = have[j]
		}
	}
}

// follows returns the Child SA that a responder's new one of the same peer
// follows, for the same traffic; nil when there is none.
func (e *Engine) follows(s *session, x ike.InstallChild) *childSA {
	if !s.conn.responder() || x.Replaces != 0 || s.est == nil {
		return nil
	}
	for _, o := range e.peers[s.peerKey()] {
		if o == s || o.conn != s.conn || o.est.PeerAuth != s.est.PeerAuth {
			continue
		}
		for _, k := range o.kids {
			if !k.retired && slices.Equal(k.sa.Local, x.Child.Local) && slices.Equal(k.sa.Remote, x.Child.Remote) {
				return k
			}
		}
	}
	return nil
}

// superseded reports whether a later IKE SA of the same peer sends for the group
// already: then none of the earlier one does any more, rekeyed or not.
func (e *Engine) superseded(s *session, group uint32) bool {
	for _, k := range e.kids.byGroup[group] {
		if k.session != s && k.session.since.After(s.since) && !k.retired && !k.waits {
			return true
		}
	}
	return false
}

// supersede ends the sending on the Child SAs of earlier IKE SAs now that k sends for
// their group: those for resources that k is not for would else go on, and their path
// may be dead.
func (e *Engine) supersede(k *childSA) {
	for _, o := range e.kids.byGroup[k.group] {
		if o.session == k.session || o.retired || o.waits || o.rests || !k.session.since.After(o.session.since) {
			continue
		}
		o.rests = true
		if err := e.net.dp.Rest(o.sa.InSPI); err != nil {
			e.logf(api.LogDebug, "esp", o.session.conn.name, "rest %08x: %v", o.sa.InSPI, err)
		}
	}
}

// relieve lets a Child SA that waits send, when nobody of its group does; or one that
// rests, when none waits either: the later IKE SA was not to stay, as one whose
// initiator had given it up when our last answer came.
func (e *Engine) relieve(group uint32) {
	var next *childSA
	for _, k := range e.kids.byGroup[group] {
		switch {
		case k.retired:
		case !k.waits && !k.rests:
			return
		case next == nil || next.rests && !k.rests || next.rests == k.rests && next.since.Before(k.since):
			next = k
		}
	}
	if next != nil {
		next.waits = false
		e.activateChild(next.sa.InSPI)
		e.logf(api.LogDebug, "esp", next.session.conn.name, "sending on %08x", next.sa.OutSPI)
	}
}
