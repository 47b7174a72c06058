//go:build !ci

package main

import (
	"fmt"
	"time"

	"fyne.io/fyne/v2"
	"github.com/go-gl/glfw/v3.4/glfw"
)

// newPace returns a pace for the loop of Fyne.
func newPace(hidden func() bool) *pace {
	return &pace{hidden: hidden, now: time.Now, rouse: glfw.PostEmptyEvent,
		wait: func(d time.Duration) { glfw.WaitEventsTimeout(d.Seconds()) }}
}

// start lets the pace hold from now on. Fyne ticks an animation in each frame,
// after it has looked for events and before it draws: there the loop can wait,
// and nowhere else, and not after the loop has ended.
func (p *pace) start() {
	a := fyne.NewAnimation(time.Minute, func(float32) { p.frame() })
	a.Curve, a.RepeatCount = fyne.AnimationLinear, fyne.AnimationRepeatForever
	a.Start()
}

// lacksToolkit says why Fyne has got no display, and nothing when it has. Fyne
// itself goes on without, until it panics.
func lacksToolkit() (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprint(r)
		}
	}()
	glfw.GetPlatform()
	return ""
}
