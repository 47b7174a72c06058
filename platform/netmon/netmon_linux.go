package netmon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport/platform/internal/rtnetlink"
)

// settle is how long the machine must be quiet before a burst of changes is
// reported, and patience how long a burst may delay the report.
const (
	settle   = 100 * time.Millisecond
	patience = time.Second
)

// groups are the multicast groups of rtnetlink that a Monitor hears.
var groups = []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}

// A Monitor listens to rtnetlink.
type Monitor struct {
	config  Config
	socket  *os.File
	changes chan struct{}
	done    sync.WaitGroup // the two goroutines
}

// New starts a Monitor.
func New(c Config) (*Monitor, error) {
	socket, err := rtnetlink.Listen(groups...)
	if err != nil {
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	m := &Monitor{
		config:  c,
		socket:  socket,
		changes: make(chan struct{}, 1),
	}
	heard := make(chan struct{}, 1)
	m.done.Go(func() { m.listen(heard) })
	m.done.Go(func() { coalesce(heard, m.changes) })
	return m, nil
}

// Changes implements host.NetMonitor.
func (m *Monitor) Changes() <-chan struct{} { return m.changes }

// Close implements host.NetMonitor.
func (m *Monitor) Close() error {
	err := m.socket.Close()
	m.done.Wait()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// listen passes on that something relevant has happened. It ends with the
// socket.
func (m *Monitor) listen(heard chan<- struct{}) {
	defer close(heard)
	b := make([]byte, 64<<10)
	for {
		n, err := m.socket.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		// ENOBUFS means that messages were lost: also a change.
		if err == nil && !m.relevant(b[:n]) {
			continue
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
		select {
		case heard <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// relevant reports whether a datagram of rtnetlink tells of more than our own
// routes. What it cannot read counts as relevant.
func (m *Monitor) relevant(b []byte) bool {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return true
	}
	for _, msg := range messages {
		if t := msg.Header.Type; t != unix.RTM_NEWROUTE && t != unix.RTM_DELROUTE {
			return true
		}
		if table, ok := rtnetlink.Table(msg); !ok || m.config.Table == 0 || int(table) != m.config.Table {
			return true
		}
	}
	return false
}

// coalesce reports each burst of changes once, when it is over or has lasted
// long enough. It closes changes when heard is closed.
func coalesce(heard <-chan struct{}, changes chan<- struct{}) {
	defer close(changes)
	for range heard {
		end := time.Now().Add(patience)
		quiet := time.NewTimer(settle)
		for open := true; open; {
			select {
			case _, ok := <-heard:
				if !ok {
					quiet.Stop()
					return
				}
				if time.Now().Before(end) {
					quiet.Reset(settle)
				}
			case <-quiet.C:
				open = false
			}
		}
		select {
		case changes <- struct{}{}:
		default: // nobody has looked at the last report yet
		}
	}
}

// Source implements host.NetMonitor. It fails with ENETUNREACH where there is
// no route.
func (m *Monitor) Source(dst netip.Addr) (netip.Addr, error) {
	dst = dst.Unmap()
	if !dst.IsValid() || dst.IsUnspecified() {
		return netip.Addr{}, fmt.Errorf("route to %v: not an address", dst)
	}
	routes, err := netlink.RouteGetWithOptions(dst.WithZone("").AsSlice(), &netlink.RouteGetOptions{Mark: m.config.Mark})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to %v: %w", dst, err)
	}
	for _, r := range routes {
		if src, ok := netip.AddrFromSlice(r.Src); ok && !src.Unmap().IsUnspecified() {
			return src.Unmap(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("route to %v: %w", dst, unix.ENETUNREACH)
}
