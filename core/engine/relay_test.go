package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
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
