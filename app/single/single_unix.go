//go:build linux || darwin

package single

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folder returns a folder that is this user's alone: XDG_RUNTIME_DIR, or one
// in the user's cache where there is none.
func folder() (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(dir) {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "sallyport")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Getuid() || fi.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s is not this user's alone", dir)
	}
	return dir, nil
}

func claim(key string) (net.Listener, func(), error) {
	dir, err := folder()
	if err != nil {
		return nil, nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, key+".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, errTaken
		}
		return nil, nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	path := filepath.Join(dir, key+".sock")
	_ = os.Remove(path) // of one that crashed: we hold the lock
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		if ln != nil {
			ln.Close()
		}
		lock.Close()
		return nil, nil, err
	}
	return ln, func() { lock.Close() }, nil
}

func dial(key string, wait time.Duration) (net.Conn, error) {
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	return net.DialTimeout("unix", filepath.Join(dir, key+".sock"), wait)
}

// mine fails unless the same user is at the other end.
func mine(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	uid, err2 := -1, error(nil)
	if err := raw.Control(func(fd uintptr) { uid, err2 = peer(int(fd)) }); err != nil {
		return err
	}
	if err2 != nil {
		return err2
	}
	if uid != os.Getuid() {
		return fmt.Errorf("user %d is at the other end", uid)
	}
	return nil
}
