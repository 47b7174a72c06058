package engine

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
)

// TestNameIsLookedUpAnew has a gateway whose name leads nowhere at first, then to two
// addresses of which one is dead, and then nowhere again: each attempt asks anew,
// tries all, and remembers what the name was good for.
func TestNameIsLookedUpAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(requireProfile, "198.51.100.1", "vpn.test", 1), gatewayProfile)
		defer w.stop()
		dead := netip.MustParseAddr("198.51.100.77")
		var mu sync.Mutex // guards what follows
		var answer []netip.Addr
		asked := 0
		set := func(addrs ...netip.Addr) (tries int) {
			mu.Lock()
			defer mu.Unlock()
			answer = addrs
			return asked
		}
		if err := w.client.call(t.Context(), func() {
			w.client.opt.Resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
				mu.Lock()
				defer mu.Unlock()
				if asked++; name != "vpn.test" {
					t.Errorf("asked for %q", name)
				}
				if len(answer) == 0 {
					return nil, errors.New("no such host")
				}
				return answer, nil
			}
		}); err != nil {
			t.Fatal(err)
		}
		up := func(what string, limit time.Duration) {
			t.Helper()
			for begun := time.Now(); connection(t, w.client).State != api.Connected; time.Sleep(10 * time.Millisecond) {
				if time.Since(begun) > limit {
					c := connection(t, w.client)
					t.Fatalf("%s: after %v %s, %v", what, limit, c.State, c.Problem)
				}
			}
			w.carries(t, connection(t, w.client).Addresses[0].String())
		}
		lose := func() {
			if err := w.client.call(t.Context(), func() {
				c := w.client.conns["office"]
				c.ticket = nil
				w.client.perform(c.current.sa.Abandon(time.Now()))
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if c := connection(t, w.client); c.Problem == nil || c.Problem.Code != api.CodeResolve {
			t.Errorf("%s, %v", c.State, c.Problem)
		}
		tries := set(dead, gatewayAddr)
		if tries < 3 {
			t.Errorf("asked %d times in 20 s", tries)
		}
		up("two addresses, one dead", 20*time.Second)
		before := set(dead, gatewayAddr)
		if before == tries {
			t.Error("it was not asked anew")
		}
		lose()
		up("after a loss", 2*time.Second)
		if set() == before {
			t.Error("it was not asked anew after a loss")
		}
		lose()
		up("when the name leads nowhere any more", 5*time.Second)
	})
}
