package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/datapath"
	"sallyport/core/ike"
	"sallyport/core/ippkt"
	"sallyport/core/policy"
	"sallyport/core/profile"
	"sallyport/core/ts"
	"sallyport/core/tunnel"
)

// Rules without a stored connection make connections of their own: host to
// host with each peer that traffic goes to, to a gateway that a rule names, and
// listening ones for the peers that a rule lets in. They live as long as the
// rule is in force, or the peer is spoken to.

// defaultResponse stands for the rule of peers that no rule lets in.
const defaultResponse = "default response"

// maxPeers bounds the host-to-host connections that traffic starts. The one
// that was used longest ago makes way.
const maxPeers = 256

// gatewayName names the connection of an entry whose tunnel ends at an address.
func gatewayName(x *policy.Entry) string { return x.Rule + " @ " + x.Gateway.String() }

func peerName(rule string, peer netip.Addr) string { return rule + " @ " + peer.String() }

// followPolicy applies the assigned policy: which connections it wants, whom it
// lets in, what it traps.
func (e *Engine) followPolicy() {
	wanted := map[string]bool{}
	asked := map[*conn]*policy.Negotiation{} // by the strictest of the rules
	ask := func(c *conn, n *policy.Negotiation) {
		if wanted[c.name] = true; asked[c] == nil || stricter(n, asked[c]) {
			asked[c] = n
		}
	}
	if e.guard.assigned != nil {
		for i := range e.guard.compiled.Entries {
			x := &e.guard.compiled.Entries[i]
			if x.Action != policy.Negotiate {
				continue
			}
			switch x.Endpoint {
			case policy.EndpointConnection:
				if c := e.conns[x.Connection]; c != nil && !c.responder() {
					ask(c, x.Negotiation)
				}
			case policy.EndpointGateway:
				if c := e.conns[gatewayName(x)]; c != nil && wanted[c.name] {
					ask(c, x.Negotiation)
				} else {
					ask(e.gatewayConn(x), x.Negotiation)
				}
			}
		}
		for i, p := range e.guard.compiled.Peers {
			if p.Connection == "" {
				for j := range p.Auth {
					if !p.Auth[j].Answers() {
						continue
					}
					c := e.listenerConn(i, &p, &p.Auth[j])
					wanted[c.name] = true
				}
			}
		}
	}
	for _, c := range e.sortedConns() {
		switch n := asked[c]; {
		case n != nil:
			c.negotiation = n
			e.want(c, modeOf(n))
		case wanted[c.name] || c.rule == "" && !c.byPolicy:
		case c.rule == "":
			c.byPolicy, c.negotiation = false, nil
			e.disconnect(c)
		default:
			e.forgetPeer(c)
		}
	}
	e.watchTraffic()
	e.listen()
	e.setPolicy()
	e.wishHost()
}

// watchTraffic opens the device that traffic to negotiate for leads into.
func (e *Engine) watchTraffic() {
	if !e.trapping() {
		return
	}
	if err := e.openNetwork(true); err != nil {
		e.logf(api.LogError, "policy", "", "cannot watch for traffic to protect: %v", err)
	}
}

// rewatch opens again what the data path lost.
func (e *Engine) rewatch() {
	if e.stopping || !e.guard.deaf {
		return
	}
	e.guard.deaf = false
	e.watchTraffic()
	e.listen()
	e.setPolicy()
	e.wishHost()
}

// want connects c as the assigned policy says, unless it is wanted so already.
func (e *Engine) want(c *conn, mode api.Profile) {
	if c.wanted && c.byPolicy && c.mode == mode {
		return
	}
	e.guard.stale = e.guard.stale || c.wanted && c.ruling()
	c.byPolicy = true
	if state, _ := c.state(); state == api.Disconnected && mode == api.Respond {
		c.mode, c.wanted = mode, true
		return
	}
	if err := e.connect(c, mode); err != nil {
		e.logf(api.LogWarn, "policy", c.name, "%v", err)
	}
}

// stricter reports whether a leaves less to clear text than b.
func stricter(a, b *policy.Negotiation) bool {
	order := []api.Profile{api.Require, api.Request, api.Respond}
	return slices.Index(order, modeOf(a)) < slices.Index(order, modeOf(b))
}

// modeOf returns the profile that a negotiation amounts to.
func modeOf(n *policy.Negotiation) api.Profile {
	switch {
	case n.RespondOnly:
		return api.Respond
	case n.FallbackToUnsecured:
		return api.Request
	}
	return api.Require
}

