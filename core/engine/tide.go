package engine

import "runtime/debug"

// A tide notices that most of many peers have gone. What they took is then given
// back to the machine at once: by itself Go would keep it for minutes, for peers
// that may not come again.
type tide struct{ high int }

// spring is how many Child SAs are many.
const spring = 1024

// ebbed reports whether of many n are left that are less than a quarter, once.
func (t *tide) ebbed(n int) bool {
	t.high = max(t.high, n)
	if t.high < spring || n > t.high/4 {
		return false
	}
	t.high = n
	return true
}

// giveBack gives the machine the memory of peers that have gone. The loop does not
// wait for it.
func (e *Engine) giveBack() {
	if e.tide.ebbed(len(e.kids.bySPI)) {
		go debug.FreeOSMemory()
	}
}
