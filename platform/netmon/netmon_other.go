//go:build !linux

package netmon

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// A Monitor does not hear of changes yet, and asks the system for sources.
type Monitor struct {
	changes chan struct{}
	once    sync.Once
}

// New returns a Monitor.
func New(Config) (*Monitor, error) { return &Monitor{changes: make(chan struct{})}, nil }

// Changes implements host.NetMonitor. It delivers nothing.
func (m *Monitor) Changes() <-chan struct{} { return m.changes }

// Close implements host.NetMonitor.
func (m *Monitor) Close() error {
	m.once.Do(func() { close(m.changes) })
	return nil
}

// Source implements host.NetMonitor, by the route of a socket that sends nothing.
func (m *Monitor) Source(dst netip.Addr) (netip.Addr, error) {
	c, err := net.Dial("udp", netip.AddrPortFrom(dst, 9).String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to %v: %w", dst, err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
