package interop_test

import (
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// flowBytesEnv says how many bytes TestNothingIsChanged sends through each mode,
// rather than a few.
const flowBytesEnv = "SALLYPORT_FLOW_BYTES"

// TestNothingIsChanged sends numbers through the tunnel, both ways, over TCP and UDP
// and both families, with everything that makes it fast switched on, and with each
// of that switched off in turn at both ends: each byte arrives as it was sent, in
// order, none twice.
func TestNothingIsChanged(t *testing.T) {
	size := int64(40 * megabytes)
	if v := os.Getenv(flowBytesEnv); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", flowBytesEnv, err)
		}
		size = n &^ 7
	}
	l := lab.NewPair(t)
	l.Client.Run("ip address add " + lab.ClientV6.String() + "/64 dev eth0 nodad")
	l.Gateway.Run("ip address add " + lab.GatewayV6.String() + "/64 dev eth0 nodad")
	l.Gateway.Run("ip address add " + lab.InsideV6.String() + "/128 dev lo nodad")
	gateway, client := tcpServices(t, l)
	importTCP(t, l, client, "v4", `transport = "udp"`)
	importTCP(t, l, client, "v6", `transport = "udp"`, lab.GatewayV6.String())
	importTCP(t, l, client, "tcp", `transport = "tcp"`)
	gateway.Stop()
	client.Stop()
	for _, mode := range []struct{ name, connection, env string }{
		{"everything on", "v4", ""},
		{"over IPv6", "v6", ""},
		{"over TCP", "tcp", ""},
		{"several readers", "v4", "GOMAXPROCS=4"},
		{"without tun-udp", "v4", "SALLYPORT_WITHOUT=tun-udp"},
		{"without tun-tcp", "v4", "SALLYPORT_WITHOUT=tun-tcp"},
		{"without tun-batch", "v4", "SALLYPORT_WITHOUT=tun-batch"},
		{"without udp-gso", "v4", "SALLYPORT_WITHOUT=udp-gso"},
		{"without udp-gro", "v4", "SALLYPORT_WITHOUT=udp-gro"},
		{"without udp-batch", "v4", "SALLYPORT_WITHOUT=udp-batch"},
		{"without anything", "v6", "SALLYPORT_WITHOUT=all"},
		{"over TCP without anything", "tcp", "SALLYPORT_WITHOUT=all"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			l := l.For(t)
			prepare := func(c *exec.Cmd) { c.Env = append(c.Env, mode.env) }
			gw, s := gateway.For(l), client.For(l)
			for _, x := range []*lab.Service{gw, s} {
				x.Start(prepare)
			}
			s.Must("connect", mode.connection, "--wait", "20s")
			c := s.Connection(mode.connection)
			flows(t, l, c, size)
			t.Logf("drops: %v, %v", s.Dynamic().Drops, gw.Dynamic().Drops)
		})
	}
}

// flows sends size bytes in all, and a few more. A tunnel over TCP drops what finds
// its queue full, so more may be lost there.
func flows(t *testing.T, l *lab.Lab, c api.Connection, size int64) {
	t.Helper()
	each, begun, lossy := size/6&^7, time.Now(), 10
	if c.Transport != nil && c.Transport.TCP != 0 {
		lossy = 2
	}
	limit := 30*time.Second + time.Duration(each/(4*megabytes))*time.Second
	for _, a := range c.Addresses {
		at := lab.InsideV4
		if a.Is6() {
			at = lab.InsideV6
		}
		for _, way := range []struct {
			name     string
			from, to *lab.Host
			address  netip.Addr
		}{{"out", l.Client, l.Gateway, at}, {"in", l.Gateway, l.Client, a}} {
			tr, err := lab.Pour(way.from, way.to, way.address, each, limit)
			t.Logf("TCP %s to %v: %v", way.name, way.address, tr)
			if err != nil {
				t.Errorf("TCP %s to %v: %v", way.name, way.address, err)
			}
			for _, d := range []struct {
				length, group int
				part          int64
			}{{1352, 1, 3}, {1200, 16, 3}, {200, 1, 20}} {
				hail, err := lab.Pelt(way.from, way.to, way.address, each/d.part, d.length, d.group, limit)
				t.Logf("UDP %s to %v in %d × %d bytes: %v", way.name, way.address, d.group, d.length, hail)
				if err != nil || hail.Lost > hail.Sent/lossy {
					t.Errorf("UDP %s to %v in %d × %d bytes: %v, %v", way.name, way.address, d.group, d.length, hail, err)
				}
			}
		}
	}
	t.Logf("all of it in %v", time.Since(begun).Round(time.Millisecond))
}
