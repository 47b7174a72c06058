package engine

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/internal/simnet"
	"sallyport/core/ts"
)

// endChildren lets an end delete the Child SAs of a name that it has at this moment.
func endChildren(t *testing.T, e *Engine, name string) {
	t.Helper()
	if err := e.call(t.Context(), func() {
		for spi, k := range e.kids.bySPI {
			if !k.retired && k.sa.Name == name {
				e.perform(e.ep.CloseChild(spi, time.Now()))
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// ikeSAs returns the SPIs of an end's IKE SAs.
func ikeSAs(t *testing.T, e *Engine) (list []string) {
	t.Helper()
	d, err := e.Dynamic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sa := range d.IKESAs {
		list = append(list, sa.LocalSPI+" "+sa.RemoteSPI)
	}
	return list
}

// watch fails when a text is seen on the wire.
func (w *world) watch(t *testing.T, text string) {
	w.net.SetTap(func(p simnet.Packet) bool {
		if bytes.Contains(p.Data, []byte(text)) {
			t.Errorf("in clear from %v to %v", p.From, p.To)
		}
		return true
	})
}

// hostStays fails when the client has asked its host for anything since that it did
// not hold already.
func (w *world) hostStays(t *testing.T, holds string) {
	t.Helper()
	for _, call := range strings.FieldsFunc(w.cm.Calls(), func(r rune) bool { return r == '\n' }) {
		if !strings.Contains(holds+"\n", call+"\n") {
			t.Errorf("the host was changed: %s", call)
		}
	}
}

// requiring returns a world whose client requires protection and is connected, and the
// client's IKE SAs. It fails when a ping is seen in clear.
func requiring(t *testing.T) (*world, []string) {
	t.Helper()
	w := newWorld(t, requireProfile, gatewayProfile)
	if err := connect(t, w.client, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.watch(t, "ping")
	return w, ikeSAs(t, w.client)
}

// drain takes what has waited, and has come to the gateway by now.
func (w *world) drain() {
	for len(w.gm.TUN().Out) > 0 {
		<-w.gm.TUN().Out
	}
}

// TestGatewayEndsChild: a gateway that deletes the only Child SA gives another one in
// the same IKE SA at once. The user is asked nothing, the host changes nothing, and
// what is sent meanwhile waits.
func TestGatewayEndsChild(t *testing.T) {
	for _, mode := range []api.Profile{api.Respond, api.Request, api.Require} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, asking(strings.Replace(clientProfile, "gateways", "profile = \""+string(mode)+"\"\ngateways", 1)), gatewayProfile)
				defer w.stop()
				end := begin(t, w.client)
				answerWith(t, w.client, api.Answer{ID: question(t, w.client, api.PromptSecret).ID, Secret: []byte(rightSecret)})
				if err := <-end; err != nil {
					t.Fatal(err)
				}
				inside(t, w.client, func(c *conn) { c.ticket = nil }) // nothing but a proof would bring a new IKE SA
				w.carries(t, "10.20.0.1")
				w.watch(t, "ping")
				before := ikeSAs(t, w.client)
				holds := w.cm.Calls()
				for range 3 {
					endChildren(t, w.gateway, "net")
					time.Sleep(6 * time.Millisecond)
					if l := installed(t, w.client); len(l) != 0 {
						t.Errorf("%+v", l)
					}
					w.carries(t, "10.20.0.1") // sent while there is none
					c := connection(t, w.client)
					if c.State != api.Connected || c.Protection != api.Protected {
						t.Errorf("%s, %s", c.State, c.Protection)
					}
					time.Sleep(2 * time.Minute)
					noQuestion(t, w.client)
				}
				if got := ikeSAs(t, w.client); !slices.Equal(got, before) {
					t.Errorf("the IKE SAs are %v, they were %v", got, before)
				}
				w.hostStays(t, holds)
			})
		})
	}
}

