package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport/core/api"
)

// namesFile holds the addresses that the names of gateways had last.
const namesFile = "gateways.json"

// maxNames bounds how many names are remembered.
const maxNames = 1024

// lastAddresses returns the addresses that the gateways had when their names
// were looked up last: where everything but the tunnel is blocked, the name
// servers may be out of reach exactly when the tunnel must come back.
func (e *Engine) lastAddresses(gateways []string) []netip.AddrPort {
	names, err := e.loadNames()
	if err != nil {
		e.logf(api.LogWarn, "net", "", "%v", err)
	}
	var out []netip.AddrPort
	for _, g := range gateways {
		out = append(out, names[g]...)
	}
	return out
}

// rememberAddresses keeps the addresses of the only gateway of a connection;
// with several it is not known which address belongs to which.
func (e *Engine) rememberAddresses(gateways []string, addrs []netip.AddrPort) {
	if len(gateways) != 1 {
		return
	}
	names, err := e.loadNames()
	if err != nil || names == nil {
		names = make(map[string][]netip.AddrPort)
	}
	if slices.Equal(names[gateways[0]], addrs) {
		return
	}
	if len(names) >= maxNames {
		clear(names)
	}
	names[gateways[0]] = addrs
	if err := saveState(e.opt.Host.State, namesFile, names); err != nil {
		e.logf(api.LogWarn, "net", "", "remember the gateway's addresses: %v", err)
	}
}

func (e *Engine) loadNames() (map[string][]netip.AddrPort, error) {
	var names map[string][]netip.AddrPort
	if err := loadState(e.opt.Host.State, namesFile, &names); err != nil {
		return nil, fmt.Errorf("read the gateways' last addresses: %w", err)
	}
	return names, nil
}
