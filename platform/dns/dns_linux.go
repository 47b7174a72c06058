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

// inOtherNetns reports whether a process ("/proc/1") lives in another network
// namespace than we do. A service without CAP_SYS_PTRACE may not ask about
// other users' processes; systemd started it then, in the machine's own.
func inOtherNetns(process string) bool {
	var ours, theirs unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &ours) != nil || unix.Stat(process+"/ns/net", &theirs) != nil {
		return false
	}
	return ours.Ino != theirs.Ino || ours.Dev != theirs.Dev
}

// isForeign reports whether the file is the one that the first process sees,
// while we are in another network namespace than that: a change here would
// concern the wrong network. (ip netns exec leaves /etc/resolv.conf alone
// unless /etc/netns/NAME/resolv.conf is there.)
func (f *resolvConf) isForeign() bool {
	if !inOtherNetns(f.first) {
		return false
	}
	a, errA := os.Lstat(f.path)
	b, errB := os.Lstat(f.first + "/root" + f.path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