// TestGatewayEndsOneChildOfTwo: the one that is gone comes back, and the tunnel stays.
func TestGatewayEndsOneChildOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := "\n[[children]]\nname = \"second\"\n"
		w := newWorld(t, clientProfile+second+"remote_ts = [\"10.11.0.0/16\"]\n",
			strings.Replace(gatewayProfile, "[[pools]]", second+"local_ts = [\"10.11.0.0/16\"]\n\n[[pools]]", 1))
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := ikeSAs(t, w.client)
		holds := w.cm.Calls()
		for _, name := range []string{"second", "net"} {
			endChildren(t, w.gateway, name)
			time.Sleep(time.Second)
			w.carries(t, "10.20.0.1")
			pass := udp4("10.20.0.1", "10.11.0.10", "second")
			w.cm.TUN().InjectPacket(pass)
			select {
			case <-w.gm.TUN().Out:
			case <-time.After(time.Second):
				t.Errorf("the second child carries nothing after %q was deleted", name)
			}
			if l := installed(t, w.client); len(l) != 2 {
				t.Errorf("%+v", l)
			}
		}
		if got := ikeSAs(t, w.client); !slices.Equal(got, before) {
			t.Errorf("the IKE SAs are %v, they were %v", got, before)
		}
		w.hostStays(t, holds)
	})
}

// TestGatewayEndsEveryChild: a gateway that deletes whatever it gives is asked at
// growing intervals, and the tunnel shows that it waits. Nothing leaves in clear, and
// when the gateway has come to its senses the tunnel is there without a new IKE SA.
func TestGatewayEndsEveryChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, before := requiring(t)
		defer w.stop()
		holds := w.cm.Calls()
		given := 0
		for begun := time.Now(); time.Since(begun) < 5*time.Minute; time.Sleep(50 * time.Millisecond) {
			if len(installed(t, w.gateway)) > 0 {
				given++
				endChildren(t, w.gateway, "net")
			}
			w.cm.TUN().InjectPacket(udp4("10.20.0.1", "10.10.0.10", "ping"))
		}
		if given < 8 || given > 13 {
			t.Errorf("the gateway gave %d Child SAs in five minutes", given)
		}
		c := connection(t, w.client)
		if c.State != api.Reconnecting || c.Protection != api.Protected || c.Problem == nil || c.Problem.Code != api.CodePeerClosed {
			t.Errorf("%s, %s, %v", c.State, c.Protection, c.Problem)
		}
		w.hostStays(t, holds)
		time.Sleep(time.Minute + time.Second)
		w.drain()
		w.carries(t, "10.20.0.1")
		if c := connection(t, w.client); c.State != api.Connected || c.Problem != nil {
			t.Errorf("%s, %v", c.State, c.Problem)
		}
		if got := ikeSAs(t, w.client); !slices.Equal(got, before) {
			t.Errorf("the IKE SAs are %v, they were %v", got, before)
		}
	})
}

// TestGatewayRefusesAnotherChild: where the gateway gives none in the IKE SA that
// there is, a new one asks.
func TestGatewayRefusesAnotherChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, before := requiring(t)
		defer w.stop()
		serve := func(list ts.List) (was ts.List) { // what is behind the gateway
			if err := w.gateway.call(t.Context(), func() {
				child := &w.gateway.conns["workers"].cfg.Children[0]
				was, child.Local = child.Local, list
			}); err != nil {
				t.Fatal(err)
			}
			return was
		}
		was := serve(nil)
		endChildren(t, w.gateway, "net")
		time.Sleep(10 * time.Second)
		if c := connection(t, w.client); c.State == api.Connected || c.Protection != api.Stopped {
			t.Errorf("%s, %s", c.State, c.Protection)
		}
		w.cm.TUN().InjectPacket(udp4("10.20.0.1", "10.10.0.10", "ping"))
		serve(was)
		time.Sleep(time.Minute)
		w.drain()
		w.carries(t, connection(t, w.client).Addresses[0].String())
		if got := ikeSAs(t, w.client); len(got) != 1 || slices.Equal(got, before) {
			t.Errorf("the IKE SAs are %v, they were %v", got, before)
		}
	})
}
