package model

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

func TestNotices(t *testing.T) {
	set := func(h *host, s api.TunnelState, p api.Protection) {
		h.do(func(b *ipctest.Backend) {
			c := office(s)
			c.Profile, c.Protection = api.Request, p
			b.SetConnection(c)
		})
	}
	connected := func(h *host) { set(h, api.Connected, api.Protected) }
	reconnecting := func(h *host) { set(h, api.Reconnecting, api.Held) }
	for _, tt := range []struct {
		name  string
		start api.TunnelState
		do    func(h *host, m *Model)
		want  string // the titles, without what all begin with
	}{
		{"how it is found is no news", api.Connected, func(*host, *Model) {}, ""},
		{"blocked when it is found", api.Blocked, func(*host, *Model) {}, "blocked"},
		{"somebody else connects", api.Disconnected, func(h *host, _ *Model) { connected(h) }, "safe"},
		{"the user connects", api.Disconnected, func(h *host, m *Model) { _ = m.Connect(context.Background(), "office") }, ""},
		{"the user connects by the service", api.Disconnected, func(h *host, m *Model) {
			_ = m.Backend().Connect(context.Background(), api.ConnectRequest{Name: "office"})
		}, ""},
		{"the user disconnects", api.Connected, func(h *host, m *Model) { _ = m.Disconnect(context.Background(), "office") }, ""},
		{"the gateway disconnects", api.Connected, func(h *host, _ *Model) { set(h, api.Disconnected, "") }, "off"},
		{"a short absence", api.Connected, func(h *host, _ *Model) {
			reconnecting(h)
			time.Sleep(3 * time.Second)
			connected(h)
		}, ""},
		{"a long absence", api.Connected, func(h *host, _ *Model) {
			reconnecting(h)
			time.Sleep(20 * time.Second)
			connected(h)
		}, "lost safe"},
		{"in clear, at once", api.Connected, func(h *host, _ *Model) {
			h.do(func(b *ipctest.Backend) { b.FallBack("office", time.Minute) })
			time.Sleep(time.Second)
			connected(h)
		}, "partly safe"},
		{"in clear, as the user allowed", api.Connected, func(h *host, m *Model) {
			_ = m.Backend().AllowClear(context.Background(), "office", time.Minute)
			h.do(func(b *ipctest.Backend) { b.FallBack("office", time.Minute) })
		}, ""},
		{"in clear, though the user has just connected", api.Disconnected, func(h *host, m *Model) {
			_ = m.Connect(context.Background(), "office")
			h.do(func(b *ipctest.Backend) { b.FallBack("office", time.Minute) })
		}, "partly"},
		{"blocked, though the user has just connected", api.Disconnected, func(h *host, m *Model) {
			_ = m.Connect(context.Background(), "office")
			set(h, api.Blocked, api.Stopped)
		}, "blocked"},
		{"a failure", api.Connected, func(h *host, _ *Model) {
			h.do(func(b *ipctest.Backend) {
				c := office(api.Disconnected)
				c.Problem = &api.Error{Code: api.CodePeerClosed, What: "x"}
				b.SetConnection(c)
			})
		}, "fault"},
		{"flapping", api.Connected, func(h *host, _ *Model) {
			for range 20 {
				reconnecting(h)
				time.Sleep(8 * time.Second)
				connected(h)
				time.Sleep(4 * time.Second)
			}
		}, "lost safe unsteady"},
		{"a prompt", api.Disconnected, func(h *host, _ *Model) {
			h.do(func(b *ipctest.Backend) { b.Ask(api.Prompt{ID: "1", Kind: api.PromptCode, Connection: "office"}) })
		}, "prompt"},
		{"the service is restarted", api.Connected, func(h *host, _ *Model) {
			h.stop()
			time.Sleep(2 * time.Second)
			h.start(office(api.Connected))
		}, ""},
		{"the service is gone for a while", api.Connected, func(h *host, _ *Model) {
			h.stop()
			time.Sleep(time.Minute)
			h.start(office(api.Connected))
		}, "gone back"},
		{"the service comes back without the tunnel", api.Connected, func(h *host, _ *Model) {
			h.stop()
			time.Sleep(2 * time.Second)
			h.start(office(api.Disconnected))
		}, "off"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &host{Backend: nil}
			c := office(tt.start)
			c.Profile = api.Request
			h.start(c)
			m := New(Options{Backend: connecting{h}})
			var got []string
			stopNotices := m.Notices(func(n Notice) {
				got = append(got, strings.TrimPrefix(n.Title.Key, "model.notice."))
				if n.Body.Key == "" {
					t.Errorf("%s: a notice without a body", tt.name)
				}
			})
			stop := run(t, m)
			time.Sleep(10 * time.Second)
			tt.do(h, m)
			time.Sleep(3 * time.Minute)
			stop()
			stopNotices()
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s: told %q, want %q", tt.name, s, tt.want)
			}
		})
	}
}

// connecting passes on the commands too.
type connecting struct{ *host }

func (c connecting) Connect(ctx context.Context, r api.ConnectRequest) error {
	var err error
	c.do(func(b *ipctest.Backend) { err = b.Connect(ctx, r) })
	return err
}

func (c connecting) Disconnect(ctx context.Context, name string) error {
	var err error
	c.do(func(b *ipctest.Backend) { err = b.Disconnect(ctx, name) })
	return err
}

func (c connecting) AllowClear(context.Context, string, time.Duration) error { return nil }

// TestHearerIsBounded keeps the newest for one who does not listen.
func TestHearerIsBounded(t *testing.T) {
	h := &hearer{watcher: watcher{wake: make(chan struct{}, 1)}}
	for i := range 1000 {
		h.add([]Notice{{Connection: fmt.Sprint(i)}})
	}
	if q := h.take(); len(q) != maxNotices || q[len(q)-1].Connection != "999" {
		t.Errorf("%d notices wait", len(q))
	}
}
