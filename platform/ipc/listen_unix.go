//go:build linux || darwin

package ipc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is what fits into a sockaddr_un with its terminating zero on every
// system here (Linux 108, macOS 104).
const maxPath = 103

// Listen serves the socket at path. Its folder is created when missing (only
// the last component), and must belong to root or to this process and be
// writable by nobody else, or be sticky, so that no other user can put a socket
// of their own there. Everybody may connect: the server asks the kernel who
// calls and decides itself, with a sentence instead of a bare EACCES.
//
// A socket that a crashed service left is replaced; one that is served yields
// ErrInUse. A lock file beside the socket makes two starting services agree.
func Listen(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if len(path) > maxPath {
		return nil, fmt.Errorf("listen on %s: the path is longer than %d bytes, more than a socket address holds", path, maxPath)
	}
	dir, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l := &listener{dir: dir, name: filepath.Base(path)}
	if err := l.open(path); err != nil {
		l.release()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// A listener is a unix socket that goes away with its file and its lock. It
// works through a descriptor of the folder it has checked: a path could lead
// elsewhere a moment later.
type listener struct {
	*net.UnixListener
	dir  *os.File
	name string
	lock *os.File
	ino  uint64 // of the socket's file; 0: none is ours
	once sync.Once
	err  error
}

func (l *listener) open(path string) error {
	if err := l.takeLock(); err != nil {
		return err
	}
	if err := l.clearStale(path); err != nil {
		return err
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	u.SetUnlinkOnClose(false)
	l.UnixListener = u

	// The socket must have appeared in the folder that was checked.
	st, err := l.stat(l.name)
	if err != nil {
		return fmt.Errorf("the folder changed meanwhile: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != os.Geteuid() {
		return errors.New("the folder changed meanwhile: another file has the socket's name")
	}
	l.ino = st.Ino
	return unix.Fchmodat(int(l.dir.Fd()), l.name, 0o666, 0)
}

// takeLock takes the lock file, which goes away with Close. Whoever locks a
// file that is no longer the one of that name tries again.
func (l *listener) takeLock() error {
	name := l.name + ".lock"
	for range 10 {
		fd, err := unix.Openat(int(l.dir.Fd()), name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return fmt.Errorf("open the lock file %s: %w", name, err)
		}
		f := os.NewFile(uintptr(fd), name)
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return ErrInUse
			}
			return fmt.Errorf("lock %s: %w", name, err)
		}
		var mine unix.Stat_t
		if err := unix.Fstat(fd, &mine); err != nil {
			f.Close()
			return err
		}
		if now, err := l.stat(name); err == nil && now.Ino == mine.Ino {
			l.lock = f
			return nil
		}
		f.Close()
	}
	return ErrInUse
}

// clearStale removes a socket that nobody serves any more.
func (l *listener) clearStale(path string) error {
	st, err := l.stat(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("a file of that name exists and is not a socket; remove it or choose another path")
	}
	if uid := os.Geteuid(); uid != 0 && int(st.Uid) != uid {
		return fmt.Errorf("the socket there belongs to uid %d", st.Uid)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return ErrInUse
	}
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ask whether the socket is served: %w", err)
	}
	if err := unix.Unlinkat(int(l.dir.Fd()), l.name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket that a crash left: %w", err)
	}
	return nil
}

func (l *listener) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(l.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// Close stops listening and removes the socket and the lock.
func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.release() })
	return l.err
}

func (l *listener) release() error {
	var err error
	if l.ino != 0 {
		if st, e := l.stat(l.name); e == nil && st.Ino == l.ino {
			err = unix.Unlinkat(int(l.dir.Fd()), l.name, 0)
		}
	}
	if l.UnixListener != nil {
		err = errors.Join(err, l.UnixListener.Close())
	}
	if l.lock != nil {
		err = errors.Join(err, unix.Unlinkat(int(l.dir.Fd()), l.name+".lock", 0), l.lock.Close())
	}
	return errors.Join(err, l.dir.Close())
}

// openFolder opens the folder of the socket, creating it when only it is
// missing, and checks that no other user can change what is in it.
func openFolder(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the folder %s does not exist; create it first", filepath.Dir(dir))
		}
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the folder %s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, err
	}
	if err := checkFolder(uint32(st.Mode), st.Uid, uint32(os.Geteuid())); err != nil {
		f.Close()
		return nil, fmt.Errorf("the folder %s %w", dir, err)
	}
	return f, nil
}

// checkFolder tells whether a folder of that mode and owner keeps what uid
// puts there from all others but root.
func checkFolder(mode, owner, uid uint32) error {
	if owner != 0 && owner != uid {
		return fmt.Errorf("belongs to uid %d, who could replace the socket; choose one that belongs to root or to uid %d", owner, uid)
	}
	if mode&0o022 != 0 && mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("is writable by others (mode %04o), who could replace the socket; take that right away or choose another folder", mode&0o7777)
	}
	return nil
}
