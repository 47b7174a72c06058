package engine

import (
	"reflect"

	"sallyport/core/host"
)

// A hostState is all that we want of the machine.
type hostState struct {
	routes host.RouteConfig
	dns    host.DNSConfig
}

// A hostResult answers the wish of that number and all before it.
type hostResult struct {
	wish     uint64
	err      error
	warnings []string // what the name servers could not be set as asked
}

// An applier makes the host match the newest wish, off the loop: routes and
// DNS may take their time, IKE may not wait for them.
type applier struct {
	router host.Router
	dns    host.DNS
	wishes chan hostWish   // capacity 1: a newer wish replaces one not yet begun
	done   chan hostResult // to the loop
}

type hostWish struct {
	n     uint64
	state hostState
}

func newApplier(sys *host.System) *applier {
	return &applier{router: sys.Router, dns: sys.DNS, wishes: make(chan hostWish, 1), done: make(chan hostResult, 1)}
}

// wish asks for s. Only the loop calls it.
func (a *applier) wish(n uint64, s hostState) {
	select {
	case <-a.wishes:
	default:
	}
	a.wishes <- hostWish{n, s}
}

// run performs wishes until stop is closed.
func (a *applier) run(stop <-chan struct{}) {
	var have hostState
	for {
		select {
		case <-stop:
			return
		case w := <-a.wishes:
			err := a.apply(&have, w.state)
			select {
			case a.done <- hostResult{w.n, err, a.warnings()}:
			case <-stop:
				return
			}
		}
	}
}

// warnings returns what the last setting of name servers could not do as asked.
func (a *applier) warnings() []string {
	if w, ok := a.dns.(host.Warner); ok {
		return w.Warnings()
	}
	return nil
}

// apply sets routes before DNS, so that the name servers can be reached when
// they are asked, and removes them in the opposite order.
func (a *applier) apply(have *hostState, want hostState) error {
	setRoutes := func() error {
		if err := a.router.Set(want.routes); err != nil {
			return err
		}
		have.routes = want.routes
		return nil
	}
	setDNS := func() error {
		if reflect.DeepEqual(have.dns, want.dns) {
			return nil
		}
		if err := a.dns.Set(want.dns); err != nil {
			return err
		}
		have.dns = want.dns
		return nil
	}
	steps := []func() error{setRoutes, setDNS}
	if len(want.dns.Servers) == 0 {
		steps = []func() error{setDNS, setRoutes}
	}
	var first error
	for _, step := range steps {
		if err := step(); err != nil && first == nil {
			first = err // the other step still brings the host as near as it can
		}
	}
	return first
}
