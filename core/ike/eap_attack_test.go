package ike

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
)

// newUser returns an endpoint of a's address whose user is another.
func (w *world) newUser(cfg *Config, name string, n byte) *peer {
	p := &peer{w: w, name: name, addr: netip.AddrFrom4([4]byte{192, 0, 2, n}), cfg: cfg, children: map[uint32]*fakeChild{}, sas: map[*SA]bool{}}
	p.e = NewEndpoint(Options{Rand: newSeeded(uint64(n), name), Resolver: p})
	return p
}

// A user who comes in with the identity of IKE of another, which EAP does not
// prove, ends nothing of the other's: neither by INITIAL_CONTACT nor because
// peers are to be unique.
func TestUserEndsNoOthers(t *testing.T) {
	for name, c := range map[string]struct {
		user, id string
		unique   bool
		rekey    bool
		closed   bool
	}{
		"another user, initial contact":            {user: "mallory", id: "alice.test"},
		"another user, unique":                     {user: "mallory", id: "alice.test", unique: true},
		"another user, after a rekey":              {user: "mallory", id: "alice.test", unique: true, rekey: true},
		"same user":                                {user: "alice", id: "alice.test", closed: true},
		"same user, after a rekey":                 {user: "alice", id: "alice.test", rekey: true, closed: true},
		"same user, another device":                {user: "alice", id: "phone.test"},
		"same user, another device, unique":        {user: "alice", id: "phone.test", unique: true, closed: true},
		"same user, another device, unique, rekey": {user: "alice", id: "phone.test", unique: true, rekey: true, closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newEAPLab(t, eap.TypeMSCHAPv2)
			l.gw.Unique = c.unique
			l.gw.Peer.EAP.New = func(JudgePath) *eap.Server {
				return eap.NewServer(eap.ServerConfig{Methods: []eap.Type{eap.TypeMSCHAPv2},
					Password: func(string) ([]byte, bool) { return []byte("s3cret"), true }})
			}
			l.user.Local.EAP.Password = []byte("s3cret")
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			w.connect()
			w.flush()
			w.agree()
			if c.rekey {
				w.b.do(w.b.e.SAs()[0].Rekey(w.now))
				w.flush()
			}
			first := w.b.e.SAs()[0]
			if got := first.guestUser; got != "alice" {
				t.Fatalf("the first user is %q", got)
			}

			cfg := *l.user
			user := *l.user.Local.EAP
			user.Identity, cfg.Local.EAP, cfg.Local.ID = c.user, &user, identity(c.id)
			w.a = w.newUser(&cfg, "second", 1)
			sa := w.connect()
			w.flush()
			if sa.State() != StateUp {
				t.Fatalf("the second: %v", sa.State())
			}
			if closed := first.State() != StateUp; closed != c.closed {
				t.Errorf("the first: %v", first.State())
			}
		})
	}
}

// A refusal that anyone can have forged does not end an authentication that goes
// on: it takes many exchanges, and the true answer to the one refused has come.
func TestForgedRefusalDuringEAP(t *testing.T) {
	l := newEAPLab(t, eap.TypeTLS)
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	sa := w.connect()
	for sa.State() != StateAuthSent || sa.hs.user == nil {
		w.deliver(0)
	}
	h := sa.header(message.IKEAuth, sa.flight.id, true)
	h.Flags = message.FlagResponse
	forged := message.Message{Header: h, Payloads: []message.Payload{&message.Notify{Kind: message.NotifyAuthenticationFailed}}}
	b, err := forged.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(w.a.e.HandleDatagram(Datagram{Data: b, Local: sa.path.Local, Remote: sa.path.Remote, NATT: true}, w.now))
	if sa.hint == nil {
		t.Fatal("it is not even remembered")
	}
	w.deliver(0) // our request
	w.deliver(0) // the true answer
	if sa.State() != StateAuthSent {
		t.Fatalf("state %v", sa.State())
	}
	held := w.wire // the path is slow
	w.lose()
	w.run(3*time.Second, w.lose)
	if sa.State() != StateAuthSent {
		t.Fatalf("given up: %v", w.a.failure(t))
	}
	w.wire = held
	w.flush()
	if sa.State() != StateUp {
		t.Errorf("state %v", sa.State())
	}
}

// RFC 5998 asks for a key: a gateway that has not proved itself is believed for
// nothing but the key that a method made with it.
func TestEAPOnlyNeedsAKey(t *testing.T) {
	l := newEAPLab(t, eap.TypeTLS)
	l.user.Local.EAP.Only, l.gw.Peer.EAP.Alone = true, true
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	sa := w.connect()
	for sa.State() != StateAuthSent || sa.hs.user == nil {
		w.deliver(0)
	}
	sa.hs.user.peer.Wipe() // it has no key, and is over
	octets := auth.SignedOctets(sa.keys.prf, sa.hs.response, sa.hs.nonceI, sa.keys.pPeer, idPayload(sa.peerID, true).AppendTo(nil))
	in := &inbox{auth: &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, sa.keys.pPeer, octets)}}
	if bad := sa.proofAnswered(nil, in, nil, w.now); bad == nil || !errors.Is(bad.err, errUnproved) {
		t.Errorf("%v", bad)
	}
}

