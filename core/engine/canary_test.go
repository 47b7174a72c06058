package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/canary"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
)

// A heap is all that a service says, by where it says it.
type heap map[string]*bytes.Buffer

// add takes a value as front ends get it, and as a careless line of a log would
// have it.
func (h heap) add(t *testing.T, where string, v any, err error) {
	t.Helper()
	if err != nil {
		h.write(where+", error", []byte(fmt.Sprintf("%v\n%+v\n%#v\n", err, api.AsError(err), err)))
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
	h.write(where, b)
	h.write(where, fmt.Appendf(nil, "\n%+v\n", v))
}

func (h heap) write(where string, b []byte) {
	if h[where] == nil {
		h[where] = &bytes.Buffer{}
	}
	h[where].Write(b)
}

// gather asks a service for everything.
func (h heap) gather(t *testing.T, who string, e *Engine, m *hosttest.Machine) {
	t.Helper()
	ctx := context.Background()
	state, err := e.State(ctx)
	h.add(t, who+" state", state, err)
	for _, c := range state.Connections {
		out, err := e.Export(ctx, c.Name)
		h.add(t, who+" export", string(out.Text), err)
	}
	dynamic, err := e.Dynamic(ctx)
	h.add(t, who+" dynamic", dynamic, err)
	security, err := e.Security(ctx)
	h.add(t, who+" security", security, err)
	traffic, err := e.Traffic(ctx)
	h.add(t, who+" traffic", traffic, err)
	policies, err := e.Policies(ctx)
	h.add(t, who+" policies", policies, err)
	log, err := e.Log(ctx, 1<<20)
	h.add(t, who+" log", log, err)
	exchanges, err := e.Exchanges(ctx, "", 1<<20)
	h.add(t, who+" exchanges", exchanges, err)
	if len(log) == 0 || len(state.Connections) == 0 {
		t.Errorf("%s: %d lines of log, %d connections: the test is blind", who, len(log), len(state.Connections))
	}
	for seq := uint64(0); ; {
		events, _ := e.journal.after(seq)
		if len(events) == 0 {
			break
		}
		h.add(t, who+" events", events, nil)
		seq = events[len(events)-1].Seq
	}
	for store, files := range map[string]host.Files{"profiles": m.Profiles, "certificates": m.Certs, "policies": m.Policies, "state": m.State} {
		names, err := files.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			b, err := files.Read(n)
			h.add(t, who+" "+store, n, err)
			h.write(who+" "+store, b)
		}
	}
	h.write(who+" calls of the host", []byte(m.Calls()))
}

// TestCanary proves who the user is with every method, with a wrong credential
// and with the right one, and finds none of them in anything that either end
// writes.
func TestCanary(t *testing.T) {
	for _, c := range authCases() {
		for _, secret := range []string{c.wrong, c.right} {
			t.Run(fmt.Sprintf("%s/%v", c.name, secret == c.right), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := c.world(t, secret, "require")
					w, h := f.w, heap{}
					err := c.try(t, w.client, secret)
					if (err == nil) != (secret == c.right && !c.cannot) {
						t.Errorf("connect: %v", err)
					}
					h.add(t, "connect", "", err)
					h.gather(t, "user's, connected,", w.client, w.cm)
					h.gather(t, "gateway's, connected,", w.gateway, w.gm)
					time.Sleep(10 * time.Minute)
					h.add(t, "disconnect", "", w.client.Disconnect(t.Context(), "office"))
					h.gather(t, "user's, later,", w.client, w.cm)
					h.gather(t, "gateway's, later,", w.gateway, w.gm)
					w.stop()

					secrets := [][]byte{[]byte(c.wrong), []byte(c.right), []byte(markedShare)}
					for _, k := range f.keys {
						d, err := k.Bytes()
						if err != nil {
							t.Fatal(err)
						}
						secrets = append(secrets, d)
					}
					for where, b := range h {
						for _, found := range canary.Find(b.Bytes(), secrets...) {
							t.Errorf("%s: %s", where, found)
						}
					}
				})
			})
		}
	}
}
