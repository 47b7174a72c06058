package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/pool"
	"sallyport/core/profile"
	"sallyport/core/transform"
)

// listen lets every responder connection wait for peers, as at start.
func (e *Engine) listen() {
	for _, c := range e.sortedConns() {
		if c.responder() && !c.listening && !e.stopping {
			e.startListening(c)
		}
	}
}

// startListening opens what a gateway needs and accepts the connection's peers.
func (e *Engine) startListening(c *conn) {
	err := func() error {
		leases, err := e.pools.of(c.profile)
		if err != nil {
			return err
		}
		cfg, err := e.ikeConfig(c.profile, leases)
		if err != nil {
			return err
		}
		if cfg.Peer.EAP != nil {
			cfg.Peer.EAP.PoolOf = e.poolOf(c.profile)
		}
		c.secure(cfg)
		e.bring(c, cfg)
		if err := e.openNetwork(true); err != nil {
			return err
		}
		if !e.net.wellKnown {
			return fmt.Errorf("open UDP ports 500 and 4500: %w", host.ErrPortInUse)
		}
		if err := e.listenTCP(c.profile.TCP()); err != nil {
			return err
		}
		c.cfg = cfg
		return nil
	}()
	c.since = time.Now()
	e.changed(c)
	if err != nil {
		c.problem = e.explain(c, err)
		e.logf(api.LogError, "service", c.name, "%s", c.problem.Error())
		e.settle()
		return
	}
	c.listening, c.problem, c.carried = true, nil, api.Counters{}
	e.refreshStaples(time.Now())
	e.tellAddresses(c.since)
	c.policies, c.lending = make(map[uint32]protects), newLending(c)
	e.logf(api.LogInfo, "service", c.name, "waiting for peers")
	c.holds = true
	c.awaits = e.wishHost()
}

func (e *Engine) stopListening(c *conn) {
	c.listening, c.holds, c.since = false, false, time.Now()
	for _, s := range e.sessions() {
		if s.conn == c {
			e.closeSession(s)
		}
	}
	if e.ep != nil { // it may have failed to open
		e.perform(e.ep.Forget(c.cfg, time.Now()))
	}
	wipe(c.cfg)
	c.awaits = e.wishHost()
	e.changed(c)
	e.logf(api.LogInfo, "service", c.name, "no longer waiting for peers")
}

// A resolver answers the IKE engine's questions about peers that come to us,
// on the loop.
type resolver struct{ e *Engine }

// Terms offers what any listening connection would accept: the peer has not
// said whom it wants to speak to.
func (r resolver) Terms(ike.Path) ike.Terms {
	var t ike.Terms
	for _, c := range r.e.sortedConns() {
		if !c.listening {
			continue
		}
		for _, p := range c.cfg.Proposals {
			if !offered(t.Proposals, p) {
				t.Proposals = append(t.Proposals, p)
			}
		}
		if v := c.cfg.Peer.Verifier; v != nil {
			t.Roots = append(t.Roots, v.Roots...)
			t.OCSP = t.OCSP || v.Revocation != pki.RevocationOff
		}
		t.PPK = t.PPK || len(c.cfg.PPKs) > 0
		t.Multiple = t.Multiple || asksTwice(c.cfg)
	}
	return t
}

func offered(list []transform.Proposal, p transform.Proposal) bool {
	for _, o := range list {
		if o.Keywords() == p.Keywords() {
			return true
		}
	}
	return false
}

// Resolve chooses the listening connection that fits a peer's claim best: one
// that names its identities before one that takes any.
func (r resolver) Resolve(claim ike.Claim) *ike.Config {
	var best *ike.Config
	score := -1
	for _, c := range r.e.sortedConns() {
		method := c.profile.Remote.Method
		if !c.listening || (method == profile.MethodPSK) != claim.PSK || (method == profile.MethodEAP) != claim.EAP || !r.e.allowed(c, claim) {
			continue
		}
		s, ok := fits(c.cfg, claim)
		if asksTwice(c.cfg) == claim.Another {
			s += 8 // two connections may differ in that alone
		}
		if ok && s > score {
			best, score = c.cfg, s
		}
	}
	return best
}

