package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"sallyport/core/ike/message"
)

// Several Child SAs may protect the same traffic, each for a resource of its
// own, as a processor (RFC 9611). The first, which is for none of them, carries
// what no other does:
//
//	IKE_AUTH:        ..., SA, TSi, TSr, N(SA_RESOURCE_INFO)()   →
//	                                                            ←  ..., SA, TSi, TSr, N(SA_RESOURCE_INFO)()
//	CREATE_CHILD_SA: SA, Ni, KEi, TSi, TSr, N(SA_RESOURCE_INFO)(1) →
//	                                                            ←  SA, Nr, KEr, TSi, TSr, N(SA_RESOURCE_INFO)(1)
//	CREATE_CHILD_SA: SA, Ni, KEi, TSi, TSr, N(SA_RESOURCE_INFO)(2) →
//	                                                            ←  N(TS_MAX_QUEUE)
//
// A peer that does not answer the notify with one knows no resources, and is not
// asked for more. The end that began the IKE SA opens them, one after another;
// what the peer deletes is not opened again. Each end numbers them by itself: what
// the peer calls them is for logs alone.

// MaxResources bounds ChildConfig.Resources.
const MaxResources = 16

// maxGrouped bounds the Child SAs of an IKE SA beside which one for a resource is
// opened: there is room to rekey each of them at the same time.
const maxGrouped = maxChildren / 2

// maxResourceShown is how much of the peer's name of a resource a log shows.
const maxResourceShown = 16

// resourceInfo says that a Child SA is one of several: that of a resource, or with
// 0 of none (RFC 9611, section 6.1).
func resourceInfo(resource int) *message.Notify {
	n := status(message.NotifySAResourceInfo)
	if resource > 0 {
		n.Data = binary.BigEndian.AppendUint32(nil, uint32(resource))
	}
	return n
}

// announcement says of a first Child SA that others are to follow.
func (c *ChildConfig) announcement() []message.Payload {
	if c.Resources == 0 {
		return nil
	}
	return []message.Payload{resourceInfo(0)}
}

// fallback returns the Child SA of a configuration that is for no resource and has
// others beside it; nil when there is none.
func (sa *SA) fallback(cfg *ChildConfig) *child {
	for _, c := range sa.children {
		if c.cfg == cfg && c.resource == 0 && c.grouped && c.successor == nil && c.deletion == nil {
			return c
		}
	}
	return nil
}

// freeResource returns the lowest number of a resource that no Child SA of the
// configuration has, and of which it allows one; 0: they are all taken, or there are
// as many Child SAs as there may be.
func (sa *SA) freeResource(cfg *ChildConfig) int {
	if len(sa.children) >= maxGrouped {
		return 0
	}
	for n := 1; n <= min(cfg.Resources, MaxResources); n++ {
		if !sa.hasResource(cfg, n) {
			return n
		}
	}
	return 0
}

func (sa *SA) hasResource(cfg *ChildConfig, n int) bool {
	return slices.ContainsFunc(sa.children, func(c *child) bool { return c.cfg == cfg && c.resource == n })
}

// asksForResource reports whether a request for the Child SA of a resource waits for
// its turn.
func (sa *SA) asksForResource(cfg *ChildConfig) bool {
	return slices.ContainsFunc(sa.queue, func(q queued) bool {
		t, ok := q.task.(*createTask)
		return ok && t.cfg == cfg && t.resource != 0
	})
}

// openResources asks for the Child SA of a resource, of each configuration that
// lacks one, and reports whether there is any to ask for.
func (sa *SA) openResources(now time.Time) bool {
	if !sa.line {
		return false
	}
	asked := false
	for _, cfg := range childConfigs(sa.cfg) {
		c := sa.fallback(cfg)
		if c == nil || c.full {
			continue
		}
		if sa.asksForResource(cfg) {
			asked = true
		} else if n := sa.freeResource(cfg); n != 0 {
			sa.enqueue(&createTask{cfg: cfg, resource: n}, now)
			asked = true
		}
	}
	return asked
}

// resourceCreated takes the Child SA of a resource into use. One that the peer does
// not know as such, or that is not like the first (RFC 9611, section 4), is deleted,
// after what the peer may send on it at once.
func (sa *SA) resourceCreated(t *createTask, n *negotiated, now time.Time) {
	first := sa.fallback(t.cfg)
	var why string
	if sa.hasResource(t.cfg, t.resource) { // the peer has asked for one meanwhile, and got that number
		if n := sa.freeResource(t.cfg); n != 0 {
			t.resource = n
		} else {
			why = "there are as many as are to be"
		}
	}
	switch {
	case why != "":
	case first == nil:
		why = "there is none any more that it could be beside"
	case !n.grouped:
		why = "the peer does not know it as that of a resource"
	case !slices.Equal(n.local, first.local) || !slices.Equal(n.remote, first.remote):
		why = fmt.Sprintf("it is for %v === %v", n.local, n.remote)
	case n.suite.Encr != first.suite.Encr || n.suite.Integ != first.suite.Integ || n.suite.ESN != first.suite.ESN:
		why = fmt.Sprintf("it has %v", n.suite)
	}
	n.resource, n.grouped = t.resource, true
	c := sa.install(n, why == "", nil, now)
	if why != "" {
		sa.deleteChild(c, now)
		sa.stopOpening(t.cfg, why)
		return
	}
	if !sa.openResources(now) {
		// The peer sends on it when it has heard that we have it.
		sa.enqueue(livenessTask{}, now)
	}
}

// stopOpening goes on with the Child SAs that there are.
func (sa *SA) stopOpening(cfg *ChildConfig, why string) {
	if c := sa.fallback(cfg); c != nil {
		c.full = true
	}
	sa.log(Info, "%s: no more Child SAs for %q: %s", sa.name(), cfg.Name, why)
}

// assignResource finds the resource for a further Child SA of the same traffic
// that the peer asks for. Where there is none that is for no resource, it is that.
// Without a setting the notify means nothing, as to those who do not know it.
func (sa *SA) assignResource(n *negotiated, in *inbox) *notifyError {
	info := in.notify(message.NotifySAResourceInfo)
	if info == nil || n.cfg.Resources == 0 || !slices.ContainsFunc(sa.children, func(c *child) bool {
		return c.cfg == n.cfg && c.resource == 0 && c.successor == nil && c.deletion == nil &&
			slices.Equal(c.local, n.local) && slices.Equal(c.remote, n.remote)
	}) {
		return nil
	}
	n.resource, n.grouped = sa.freeResource(n.cfg), true
	if n.resource == 0 {
		return &notifyError{notify: message.NotifyTSMaxQueue, code: FailPeerRefused,
			err: fmt.Errorf("the peer has %d Child SAs, and none for a further resource of %q", len(sa.children), n.cfg.Name)}
	}
	sa.log(Debug, "%s: child %q for resource %d, the peer's %x", sa.name(), n.cfg.Name, n.resource,
		info.Data[:min(len(info.Data), maxResourceShown)])
	return nil
}

// resourcesShown sends on the Child SAs of resources that the peer asked for: it
// has our answers now, since another request has come (RFC 7296, section 2.3).
func (sa *SA) resourcesShown() {
	for _, c := range sa.children {
		if c.unseen {
			sa.resourceShown(c)
		}
	}
}

// resourceShown sends on the Child SA of a resource that the peer has shown to have.
func (sa *SA) resourceShown(c *child) {
	c.unseen = false
	if c.successor == nil && c.deletion == nil {
		sa.activate(c)
	}
}
