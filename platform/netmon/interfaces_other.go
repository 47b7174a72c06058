//go:build !linux

package netmon

import (
	"fmt"
	"net"

	"sallyport/core/host"
)

// Interfaces implements host.InterfaceLister.
func (m *Monitor) Interfaces() ([]host.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	list := make([]host.Interface, 0, len(links))
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 {
			continue
		}
		addresses, err := link.Addrs()
		if err != nil {
			continue // it went away since
		}
		i := host.Interface{
			Name:         link.Name,
			Loopback:     link.Flags&net.FlagLoopback != 0,
			PointToPoint: link.Flags&net.FlagPointToPoint != 0,
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok {
				if p, ok := prefixOf(n); ok {
					i.Prefixes = append(i.Prefixes, p)
				}
			}
		}
		list = append(list, i)
	}
	return list, nil
}
