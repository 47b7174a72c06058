package host

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// TestCleanup is a service that is killed while a tunnel is up: a fresh process
// finds the machine changed, and leaves it as it was.
func TestCleanup(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	roottest.Bind(t, "/etc/resolv.conf", "nameserver 192.0.2.53\n")
	for _, c := range []string{
		"ip link add e0 type veth peer name e1",
		"ip link set e0 up",
		"ip addr add 192.0.2.2/24 dev e0",
		"ip route add default via 192.0.2.1",
	} {
		roottest.Run(t, c)
	}
	look := func() string {
		b, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + roottest.Run(t, "ip rule") + roottest.Run(t, "ip -6 rule") + roottest.Run(t, "ip -4 route show table all")
	}
	before := look()
	dir := t.TempDir()
	s, err := New(Options{StateDir: filepath.Join(dir, "state"), ConfigDir: filepath.Join(dir, "config")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.NetMonitor.Close()
	d, err := s.OpenTUN("fh%d", 1400)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, v6 := range []bool{false, true} {
		c, err := s.OpenUDP(v6, 4500)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if other, err := s.OpenUDP(v6, 4500); other != nil || !errors.Is(err, host.ErrPortInUse) {
			t.Errorf("second OpenUDP = %v, %v", other, err)
		}
	}
	if err := errors.Join(
		s.Router.Set(host.RouteConfig{
			Device:    d.Name(),
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.5/32")},
			Routes:    []host.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0")}, {Dst: netip.MustParsePrefix("::/0")}},
		}),
		s.DNS.Set(host.DNSConfig{Device: d.Name(), Servers: []netip.Addr{netip.MustParseAddr("10.20.0.1")}}),
	); err != nil {
		t.Fatal(err)
	}
	if src, err := s.NetMonitor.Source(netip.MustParseAddr("198.51.100.1")); err != nil || src.String() != "192.0.2.2" {
		t.Errorf("Source = %v, %v, want the address outside of the tunnel", src, err)
	}
	if look() == before {
		t.Error("nothing was set")
	}
	for range 2 {
		if err := Cleanup(filepath.Join(dir, "state")); err != nil {
			t.Fatal(err)
		}
		if after := look(); after != before {
			t.Errorf("was\n%s\nis\n%s", before, after)
		}
	}
	// What the service remembers across restarts stays; the journals do not.
	if left, _ := os.ReadDir(filepath.Join(dir, "state")); len(left) != 1 || left[0].Name() != "memory" {
		t.Errorf("left %v in the state folder", left)
	}
}
