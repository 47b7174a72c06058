package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
	"sallyport/platform/route"
)

// TestFirewallTampering changes the rules of the service under require, as
// other programs do. They are back within a second, and the log says so.
func TestFirewallTampering(t *testing.T) {
	t.Parallel()
	b := newLeakBench(t, api.Require, leakScopes[0])
	// The kernel lists counters in any order.
	sorted := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	ruleset := func() string { return b.l.Client.Run("nft -s list table inet sallyport") }
	complaints := func() int {
		entries, err := b.s.Client.Log(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if e.Level == api.LogError && strings.Contains(e.Text, "another program changed the firewall rules") {
				n++
			}
		}
		return n
	}
	b.connect()
	b.up()
	b.once("connected", fateTunnel)
	for _, state := range []fate{fateTunnel, fateNothing} {
		if state == fateNothing {
			b.cut(true)
			b.until("the loss is noticed", func(c api.Connection) bool { return c.State != api.Connected })
		}
		for _, how := range []string{
			"nft flush ruleset",
			"nft delete table inet sallyport",
			"nft flush table inet sallyport",
			"nft insert rule inet sallyport output accept",
			"nft flush chain inet sallyport output",
		} {
			before, logged := ruleset(), complaints()
			begun := time.Now()
			b.l.Client.Run(how)
			for {
				out, _, err := b.l.Client.Output(time.Second, lab.Command("nft", "-s", "list", "table", "inet", "sallyport"))
				if err == nil && slices.Equal(sorted(out), sorted(before)) {
					break
				}
				if time.Since(begun) > time.Second {
					t.Fatalf("%s: the rules are not back after a second (%v):\n%s", how, err, lineDifference(before, out))
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Logf("%s: back after %v", how, time.Since(begun).Round(time.Millisecond))
			b.once(how, state)
			if n := complaints(); n == logged {
				t.Errorf("%s: the log is silent", how)
			}
		}
	}
	// What does not concern us is none of our business.
	logged := complaints()
	b.l.Client.Script("add table inet other\nadd chain inet other in { type filter hook input priority 0; }\nadd rule inet other in counter\n", "nft", "-f", "-")
	time.Sleep(300 * time.Millisecond)
	b.l.Client.Run("nft delete table inet other")
	time.Sleep(300 * time.Millisecond)
	if n := complaints(); n != logged {
		t.Errorf("the log complains of another program's own table")
	}
	b.settle()
}

// TestFirewallFails has the kernel refuse the service's table: it belongs to
// another program. Under require nothing is connected then, and it says why.
func TestFirewallFails(t *testing.T) {
	t.Parallel()
	b := newLeakBench(t, api.Require, leakScopes[0])
	owner := lab.Command("nft", "-i")
	orders, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := b.l.Client.Start("owner", owner)
	if _, err := io.WriteString(orders, "add table inet sallyport { flags owner; }\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the other program's table", func() bool {
		return strings.Contains(b.l.Client.Run("nft list ruleset"), "table inet sallyport")
	})
	ike := b.wire.IKE()
	e, exit := b.s.Error("connect", "office", "--profile", "require", "--wait", "10s")
	if e.Code != api.CodeFirewall || exit != 1 {
		t.Errorf("connect: exit code %d, %+v", exit, e)
	}
	t.Logf("%s %s %s", e.What, e.Why, e.Next)
	if c := b.s.Connection("office"); c.State == api.Connected || c.Problem == nil || c.Problem.Code != api.CodeFirewall {
		t.Errorf("office is %s: %v", c.State, c.Problem)
	}
	if n := b.wire.IKE() - ike; n > 0 {
		t.Errorf("%d IKE messages left without a firewall", n)
	}
	orders.Close()
	p.Stop() // its table goes with it
	b.s.Must("connect", "office", "--profile", "require", "--wait", "20s")
	b.once("connected", fateTunnel)
	b.settle()
}

// A datagram is one UDP packet of a test.
type datagram struct {
	device string
	from   uint16 // port; 0: any
	to     netip.AddrPort
	text   string
	mark   uint32
	uid    int // of the socket
}

// send sends the datagram from a machine; what the packet filter refuses is no
// error.
func (d datagram) send(t *testing.T, h *lab.Host) {
	t.Helper()
	err := h.Do(func() error { // on a thread of its own
		if d.uid != 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(d.uid), 0, 0); errno != 0 {
				return errno
			}
			defer unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
		}
		family, any := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(d.from)})
		var to unix.Sockaddr
		if a := d.to.Addr(); a.Is4() {
			to = &unix.SockaddrInet4{Addr: a.As4(), Port: int(d.to.Port())}
		} else {
			family, any = unix.AF_INET6, &unix.SockaddrInet6{Port: int(d.from)}
			to = &unix.SockaddrInet6{Addr: a.As16(), Port: int(d.to.Port())}
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(d.mark)), unix.BindToDevice(fd, d.device), unix.Bind(fd, any)); err != nil {
			return err
		}
		if err := unix.Sendto(fd, []byte(d.text), 0, to); err != nil && !errors.Is(err, unix.EPERM) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", d.text, err)
	}
}

