package route

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/journal"
)

// What marks our routes and rules, beside Table.
const (
	priority = Mark // before main (32766), after rules that others placed on purpose
	protocol = 83   // of routes and rules; not used in iproute2's rt_protos
)

// A Router sets addresses and routes of one tunnel device.
type Router struct {
	path string // of the journal
	lost chan struct{}

	mu    sync.Mutex // guards what follows, and holds one Set or Cleanup at a time
	last  host.RouteConfig
	watch *watcher // of what last asks for
}

// New returns a Router that keeps its journal in the folder stateDir.
func New(stateDir string) *Router {
	return &Router{path: filepath.Join(stateDir, "route.json"), lost: make(chan struct{}, 1)}
}

// Set implements host.Router. Routes and addresses of IPv6 are left out where
// the machine has IPv6 disabled.
func (r *Router) Set(c host.RouteConfig) error {
	c, err := normalize(c)
	if err != nil {
		return err
	}
	r.mu.Lock()
	old, err := r.watchLocked(c)
	defer old.end()
	defer r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("set routes of %s: %w", c.Device, explain(err))
	}
	if err := r.setLocked(c); err != nil {
		err = fmt.Errorf("set routes of %s: %w", c.Device, explain(err))
		if back := r.setLocked(r.last); back != nil {
			err = fmt.Errorf("%w; and going back: %w", err, back)
		}
		return err
	}
	r.last = c
	return nil
}

// Cleanup implements host.Router.
func (r *Router) Cleanup() error {
	r.mu.Lock()
	r.last = host.RouteConfig{}
	old, _ := r.watchLocked(r.last) // nothing to watch, which cannot fail
	defer old.end()
	defer r.mu.Unlock()
	if err := r.setLocked(r.last); err != nil {
		return fmt.Errorf("clean up routes: %w", explain(err))
	}
	return nil
}

// explain marks the errors of a process without privilege.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run the service as root or with CAP_NET_ADMIN (%w)", host.ErrPrivilege, err)
	}
	return err
}

func (r *Router) setLocked(c host.RouteConfig) error {
	n, err := openNotes(r.path)
	if err != nil && c.Device != "" {
		return err
	}
	damaged := err // still remove what is known by its number
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()

	if c.Device == "" {
		if err := errors.Join(removeRules(h, unix.AF_INET), removeRules(h, unix.AF_INET6), syncRoutes(h, 0, nil), n.undo(h)); err != nil {
			return errors.Join(damaged, err)
		}
		return errors.Join(damaged, journal.Remove(r.path))
	}

	c = usable(c)
	link, err := h.LinkByName(c.Device)
	if err != nil {
		return fmt.Errorf("device %s: %w", c.Device, err)
	}
	if n.Device != "" && (n.Device != c.Device || n.Index != link.Attrs().Index) {
		// Another device: what concerned the old one goes first.
		if err := errors.Join(removeRules(h, unix.AF_INET), removeRules(h, unix.AF_INET6), syncRoutes(h, 0, nil), n.undo(h)); err != nil {
			return err
		}
		n = newNotes(r.path)
	}
	v4 := slices.ContainsFunc(c.Routes, func(r host.Route) bool { return r.Dst.Addr().Is4() })
	v6 := slices.ContainsFunc(c.Routes, func(r host.Route) bool { return r.Dst.Addr().Is6() })

	// Rules go first when they go, and come last when they come.
	if !v4 {
		if err := removeRules(h, unix.AF_INET); err != nil {
			return err
		}
	}
	if !v6 {
		if err := removeRules(h, unix.AF_INET6); err != nil {
			return err
		}
	}
	if err := setSysctls(n, c, v4); err != nil {
		return err
	}
	if err := setDevice(h, n, link, c); err != nil {
		return err
	}
	if err := syncRoutes(h, link.Attrs().Index, c.Routes); err != nil {
		return err
	}
	if v4 {
		if err := addRule(h, unix.AF_INET); err != nil {
			return err
		}
	}
	if v6 {
		return addRule(h, unix.AF_INET6)
	}
	return nil
}

// usable returns what of c the machine has the address families for.
func usable(c host.RouteConfig) host.RouteConfig {
	if !hasIPv6() {
		c.Addresses = slices.DeleteFunc(slices.Clone(c.Addresses), func(p netip.Prefix) bool { return !p.Addr().Is4() })
		c.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(r host.Route) bool { return !r.Dst.Addr().Is4() })
	}
	return c
}

