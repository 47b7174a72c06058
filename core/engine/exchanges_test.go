package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/ike/message"
	"sallyport/core/internal/simnet"
)

// names lists who said what: "> IKE_SA_INIT".
func exchangeNames(list []api.Message) string {
	var out []string
	for _, m := range list {
		arrow := "<"
		if m.Sent {
			arrow = ">"
		}
		out = append(out, arrow+m.Exchange)
	}
	return strings.Join(out, " ")
}

// The messages of a connection stay when it is down, those of a peer that came
// to us are its connection's once it has proved who it is, and removing a
// connection forgets them.
func TestExchangesOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		got, err := w.client.Exchanges(t.Context(), "office", 0)
		if err != nil || exchangeNames(got) != ">IKE_SA_INIT <IKE_SA_INIT >IKE_INTERMEDIATE <IKE_INTERMEDIATE >IKE_AUTH <IKE_AUTH >INFORMATIONAL <INFORMATIONAL" {
			t.Errorf("the client: %s, %v", exchangeNames(got), err)
		}
		m := got[5]
		if m.Local != "198.51.100.100:4500" || m.Remote != "198.51.100.1:4500" || m.Request || m.MessageID != 2 || !m.Encrypted ||
			len(m.SPIi) != 16 || m.Size == 0 || m.Time.IsZero() || m.Connection != "office" {
			t.Errorf("a message: %+v", m)
		}
		got, err = w.gateway.Exchanges(t.Context(), "workers", 0)
		if err != nil || exchangeNames(got) != "<IKE_SA_INIT >IKE_SA_INIT <IKE_INTERMEDIATE >IKE_INTERMEDIATE <IKE_AUTH >IKE_AUTH <INFORMATIONAL >INFORMATIONAL" {
			t.Errorf("the gateway: %s, %v", exchangeNames(got), err)
		}
		all, err := json.Marshal(got)
		if err != nil || strings.Contains(string(all), "horse") {
			t.Errorf("the secret is told, or %v", err)
		}
		if got, err = w.client.Exchanges(t.Context(), "", 2); err != nil || exchangeNames(got) != ">INFORMATIONAL <INFORMATIONAL" {
			t.Errorf("the newest of all: %s, %v", exchangeNames(got), err)
		}
		if _, err = w.client.Exchanges(t.Context(), "nobody", 0); api.AsError(err).Code != api.CodeNotFound {
			t.Errorf("of nobody: %v", err)
		}
		if err := w.client.Remove(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if got, err = w.client.Exchanges(t.Context(), "", 0); err != nil || len(got) != 0 {
			t.Errorf("after removing: %s, %v", exchangeNames(got), err)
		}
	})
}

// A flood from strangers leaves what connections said.
func TestExchangesUnderFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		before, _ := w.gateway.Exchanges(t.Context(), "workers", 0)
		junk := make([]byte, 100)
		for i := range 5000 {
			h := message.Header{InitiatorSPI: uint64(i + 1), ResponderSPI: uint64(i % 2), Exchange: message.Informational}
			m := message.Message{Header: h, Payloads: []message.Payload{&message.Encrypted{Body: junk}}}
			b, err := m.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			w.net.Inject(simnet.Packet{From: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.66"), 500), To: netip.AddrPortFrom(gatewayAddr, 500), Data: b})
			if i%50 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		after, _ := w.gateway.Exchanges(t.Context(), "workers", 0)
		if len(before) == 0 || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("the flood changed %s into %s", exchangeNames(before), exchangeNames(after))
		}
		all, _ := w.gateway.Exchanges(t.Context(), "", 0)
		if n := len(all) - len(after); n == 0 || n > maxMessages {
			t.Errorf("%d messages of strangers are kept", n)
		}
	})
}

func TestExchangesAreBounded(t *testing.T) {
	var x exchanges
	at := time.Unix(0, 0)
	check := func() {
		n, bytes := 0, 0
		for name, tr := range x.trails {
			if len(tr.messages) == 0 || len(tr.messages) > maxMessages || len(tr.messages) != len(tr.sizes) {
				t.Fatalf("%q has %d messages", name, len(tr.messages))
			}
			n += len(tr.messages)
			for _, s := range tr.sizes {
				bytes += s
			}
		}
		if n != x.n || n > maxAllMessages || bytes != x.bytes || bytes > maxMessageBytes || len(x.trails) > maxMessageTrails {
			t.Fatalf("%d messages of %d bytes, counted as %d of %d, of %d connections", n, bytes, x.n, x.bytes, len(x.trails))
		}
	}
	for i := range 20000 {
		at = at.Add(time.Second)
		m := api.Message{Time: at, Connection: fmt.Sprintf("c%d", i%300), SPIi: fmt.Sprint(i % 7)}
		if i%3 == 0 {
			m.Connection = ""
		}
		if i%5 == 0 {
			m.Payloads = []api.Payload{{Name: "X", Fields: []api.Field{{Name: "f", Value: strings.Repeat("x", 8<<10)}}}}
		}
		x.add(m)
		if i%1000 == 0 {
			check()
			x.claim(fmt.Sprintf("c%d", i%300), "3")
			check()
			x.forget(fmt.Sprintf("c%d", (i+1)%300))
			check()
		}
	}
	all := x.newest("", 0)
	for i := 1; i < len(all); i++ {
		if all[i].Time.Before(all[i-1].Time) {
			t.Fatal("out of order")
		}
	}
	// Connections with a profile keep what they have, whatever the others say.
	x.stored = func(name string) bool { return name == "c1" || name == "c2" }
	for range maxMessages {
		x.add(api.Message{Time: at, Connection: "c1"})
	}
	for i := range 5000 {
		at = at.Add(time.Second)
		x.add(api.Message{Time: at, Connection: fmt.Sprintf("rule @ %d", i), Payloads: []api.Payload{{Name: strings.Repeat("x", i)}}})
	}
	check()
	if n := len(x.newest("c1", 0)); n != maxMessages {
		t.Errorf("of a connection with a profile %d messages are left", n)
	}
	// Strangers alone cannot fill more than their share.
	var alone exchanges
	for range 200 {
		alone.add(api.Message{Payloads: []api.Payload{{Name: strings.Repeat("x", maxMessageBytes/8)}}})
	}
	if alone.n > 9 || alone.bytes > maxMessageBytes {
		t.Errorf("%d messages of %d bytes", alone.n, alone.bytes)
	}
	for name := range x.trails {
		x.forget(name)
	}
	if x.n != 0 || x.bytes != 0 {
		t.Errorf("after forgetting all: %d, %d", x.n, x.bytes)
	}
}

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if got, err := w.client.Traffic(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("without a tunnel: %v, %v", got, err)
		}
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		got, err := w.client.Traffic(t.Context())
		if err != nil || len(got) != 1 || got["office"].InPackets != 1 || got["office"].OutPackets != 1 || got["office"] != connection(t, w.client).Counters {
			t.Errorf("got %v, %v", got, err)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if got, err = w.client.Traffic(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("after disconnecting: %v, %v", got, err)
		}
	})
}
