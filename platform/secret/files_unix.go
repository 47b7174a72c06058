//go:build unix

package secret

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"sallyport/core/host"
)

// check refuses what belongs to another user, or that others may read or write
// although they must not.
func check(path string, info fs.FileInfo, private bool) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: %w", path, st.Uid, host.ErrUnsafe)
	}
	forbidden, want := fs.FileMode(0o022), "go-w"
	if private {
		forbidden, want = 0o077, "go-rwx"
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return fmt.Errorf("%s has mode %04o: %w: run \"chmod %s\" on it", path, mode, host.ErrUnsafe, want)
	}
	return nil
}

// protect has nothing to do: check looks at the mode that MkdirAll has set.
func protect(string, bool) error { return nil }

// openNoFollow does not wait for the writer of a pipe either.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
