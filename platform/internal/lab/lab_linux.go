package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport/platform/internal/roottest"
)

// Addresses of the laboratory.
var (
	GatewayV4  = netip.MustParseAddr("198.51.100.1")
	GatewayV6  = netip.MustParseAddr("2001:db8:1::1")
	NATV4      = netip.MustParseAddr("198.51.100.2")
	ClientV4   = netip.MustParseAddr("198.51.100.100")
	ClientV6   = netip.MustParseAddr("2001:db8:1::100")
	BehindNAT  = netip.MustParseAddr("192.168.77.100") // the client's eth1
	InsideV4   = netip.MustParseAddr("10.10.0.10")
	InsideV6   = netip.MustParseAddr("fd00:10::10")
	InternetV4 = netip.MustParseAddr("203.0.113.10")
	InternetV6 = netip.MustParseAddr("2001:db8:99::10")
)

// A Lab is the network of the package's picture.
type Lab struct {
	Wan, Gateway, NAT, Client, Inside *Host

	t   testing.TB
	dir string
}

// newLab returns a laboratory without machines, for a test that must have root.
func newLab(t testing.TB) *Lab {
	t.Helper()
	roottest.Require(t)
	// Paths of unix sockets are short, so t.TempDir is too long.
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for processes without privilege
		t.Fatal(err)
	}
	return &Lab{t: t, dir: dir}
}

// New builds the network for one test, which must have root.
func New(t testing.TB) *Lab {
	t.Helper()
	l := newLab(t)
	l.Wan, l.Gateway, l.NAT, l.Client, l.Inside =
		newHost(l, "wan"), newHost(l, "gw"), newHost(l, "nat"), newHost(l, "client"), newHost(l, "inside")
	if err := l.wire(); err != nil {
		t.Fatalf("wire the laboratory: %v", err)
	}
	l.Gateway.Script("add table ip nat\nadd chain ip nat post { type nat hook postrouting priority 100; }\n"+
		"add rule ip nat post oifname eth0 ip saddr 10.0.0.0/8 masquerade\n"+
		"add table ip6 nat\nadd chain ip6 nat post { type nat hook postrouting priority 100; }\n"+
		"add rule ip6 nat post oifname eth0 ip6 saddr fd00::/8 masquerade\n", "nft", "-f", "-")
	l.NAT.Script("add table ip nat\nadd chain ip nat post { type nat hook postrouting priority 100; }\n"+
		"add rule ip nat post oifname eth0 masquerade\n", "nft", "-f", "-")
	l.serve()
	for _, d := range []struct {
		h   *Host
		dev string
	}{{l.Wan, "br0"}, {l.Gateway, "eth0"}, {l.Gateway, "eth1"}, {l.Inside, "eth0"}, {l.NAT, "eth0"}} {
		if err := d.h.settle(d.dev); err != nil {
			t.Fatal(err)
		}
	}
	l.Path(Direct)
	// The NAT notices with a delay that the client's other device is down.
	for end := time.Now().Add(5 * time.Second); !strings.Contains(l.NAT.Run("ip link show eth1"), "NO-CARRIER"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cable between NAT and client stays up")
		}
	}
	return l
}

// For returns the same network for a part of the test: failures, processes and
// instruments belong to t.
func (l *Lab) For(t testing.TB) *Lab {
	c := &Lab{t: t, dir: l.dir}
	c.Wan, c.Gateway, c.NAT, c.Client, c.Inside = l.Wan.of(c), l.Gateway.of(c), l.NAT.of(c), l.Client.of(c), l.Inside.of(c)
	return c
}

func (l *Lab) wire() error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := l.Wan.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if err := l.Wan.nl.LinkSetUp(bridge); err != nil {
		return err
	}
	for _, h := range []*Host{l.Gateway, l.NAT, l.Client} {
		if err := cable(h, "eth0", l.Wan, h.Name); err != nil {
			return err
		}
		port, err := l.Wan.nl.LinkByName(h.Name)
		if err != nil {
			return err
		}
		if err := l.Wan.nl.LinkSetMaster(port, bridge); err != nil {
			return err
		}
	}
	if err := cable(l.Gateway, "eth1", l.Inside, "eth0"); err != nil {
		return err
	}
	if err := cable(l.NAT, "eth1", l.Client, "eth1"); err != nil {
		return err
	}
	for _, a := range []struct {
		h    *Host
		dev  string
		addr string
	}{
		{l.Wan, "br0", "198.51.100.254/24 2001:db8:1::fe/64"},
		{l.Wan, "lo", InternetV4.String() + "/32 " + InternetV6.String() + "/128"},
		{l.Gateway, "eth0", "198.51.100.1/24 2001:db8:1::1/64"},
		{l.Gateway, "eth1", "10.10.0.1/16 fd00:10::1/64"},
		{l.NAT, "eth0", "198.51.100.2/24"},
		{l.NAT, "eth1", "192.168.77.1/24"},
		{l.Client, "eth0", "198.51.100.100/24 2001:db8:1::100/64"},
		{l.Client, "eth1", "192.168.77.100/24"},
		{l.Inside, "eth0", "10.10.0.10/16 fd00:10::10/64"},
	} {
		if err := a.h.address(a.dev, strings.Fields(a.addr)...); err != nil {
			return err
		}
	}
	for _, h := range []*Host{l.Gateway, l.NAT, l.Wan} {
		h.Sysctl("net.ipv4.ip_forward=1")
	}
	l.Gateway.Sysctl("net.ipv6.conf.all.forwarding=1")
	for _, dev := range []string{"eth0", "eth1"} {
		// The other end of a cable takes a moment after this one is up, and loses
		// what comes before. A question for a neighbour is repeated after a second,
		// which is as long as a test lets a change of path take.
		l.Client.Sysctl("net.ipv4.neigh." + dev + ".retrans_time_ms=50")
		l.Client.Sysctl("net.ipv6.neigh." + dev + ".retrans_time_ms=50")
	}
	for _, r := range []struct {
		h       *Host
		gateway string
	}{{l.Inside, "10.10.0.1"}, {l.Inside, "fd00:10::1"}, {l.Gateway, "198.51.100.254"}, {l.Gateway, "2001:db8:1::fe"}, {l.NAT, "198.51.100.254"}} {
		if err := r.h.defaultRoute(r.gateway); err != nil {
			return err
		}
	}
	return nil
}

