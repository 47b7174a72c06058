package ike

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// FuzzHandshake mutates one message of a whole conversation: handshake, rekey
// of the Child SA by one end, of the IKE SA by the other, liveness, deletion. Whatever
// comes of it, both ends come to rest with the same SAs.
func FuzzHandshake(f *testing.F) {
	for i := range 40 { // with several key exchanges
		f.Add(uint8(0x80|i), uint16(17*i), uint8(1)<<(i%8), uint16(i%3))
	}
	for i := range 14 {
		f.Add(uint8(i), uint16(0), uint8(0), uint16(0))
		f.Add(uint8(i), uint16(17), uint8(0x10), uint16(0))
		f.Add(uint8(i), uint16(40), uint8(1), uint16(0))
		f.Add(uint8(i), uint16(100), uint8(0x80), uint16(7))
	}
	f.Fuzz(func(t *testing.T, which uint8, offset uint16, flip uint8, cut uint16) {
		cfgA, cfgB, pool := roadwarrior()
		for _, c := range []*Config{cfgA, cfgB} {
			c.LivenessDelay = 20 * time.Second
		}
		if which&0x80 != 0 {
			which &= 0x7f
			for _, c := range []*Config{cfgA, cfgB} {
				c.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ke1_mlkem768", "aes256gcm16-prfsha256-x25519")
				c.Children[0].Proposals = transform.Hybrid(mustProposals(transform.ProtoESP, "aes128gcm16-x25519-esn"))
				c.PPKs, c.Childless = []PPK{ppkOne}, true
			}
		}
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		n := 0
		step := func() {
			for i := 0; len(w.wire) > 0 && i < 1000; i++ {
				if n == int(which) {
					k := &w.wire[0]
					k.data = bytes.Clone(k.data)
					k.data[int(offset)%len(k.data)] ^= flip
					k.data = k.data[:len(k.data)-int(cut)%len(k.data)]
				}
				n++
				w.deliver(0)
			}
		}
		settle := func() {
			step()
			w.run(time.Minute, step)
		}
		w.connect()
		settle()
		for _, act := range []func(){
			func() {
				for _, c := range w.a.e.SAs() {
					for _, x := range c.children {
						w.a.do(w.a.e.RekeyChild(x.in, w.now))
						break
					}
				}
			},
			func() {
				for _, sa := range w.b.e.SAs() {
					w.b.do(sa.Rekey(w.now))
				}
			},
		} {
			act()
			settle()
		}
		w.run(10*time.Minute, step)
		if len(w.a.e.SAs()) != len(w.b.e.SAs()) {
			t.Fatalf("%d and %d SAs", len(w.a.e.SAs()), len(w.b.e.SAs()))
		}
		if len(w.a.e.SAs()) > 0 {
			w.agree()
		}
		for _, sa := range w.a.e.SAs() {
			w.a.do(sa.Close(w.now))
		}
		settle()
		if len(w.a.e.sas)+len(w.b.e.sas)+len(w.a.children)+len(w.b.children) != 0 || pool.leases != 0 {
			t.Errorf("left: %d and %d SAs, %d leases", len(w.a.e.sas), len(w.b.e.sas), pool.leases)
		}
	})
}

// FuzzStranger throws datagrams at an endpoint that serves another peer. They
// can make it hold half-open SAs, no more.
func FuzzStranger(f *testing.F) {
	w := newWorld(f, testOptions{})
	w.connect()
	for len(w.wire) > 0 {
		f.Add(w.wire[0].data, w.wire[0].natt)
		w.deliver(0)
	}
	f.Fuzz(func(t *testing.T, data []byte, natt bool) {
		w := newWorld(t, testOptions{})
		a, b := w.up()
		idA, idB := a.nextID, b.expectID
		for _, to := range []*peer{w.a, w.b} {
			// Once as it is, once with SPIs that are known.
			for range 2 {
				from := packet{natt: natt, data: data}
				from.to, from.from = a.path.Local, a.path.Remote
				if to == w.b {
					from.to, from.from = b.path.Local, b.path.Remote
				}
				w.hand(from)
				if len(data) < 16 {
					break
				}
				data = bytes.Clone(data)
				binary.BigEndian.PutUint64(data, a.spiLocal)
				binary.BigEndian.PutUint64(data[8:], a.spiRemote)
			}
		}
		w.lose()
		if a.nextID != idA || b.expectID != idB || a.state != StateUp || b.state != StateUp {
			t.Error("a stranger moved an established SA")
		}
		w.agree()
	})
}

