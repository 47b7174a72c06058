package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// The attacker of these tests is the local network: its router, which answers
// for every address, and whoever else is on the link.

var (
	pkiOnce sync.Once
	thePKI  *lab.PKI
)

// sharedPKI returns one authority for all tests that do not care which:
// making RSA keys takes long.
func sharedPKI(t testing.TB) *lab.PKI {
	t.Helper()
	pkiOnce.Do(func() { thePKI = newPKI(t) })
	if thePKI == nil {
		t.Fatal("the authority could not be made")
	}
	return thePKI
}

// patience is how long a program of the victim waits for an answer.
const patience = 300 * time.Millisecond

// speak has programs of the victim talk to an address: by the machine's routes
// and bound to the physical device, over TCP, UDP and ICMP, in whole packets
// and in fragments. What they say holds lab.Marker.
func speak(h *lab.Host, targets ...netip.Addr) {
	var all sync.WaitGroup
	say := func(c net.Conn, err error, data []byte) {
		if err != nil {
			return // refused: that is an outcome, too
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(data); err == nil {
			_, _ = c.Read(make([]byte, 1<<16))
		}
	}
	long := bytes.Repeat([]byte(lab.Marker+" "), 4000/len(lab.Marker))
	for _, to := range targets {
		for _, dev := range []string{"", "eth0"} {
			dial := func(network, address string) (c net.Conn, err error) {
				if dev != "" {
					return h.DialVia(dev, network, address, patience)
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				return h.Dial(ctx, network, address)
			}
			ip, zone := "ip4:icmp", ""
			echo := append([]byte{8, 0, 0, 0, 0x5a, 0x11, 0, 1}, lab.Marker...)
			if to.Is6() {
				ip, echo[0] = "ip6:ipv6-icmp", 128
				if to.IsLinkLocalMulticast() {
					zone = "%eth0"
				}
			} else {
				echo = lab.IPPacket(to, to, 1, 1, echo)[20:] // with its checksum
			}
			port := func(p uint16) string { return net.JoinHostPort(to.String()+zone, fmt.Sprint(p)) }
			all.Go(func() { c, err := dial("udp", port(9999)); say(c, err, []byte(lab.Marker)) })
			all.Go(func() { c, err := dial("udp", port(9998)); say(c, err, long) })
			all.Go(func() { c, err := dial(ip, to.String()+zone); say(c, err, echo) })
			if !to.IsMulticast() {
				all.Go(func() {
					c, err := dial("tcp", port(80))
					say(c, err, []byte("GET / HTTP/1.0\r\nX-Text: "+lab.Marker+"\r\n\r\n"))
				})
			}
			if to.Is4() { // a later fragment alone, which shows no ports
				p := lab.IPPacket(netip.IPv4Unspecified(), to, 17, 64, []byte(lab.Marker+" in a fragment"))
				p[7] = 100
				all.Go(func() { _ = h.SendRaw(dev, p) })
			}
		}
	}
	all.Wait()
}

// leaked sorts what the victim sent in the clear.
func leaked(frames []lab.Frame) lab.Seen {
	var sent []lab.Frame
	for _, f := range frames {
		if f.Sent {
			sent = append(sent, f)
		}
	}
	return lab.Sort(sent)
}

// clearText lists what was seen in the clear.
func clearText(s lab.Seen) string { return strings.Join(slices.Sorted(maps.Keys(s.Other)), ", ") }

// mustBeMute fails the test when the victim sent anything but IKE, ESP and what
// finds neighbours.
func mustBeMute(t *testing.T, frames []lab.Frame) {
	t.Helper()
	if s := leaked(frames); len(s.Other) > 0 || s.Marked > 0 {
		t.Errorf("clear text left the machine: %v", s)
	}
}

// An attack changes the victim's surroundings so that traffic leaves beside a
// tunnel.
type attack struct {
	name   string
	mount  func(l *lab.Lab)
	undo   func(l *lab.Lab)
	landed func(l *lab.Lab) bool // whether the victim fell for it
	// ignored says that a protected victim must not fall for it at all; of the
	// others the effect is without consequence.
	ignored bool
}

var attackTargets = []netip.Addr{
	lab.InternetV4, lab.InternetV6, lab.InsideV4, lab.GatewayV4,
	netip.MustParseAddr("224.0.0.251"), netip.MustParseAddr("239.5.10.17"), netip.MustParseAddr("ff02::fb"), netip.MustParseAddr("ff05::5a11"),
}

func attacks() []attack {
	route := func(h *lab.Host, verb string) {
		for _, dst := range []string{"0.0.0.0/1", "128.0.0.0/1", "203.0.113.0/24", "203.0.113.10/32", "10.10.0.0/16"} {
			h.Trouble("ip route " + verb + " " + dst + " via 198.51.100.254 dev eth0")
		}
	}
	routeTo := func(h *lab.Host, dst netip.Addr) string {
		return h.Run("ip route get " + dst.String() + " mark 0x5a11")
	}
	return []attack{
		{name: "no attack", mount: func(*lab.Lab) {}, undo: func(*lab.Lab) {}, landed: func(*lab.Lab) bool { return true }},
		// TunnelVision (CVE-2024-3661): DHCP option 121 of a rogue server.
		{
			name:  "rogue DHCP routes",
			mount: func(l *lab.Lab) { route(l.Client, "add") },
			undo:  func(l *lab.Lab) { route(l.Client, "del") },
			landed: func(l *lab.Lab) bool {
				return strings.Contains(l.Client.Run("ip route show 203.0.113.10"), "via 198.51.100.254")
			},
		},
		// TunnelCrack LocalNet (CVE-2023-36672): the local network is numbered so
		// that the victim's server seems to be on the link.
		{
			name: "local network with public addresses",
			mount: func(l *lab.Lab) {
				l.Client.Run("ip addr add 203.0.113.99/24 dev eth0")
				l.Client.Run("ip addr add 2001:db8:99::99/64 dev eth0 nodad")
				l.Client.Run("ip neigh replace 2001:db8:99::10 lladdr " + l.Wan.MAC("br0").String() + " dev eth0")
			},
			undo: func(l *lab.Lab) {
				l.Client.Trouble("ip neigh del 2001:db8:99::10 dev eth0")
				l.Client.Trouble("ip addr del 203.0.113.99/24 dev eth0")
				l.Client.Trouble("ip addr del 2001:db8:99::99/64 dev eth0")
			},
			landed: func(l *lab.Lab) bool {
				return !strings.Contains(routeTo(l.Client, lab.InternetV4), "via") && !strings.Contains(routeTo(l.Client, lab.InternetV6), "via")
			},
		},
		{
			name: "router advertisement",
			mount: func(l *lab.Lab) {
				l.Client.Sysctl("net.ipv6.conf.eth0.accept_ra_rt_info_max_plen=64")
				l.Wan.Inject("br0", net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, rogueRA(l, 600))
				for end := time.Now().Add(time.Second); !rogueRoute(l) && time.Now().Before(end); {
					time.Sleep(10 * time.Millisecond)
				}
			},
			undo: func(l *lab.Lab) {
				l.Wan.Inject("br0", net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, rogueRA(l, 0))
				l.Client.Sysctl("net.ipv6.conf.eth0.accept_ra_rt_info_max_plen=0")
				for _, line := range strings.Split(l.Client.Run("ip -6 -o addr show dev eth0 dynamic"), "\n") {
					if f := strings.Fields(line); len(f) > 3 {
						l.Client.Trouble("ip addr del " + f[3] + " dev eth0")
					}
				}
				l.Client.Trouble("ip -6 route del 2001:db8:99::/64 dev eth0 proto ra")
				l.Client.Trouble("ip -6 route del default dev eth0 proto ra")
			},
			landed: rogueRoute,
		},
		{
			name: "ICMP redirect",
			mount: func(l *lab.Lab) {
				l.Client.Sysctl("net.ipv4.conf.all.accept_redirects=1")
				l.Client.Sysctl("net.ipv4.conf.eth0.accept_redirects=1")
				l.Client.Run("ip neigh replace 198.51.100.2 lladdr " + l.NAT.MAC("eth0").String() + " dev eth0") // or the first has no effect
				// "The way to the server is by 198.51.100.2", says who has the router's address.
				offender := lab.IPPacket(lab.ClientV4, lab.InternetV4, 1, 64, []byte{0, 0, 0, 0, 0x5a, 0x11, 0, 1})
				redirect := append([]byte{5, 1, 0, 0, 198, 51, 100, 2}, offender...)
				l.Wan.Inject("br0", l.Client.MAC("eth0"), lab.IPPacket(netip.MustParseAddr("198.51.100.254"), lab.ClientV4, 1, 64, redirect))
				time.Sleep(20 * time.Millisecond)
			},
			undo:    func(l *lab.Lab) { l.Client.Run("ip route flush cache") },
			landed:  func(l *lab.Lab) bool { return strings.Contains(routeTo(l.Client, lab.InternetV4), "via 198.51.100.2 ") },
			ignored: true,
		},
	}
}

// rogueRA is an advertisement with a prefix for addresses, and a route to the
// victim's server by the attacker.
func rogueRA(l *lab.Lab, lifetime uint16) []byte {
	hi, lo := byte(lifetime>>8), byte(lifetime)
	prefix := netip.MustParseAddr("2001:db8:99::").As16()
	b := []byte{134, 0, 0, 0, 64, 0, hi, lo, 0, 0, 0, 0, 0, 0, 0, 0}
	b = append(b, 3, 4, 64, 0xc0, 0, 0, hi, lo, 0, 0, hi, lo, 0, 0, 0, 0) // prefix information
	b = append(b, netip.MustParseAddr("2001:db8:666::").AsSlice()...)
	b = append(b, 24, 2, 64, 8, 0, 0, hi, lo) // route information (RFC 4191), high preference
	b = append(b, prefix[:8]...)
	return lab.IPPacket(l.Wan.LinkLocal("br0"), netip.MustParseAddr("ff02::1"), 58, 255, b)
}

func rogueRoute(l *lab.Lab) bool {
	return strings.Contains(l.Client.Run("ip -6 route show 2001:db8:99::/64"), "via fe80:")
}

// TestAttacks mounts each attack on a machine without protection, which shows
// that it works, and then on one that is protected under require and request,
// and on one whose gateway is gone under require.
func TestAttacks(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newGateway(t, l, sharedPKI(t))
	s := l.Client.Service("victim")
	dir := l.SwanDir("victim", pskConf("198.51.100.1", "full.vpn.test", "dpd_delay = 1h", "remote_ts = 0.0.0.0/0, ::/0"))
	s.Must("import", dir+"/swanctl.conf")
	l.Client.Run("ip route add 10.10.0.0/17 via 198.51.100.1 dev eth0") // so that the inside can be leaked to
	for _, phase := range []struct {
		name      string
		begin     func(*lab.Service)
		protected bool
		works     bool
	}{
		{name: "unprotected", begin: func(*lab.Service) {}},
		{name: "require", begin: func(s *lab.Service) { s.Must("connect", "office", "--profile", "require", "--wait", "20s") }, protected: true, works: true},
		{name: "request", begin: func(s *lab.Service) {
			s.Must("disconnect", "office")
			s.Must("connect", "office", "--profile", "request", "--wait", "20s")
		}, protected: true, works: true},
		{name: "require without gateway", begin: func(s *lab.Service) {
			s.Must("disconnect", "office")
			gw.Stop()
			s.CLI("connect", "office", "--profile", "require", "--wait", "1s")
			if p := s.Connection("office").Protection; p != api.Stopped {
				t.Errorf("without its gateway the victim's traffic is %s", p)
			}
		}, protected: true},
	} {
		phase.begin(s)
		for _, a := range attacks() {
			t.Run(phase.name+"/"+a.name, func(t *testing.T) {
				l := l.For(t)
				tap := l.Client.Tap("eth0")
				a.mount(l)
				defer a.undo(l)
				landed := a.landed(l)
				speak(l.Client, attackTargets...)
				frames := tap.Stop()
				seen := leaked(frames)
				if !phase.protected {
					if !landed {
						t.Errorf("the attack has no effect, so the test is blind: %s", l.Client.Run("ip route show table all"))
					}
					for _, want := range []string{"TCP 198.51.100.", "TCP 2001", "UDP 198.51.100.", "protocol 1 ", "protocol 58 ", "IPv4 fragment", "239.5.10.17", "ff05::5a11"} {
						if !strings.Contains(clearText(seen), strings.Replace(want, "198.51.100.", "", 1)) {
							t.Errorf("nothing of the kind %q leaks unprotected, so the test is blind: %v", want, seen)
						}
					}
					return
				}
				mustBeMute(t, frames)
				if a.ignored && landed {
					t.Errorf("the victim fell for it: %s", l.Client.Run("ip route get 203.0.113.10 mark 0x5a11"))
				}
				if !phase.works {
					return
				}
				if seen.ESP < 10 {
					t.Errorf("nothing went through the tunnel either: %v", seen)
				}
				for server, want := range map[netip.Addr]netip.Addr{lab.InternetV4: lab.GatewayV4, lab.InternetV6: lab.GatewayV6} {
					if page, err := l.Client.Get(server, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != want.String() {
						t.Errorf("the victim reaches %v as %q, %v; want %v", server, page, err, want)
					}
				}
			})
		}
	}
	s.Must("disconnect", "office")
	speak(l.Client, lab.InternetV4)
	if _, err := l.Client.Get(lab.InternetV4, "/", 5*time.Second); err != nil {
		t.Errorf("disconnected, and the machine reaches nothing: %v", err)
	}
}

// TestServerIP has the gateway's name lead to the victim's server (TunnelCrack
// ServerIP, CVE-2023-36673): the attacker relays the tunnel to the gateway, and
// hopes that what other programs send to that address goes beside it.
func TestServerIP(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	newGateway(t, l, sharedPKI(t))
	l.Wan.Script("add table ip relay\nadd chain ip relay pre { type nat hook prerouting priority -100; }\nadd chain ip relay post { type nat hook postrouting priority 100; }\n"+
		"add rule ip relay pre ip daddr 203.0.113.10 udp dport { 500, 4500 } ip saddr 198.51.100.100 dnat to 198.51.100.1\n"+
		"add rule ip relay post ip daddr 198.51.100.1 udp dport { 500, 4500 } masquerade\n", "nft", "-f", "-")
	l.Client.Mount(func() error { return os.WriteFile("/etc/hosts", []byte("203.0.113.10 gw.vpn.test\n"), 0o644) })
	if page, err := l.Client.Get(lab.InternetV4, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != lab.ClientV4.String() {
		t.Fatalf("without a tunnel the server sees %q, %v", page, err)
	}
	s := l.Client.Service("victim")
	dir := l.SwanDir("victim", pskConf("gw.vpn.test", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"))
	s.Must("import", dir+"/swanctl.conf")
	for _, profile := range []string{"require", "request"} {
		t.Run(profile, func(t *testing.T) {
			l, s := l.For(t), s.For(l.For(t))
			s.Must("connect", "office", "--profile", profile, "--wait", "20s")
			if path := s.Connection("office").Path; !strings.Contains(path, lab.InternetV4.String()) {
				t.Fatalf("the tunnel leads to %s, so the test is blind", path)
			}
			tap := l.Client.Tap("eth0")
			speak(l.Client, lab.InternetV4, lab.GatewayV4)
			// The ports of IKE and ESP are the service's own.
			for _, port := range []uint16{500, 4500} {
				for _, dev := range []string{"", "eth0"} {
					c, err := l.Client.DialVia(dev, "udp", netip.AddrPortFrom(lab.InternetV4, port).String(), patience)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = c.Write([]byte("Not of the service: " + lab.Marker))
					c.Close()
				}
			}
			page, err := l.Client.Get(lab.InternetV4, "/ip", 5*time.Second)
			frames := tap.Stop()
			mustBeMute(t, frames)
			if err != nil || strings.TrimSpace(page) != lab.GatewayV4.String() {
				t.Errorf("the server sees %q, %v; want the gateway's address", page, err)
			}
			if seen := leaked(frames); seen.ESP < 10 {
				t.Errorf("nothing went through the tunnel: %v", seen)
			}
			s.Must("disconnect", "office")
		})
	}
}

// TestTunnelAddressProbe sends packets to the victim's inner address on the
// physical side, as who tries to find that address and the connections over it
// does (CVE-2019-14899). Neither a clear answer nor an encrypted one, whose
// length tells as much, may follow.
func TestTunnelAddressProbe(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	newGateway(t, l, sharedPKI(t))
	l.Client.HTTP("victim", "[::]:80")
	// It waits longer for what is to come.
	probe := func(l *lab.Lab, want int, inner ...netip.Addr) (answers, esp int) {
		tap := l.Client.Tap("eth0")
		mac := l.Client.MAC("eth0")
		for _, a := range inner {
			from := []netip.Addr{netip.MustParseAddr("198.51.100.254"), lab.InternetV4}
			icmp, echo := uint8(1), []byte{8, 0, 0, 0, 1, 1, 0, 1, 'p', 'r', 'o', 'b', 'e'}
			if a.Is6() {
				from = []netip.Addr{netip.MustParseAddr("2001:db8:1::fe"), lab.InternetV6}
				icmp, echo[0] = 58, 128
			}
			for _, src := range from {
				l.Wan.Inject("br0", mac, lab.IPPacket(src, a, icmp, 64, echo))
				for _, port := range []uint16{80, 4444} { // open, closed
					for _, flags := range []byte{0x02, 0x12, 0x10} { // SYN, SYN ACK, ACK
						l.Wan.Inject("br0", mac, lab.IPPacket(src, a, 6, 64, lab.TCPMessage(5555, port, flags)))
					}
					l.Wan.Inject("br0", mac, lab.IPPacket(src, a, 17, 64, lab.UDPMessage(5555, port, []byte("probe"))))
				}
			}
		}
		count := func(frames []lab.Frame) (answers, esp int) {
			seen := leaked(frames)
			for _, n := range seen.Other {
				answers += n
			}
			return answers, seen.ESP
		}
		time.Sleep(100 * time.Millisecond)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if answers, _ := count(tap.Frames()); answers >= want {
				break
			}
		}
		return count(tap.Stop())
	}
	l.Client.Run("ip addr add 10.20.0.77/32 dev lo")
	if answers, _ := probe(l, 8, netip.MustParseAddr("10.20.0.77")); answers < 8 {
		t.Errorf("an address without a tunnel answers %d times, so the test is blind", answers)
	}
	l.Client.Run("ip addr del 10.20.0.77/32 dev lo")
	s := l.Client.Service("victim")
	for name, conf := range map[string]string{
		"full":  pskConf("198.51.100.1", "full.vpn.test", "dpd_delay = 1h", "remote_ts = 0.0.0.0/0, ::/0"),
		"split": pskConf("198.51.100.1", "psk.vpn.test", "dpd_delay = 1h", split),
	} {
		s.Must("import", l.SwanDir(name, strings.ReplaceAll(conf, "office", name))+"/swanctl.conf")
		for _, profile := range []string{"require", "request", "respond"} {
			t.Run(name+" "+profile, func(t *testing.T) {
				l, s := l.For(t), s.For(l.For(t))
				s.Must("connect", name, "--profile", profile, "--wait", "20s")
				inner := s.Connection(name).Addresses
				if len(inner) != 2 {
					t.Fatalf("inner addresses %v", inner)
				}
				if answers, esp := probe(l, 0, inner...); answers > 0 || esp > 0 {
					t.Errorf("probes of %v were answered %d times in clear and %d times through the tunnel", inner, answers, esp)
				}
				if _, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil {
					t.Errorf("the tunnel carries nothing: %v", err)
				}
				s.Must("disconnect", name)
			})
		}
	}
}

// TestDNSLeak has a resolver on the local network that knows the name of the
// company's server, too, while the tunnel carries DNS.
func TestDNSLeak(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	newGateway(t, l, sharedPKI(t))
	lan := netip.MustParseAddr("198.51.100.254")
	l.Wan.DNS(netip.AddrPortFrom(lan, 53).String(), netip.AddrPortFrom(lan, 853).String())
	l.Wan.HTTP("resolver", "198.51.100.254:53", "198.51.100.254:853")
	l.Client.Mount(func() error { return os.WriteFile("/etc/resolv.conf", []byte("nameserver 198.51.100.254\n"), 0o644) })
	ask := func(l *lab.Lab) (toLAN int) {
		tap := l.Client.Tap("eth0")
		query := []byte{0x5a, 0x11, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 'i', 'n', 't', 'r', 'a', 'n', 'e', 't', 3, 'v', 'p', 'n', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1}
		var all sync.WaitGroup
		for _, port := range []uint16{53, 853} {
			to := netip.AddrPortFrom(lan, port).String()
			for _, dev := range []string{"", "eth0"} {
				for _, network := range []string{"udp", "tcp"} {
					all.Go(func() {
						c, err := l.Client.DialVia(dev, network, to, patience)
						if err != nil {
							return
						}
						defer c.Close()
						_ = c.SetDeadline(time.Now().Add(patience))
						_, _ = c.Write(query)
						_, _ = io.ReadAll(io.LimitReader(c, 100))
					})
				}
			}
		}
		all.Wait()
		for _, f := range tap.Stop() {
			if _, dst, proto, ok := f.Ends(); f.Sent && ok && dst == lan && (proto == 6 || proto == 17) {
				toLAN++
			}
		}
		return toLAN
	}
	if n := ask(l); n < 8 {
		t.Fatalf("without a tunnel %d packets went to the resolver, so the test is blind", n)
	}
	s := l.Client.Service("victim")
	for name, conf := range map[string]string{
		"full":  pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"),
		"split": pskConf("198.51.100.1", "psk.vpn.test", "", split),
	} {
		s.Must("import", l.SwanDir(name, strings.ReplaceAll(conf, "office", name))+"/swanctl.conf")
		for _, profile := range []string{"require", "request"} {
			t.Run(name+" "+profile, func(t *testing.T) {
				l, s := l.For(t), s.For(l.For(t))
				s.Must("connect", name, "--profile", profile, "--wait", "20s")
				if out := l.Client.Run("getent ahostsv4 " + lab.IntranetName); !strings.HasPrefix(out, lab.InsideV4.String()) {
					t.Errorf("%s is %q", lab.IntranetName, out)
				}
				if n := ask(l); n > 0 {
					t.Errorf("%d packets went to the resolver of the local network", n)
				}
				s.Must("disconnect", name)
				if n := ask(l); n < 8 {
					t.Errorf("disconnected, and %d packets reach the resolver of the local network", n)
				}
			})
		}
	}
}

// TestIPv6BesideIPv4Tunnel has a tunnel for all of IPv4 and a network that
// offers IPv6.
func TestIPv6BesideIPv4Tunnel(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	newGateway(t, l, sharedPKI(t))
	s := l.Client.Service("victim")
	conf := strings.Replace(pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0"), "vips = 0.0.0.0, ::", "vips = 0.0.0.0", 1)
	s.Must("import", l.SwanDir("victim", conf)+"/swanctl.conf")
	targets := []netip.Addr{lab.InternetV6, lab.GatewayV6, netip.MustParseAddr("2001:db8:1::fe"), netip.MustParseAddr("ff02::fb")}
	control := l.Client.Tap("eth0")
	speak(l.Client, targets...)
	if seen := leaked(control.Stop()); !strings.Contains(clearText(seen), "TCP 2001:db8:1::100 > 2001:db8:99::10") || !strings.Contains(clearText(seen), "ff02::fb") {
		t.Fatalf("without a tunnel IPv6 goes nowhere, so the test is blind: %v", seen)
	}
	s.Must("connect", "office", "--profile", "require", "--wait", "20s")
	tap := l.Client.Tap("eth0")
	speak(l.Client, append(targets, lab.InternetV4)...)
	frames := tap.Stop()
	mustBeMute(t, frames)
	if seen := leaked(frames); seen.ESP < 4 {
		t.Errorf("nothing went through the tunnel: %v", seen)
	}
	if _, err := l.Client.Get(lab.InternetV6, "/", patience); err == nil {
		t.Error("IPv6 is reached beside the tunnel")
	}
	if page, err := l.Client.Get(lab.InternetV4, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != lab.GatewayV4.String() {
		t.Errorf("over IPv4 the server sees %q, %v", page, err)
	}
	s.Must("disconnect", "office")
	if _, err := l.Client.Get(lab.InternetV6, "/", 5*time.Second); err != nil {
		t.Errorf("disconnected: %v", err)
	}
}

// TestOldSockets has flows that were there before the tunnel: a download, a
// datagram socket that goes on talking, and one bound to the device. From the
// first IKE message on nothing of them may be read on the wire.
func TestOldSockets(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	newGateway(t, l, sharedPKI(t))
	l.Wan.UDPEcho(netip.AddrPortFrom(lab.InternetV4, 7).String())
	s := l.Client.Service("victim")
	s.Must("import", l.SwanDir("victim", pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"))+"/swanctl.conf")
	for _, profile := range []string{"require", "request"} {
		t.Run(profile, func(t *testing.T) {
			l, s := l.For(t), s.For(l.For(t))
			tap := l.Client.Tap("eth0")
			stop := make(chan struct{})
			var flows sync.WaitGroup
			var conns []net.Conn
			for _, dev := range []string{"", "eth0"} {
				tcp, err := l.Client.DialVia(dev, "tcp", netip.AddrPortFrom(lab.InternetV4, 80).String(), time.Second)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, tcp)
				if _, err := tcp.Write([]byte("GET /slow?s=5 HTTP/1.0\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				udp, err := l.Client.DialVia(dev, "udp", netip.AddrPortFrom(lab.InternetV4, 7).String(), time.Second)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, udp)
				flows.Go(func() { _, _ = io.Copy(io.Discard, tcp) }) // and acknowledge
				flows.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Millisecond):
							_, _ = udp.Write([]byte(lab.Marker))
						}
					}
				})
			}
			alive := func(n map[string]int) bool {
				return n["UDP 198.51.100.100 > 203.0.113.10 port 7"] >= 10 && n["TCP 198.51.100.100 > 203.0.113.10"] >= 10
			}
			waitFor(t, "the flows to live", func() bool { return alive(leaked(tap.Frames()).Other) })
			s.Must("connect", "office", "--profile", profile, "--wait", "20s")
			time.Sleep(500 * time.Millisecond)
			close(stop)
			frames := tap.Stop()
			if page, err := l.Client.Get(lab.InternetV4, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != lab.GatewayV4.String() {
				t.Errorf("new connections: the server sees %q, %v", page, err)
			}
			first := -1
			for i := range frames {
				if frames[i].Sent && lab.Sort(frames[i:i+1]).IKE > 0 {
					first = i
					break
				}
			}
			if first < 0 {
				t.Fatal("no IKE message")
			}
			if before := leaked(frames[:first]); !alive(before.Other) {
				t.Errorf("before the tunnel the flows hardly live, so the test is blind: %v", before)
			}
			mustBeMute(t, frames[first:])
			s.Must("disconnect", "office")
			for _, c := range conns {
				c.Close()
			}
			flows.Wait()
		})
	}
}
