package ike

import (
	"crypto"
	"crypto/rand"
	"errors"
	"testing"
	"time"
)

// A slowKey is a key that is somewhere else.
type slowKey struct{ crypto.Signer }

func (slowKey) Slow() {}

// signNow makes the signature that p waits for.
func (p *peer) signNow(err error) int {
	n := 0
	for _, x := range p.effects {
		s, ok := x.(Sign)
		if !ok {
			continue
		}
		n++
		var sig []byte
		if err == nil {
			var bad error
			if sig, bad = s.Key.Sign(rand.Reader, s.Digest, s.Opts); bad != nil {
				panic(bad)
			}
		}
		p.do(s.SA.Signed(sig, err, p.w.now))
	}
	return n
}

// TestSlowKey authenticates with keys that take their time: nothing is sent until
// the signature is there.
func TestSlowKey(t *testing.T) {
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			ca := newCA(t, "test CA")
			a, b := certConfigs(t, ca, kind, 0)
			a.Local.Key = slowKey{a.Local.Key}
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			sa := w.connect()
			w.flush()
			w.advance(10 * time.Second)
			if sa.State() != StateAuthSent || len(w.wire) != 0 {
				t.Fatalf("%v, %d packets on the wire before the signature", sa.State(), len(w.wire))
			}
			if n := w.a.signNow(nil); n != 1 {
				t.Fatalf("%d signatures were asked for", n)
			}
			w.flush()
			w.agree()
			w.a.do(sa.Signed([]byte("late"), nil, w.now)) // changes nothing
			w.agree()
		})
	}
}

// TestSlowKeyFails ends an SA whose key does not sign, or not in time.
func TestSlowKeyFails(t *testing.T) {
	broken := errors.New("the card is gone")
	for name, tt := range map[string]struct {
		sign bool
		want error
	}{"refuses": {true, broken}, "never answers": {false, errNoSigner}} {
		t.Run(name, func(t *testing.T) {
			ca := newCA(t, "test CA")
			a, b := certConfigs(t, ca, "ecdsa", 0)
			a.Local.Key = slowKey{a.Local.Key}
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			sa := w.connect()
			w.flush()
			if tt.sign {
				w.a.signNow(broken)
			} else {
				w.advance(2 * signPatience)
			}
			c, ok := effect[Closed](w.a)
			var f *Failure
			if !ok || !errors.As(c.Err, &f) || f.Code != FailLocalCredential || !errors.Is(c.Err, tt.want) {
				t.Errorf("closed: %v, %v", ok, c.Err)
			}
			if sa.State() != StateClosed {
				t.Errorf("state %v", sa.State())
			}
		})
	}
}
