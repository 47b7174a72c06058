package datapath

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestEarlyPackets sends on an SA that the other end does not have yet. Once it
// has it, what came too early arrives too, before the rest.
func TestEarlyPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, offloads{})
		pa, pb := paramsFor(gcm, 0)
		if err := a.Install(pa); err != nil {
			t.Fatal(err)
		}
		want := [][]byte{ping(1).packet(), ping(2).packet(), ping(3).packet()}
		for _, p := range want[:2] {
			a.tun.InjectPacket(p)
		}
		synctest.Wait()
		wantDrops(t, b, "in-unknown-spi", 2)
		if ev := b.event(t, Lost); ev.InSPI != pb.InSPI || ev.Remote != outerA {
			t.Errorf("told %+v", ev)
		}
		if err := b.Install(pb); err != nil {
			t.Fatal(err)
		}
		a.tun.InjectPacket(want[2])
		equalPackets(t, b.receive(t, 3), want)
	})
}

// TestEarlyPacketsAreBounded floods an end with packets for SPIs that nobody has:
// it keeps few, for a short time, and tells of one now and then.
func TestEarlyPacketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, offloads{})
		pa, pb := paramsFor(gcm, 0)
		if err := a.Install(pa); err != nil {
			t.Fatal(err)
		}
		const flood = 500
		for n := range flood {
			a.tun.InjectPacket(ping(n).packet())
		}
		synctest.Wait()
		if told := len(b.events); told != 1 {
			t.Errorf("told %d times", told)
		}
		if err := b.Install(pb); err != nil {
			t.Fatal(err)
		}
		a.tun.InjectPacket(ping(flood).packet())
		got := b.receive(t, maxEarly+1)
		if !slices.Equal(got[0], ping(flood-maxEarly).packet()) || !slices.Equal(got[maxEarly], ping(flood).packet()) {
			t.Errorf("other packets than the newest were kept")
		}

		pa, pb = paramsFor(gcm, 1)
		if err := a.Install(pa); err != nil {
			t.Fatal(err)
		}
		a.tun.InjectPacket(ping(1).packet())
		synctest.Wait()
		time.Sleep(2 * earlyTime)
		if err := b.Install(pb); err != nil {
			t.Fatal(err)
		}
		a.tun.InjectPacket(ping(2).packet())
		equalPackets(t, b.receive(t, 1), [][]byte{ping(2).packet()})
	})
}
