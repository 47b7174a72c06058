package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// newerSuite is the Debian release whose strongSwan knows ML-KEM: 6.1, with
// OpenSSL 3.5. That of Debian 13 (6.0.1) has several key exchanges but is built
// without any that withstands quantum computers.
const newerSuite = "forky"

// StrongSwan6 starts an instance of a strongSwan newer than this machine's, out
// of a tree of Debian packages. The first call on a machine makes the tree,
// which takes 10 to 20 s.
func (h *Host) StrongSwan6(dir string, options ...string) *StrongSwan {
	h.lab.t.Helper()
	root, err := newerTree()
	if err != nil {
		h.lab.t.Fatalf("the packages of strongSwan 6: %v", err)
	}
	h.Mount(func() error {
		for _, d := range []string{"/proc", "/dev", "/sys", "/run", h.lab.dir} {
			at := filepath.Join(root, d)
			var there, here unix.Stat_t
			if unix.Stat(at, &there) == nil && unix.Stat(d, &here) == nil && there.Dev == here.Dev && there.Ino == here.Ino {
				continue // another instance on this machine
			}
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
			if err := unix.Mount(d, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
				return fmt.Errorf("mount %s: %w", d, err)
			}
		}
		return nil
	})
	h.lab.t.Cleanup(func() { _ = os.Remove(filepath.Join(root, h.lab.dir)) }) // the empty folder that it was mounted on
	return h.strongSwan(root, dir, options)
}

// newerTree returns a folder with the packages of a newer strongSwan and all
// that they need, unpacked. It stays for later tests.
var newerTree = sync.OnceValues(func() (string, error) {
	return debianTree(newerSuite, func(building, from string) error {
		// Packages are unpacked, not configured: nothing of theirs runs.
		return debootstrap("extract", "base-files,charon-systemd,strongswan-swanctl,libstrongswan-standard-plugins,libstrongswan-extra-plugins,libcharon-extra-plugins",
			newerSuite, building, from)
	})
})

// debianTree returns the folder of the name given, which build fills from a mirror when it
// is not there yet. It stays for later tests.
func debianTree(name string, build func(building, mirror string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	all := filepath.Join(cache, "sallyport-lab-debian")
	if err := os.MkdirAll(all, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(all, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	root := filepath.Join(all, name)
	if _, err := os.Stat(root); err == nil {
		return root, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	building := root + ".new"
	if err := os.RemoveAll(building); err != nil {
		return "", err
	}
	from, err := mirror()
	if err != nil {
		return "", err
	}
	if err := build(building, from); err != nil {
		return "", err
	}
	return root, os.Rename(building, root)
}

// debootstrap fills a folder with packages of a suite, and with what they need. A
// mirror that is a copy of some day is as good, whatever its Release file says.
func debootstrap(variant, packages, suite, folder, mirror string) error {
	return run("mmdebstrap", "--quiet", "--variant="+variant, "--aptopt=Acquire::Check-Valid-Until \"false\"", "--include="+packages, suite, folder, mirror)
}

// run runs a program that prepares something on this machine.
func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// mirror returns the Debian mirror that this machine uses.
func mirror() (string, error) {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, name := range append(files, "/etc/apt/sources.list") {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			for _, word := range strings.Fields(lines.Text()) {
				if strings.HasPrefix(word, "http") && strings.HasSuffix(strings.TrimSuffix(word, "/"), "/debian") {
					return word, nil
				}
			}
		}
	}
	return "", errors.New("apt names no mirror of Debian")
}
