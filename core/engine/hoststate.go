package engine

import (
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ts"
)

// wantedHost says what all tunnels together want of the machine.
func (e *Engine) wantedHost() hostState {
	var s hostState
	if e.net == nil || e.net.tun == nil {
		return s // without the device there is nothing to want
	}
	for _, c := range e.sortedConns() {
		if !c.holds {
			continue
		}
		s.routes.Device = e.deviceName()
		s.routes.MTU = e.deviceMTU()
		if c.listening {
			e.wantForwarding(c, &s)
		} else {
			e.wantTunnel(c, &s)
		}
	}
	e.wantTraps(&s)
	wantLAN(&s.routes, e.guard.intent.Exempt.LAN)
	sortRoutes(&s.routes)
	return s
}

// wantLAN takes the exempt local networks out of routes that cover them with
// the whole internet. A route for private addresses is meant for those, and
// wins, as in the firewall (host.FirewallExempt).
func wantLAN(r *host.RouteConfig, lan []netip.Prefix) {
	var out []host.Route
	for _, p := range lan {
		for _, route := range r.Routes {
			if route.Dst.Bits() < p.Bits() && route.Dst.Contains(p.Addr()) && !host.NamesPrivate(ts.FromPrefix(route.Dst)) {
				out = append(out, host.Route{Dst: p, Bypass: true})
				break
			}
		}
	}
	r.Routes = append(r.Routes, out...)
}

// wantTraps leads traffic that a rule negotiates host to host into the device,
// where a packet without an SA starts a negotiation; what passes in clear stays
// out of it. Sources stay those of the physical interface, so that falling back
// does not break open sockets.
func (e *Engine) wantTraps(s *hostState) {
	if !e.trapping() || e.stopping {
		return
	}
	s.routes.Device, s.routes.MTU = e.deviceName(), e.deviceMTU()
	for _, dst := range e.guard.compiled.RoutesFor(e.clearNow(time.Now())) {
		if covered(s.routes.Routes, dst) {
			continue
		}
		source, _ := e.opt.Host.NetMonitor.Source(firstHost(dst))
		s.routes.Routes = append(s.routes.Routes, host.Route{Dst: dst, Src: source})
	}
}

// firstHost returns an address within p that a route can be looked up for.
func firstHost(p netip.Prefix) netip.Addr {
	switch {
	case p.Bits() == 0 && p.Addr().Is4():
		return netip.AddrFrom4([4]byte{192, 0, 2, 1})
	case p.Bits() == 0:
		return netip.MustParseAddr("2001:db8::1")
	case p.IsSingleIP():
		return p.Addr()
	}
	return p.Addr().Next()
}

func (e *Engine) deviceName() string {
	if e.net != nil && e.net.tun != nil {
		return e.net.tun.Name()
	}
	return e.opt.TUNName
}

// wantTunnel adds the virtual addresses, the protected networks and the name
// servers of an initiator's tunnel.
func (e *Engine) wantTunnel(c *conn, s *hostState) {
	for _, a := range c.addrs {
		s.routes.Addresses = append(s.routes.Addresses, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, p := range c.policies {
		for _, dst := range p.remote.Prefixes() {
			s.routes.Routes = append(s.routes.Routes, host.Route{Dst: dst, Src: sourceFor(dst, c.addrs, p.local)})
		}
	}
	servers, only := c.nameServers()
	if len(servers) == 0 {
		return
	}
	s.dns.Device = s.routes.Device
	s.dns.Servers = append(s.dns.Servers, servers...)
	s.dns.Only = append(s.dns.Only, only...)
}

// nameServers returns the name servers of an initiator's tunnel, and the
// domains that alone are asked of them; none of these means all.
func (c *conn) nameServers() (servers []netip.Addr, only []string) {
	d := &c.profile.DNS
	if d.Ignore {
		return nil, nil
	}
	servers, only = c.dns, c.domains
	if len(d.Servers) > 0 {
		servers = nil
		for _, t := range d.Servers {
			if a, err := netip.ParseAddr(t); err == nil {
				servers = append(servers, a)
			}
		}
	}
	if len(d.Only) > 0 {
		only = d.Only
	}
	return servers, only
}

// warnOfDNS takes what the machine could not do as asked with the name servers,
// for the log and for the connections that brought them: who reads "DNS" in the
// status would believe that names are asked there.
func (e *Engine) warnOfDNS(warnings []string) {
	if slices.Equal(e.dnsNotes, warnings) {
		return
	}
	e.dnsNotes = warnings
	for _, w := range warnings {
		e.logf(api.LogWarn, "net", "", "%s", w)
	}
	for _, c := range e.sortedConns() {
		if s := c.current; s != nil && s.est != nil {
			e.changed(c)
		}
	}
}

// sourceFor returns the address that packets to dst come from: the virtual one
// of the family, or, where the Child SA covers a single address of ours, that.
func sourceFor(dst netip.Prefix, virtual []netip.Addr, local ts.List) netip.Addr {
	for _, a := range virtual {
		if a.Is4() == dst.Addr().Is4() {
			return a
		}
	}
	for _, l := range local {
		if l.From == l.To && l.From.Is4() == dst.Addr().Is4() {
			return l.From
		}
	}
	return netip.Addr{}
}

// wantForwarding adds what a gateway needs: routes to the addresses it hands
// out and to the networks of its peers.
func (e *Engine) wantForwarding(c *conn, s *hostState) {
	if c.rule == "" {
		s.routes.Forward = true
	}
	for _, cp := range c.profile.Pools {
		if p := e.pools[cp.Addresses]; p != nil {
			for _, dst := range p.Prefixes() {
				s.routes.Routes = append(s.routes.Routes, host.Route{Dst: dst})
			}
		}
	}
	for _, p := range c.policies {
		for _, dst := range p.remote.Prefixes() {
			if !covered(s.routes.Routes, dst) {
				s.routes.Routes = append(s.routes.Routes, host.Route{Dst: dst, Src: sourceFor(dst, nil, p.local)})
			}
		}
	}
}

// covered reports whether a route leads to all of dst already.
func covered(routes []host.Route, dst netip.Prefix) bool {
	return slices.ContainsFunc(routes, func(r host.Route) bool {
		return r.Dst.Bits() <= dst.Bits() && r.Dst.Contains(dst.Addr())
	})
}

// sortRoutes makes equal wishes equal, and drops what is said twice.
func sortRoutes(r *host.RouteConfig) {
	slices.SortFunc(r.Addresses, netip.Prefix.Compare)
	r.Addresses = slices.Compact(r.Addresses)
	slices.SortFunc(r.Routes, func(a, b host.Route) int {
		if d := a.Dst.Compare(b.Dst); d != 0 {
			return d
		}
		return a.Src.Compare(b.Src)
	})
	r.Routes = slices.CompactFunc(r.Routes, func(a, b host.Route) bool { return a.Dst == b.Dst })
}
