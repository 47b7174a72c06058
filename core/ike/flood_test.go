package ike

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// counted counts the random bytes that an endpoint draws: who computes a key
// exchange needs some.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	c.n += len(b)
	return c.Reader.Read(b)
}

// rewritten is k with its payloads changed.
func (w *world) rewritten(k packet, change func(message.Payload) message.Payload) packet {
	w.t.Helper()
	m, err := message.Parse(k.data)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, p := range m.Payloads {
		m.Payloads[i] = change(p)
	}
	if k.data, err = m.AppendTo(nil); err != nil {
		w.t.Fatal(err)
	}
	return k
}

// flood sends n IKE_SA_INIT requests, each of another address, SPI and nonce.
func (w *world) flood(request packet, n int) {
	for i := range n {
		k := request
		k.data = bytes.Clone(k.data)
		binary.BigEndian.PutUint64(k.data, uint64(i)+1<<40)
		k.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 1, byte(i >> 8), byte(i)}), 500)
		w.hand(k)
	}
	w.lose()
}

// TestFloodCostsNoKeyExchange: from the threshold on a stranger's request makes
// a responder neither compute a key exchange nor keep anything, however many come;
// and whoever is really there gets through.
func TestFloodCostsNoKeyExchange(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	request := w.wire[0]
	w.lose()
	drawn := &counted{Reader: w.b.e.opt.Rand}
	w.b.e.opt.Rand = drawn
	w.flood(request, w.b.e.opt.CookieThreshold)
	if n := w.b.e.HalfOpen(); n != w.b.e.opt.CookieThreshold {
		t.Fatalf("%d half-open", n)
	}
	each, held := drawn.n/w.b.e.opt.CookieThreshold, len(w.b.e.sas)
	drawn.n = 0
	w.flood(w.rewritten(request, func(p message.Payload) message.Payload {
		if n, ok := p.(*message.Nonce); ok {
			n.Data = bytes.Repeat([]byte{7}, 32)
		}
		return p
	}), 20000)
	if len(w.b.e.sas) != held || len(w.b.e.inits) != held || w.b.e.HalfOpen() != held {
		t.Errorf("%d IKE SAs after %d", len(w.b.e.sas), held)
	}
	if drawn.n > 32 { // the secret of the cookies
		t.Errorf("%d random bytes for 20000 strangers; a key exchange draws %d", drawn.n, each)
	}
	if n := w.b.e.Drops()["without cookie"]; n != 20000 {
		t.Errorf("%d asked for a cookie", n)
	}
	w.up()
}

// BenchmarkFlood is what one IKE_SA_INIT request of a flood costs a responder,
// which answers with a cookie.
func BenchmarkFlood(b *testing.B) {
	w := newWorld(b, testOptions{optB: Options{CookieThreshold: -1}})
	w.connect()
	request := w.wire[0]
	w.lose()
	for b.Loop() {
		w.flood(request, 1)
	}
}

// TestBadPublicValues: points of low order, points off the curve and values of
// the wrong length, in the clear of IKE_SA_INIT, lead to no shared secret, on either
// side, and leave nothing behind.
func TestBadPublicValues(t *testing.T) {
	for name, x := range map[string]struct {
		suite string
		data  []byte
	}{
		"x25519 zero":         {"x25519", make([]byte, 32)},
		"x25519 one":          {"x25519", append([]byte{1}, make([]byte, 31)...)},
		"x25519 short":        {"x25519", make([]byte, 31)},
		"P-256 infinity":      {"ecp256", make([]byte, 64)},
		"P-256 off the curve": {"ecp256", bytes.Repeat([]byte{1}, 64)},
		"P-256 long":          {"ecp256", bytes.Repeat([]byte{1}, 65)},
		"MODP one":            {"modp2048", append(make([]byte, 255), 1)},
		"MODP zero":           {"modp2048", make([]byte, 256)},
	} {
		t.Run(name, func(t *testing.T) {
			cfgA, cfgB := pskConfig("a"), pskConfig("b")
			for _, c := range []*Config{cfgA, cfgB} {
				c.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-"+x.suite)
			}
			bad := func(p message.Payload) message.Payload {
				if ke, ok := p.(*message.KE); ok {
					ke.Data = x.data
				}
				return p
			}
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			request := w.wire[0]
			w.lose()
			w.hand(w.rewritten(request, bad))
			if len(w.b.e.sas) != 0 || w.b.e.HalfOpen() != 0 {
				t.Errorf("the responder holds %d SAs", len(w.b.e.sas))
			}
			w.lose()
			w.hand(request)
			answer := w.wire[0]
			w.lose()
			w.hand(w.rewritten(answer, bad))
			for _, k := range w.wire {
				if h, err := message.ParseHeader(k.data); err != nil || h.Exchange == message.IKEAuth {
					t.Error("the initiator goes on to IKE_AUTH")
				}
			}
		})
	}
}

