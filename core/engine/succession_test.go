package engine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/internal/hosttest"
)

// A train sends a packet every millisecond and notes which arrive.
type train struct {
	sent, got int
	bad       int
}

// receive hands what comes out of a machine's TUN to f, until stop is called.
func receive(m *hosttest.Machine, f func(pkt []byte)) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case pkt := <-m.TUN().Out:
				f(pkt)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (w *world) stream(from, to *hosttest.Machine, src, dst string, until time.Time, s *train) {
	stop := receive(to, func(pkt []byte) {
		s.got++
		if len(pkt) < host.VNetLen || !strings.Contains(string(pkt[host.VNetLen:]), "number") {
			s.bad++
		}
	})
	for ; time.Now().Before(until); time.Sleep(time.Millisecond) {
		s.sent++
		from.TUN().InjectPacket(udp4(src, dst, fmt.Sprintf("number %d", s.sent)))
	}
	time.Sleep(time.Second)
	stop()
}

// TestReauthenticationLosesNothing authenticates anew again and again under
// traffic in both directions: the address stays, one IKE SA is left at either
// end, and every packet arrives.
func TestReauthenticationLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := strings.Replace(clientProfile, "[[children]]", "[ike]\nreauth_time = \"10s\"\n[[children]]", 1)
		w := newWorld(t, own, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		before, err := w.client.Dynamic(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var up, down train
		until := time.Now().Add(2 * time.Minute)
		ready := make(chan struct{})
		go func() {
			w.stream(w.gm, w.cm, "10.10.0.10", "10.20.0.1", until, &down)
			close(ready)
		}()
		w.stream(w.cm, w.gm, "10.20.0.1", "10.10.0.10", until, &up)
		<-ready
		for name, s := range map[string]train{"up": up, "down": down} {
			if s.got != s.sent || s.bad > 0 || s.sent < 100_000 {
				t.Errorf("%s: %d of %d packets arrived, %d strange ones", name, s.got, s.sent, s.bad)
			}
		}
		time.Sleep(4 * time.Second)
		after, err := w.client.Dynamic(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(after.IKESAs) > 2 || after.IKESAs[0].LocalSPI == before.IKESAs[0].LocalSPI || after.IKESAs[0].Established.Sub(before.IKESAs[0].Established) < time.Minute {
			t.Errorf("%+v", after.IKESAs)
		}
		gw, err := w.gateway.Dynamic(t.Context())
		if err != nil || len(gw.IKESAs) > 2 {
			t.Errorf("%d IKE SAs at the gateway, %v", len(gw.IKESAs), err)
		}
		if c := connection(t, w.client); c.State != api.Connected || fmt.Sprint(c.Addresses) != "[10.20.0.1 fd00:20::1]" {
			t.Errorf("%s with %v", c.State, c.Addresses)
		}
	})
}

// TestReauthenticationOneWay lets only the gateway send: it goes on with
// the old Child SAs until they are gone, and loses nothing then.
func TestReauthenticationOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := strings.Replace(clientProfile, "[[children]]", "[ike]\nreauth_time = \"10s\"\n[[children]]", 1)
		w := newWorld(t, own, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		var down train
		w.stream(w.gm, w.cm, "10.10.0.10", "10.20.0.1", time.Now().Add(time.Minute), &down)
		if down.got != down.sent || down.sent < 50_000 {
			t.Errorf("%d of %d packets arrived", down.got, down.sent)
		}
	})
}

// TestLaterIKESADoesNotStay has a responder with a second IKE SA of its peer, which
// the peer gave up before our last answer came. Keys are made anew on the first
// meanwhile, and when the second has ended the first carries traffic again.
func TestLaterIKESADoesNotStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		e := w.gateway
		var late *childSA
		if err := e.call(t.Context(), func() {
			for _, k := range e.kids.bySPI {
				s := &session{conn: k.session.conn, since: k.session.since.Add(time.Second), kids: map[uint32]*childSA{}}
				late = &childSA{session: s, group: k.group, since: time.Now(), sa: ike.ChildSA{InSPI: 1}}
				break
			}
			e.addKid(late)
			e.supersede(late)
			for _, k := range e.kids.bySPI {
				if k != late {
					e.perform(e.ep.RekeyChild(k.sa.InSPI, time.Now()))
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // the first pair has gone
		if err := e.call(t.Context(), func() {
			if n := len(e.kids.byGroup[late.group]); n != 2 {
				t.Errorf("%d pairs", n)
			}
			e.removeKid(late)
			e.relieve(late.group)
		}); err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
	})
}
