package ike

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"sallyport/core/ike/auth"
)

// Of several certificates the one is shown whose authority the peer names.
func TestCredentialByCertReq(t *testing.T) {
	ours, theirs := newCA(t, "ours"), newCA(t, "theirs")
	for name, first := range map[string]*testCA{"the second": ours, "the first": theirs} {
		for _, side := range []string{"initiator", "responder"} {
			a, b := certConfigs(t, theirs, "ecdsa", 0)
			own := a
			if side == "responder" {
				own = b
			}
			second := theirs
			if first == theirs {
				second = ours
			}
			credential := func(ca *testCA) Credential {
				key := newKey(t, "ecdsa")
				return Credential{ID: own.Local.ID, Key: key, Authorities: []*x509.Certificate{ca.cert},
					Chain: []*x509.Certificate{ca.issue(t, key, own.Local.ID.String(), 0, testTime.Add(time.Hour))}}
			}
			c := credential(first)
			own.Local.Key, own.Local.Chain, own.Local.Authorities = c.Key, c.Chain, c.Authorities
			own.Local.More = []Credential{credential(second)}
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.up()
			if _, ok := effect[Established](w.a); !ok {
				t.Errorf("%s of the %s is not shown", name, side)
			}
		}
	}
}

// What a gateway asks for in CERTREQ is not proved: one that names the
// authorities of all our certificates makes us ask, and show none meanwhile; what
// was chosen is shown only to one that takes it.
func TestCertReqLeavesTheChoiceToTheUser(t *testing.T) {
	ca, other := newCA(t, "theirs"), newCA(t, "other")
	for name, tt := range map[string]struct {
		second *testCA // of the second certificate
		until  time.Duration
		prefer int
		shown  int // 0: the user is asked
	}{
		"both serve":                 {second: ca, until: time.Hour},
		"the second is preferred":    {second: ca, until: time.Hour, prefer: 2, shown: 2},
		"the first is preferred":     {second: ca, until: time.Hour, prefer: 1, shown: 1},
		"one serves":                 {second: other, until: time.Hour, shown: 1},
		"the preferred is not taken": {second: other, until: time.Hour, prefer: 2, shown: 1},
		"one is over":                {second: ca, until: -time.Minute, shown: 1},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := certConfigs(t, ca, "ecdsa", 0)
			b.Peer.ID = auth.Identity{}
			credential := func(name string, by *testCA, until time.Duration) Credential {
				key := newKey(t, "ecdsa")
				return Credential{ID: identity(name), Key: key, Authorities: []*x509.Certificate{by.cert},
					Chain: []*x509.Certificate{by.issue(t, key, name, 0, testTime.Add(until))}}
			}
			c := credential("first.example", ca, time.Hour)
			a.Local.ID, a.Local.Key, a.Local.Chain, a.Local.Authorities = c.ID, c.Key, c.Chain, c.Authorities
			a.Local.More = []Credential{credential("second.example", tt.second, tt.until)}
			a.Local.Prefer, a.Local.AskWhich = tt.prefer, true
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.connect()
			w.flush()
			if tt.shown == 0 {
				u, ok := errors.AsType[*Undecided](w.a.closed())
				if !ok || len(u.Choices) != 2 || u.Choices[0].Number != 1 || u.Choices[1].Number != 2 || u.Choices[1].Certificate != a.Local.More[0].Chain[0] {
					t.Fatalf("closed with %v", w.a.closed())
				}
				if x, up := effect[Established](w.b); up {
					t.Errorf("%v was shown before the choice", x.PeerID)
				}
				return
			}
			want := []string{"first.example", "second.example"}[tt.shown-1]
			if x, up := effect[Established](w.b); !up || x.PeerID.String() != want {
				t.Errorf("shown is %v, want %s; %v", x.PeerID, want, w.a.closed())
			}
		})
	}
}
