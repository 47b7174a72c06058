package ike

import (
	"testing"
)

func TestPSK(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := w.up()
	if got, want := a.peerID.String(), "b.test"; got != want {
		t.Errorf("peer is %q, want %q", got, want)
	}
	if got, want := b.peerID.String(), "a.test"; got != want {
		t.Errorf("peer is %q, want %q", got, want)
	}
	if a.path.Remote.Port() != 4500 || b.path.Remote.Port() != 4500 || !a.natt || !b.natt {
		t.Errorf("paths %v and %v: not on the NAT-T port", a.path, b.path)
	}
	if w.b.e.HalfOpen() != 0 {
		t.Error("still half-open")
	}
}
