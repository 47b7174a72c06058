package engine

import (
	"math/rand/v2"
	"testing"
)

// TestSpread takes up to a tenth off, and leaves small limits and none alone.
func TestSpread(t *testing.T) {
	e := &Engine{opt: Options{Rand: rand.NewChaCha8([32]byte{1})}}
	seen := make(map[uint64]bool)
	for range 100 {
		n := e.spread(1000)
		if n > 1000 || n <= 900 {
			t.Errorf("1000 became %d", n)
		}
		seen[n] = true
	}
	if len(seen) < 20 {
		t.Errorf("only %d different limits", len(seen))
	}
	if e.spread(0) != 0 || e.spread(9) != 9 {
		t.Error("small limits do not stay")
	}
}
