package route

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport/platform/internal/journal"
)

// sysctlRoot is where the settings of the kernel are.
const sysctlRoot = "/proc/sys/"

// Notes are the journal: what must be undone that cannot be told from the
// machine itself. They hold for one boot and one network namespace; both end
// together with the changes.
type notes struct {
	path string

	Boot  string `json:"boot"`
	Netns uint64 `json:"netns"`

	Device    string         `json:"device,omitempty"`
	Index     int            `json:"index,omitempty"`
	MTU       int            `json:"mtu,omitempty"`    // before us
	WasUp     bool           `json:"was_up,omitempty"` // before us
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Sysctls   []sysctl       `json:"sysctls,omitempty"` // in the order of the changes
}

// A sysctl is one setting of the kernel that we changed.
type sysctl struct {
	Name   string `json:"name"` // "net/ipv4/ip_forward"
	Before string `json:"before"`
	After  string `json:"after"` // empty: changed by the kernel as a consequence of ours
}

func newNotes(path string) *notes {
	n := &notes{path: path}
	if b, err := os.ReadFile(sysctlRoot + "kernel/random/boot_id"); err == nil {
		n.Boot = strings.TrimSpace(string(b))
	}
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &st) == nil {
		n.Netns = st.Ino
	}
	return n
}

// openNotes reads the journal. On error it returns new notes.
func openNotes(path string) (*notes, error) {
	fresh, n := newNotes(path), &notes{path: path}
	found, err := journal.Load(path, n)
	if err != nil {
		return fresh, errors.Join(err, journal.Remove(path))
	}
	if !found || n.Boot != fresh.Boot || n.Netns != fresh.Netns {
		return fresh, nil
	}
	return n, nil
}

func (n *notes) save() error { return journal.Save(n.path, n) }

// undo restores what the notes tell of and forgets it.
func (n *notes) undo(h *netlink.Handle) error {
	var errs []error
	for _, s := range slices.Backward(n.Sysctls) {
		errs = append(errs, s.restore())
	}
	if n.Device != "" {
		errs = append(errs, n.undoDevice(h))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	n.Sysctls, n.Device, n.Index, n.MTU, n.WasUp, n.Addresses = nil, "", 0, 0, false, nil
	return nil
}

func (n *notes) undoDevice(h *netlink.Handle) error {
	link, err := h.LinkByName(n.Device)
	if gone := (netlink.LinkNotFoundError{}); errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return err
	}
	if link.Attrs().Index != n.Index {
		return nil // somebody else's device of the same name
	}
	for _, p := range n.Addresses {
		if err := removeAddress(h, link, p); err != nil {
			return err
		}
	}
	if !n.WasUp {
		if err := h.LinkSetDown(link); err != nil {
			return err
		}
	}
	if n.MTU != 0 && n.MTU != link.Attrs().MTU {
		return h.LinkSetMTU(link, n.MTU)
	}
	return nil
}

// change sets a kernel setting, having noted what it was.
func (n *notes) change(name, value string) error {
	before, err := readSysctl(name)
	if err != nil || before == value {
		return err
	}
	if i := slices.IndexFunc(n.Sysctls, func(s sysctl) bool { return s.Name == name }); i >= 0 {
		n.Sysctls[i].After = value
	} else {
		n.Sysctls = append(n.Sysctls, sysctl{name, before, value})
	}
	if err := n.save(); err != nil {
		return err
	}
	return writeSysctl(name, value)
}

// drop restores the settings that match and forgets them.
func (n *notes) drop(match func(name string) bool) error {
	keep := make([]sysctl, 0, len(n.Sysctls))
	for _, s := range slices.Backward(n.Sysctls) {
		if !match(s.Name) {
			keep = append(keep, s)
			continue
		}
		if err := s.restore(); err != nil {
			return err
		}
	}
	if len(keep) == len(n.Sysctls) {
		return nil
	}
	slices.Reverse(keep)
	n.Sysctls = keep
	return n.save()
}

func isForwarding(name string) bool {
	return strings.HasSuffix(name, "forward") || strings.HasSuffix(name, "/forwarding") || strings.HasSuffix(name, "/accept_ra")
}

func isReversePath(name string) bool { return strings.HasSuffix(name, "/rp_filter") }

// remember notes a setting that the kernel is about to change by itself.
func (n *notes) remember(name string) error {
	if slices.ContainsFunc(n.Sysctls, func(s sysctl) bool { return s.Name == name }) {
		return nil
	}
	before, err := readSysctl(name)
	if err == nil {
		n.Sysctls = append(n.Sysctls, sysctl{Name: name, Before: before})
	}
	return err
}

// restore puts the old value back, unless somebody has changed it since.
func (s sysctl) restore() error {
	if !strings.HasPrefix(s.Name, "net/ipv") || filepath.Clean(s.Name) != s.Name {
		return fmt.Errorf("journal names the setting %q", s.Name)
	}
	now, err := readSysctl(s.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its device is gone
	}
	if err != nil || now == s.Before || s.After != "" && now != s.After {
		return err
	}
	return writeSysctl(s.Name, s.Before)
}

func readSysctl(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(sysctlRoot, name))
	if err != nil {
		return "", fmt.Errorf("read kernel setting: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func writeSysctl(name, value string) error {
	f, err := os.OpenFile(filepath.Join(sysctlRoot, name), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("set kernel setting to %s: %w", value, err)
	}
	return nil
}
