package datapath

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"sallyport/core/ippkt"
	"sallyport/core/spd"
	"sallyport/core/ts"
)

// ErrNoHost refuses a Protect for networks.
var ErrNoHost = errors.New("datapath: a selector of more than one address")

// hosts are the clients of a gateway: groups whose traffic goes to single
// addresses. They come and go by the thousand, each without a look at the
// others, and what they protect comes before the SPD.
type hosts struct {
	mu      sync.RWMutex                // guards what follows, of which the lanes read
	byAddr  map[ippkt.Addr][]*hostEntry // those of one address in the order of their groups
	byGroup map[uint32]*hostEntry
}

type hostEntry struct {
	id    uint32
	addrs []ippkt.Addr
	pair  *spd.Pair
	group *group
}

// lookup returns the group that protects a flow, or nil.
func (h *hosts) lookup(f *ippkt.Flow) *group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, x := range h.byAddr[f.Dst] {
		if x.pair.Match(f) {
			return x.group
		}
	}
	return nil
}

// name adds the groups of all hosts.
func (h *hosts) name(groups map[uint32]bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for id := range h.byGroup {
		groups[id] = true
	}
}

// replace puts x in the place of what was said of its group before.
func (h *hosts) replace(x *hostEntry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.removeLocked(x.id)
	if h.byGroup == nil {
		h.byAddr, h.byGroup = make(map[ippkt.Addr][]*hostEntry), make(map[uint32]*hostEntry)
	}
	h.byGroup[x.id] = x
	for _, a := range x.addrs {
		list := h.byAddr[a]
		i, _ := slices.BinarySearchFunc(list, x.id, func(o *hostEntry, id uint32) int { return cmp.Compare(o.id, id) })
		h.byAddr[a] = slices.Insert(list, i, x)
	}
}

// remove reports whether anything was said of a group.
func (h *hosts) remove(id uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.removeLocked(id)
}

func (h *hosts) removeLocked(id uint32) bool {
	x := h.byGroup[id]
	if x == nil {
		return false
	}
	delete(h.byGroup, id)
	for _, a := range x.addrs {
		list := slices.DeleteFunc(h.byAddr[a], func(o *hostEntry) bool { return o == x })
		if len(list) > 0 {
			h.byAddr[a] = list
		} else {
			delete(h.byAddr, a)
		}
	}
	return true
}

// Protect makes the SAs of a group protect what goes from local to remote, of
// which every selector is a single address, before the SPD is asked. It replaces
// what was said of the group before. Its cost does not depend on how many groups
// there are.
func (d *Datapath) Protect(id uint32, local, remote ts.List) error {
	x := &hostEntry{id: id, pair: spd.NewPair(local, remote)}
	for _, s := range remote {
		if !s.From.IsValid() || s.From != s.To {
			return ErrNoHost
		}
		if a := ippkt.AddrFrom(s.From); !slices.Contains(x.addrs, a) {
			x.addrs = append(x.addrs, a)
		}
	}
	d.out.mu.Lock()
	x.group = d.out.groupLocked(id)
	d.out.hosts.replace(x)
	d.hostsChangedLocked()
	d.out.unlock()
	return nil
}

// Unprotect takes back what Protect said of a group.
func (d *Datapath) Unprotect(id uint32) {
	d.out.mu.Lock()
	if d.out.hosts.remove(id) {
		d.hostsChangedLocked()
		d.out.forgetGroupLocked(id)
		// Under the same lock, so that d.out and the table name the same groups.
		d.sas.ForgetGroup(id)
	}
	d.out.unlock()
}

// hostsChangedLocked makes flows be looked up anew, and packets that wait. It comes
// after the change: who sees the new policy sees that too.
func (d *Datapath) hostsChangedLocked() {
	p := *d.policy.Load()
	d.policy.Store(&p)
	if d.out.staged > 0 {
		d.out.restageLocked()
	}
}
