package autostart

import (
	"os"
	"path/filepath"
)

func path() (string, error) {
	dir, err := os.UserHomeDir()
	return filepath.Join(dir, "Library", "LaunchAgents", id+".plist"), err
}

// Enabled reports whether we are started at login.
func Enabled() (bool, error) {
	p, err := path()
	if err != nil {
		return false, err
	}
	return stored(p)
}

// Enable starts e at login from now on. It may be called twice. launchd reads
// the file at the next login: nothing is started now.
func Enable(e Entry) error {
	p, err := path()
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return err
	}
	return store(p, agent(e))
}

// Disable starts us no more.
func Disable() error {
	p, err := path()
	if err != nil {
		return err
	}
	return store(p, "")
}
