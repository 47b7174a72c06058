package ike

import (
	"bytes"
	"time"
)

// OpenIKED on Linux answers UPDATE_SA_ADDRESSES as if it followed, but its
// Child SAs stay where they were made: PF_KEY (RFC 2367) has no way to move them.
// Made anew they have the addresses of their IKE SA.

// rootedVendor begins the vendor ID of OpenIKED; its version follows.
var rootedVendor = []byte("OpenIKED-")

// noteVendor notes whether the peer's Child SAs stay where they are made.
func (sa *SA) noteVendor(in *inbox) {
	for _, id := range in.vendors {
		if bytes.HasPrefix(id, rootedVendor) {
			sa.mob.rooted = true
		}
	}
}

// replant replaces the Child SAs after a move that the peer says to have
// followed, when they would not have: that takes one round trip for each.
func (sa *SA) replant(now time.Time) {
	if !sa.mob.rooted {
		return
	}
	for _, c := range sa.children {
		sa.rekeyChild(c, now)
	}
}