// trapping reports whether traffic itself starts negotiations.
func (e *Engine) trapping() bool {
	if e.guard.compiled == nil {
		return false
	}
	return slices.ContainsFunc(e.guard.compiled.Entries, func(x policy.Entry) bool { return trap(&x) })
}

// trap reports whether packets of an entry are watched for.
func trap(x *policy.Entry) bool {
	return x.Action == policy.Negotiate && x.Endpoint == policy.EndpointHost && !x.Negotiation.RespondOnly && x.Direction != policy.In
}

// acquire follows a packet that needs an SA and has none.
func (e *Engine) acquire(ev datapath.Event) {
	for id, g := range e.guard.traps {
		if g != ev.Group {
			continue
		}
		for i := range e.guard.compiled.Entries {
			if x := &e.guard.compiled.Entries[i]; x.ID == id {
				e.acquirePeer(x, ev.Flow)
				return
			}
		}
	}
	for _, c := range e.sortedConns() {
		if c.machine == nil || !c.wanted {
			continue
		}
		for _, g := range c.groups {
			if g == ev.Group {
				c.lastUsed = time.Now()
				c.machine.RetryNow(time.Now())
				return
			}
		}
	}
}

// acquirePeer starts a host-to-host connection with the destination of a flow.
func (e *Engine) acquirePeer(x *policy.Entry, flow ippkt.Flow) {
	peer := flow.Dst.IP(flow.V6)
	name := peerName(x.Rule, peer)
	if !peer.IsValid() || peer.IsMulticast() || peer.IsUnspecified() {
		return // there is nobody to negotiate with; the packet is dropped
	}
	now := time.Now()
	if c := e.conns[name]; c != nil {
		if c.peer.IsValid() {
			c.lastUsed = now
			c.machine.RetryNow(now) // but not what was refused for good
		}
		return
	}
	if !e.makeRoom() {
		return
	}
	c := &conn{name: name, rule: x.Rule, peer: peer, negotiation: x.Negotiation, masterPFS: e.masterPFS(x), since: now, lastUsed: now}
	c.profile = e.ruleProfile(x, peer, &e.guard.compiled.Peers[x.Negotiation.Peer])
	if c.profile == nil {
		e.logf(api.LogError, "policy", "", "rule %q cannot negotiate with %v: it has no authentication method", x.Rule, peer)
		return
	}
	c.mode = modeOf(x.Negotiation)
	c.machine = tunnel.New(c.mode, now)
	e.conns[name] = c
	if err := e.connect(c, c.mode); err != nil {
		e.logf(api.LogWarn, "policy", name, "%v", err)
	}
	e.setPolicy() // what waits for the trap waits for the peer from now on
}

// makeRoom forgets a host-to-host connection when there are too many: first
// those that are not up, and of these the one that was used longest ago. It
// reports false when all that could go are on their way already.
func (e *Engine) makeRoom() bool {
	var oldest *conn
	up := func(c *conn) bool { state, _ := c.state(); return state == api.Connected }
	n := 0
	for _, c := range e.conns {
		if !c.peer.IsValid() {
			continue
		}
		n++
		if c.leaving {
			continue
		}
		if oldest == nil || up(oldest) && !up(c) || up(oldest) == up(c) && c.lastUsed.Before(oldest.lastUsed) {
			oldest = c
		}
	}
	if n < maxPeers {
		return true
	}
	if oldest == nil {
		return false
	}
	e.forgetPeer(oldest)
	return true
}

// idle reports whether nobody has spoken to a peer for a while that does not
// answer either: a packet starts anew.
func (c *conn) idle(now time.Time) bool {
	return c.peer.IsValid() && now.Sub(c.lastUsed) > peerIdle && !c.machine.NextTimeout().IsZero() && !c.allowClear.After(now)
}

// peerIdle is how long a peer is tried that does not answer.
const peerIdle = 5 * time.Minute

// forgetPeer ends a connection that a rule made.
func (e *Engine) forgetPeer(c *conn) {
	c.wanted = false
	e.disconnect(c)
	if state, _ := c.state(); state != api.Disconnected {
		c.leaving = true // goes when it is at rest
		return
	}
	c.answerWaiters()
	delete(e.conns, c.name)
	delete(e.dirty, c)
	e.journal.add(api.Event{Kind: api.EventRemoved, Name: c.name})
	e.setPolicy()
	e.wishHost()
}

// childGroup returns the group of a Child SA of a peer, which packets wait in
// before there is one.
func (e *Engine) childGroup(c *conn, name string) uint32 {
	if c.groups == nil {
		c.groups = make(map[string]uint32)
	}
	if c.groups[name] == 0 {
		e.group++
		c.groups[name] = e.group
	}
	return c.groups[name]
}

