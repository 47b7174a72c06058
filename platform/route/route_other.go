//go:build !linux

package route

import (
	"fmt"

	"sallyport/core/host"
)

// A Router sets addresses and routes.
type Router struct{}

// New returns a Router that keeps its journal in the folder stateDir.
func New(stateDir string) *Router { return &Router{} }

// Set accepts only the zero config.
func (r *Router) Set(c host.RouteConfig) error {
	c, err := normalize(c)
	if err != nil || c.Device == "" {
		return err
	}
	return fmt.Errorf("set routes of %s: %w", c.Device, host.ErrUnsupported)
}

// Cleanup has nothing to remove.
func (r *Router) Cleanup() error { return nil }
