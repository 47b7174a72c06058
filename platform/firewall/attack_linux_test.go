package firewall

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// pseudo fills in the checksum of an ICMPv6 message.
func pseudo(d datagram) datagram {
	src, dst := netip.MustParseAddr(d.src).As16(), netip.MustParseAddr(d.dst).As16()
	b := append(append([]byte{}, src[:]...), dst[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(d.l4)))
	b = append(append(b, 0, 0, 0, icmpv6), d.l4...)
	binary.BigEndian.PutUint16(d.l4[2:], ^sum(b))
	return d
}

func echo(src, dst string) datagram {
	if netip.MustParseAddr(src).Is6() {
		return pseudo(datagram{src: src, dst: dst, protocol: icmpv6, l4: []byte{128, 0, 0, 0, 0, 1, 0, 1}})
	}
	l4 := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(l4[2:], ^sum(l4))
	return datagram{src: src, dst: dst, protocol: icmp, l4: l4}
}

// everything is what a program may send to an address.
func everything(src, dst string) []datagram {
	all := []datagram{
		udp4(src, dst, 40000, 443), tcp4(src, dst, 40000, 443), udp4(src, dst, 40000, 53), tcp4(src, dst, 40000, 853), echo(src, dst),
		{src: src, dst: dst, protocol: 50, l4: []byte(marker)}, // ESP of somebody else
		{src: src, dst: dst, protocol: 47, l4: []byte(marker)}, // GRE
		{src: src, dst: dst, protocol: udp, l4: []byte{0}},     // header cut short
		udp4(src, dst, 40000, 443).by("q0"),                    // SO_BINDTODEVICE
		tcp4(src, dst, 40000, 443).marked(mark),                // the mark without the rest
		udp4(src, dst, 40000, 443).marked(mark).by("q0"),
	}
	if netip.MustParseAddr(src).Is4() {
		return append(all,
			datagram{src: src, dst: dst, protocol: udp, l4: ports(4500, 4500), fragment: 0x2000},                      // the first
			datagram{src: src, dst: dst, protocol: udp, l4: ports(4500, 4500), fragment: 1},                           // the last
			datagram{src: src, dst: dst, protocol: udp, l4: ports(4500, 4500), fragment: 1, mark: mark, device: "q0"}, // that looks like IKE
		)
	}
	return append(all,
		datagram{src: src, dst: dst, protocol: tcp, l4: ports(40000, 443), ext: 0, next: []byte{tcp, 0, 1, 4, 0, 0, 0, 0}},              // hop by hop
		datagram{src: src, dst: dst, protocol: udp, l4: ports(40000, 443), ext: 60, next: []byte{udp, 0, 1, 4, 0, 0, 0, 0}},             // destination options
		datagram{src: src, dst: dst, protocol: udp, l4: ports(40000, 443), ext: 44, next: []byte{udp, 0, 0, 1, 0, 0, 0, 1}},             // first fragment
		datagram{src: src, dst: dst, protocol: udp, l4: ports(4500, 4500), ext: 44, next: []byte{udp, 0, 0, 8, 0, 0, 0, 1}},             // last
		datagram{src: src, dst: dst, protocol: udp, l4: ports(547, 546), ext: 60, next: []byte{60, 200, 1, 4, 0, 0, 0, 0}},              // a header that ends nowhere
		datagram{src: src, dst: dst, protocol: 59, l4: []byte(marker)},                                                                  // no next header
		datagram{src: src, dst: dst, protocol: udp, l4: ports(4500, 4500), ext: 51, next: []byte{udp, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, // AH
	)
}

// allExempt has every exemption, as a connection to 203.0.113.1 in a LAN has.
func allExempt(t *testing.T) host.FirewallIntent {
	i := require(t)
	i.DNSInside = true
	i.Exempt = host.FirewallExempt{
		IKE: []uint16{500, 4500}, DHCP: true, NDP: true,
		LAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fe80::/10")}, LANDiscovery: true,
	}
	return i
}

// blocked fails the test unless none of these leaves, and no dual of them.
func blocked(t *testing.T, s *sender, w *wire, what string, all []datagram) {
	t.Helper()
	w.settle()
	for _, d := range all {
		if s.passes(d) {
			t.Errorf("%s: %+v passes", what, d)
		}
	}
	w.nothing(what)
}

func TestNothingLeavesUnderRequire(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s, w := newSender(t), tap(t)
	open := require(t)
	open.Rules, open.Default = nil, host.FirewallClear
	targets := []struct{ src, dst string }{
		{our4, far4}, {our6, far6}, {our4, "8.8.8.8"}, {our4, "203.0.113.1"}, // the gateway's own address (TunnelCrack ServerIP)
		{our4, "224.0.0.1"}, {our4, "239.1.2.3"}, {"fe80::1", "ff02::1"}, {our6, "ff0e::1234"}, {our4, "192.168.2.255"}, // multicast, broadcast
		{"0.0.0.0", far4}, {"10.9.0.1", far4}, {"fd09::1", far6}, {"203.0.113.77", far4}, // sources that are not q0's
	}
	roottest.Run(t, "ip -6 addr add fe80::1/64 dev q0 nodad")
	roottest.Run(t, "ip route add multicast 224.0.0.0/4 dev q0")
	mustSet(t, f, open)
	for _, x := range targets { // the probe works
		if !s.passes(udp4(x.src, x.dst, 40000, 443)) {
			t.Fatalf("%v to %v does not pass without rules", x.src, x.dst)
		}
	}
	if len(w.arrived(len(targets))) < len(targets) {
		t.Fatal("the capture does not see what leaves")
	}
	mustSet(t, f, allExempt(t))
	for _, x := range targets {
		blocked(t, s, w, x.src+" to "+x.dst, everything(x.src, x.dst))
	}
	blocked(t, s, w, "DNS to the LAN's resolver", []datagram{
		udp4(our4, lan4, 40000, 53), tcp4(our4, lan4, 40000, 53), tcp4(our4, lan4, 40000, 853), udp4(our4, lan4, 40000, 853),
		udp4("fe80::1", "fe80::9", 40000, 53), {src: our4, dst: lan4, protocol: udp, l4: ports(40000, 53), fragment: 1},
	})
	if !s.passes(udp4(our4, far4, 40000, 443).by("sp0")) || !s.passes(udp4(our4, lan4, 40000, 53).by("sp0")) {
		t.Error("the tunnel is closed too")
	}
}

// TestRoutesDoNotMatter are rogue DHCP routes (TunnelVision, CVE-2024-3661), a
// network that hands out public addresses (TunnelCrack LocalNet) and rogue
// router advertisements.
func TestRoutesDoNotMatter(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s, w := newSender(t), tap(t)
	i := allExempt(t)
	i.Rules = append([]host.FirewallRule{rule(t, "10.1.0.0/16", host.FirewallTunnelOnly)}, i.Rules...)
	mustSet(t, f, i)
	for _, c := range []string{
		"ip route add 0.0.0.0/1 via 192.168.1.66", "ip route add 128.0.0.0/1 via 192.168.1.66", "ip route add 10.1.0.0/16 dev q0",
		"ip route add 203.0.113.9/32 via 192.168.1.66", "ip addr add 198.51.100.7/24 dev q0",
	} {
		roottest.Run(t, c)
	}
	for _, dst := range []string{far4, "10.1.2.3", "198.51.100.9"} {
		blocked(t, s, w, "route to "+dst, everything(our4, dst))
	}

	ra := []byte{134, 0, 0, 0, 64, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0}
	ra = append(ra, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0) // prefix 2001:db8:bad::/64
	ra = append(ra, netip.MustParseAddr("2001:db8:bad::").AsSlice()...)
	ra = append(ra, 24, 3, 48, 0x08, 0, 0, 0x0e, 0x10) // route to 2001:db8:99::/48, of high preference
	ra = append(ra, netip.MustParseAddr("2001:db8:99::").AsSlice()...)
	ra = append(ra, 1, 1)
	ra = append(ra, peerMAC...)
	roottest.Run(t, "sysctl -qw net.ipv6.conf.q0.accept_ra=2")
	w.inject(pseudo(datagram{src: "fe80::bad", dst: "ff02::1", protocol: icmpv6, hops: 255, l4: ra}))
	for deadline := time.Now().Add(3 * time.Second); !strings.Contains(roottest.Run(t, "ip -6 addr show dev q0"), "2001:db8:bad:"); {
		if time.Now().After(deadline) {
			t.Fatal("the advertisement has no effect, so that the test proves nothing")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, dst := range []string{far6, "2001:db8:bad::9"} {
		blocked(t, s, w, "advertised route to "+dst, everything(our6, dst))
	}

	i.Exempt.LAN = append(i.Exempt.LAN, netip.MustParsePrefix("198.51.100.0/24"))
	if err := f.Set(i); err == nil {
		t.Error("a public range is taken for a LAN")
	}
	blocked(t, s, w, "after a refused intent", everything(our4, "198.51.100.9"))
}

// TestInnerAddress is somebody on the link who looks for the address of the
// tunnel, and for connections in it (CVE-2019-14899).
func TestInnerAddress(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	w := tap(t)
	probes := []datagram{echo(lan4, "10.9.0.1"), echo(lan6, "fd09::1"), synAck(lan4, "10.9.0.1")}
	for _, c := range []string{"ip route del default dev sp0", "ip -6 route del default dev sp0"} {
		roottest.Run(t, c)
	}
	for _, p := range probes {
		w.inject(p)
		if len(w.arrived(1)) == 0 {
			t.Fatalf("no answer to %+v before there are rules, so that the test proves nothing", p)
		}
	}
	i := require(t)
	i.Rules, i.Default = nil, host.FirewallClear // whatever the rules say
	mustSet(t, f, i)
	for _, p := range probes {
		w.inject(p)
	}
	for _, p := range w.settle() {
		// These rules permit what the kernel says of itself (MLD), which may come at any time.
		if bytes.Contains(p, netip.MustParseAddr(lan4).AsSlice()) || bytes.Contains(p, netip.MustParseAddr(lan6).AsSlice()) {
			t.Errorf("a probe of the inner address is answered: % x", p[:min(len(p), 64)])
		}
	}
	w.inject(echo(lan4, our4))
	if len(w.arrived(1)) == 0 {
		t.Error("the outer address does not answer either")
	}
}

func synAck(src, dst string) datagram {
	l4 := append([]byte{0x01, 0xbb, 0x9c, 0x40}, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x12, 0xff, 0xff, 0, 0, 0, 0)
	a, b := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	p := append(append(append(a[:], b[:]...), 0, tcp, 0, byte(len(l4))), l4...)
	binary.BigEndian.PutUint16(l4[16:], ^sum(p))
	return datagram{src: src, dst: dst, protocol: tcp, l4: l4}
}

// TestOpenSockets are connections from before: there is no shortcut for them.
func TestOpenSockets(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	w := tap(t)
	var l net.Listener
	var err error
	roottest.In(t, "qpeer", func() { l, err = net.Listen("tcp", lan4+":4433") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	u, err := net.Dial("udp", far4+":443")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for _, conn := range []net.Conn{c, u, peer} {
		if _, err := conn.Write([]byte(marker)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.arrived(2)) < 2 {
		t.Fatal("the connections do not work to begin with")
	}
	mustSet(t, f, require(t))
	w.settle()
	_, _ = c.Write([]byte(marker))
	if _, err := u.Write([]byte(marker)); err == nil {
		t.Error("an open UDP socket may send")
	}
	_, _ = peer.Write([]byte(marker))  // not acknowledged
	time.Sleep(500 * time.Millisecond) // for retransmissions
	w.nothing("open sockets")
}

// TestRedirect is an ICMP redirect, which must not change routes.
func TestRedirect(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	w := tap(t)
	for _, name := range []string{"all", "q0"} {
		roottest.Run(t, "sysctl -qw net.ipv4.conf."+name+".accept_redirects=1 net.ipv4.conf."+name+".secure_redirects=0 net.ipv4.conf."+name+".send_redirects=0")
	}
	roottest.Run(t, "ip neigh add 192.168.1.66 lladdr "+peerMAC.String()+" dev q0 nud permanent")
	redirect := func(dst string) datagram {
		quoted := echo(our4, dst)
		quoted.l4[0] = 0 // a reply: of other packets the kernel wants the socket
		l4 := append([]byte{icmpRedirect, 1, 0, 0, 192, 168, 1, 66}, quoted.bytes()[:28]...)
		binary.BigEndian.PutUint16(l4[2:], ^sum(l4))
		return datagram{src: lan4, dst: our4, protocol: icmp, l4: l4}
	}
	route := func(dst string) string {
		s := newSender(t)
		s.passes(echo(our4, dst)) // so that the route is in use
		w.inject(redirect(dst))
		w.settle()
		return roottest.Run(t, "ip route get "+dst)
	}
	if out := route("203.0.113.10"); !strings.Contains(out, "192.168.1.66") {
		t.Fatalf("a redirect has no effect without rules, so that the test proves nothing: %s", out)
	}
	i := require(t)
	i.Rules, i.Default = nil, host.FirewallClear
	mustSet(t, f, i)
	before := counter(t, "in_dropped")
	if out := route("203.0.113.11"); strings.Contains(out, "192.168.1.66") {
		t.Errorf("a redirect changed the route: %s", out)
	}
	if counter(t, "in_dropped") != before+1 {
		t.Error("the redirect arrived")
	}
}

// TestForwarded are the packets of containers and virtual machines, which this
// machine forwards.
func TestForwarded(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	w := tap(t)
	for _, c := range []string{
		"ip netns add qguest",
		"ip link add g0 type veth peer name g1 netns qguest",
		"ip addr add 172.17.0.1/24 dev g0", "ip addr add fd17::1/64 dev g0 nodad", "ip link set g0 up",
		"ip -n qguest addr add 172.17.0.2/24 dev g1", "ip -n qguest addr add fd17::2/64 dev g1 nodad", "ip -n qguest link set g1 up",
		"ip -n qguest route add default via 172.17.0.1", "ip -n qguest -6 route add default via fd17::1",
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
	} {
		roottest.Run(t, c)
	}
	send := func() {
		for _, x := range [][2]string{{"172.17.0.2", far4}, {"fd17::2", far6}} {
			all := []datagram{udp4(x[0], x[1], 4500, 4500), tcp4(x[0], x[1], 40000, 443), udp4(x[0], x[1], 68, 67), echo(x[0], x[1])}
			roottest.In(t, "qguest", func() {
				for _, d := range all {
					d.device = ""
					s := newSender(t)
					s.passes(d)
				}
			})
		}
	}
	i := require(t)
	i.Rules, i.Default = nil, host.FirewallClear
	mustSet(t, f, i)
	send()
	time.Sleep(200 * time.Millisecond) // for the guest to find its router
	send()
	if n := len(w.arrived(4)); n < 4 {
		t.Fatalf("only %d packets are forwarded without rules", n)
	}
	mustSet(t, f, allExempt(t))
	w.settle()
	send()
	w.nothing("forwarded")
	for _, c := range []string{"ip route replace default dev sp0", "ip -6 route replace default dev sp0"} {
		roottest.Run(t, c)
	}
	for range 5 { // the machine may say something itself meanwhile, like MLD
		before := counter(t, "out_dropped") + counter(t, "in_dropped")
		send()
		w.settle()
		if counter(t, "out_dropped")+counter(t, "in_dropped") == before {
			return
		}
	}
	t.Error("the guest may not use the tunnel")
}

// TestReplace swaps intents while packets are sent all the time. Both intents
// forbid them, and have no chain, map or rule in common.
func TestReplace(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	w := tap(t)
	a, b := require(t), allExempt(t)
	for i := range 60 {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i), 1}).String()
		a.Rules = append([]host.FirewallRule{rule(t, addr+"/32[udp/443]", host.FirewallClear)}, a.Rules...)
		b.Rules = append([]host.FirewallRule{rule(t, addr+"/31", host.FirewallDrop)}, b.Rules...)
	}
	a.Rules, b.Rules = append([]host.FirewallRule{rule(t, "203.0.113.0/24[tcp/80]", host.FirewallClear)}, a.Rules...), append(b.Rules, rule(t, "203.0.113.8/29", host.FirewallDrop))
	mustSet(t, f, a)
	stop, sent := make(chan struct{}), make(chan int)
	go func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			close(sent)
			return
		}
		defer unix.Close(fd)
		to := &unix.SockaddrInet4{Port: 443, Addr: netip.MustParseAddr(far4).As4()}
		n := 0
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			if err := unix.Sendto(fd, []byte(marker), 0, to); err != unix.EPERM {
				t.Errorf("packet %d: %v, want EPERM", n, err)
			}
			n++
		}
	}()
	for i := range 200 {
		if i%2 == 0 {
			mustSet(t, f, b)
		} else {
			mustSet(t, f, a)
		}
	}
	close(stop)
	n := <-sent
	w.nothing("while intents were replaced")
	t.Logf("%d packets tried to leave while the intent was replaced 200 times", n)
	if n < 1000 {
		t.Errorf("only %d packets tried to leave", n)
	}
}

// TestKilled is a service that dies: its rules stay, and a fresh process can
// replace and remove them, and nothing else.
func TestKilled(t *testing.T) {
	if os.Getenv("Q_SET_AND_DIE") != "" {
		f := New(Config{Mark: mark})
		mustSet(t, f, allExempt(t))
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	if !roottest.Namespace(t) {
		return
	}
	roottest.Command(t, "nft")
	f := network(t)
	s, w := newSender(t), tap(t)
	roottest.Run(t, "nft add table inet other")
	roottest.Run(t, "nft add chain inet other sallyport")
	before := roottest.Run(t, "nft list ruleset")
	for range 2 {
		out := die(t)
		if !strings.Contains(roottest.Run(t, "nft list table inet sallyport"), "hook output") {
			t.Fatalf("the rules are gone: %s", out)
		}
		blocked(t, s, w, "after the service died", everything(our4, far4))
	}
	i := require(t)
	mustSet(t, f, i)
	blocked(t, s, w, "after a fresh one began", everything(our6, far6))
	if err := New(Config{}).Cleanup(); err != nil {
		t.Fatal(err)
	}
	if after := roottest.Run(t, "nft list ruleset"); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	if !s.passes(udp4(our4, far4, 40000, 443)) {
		t.Error("still blocked after clean-up")
	}
	if err := New(Config{}).Cleanup(); err != nil {
		t.Errorf("a second clean-up: %v", err)
	}
}
