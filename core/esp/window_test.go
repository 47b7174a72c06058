package esp

import (
	"math/rand/v2"
	"testing"
)

// TestWindow holds the ring against a set that remembers everything.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w window
	seen := map[uint64]bool{}
	top := uint64(0)
	for range 200000 {
		var seq uint64
		switch r.IntN(20) {
		case 0:
			seq = top + r.Uint64N(3*WindowLen)
		case 1:
			seq = top - min(top, r.Uint64N(2*WindowLen))
		case 2:
			seq = top - min(top, WindowLen-1+r.Uint64N(3)) // about the edge
		default:
			seq = top - min(top, r.Uint64N(40)) + r.Uint64N(42)
		}
		want := seq != 0 && !seen[seq] && (seq > top || top-seq < WindowLen)
		if got := w.fresh(seq); got != want {
			t.Fatalf("top %d, sequence %d: fresh is %v", top, seq, got)
		}
		if want {
			w.mark(seq)
			seen[seq] = true
			top = max(top, seq)
		}
		if w.top != top {
			t.Fatalf("top %d, want %d", w.top, top)
		}
	}
}

func TestWindowJump(t *testing.T) {
	var w window
	for _, seq := range []uint64{1, 1 << 40, 1<<40 - 1, 1<<40 + WindowLen*5} {
		if !w.fresh(seq) {
			t.Fatalf("%d is not fresh", seq)
		}
		w.mark(seq)
		if w.fresh(seq) {
			t.Fatalf("%d is fresh again", seq)
		}
	}
	if w.fresh(1 << 40) {
		t.Error("a number left of the window is fresh")
	}
}

// TestInfer checks the cases of RFC 4303, appendix A2.2.
func TestInfer(t *testing.T) {
	for _, tt := range []struct {
		top  uint64
		low  uint32
		want uint64
	}{
		{0, 1, 1},
		{100, 50, 50},
		{100, 0xffffffff, 0xffffffff}, // no lower half exists: a leap ahead
		{1 << 31, 5, 1<<32 + 5},       // left of the window: the next half
		{1 << 31, 1<<31 - 5, 1<<31 - 5},
		{1<<32 + 10, 0xfffffff0, 0xfffffff0}, // window spans both halves
		{1<<32 + 10, 5, 1<<32 + 5},
		{1<<32 + 10, 1000, 1<<32 + 1000},
		{1<<32 + 100000, 0xfffffff0, 1<<32 | 0xfffffff0}, // within one half: ahead
		{1<<32 - 1, 0, 1 << 32},
		{5<<32 + 1<<31, 7, 6<<32 + 7},
	} {
		w := window{top: tt.top}
		if got := w.infer(tt.low); got != tt.want {
			t.Errorf("top %#x, low %#x: got %#x, want %#x", tt.top, tt.low, got, tt.want)
		}
	}
}

// FuzzInfer checks that what is inferred is the candidate nearest to the window.
func FuzzInfer(f *testing.F) {
	f.Add(uint64(1<<32+10), uint32(0xfffffff0))
	f.Fuzz(func(t *testing.T, top uint64, low uint32) {
		top %= 1 << 63
		w := window{top: top}
		got := w.infer(low)
		if uint32(got) != low {
			t.Fatalf("top %#x, low %#x: got %#x", top, low, got)
		}
		bottom := top - min(top, WindowLen-1)
		if got < bottom || got-bottom >= 1<<32 {
			t.Errorf("top %#x, low %#x: %#x is not the first from %#x on", top, low, got, bottom)
		}
	})
}
