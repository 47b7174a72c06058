package dns

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
)

const (
	resolvedName  = "org.freedesktop.resolve1"
	resolvedPath  = "/org/freedesktop/resolve1"
	resolvedIface = "org.freedesktop.resolve1.Manager"

	// busTimeout bounds a call to resolved, which answers within milliseconds.
	busTimeout = 5 * time.Second
)

// A resolved is a connection to systemd-resolved.
type resolved struct{ conn *dbus.Conn }

// The arguments of SetLinkDNS and SetLinkDomains.
type (
	linkServer struct {
		Family  int32
		Address []byte
	}
	linkDomain struct {
		Domain      string
		RoutingOnly bool
	}
)

// resolved connects to systemd-resolved, or returns nil where it is not in
// charge of names: not running, not what /etc/resolv.conf leads to, or in
// another network namespace, where a device's index means another device.
func (d *DNS) resolved() (*resolved, error) {
	if !d.file.isStub() {
		return nil, nil
	}
	conn, err := d.connect()
	if err != nil {
		return nil, nil // a machine without D-Bus
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	var pid uint32
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixProcessID", 0, resolvedName).Store(&pid)
	if err != nil {
		conn.Close()
		return nil, nil // nobody has the name
	}
	// Where the system does not tell, systemd started us beside resolved.
	ours, ok := netns("/proc/thread-self")
	theirs, ok1 := netns("/proc/" + strconv.FormatUint(uint64(pid), 10))
	if ok && ok1 && ours != theirs {
		conn.Close()
		return nil, nil
	}
	return &resolved{conn}, nil
}

// isStub reports whether programs that read resolv.conf ask resolved. Where the
// file lists resolved's upstream servers instead, they would go past it.
func (f *resolvConf) isStub() bool {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return false
	}
	stub := false
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			if f[1] != "127.0.0.53" && f[1] != "127.0.0.54" {
				return false
			}
			stub = true
		}
	}
	return stub
}

func (r *resolved) call(method string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	if err := r.conn.Object(resolvedName, resolvedPath).CallWithContext(ctx, resolvedIface+"."+method, 0, args...).Err; err != nil {
		return fmt.Errorf("systemd-resolved: %s: %w", method, err)
	}
	return nil
}

// set hands the servers and domains of a device to resolved. A domain "~."
// draws every name that no other device claims more closely.
func (r *resolved) set(link int, c host.DNSConfig) error {
	servers := make([]linkServer, len(c.Servers))
	for i, s := range c.Servers {
		s = s.Unmap()
		servers[i] = linkServer{unix.AF_INET6, s.AsSlice()}
		if s.Is4() {
			servers[i].Family = unix.AF_INET
		}
	}
	domains := []linkDomain{}
	for _, d := range c.Search {
		domains = append(domains, linkDomain{strings.TrimSuffix(d, "."), false})
	}
	for _, d := range c.Only {
		domains = append(domains, linkDomain{strings.TrimSuffix(d, "."), true})
	}
	if len(c.Only) == 0 {
		domains = append(domains, linkDomain{".", true})
	}
	for _, step := range []struct {
		method string
		arg    any
	}{
		{"SetLinkDNS", servers},
		{"SetLinkDomains", domains},
		{"SetLinkDefaultRoute", len(c.Only) == 0},
	} {
		if err := r.call(step.method, int32(link), step.arg); err != nil {
			return err
		}
	}
	return r.call("FlushCaches") // of answers that the other servers gave
}

func (r *resolved) revert(link int) error {
	if err := r.call("RevertLink", int32(link)); err != nil {
		return err
	}
	return r.call("FlushCaches")
}
