package route

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
	"sallyport/platform/tun"
)

// snapshot is all that a Router may change. The table's name in "ip route
// show table all" is its number.
func snapshot(t *testing.T) string {
	t.Helper()
	var s strings.Builder
	for _, c := range []string{
		"ip -4 rule", "ip -6 rule", "ip -4 route show table all", "ip -6 route show table all", "ip addr", "ip link",
	} {
		out := roottest.Run(t, c)
		s.WriteString("# " + c + "\n" + out)
	}
	for _, pattern := range []string{
		"net/ipv4/ip_forward", "net/ipv4/conf/*/rp_filter", "net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/src_valid_mark",
		"net/ipv6/conf/*/forwarding", "net/ipv6/conf/*/accept_ra", "net/ipv6/conf/*/disable_ipv6",
	} {
		files, err := filepath.Glob(sysctlRoot + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s.WriteString(f + " = " + string(b))
		}
	}
	return s.String()
}

// diff returns the lines that only one of two snapshots has.
func diff(before, after string) string {
	lines := func(s string) map[string]bool {
		m := map[string]bool{}
		for _, l := range strings.Split(s, "\n") {
			m[l] = true
		}
		return m
	}
	b, a := lines(before), lines(after)
	var s strings.Builder
	for l := range b {
		if !a[l] {
			s.WriteString("- " + l + "\n")
		}
	}
	for l := range a {
		if !b[l] {
			s.WriteString("+ " + l + "\n")
		}
	}
	return s.String()
}

