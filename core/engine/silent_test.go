package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/internal/simnet"
)

// TestSilenceAfterThePassword: a gateway that says nothing to a wrong password
// (OpenIKED 7.2) is told from one that cannot be reached, and the password that
// the user gave is not given again: the next connect asks.
func TestSilenceAfterThePassword(t *testing.T) {
	c := authCase{local: eapLocal("mschapv2", ""), remote: certRemote, gateway: eapGateway(usersOfList, ""), right: markedRight, list: true}
	synctest.Test(t, func(t *testing.T) {
		f := c.world(t, "", "require") // which tries again by itself
		defer f.w.stop()
		end := make(chan error, 1)
		go func() {
			end <- f.w.client.Connect(context.Background(), api.ConnectRequest{Name: "office", Wait: true})
		}()
		answer := func() {
			t.Helper()
			q := question(t, f.w.client, api.PromptPassword)
			if err := f.w.client.Answer(t.Context(), api.Answer{ID: q.ID, Secret: []byte(markedRight)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		f.w.net.SetTap(func(p simnet.Packet) bool { return p.From.Addr() == clientAddr })
		answer()
		ae := wantCode(t, <-end, api.CodeGatewaySilent)
		if !strings.Contains(ae.Why, "password") || !strings.Contains(ae.Next, "password") {
			t.Errorf("explained as %q: %q", ae.Why, ae.Next)
		}
		f.w.net.SetTap(nil)
		time.Sleep(time.Minute)
		answer()
		time.Sleep(time.Second)
		if c := connection(t, f.w.client); c.State != api.Connected {
			t.Errorf("%s: %v", c.State, c.Problem)
		}
	})
}
