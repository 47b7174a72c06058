package ike

import (
	"testing"

	"sallyport/core/ike/message"
)

// rootedWorld is one whose responder shows a vendor ID.
func rootedWorld(t testing.TB, vendor string) (*world, *SA) {
	t.Helper()
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.MOBIKE, cfgB.MOBIKE = true, true
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a := w.connect()
	w.deliver(0)
	m, err := message.Parse(w.wire[0].data)
	if err != nil {
		t.Fatal(err)
	}
	m.Payloads = append(m.Payloads, &message.VendorID{Data: []byte(vendor)})
	if w.wire[0].data, err = m.AppendTo(nil); err != nil {
		t.Fatal(err)
	}
	for _, b := range w.b.e.sas {
		b.hs.response = w.wire[0].data // which it signs
	}
	w.flush()
	if a.State() != StateUp {
		t.Fatalf("state %v", a.State())
	}
	return w, a
}

// TestMoveReplantsRootedChildren: OpenIKED 7.2 on Linux follows with its IKE SA
// alone. New Child SAs have the new addresses; peers that do follow keep theirs.
func TestMoveReplantsRootedChildren(t *testing.T) {
	for vendor, replanted := range map[string]bool{"OpenIKED-7.2": true, "OpenIKED": false, "Sallyport": false} {
		t.Run(vendor, func(t *testing.T) {
			w, a := rootedWorld(t, vendor)
			w.a.do(a.Rekey(w.now)) // an heir knows it too
			w.flush()
			a = w.a.one()
			for i, to := range []Path{between(addrA2, addrB), between(addrA, addrB)} {
				before := w.a.child().in
				w.a.do(a.Move([]Path{to}, w.now))
				w.flush()
				w.agree()
				if new := w.a.child().in != before; new != replanted {
					t.Errorf("move %d: new keys: %v, want %v", i, new, replanted)
				}
				if n := len(w.a.children) + len(w.b.children); n != 2 {
					t.Errorf("move %d: %d halves of Child SAs", i, n)
				}
			}
		})
	}
}
