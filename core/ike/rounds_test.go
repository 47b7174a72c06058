package ike

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
)

// newRoundsLab is a gateway that wants a machine's certificate, and its user
// after that.
func newRoundsLab(t *testing.T, method eap.Type) *eapLab {
	t.Helper()
	l := newEAPLab(t, method)
	key := newKey(t, "ecdsa")
	l.user.Local.ID, l.user.Local.Key = identity("laptop.test"), key
	l.user.Local.Chain = []*x509.Certificate{l.ca.issue(t, key, "laptop.test", 0, testTime.Add(time.Hour))}
	l.user.Local.EAP.Password = []byte("s3cret")
	l.gw.Peer.Verifier = &pki.Verifier{Roots: []*x509.Certificate{l.ca.cert}}
	l.gw.Peer.EAP.After = true
	return l
}

// RFC 4739, both ends: the certificate, then the user.
func TestTwoRounds(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		l := newRoundsLab(t, m)
		var asked string
		pool := &testPool{}
		l.gw.Peer.EAP.PoolOf = func(user string, _ []string) Pool { asked = user; return pool }
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.flush()
		if sa.State() != StateUp || len(sa.Children()) != 1 {
			t.Fatalf("%v: state %v: %v", m, sa.State(), w.a.closed())
		}
		w.agree()
		x, _ := effect[Established](w.b)
		if x.PeerID.String() != "laptop.test" || x.PeerAuth != "ecdsa-sha256, then EAP-"+m.String()+" (alice)" || asked != "" && asked != "alice" {
			t.Errorf("%v: %v proved itself with %s, and the pool is that of %q", m, x.PeerID, x.PeerAuth, asked)
		}
	}
}

// The first proof may be a pre-shared key: our own end does not do that, and
// the messages are those of another.
func TestPSKThenUser(t *testing.T) {
	l := newRoundsLab(t, eap.TypeMSCHAPv2)
	l.gw.Peer.Verifier, l.gw.Peer.PSK = nil, testPSK
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	sa := w.connect()
	w.until(t, sa, kindAuth)
	w.say(t, sa, func(in []message.Payload) []message.Payload {
		idi := idPayload(sa.localID, false)
		octets := sa.octets(true, idi)
		return replaced(in, &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, testPSK, octets)})
	})
	w.flush()
	if x, ok := effect[Established](w.b); !ok || x.PeerAuth != "PSK, then EAP-MSCHAPv2 (alice)" {
		t.Errorf("%v, %v", x.PeerAuth, w.b.closed())
	}
}

// until delivers until a request of a kind is on its way to b.
func (w *world) until(t *testing.T, sa *SA, k kind) {
	t.Helper()
	for range 40 {
		if sa.flight != nil && sa.flight.task.kind() == k && len(w.wire) > 0 && w.wire[0].from.Addr() == w.a.addr {
			return
		}
		if len(w.wire) == 0 {
			break
		}
		w.deliver(0)
	}
	t.Fatalf("no such request; %v", w.a.closed())
}

// say sends, in place of the request in flight, what change makes of it.
func (w *world) say(t *testing.T, sa *SA, change func([]message.Payload) []message.Payload) {
	t.Helper()
	payloads, ok := sa.flight.task.request(sa, w.now)
	if !ok {
		t.Fatal("the request cannot be made")
	}
	w.lose()
	datagrams, err := sa.seal(message.IKEAuth, sa.flight.id, false, change(payloads))
	if err != nil {
		t.Fatal(err)
	}
	sa.send(datagrams, w.now)
	w.a.do(w.a.e.take())
}

// replaced puts p in the place of its kind.
func replaced(in []message.Payload, p message.Payload) []message.Payload {
	return append(without(in, p.Type()), p)
}

func without(in []message.Payload, kind message.PayloadType) []message.Payload {
	return slices.DeleteFunc(slices.Clone(in), func(p message.Payload) bool { return p.Type() == kind })
}

func withoutNotify(in []message.Payload, kinds ...message.NotifyType) []message.Payload {
	return slices.DeleteFunc(slices.Clone(in), func(p message.Payload) bool {
		n, ok := p.(*message.Notify)
		return ok && slices.Contains(kinds, n.Kind)
	})
}

