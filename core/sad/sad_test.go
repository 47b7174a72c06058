package sad

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"sallyport/core/esp"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

func params(group, spi uint32, active bool) Params {
	suite := transform.Suite{Encr: transform.Transform{Type: transform.TypeEncr, ID: transform.EncrAESGCM16, KeyBits: 128}}
	all := ts.List{{From: netip.MustParseAddr("0.0.0.0"), To: netip.MustParseAddr("255.255.255.255"), ToPort: 65535}}
	return Params{Group: group, InSPI: spi, OutSPI: spi + 1000, Suite: suite, KeyIn: esp.Keys{Encr: make([]byte, 20)},
		KeyOut: esp.Keys{Encr: make([]byte, 20)}, Local: all, Remote: all, Active: active,
		Path: Path{Remote: netip.MustParseAddrPort("192.0.2.1:4500")}}
}

func TestRekeyMovesTheGroup(t *testing.T) {
	var table Table
	g := table.Group(7)
	if g.Active(0) != nil || table.Lookup(5) != nil || table.All() != nil {
		t.Fatal("an empty table has something")
	}
	old, err := table.Install(params(7, 1000, true))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := table.Install(params(7, 1001, false))
	if err != nil {
		t.Fatal(err)
	}
	if g.Active(0) != old || table.Lookup(1001) != fresh || len(table.All()) != 2 {
		t.Error("Install without Active changed what is sent on")
	}
	if _, err := table.Activate(1001); err != nil || g.Active(0) != fresh {
		t.Errorf("Activate: %v", err)
	}
	if err := table.Retire(1000); err != nil || g.Active(0) != fresh || table.Lookup(1000) != old {
		t.Errorf("Retire: %v", err)
	}
	if _, err := table.Activate(1000); !errors.Is(err, ErrUnknown) {
		t.Errorf("a retired pair was activated: %v", err)
	}
	if _, err := table.Remove(1000); err != nil || table.Lookup(1000) != nil || !old.Closed() {
		t.Errorf("Remove: %v", err)
	}
	if err := table.Retire(1001); err != nil || g.Active(0) != nil {
		t.Errorf("Retire of the active pair: %v", err)
	}
	if old.Serial == fresh.Serial {
		t.Error("serials are equal")
	}
	for name, err := range map[string]error{
		"retire": table.Retire(1000), "path": table.SetPath(1000, Path{}),
	} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := table.Remove(1000); !errors.Is(err, ErrUnknown) {
		t.Errorf("remove again: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	var table Table
	if _, err := table.Install(params(1, 1000, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Install(params(2, 1000, true)); !errors.Is(err, ErrExists) {
		t.Errorf("same SPI: %v", err)
	}
	for _, spi := range []uint32{0, 1, 255} {
		if _, err := table.Install(params(1, spi, true)); !errors.Is(err, ErrSPI) {
			t.Errorf("SPI %d: %v", spi, err)
		}
	}
	p := params(1, 1001, true)
	p.KeyIn.Encr = p.KeyIn.Encr[:3]
	if _, err := table.Install(p); err == nil {
		t.Error("a short key was taken")
	}
}

func TestForget(t *testing.T) {
	var table Table
	kept, used := table.Group(1), table.Group(2)
	gone := table.Group(3)
	if _, err := table.Install(params(2, 1000, true)); err != nil {
		t.Fatal(err)
	}
	table.Forget(func(id uint32) bool { return id == 1 })
	if table.Group(1) != kept || table.Group(2) != used || table.Group(3) == gone {
		t.Error("wrong groups were dropped")
	}
}

func TestNewSPI(t *testing.T) {
	var table Table
	if _, err := table.Install(params(1, 0x01020304, true)); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader([]byte{0, 0, 0, 255, 1, 2, 3, 4, 0, 0, 1, 0})
	if spi, err := table.NewSPI(r); err != nil || spi != 256 {
		t.Errorf("got %d, %v", spi, err)
	}
	if _, err := table.NewSPI(r); err == nil {
		t.Error("no randomness, no error")
	}
	if _, err := table.NewSPI(rand.Reader); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	var table Table
	p := params(1, 1000, true)
	p.Soft, p.Hard = Limits{Bytes: 100}, Limits{Packets: 5}
	sa, err := table.Install(p)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Limit{NoLimit, SoftLimit, NoLimit, NoLimit, HardLimit, NoLimit} {
		if got := sa.CountIn(1, 60); got != want {
			t.Errorf("packet %d: %v, want %v", i, got, want)
		}
	}
	if !sa.In.Spent() || sa.Out.Spent() {
		t.Error("wrong direction is spent")
	}
	if !sa.Exhaust() || sa.Exhaust() || !sa.Out.Spent() {
		t.Error("Exhaust")
	}
	if c := sa.Counters(); c != (Counters{InPackets: 6, InBytes: 360}) {
		t.Errorf("counters %+v", c)
	}
	// Without any limit the sequence numbers are one.
	sa, err = table.Install(params(1, 1001, true))
	if err != nil {
		t.Fatal(err)
	}
	if got := sa.CountOut(math.MaxUint32, math.MaxUint64); got != NoLimit {
		t.Errorf("no limit: %v", got)
	}
}

func TestLowerMTU(t *testing.T) {
	var table Table
	sa, err := table.Install(params(1, 1000, true))
	if err != nil {
		t.Fatal(err)
	}
	p := sa.Path()
	if p.OuterMTU() != DefaultMTU || sa.LowerMTU(p, 1500) || !sa.LowerMTU(p, 1400) || sa.Path().OuterMTU() != 1400 {
		t.Errorf("path %+v", sa.Path())
	}
	if sa.LowerMTU(p, 1300) {
		t.Error("a stale path was lowered")
	}
	for s, v6 := range map[string]bool{"192.0.2.1:1": false, "[::ffff:192.0.2.1]:1": false, "[2001:db8::1]:1": true} {
		if got := (Path{Remote: netip.MustParseAddrPort(s)}).V6(); got != v6 {
			t.Errorf("%s: V6 is %v", s, got)
		}
	}
}

// TestConcurrent lets readers and writers meet; the race detector judges.
func TestConcurrent(t *testing.T) {
	var table Table
	var wg sync.WaitGroup
	for w := range uint32(4) {
		wg.Go(func() {
			for i := range uint32(200) {
				spi := 1000 + w*1000 + i
				if _, err := table.Install(params(w, spi, true)); err != nil {
					t.Error(err)
				}
				if table.Lookup(spi) == nil || table.Group(w).Active(0) == nil {
					t.Error("not found")
				}
				table.SetPath(spi, Path{MTU: 1400})
				table.Retire(spi)
				table.Forget(func(uint32) bool { return false })
				if _, err := table.Remove(spi); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(table.All()) != 0 {
		t.Error("pairs are left")
	}
}

func BenchmarkLookup10000(b *testing.B) {
	var table Table
	for i := range uint32(10000) {
		if _, err := table.Install(params(1, 1000+i, true)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if table.Lookup(7777) == nil {
			b.Fatal("lost")
		}
	}
}

// TestGroupsEndWithTheirPairs: a group that nobody names goes with its last pair.
func TestGroupsEndWithTheirPairs(t *testing.T) {
	var table Table
	remove := func(spi uint32) {
		t.Helper()
		if _, err := table.Remove(spi); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []Params{params(1, 1000, true), params(2, 2000, true), params(2, 2001, true), params(3, 3000, true)} {
		if _, err := table.Install(p); err != nil {
			t.Fatal(err)
		}
	}
	table.Group(2)
	table.Group(3)
	remove(1000)
	if len(table.groups) != 2 {
		t.Errorf("%d groups after the first has gone", len(table.groups))
	}
	table.ForgetGroup(2)
	remove(2000)
	if len(table.groups) != 2 {
		t.Errorf("%d groups while one of two pairs is left", len(table.groups))
	}
	remove(2001)
	remove(3000)
	if len(table.groups) != 1 || table.groups[3] == nil {
		t.Errorf("%d groups, want the named one", len(table.groups))
	}
	table.ForgetGroup(3)
	if len(table.groups) != 0 {
		t.Errorf("%d groups are left", len(table.groups))
	}
}

// BenchmarkInstall is one more pair among n.
func BenchmarkInstall(b *testing.B) {
	for _, n := range []uint32{10, 10_000} {
		b.Run(strconv.Itoa(int(n)), func(b *testing.B) {
			var table Table
			for i := range n {
				if _, err := table.Install(params(i, 1000+i*7919, true)); err != nil {
					b.Fatal(err)
				}
			}
			p := params(n, 999, true)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := table.Install(p); err != nil {
					b.Fatal(err)
				}
				if _, err := table.Remove(p.InSPI); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
