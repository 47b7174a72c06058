package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

var errNoBus = errors.New("no bus")

// newDNS returns a DNS for the file etc/resolv.conf, on a machine without D-Bus.
func newDNS(state, file string) *DNS {
	d := New(state)
	d.file.path = file
	d.connect = func() (*dbus.Conn, error) { return nil, errNoBus }
	return d
}

var (
	full = host.DNSConfig{Device: "t0", Servers: addrs("10.0.0.53", "::ffff:10.0.0.54", "fd00::53", "10.0.0.55"), Search: []string{"corp.example.", "lab.example"}}
	next = host.DNSConfig{Device: "t0", Servers: addrs("10.0.0.99")}
)

const fullText = "search corp.example lab.example\nnameserver 10.0.0.53\nnameserver 10.0.0.54\nnameserver fd00::53\n"

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

// body is the content of a file without comments.
func body(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for l := range strings.Lines(string(b)) {
		if !strings.HasPrefix(l, "#") {
			s.WriteString(l)
		}
	}
	return s.String()
}

// look describes what is at path: type, permissions, target, content.
func look(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		return "nothing"
	}
	s := info.Mode().String()
	if target, err := os.Readlink(path); err == nil {
		s += " -> " + target
	}
	b, _ := os.ReadFile(path)
	return s + "\n" + string(b)
}

const originalText = "# by hand\nnameserver 192.0.2.1\noptions edns0"

func TestResolvConf(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, path string){
		"file":          func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(originalText), 0o640)) },
		"empty file":    func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o644)) },
		"no file":       func(*testing.T, string) {},
		"dangling link": func(t *testing.T, path string) { must(t, os.Symlink("../run/absent/resolv.conf", path)) },
		"link": func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".real", []byte(originalText), 0o644))
			must(t, os.Symlink("resolv.conf.real", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for undoName, undo := range map[string]func(*DNS, string) error{
				"zero Set":        func(d *DNS, _ string) error { return d.Set(host.DNSConfig{}) },
				"Cleanup":         func(d *DNS, _ string) error { return d.Cleanup() },
				"Cleanup, killed": func(d *DNS, state string) error { return newDNS(state, d.file.path).Cleanup() },
				"Set, killed": func(d *DNS, state string) error {
					d = newDNS(state, d.file.path)
					return errors.Join(d.Set(full), d.Set(host.DNSConfig{}))
				},
			} {
				etc, state := t.TempDir(), t.TempDir()
				path := filepath.Join(etc, "resolv.conf")
				prepare(t, path)
				before := look(t, path)
				d := newDNS(state, path)
				for _, c := range []host.DNSConfig{full, full, next, full} {
					must(t, d.Set(c))
				}
				if got := body(t, path); got != fullText {
					t.Errorf("%s: wrote\n%s", undoName, got)
				}
				must(t, undo(d, state))
				if after := look(t, path); after != before {
					t.Errorf("%s: was %s\nis %s", undoName, before, after)
				}
				must(t, undo(d, state)) // nothing to do
				if left, _ := os.ReadDir(state); len(left) != 0 {
					t.Errorf("%s: left %v in the state folder", undoName, left)
				}
				if left, _ := filepath.Glob(filepath.Join(etc, ".*")); len(left) != 0 {
					t.Errorf("%s: left %v", undoName, left)
				}
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRewritten is a DHCP client that renews its lease while the tunnel is up.
func TestRewritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(path, []byte(originalText), 0o644))
	d := newDNS(t.TempDir(), path)
	must(t, d.Set(full))
	const renewed = "nameserver 192.0.2.2\n"

	// Not set again: the new content stays.
	must(t, os.WriteFile(path, []byte(renewed), 0o644))
	must(t, d.Set(host.DNSConfig{}))
	if got := body(t, path); got != renewed {
		t.Errorf("restored over what another program wrote:\n%s", got)
	}

	// Set again: the new content is the original.
	must(t, d.Set(full))
	must(t, os.WriteFile(path, []byte("nameserver 192.0.2.3\n"), 0o644))
	must(t, d.Set(full))
	if got := body(t, path); got != fullText {
		t.Errorf("did not write again:\n%s", got)
	}
	must(t, d.Cleanup())
	if got := body(t, path); got != "nameserver 192.0.2.3\n" {
		t.Errorf("restored\n%s", got)
	}
}

func TestCrashes(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "resolv.conf")
	must(t, os.WriteFile(path, []byte(originalText), 0o644))

	// Between the journal and the change.
	d := newDNS(state, path)
	must(t, d.Set(full))
	must(t, os.WriteFile(path, []byte(originalText), 0o644))
	must(t, newDNS(state, path).Cleanup())
	if got := look(t, path); !strings.HasSuffix(got, originalText) {
		t.Errorf("is %s", got)
	}

	// Amid a write in place.
	must(t, d.Set(full))
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(b[:60], "garbage"...), 0o644))
	must(t, newDNS(state, path).Cleanup())
	if got := look(t, path); !strings.HasSuffix(got, "\n"+originalText) {
		t.Errorf("is %s", got)
	}

	// A backup that is damaged is not put in place.
	must(t, d.Set(full))
	must(t, os.WriteFile(d.file.backup, []byte("nameserver 192.0.2.66\n"), 0o600))
	if err := newDNS(state, path).Cleanup(); err == nil {
		t.Error("restored a damaged backup")
	}

	// Another instance with a state folder of its own does not take ours for an original.
	if err := newDNS(t.TempDir(), path).Set(full); !errors.Is(err, host.ErrInUse) {
		t.Errorf("second instance: %v, want %v", err, host.ErrInUse)
	}
}

