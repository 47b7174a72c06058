package firewall

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
	"sallyport/platform/route"
	"sallyport/platform/tun"
)

// TestReroutedByOthers has another program route packets anew after the kernel
// has chosen the tunnel for them: what it sees last counts.
func TestReroutedByOthers(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	roottest.Command(t, "nft")
	f := network(t)
	s, w := newSender(t), tap(t)
	for _, c := range []string{
		"ip route add default dev sp0 table 77", "ip -6 route add default dev sp0 table 77",
		"ip rule add not fwmark 7 table 77 priority 700", "ip -6 rule add not fwmark 7 table 77 priority 700",
		"nft add table inet other",
		"nft add chain inet other reroute { type route hook output priority mangle ; }",
		"nft add rule inet other reroute udp dport { 53, 443 } meta mark set 7",
	} {
		roottest.Run(t, c)
	}
	open := require(t)
	open.Rules, open.Default = nil, host.FirewallClear
	mustSet(t, f, open)
	for _, d := range []datagram{udp4(our4, far4, 40000, 443), udp4(our6, far6, 40000, 443)} {
		if !s.passes(d) || !w.arrives(d.dst) {
			t.Fatal("the other program routes nothing, so that the test proves nothing")
		}
	}
	mustSet(t, f, require(t))
	for _, d := range []datagram{udp4(our4, far4, 40000, 443), udp4(our6, far6, 40000, 443)} {
		if s.passes(d) {
			t.Errorf("%+v passes", d)
		}
	}
	w.nothing("routed anew by another program")
	open.DNSInside = true
	mustSet(t, f, open)
	for _, d := range []datagram{udp4(our4, far4, 40000, 53), udp4(our6, far6, 40000, 53)} {
		if s.passes(d) {
			t.Errorf("%+v passes", d)
		}
	}
	w.nothing("DNS routed anew by another program")
}

// towards returns what left for an address since the last look.
func (w *wire) towards(addr string) (all [][]byte) {
	for _, p := range w.settle() {
		if d, ok := destinationOf(p); ok && d == netip.MustParseAddr(addr) {
			all = append(all, p)
		}
	}
	return all
}

// arrives waits for a packet to an address.
func (w *wire) arrives(addr string) bool {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		if len(w.towards(addr)) > 0 {
			return true
		}
	}
	return false
}

// destinationOf returns where an IP packet goes.
func destinationOf(p []byte) (netip.Addr, bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[16:20])), true
	case len(p) >= 40:
		return netip.AddrFrom16([16]byte(p[24:40])), true
	}
	return netip.Addr{}, false
}