// FuzzPeer lets an authenticated peer send requests of any content. It can
// spoil its own SA, not the process, and what it makes us hold is bounded.
func FuzzPeer(f *testing.F) {
	w := newWorld(f, testOptions{})
	a, _ := w.up()
	o, err := a.newExchange(&a.cfg.Children[0], 0)
	if err != nil {
		f.Fatal(err)
	}
	chain := func(list ...message.Payload) (uint8, []byte) {
		m := message.Message{Header: a.header(message.Informational, 9, false), Payloads: list}
		b, err := m.AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		return b[16], b[message.HeaderLen:]
	}
	seed := func(x message.ExchangeType, list ...message.Payload) {
		first, body := chain(list...)
		f.Add(uint8(x), first, body)
	}
	seed(message.CreateChildSA, o.payloads()...)
	seed(message.CreateChildSA, append([]message.Payload{&message.Notify{
		Protocol: 3, Kind: message.NotifyRekeySA, SPI: childSPI(a.children[0].in)}}, o.payloads()...)...)
	rekey, _ := (&ikeRekeyTask{}).request(a, w.now)
	seed(message.CreateChildSA, rekey...)
	seed(message.IKEFollowupKE, &message.KE{Method: transform.KEMLKEM768, Data: make([]byte, 1184)},
		&message.Notify{Kind: message.NotifyAdditionalKeyExchange, Data: make([]byte, linkLen)})
	o.proposals = transform.Hybrid(o.proposals)
	seed(message.CreateChildSA, o.payloads()...)
	seed(message.IKEIntermediate, &message.KE{Method: transform.KEMLKEM768, Data: make([]byte, 1184)})
	seed(message.Informational, &message.Delete{Protocol: 3, SPIs: []uint32{a.children[0].in}})
	seed(message.Informational, &message.Delete{Protocol: 1})
	seed(message.Informational, &message.Notify{Kind: message.NotifyUpdateSAAddresses})
	seed(message.Informational, &message.Notify{Kind: message.NotifyAuthLifetime, Data: []byte{0, 0, 1, 0}})
	seed(message.Informational)
	seed(message.IKEAuth, idPayload(identity("a.test"), false))
	f.Fuzz(func(t *testing.T, exchange, first uint8, body []byte) {
		if len(body) > 20000 {
			return
		}
		w := newWorld(t, testOptions{})
		a, b := w.up()
		for range 3 {
			if b.state != StateUp && b.state != StateRekeyed {
				break
			}
			h := a.header(message.ExchangeType(exchange), a.nextID, false)
			w.hand(packet{from: a.path.Local, to: a.path.Remote, natt: true, data: sealRaw(t, a, h, first, body)})
			a.nextID++
			w.lose()
		}
		w.run(time.Minute, w.lose)
		if n := len(w.b.e.sas); n > 8 {
			t.Errorf("%d SAs", n)
		}
		if n := len(w.b.e.children); n > maxChildren || len(w.b.e.reserved) > maxChildren {
			t.Errorf("%d children, %d SPIs reserved", n, len(w.b.e.reserved))
		}
		if n := len(w.b.e.children); n != len(w.b.children) {
			t.Errorf("%d children, %d in the data path", n, len(w.b.children))
		}
	})
}

// FuzzIntermediate lets a peer say anything where further key exchanges are due:
// to us as the responder, and to us as the initiator. Nobody comes up by it.
func FuzzIntermediate(f *testing.F) {
	for _, n := range []int{0, 1, 1087, 1088, 1184, 1568} {
		for _, method := range []transform.ID{transform.KEMLKEM768, transform.KEMLKEM1024, transform.KEX25519} {
			m := message.Message{Payloads: []message.Payload{&message.KE{Method: method, Data: bytes.Repeat([]byte{7}, n)}}}
			b, err := m.AppendTo(nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b[16], b[message.HeaderLen:])
		}
	}
	f.Fuzz(func(t *testing.T, first uint8, body []byte) {
		if len(body) > 20000 {
			return
		}
		for _, response := range []bool{false, true} {
			cfgA, cfgB := hybrid("ke1_mlkem768-ke2_mlkem1024")
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			w.deliver(0)
			w.deliver(0)
			w.lose()
			from, to := w.sas()
			if response {
				from, to = to, from
			}
			h := from.header(message.IKEIntermediate, 1, response)
			w.hand(packet{from: to.path.Remote, to: to.path.Local, natt: true, data: sealRaw(t, from, h, first, body)})
			w.lose()
			w.run(10*time.Minute, w.lose)
			if len(w.a.e.sas)+len(w.b.e.sas)+len(w.a.children)+len(w.b.children) != 0 {
				t.Errorf("left: %d and %d SAs", len(w.a.e.sas), len(w.b.e.sas))
			}
		}
	})
}

// sealRaw protects any bytes as the payloads of a message.
func sealRaw(t testing.TB, sa *SA, h message.Header, first uint8, plain []byte) []byte {
	m := message.Message{Header: h, Payloads: []message.Payload{
		&message.Encrypted{First: message.PayloadType(first), Body: make([]byte, len(plain)+sa.keys.seal.Overhead(len(plain)))}}}
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	prefix := b[: message.HeaderLen+4 : message.HeaderLen+4]
	return sa.keys.seal.Seal(bytes.Clone(prefix), prefix, plain, newSeeded(1, "iv"))
}