// hasIPv6 reports whether the machine has IPv6, and its administrator wants it.
func hasIPv6() bool {
	b, err := os.ReadFile(sysctlRoot + "net/ipv6/conf/all/disable_ipv6")
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

// setDevice sets MTU and addresses, and brings the device up.
func setDevice(h *netlink.Handle, n *notes, link netlink.Link, c host.RouteConfig) error {
	attrs := link.Attrs()
	n.Device, n.Index = c.Device, attrs.Index
	if n.MTU == 0 {
		n.MTU, n.WasUp = attrs.MTU, attrs.Flags&net.FlagUp != 0
	}
	// Noted are the addresses of before and after, until those of before are gone.
	old := n.Addresses
	for _, p := range c.Addresses {
		if !slices.Contains(n.Addresses, p) {
			n.Addresses = append(slices.Clone(n.Addresses), p)
		}
	}
	if err := n.save(); err != nil {
		return err
	}

	if c.MTU != 0 && c.MTU != attrs.MTU {
		if err := h.LinkSetMTU(link, c.MTU); err != nil {
			return fmt.Errorf("set MTU %d: %w", c.MTU, err)
		}
	}
	have, err := addresses(h, link)
	if err != nil {
		return err
	}
	for _, p := range old {
		if slices.Contains(have, p) && !slices.Contains(c.Addresses, p) {
			if err := removeAddress(h, link, p); err != nil {
				return err
			}
		}
	}
	for _, p := range c.Addresses {
		if slices.Contains(have, p) {
			continue
		}
		if err := h.AddrAdd(link, address(p)); err != nil {
			return fmt.Errorf("add address %v: %w", p, err)
		}
	}
	n.Addresses = c.Addresses
	if err := n.save(); err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", c.Device, err)
	}
	return nil
}

// address has no prefix route, since routes are ours to set, and needs no
// duplicate address detection, since nobody else is on the device.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NOPREFIXROUTE}
	if p.Addr().Is4() {
		a.Broadcast = net.IPv4zero // none
	} else {
		a.Flags |= unix.IFA_F_NODAD
	}
	return a
}

func addresses(h *netlink.Handle, link netlink.Link) ([]netip.Prefix, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	have := make([]netip.Prefix, 0, len(list))
	for _, a := range list {
		have = append(have, prefix(a.IPNet))
	}
	return have, nil
}

func removeAddress(h *netlink.Handle, link netlink.Link, p netip.Prefix) error {
	err := h.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %v: %w", p, err)
	}
	return nil
}

// syncRoutes makes our table hold these routes and no others.
func syncRoutes(h *netlink.Handle, index int, want []host.Route) error {
	have, err := listRoutes(h)
	if err != nil {
		return err
	}
	present := map[host.Route]bool{}
	for _, have := range have {
		r := ours(&have)
		if (r.Bypass || have.LinkIndex == index) && slices.Contains(want, r) {
			present[r] = true
			continue
		}
		if slices.ContainsFunc(want, func(w host.Route) bool { return w.Dst == r.Dst }) {
			continue // replaced below
		}
		if err := h.RouteDel(&have); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route %v: %w", r.Dst, err)
		}
	}
	for _, r := range want {
		if present[r] {
			continue
		}
		add := &netlink.Route{
			LinkIndex: index,
			Dst:       ipNet(r.Dst),
			Table:     Table,
			Protocol:  protocol,
			Scope:     unix.RT_SCOPE_LINK,
			Src:       r.Src.AsSlice(),
		}
		if r.Bypass {
			// The look-up goes on with the next rule.
			add = &netlink.Route{Dst: ipNet(r.Dst), Table: Table, Protocol: protocol, Type: unix.RTN_THROW}
		}
		if err := h.RouteReplace(add); err != nil {
			return fmt.Errorf("add route %v: %w", r.Dst, err)
		}
	}
	return nil
}

// ours returns a route of our table as we ask for it.
func ours(r *netlink.Route) host.Route {
	src, _ := netip.AddrFromSlice(r.Src)
	return host.Route{Dst: prefix(r.Dst), Src: src.Unmap(), Bypass: r.Type == unix.RTN_THROW}
}

// listRoutes returns what is in our table, of both families.
func listRoutes(h *netlink.Handle) ([]netlink.Route, error) {
	var all []netlink.Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		filter := &netlink.Route{Table: Table, Protocol: protocol}
		list, err := dump(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		})
		if err != nil {
			if family == unix.AF_INET6 && errors.Is(err, unix.EOPNOTSUPP) {
				continue // a kernel without IPv6
			}
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range list {
			if r.Dst == nil {
				r.Dst = ipNet(netip.PrefixFrom(zero(family), 0))
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// rule sends every packet without our mark to our table. Where that has no
// route for it, the rules that follow decide.
func rule(family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family = family
	r.Priority = priority
	r.Table = Table
	r.Protocol = protocol
	r.Mark = Mark
	r.Invert = true
	return r
}

func addRule(h *netlink.Handle, family int) error {
	if err := h.RuleAdd(rule(family)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add rule: %w", err)
	}
	return nil
}

// ourRules lists our rules, also those of an earlier version of ours.
func ourRules(h *netlink.Handle, family int) ([]netlink.Rule, error) {
	list, err := dump(func() ([]netlink.Rule, error) { return h.RuleList(family) })
	return slices.DeleteFunc(list, func(r netlink.Rule) bool { return r.Table != Table || r.Protocol != protocol }), err
}

// removeRules removes our rules.
func removeRules(h *netlink.Handle, family int) error {
	list, err := ourRules(h, family)
	if err != nil {
		if family == unix.AF_INET6 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)) {
			return nil // a kernel without IPv6
		}
		return fmt.Errorf("list rules: %w", err)
	}
	for _, r := range list {
		if err := h.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove rule %d: %w", r.Priority, err)
		}
	}
	return nil
}

// dump repeats a listing that a change has interrupted.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

func zero(family int) netip.Addr {
	if family == unix.AF_INET {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if bits == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones)
}