// Whoever works on a peer's request hears when the peer has gone, though the
// peer has proved nothing.
func TestRelayedPeerThatGoes(t *testing.T) {
	for name, end := range map[string]func(w *world, sa *SA) []Effect{
		"time over": func(w *world, sa *SA) []Effect {
			w.run(guestPatience+time.Second, w.lose)
			return w.b.effects
		},
		"no longer wanted": func(w *world, sa *SA) []Effect { return w.b.e.Forget(w.b.cfg, w.now) },
	} {
		l := newEAPLab(t, eap.TypeMSCHAPv2)
		l.gw.Peer.EAP = &EAPServer{}
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		w.connect()
		w.flush()
		x, ok := effect[RelayEAP](w.b)
		if !ok {
			t.Fatal("nothing to relay")
		}
		if list := w.b.e.SAs(); len(list) > 0 {
			t.Errorf("%s: a stranger is listed", name)
		}
		gone := 0
		for _, e := range end(w, x.SA) {
			if c, ok := e.(Closed); ok && c.SA == x.SA {
				gone++
			}
		}
		if gone != 1 || w.b.e.HalfOpen() != 0 || len(w.b.e.sas) != 0 {
			t.Errorf("%s: told %d times, %d half open", name, gone, w.b.e.HalfOpen())
		}
		if fx := x.SA.Relayed(Relayed{Packet: []byte{3, 1, 0, 4}, Accepted: true, MSK: make([]byte, 64)}, w.now); len(fx) > 0 {
			t.Errorf("%s: what comes too late does %v", name, fx)
		}
	}
}

// The TLS of a handshake in any state ends with it.
func TestEndedHandshakesLeaveNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for steps := range 30 {
		for _, end := range []func(w *world, sa *SA){
			func(w *world, sa *SA) { w.a.do(sa.Close(w.now)); w.b.do(w.b.e.Forget(w.b.cfg, w.now)) },
			func(w *world, sa *SA) { w.a.e.Close(w.now); w.b.e.Close(w.now) },
			func(w *world, sa *SA) { w.run(patience+time.Second, w.lose); w.a.e.Close(w.now); w.b.e.Close(w.now) },
		} {
			l := newEAPLab(t, eap.TypeTLS)
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			for n := 0; n < steps && len(w.wire) > 0; n++ {
				w.deliver(0)
			}
			end(w, sa)
		}
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// A user whom the server lets in without a name would count as whoever it calls
// itself in IKE, which nothing has proved: with the addresses and the place of
// another user, whose name it says.
func TestNamelessUserTakesNoOthersPlace(t *testing.T) {
	l := newEAPLab(t, eap.TypeMSCHAPv2)
	l.gw.Peer.EAP = &EAPServer{}
	l.user.Local.ID = auth.Identity{Type: auth.IDKeyID, Data: []byte("victim")}
	l.user.Local.EAP.Password = []byte("s3cret")
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	w.connect()
	w.flush()
	x, ok := effect[RelayEAP](w.b)
	if !ok {
		t.Fatal("nobody is asked")
	}
	key := bytes.Repeat([]byte{7}, 64)
	w.b.do(x.SA.Relayed(Relayed{Packet: []byte{3, x.Packet[1], 0, 4}, Accepted: true, MSK: key}, w.now))
	w.flush()
	if len(w.b.e.sas) != 0 || count[Established](w.b) != 0 {
		t.Error("a user without a name is let in")
	}
	if !bytes.Equal(key, make([]byte, 64)) {
		t.Error("the key that nobody needs is still there")
	}
}

// Keys that come with a verdict which lets nobody in are wiped.
func TestKeysOfRefusedUsersAreWiped(t *testing.T) {
	for name, r := range map[string]Relayed{
		"failure": {Packet: []byte{4, 1, 0, 4}, User: "alice"},
		"request": {Packet: []byte{1, 2, 0, 5, 6}, User: "alice", Accepted: true},
		"error":   {Packet: []byte{3, 1, 0, 4}, User: "alice", Accepted: true, Err: errors.New("no answer")},
	} {
		l := newEAPLab(t, eap.TypeMSCHAPv2)
		l.gw.Peer.EAP = &EAPServer{}
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		w.connect()
		w.flush()
		x, ok := effect[RelayEAP](w.b)
		if !ok {
			t.Fatal("nobody is asked")
		}
		r.MSK = bytes.Repeat([]byte{7}, 64)
		w.b.do(x.SA.Relayed(r, w.now))
		if !bytes.Equal(r.MSK, make([]byte, 64)) {
			t.Errorf("%s: the key is still there", name)
		}
	}
}