// asksTwice reports whether peers prove themselves, and their users after that.
func asksTwice(cfg *ike.Config) bool { return cfg.Peer.EAP != nil && cfg.Peer.EAP.After }

// fits scores how well cfg fits the claim.
func fits(cfg *ike.Config, claim ike.Claim) (score int, ok bool) {
	if !claim.Peer.Matches(cfg.Peer.ID) {
		return 0, false
	}
	if claim.Peer.Equal(cfg.Peer.ID) {
		score += 2
	} else if !cfg.Peer.ID.IsAny() {
		score++
	}
	if claim.Wanted.IsAny() {
		return score, true
	}
	local := cfg.Local.ID
	if local.IsAny() {
		local = auth.FromAddr(claim.Path.Local.Addr())
	}
	if !local.Equal(claim.Wanted) {
		return 0, false
	}
	return score + 4, true
}

// pools are the address pools of all connections, by their range: connections
// that name the same range share it.
type pools map[string]*pool.Pool

// of returns the pools of a connection for the IKE engine, those of a user of
// these groups: the pools for one of them, or else those for everybody; nil
// without any.
func (p pools) of(c *profile.Connection, groups ...string) (ike.Pool, error) {
	mine := slices.DeleteFunc(slices.Clone(c.Pools), func(cp profile.Pool) bool {
		return !slices.ContainsFunc(cp.Groups, func(g string) bool { return slices.Contains(groups, g) })
	})
	if len(mine) == 0 {
		mine = slices.DeleteFunc(slices.Clone(c.Pools), func(cp profile.Pool) bool { return len(cp.Groups) > 0 })
	}
	if len(mine) == 0 {
		return nil, nil
	}
	var out leaser
	for _, cp := range mine {
		shared := p[cp.Addresses]
		if shared == nil {
			var err error
			if shared, err = pool.New(cp.Addresses); err != nil {
				return nil, err
			}
			p[cp.Addresses] = shared
		}
		out.pools = append(out.pools, shared)
		for _, s := range cp.DNS {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("pool %q: dns: %w", cp.Name, err)
			}
			out.dns = append(out.dns, a)
		}
		out.domains = append(out.domains, cp.Domains...)
	}
	for i := range c.Children {
		for _, s := range c.Children[i].LocalTS {
			if net, err := netip.ParsePrefix(s); err == nil && net.Bits() > 0 && !slices.Contains(out.subnets, net.Masked()) {
				out.subnets = append(out.subnets, net.Masked())
			}
		}
	}
	return &out, nil
}

// A leaser hands out the addresses of one connection's pools.
type leaser struct {
	pools   []*pool.Pool
	dns     []netip.Addr
	domains []string
	subnets []netip.Prefix // that a peer is told of (INTERNAL_IP4_SUBNET)
}

// Lease assigns an address of each family that the peer asks for and the
// pools have, with the name servers and networks that it can reach with them.
func (l *leaser) Lease(id auth.Identity, want []netip.Addr) (ike.Lease, error) {
	var out ike.Lease
	var errs []error
	for _, w := range want {
		for _, p := range l.pools {
			if p.Is6() != w.Is6() {
				continue
			}
			a, err := p.Lease(id.String(), w)
			if err == nil {
				out.Addresses = append(out.Addresses, a)
				errs = nil
				break
			}
			errs = append(errs, err)
		}
	}
	if len(out.Addresses) == 0 {
		return ike.Lease{}, errors.Join(append(errs, errors.New("no pool has an address for the peer"))...)
	}
	reaches := func(a netip.Addr) bool {
		return slices.ContainsFunc(out.Addresses, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
	}
	for _, a := range l.dns {
		if reaches(a) {
			out.DNS = append(out.DNS, a)
		}
	}
	if len(out.DNS) > 0 {
		out.Domains = l.domains
	}
	for _, n := range l.subnets {
		if reaches(n.Addr()) {
			out.Subnets = append(out.Subnets, n)
		}
	}
	return out, nil
}

// Release takes the addresses back.
func (l *leaser) Release(_ auth.Identity, lease ike.Lease) {
	for _, a := range lease.Addresses {
		for _, p := range l.pools {
			p.Release(a)
		}
	}
}
