//go:build !linux

package tray

import "errors"

// Available reports whether this session has a panel that shows the icon: on
// Windows and macOS it is part of the desktop.
func Available() bool { return true }

// Notify shows a notification without a window, which this system has no
// simple way for.
func Notify(title, body string) error {
	return errors.New("notifications need a window on this system")
}
