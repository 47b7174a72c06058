package ike

import (
	"bytes"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/message"
)

var (
	ppkOne = PPK{ID: []byte("one"), Secret: bytes.Repeat([]byte("1"), 32)}
	ppkTwo = PPK{ID: []byte("two"), Secret: bytes.Repeat([]byte("2"), 32)}
	ppkBad = PPK{ID: []byte("one"), Secret: bytes.Repeat([]byte("x"), 32)}
)

func TestPPK(t *testing.T) {
	ca := newCA(t, "CA")
	configs := map[string]func(t *testing.T) (a, b *Config){
		"PSK":         func(*testing.T) (a, b *Config) { return pskConfig("a"), pskConfig("b") },
		"certificate": func(t *testing.T) (a, b *Config) { return certConfigs(t, ca, "ecdsa", 0) },
		"token": func(t *testing.T) (a, b *Config) {
			a, b = certConfigs(t, ca, "ecdsa", 0)
			a.Local.Key = slowKey{a.Local.Key}
			return a, b
		},
		"EAP": func(t *testing.T) (a, b *Config) {
			l := newEAPLab(t, eap.TypeTLS)
			return l.user, l.gw
		},
		"EAP alone": func(t *testing.T) (a, b *Config) {
			l := newEAPLab(t, eap.TypeTLS)
			l.user.Local.EAP.Only, l.gw.Peer.EAP.Alone = true, true
			return l.user, l.gw
		},
	}
	for method, make := range configs {
		for _, tt := range []struct {
			name         string
			a, b         []PPK
			needA, needB bool
			up, safe     bool
		}{
			{"both", []PPK{ppkOne}, []PPK{ppkTwo, ppkOne}, false, false, true, true},
			{"both need it", []PPK{ppkOne}, []PPK{ppkOne}, true, true, true, true},
			{"unknown to the responder", []PPK{ppkOne}, []PPK{ppkTwo}, false, false, true, false},
			{"unknown, we need it", []PPK{ppkOne}, []PPK{ppkTwo}, true, false, false, false},
			{"unknown, the responder needs it", []PPK{ppkOne}, []PPK{ppkTwo}, false, true, false, false},
			{"the initiator has none", nil, []PPK{ppkOne}, false, false, true, false},
			{"the initiator has none, the responder needs it", nil, []PPK{ppkOne}, false, true, false, false},
			{"the responder has none", []PPK{ppkOne}, nil, false, false, true, false},
			{"the responder has none, we need it", []PPK{ppkOne}, nil, true, false, false, false},
			{"another secret", []PPK{ppkBad}, []PPK{ppkOne}, false, false, false, false},
		} {
			t.Run(method+"/"+tt.name, func(t *testing.T) {
				cfgA, cfgB := make(t)
				cfgA.PPKs, cfgB.PPKs, cfgA.PPKRequired, cfgB.PPKRequired = tt.a, tt.b, tt.needA, tt.needB
				w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
				w.connect()
				w.flush()
				w.signAll()
				if !tt.up {
					w.advance(time.Minute)
					if len(w.a.e.SAs())+len(w.b.e.SAs())+len(w.a.children)+len(w.b.children) != 0 {
						t.Fatal("an SA came up")
					}
					return
				}
				w.agree()
				for _, p := range []*peer{w.a, w.b} {
					if i := p.one().Info(); i.QuantumSafe != tt.safe {
						t.Errorf("%s: quantum-safe %v", p.name, i.QuantumSafe)
					}
				}
				w.a.do(w.a.one().Rekey(w.now))
				w.flush()
				w.b.do(w.b.e.RekeyChild(w.b.child().in, w.now))
				w.flush()
				w.agree()
				if i := w.a.one().Info(); i.QuantumSafe != tt.safe {
					t.Errorf("after a rekey: quantum-safe %v", i.QuantumSafe)
				}
			})
		}
	}
}

// signAll makes the signatures that a waits for.
func (w *world) signAll() {
	w.t.Helper()
	for i := 0; i < len(w.a.effects); i++ {
		if s, ok := w.a.effects[i].(Sign); ok {
			sig, err := s.Key.(slowKey).Signer.Sign(newSeeded(1, "sig"), s.Digest, s.Opts)
			w.a.do(s.SA.Signed(sig, err, w.now))
			w.flush()
		}
	}
}

// A man in the middle takes USE_PPK out of a message: AUTH covers it.
func TestStrippedPPK(t *testing.T) {
	for _, response := range []bool{false, true} {
		cfgA, cfgB := pskConfig("a"), pskConfig("b")
		cfgA.PPKs, cfgB.PPKs = []PPK{ppkOne}, []PPK{ppkOne}
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		w.connect()
		if response {
			w.deliver(0)
		}
		m := w.parse(0)
		kept := m.Payloads[:0]
		for _, p := range m.Payloads {
			if n, ok := p.(*message.Notify); !ok || n.Kind != message.NotifyUsePPK {
				kept = append(kept, p)
			}
		}
		if len(kept) == len(m.Payloads) {
			t.Fatal("no USE_PPK")
		}
		m.Payloads = kept
		b, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.wire[0].data = b
		w.flush()
		w.advance(2 * time.Minute)
		if len(w.a.e.SAs())+len(w.b.e.SAs()) != 0 {
			t.Errorf("response %v: an SA came up", response)
		}
	}
}