func TestWarning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	d := newDNS(t.TempDir(), path)
	split := next
	split.Only = []string{"corp.example"}
	must(t, d.Set(split))
	if len(d.Warnings()) != 1 {
		t.Errorf("warnings %q, want one about split DNS", d.Warnings())
	}
	must(t, d.Set(next))
	if len(d.Warnings()) != 0 {
		t.Errorf("warnings %q, want none", d.Warnings())
	}
}

// TestBindMount is /etc/resolv.conf of a container, which cannot be replaced.
func TestBindMount(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	const path = "/etc/resolv.conf"
	roottest.Bind(t, path, originalText)
	before := look(t, path)
	state := t.TempDir()
	d := newDNS(state, path)
	for _, c := range []host.DNSConfig{full, next, full} { // longer and shorter than the original
		must(t, d.Set(c))
	}
	if got := body(t, path); got != fullText {
		t.Errorf("wrote\n%s", got)
	}
	must(t, newDNS(state, path).Cleanup())
	if after := look(t, path); after != before {
		t.Errorf("was %s\nis %s", before, after)
	}
	if left, _ := filepath.Glob("/etc/.resolv.conf.*"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestForeign is a service in a namespace made by "ip netns" that sees the
// machine's own resolv.conf.
func TestForeign(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(path, []byte(originalText), 0o644))
	before := look(t, path)
	roottest.Run(t, "ip netns add fdns")
	for name, first := range map[string]string{
		"first process known":  fmt.Sprintf("/proc/%d", os.Getpid()),
		"first process hidden": "/proc/absent",
	} {
		d := newDNS(t.TempDir(), path)
		d.file.first = first
		roottest.In(t, "fdns", func() {
			if err := d.Set(full); err != nil {
				t.Error(err)
			}
		})
		if after := look(t, path); after != before || len(d.Warnings()) != 1 {
			t.Errorf("%s: warnings %q; was %s\nis %s", name, d.Warnings(), before, after)
		}
		must(t, d.Set(full)) // in the namespace of the first process
		if got := body(t, path); got != fullText {
			t.Errorf("%s: wrote\n%s", name, got)
		}
		must(t, d.Cleanup())
	}

	// A file mounted over it is the namespace's own.
	d := newDNS(t.TempDir(), path)
	d.file.first = "/proc/absent"
	roottest.Bind(t, path, originalText)
	roottest.In(t, "fdns", func() {
		if err := d.Set(full); err != nil {
			t.Error(err)
		}
	})
	if got := body(t, path); got != fullText || len(d.Warnings()) != 0 {
		t.Errorf("warnings %q, wrote\n%s", d.Warnings(), got)
	}
}
