package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/profile"
)

// waysFile holds in which networks gateways were reached over TCP alone.
const waysFile = "transports.json"

const (
	maxWays = 256
	// wayTTL is how long it is remembered.
	wayTTL = 30 * 24 * time.Hour
)

// A way says that in a network a gateway was reached over a TCP port, and not over
// UDP.
type way struct {
	Network  netip.Prefix `json:"network"`
	Gateways string       `json:"gateways"`
	TCP      string       `json:"tcp"`
	Worked   time.Time    `json:"worked"`
}

// knownWay returns the TCP port that the gateway of c was reached on the last time
// in the network that the machine is in.
func (e *Engine) knownWay(c *conn, now time.Time) (profile.TCPPort, bool) {
	ways, err := e.loadWays()
	if err != nil {
		e.logf(api.LogWarn, "net", "", "%v", err)
	}
	i := findWay(ways, e.networkOf(c), c)
	if i < 0 || now.Sub(ways[i].Worked) > wayTTL {
		return profile.TCPPort{}, false
	}
	p, err := profile.ParseTCPPort(ways[i].TCP)
	return p, err == nil
}

func findWay(ways []way, network netip.Prefix, c *conn) int {
	gateways := strings.Join(c.profile.Gateways, " ")
	return slices.IndexFunc(ways, func(w way) bool { return w.Network == network && w.Gateways == gateways })
}

// rememberWay notes how the gateway of c was reached here. UDP is what is tried
// first anyway, so that it only ends what is remembered.
func (e *Engine) rememberWay(c *conn, t transport, now time.Time) {
	if c.rule != "" {
		return
	}
	ways, err := e.loadWays()
	if err != nil {
		ways = nil // it could not be read, and is worth nothing more
	}
	network := e.networkOf(c)
	before := len(ways)
	if i := findWay(ways, network, c); i >= 0 {
		ways = slices.Delete(ways, i, i+1)
	}
	if t.Fallback {
		ways = append(ways, way{network, strings.Join(c.profile.Gateways, " "), t.TCP.String(), now})
		ways = ways[max(0, len(ways)-maxWays):]
	} else if err == nil && len(ways) == before {
		return
	}
	if err := saveState(e.opt.Host.State, waysFile, ways); err != nil {
		e.logf(api.LogWarn, "net", c.name, "remember how the gateway is reached: %v", err)
	}
}

// loadWays reads what is remembered, the oldest first.
func (e *Engine) loadWays() ([]way, error) {
	var ways []way
	if err := loadState(e.opt.Host.State, waysFile, &ways); err != nil {
		return nil, fmt.Errorf("read how gateways were reached: %w", err)
	}
	return ways, nil
}
