package token

import (
	"errors"
	"os"
	"path/filepath"
)

// places returns where modules may lie.
func places() []string {
	return first([]string{filepath.Join(os.Getenv("ProgramFiles"), "OpenSC Project", "OpenSC", "pkcs11")}, "opensc-pkcs11.dll")
}

// checkModule reports why a module is not to be loaded. Who may write below
// Program Files is the system's to say.
func checkModule(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	return nil
}
