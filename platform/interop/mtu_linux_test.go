package interop_test

import (
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// TestSmallPath has links on the way that carry less than ours does: large
// transfers must not hang, in either direction.
func TestSmallPath(t *testing.T) {
	for _, c := range []struct {
		name    string
		gateway string
		narrow  func(l *lab.Lab)
	}{
		// The router tells by ICMP; the gateway's own link is narrow too.
		{"sallyport, router tells", "sallyport", func(l *lab.Lab) {
			l.NAT.Run("ip link set eth0 mtu 1300")
			l.Gateway.Run("ip link set eth0 mtu 1300")
		}},
		{"strongswan, router tells", "strongswan", func(l *lab.Lab) {
			l.NAT.Run("ip link set eth0 mtu 1300")
			l.Gateway.Run("ip link set eth0 mtu 1300")
		}},
		{"own link is narrow", "strongswan", func(l *lab.Lab) {
			l.NAT.Run("ip link set eth1 mtu 1300")
			l.Client.Run("ip link set eth1 mtu 1300")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := lab.New(t)
			l.Path(lab.BehindRouter)
			c.narrow(l)
			if c.gateway == "strongswan" {
				newGateway(t, l, newPKI(t))
			} else {
				newResponder(t, l, newPKI(t), "", "")
			}
			dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
			s := l.Client.Service("small")
			s.Must("import", dir+"/swanctl.conf")
			s.Must("connect", "office", "--wait", "20s")
			tr, err := l.Client.Download(lab.InsideV4, 20*megabytes, 20*time.Second)
			if err != nil {
				t.Errorf("download: %v", err)
			}
			t.Logf("download: %v", tr)
			if tr, err = l.Client.Upload(lab.InsideV4, 20*megabytes, 20*time.Second); err != nil {
				t.Errorf("upload: %v", err)
			}
			t.Logf("upload: %v", tr)
			if tr, err = l.Client.Download(lab.InsideV6, 20*megabytes, 20*time.Second); err != nil {
				t.Errorf("download over IPv6: %v", err)
			}
			t.Logf("download over IPv6: %v", tr)
			ping := l.Client.Ping(lab.InsideV4, 100*time.Millisecond, 1372) // the whole MTU of the TUN device
			time.Sleep(time.Second)
			if p := ping.Stop(); p.Sent-p.Lost < 5 { // the first ones find the path's MTU
				t.Errorf("large pings: %v", p)
			} else {
				t.Logf("large pings: %v", p)
			}
			t.Logf("drops: %v", s.Dynamic().Drops)
		})
	}
}