// leaves reports whether a text is seen at the other end of a cable after f: for
// what is to leave it waits longer.
func leaves(h *lab.Host, dev, text string, want bool, f func()) bool {
	tap := h.Tap(dev)
	defer tap.Stop()
	f()
	wait := 80 * time.Millisecond
	if want {
		wait = 2 * time.Second
	}
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		over := time.Now().After(end)
		for _, frame := range tap.Frames() {
			if bytes.Contains(frame.Data, []byte(text)) {
				return true
			}
		}
		if over {
			return false
		}
	}
}

// TestExemptions blocks everything under require, and sends what is exempt and
// what only looks like it.
func TestExemptions(t *testing.T) {
	t.Parallel()
	b := newLeakBench(t, api.Require, leakScopes[0])
	// The gateway has a name now, which a server on the link knows.
	const name = "office.vpn.test"
	answers := nameServer(t, b.l.Wan, netip.AddrPortFrom(lab.RouterV4, 53), name, lab.GatewayV4)
	b.l.Client.Mount(func() error {
		return os.WriteFile("/etc/resolv.conf", []byte("nameserver "+lab.RouterV4.String()+"\n"), 0o644)
	})
	b.importClient(name)
	b.cut(true)

	packet := func(d datagram) func(*lab.Host) {
		d.device = "eth0"
		return func(h *lab.Host) { d.send(t, h) }
	}
	port := func(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }
	broadcast, servers := netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("ff02::1:2")
	cases := []struct {
		name string
		text string
		pass bool
		send func(*lab.Host)
	}{
		{"DHCP", "exempt-dhcp", true, packet(datagram{from: 68, to: port(broadcast, 67), text: "exempt-dhcp"})},
		{"DHCP to a server", "exempt-renew", true, packet(datagram{from: 68, to: port(lab.RouterV4, 67), text: "exempt-renew"})},
		{"DHCP from another port", "not-dhcp", false, packet(datagram{from: 1068, to: port(lab.RouterV4, 67), text: "not-dhcp"})},
		{"DHCPv6", "exempt-dhcp6", true, packet(datagram{from: 546, to: port(servers, 547), text: "exempt-dhcp6"})},
		{"DHCPv6 beyond the link", "not-dhcp6", false, packet(datagram{from: 546, to: port(lab.InternetV6, 547), text: "not-dhcp6"})},
		{"neighbour discovery", string(solicit(255)[8:]), true, func(h *lab.Host) { sendSolicitation(t, h, 255) }},
		{"neighbour discovery from afar", string(solicit(64)[8:]), false, func(h *lab.Host) { sendSolicitation(t, h, 64) }},
		{"IKE of another program", "not-ike", false, packet(datagram{to: port(lab.GatewayV4, 500), text: "not-ike"})},
		{"ESP of another program", "not-esp", false, packet(datagram{to: port(lab.GatewayV4, 4500), text: "not-esp"})},
		{"the mark in the hands of a user", "not-ours", false,
			packet(datagram{to: port(lab.GatewayV4, 4500), text: "not-ours", mark: route.Mark, uid: 65534})},
		{"the mark to another port", "not-either", false, packet(datagram{to: port(lab.InternetV4, 80), text: "not-either", mark: route.Mark})},
		{"a look-up of another program", "not-dns", false, packet(datagram{to: port(lab.RouterV4, 53), text: "not-dns"})},
		{"multicast DNS", "not-mdns", false, packet(datagram{to: netip.MustParseAddrPort("224.0.0.251:5353"), text: "not-mdns"})},
	}
	for _, c := range cases {
		if !leaves(b.l.Wan, "client", c.text, true, func() { c.send(b.l.Client) }) {
			t.Errorf("before anything is connected, %s does not leave: the test is blind", c.name)
		}
	}

	ike := b.wire.IKE()
	b.connect()
	b.until("the gateway is found silent", func(c api.Connection) bool { return c.State == api.Blocked })
	if answers() == 0 {
		t.Error("the service's own look-up found no name server")
	}
	if n := b.wire.IKE() - ike; n < 2 {
		t.Errorf("only %d IKE messages left", n)
	}
	for _, c := range cases {
		if got := leaves(b.l.Wan, "client", c.text, c.pass, func() { c.send(b.l.Client) }); got != c.pass {
			t.Errorf("%s: leaves %v, want %v", c.name, got, c.pass)
		}
	}
	b.once("blocked", fateNothing)
	for _, address := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		b.l.Client.HTTP("loopback", address)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		c, err := b.l.Client.Dial(ctx, "tcp", address)
		cancel()
		if err != nil {
			t.Errorf("loopback: %v", err)
			continue
		}
		c.Close()
	}
	sec, err := b.s.Client.Security(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Join(sec.Exempt, "; ")
	for _, what := range []string{"loopback", "IKE and ESP", "look-ups", "DHCP", "neighbour discovery"} {
		if !strings.Contains(listed, what) {
			t.Errorf("the list of exemptions lacks %s: %s", what, listed)
		}
	}
	b.cut(false)
	b.up()
	b.once("connected", fateTunnel)
	b.settle()
}

