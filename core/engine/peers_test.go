package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/policy"
	"sallyport/core/transform"
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

// Name servers that the machine could not set as asked are told where the
// connection shows them, and in the log; without the tunnel there is nothing to tell.
func TestDNSWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		const words = "every name is asked of the tunnel's servers"
		w.cm.Warn = []string{words}
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := connection(t, w.client).Warnings; !slices.Equal(got, []string{words}) {
			t.Errorf("warnings are %q", got)
		}
		told := 0
		log, err := w.client.Log(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range log {
			if entry.Level == api.LogWarn && entry.Text == words {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the log tells it %d times", told)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if got := connection(t, w.client).Warnings; len(got) != 0 {
			t.Errorf("disconnected, with warnings %q", got)
		}
	})
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

// A rule's perfect forward secrecy is kept: of the session keys by a key
// exchange with each rekey, of the master key by a new IKE SA instead.
func TestRulesKeepForwardSecrecy(t *testing.T) {
	n := &policy.Negotiation{SessionKeyPFS: true, RekeyTime: time.Hour}
	plain, err := transform.ParseProposals(transform.ProtoESP, []string{"aes256gcm16-x25519", "aes128gcm16"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ike.Config{Children: []ike.ChildConfig{{Proposals: plain}}}
	(&conn{rule: "r", negotiation: n}).secure(cfg)
	if got := cfg.Children[0].Proposals; len(got) != 1 || len(got[0].KEs()) != 1 || got[0].Number != 1 {
		t.Errorf("session key PFS leaves %v", got)
	}
	none, err := transform.ParseProposals(transform.ProtoESP, []string{"aes256gcm16"})
	if err != nil {
		t.Fatal(err)
	}
	cfg = &ike.Config{Children: []ike.ChildConfig{{Proposals: none}}}
	(&conn{rule: "r", negotiation: n, masterPFS: true}).secure(cfg)
	if got := cfg.Children[0]; len(got.Proposals[0].KEs()) == 0 || got.RekeyTime >= 0 || got.HardLifetime != 2*time.Hour || cfg.ReauthTime != time.Hour {
		t.Errorf("master key PFS gives %+v, reauthentication after %v", got, cfg.ReauthTime)
	}
	cfg = &ike.Config{Children: []ike.ChildConfig{{Proposals: none}}}
	(&conn{negotiation: n}).secure(cfg)
	if len(cfg.Children[0].Proposals[0].KEs()) != 0 {
		t.Error("a stored connection's own profile was changed")
	}
}

// With master key PFS two neighbours talk for half a day, and each hour has an
// IKE SA of its own.
func TestMasterKeyPFSLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		text := strings.Replace(strings.Replace(hostPolicy, "ACTION", "Require security", 1), "[[rules]]", "[key_exchange]\nmaster_key_pfs = true\n\n[[rules]]", 1)
		for _, e := range []*Engine{w.client, w.gateway} {
			e.opt.Host.Secrets.Write("lan-psk", []byte("a secret between neighbours"))
			if _, err := e.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(text)}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Assign(t.Context(), "lan", false); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		seen := map[string]bool{}
		for i := range 72 {
			pkt := udp4("198.51.100.100", "198.51.100.1", fmt.Sprint("hello ", i))
			w.cm.TUN().InjectPacket(pkt)
			select {
			case got := <-w.gm.TUN().Out:
				if string(got[host.VNetLen:]) != string(pkt) {
					t.Fatalf("packet %d: got %x", i, got)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("packet %d did not arrive", i)
			}
			d, err := w.client.Dynamic(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, sa := range d.IKESAs {
				seen[sa.LocalSPI] = true
			}
			time.Sleep(10 * time.Minute)
		}
		if len(seen) < 11 {
			t.Errorf("%d IKE SAs in twelve hours", len(seen))
		}
	})
}

// A rule of several ports protects each of them, whichever comes first.
func TestRuleOfSeveralPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		text := strings.Replace(hostPolicy, "ACTION", "Require security", 1)
		text = strings.Replace(text, `destination = "198.51.100.0/24"`, `destination = "198.51.100.0/24"
protocol = "udp"
destination_port = "5000"
[[filter_lists.filters]]
source = "me"
destination = "198.51.100.0/24"
protocol = "udp"
destination_port = "6000"`, 1)
		for _, e := range []*Engine{w.client, w.gateway} {
			e.opt.Host.Secrets.Write("lan-psk", []byte("a secret between neighbours"))
			if _, err := e.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(text)}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Assign(t.Context(), "lan", false); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		for _, port := range []uint16{6000, 5000, 6000} {
			pkt := udp4("198.51.100.100", "198.51.100.1", "hello")
			binary.BigEndian.PutUint16(pkt[22:], port)
			w.cm.TUN().InjectPacket(pkt)
			select {
			case got := <-w.gm.TUN().Out:
				if string(got[host.VNetLen:]) != string(pkt) {
					t.Fatalf("port %d: got %x", port, got)
				}
			case <-time.After(5 * time.Second):
				l, _ := w.client.Log(t.Context(), 30)
				d, _ := w.client.Dynamic(t.Context())
				t.Fatalf("the packet to port %d did not arrive: %+v\n%v", port, d, l)
			}
		}
		if d, err := w.client.Dynamic(t.Context()); err != nil || len(d.IKESAs) != 1 || len(d.ChildSAs) != 2 {
			t.Errorf("%d IKE SAs and %d Child SAs, %v; want one and two", len(d.IKESAs), len(d.ChildSAs), err)
		}
	})
}
