package ike

import (
	"cmp"
	"slices"
)

// A knownKey is who a peer has proved to be to a configuration.
type knownKey struct{ config, peer string }

// A knownTable finds the IKE SAs with one peer, of which there are few among
// thousands.
type knownTable map[knownKey][]*SA

// enter makes an SA findable whose peer has proved who it is.
func (t knownTable) enter(sa *SA) {
	sa.peerKey = knownKey{sa.cfg.Name, sa.lessee().Key()}
	t[sa.peerKey] = append(t[sa.peerKey], sa)
}

// leave takes an SA out that may be in.
func (t knownTable) leave(sa *SA) {
	list := slices.DeleteFunc(t[sa.peerKey], func(o *SA) bool { return o == sa })
	if len(list) > 0 {
		t[sa.peerKey] = list
	} else {
		delete(t, sa.peerKey)
	}
}

// others returns the other announced IKE SAs with the peer of sa, which has
// entered, oldest first.
func (t knownTable) others(sa *SA) []*SA {
	var list []*SA
	for _, o := range t[sa.peerKey] {
		if o != sa && o.announced {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *SA) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.spiLocal, b.spiLocal))
	})
	return list
}
