// Package route sets the addresses and routes of the tunnel device.
//
// On Linux the routes live in a table of their own. One rule per address family
// sends every packet there first, except those that carry the mark of our
// sockets, which follow the routes that the machine had without us. Neither the
// main table nor anybody else's rules are touched. Everything added is known by
// its table, priority and protocol number, or noted in a journal beforehand, so
// that a fresh process can remove it.
package route

import (
	"fmt"
	"net/netip"

	"sallyport/core/host"
)

// Mark is the SO_MARK of the sockets whose packets must not enter the tunnel.
const Mark = 0x5a11

// Table is the number of the routing table that is ours. It equals the mark,
// so that whoever reads "ip rule" sees what belongs together.
const Table = Mark

var _ host.Router = (*Router)(nil)

// normalize checks c and returns it with prefixes masked, IPv4 addresses as
// such, and without repetitions.
func normalize(c host.RouteConfig) (host.RouteConfig, error) {
	if c.Device == "" {
		if c.MTU != 0 || len(c.Addresses)+len(c.Routes) != 0 || c.Forward {
			return c, fmt.Errorf("routes without a device")
		}
		return c, nil
	}
	n := host.RouteConfig{Device: c.Device, MTU: c.MTU, Forward: c.Forward}
	addresses := map[netip.Addr]bool{}
	for _, p := range c.Addresses {
		p, err := unmap(p)
		if err != nil {
			return c, fmt.Errorf("address: %w", err)
		}
		if p.Addr().IsUnspecified() || p.Addr().IsMulticast() {
			return c, fmt.Errorf("address %v of %s is not one of a host", p, c.Device)
		}
		if !addresses[p.Addr()] {
			addresses[p.Addr()] = true
			n.Addresses = append(n.Addresses, p)
		}
	}
	at := map[netip.Prefix]int{}
	for _, r := range c.Routes {
		p, err := unmap(r.Dst)
		if err != nil {
			return c, fmt.Errorf("route: %w", err)
		}
		r.Dst, r.Src = p.Masked(), r.Src.Unmap()
		if r.Src.IsValid() && r.Src.BitLen() != r.Dst.Addr().BitLen() {
			return c, fmt.Errorf("route %v: source %v is of the other family", r.Dst, r.Src)
		}
		if i, ok := at[r.Dst]; ok {
			n.Routes[i] = r // the last one counts
			continue
		}
		at[r.Dst] = len(n.Routes)
		n.Routes = append(n.Routes, r)
	}
	return n, nil
}

func unmap(p netip.Prefix) (netip.Prefix, error) {
	a, bits := p.Addr(), p.Bits()
	if !p.IsValid() {
		return p, fmt.Errorf("invalid prefix")
	}
	if a.Is4In6() {
		if bits < 96 {
			return p, fmt.Errorf("prefix %v mixes the families", p)
		}
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a.WithZone(""), bits), nil
}
