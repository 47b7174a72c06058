package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/profile"
)

// A peer that begins to prove itself through RADIUS and goes away leaves no
// conversation behind: too many of them would keep all users out.
func TestGoneUsersLeaveNoRelays(t *testing.T) {
	c := authCase{local: eapLocal("mschapv2", ""), remote: certRemote, gateway: eapGateway(usersOfRADIUS, ""), asks: api.PromptPassword, right: markedRight, radius: []eap.Type{eap.TypeMSCHAPv2}}
	synctest.Test(t, func(t *testing.T) {
		f := c.world(t, c.right, "")
		defer f.w.stop()
		end := make(chan error, 1)
		go func() {
			end <- f.w.client.Connect(context.Background(), api.ConnectRequest{Name: "office", Wait: true})
		}()
		q := question(t, f.w.client, api.PromptPassword)
		relays := func() (n int) {
			if err := f.w.gateway.call(t.Context(), func() { n = len(f.w.gateway.relays) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := relays(); n != 1 {
			t.Fatalf("%d conversations", n)
		}
		if err := f.w.client.Answer(t.Context(), api.Answer{ID: q.ID, Cancel: true}); err != nil {
			t.Fatal(err)
		}
		if err := <-end; err == nil {
			t.Error("connected without an answer")
		}
		time.Sleep(150 * time.Second) // the gateway's patience
		if n := relays(); n != 0 {
			t.Errorf("%d conversations are left", n)
		}
	})
}

// The name of the user is not said before the gateway has proved itself when
// another stands for it outside of TLS: IDi goes to anyone who answers.
func TestAnonymousIdentity(t *testing.T) {
	for _, c := range []struct{ local, want string }{
		{"user = \"alice@corp.test\"\n", "alice@corp.test"},
		{"user = 'alice smith'\n", "keyid:alice smith"},
		{"user = 'a=b'\n", "keyid:a=b"},
		{"user = 'CORP\\alice'\n", "CORP\\alice"},
		{"user = \"alice@corp.test\"\nid = \"laptop.corp.test\"\n", "laptop.corp.test"},
		{"user = \"alice@corp.test\"\n[local.eap]\nmethods = [\"ttls\"]\nanonymous = \"@corp.test\"\n", "@corp.test"},
		{"user = \"alice@corp.test\"\nid = \"laptop.corp.test\"\n[local.eap]\nmethods = [\"ttls\"]\nanonymous = \"@corp.test\"\n", "laptop.corp.test"},
	} {
		text := "version = 1\nname = \"office\"\ngateways = [\"198.51.100.1\"]\n[local]\nmethod = \"eap\"\n" + c.local +
			"[remote]\nmethod = \"certificate\"\nid = \"gw.vpn.test\"\n[[children]]\nname = \"net\"\n"
		p, err := profile.Parse("office.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := credentials{certs: inMemory{}, secrets: inMemory{}}.ikeConfig(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := auth.ParseIdentity(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Local.ID; !got.Equal(want) {
			t.Errorf("%q: calls itself %q", c.local, got)
		}
	}
}

// An authentication that the gateway breaks off is not tried again by itself:
// each time counts towards the locking of the account.
func TestBrokenEAPIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, "")
		defer w.stop()
		for _, c := range []struct {
			err   error
			again bool
		}{
			{&ike.Failure{Code: ike.FailProtocol, Err: fmt.Errorf("eap: MSCHAPv2: %w", eap.ErrMalformed)}, false},
			{&ike.Failure{Code: ike.FailProtocol, Err: fmt.Errorf("eap: a second challenge: %w", eap.ErrProtocol)}, false},
			{&ike.Failure{Code: ike.FailProtocol, Err: errors.New("response lacks payloads")}, true},
			{&ike.Failure{Code: ike.FailSilent}, true},
		} {
			if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := w.client.call(t.Context(), func() { w.client.attemptFailed(w.client.conns["office"], c.err) }); err != nil {
				t.Fatal(err)
			}
			if got := connection(t, w.client).State; (got == api.Reconnecting) != c.again {
				t.Errorf("%v: %v", c.err, got)
			}
			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
	})
}
