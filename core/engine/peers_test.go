package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
)

// Speaking to many silent hosts pushes no peer out that is spoken to, and they
// are given up when nobody asks for them any more.
func TestScanPushesNoPeerOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		w.assignHost(t, "Require security", "Require security")
		if _, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Replace: true, Text: []byte(strings.NewReplacer("ACTION", "Require security", "198.51.100.0/24", "192.0.0.0/4").Replace(hostPolicy))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Assign(t.Context(), "lan", false); err != nil {
			t.Fatal(err)
		}
		w.cm.TUN().InjectPacket(udp4("198.51.100.100", "198.51.100.1", "hello"))
		<-w.gm.TUN().Out
		count := func() (n int, up bool) {
			s, err := w.client.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range s.Connections {
				if strings.HasPrefix(c.Name, "neighbours @ ") {
					n++
					up = up || c.Name == "neighbours @ 198.51.100.1" && c.State == api.Connected
				}
			}
			return n, up
		}
		for i := range 600 {
			w.cm.TUN().InjectPacket(udp4("198.51.100.100", fmt.Sprintf("203.0.%d.%d", i/250, 1+i%250), "anybody?"))
			time.Sleep(20 * time.Millisecond)
		}
		if n, up := count(); n != maxPeers || !up {
			t.Errorf("%d peers, that which is spoken to is up: %v", n, up)
		}
		time.Sleep(10 * time.Minute)
		if n, up := count(); n != 1 || !up {
			t.Errorf("after ten minutes %d peers, up: %v", n, up)
		}
		if a := action(w.cm, "203.0.0.7"); a != host.FirewallTunnelOnly {
			t.Errorf("what was given up is %v", a)
		}
	})
}

// A data path that fails is opened again, and what is required stays protected
// meanwhile.
func TestDataPathFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.cm.TUN().Close()
		synctest.Wait()
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("the device is gone, and the firewall says %v", a)
		}
		time.Sleep(time.Minute)
		c := expect(t, w.client, api.Connected, api.Protected)
		w.carries(t, c.Addresses[0].String())
		w.gm.TUN().Close()
		time.Sleep(10 * time.Minute)
		if c := connection(t, w.gateway); c.State != api.Listening {
			t.Errorf("the gateway is %s", c.State)
		}
		expect(t, w.client, api.Connected, api.Protected)
	})
}

// So is one that watches for traffic host to host.
func TestDataPathFailsHostToHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		w.assignHost(t, "Require security", "Require security")
		w.cm.TUN().Close()
		time.Sleep(time.Minute)
		w.cm.TUN().InjectPacket(udp4("198.51.100.100", "198.51.100.1", "hello"))
		select {
		case <-w.gm.TUN().Out:
		case <-time.After(time.Minute):
			t.Error("nothing is protected any more")
		}
	})
}

// A service that stops takes the routes of its traps away, also when it could
// not listen.
func TestStopTakesTrapRoutesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		w.assignHost(t, "Request security", "")
		w.client.call(t.Context(), func() {
			for _, c := range w.client.sortedConns() {
				if c.listening {
					w.client.stopListening(c)
				}
			}
		})
		time.Sleep(time.Second)
		if calls := w.cm.Calls(); !strings.Contains(calls, "198.51.100.0/24") {
			t.Fatalf("no routes to begin with:\n%s", calls)
		}
		w.stop()
		if calls := w.cm.Calls(); !strings.Contains(calls, "routes none") {
			t.Errorf("the routes stay:\n%s", calls)
		}
	})
}

// DNS is kept inside only where the tunnel's name servers answer for all names.
func TestDNSInside(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                 true,
		"[dns]\nignore = true\n":           false,
		"[dns]\nonly = [\"corp.test\"]\n":  false,
		"[dns]\nservers = [\"10.10.0.9\"]": true,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, clientProfile+"\n"+text, gatewayProfile)
			defer w.stop()
			if err := connect(t, w.client, time.Minute); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if got := w.cm.Intent().DNSInside; got != want {
				t.Errorf("%q: DNS inside is %v, want %v", text, got, want)
			}
		})
	}
}

// A connection that the assigned policy uses cannot be removed.
func TestRemoveWhatThePolicyUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if _, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(strings.Replace(tunnelPolicy, "ACTION", "Require security", 1))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Assign(t.Context(), "site", false); err != nil {
			t.Fatal(err)
		}
		err := w.client.Remove(t.Context(), "office")
		if ae := (*api.Error)(nil); !errors.As(err, &ae) || ae.Code != api.CodeBusy {
			t.Errorf("got %v", err)
		}
	})
}
