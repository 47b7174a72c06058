//go:build !linux

package dns

import (
	"fmt"

	"sallyport/core/host"
)

// A DNS sets name servers.
type DNS struct{}

// New returns a DNS that keeps its journal in the folder stateDir.
func New(stateDir string) *DNS { return &DNS{} }

// Set accepts only a config without servers.
func (d *DNS) Set(c host.DNSConfig) error {
	if err := check(c); err != nil || len(c.Servers) == 0 {
		return err
	}
	return fmt.Errorf("set name servers of %s: %w", c.Device, host.ErrUnsupported)
}

// Cleanup has nothing to restore.
func (d *DNS) Cleanup() error { return nil }

// Warnings implements host.Warner.
func (d *DNS) Warnings() []string { return nil }