// Whoever leaves a round out, adds one, or takes another's for its own is not
// let in, and nothing is given before both rounds are over.
func TestRoundsAreNotSkipped(t *testing.T) {
	type change = func([]message.Payload) []message.Payload
	for name, c := range map[string]struct {
		at     kind
		say    func(sa *SA) change
		spoil  func(l *eapLab)
		silent bool // the gateway waits, and gives up
	}{
		"the second round, by not announcing it": {at: kindAuth, say: func(*SA) change {
			return func(in []message.Payload) []message.Payload {
				return withoutNotify(in, message.NotifyAnotherAuthFollows, message.NotifyMultipleAuthSupported)
			}
		}},
		"the second round, by AUTH at once": {at: kindUser, say: func(sa *SA) change {
			return func([]message.Payload) []message.Payload { return []message.Payload{ownProof(sa, sa.localID)} }
		}},
		"the second round, by AUTH before its end": {at: kindEAP, say: func(sa *SA) change {
			return func([]message.Payload) []message.Payload { return []message.Payload{ownProof(sa, sa.localID)} }
		}},
		"the second round, by the certificate again": {at: kindUser, say: func(sa *SA) change {
			return func([]message.Payload) []message.Payload {
				sa.localID = sa.ownID()
				proof, err := sa.prove(idPayload(sa.localID, false))
				if err != nil {
					t.Fatal(err)
				}
				o := sa.newOffer(&sa.cfg.Children[0], sa.cfg.Children[0].Proposals)
				return []message.Payload{idPayload(sa.localID, false), proof, o.sa(), o.tsi(), o.tsr()}
			}
		}},
		"the second round, by saying nothing": {at: kindUser, silent: true},
		"the first round": {at: kindAuth, say: func(*SA) change {
			return func(in []message.Payload) []message.Payload { return without(in, message.PayloadAUTH) }
		}},
		"the first round, by another's certificate": {at: kindAuth, spoil: func(l *eapLab) {
			key := newKey(t, "ecdsa")
			l.user.Local.Key, l.user.Local.Chain = key, []*x509.Certificate{newCA(t, "CA").issue(t, key, "laptop.test", 0, testTime.Add(time.Hour))}
		}},
		"announced, and not supported": {at: kindAuth, say: func(*SA) change {
			return func(in []message.Payload) []message.Payload {
				return withoutNotify(in, message.NotifyMultipleAuthSupported)
			}
		}},
		"a third round": {at: kindProof, say: func(*SA) change {
			return func(in []message.Payload) []message.Payload {
				return append(in, status(message.NotifyAnotherAuthFollows))
			}
		}},
		"the proof of the second round for the identity of the first": {at: kindProof, say: func(sa *SA) change {
			return func([]message.Payload) []message.Payload {
				return []message.Payload{ownProof(sa, identity("other.test"))}
			}
		}},
		"wrong password": {at: kindUser, spoil: func(l *eapLab) { l.user.Local.EAP.Password = []byte("wrong") }},
		"another user":   {at: kindUser, spoil: func(l *eapLab) { l.user.Local.EAP.Identity = "mallory" }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newRoundsLab(t, eap.TypeMSCHAPv2)
			if c.spoil != nil {
				c.spoil(l)
			}
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			w.until(t, sa, c.at)
			if c.say != nil {
				w.say(t, sa, c.say(sa))
			}
			if c.silent {
				w.a.do(sa.Abandon(w.now))
				w.lose()
				if len(w.b.e.sas) != 1 {
					t.Fatal("the gateway does not wait")
				}
				w.advance(guestPatience + time.Second)
			}
			w.flush()
			if count[Established](w.b) != 0 || count[InstallChild](w.b) != 0 || len(w.b.e.sas) != 0 {
				t.Errorf("the gateway lets it in: %v", w.b.story())
			}
		})
	}
}

// ownProof is an AUTH with what everybody knows who made the IKE SA.
func ownProof(sa *SA, id auth.Identity) *message.Auth {
	key := sa.keys.pLocal
	if u := sa.hs.user; u != nil && u.peer.MSK() != nil {
		key = u.peer.MSK()
	}
	octets := sa.octets(true, idPayload(id, false))
	return &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, key, octets)}
}

// The identity of the second round is the user's word: the peer stays who its
// certificate says, and its AUTH has to cover the identity that it named.
func TestIdentityOfTheSecondRoundProvesNothing(t *testing.T) {
	for _, honest := range []bool{true, false} {
		l := newRoundsLab(t, eap.TypeMSCHAPv2)
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.until(t, sa, kindUser)
		w.say(t, sa, func([]message.Payload) []message.Payload {
			return []message.Payload{idPayload(identity("admin.test"), false)}
		})
		w.until(t, sa, kindProof)
		if honest {
			w.say(t, sa, func([]message.Payload) []message.Payload {
				return []message.Payload{ownProof(sa, identity("admin.test"))}
			})
		}
		w.flush()
		x, up := effect[Established](w.b)
		if up != honest || up && x.PeerID.String() != "laptop.test" {
			t.Errorf("AUTH over the identity named: %v; up: %v, as %v", honest, up, x.PeerID)
		}
	}
}

// Without a user to ask, ANOTHER_AUTH_FOLLOWS is refused and not passed over:
// the peer would take half of what it asked for as the whole.
func TestAnotherAuthFollowsWithoutSupport(t *testing.T) {
	for name, multiple := range map[string]bool{"nobody asks twice": false, "another connection does": true} {
		l := newRoundsLab(t, eap.TypeMSCHAPv2)
		l.gw.Peer.EAP = nil
		l.user.Local.EAP = nil
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.until(t, sa, kindAuth)
		for _, b := range w.b.e.sas {
			b.hs.multiple = multiple
		}
		w.say(t, sa, func(in []message.Payload) []message.Payload {
			return append(in, status(message.NotifyMultipleAuthSupported), status(message.NotifyAnotherAuthFollows))
		})
		w.flush()
		if count[Established](w.b) != 0 || len(w.b.e.sas) != 0 {
			t.Errorf("%s: let in", name)
		}
	}
}
