package dns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/journal"
)

// A DNS sets name servers through systemd-resolved or in /etc/resolv.conf.
type DNS struct {
	journal string // path
	file    resolvConf
	// connect opens the system bus, on which resolved is.
	connect func() (*dbus.Conn, error)

	mu       sync.Mutex // guards the rest, and holds one Set or Cleanup at a time
	warnings []string
}

// Notes are the journal: what was changed, and by which way.
type notes struct {
	// Link is the index of the device whose settings resolved has; it forgets
	// them by itself when the device goes. Device is its name.
	Link   int    `json:"link,omitempty"`
	Device string `json:"device,omitempty"`
	// File is the /etc/resolv.conf that we replaced.
	File *original `json:"file,omitempty"`
}

// New returns a DNS that keeps its journal and its backup of /etc/resolv.conf
// in the folder stateDir.
func New(stateDir string) *DNS {
	return &DNS{
		journal: filepath.Join(stateDir, "dns.json"),
		file:    resolvConf{path: "/etc/resolv.conf", backup: filepath.Join(stateDir, "resolv.conf.backup"), first: "/proc/1"},
		connect: func() (*dbus.Conn, error) { return dbus.ConnectSystemBus() },
	}
}

// Warnings implements host.Warner.
func (d *DNS) Warnings() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.warnings)
}

// Set implements host.DNS. Where the machine's DHCP client has rewritten
// /etc/resolv.conf meanwhile, what it wrote becomes the original.
func (d *DNS) Set(c host.DNSConfig) error {
	if err := check(c); err != nil {
		return fmt.Errorf("set name servers: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.warnings = nil
	var err error
	if len(c.Servers) == 0 {
		err = d.restoreLocked()
	} else {
		err = d.setLocked(c)
	}
	if err != nil {
		return fmt.Errorf("set name servers: %w", explain(err))
	}
	return nil
}

// Cleanup implements host.DNS.
func (d *DNS) Cleanup() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.warnings = nil
	if err := d.restoreLocked(); err != nil {
		return fmt.Errorf("restore name servers: %w", explain(err))
	}
	return nil
}

func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run the service as root (%w)", host.ErrPrivilege, err)
	}
	return err
}

func (d *DNS) setLocked(c host.DNSConfig) error {
	var n notes
	if _, err := journal.Load(d.journal, &n); err != nil {
		return err
	}
	resolved, err := d.resolved()
	if err != nil {
		return err
	}
	if resolved != nil {
		defer resolved.conn.Close()
		return d.setResolved(resolved, n, c)
	}
	if n.Link != 0 { // resolved is gone, or no longer in charge
		if err := d.restoreLocked(); err != nil {
			return err
		}
		n = notes{}
	}
	if d.file.isForeign() {
		d.warnings = append(d.warnings, "The name servers were not set: "+d.file.path+" belongs to another network namespace.")
		return nil
	}
	if len(c.Only) > 0 {
		d.warnings = append(d.warnings, "This machine cannot ask different name servers for different domains "+
			"(systemd-resolved can): every name is asked of the tunnel's servers.")
	}
	return d.file.set(n.File, c, func(o *original) error { return journal.Save(d.journal, notes{File: o}) })
}

func (d *DNS) setResolved(r *resolved, n notes, c host.DNSConfig) error {
	ifc, err := net.InterfaceByName(c.Device)
	if err != nil {
		return fmt.Errorf("device %s: %w", c.Device, err)
	}
	if n.File != nil || n.Link != 0 && n.Link != ifc.Index {
		if err := d.restoreLocked(); err != nil {
			return err
		}
	}
	if err := journal.Save(d.journal, notes{Link: ifc.Index, Device: c.Device}); err != nil {
		return err
	}
	if err := r.set(ifc.Index, c); err != nil {
		return errors.Join(err, d.restoreLocked())
	}
	return nil
}

// restoreLocked undoes what the journal tells of.
func (d *DNS) restoreLocked() error {
	var n notes
	found, err := journal.Load(d.journal, &n)
	if err != nil || !found {
		return err
	}
	if n.File != nil {
		if err := d.file.restore(n.File); err != nil {
			return err
		}
	}
	if n.Link != 0 {
		if err := d.revertLink(n); err != nil {
			return err
		}
	}
	return errors.Join(journal.Remove(d.journal), d.file.forget())
}

func (d *DNS) revertLink(n notes) error {
	ifc, err := net.InterfaceByName(n.Device)
	if err != nil || ifc.Index != n.Link {
		return nil // gone, and resolved forgot it
	}
	r, err := d.resolved()
	if err != nil || r == nil {
		return err // without resolved there is nothing to revert
	}
	defer r.conn.Close()
	return r.revert(n.Link)
}

// netns identifies the network namespace of a process ("/proc/1"). It is not ok
// where the system does not tell: without CAP_SYS_PTRACE, a service may not ask
// about other users' processes.
func netns(process string) (id [2]uint64, ok bool) {
	var st unix.Stat_t
	if unix.Stat(process+"/ns/net", &st) != nil {
		return id, false
	}
	return [2]uint64{st.Dev, st.Ino}, true
}

// isForeign reports whether the file belongs to another network namespace than
// ours, so that a change would concern the wrong network. "ip netns exec", and
// a systemd unit with NetworkNamespacePath, leave the machine's own
// /etc/resolv.conf in place, unless /etc/netns/NAME/resolv.conf is there to be
// mounted over it.
func (f *resolvConf) isForeign() bool {
	ours, ok := netns("/proc/thread-self")
	if !ok {
		return false
	}
	if first, ok := netns(f.first); ok {
		if first == ours {
			return false
		}
		a, errA := os.Lstat(f.path)
		b, errB := os.Lstat(f.first + "/root" + f.path)
		if errA == nil && errB == nil {
			return os.SameFile(a, b)
		}
	}
	return isNamed(ours) && !isMount(f.path)
}

// isNamed reports whether "ip netns" has made the namespace.
func isNamed(ns [2]uint64) bool {
	names, err := os.ReadDir("/run/netns")
	if err != nil {
		return false
	}
	for _, n := range names {
		var st unix.Stat_t
		if unix.Stat("/run/netns/"+n.Name(), &st) == nil && [2]uint64{st.Dev, st.Ino} == ns {
			return true
		}
	}
	return false
}

// isMount reports whether something is mounted over the file, or over what a
// link at path leads to (Linux 5.8).
func isMount(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_TYPE, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
