package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/rtnetlink"
)

// Programs that manage the network may take away what they do not know:
// systemd-networkd does so with rules and routes of others when it starts, unless
// it is told not to. Nothing would leave in clear for that under require, but
// nothing would go through the tunnel either.

// settle is how long there must be no more removals before we look what is
// missing, and patience how long a burst of them may delay that.
const (
	settle   = 50 * time.Millisecond
	patience = time.Second
)

// groups are the multicast groups of rtnetlink that a watcher hears.
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

// A watcher hears when something of ours may have been removed.
type watcher struct {
	index  uint32 // of the tunnel device
	socket *os.File
	ended  chan struct{}
}

// watchLocked has what c asks for watched, and nothing when it is the zero
// config. It returns the watcher that is not needed any more, or nil, for end.
func (r *Router) watchLocked(c host.RouteConfig) (old *watcher, err error) {
	var index int
	if c.Device != "" {
		device, err := net.InterfaceByName(c.Device)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", c.Device, err)
		}
		index = device.Index
	}
	if r.watch != nil && r.watch.index == uint32(index) {
		return nil, nil
	}
	old, r.watch = r.watch, nil
	if index != 0 {
		r.watch, err = r.newWatcher(uint32(index))
	}
	return old, err
}

func (r *Router) newWatcher(index uint32) (*watcher, error) {
	socket, err := rtnetlink.Listen(groups...)
	if err != nil {
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	w := &watcher{index: index, socket: socket, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		var p pace
		for w.hear(p.next()) {
			if !r.intact() {
				notify(r.lost)
				p.told(time.Now())
			}
		}
	}()
	return w, nil
}

// end waits for the watcher's goroutine, which may wait for the Router's lock.
func (w *watcher) end() {
	if w != nil {
		w.socket.Close()
		<-w.ended
	}
}

// A pace slows down who fights with another program about routes that this one
// removes each time.
type pace struct {
	last time.Time // that something was missing
	gap  time.Duration
}

// maxGap is the longest time between two fights, and peace is how long nothing is
// missing until the pace is the first again.
const (
	maxGap = 10 * time.Second
	peace  = time.Minute
)

func (p *pace) told(now time.Time) {
	if now.Sub(p.last) > peace {
		p.gap = 0
	}
	p.last, p.gap = now, min(max(2*p.gap, settle), maxGap)
}

// next is when it may be told again.
func (p *pace) next() time.Time { return p.last.Add(p.gap) }

// hear returns true after a burst of messages that tell of removals, but not
// before a time, and false when the socket is closed.
func (w *watcher) hear(earliest time.Time) bool {
	b := make([]byte, 64<<10)
	var until time.Time // end of a burst that has begun
	for {
		var quiet time.Time
		if !until.IsZero() {
			quiet = time.Now().Add(settle)
			if quiet.After(until) {
				quiet = until
			}
			if quiet.Before(earliest) {
				quiet = earliest
			}
		}
		if w.socket.SetReadDeadline(quiet) != nil {
			return false
		}
		n, err := w.socket.Read(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true
		case err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR):
			return false
		case until.IsZero() && (err != nil || w.concerns(b[:n])): // messages that were lost may have been of ours
			until = time.Now().Add(patience)
		}
	}
}

// concerns reports whether a datagram of rtnetlink may tell that something of
// ours is gone.
func (w *watcher) concerns(b []byte) bool {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(messages, func(m syscall.NetlinkMessage) bool {
		switch m.Header.Type {
		case unix.RTM_DELROUTE, unix.RTM_DELRULE:
			table, ok := rtnetlink.Table(m)
			return !ok || table == Table
		case unix.RTM_NEWLINK, unix.RTM_DELADDR: // struct ifinfomsg and ifaddrmsg have the index in one place
			return len(m.Data) >= 8 && binary.NativeEndian.Uint32(m.Data[4:]) == w.index
		}
		return false
	})
}

// Lost implements host.RouteWatcher.
func (r *Router) Lost() <-chan struct{} { return r.lost }

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one waits already
	}
}

// intact reports whether all that was set last is there. Where it cannot tell,
// nothing is known to be missing.
func (r *Router) intact() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := usable(r.last)
	if c.Device == "" {
		return true
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return true
	}
	defer h.Close()
	link, err := h.LinkByName(c.Device)
	if err != nil {
		return true // without the device there is nowhere to set anything
	}
	have, err := addresses(h, link)
	if err != nil {
		return true
	}
	missing := func(p netip.Prefix) bool { return !slices.Contains(have, p) }
	if link.Attrs().Flags&net.FlagUp == 0 || slices.ContainsFunc(c.Addresses, missing) {
		return false
	}
	routes, err := listRoutes(h)
	if err != nil {
		return true
	}
	there := map[host.Route]bool{}
	for i := range routes {
		if ro := &routes[i]; ro.Type == unix.RTN_THROW || ro.LinkIndex == link.Attrs().Index {
			there[ours(ro)] = true
		}
	}
	ruled := map[bool]bool{true: hasRule(h, unix.AF_INET), false: hasRule(h, unix.AF_INET6)} // by whether it is IPv4
	for _, want := range c.Routes {
		if !there[want] || !ruled[want.Dst.Addr().Is4()] {
			return false
		}
	}
	return true
}

// hasRule reports whether our rule is there, or may be.
func hasRule(h *netlink.Handle, family int) bool {
	list, err := ourRules(h, family)
	return err != nil || len(list) > 0
}
