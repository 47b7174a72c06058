package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/simnet"
)

// restart runs another engine on the client's machine, once the first has
// stopped. It returns how to end it.
func (w *world) restart(t *testing.T) (*Engine, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := New(Options{Host: w.cm.System(), Version: "test"})
	end := make(chan error, 1)
	go func() { end <- e.Run(ctx) }()
	synctest.Wait()
	return e, func() {
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
}

// What was required before the service stopped stays protected, whatever the
// new service cannot read; the user's word opens it.
func TestWhatCannotBeReadStaysProtected(t *testing.T) {
	for name, breakIt := range map[string]func(w *world){
		"the profile is broken": func(w *world) { w.cm.Profiles.Write("office.toml", []byte("version = 99")) },
		"the profile is gone":   func(w *world) { w.cm.Profiles.Remove("office.toml") },
		"the wishes are broken": func(w *world) { w.cm.State.Write(wishesFile, []byte("{")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, requireProfile, gatewayProfile)
				if err := connect(t, w.client, time.Minute); err != nil {
					t.Fatal(err)
				}
				w.stop()
				breakIt(w)
				again, stop := w.restart(t)
				time.Sleep(time.Minute)
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
					t.Fatalf("the firewall says %v", a)
				}
				if s, _ := again.Security(t.Context()); !strings.Contains(s.Firewall, "not in force") {
					t.Errorf("the monitor says the firewall is %s", s.Firewall)
				}
				if err := again.Disconnect(t.Context(), "office"); err != nil {
					t.Fatal(err)
				}
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
					t.Errorf("the user disconnected, and the firewall says %v", a)
				}
				stop()
				if KeepsGuard(w.cm.State) {
					t.Error("disconnected, and the firewall would be kept")
				}
			})
		})
	}
}

// A policy that a new version cannot read any more stays in force until it is
// unassigned.
func TestAssignedPolicyThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		w.assignHost(t, "Require security", "")
		w.stop()
		b, err := w.cm.State.Read(wishesFile)
		if err != nil {
			t.Fatal(err)
		}
		w.cm.State.Write(wishesFile, []byte(strings.Replace(string(b), `"policy_text": "`, `"policy_text": "AAAA`, 1)))
		again, stop := w.restart(t)
		defer stop()
		time.Sleep(time.Minute)
		if a := action(w.cm, "198.51.100.7"); a != host.FirewallTunnelOnly {
			t.Fatalf("the firewall says %v", a)
		}
		if err := again.Unassign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := action(w.cm, "198.51.100.7"); a != host.FirewallClear {
			t.Errorf("unassigned, and the firewall says %v", a)
		}
	})
}

// A firewall that cannot be set for a while is no reason to open it, nor to
// speak to the gateway without it.
func TestFirewallFailsAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.stop()
		gateway := New(Options{Host: w.gm.System(), Version: "test"})
		ctx, cancel := context.WithCancel(context.Background())
		end := make(chan error, 1)
		go func() { end <- gateway.Run(ctx) }()
		defer func() { cancel(); <-end }()
		w.cm.Calls()
		var mended atomic.Bool
		w.cm.Fail = func(call string) error {
			if strings.Contains(call, "tunnel only") && !mended.Load() {
				return errors.New("no buffer space")
			}
			return nil
		}
		again, stop := w.restart(t)
		defer stop()
		time.Sleep(10 * time.Second)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("the firewall says %v", a)
		}
		if c := expect(t, again, api.Blocked, api.Stopped); c.Problem == nil || c.Problem.Code != api.CodeFirewall {
			t.Errorf("problem %v", c.Problem)
		}
		if calls := w.cm.Calls(); strings.Contains(calls, "firewall none") || strings.Contains(calls, "clean-up") {
			t.Errorf("it was opened:\n%s", calls)
		}
		mended.Store(true)
		time.Sleep(2 * time.Minute)
		expect(t, again, api.Connected, api.Protected)
	})
}

// Another profile takes effect at once, also on a tunnel that is up.
func TestConnectWithAnotherProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office", Profile: api.Require, Wait: true}); err != nil {
			t.Fatal(err)
		}
		if c := expect(t, w.client, api.Connected, api.Protected); c.Profile != api.Require {
			t.Errorf("profile %s", c.Profile)
		}
		if !KeepsGuard(w.cm.State) {
			t.Error("what is required now would not outlive the service")
		}
		w.net.SetTap(dropAll)
		time.Sleep(5 * time.Minute)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Fatalf("the gateway is gone, and the firewall says %v", a)
		}
		// Blocked, the user settles for less, and the firewall follows.
		for connection(t, w.client).State != api.Blocked {
			time.Sleep(100 * time.Millisecond)
		}
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office", Profile: api.Respond}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
			t.Errorf("with respond the firewall says %v", a)
		}
		time.Sleep(time.Minute)
		expect(t, w.client, api.Disconnected, "")
		if calls := w.cm.Calls(); !strings.HasSuffix(calls, "routes none") {
			t.Errorf("left on the machine:\n%s", calls)
		}
	})
}

// Two connections that want different things of the same traffic are not up
// together; the first stays protected.
func TestContradictingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		w.cm.Profiles.Write("other.toml", []byte(strings.Replace(clientProfile, `name = "office"`, `name = "other"`, 1)))
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "other"})
		if ae := api.AsError(err); ae == nil || ae.Code != api.CodePolicyInvalid || ae.Why != `"office" protects 10.10.0.0/16 already: the same traffic cannot take two tunnels.` || !strings.HasPrefix(ae.Next, `Disconnect "office" first`) {
			t.Fatalf("got %v", err)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("the firewall says %v", a)
		}
		time.Sleep(10 * time.Second)
		s, err := w.client.State(t.Context())
		if err != nil || len(s.Connections) != 2 || s.Connections[0].State != api.Connected || s.Connections[1].State != api.Disconnected {
			t.Errorf("%+v, %v", s.Connections, err)
		}
		if s, _ := w.client.Security(t.Context()); !strings.HasPrefix(s.Firewall, "in force") {
			t.Errorf("the monitor says the firewall is %s", s.Firewall)
		}
	})
}

// Full tunnels of one family each close the way round, and may be wanted
// together with others.
func TestFullTunnelsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		full := strings.Replace(requireProfile, `remote_ts = ["10.10.0.0/16", "fd00:10::/64"]`, `remote_ts = ["0.0.0.0/0"]`, 1)
		half := strings.Replace(requireProfile, `remote_ts = ["10.10.0.0/16", "fd00:10::/64"]`, `remote_ts = ["10.0.0.0/8"]`, 1)
		w.cm.Secrets.Write("office+psk", []byte("correct horse battery staple"))
		w.cm.Profiles.Write("office.toml", []byte(full))
		w.cm.Profiles.Write("half.toml", []byte(strings.Replace(half, `"office"`, `"half"`, 1)))
		for _, name := range []string{"office", "half"} {
			if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		i := w.cm.Intent()
		if !slices.ContainsFunc(i.Rules, func(r host.FirewallRule) bool { return !r.Remote.Is4() && r.Action == host.FirewallDrop }) {
			t.Errorf("IPv6 may go round the tunnel: %+v", i.Rules)
		}
	})
}

func dropAll(simnet.Packet) bool { return false }