// machine makes a host with a network of both families, strict reverse path
// filters, one device that forwards on its own, and somebody else's rule. It
// returns the TUN device.
func machine(t *testing.T) *tun.Device {
	t.Helper()
	// Duplicate address detection would change addresses between snapshots.
	if err := writeSysctl("net/ipv6/conf/default/accept_dad", "0"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{
		"ip link add e0 type veth peer name e1",
		"ip addr add 192.0.2.2/24 dev e0",
		"ip addr add 2001:db8::2/64 dev e0 nodad",
		"ip link set e0 up",
		"ip link set e1 up",
		"ip route add default via 192.0.2.1",
		"ip -6 route add default via 2001:db8::1",
		"ip rule add pref 20000 from 203.0.113.0/24 lookup main",
		"ip route add 203.0.113.0/24 dev e0 table 77",
	} {
		roottest.Run(t, c)
	}
	for name, value := range map[string]string{
		"net/ipv4/conf/all/rp_filter":    "1",
		"net/ipv4/conf/e0/rp_filter":     "0",
		"net/ipv4/conf/e1/rp_filter":     "1",
		"net/ipv4/conf/e1/forwarding":    "1",
		"net/ipv6/conf/e1/accept_ra":     "0",
		"net/ipv6/conf/default/autoconf": "0",
	} {
		if err := writeSysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	// Addresses get their routes a moment after the devices are up.
	for end := time.Now().Add(5 * time.Second); strings.Count(roottest.Run(t, "ip -6 route show table local"), "local ") < 3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("IPv6 does not come up")
		}
	}
	d, err := tun.Open("fr0", 1400)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	// The kernel gives a device its queueing discipline when it first comes up.
	roottest.Run(t, "ip link set fr0 up")
	roottest.Run(t, "ip link set fr0 down")
	return d
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var (
	fullTunnel = host.RouteConfig{
		Device:    "fr0",
		MTU:       1300,
		Addresses: []netip.Prefix{pfx("10.20.0.5/24"), pfx("fd20::5/64")},
		Routes: []host.Route{
			{Dst: pfx("0.0.0.0/0"), Src: netip.MustParseAddr("10.20.0.5")},
			{Dst: pfx("::/0"), Src: netip.MustParseAddr("fd20::5")},
		},
	}
	splitTunnel = host.RouteConfig{
		Device:    "fr0",
		Addresses: []netip.Prefix{pfx("10.20.0.5/32")},
		Routes:    []host.Route{{Dst: pfx("10.30.0.0/16")}, {Dst: pfx("10.31.0.0/16"), Src: netip.MustParseAddr("10.20.0.5")}},
	}
	gateway = host.RouteConfig{
		Device:    "fr0",
		Addresses: []netip.Prefix{pfx("10.20.0.1/32"), pfx("fd20::1/128")},
		Routes:    []host.Route{{Dst: pfx("10.20.0.0/24")}, {Dst: pfx("fd20::/64")}},
		Forward:   true,
	}
)

func TestRouter(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	machine(t)
	dir := t.TempDir()
	before := snapshot(t)
	steps := map[string]func(*Router) error{
		"zero Set":        func(r *Router) error { return r.Set(host.RouteConfig{}) },
		"Cleanup":         func(r *Router) error { return r.Cleanup() },
		"Cleanup, killed": func(*Router) error { return New(dir).Cleanup() },
		"Set, killed": func(*Router) error { // a new process connects, and disconnects orderly
			r := New(dir)
			return errors.Join(r.Set(splitTunnel), r.Set(host.RouteConfig{}))
		},
	}
	for name, undo := range steps {
		for _, configs := range [][]host.RouteConfig{
			{fullTunnel}, {splitTunnel}, {gateway}, {fullTunnel, splitTunnel}, {splitTunnel, gateway, fullTunnel}, {gateway, gateway},
		} {
			r := New(dir)
			for _, c := range configs {
				if err := r.Set(c); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				once := snapshot(t)
				if err := r.Set(c); err != nil {
					t.Fatal(err)
				}
				if twice := snapshot(t); twice != once {
					t.Errorf("Set is not idempotent:\n%s", diff(once, twice))
				}
				fresh := New(dir)
				if err := fresh.Set(c); err != nil {
					t.Fatal(err)
				}
				if twice := snapshot(t); twice != once {
					t.Errorf("Set of a fresh process is not idempotent:\n%s", diff(once, twice))
				}
				if diff(before, once) == "" {
					t.Error("Set changed nothing")
				}
			}
			if err := undo(r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if after := snapshot(t); after != before {
				t.Errorf("after %s of %+v:\n%s", name, configs, diff(before, after))
			}
			if _, err := os.Stat(filepath.Join(dir, "route.json")); err == nil {
				t.Errorf("%s left the journal", name)
			}
		}
	}
}

// source returns the address and device by which the machine reaches dst, for
// a packet with the given mark.
func source(t *testing.T, dst string, mark string) string {
	t.Helper()
	f := strings.Fields(roottest.Run(t, "ip -o route get "+dst+" mark "+mark))
	got := ""
	for i := range f {
		if f[i] == "dev" || f[i] == "src" {
			got += f[i+1] + " "
		}
	}
	return strings.TrimSpace(got)
}

func TestRouting(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	machine(t)
	r := New(t.TempDir())
	for _, tt := range []struct {
		c               host.RouteConfig
		dst, mark, want string
	}{
		{fullTunnel, "198.51.100.1", "0", "fr0 10.20.0.5"},
		{fullTunnel, "198.51.100.1", "0x5a11", "e0 192.0.2.2"},
		{fullTunnel, "2001:db8:1::1", "0", "fr0 fd20::5"},
		{fullTunnel, "2001:db8:1::1", "0x5a11", "e0 2001:db8::2"},
		{fullTunnel, "192.0.2.2", "0", "lo 192.0.2.2"},
		{splitTunnel, "198.51.100.1", "0", "e0 192.0.2.2"},
		{splitTunnel, "10.30.1.1", "0", "fr0 10.20.0.5"},
		{splitTunnel, "10.31.1.1", "0", "fr0 10.20.0.5"},
		{splitTunnel, "10.31.1.1", "0x5a11", "e0 192.0.2.2"},
		{splitTunnel, "2001:db8:1::1", "0", "e0 2001:db8::2"},
		{gateway, "10.20.0.77", "0", "fr0 10.20.0.1"},
	} {
		if err := r.Set(tt.c); err != nil {
			t.Fatal(err)
		}
		if got := source(t, tt.dst, tt.mark); got != tt.want {
			t.Errorf("%s with mark %s goes by %s, want %s", tt.dst, tt.mark, got, tt.want)
		}
	}
	for name, want := range map[string]string{
		"net/ipv4/ip_forward":          "1",
		"net/ipv6/conf/all/forwarding": "1",
		"net/ipv6/conf/e0/accept_ra":   "2",
		"net/ipv6/conf/e1/accept_ra":   "0",
		"net/ipv4/conf/e0/rp_filter":   "2",
		"net/ipv4/conf/e1/rp_filter":   "2",
		"net/ipv4/conf/all/rp_filter":  "1",
	} {
		if got, err := readSysctl(name); got != want || err != nil {
			t.Errorf("%s = %s, %v, want %s", name, got, err, want)
		}
	}

	// What somebody else sets meanwhile is his.
	if err := writeSysctl("net/ipv4/conf/e0/rp_filter", "0"); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(host.RouteConfig{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := readSysctl("net/ipv4/conf/e0/rp_filter"); got != "0" {
		t.Errorf("rp_filter of e0 = %s, want what the administrator set", got)
	}
}

// TestMarkedSocket shows that a marked socket gets its answers, also through a
// strict reverse path filter, while everything else goes into the tunnel.
func TestMarkedSocket(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	for _, c := range []string{
		"ip netns add fgw",
		"ip link add e0 type veth peer name e1 netns fgw",
		"ip addr add 192.0.2.2/24 dev e0",
		"ip addr add 2001:db8::2/64 dev e0 nodad",
		"ip link set e0 up",
		"ip -n fgw addr add 192.0.2.1/24 dev e1",
		"ip -n fgw addr add 2001:db8::1/64 dev e1 nodad",
		"ip -n fgw link set e1 up",
	} {
		roottest.Run(t, c)
	}
	if err := errors.Join(writeSysctl("net/ipv4/conf/all/rp_filter", "1"), writeSysctl("net/ipv4/conf/e0/rp_filter", "1")); err != nil {
		t.Fatal(err)
	}
	d, err := tun.Open("fr0", 1400)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r := New(t.TempDir())
	if err := r.Set(fullTunnel); err != nil {
		t.Fatal(err)
	}

	for _, network := range []string{"udp4", "udp6"} {
		var c *net.UDPConn
		roottest.In(t, "fgw", func() { c, err = net.ListenUDP(network, &net.UDPAddr{Port: 4500}) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() { // echo
			b := make([]byte, 100)
			for {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				_, _ = c.WriteToUDPAddrPort(b[:n], from)
			}
		}()
	}
	v4 := &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 1}, Port: 4500}
	v6 := &unix.SockaddrInet6{Addr: netip.MustParseAddr("2001:db8::1").As16(), Port: 4500}
	for _, tt := range []struct {
		name   string
		family int
		to     unix.Sockaddr
		mark   int
		want   bool // an answer
	}{
		{"IPv4", unix.AF_INET, v4, Mark, true},
		{"IPv6", unix.AF_INET6, v6, Mark, true},
		{"IPv4, no mark", unix.AF_INET, v4, 0, false},
		{"IPv6, no mark", unix.AF_INET6, v6, 0, false},
	} {
		fd, err := unix.Socket(tt.family, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		wait := unix.Timeval{Sec: 3}
		if !tt.want {
			wait = unix.Timeval{Usec: 200_000}
		}
		if err := errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, tt.mark),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
			unix.Sendto(fd, []byte("hello"), 0, tt.to),
		); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if _, _, err := unix.Recvfrom(fd, b, 0); (err == nil) != tt.want {
			t.Errorf("%s: answer: %v, want one: %v", tt.name, err, tt.want)
		}
	}
}

func TestSetFailure(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	machine(t)
	dir := t.TempDir()
	r := New(dir)
	before := snapshot(t)
	bad := splitTunnel
	bad.Forward = true
	bad.Routes = append([]host.Route{{Dst: pfx("10.40.0.0/16")}}, host.Route{Dst: pfx("10.50.0.0/16"), Src: netip.MustParseAddr("198.51.100.9")})
	if err := r.Set(bad); err == nil {
		t.Fatal("a source that the machine does not have was accepted")
	}
	if after := snapshot(t); after != before {
		t.Errorf("a failed Set left:\n%s", diff(before, after))
	}
	if err := r.Set(fullTunnel); err != nil {
		t.Fatal(err)
	}
	full := snapshot(t)
	if err := r.Set(bad); err == nil {
		t.Fatal("accepted")
	}
	if after := snapshot(t); after != full {
		t.Errorf("a failed Set did not go back:\n%s", diff(full, after))
	}
	if err := r.Set(host.RouteConfig{Device: "absent0"}); err == nil {
		t.Error("a device that does not exist was accepted")
	}
	if after := snapshot(t); after != full {
		t.Errorf("a failed Set did not go back:\n%s", diff(full, after))
	}

	// A damaged journal is reported once, and does not keep routes and rules in place.
	if err := os.WriteFile(filepath.Join(dir, "route.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(dir).Cleanup(); err == nil {
		t.Error("Cleanup kept silent about a damaged journal")
	}
	if rules := roottest.Run(t, "ip rule"); strings.Contains(rules, "0x5a11") {
		t.Errorf("rules left:\n%s", rules)
	}
	if err := New(dir).Cleanup(); err != nil {
		t.Error(err)
	}
}

// TestDeviceGone is what a killed process leaves: its device vanished with it.
func TestDeviceGone(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	d := machine(t)
	dir := t.TempDir()
	if err := New(dir).Set(fullTunnel); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := New(dir).Cleanup(); err != nil {
		t.Fatal(err)
	}
	if s := snapshot(t); strings.Contains(s, "0x5a11") || strings.Contains(s, "23057") {
		t.Errorf("left behind:\n%s", s)
	}
	for _, e := range []string{"e0", "e1"} {
		want := map[string]string{"e0": "0", "e1": "1"}[e]
		if got, _ := readSysctl("net/ipv4/conf/" + e + "/rp_filter"); got != want {
			t.Errorf("rp_filter of %s = %s, want %s", e, got, want)
		}
	}
}

func TestIPv6Disabled(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	machine(t)
	if err := writeSysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t)
	r := New(t.TempDir())
	for _, c := range []host.RouteConfig{fullTunnel, gateway} {
		if err := r.Set(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Set(host.RouteConfig{}); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t); after != before {
		t.Errorf("left:\n%s", diff(before, after))
	}
}

func TestNoPrivilege(t *testing.T) {
	if err := explain(os.NewSyscallError("x", syscall.EPERM)); !errors.Is(err, host.ErrPrivilege) {
		t.Errorf("got %v", err)
	}
}

func TestBypass(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	machine(t)
	before := snapshot(t)
	r := New(t.TempDir())
	c := fullTunnel
	c.Routes = append([]host.Route{{Dst: pfx("198.51.100.0/24"), Bypass: true}, {Dst: pfx("2001:db8:1::/64"), Bypass: true}}, c.Routes...)
	for range 2 {
		if err := r.Set(c); err != nil {
			t.Fatal(err)
		}
		for dst, want := range map[string]string{
			"198.51.100.1":  "e0 192.0.2.2",
			"2001:db8:1::1": "e0 2001:db8::2",
			"203.0.113.1":   "fr0 10.20.0.5",
			"2001:db8:2::1": "fr0 fd20::5",
		} {
			if got := source(t, dst, "0"); got != want {
				t.Errorf("%s goes by %s, want %s", dst, got, want)
			}
		}
	}
	if err := r.Set(fullTunnel); err != nil {
		t.Fatal(err)
	}
	if got := source(t, "198.51.100.1", "0"); got != "fr0 10.20.0.5" {
		t.Errorf("no longer taken out, and it goes by %s", got)
	}
	if err := r.Set(host.RouteConfig{}); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t); after != before {
		t.Errorf("left over:\n%s", diff(before, after))
	}
}
