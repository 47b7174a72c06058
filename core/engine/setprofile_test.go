package engine

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
)

// Another profile holds at once on a tunnel in use: the firewall rises before
// the profile is stored and falls after.
func TestSetProfileInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		w.net.SetTap(dropAll)
		end := begin(t, w.client)
		stored := func() string {
			for line := range strings.Lines(must(w.cm.Profiles.Read("office.toml"))) {
				if p, ok := strings.CutPrefix(line, "profile = "); ok {
					return strings.Trim(p, "\"\n")
				}
			}
			return ""
		}
		// What the host is asked for while the file still says the old.
		var files []string
		w.cm.Fail = func(call string) error {
			if strings.HasPrefix(call, "firewall ") {
				files = append(files, stored())
			}
			return nil
		}
		if err := w.client.SetProfile(t.Context(), "office", api.Require); err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 || files[0] != "" || stored() != "require" {
			t.Errorf("raising: the file said %q when the firewall was set, and says %q", files, stored())
		}
		expect(t, w.client, api.Connecting, api.Stopped)
		w.net.SetTap(nil)
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		w.net.SetTap(dropAll)
		time.Sleep(5 * time.Minute)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("the gateway is gone, and the firewall says %v", a)
		}
		if c := connection(t, w.client); c.Profile != api.Require || c.Protection != api.Stopped {
			t.Errorf("%s, %s", c.Profile, c.Protection)
		}
		files = nil
		if err := w.client.SetProfile(t.Context(), "office", api.Respond); err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 || files[0] != "respond" {
			t.Errorf("lowering: the file said %q when the firewall was set", files)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
			t.Errorf("under respond, without a gateway, the firewall says %v", a)
		}
		time.Sleep(5 * time.Minute)
		if c := connection(t, w.client); c.State == api.Blocked || c.Profile != api.Respond {
			t.Errorf("%s, %s", c.State, c.Profile)
		}
	})
}

// What waits for the user under require tries anew under another profile.
func TestSetProfileEndsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		w.cm.Secrets.Write("office+psk", []byte("another horse"))
		wantCode(t, connect(t, w.client, time.Minute), api.CodeAuthRefused)
		expect(t, w.client, api.Blocked, api.Stopped)
		if err := w.client.SetProfile(t.Context(), "office", api.Respond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if c := connection(t, w.client); c.State != api.Disconnected || c.Protection != "" {
			t.Errorf("%s, %s, %v", c.State, c.Protection, c.Problem)
		}
	})
}

func TestSetProfileAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := w.client.SetProfile(t.Context(), "office", api.Require); err != nil {
			t.Fatal(err)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
			t.Errorf("what nobody wants yet is blocked: %v", a)
		}
		if c := connection(t, w.client); c.Profile != api.Require || c.State != api.Disconnected {
			t.Errorf("%+v", c)
		}
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("connected under require, the firewall says %v", a)
		}
		wantCode(t, w.client.SetProfile(t.Context(), "nowhere", api.Require), api.CodeNotFound)
		wantCode(t, w.client.SetProfile(t.Context(), "office", "mighty"), api.CodeUsage)
		wantCode(t, w.gateway.SetProfile(t.Context(), "workers", api.Require), api.CodeUsage)
	})
}

// A firewall that cannot be set leaves everything as it was.
func TestSetProfileRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		w.net.SetTap(dropAll)
		begin(t, w.client)
		before := must(w.cm.Profiles.Read("office.toml"))
		w.cm.Fail = func(call string) error {
			if strings.HasPrefix(call, "firewall ") {
				return errors.New("no nftables")
			}
			return nil
		}
		wantCode(t, w.client.SetProfile(t.Context(), "office", api.Require), api.CodeFirewall)
		w.cm.Fail = nil
		if got := must(w.cm.Profiles.Read("office.toml")); got != before {
			t.Errorf("the file is now\n%s", got)
		}
		if c := connection(t, w.client); c.Profile != api.Respond || c.State != api.Connecting {
			t.Errorf("%s, %s", c.Profile, c.State)
		}
		// A file that was edited by hand meanwhile is not overwritten either.
		w.cm.Profiles.Write("office.toml", []byte(before+"\n# mine\n"))
		wantCode(t, w.client.SetProfile(t.Context(), "office", api.Require), api.CodeBusy)
		if c := connection(t, w.client); c.Profile != api.Respond {
			t.Errorf("%s", c.Profile)
		}
	})
}
