package engine

import "testing"

func TestTide(t *testing.T) {
	var x tide
	for i, c := range []struct {
		n    int
		want bool
	}{
		{0, false}, {1000, false}, {0, false}, // never many
		{10_000, false}, {2501, false}, {2500, true}, {2500, false}, {900, false}, {600, true}, {0, false}, // in two steps, each told once
		{5000, false}, {0, true}, {0, false}, // all at once, and again
	} {
		if got := x.ebbed(c.n); got != c.want {
			t.Errorf("step %d, %d left: %v", i, c.n, got)
		}
	}
}
