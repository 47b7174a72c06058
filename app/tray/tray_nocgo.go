//go:build darwin && !cgo

package tray

// A Tray of a build for macOS without cgo has no panel to show anything in:
// such a build is only checked, never shipped.
type Tray struct {
	Act  func(Item)
	quit chan struct{}
}

// New returns a tray that is never seen.
func New(_ bool, act func(Item)) *Tray { return &Tray{Act: act, quit: make(chan struct{})} }

// Start does nothing.
func (t *Tray) Start() {}

// Stop does nothing.
func (t *Tray) Stop() {}

// Run waits for Quit.
func (t *Tray) Run() { <-t.quit }

// Quit ends Run.
func (t *Tray) Quit() { close(t.quit) }

// SetDark does nothing.
func (t *Tray) SetDark(bool) {}

// Show does nothing.
func (t *Tray) Show(Menu) {}