// TestBeside has a network routed into the tunnel device of which the rules
// secure some ports only: the rest takes the way that it would take without us,
// from the same address, and the answers arrive.
func TestBeside(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	f.mark = route.Mark
	wire := tap(t)
	roottest.Run(t, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.q0.rp_filter=1")
	inside := tunnel(t)
	for _, a := range []string{lan4, lan6} {
		serve(t, net.JoinHostPort(a, "80"))
		serve(t, net.JoinHostPort(a, "445"))
	}
	r := route.New(t.TempDir())
	defer r.Cleanup()
	network4, network6 := netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8:1::/64")
	if err := r.Set(host.RouteConfig{Device: "sp1", MTU: 1380, Addresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.1/32")}, Routes: []host.Route{
		{Dst: network4, Src: netip.MustParseAddr(our4)}, {Dst: network6, Src: netip.MustParseAddr(our6)},
	}}); err != nil {
		t.Fatal(err)
	}
	intent := host.FirewallIntent{
		Device: "sp1", Inner: []netip.Addr{netip.MustParseAddr("10.8.0.1")}, Default: host.FirewallClear, DNSInside: true,
		Exempt: host.FirewallExempt{IKE: []uint16{500, 4500}, NDP: true}, Beside: []netip.Prefix{network4, network6},
	}
	only := []host.FirewallRule{
		labeled(rule(t, "192.168.1.0/24[tcp/445]", host.FirewallTunnelOnly), "files"), labeled(rule(t, "2001:db8:1::/64[tcp/445]", host.FirewallTunnelOnly), "files"),
		labeled(rule(t, "192.168.1.0/24", host.FirewallClear), "rest"), labeled(rule(t, "2001:db8:1::/64", host.FirewallClear), "rest"),
	}
	but := []host.FirewallRule{
		labeled(rule(t, "192.168.1.0/24[tcp/80]", host.FirewallClear), "rest"), labeled(rule(t, "2001:db8:1::/64[tcp/80]", host.FirewallClear), "rest"),
		labeled(rule(t, "192.168.1.0/24", host.FirewallTunnelOnly), "files"), labeled(rule(t, "2001:db8:1::/64", host.FirewallTunnelOnly), "files"),
	}
	check := func(what, addr string, port string, clear bool) {
		t.Helper()
		inside.clear()
		wire.settle()
		source, err := connect(net.JoinHostPort(addr, port))
		if (err == nil) != clear {
			t.Errorf("%s: %s port %s: %v", what, addr, port, err)
		}
		if clear && source != our4 && source != our6 {
			t.Errorf("%s: %s port %s is spoken to from %s", what, addr, port, source)
		}
		if n := inside.to(addr); (n == 0) != clear {
			t.Errorf("%s: %d packets to %s port %s enter the tunnel", what, n, addr, port)
		}
		if n := len(wire.towards(addr)); (n > 0) != clear {
			t.Errorf("%s: %d packets to %s port %s leave in clear", what, n, addr, port)
		}
	}
	for _, a := range []string{lan4, lan6} {
		intent.Rules, intent.Beside = only, nil
		mustSet(t, f, intent)
		check("without Beside", a, "80", false)

		intent.Beside = []netip.Prefix{network4, network6}
		mustSet(t, f, intent)
		check("one port secured", a, "80", true)
		check("one port secured", a, "445", false)
		check("one port secured", a, "53", false) // DNS stays inside
		if !ping(t, a) {
			t.Errorf("no answer to a ping of %s", a)
		}

		intent.Rules = but
		mustSet(t, f, intent)
		check("one port permitted", a, "80", true)
		check("one port permitted", a, "445", false)
		if ping(t, a) {
			t.Errorf("a ping of %s leaves", a)
		}
	}

	// Each packet is counted once.
	intent.Rules = only
	mustSet(t, f, intent)
	before, err := f.Counts()
	if err != nil {
		t.Fatal(err)
	}
	wire.settle()
	packets := counter(t, "out_cleared")
	if _, err := connect(net.JoinHostPort(lan4, "80")); err != nil {
		t.Fatal(err)
	}
	bytes := uint64(0)
	sent := wire.towards(lan4)
	for _, p := range sent {
		bytes += uint64(len(p))
	}
	if got := counter(t, "out_cleared") - packets; got < uint64(len(sent)) || got >= 2*uint64(len(sent)) { // the machine may say something itself
		t.Errorf("%d packets are counted of %d", got, len(sent))
	}
	after, err := f.Counts()
	if got := after["rest"].Clear - before["rest"].Clear; err != nil || got < bytes || got > 3*bytes { // and those that arrived
		t.Errorf("%d bytes are counted of %d, %v", got, bytes, err)
	}

	// What comes from the inner address stays, and what is bound to the device.
	wire.settle()
	s := newSender(t)
	s.passes(udp4("10.8.0.1", lan4, 40000, 80))
	s.passes(udp4(our4, lan4, 40000, 80).by("sp1"))
	// The mark alone opens nothing.
	intent.Rules = but
	mustSet(t, f, intent)
	b := batch{mark: route.Mark}
	for _, mark := range []uint32{b.mark, b.inside(), b.beside()} {
		s.passes(udp4(our4, lan4, 40000, 81).marked(int(mark)))
		s.passes(tcp4(our4, lan4, 40000, 445).marked(int(mark)))
	}
	for _, a := range []string{lan4, lan6} {
		for _, p := range wire.towards(a) {
			t.Errorf("around the rules: % x", p)
		}
	}
}

// An inlet remembers what enters a tunnel device.
type inlet struct {
	mu   sync.Mutex // guards seen
	seen []netip.Addr
}

// tunnel opens the device sp1.
func tunnel(t *testing.T) *inlet {
	t.Helper()
	dev, err := tun.Open("sp1", 1400)
	if err != nil {
		t.Fatal(err)
	}
	in, done := new(inlet), make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<17)
		for {
			n, err := dev.Read(b)
			if err != nil {
				return
			}
			in.note(b[min(n, host.VNetLen):n])
		}
	}()
	t.Cleanup(func() {
		dev.Close()
		<-done
	})
	return in
}

func (in *inlet) note(p []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if a, ok := destinationOf(p); ok {
		in.seen = append(in.seen, a)
	}
}

func (in *inlet) clear() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen = nil
}

// to counts the packets to an address.
func (in *inlet) to(addr string) (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range in.seen {
		if a == netip.MustParseAddr(addr) {
			n++
		}
	}
	return n
}

// serve accepts connections in the peer's namespace.
func serve(t *testing.T, addr string) {
	t.Helper()
	var l net.Listener
	var err error
	roottest.In(t, "qpeer", func() { l, err = net.Listen("tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("hello"))
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// connect connects, reads and says from where.
func connect(addr string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	_, err = c.Read(make([]byte, 5))
	return c.LocalAddr().(*net.TCPAddr).IP.String(), err
}

// ping reports whether an address answers.
func ping(t *testing.T, addr string) bool {
	t.Helper()
	to := netip.MustParseAddr(addr)
	network, kind := "ip4:icmp", byte(8)
	if to.Is6() {
		network, kind = "ip6:ipv6-icmp", 128
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := byte(os.Getpid())
	b := []byte{kind, 0, 0, 0, 0x77, id, 0, 1}
	s := ^sum(b)
	b[2], b[3] = byte(s>>8), byte(s) // for ICMPv6 the kernel does it again
	if _, err := c.Write(b); err != nil {
		return false
	}
	c.SetReadDeadline(time.Now().Add(600 * time.Millisecond))
	for buf := make([]byte, 256); ; {
		n, err := c.Read(buf)
		if err != nil {
			return false
		}
		b := buf[:n]
		if to.Is4() && n > 20 {
			b = b[20:] // after the IP header
		}
		if len(b) >= 8 && (b[0] == 0 || b[0] == 129) && b[4] == 0x77 && b[5] == id {
			return true
		}
	}
}