// cable joins two machines by devices that send whole checksums.
func cable(a *Host, devA string, b *Host, devB string) error {
	return join(a, devA, b, devB, noChecksumOffload)
}

// join joins two machines. Each device is prepared before it is up.
func join(a *Host, devA string, b *Host, devB string, prepare func(dev string) error) error {
	err := a.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: devA}, PeerName: devB, PeerNamespace: netlink.NsFd(int(b.net.Fd())),
	})
	if err != nil {
		return fmt.Errorf("cable %s %s - %s %s: %w", a.Name, devA, b.Name, devB, err)
	}
	for _, end := range []struct {
		h   *Host
		dev string
	}{{a, devA}, {b, devB}} {
		if err := end.h.Do(func() error { return prepare(end.dev) }); err != nil {
			return fmt.Errorf("%s %s: %w", end.h.Name, end.dev, err)
		}
		if err := end.h.link(end.dev, true); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) link(dev string, up bool) error {
	l, err := h.nl.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("%s: link %s: %w", h.Name, dev, err)
	}
	if up {
		return h.nl.LinkSetUp(l)
	}
	return h.nl.LinkSetDown(l)
}

func (h *Host) address(dev string, prefixes ...string) error {
	l, err := h.nl.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("%s: link %s: %w", h.Name, dev, err)
	}
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := h.nl.AddrReplace(l, a); err != nil {
			return fmt.Errorf("%s: address %s: %w", h.Name, p, err)
		}
	}
	return nil
}

func (h *Host) defaultRoute(gateway string) error {
	via := netip.MustParseAddr(gateway)
	any := "0.0.0.0/0"
	if via.Is6() {
		any = "::/0"
	}
	dst, err := netlink.ParseIPNet(any)
	if err != nil {
		return err
	}
	if err := h.nl.RouteReplace(&netlink.Route{Dst: dst, Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("%s: route via %s: %w", h.Name, gateway, err)
	}
	return nil
}

// A Path is how the client reaches the world.
type Path int

// The paths.
const (
	Direct Path = iota
	BehindRouter
	Offline
)

// Path switches the client's path.
func (l *Lab) Path(p Path) {
	l.t.Helper()
	var err error
	do := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	switch p {
	case Direct:
		do(func() error { return l.Client.link("eth0", true) })
		do(func() error { return l.Client.address("eth0", ClientV6.String()+"/64") }) // lost with the link
		do(func() error { return l.Client.link("eth1", false) })
		do(func() error { return l.Client.defaultRoute("198.51.100.254") })
		do(func() error { return l.Client.defaultRoute("2001:db8:1::fe") })
	case BehindRouter:
		do(func() error { return l.Client.link("eth1", true) })
		do(func() error { return l.Client.link("eth0", false) })
		do(func() error { return l.Client.defaultRoute("192.168.77.1") })
	case Offline:
		do(func() error { return l.Client.link("eth0", false) })
		do(func() error { return l.Client.link("eth1", false) })
	}
	if p != Offline {
		up := map[Path]string{Direct: "eth0", BehindRouter: "eth1"}[p]
		do(func() error { return l.Client.settle(up) })
		if p == BehindRouter {
			do(func() error { return l.NAT.settle("eth1") })
		}
	}
	if err != nil {
		l.t.Fatalf("switch path: %v", err)
	}
}

// settle waits until the kernel has noticed that a device is up, which takes a
// moment, so that it is no change that a snapshot would see.
func (h *Host) settle(dev string) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := h.nl.LinkByName(dev)
		if err != nil {
			return err
		}
		addrs, err := h.nl.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		local := slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() })
		if l.Attrs().OperState == netlink.OperUp && local {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %s stays %v", h.Name, dev, l.Attrs().OperState)
		}
	}
}

// file returns the path of a file of the laboratory.
func (l *Lab) file(name string) string { return filepath.Join(l.dir, name) }

// Dir makes and returns a folder of the laboratory.
func (l *Lab) Dir(name string) string {
	l.t.Helper()
	d := l.file(name)
	if err := os.MkdirAll(d, 0o755); err != nil {
		l.t.Fatal(err)
	}
	return d
}

// showOnFailure puts the end of a log into the test's when the test has failed.
func (l *Lab) showOnFailure(path string) {
	l.t.Cleanup(func() {
		if !l.t.Failed() {
			return
		}
		const most = 12 << 10
		b, _ := os.ReadFile(path)
		if len(b) > most {
			b = append([]byte("...\n"), b[len(b)-most:]...)
		}
		l.t.Logf("%s:\n%s", filepath.Base(path), b)
	})
}