// gatewayConn returns the connection to a gateway that a rule names by address.
func (e *Engine) gatewayConn(x *policy.Entry) *conn {
	name := gatewayName(x)
	p := e.ruleProfile(x, x.Gateway, &e.guard.compiled.Peers[x.Negotiation.Peer])
	c := e.conns[name]
	switch {
	case c == nil:
		c = &conn{name: name, rule: x.Rule, profile: p, mode: modeOf(x.Negotiation), since: time.Now()}
		c.machine = tunnel.New(c.mode, time.Now())
		e.conns[name] = c
	case !reflect.DeepEqual(c.profile, p):
		c.profile = p
		e.renegotiate(c)
	}
	c.negotiation, c.masterPFS = x.Negotiation, e.masterPFS(x)
	if p == nil {
		c.problem = &api.Error{Code: api.CodePolicyInvalid, What: fmt.Sprintf("Rule %q cannot negotiate with %v.", x.Rule, x.Gateway),
			Why: "It has no authentication method that works with a gateway."}
	}
	return c
}

// masterPFS reports whether each Child SA of an entry gets an IKE SA of its own.
func (e *Engine) masterPFS(x *policy.Entry) bool {
	return e.guard.compiled.Peers[x.Negotiation.Peer].IKE.MasterKeyPFS
}

// renegotiate ends what was negotiated under a profile that is replaced, and
// starts anew.
func (e *Engine) renegotiate(c *conn) {
	e.stopIKE(c)
	e.act(c, c.machine.Failed(time.Now(), errors.New("the rule has changed"), c.profile == nil))
}

// listenerConn returns the connection that lets the peers of a rule in, with
// one of its authentication methods.
func (e *Engine) listenerConn(i int, p *policy.Peer, a *policy.AuthMethod) *conn {
	rule := cmp.Or(p.Rule, defaultResponse)
	name := fmt.Sprintf("%s (%s %d)", rule, a.Method, i)
	out := &profile.Connection{Version: profile.SchemaVersion, Name: name, Role: profile.Responder}
	ruleAuth(out, a)
	out.IKE.Proposals = p.IKE.Methods
	out.IKE.MOBIKE = profile.MOBIKENever // what is protected is traffic of the outer addresses
	out.Children = []profile.Child{{Name: "host", LocalTS: []string{"dynamic"}, RemoteTS: []string{"dynamic"}, Proposals: p.ESP}}
	c := e.conns[name]
	switch {
	case c == nil:
		c = &conn{name: name, rule: rule, mode: api.Respond, since: time.Now()}
		e.conns[name] = c
	case c.listening && !reflect.DeepEqual(c.profile, out):
		e.stopListening(c) // whom the old one let in, the new one may not
	}
	c.profile = out
	for k := range e.guard.compiled.Entries {
		if x := &e.guard.compiled.Entries[k]; x.Rule == p.Rule && x.Negotiation != nil {
			c.negotiation, c.masterPFS = x.Negotiation, e.masterPFS(x)
			break
		}
	}
	return c
}

// ruleProfile writes the connection that an entry stands for as a profile, with
// the first authentication method; nil without any.
func (e *Engine) ruleProfile(x *policy.Entry, peer netip.Addr, p *policy.Peer) *profile.Connection {
	for i := range p.Auth {
		a := &p.Auth[i]
		out := &profile.Connection{Version: profile.SchemaVersion, Name: peerName(x.Rule, peer), Gateways: []string{peer.String()}, Transport: profile.TransportUDP}
		ruleAuth(out, a)
		out.IKE.Proposals = p.IKE.Methods
		out.IKE.RekeyTime.Duration = p.IKE.Lifetime
		if x.Endpoint != policy.EndpointGateway {
			out.IKE.MOBIKE = profile.MOBIKENever
		}
		n := x.Negotiation
		for j := range e.guard.compiled.Entries {
			o := &e.guard.compiled.Entries[j]
			if o.Rule != x.Rule || o.RuleIndex != x.RuleIndex || o.Action != policy.Negotiate || o.Direction == policy.In || o.Kind == policy.FromFragments {
				continue
			}
			local, remote := "dynamic"+limits(o.Local), "dynamic"+limits(o.Remote)
			if x.Endpoint == policy.EndpointGateway {
				remote = o.Remote[0].String()
			} else if !o.Remote.Contains(peer, o.Remote[0].Protocol, o.Remote[0].FromPort) {
				continue // for other hosts
			}
			addChild(out, n, local, remote, x.Endpoint == policy.EndpointGateway)
		}
		if len(out.Children) == 0 {
			return nil // no filter of the rule is for this peer
		}
		return out
	}
	return nil
}

