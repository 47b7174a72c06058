package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A loop draws a frame sixty times a second, as Fyne's does, and sleeps within.
type loop struct {
	pace   *pace
	hidden bool
	input  chan struct{}
	roused chan struct{}
	naps   []time.Duration // that were asked for
}

func newLoop() *loop {
	l := &loop{input: make(chan struct{}, 1), roused: make(chan struct{}, 8)}
	l.pace = &pace{now: time.Now, hidden: func() bool { return l.hidden }, rouse: func() { l.roused <- struct{}{} },
		wait: func(d time.Duration) {
			l.naps = append(l.naps, d)
			select {
			case <-time.After(d):
			case <-l.input:
			case <-l.roused:
			}
		}}
	return l
}

// run draws frames for some time and returns how many.
func (l *loop) run(d time.Duration) (frames int) {
	for end := time.Now().Add(d); time.Now().Before(end); frames++ {
		l.pace.frame()
		time.Sleep(time.Second / 60)
	}
	return frames
}

func TestPaceSleepsWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		if n := l.run(10 * time.Second); n > 160 {
			t.Errorf("%d frames in 10 s", n)
		}
		l.hidden = true
		l.naps = nil
		if n := l.run(10 * time.Second); n > 25 {
			t.Errorf("%d frames in 10 s without a window", n)
		}
		if slices.Contains(l.naps, napShown) {
			t.Errorf("naps of %v without a window", l.naps)
		}
	})
}

func TestPaceIsLivelyAfterInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		l.run(time.Second)
		l.input <- struct{}{}
		begun := time.Now()
		l.pace.frame()
		if took := time.Since(begun); took > 0 {
			t.Errorf("input waits for %v", took)
		}
		if n := l.run(lively); n < 59 {
			t.Errorf("%d frames in the second after it", n)
		}
		if n := l.run(10 * time.Second); n > 160 {
			t.Errorf("%d frames in the 10 s after that", n)
		}
	})
}

func TestPaceIsRousedByAPoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		l.hidden = true
		l.run(time.Second)
		begun := time.Now()
		go func() {
			time.Sleep(10 * time.Millisecond)
			l.pace.poke()
		}()
		l.pace.frame()
		if took := time.Since(begun); took != 10*time.Millisecond {
			t.Errorf("what is poked for waits for %v", took)
		}
		if n := l.run(settling); n < 7 {
			t.Errorf("%d frames to settle", n)
		}
		// A poke is no input: the loop sleeps again soon.
		if n := l.run(10 * time.Second); n > 25 {
			t.Errorf("%d frames in the 10 s after it", n)
		}
	})
}

// Nobody may call the toolkit while it is not asleep: it may be gone.
func TestPaceRousesNobodyWhoIsAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		l.run(time.Second)
		l.pace.poke()
		l.run(settling / 2)
		l.pace.poke()
		if len(l.roused) > 0 {
			t.Error("roused")
		}
	})
}
