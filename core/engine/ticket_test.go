package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/internal/simnet"
)

// TestResumeAfterSleep loses the link for half an hour, with every way to prove
// who one is: when it is back the tunnel is, without a question and without the
// secret.
func TestResumeAfterSleep(t *testing.T) {
	for _, c := range authCases() {
		if c.cannot {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := c.world(t, c.right, "require")
				defer f.w.stop()
				if err := c.try(t, f.w.client, c.right); err != nil {
					t.Fatal(err)
				}
				f.w.carries(t, "10.20.0.1")
				f.w.net.SetTap(func(simnet.Packet) bool { return false })
				time.Sleep(30 * time.Minute)
				var asked int
				if c.asks == api.PromptPassword { // what was answered may serve once only
					if err := f.w.client.call(t.Context(), func() { f.w.client.conns["office"].held = nil }); err != nil {
						t.Fatal(err)
					}
				}
				f.w.net.SetTap(nil)
				back := time.Now()
				f.w.cm.NetworkChanged()
				for connection(t, f.w.client).State != api.Connected {
					if time.Since(back) > time.Minute {
						t.Fatal("it does not come back")
					}
					st, err := f.w.client.State(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					asked += len(st.Prompts)
					time.Sleep(10 * time.Millisecond)
				}
				took := time.Since(back)
				f.w.carries(t, "10.20.0.1")
				d, err := f.w.client.Dynamic(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if asked > 0 || len(d.IKESAs) != 1 || !d.IKESAs[0].Resumed || took > 500*time.Millisecond {
					t.Errorf("back after %v, asked %d times, %+v", took, asked, d.IKESAs)
				}
			})
		})
	}
}

// TestTicketRefusedIsNoFailure restarts the gateway: its tickets are worth
// nothing, and nobody hears of it.
func TestTicketRefusedIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		for _, f := range []func() error{
			func() error { return w.gateway.Disconnect(t.Context(), "workers") },
			func() error { return w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}) },
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		w.carries(t, "10.20.0.1")
		d, err := w.client.Dynamic(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c := connection(t, w.client); c.State != api.Connected || c.Problem != nil || len(d.IKESAs) != 1 || d.IKESAs[0].Resumed {
			t.Errorf("%+v, %+v", c, d.IKESAs)
		}
	})
}

// TestTicketEndsWithTheWish: what could bring a tunnel back is gone when the user
// disconnects.
func TestTicketEndsWithTheWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		held := func() (has bool) {
			if err := w.client.call(t.Context(), func() { has = w.client.conns["office"].ticket != nil }); err != nil {
				t.Fatal(err)
			}
			return has
		}
		if !held() {
			t.Error("no ticket")
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if held() {
			t.Error("the ticket is still there")
		}
	})
}
