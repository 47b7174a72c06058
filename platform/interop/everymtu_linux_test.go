package interop_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// everyMTUEnv asks for every MTU in steps of so many bytes, rather than for a few.
const everyMTUEnv = "SALLYPORT_EVERY_MTU"

// A street is the way from the client through two routers to the gateway, over both
// families. What lies between the routers can be made narrow.
type street struct{ l *lab.Lab }

func newStreet(l *lab.Lab) *street {
	l.Path(lab.BehindRouter)
	for _, h := range []*lab.Host{l.NAT, l.Wan} {
		h.Sysctl("net.ipv6.conf.all.forwarding=1")
	}
	for _, dev := range []string{"all", "br0"} {
		l.Wan.Sysctl("net.ipv4.conf." + dev + ".send_redirects=0")
	}
	for _, dev := range []struct {
		h    *lab.Host
		name string
	}{
		{l.Inside, "eth0"}, {l.Gateway, "eth1"}, {l.Gateway, "eth0"}, {l.Wan, "gw"}, {l.Wan, "nat"}, {l.Wan, "br0"},
		{l.NAT, "eth0"}, {l.NAT, "eth1"}, {l.Client, "eth1"},
	} {
		dev.h.Run("ip link set " + dev.name + " mtu 9000")
	}
	l.NAT.Run("ip address replace 2001:db8:1::2/64 dev eth0 nodad")
	l.NAT.Run("ip address replace 2001:db8:77::1/64 dev eth1 nodad")
	l.Client.Run("ip address replace 2001:db8:77::100/64 dev eth1 nodad")
	l.Client.Run("ip route replace default via 2001:db8:77::1")
	l.Gateway.Run("ip route replace 198.51.100.2 via 198.51.100.254")
	l.Gateway.Run("ip route replace 2001:db8:77::/64 via 2001:db8:1::fe")
	return &street{l}
}

// narrow makes the routers pass packets of mtu bytes to each other, and lets them
// say so by ICMP, or not. The links of both ends carry as much as link says.
func (s *street) narrow(mtu, link int, tell bool) {
	l := s.l
	l.NAT.Run(fmt.Sprintf("ip route replace 198.51.100.1 dev eth0 mtu lock %d", mtu))
	l.Wan.Run(fmt.Sprintf("ip route replace 198.51.100.2 dev br0 mtu lock %d", mtu))
	l.NAT.Run(fmt.Sprintf("ip route replace 2001:db8:1::1 dev eth0 mtu lock %d", max(mtu, 1280)))
	l.Wan.Run(fmt.Sprintf("ip route replace 2001:db8:77::/64 via 2001:db8:1::2 mtu lock %d", max(mtu, 1280)))
	l.Client.Run(fmt.Sprintf("ip link set eth1 mtu %d", link))
	l.Gateway.Run(fmt.Sprintf("ip link set eth0 mtu %d", link))
	rule := "add rule inet dark out icmp type destination-unreachable drop\n" +
		"add rule inet dark out icmpv6 type packet-too-big drop\n"
	if tell {
		rule = ""
	}
	for _, h := range []*lab.Host{l.NAT, l.Wan} {
		h.Script("add table inet dark\ndelete table inet dark\nadd table inet dark\n"+
			"add chain inet dark out { type filter hook output priority 0; }\n"+rule, "nft", "-f", "-")
	}
	for _, h := range []*lab.Host{l.Client, l.Gateway} {
		h.Run("ip route flush cache")
		h.Run("ip -6 route flush cache")
	}
}

// A strait is one narrow link of the test.
type strait struct {
	mtu  int
	v6   bool // outside of the tunnel
	tell bool
}

func (s strait) String() string {
	return fmt.Sprintf("%d bytes, IPv%s, ICMP %s", s.mtu, map[bool]string{false: "4", true: "6"}[s.v6],
		map[bool]string{false: "dropped", true: "passed"}[s.tell])
}

// straits are a few links, or with everyMTUEnv all of them in steps.
func straits(t *testing.T) []strait {
	few := []strait{{1280, true, false}, {9000, true, false}, {1400, false, false}, {1400, false, true}, {1100, false, false}, {576, false, false}}
	step, err := strconv.Atoi(os.Getenv(everyMTUEnv))
	if os.Getenv(everyMTUEnv) == "" {
		return few
	}
	if err != nil || step < 1 {
		t.Fatalf("%s: %v", everyMTUEnv, err)
	}
	var all []strait
	for _, v6 := range []bool{true, false} {
		for mtu := 9000; mtu >= 576 && (!v6 || mtu >= 1280); {
			all = append(all, strait{mtu, v6, false}, strait{mtu, v6, true})
			if mtu > 1500 {
				mtu = max(1500, mtu-step*20)
			} else {
				mtu -= step
			}
		}
	}
	return append(all, few...)
}

