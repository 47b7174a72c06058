package engine

import (
	"context"

	"sallyport/core/api"
)

// Traffic implements api.Backend: what the tunnels that are up have carried
// since they were connected.
func (e *Engine) Traffic(ctx context.Context) (map[string]api.Counters, error) {
	out := map[string]api.Counters{}
	err := e.call(ctx, func() {
		for name, c := range e.conns {
			if state, _ := c.state(); state == api.Connected || state == api.Reconnecting || c.listening {
				total := c.carried
				for k := range c.kids {
					if counters, err := e.net.dp.Counters(k.sa.InSPI); err == nil {
						addCounters(&total, counters)
					}
				}
				out[name] = total
			}
		}
	})
	return out, err
}
