//go:build linux || darwin

package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"sallyport/core/host"
)

// checkModule reports why a module is not to be loaded: somebody else than root
// and the service's own user could put something in its place.
func checkModule(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	for p := real; ; p = filepath.Dir(p) {
		if info, err = os.Stat(p); err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("its owner is not known")
		}
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 && !sticky {
			return fmt.Errorf("%s is %w", p, host.ErrUnsafe)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}