// TestEveryLinkMTU has a narrow link in the middle of the way, and routers that do
// not tell of it: bulk transfers come to their end in both directions, over both
// families inside, and the path's MTU is found.
func TestEveryLinkMTU(t *testing.T) {
	for _, gateway := range []string{"sallyport", "strongswan"} {
		t.Run(gateway, func(t *testing.T) {
			l := lab.New(t)
			road := newStreet(l)
			if gateway == "strongswan" {
				newGateway(t, l, newPKI(t))
			} else {
				newResponder(t, l, newPKI(t), "", "")
			}
			dir := l.SwanDir("client", pskConf("198.51.100.1, 2001:db8:1::1", "psk.vpn.test", "", split))
			s := l.Client.Service("client")
			s.Must("import", dir+"/swanctl.conf")
			for _, c := range straits(t) {
				t.Run(c.String(), func(t *testing.T) {
					throughStrait(t, l.For(t), s.For(l.For(t)), road, c)
				})
			}
		})
	}
}

func throughStrait(t *testing.T, l *lab.Lab, s *lab.Service, road *street, c strait) {
	road.narrow(c.mtu, max(c.mtu, 1500), c.tell)
	blocked := lab.GatewayV6.String()
	if c.v6 {
		blocked = lab.GatewayV4.String()
	}
	l.Client.Run("ip route replace unreachable " + blocked)
	defer l.Client.Run("ip route del unreachable " + blocked)
	begun := time.Now()
	s.Must("connect", "office", "--wait", "30s")
	defer s.Must("disconnect", "office")
	up := time.Since(begun)
	for _, inside := range []struct {
		name string
		run  func() (lab.Transfer, error)
	}{
		{"download", func() (lab.Transfer, error) { return l.Client.Download(lab.InsideV4, 2*megabytes, 40*time.Second) }},
		{"upload", func() (lab.Transfer, error) { return l.Client.Upload(lab.InsideV4, 2*megabytes, 40*time.Second) }},
		{"download over IPv6", func() (lab.Transfer, error) { return l.Client.Download(lab.InsideV6, 2*megabytes, 40*time.Second) }},
		{"upload over IPv6", func() (lab.Transfer, error) { return l.Client.Upload(lab.InsideV6, 2*megabytes, 40*time.Second) }},
	} {
		tr, err := inside.run()
		if err != nil {
			t.Errorf("%s: %v", inside.name, err)
		}
		t.Logf("%s: %v", inside.name, tr)
	}
	slack := max(16, c.mtu/64) + 16
	m := waitForMTU(s, func(m *api.PathMTU) bool {
		return m != nil && m.Known == api.MTUProved && m.Bytes <= c.mtu && m.Bytes > c.mtu-slack
	})
	if m == nil {
		t.Errorf("the path's MTU is %+v", s.Connection("office").PathMTU)
		t.Logf("%s", s.Must("log"))
		return
	}
	t.Logf("connected in %v; path MTU %+v after %v", up, *m, time.Since(begun))
}

// waitForMTU waits until what is known of the path's MTU is as it should be.
func waitForMTU(s *lab.Service, good func(*api.PathMTU) bool) *api.PathMTU {
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m := s.Connection("office").PathMTU; good(m) {
			return m
		}
	}
	return nil
}

// TestNarrowTCP has a narrow link on the way of a tunnel over TCP, and routers that
// do not tell of it: the kernel's TCP, which does not search, carries the tunnel all
// the same, in both directions.
func TestNarrowTCP(t *testing.T) {
	l := lab.New(t)
	road := newStreet(l)
	_, s := tcpServices(t, l)
	for name, gateway := range map[string]string{"v4": lab.GatewayV4.String(), "v6": lab.GatewayV6.String()} {
		importTCP(t, l, s, name, `transport = "tcp"`, gateway)
	}
	for _, c := range []strait{{1400, false, false}, {1000, false, false}, {1280, true, false}} {
		t.Run(c.String(), func(t *testing.T) {
			l, s := l.For(t), s.For(l.For(t))
			road.narrow(c.mtu, 1500, c.tell)
			name := map[bool]string{false: "v4", true: "v6"}[c.v6]
			defer s.Must("disconnect", name)
			s.Must("connect", name, "--wait", "10s")
			if tr, err := l.Client.Upload(lab.InsideV4, 2*megabytes, 10*time.Second); err != nil {
				t.Errorf("upload: %v, %v", tr, err)
			}
			if tr, err := l.Client.Download(lab.InsideV4, 2*megabytes, 10*time.Second); err != nil {
				t.Errorf("download: %v, %v", tr, err)
			}
		})
	}
}
