package main

import (
	"sync"
	"time"
)

// How long Fyne's loop may sleep between two looks at its window, which it
// would else take sixty times a second. A key, the mouse and a poke end the
// sleep at once, so it is what an animation is drawn at that nobody's hand is on.
const (
	napShown  = 50 * time.Millisecond
	napHidden = 400 * time.Millisecond
)

// How long the loop stays awake.
const (
	// lively is after input: longer than a gesture rests between two events, and
	// than the animation that answers it.
	lively = time.Second
	// settling is after a poke: what waits for the loop is done and drawn then.
	settling = 120 * time.Millisecond
	// early is how much before its time a sleep ends that something has ended.
	early = 2 * time.Millisecond
)

// A pace lets the loop of the toolkit sleep while nothing happens.
type pace struct {
	wait   func(time.Duration) // sleeps until there is input, rouse is called, or the time is over
	rouse  func()              // ends a wait that is under way or about to begin
	hidden func() bool         // there is no window in sight
	now    func() time.Time

	mu     sync.Mutex // guards what follows; rouse is called while it is held
	asleep bool       // within wait, so that the toolkit is there to be roused
	poked  bool       // since the last frame
	until  time.Time  // when the loop may sleep again
}

// frame is called by the loop once a frame, before it draws. What happens
// within it is drawn with this frame.
func (p *pace) frame() {
	nap := napShown
	if p.hidden() {
		nap = napHidden
	}
	begun := p.now()
	p.mu.Lock()
	p.poked = false
	p.asleep = !begun.Before(p.until)
	asleep := p.asleep
	p.mu.Unlock()
	if !asleep {
		return
	}
	p.wait(nap)
	end := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asleep = false
	if !p.poked && end.Sub(begun) < nap-early {
		p.until = end.Add(lively)
	}
}

// poke keeps the loop awake for as long as it takes to do what has just been
// handed to it. It may be called on any goroutine.
func (p *pace) poke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(settling); until.After(p.until) {
		p.until = until
	}
	p.poked = true
	if p.asleep {
		p.rouse()
	}
}