// TestDowngradeOfProposals: somebody on the way who takes the better proposals,
// or the further key exchanges, out of IKE_SA_INIT gets no connection, not a
// weaker one: AUTH covers the messages as they were sent, and an answer that fits
// none of our proposals is no answer. Who does not insist on further key exchanges
// asks a peer again without that seems not to know them: see TestFallsBackToClassical.
func TestDowngradeOfProposals(t *testing.T) {
	for name, worse := range map[string]func([]message.Proposal) []message.Proposal{
		"the better proposal": func(list []message.Proposal) []message.Proposal { return list[len(list)-1:] },
		"further key exchanges": func(list []message.Proposal) []message.Proposal {
			for i := range list {
				list[i].Transforms = slices.DeleteFunc(list[i].Transforms, func(x message.Transform) bool { return x.Type > transform.TypeESN })
			}
			return list
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfgA, cfgB := hybrid("ke1_mlkem768")
			if name == "further key exchanges" {
				cfgA.Proposals = transform.QuantumSafe(cfgA.Proposals)
			}
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			k := w.wire[0]
			w.lose()
			w.hand(w.rewritten(k, func(p message.Payload) message.Payload {
				if sa, ok := p.(*message.SA); ok {
					sa.Proposals = worse(sa.Proposals)
				}
				return p
			}))
			w.flush()
			w.advance(w.b.e.opt.HalfOpenTimeout)
			for _, p := range []*peer{w.a, w.b} {
				for _, sa := range p.e.SAs() {
					if sa.state == StateUp && !sa.Info().QuantumSafe {
						t.Errorf("%s: up with %v", p.name, sa.keys.suite)
					}
				}
				for _, c := range p.children {
					if !c.sa.Info().QuantumSafe {
						t.Errorf("%s: a Child SA came up", p.name)
					}
				}
			}
			if name == "the better proposal" && w.a.closed().Code != FailAuthRefused {
				t.Errorf("closed with %v", w.a.closed())
			}
		})
	}
}

var idlePeers = flag.Int("idle.peers", 1000, "peers of TestIdlePeers")

// TestIdlePeers: what both ends of an idle IKE SA with its Child SA hold fits in
// 32 KiB, so that 10,000 of them need less than 512 MiB.
func TestIdlePeers(t *testing.T) {
	const most = 32 << 10
	w := newWorld(t, testOptions{})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range *idlePeers {
		w.a.addr = netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
		w.connect()
		w.flush()
		w.a.effects, w.b.effects = nil, nil
	}
	if n := len(w.b.sas); n != *idlePeers {
		t.Fatalf("%d SAs are up", n)
	}
	w.a.e.HandleTimeout(w.now)
	each := (heap() - before) / uint64(*idlePeers)
	t.Logf("%d bytes for both ends of each of %d", each, *idlePeers)
	if each > most {
		t.Errorf("%d bytes for both ends of an idle SA, want at most %d", each, most)
	}
	runtime.KeepAlive(w)
}
