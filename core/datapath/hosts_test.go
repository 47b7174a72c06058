package datapath

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

func only(a netip.Addr) ts.List { return ts.List{{From: a, To: a, ToPort: 65535}} }

// TestProtectComesBeforeThePolicy: a host's own group carries what goes to it, and
// when it is gone the SPD decides again.
func TestProtectComesBeforeThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, offloads{})
		pa, pb := paramsFor(gcm, 0)
		pa.Group, pa.Remote = 7, only(addrB)
		if err := b.Install(pb); err != nil {
			t.Fatal(err)
		}
		if err := a.Install(pa); err != nil {
			t.Fatal(err)
		}
		// The SPD's group has no SA, so the packet waits there.
		a.tun.InjectPacket(ping(1).packet())
		synctest.Wait()
		if ev := a.event(t, Acquire); ev.Group != 1 {
			t.Errorf("asked for group %d", ev.Group)
		}
		if err := a.Protect(7, netA, only(addrB)); err != nil {
			t.Fatal(err)
		}
		a.tun.InjectPacket(ping(2).packet())
		equalPackets(t, b.receive(t, 2), [][]byte{ping(1).packet(), ping(2).packet()})

		a.SetPolicy(nil) // what is said of hosts is not the SPD's
		a.tun.InjectPacket(ping(3).packet())
		equalPackets(t, b.receive(t, 1), [][]byte{ping(3).packet()})

		// Said again, it replaces what was said before.
		if err := a.Protect(7, netA, only(netip.MustParseAddr("10.2.0.99"))); err != nil {
			t.Fatal(err)
		}
		a.tun.InjectPacket(ping(4).packet())
		synctest.Wait()
		wantDrops(t, a, "out-no-policy", 1)

		a.Unprotect(7)
		if _, err := a.Remove(pa.InSPI); err != nil {
			t.Fatal(err)
		}
		a.out.mu.Lock()
		if n := len(a.out.groups) + len(a.out.hosts.byAddr) + len(a.out.hosts.byGroup); n != 0 {
			t.Errorf("%d things are remembered", n)
		}
		a.out.mu.Unlock()
	})
}

// TestProtectOrdersByGroup: of two groups for the same address the older one
// decides, whichever was said first.
func TestProtectOrdersByGroup(t *testing.T) {
	a, _ := newEnds(t, offloads{})
	for _, id := range []uint32{9, 3, 5} {
		if err := a.Protect(id, netA, only(addrB)); err != nil {
			t.Fatal(err)
		}
	}
	var p ippkt.Packet
	if err := p.Parse(ping(1).packet()); err != nil {
		t.Fatal(err)
	}
	f := p.Flow
	a.out.mu.Lock()
	defer a.out.mu.Unlock()
	for _, want := range []uint32{3, 5, 9} {
		if g := a.out.hosts.lookup(&f); g == nil || g != a.out.groups[want] {
			t.Errorf("group %d does not decide", want)
		}
		a.out.hosts.remove(want)
	}
	if a.out.hosts.lookup(&f) != nil {
		t.Error("nobody is left, and somebody decides")
	}
}

func TestProtectRefusesNetworks(t *testing.T) {
	a, _ := newEnds(t, offloads{})
	for _, remote := range []ts.List{netB, append(only(addrB), netB...), {{}}} {
		if err := a.Protect(7, netA, remote); !errors.Is(err, ErrNoHost) {
			t.Errorf("%v: %v", remote, err)
		}
	}
}
