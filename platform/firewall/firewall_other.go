//go:build !linux

package firewall

import (
	"fmt"
	"runtime"

	"sallyport/core/host"
)

// A Firewall cannot filter packets on this system. It says so, so that nothing
// relies on it: a connection that requires protection is refused.
type Firewall struct{}

// New returns a Firewall.
func New(Config) *Firewall { return &Firewall{} }

// Set implements host.Firewall. Only the zero intent can be had.
func (f *Firewall) Set(i host.FirewallIntent) error {
	if i.IsZero() {
		return nil
	}
	return fmt.Errorf("set firewall on %s: %w", runtime.GOOS, host.ErrUnsupported)
}

// Cleanup implements host.Firewall.
func (f *Firewall) Cleanup() error { return nil }

// Verify implements host.FirewallWatcher.
func (f *Firewall) Verify() error { return nil }

// Changes implements host.FirewallWatcher.
func (f *Firewall) Changes() <-chan struct{} { return nil }

// Counts implements host.FirewallCounter.
func (f *Firewall) Counts() (map[string]host.FirewallCount, error) { return nil, nil }

// Close implements host.FirewallWatcher.
func (f *Firewall) Close() error { return nil }