// maxRuleChildren bounds the Child SAs of one connection of a rule.
const maxRuleChildren = 16

// addChild adds the selectors of an entry to a connection of a rule: to the one
// Child SA of a gateway, or as a Child SA of their own, because with one for
// several a peer may pick pairs that no filter names.
func addChild(out *profile.Connection, n *policy.Negotiation, local, remote string, together bool) {
	for i := range out.Children {
		c := &out.Children[i]
		switch {
		case together:
			if !slices.Contains(c.LocalTS, local) {
				c.LocalTS = append(c.LocalTS, local)
			}
			if !slices.Contains(c.RemoteTS, remote) {
				c.RemoteTS = append(c.RemoteTS, remote)
			}
			return
		case c.LocalTS[0] == local && c.RemoteTS[0] == remote:
			return
		}
	}
	if len(out.Children) == maxRuleChildren {
		return
	}
	name := "host"
	if i := len(out.Children); i > 0 {
		name = fmt.Sprintf("host-%d", i+1)
	}
	child := profile.Child{Name: name, LocalTS: []string{local}, RemoteTS: []string{remote}, Proposals: n.Methods, RekeyBytes: n.RekeyBytes}
	child.RekeyTime.Duration = n.RekeyTime
	out.Children = append(out.Children, child)
}

// limits returns the "[protocol/port]" of an entry's selector.
func limits(l ts.List) string {
	if len(l) != 1 {
		return ""
	}
	s := l[0].String()
	if i := strings.IndexByte(s, '['); i >= 0 {
		return s[i:]
	}
	return ""
}

// ruleAuth writes an authentication method of a rule into a profile.
func ruleAuth(out *profile.Connection, a *policy.AuthMethod) {
	out.Local = profile.Auth{Method: a.Method, ID: a.LocalID, Secret: a.Secret, Certificates: a.Certificates, Key: a.Key}
	out.Remote = profile.Auth{Method: a.Method, ID: a.RemoteID, Secret: a.Secret, CAs: a.CAs}
	if a.Method == policy.MethodEAP {
		out.Local.User, out.Local.EAP.Methods = a.User, a.EAPMethods
		out.Remote.Method, out.Remote.Secret = profile.MethodCertificate, ""
	}
}

// allowed reports whether a peer of a rule's listening connection is one that
// the rule lets in.
func (e *Engine) allowed(c *conn, claim ike.Claim) bool {
	if c.rule == "" || e.guard.compiled == nil {
		return true
	}
	for _, p := range e.guard.compiled.Peers {
		if cmp.Or(p.Rule, defaultResponse) != c.rule || p.Connection != "" {
			continue
		}
		if len(p.Addresses) == 0 {
			return true
		}
		for _, s := range p.Addresses {
			if a := claim.Path.Remote.Addr().Unmap(); s.Contains(a, s.Protocol, s.FromPort) {
				return true
			}
		}
	}
	return false
}

// reaches reports whether a pin names the connection's peer.
func (c *conn) reaches(pin string) bool {
	for _, g := range c.profile.Gateways {
		a, ok := gatewayIP(g)
		if !ok {
			if name, _, err := profile.SplitGateway(g); err == nil && name == pin {
				return true
			}
			continue
		}
		if from, to, ok := strings.Cut(pin, "-"); ok {
			f, err1 := netip.ParseAddr(strings.TrimSpace(from))
			t, err2 := netip.ParseAddr(strings.TrimSpace(to))
			if err1 == nil && err2 == nil && !a.Less(f) && !t.Less(a) {
				return true
			}
			continue
		}
		if p, err := netip.ParsePrefix(pin); err == nil && p.Contains(a) {
			return true
		}
		if p, err := netip.ParseAddr(pin); err == nil && p == a {
			return true
		}
	}
	return false
}

func (c *conn) peerName() string {
	if len(c.profile.Gateways) == 0 {
		return ""
	}
	return c.profile.Gateways[0]
}

func (c *conn) ruleName() string { return cmp.Or(c.rule, c.name) }

// fallbackTime is how long a fallback to clear text lasts.
func (c *conn) fallbackTime() time.Duration {
	if c.negotiation != nil && c.negotiation.FallbackTime > 0 {
		return c.negotiation.FallbackTime
	}
	return defaultFallback
}

// defaultFallback is how long a fallback lasts where no policy says otherwise.
const defaultFallback = 5 * time.Minute
