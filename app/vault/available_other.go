//go:build !linux

package vault

// available reports whether there is a store: Windows and macOS always have
// one.
func available() bool { return true }