// TestLANExemption puts the client behind a router, on a network of private
// addresses, that the admin's policy exempts or does not.
func TestLANExemption(t *testing.T) {
	t.Parallel()
	b := newLeakBench(t, api.Require, leakScopes[0])
	b.l.Path(lab.BehindRouter)
	router := netip.MustParseAddr("192.168.77.1")
	cases := []struct {
		name string
		to   netip.AddrPort
		lan  string // what must be exempt for it to pass
	}{
		{"a machine on the LAN", netip.AddrPortFrom(router, 9), "lan"},
		{"multicast DNS", netip.MustParseAddrPort("224.0.0.251:5353"), "discovery"},
		{"SSDP", netip.MustParseAddrPort("239.255.255.250:1900"), "discovery"},
		{"a name server on the LAN", netip.AddrPortFrom(router, 53), ""},
		{"a machine beyond the router", netip.AddrPortFrom(lab.RouterV4, 9), ""},
		{"a private address elsewhere", netip.MustParseAddrPort("192.168.78.1:9"), ""},
	}
	for _, exempt := range []string{"", "lan", "lan and discovery"} {
		path := filepath.Join(b.l.Dir("policies"), "strict.toml")
		text := fmt.Sprintf(`version = 1
name = "strict"

[exemptions]
lan = %v
lan_discovery = %v

[[rules]]
name = "everything"
filter_list = "All IP Traffic"
filter_action = "Require security"
tunnel = "office"
`, exempt != "", strings.Contains(exempt, "discovery"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.s.Must("policy", "import", path, "--replace")
		b.s.Must("policy", "assign", "strict")
		b.up()
		sec, err := b.s.Client.Security(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if listed := strings.Contains(strings.Join(sec.Exempt, "; "), "192.168.77.0/24"); listed != (exempt != "") {
			t.Errorf("exempt %q: the list says %v", exempt, sec.Exempt)
		}
		for i, c := range cases {
			text := fmt.Sprintf("lan-%d-%s", i, exempt)
			d := datagram{device: "eth1", to: c.to, text: text}
			want := c.lan != "" && strings.Contains(exempt, c.lan)
			if got := leaves(b.l.NAT, "eth1", text, want, func() { d.send(t, b.l.Client) }); got != want {
				t.Errorf("exempt %q: %s: leaves %v, want %v", exempt, c.name, got, want)
			}
		}
		b.s.Must("policy", "unassign")
	}
	for i, c := range cases {
		text := fmt.Sprintf("lan-%d-open", i)
		d := datagram{device: "eth1", to: c.to, text: text}
		if !leaves(b.l.NAT, "eth1", text, true, func() { d.send(t, b.l.Client) }) {
			t.Errorf("nothing is assigned, and %s does not leave: the test is blind", c.name)
		}
	}
}

// solicit returns a neighbour solicitation (RFC 4861, section 4.3) for an
// address that tells the hop limit.
func solicit(hops byte) []byte {
	target := lab.RouterV6.As16()
	target[14], target[15] = 0x5a, hops
	return append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target[:]...)
}

func sendSolicitation(t *testing.T, h *lab.Host, hops byte) {
	t.Helper()
	body := solicit(hops)
	to := netip.MustParseAddr("ff02::1:ff00:fe")
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := errors.Join(unix.BindToDevice(fd, "eth0"), unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, int(hops))); err != nil {
			return err
		}
		if err := unix.Sendto(fd, body, 0, &unix.SockaddrInet6{Addr: to.As16()}); err != nil && !errors.Is(err, unix.EPERM) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nameServer answers for one name, and counts how often.
func nameServer(t *testing.T, h *lab.Host, at netip.AddrPort, name string, is netip.Addr) func() int {
	t.Helper()
	var c net.PacketConn
	if err := h.Do(func() (err error) { c, err = net.ListenPacket("udp", at.String()); return err }); err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{}, 1000)
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			var m dnsmessage.Message
			if err != nil || m.Unpack(b[:n]) != nil || len(m.Questions) != 1 || !strings.EqualFold(m.Questions[0].Name.String(), name+".") {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: is.As4()}}}
			}
			if out, err := m.Pack(); err == nil {
				if _, err := c.WriteTo(out, from); err == nil {
					answered <- struct{}{}
				}
			}
		}
	}()
	t.Cleanup(func() { c.Close() })
	return func() int { return len(answered) }
}
