//go:build !windows && !darwin

package autostart

import (
	"os"
	"path/filepath"
)

func path() (string, error) {
	dir, err := os.UserConfigDir() // XDG_CONFIG_HOME, else ~/.config
	return filepath.Join(dir, "autostart", id+".desktop"), err
}

// Enabled reports whether we are started at login.
func Enabled() (bool, error) {
	p, err := path()
	if err != nil {
		return false, err
	}
	return stored(p)
}

// Enable starts e at login from now on. It may be called twice.
func Enable(e Entry) error {
	p, err := path()
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return err
	}
	return store(p, desktopFile(e))
}

// Disable starts us no more.
func Disable() error {
	p, err := path()
	if err != nil {
		return err
	}
	return store(p, "")
}
