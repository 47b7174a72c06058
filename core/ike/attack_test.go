package ike

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// rogue runs the handshake against a gateway that is w.b until IKE_SA_INIT is
// over, and answers the requests of IKE_AUTH as answer likes: n counts them
// from 0, and sa is what the gateway holds of the SA, with its keys. Nil: it
// does not answer. The result is what the victim sent it.
func (w *world) rogue(answer func(n int, in *inbox, sa *SA) []message.Payload) []*inbox {
	w.t.Helper()
	var heard []*inbox
	var parts message.Reassembler
	for steps := 0; len(w.wire) > 0; steps++ {
		if steps > 200 {
			w.t.Fatal("the peers talk without end")
		}
		k := w.wire[0]
		h, err := message.ParseHeader(k.data)
		if err != nil {
			w.t.Fatal(err)
		}
		if k.to.Addr() != w.b.addr || h.Exchange != message.IKEAuth {
			w.deliver(0)
			continue
		}
		w.wire = w.wire[1:]
		var sa *SA
		for _, sa = range w.b.e.sas {
		}
		sa.cfg, sa.localID = w.b.cfg, w.b.cfg.Local.ID
		m, complete, err := parts.Open(k.data, sa.keys.open)
		if err != nil {
			w.t.Fatal(err)
		}
		if !complete {
			continue
		}
		parts = message.Reassembler{}
		in, bad := sortPayloads(m.Payloads)
		if bad != nil {
			w.t.Fatal(bad)
		}
		heard = append(heard, in)
		if payloads := answer(len(heard)-1, in, sa); payloads != nil {
			sa.respond(h, payloads, w.now)
			w.b.do(w.b.e.take())
		}
	}
	return heard
}

// identifies is what an honest gateway would begin its answer with.
func (sa *SA) identifies(t *testing.T) []message.Payload {
	t.Helper()
	sa.chooseCredential(nil, testTime)
	idr := idPayload(sa.localID, true)
	proof, err := sa.prove(idr)
	if err != nil {
		t.Fatal(err)
	}
	out := []message.Payload{idr}
	for _, c := range sa.cfg.Local.Chain {
		out = append(out, &message.Cert{Encoding: message.CertX509Signature, Data: c.Raw})
	}
	return append(out, proof)
}

// proves is the AUTH payload of the gateway with a shared key.
func (sa *SA) proves(key []byte) *message.Auth {
	idr := idPayload(sa.localID, true)
	octets := auth.SignedOctets(sa.keys.prf, sa.hs.response, sa.hs.nonceI, sa.keys.pLocal, idr.AppendTo(nil))
	return &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, key, octets)}
}

// says is an EAP payload.
func says(p eap.Packet) *message.EAP { return &message.EAP{Packet: p.AppendTo(nil)} }

var eapSuccess = eap.Packet{Code: eap.CodeSuccess, ID: 7}

// mustEnd checks that the victim's SA never came up, and how it ended.
func (w *world) mustEnd(t *testing.T, sa *SA, code FailureCode, want error) {
	t.Helper()
	if sa.State() != StateClosed || count[Established](w.a) != 0 || count[InstallChild](w.a) != 0 {
		t.Fatalf("state %v, %d established", sa.State(), count[Established](w.a))
	}
	if f := w.a.failure(t); f.Code != code || want != nil && !errors.Is(f, want) {
		t.Errorf("ended with %v: %v, want %v: %v", f.Code, f, code, want)
	}
}

// CVE-2021-45079: a gateway says success before the method has come to its end:
// at once, after the name, in the midst of the method; as one that has proved
// itself and as one that need not (RFC 5998); and goes on to AUTH with keys that
// everybody has who spoke IKE_SA_INIT.
func TestEarlySuccessThroughTheWire(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		for _, only := range []bool{false, true} {
			for after := range 3 {
				if m == eap.TypeGTC && !only && after == 2 {
					continue // its only question is answered: success is in order
				}
				t.Run(fmt.Sprintf("%v/only %v/after %d", m, only, after), func(t *testing.T) {
					l := newEAPLab(t, m)
					l.user.Local.EAP.Only, l.user.Local.EAP.Password = only, []byte("s3cret")
					w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
					sa := w.connect()
					server := l.gw.Peer.EAP.New(nil)
					var first *inbox
					heard := w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
						var out []message.Payload
						if n == 0 {
							first = in
							out = b.identifies(t)
							if only {
								out = out[:1]
							}
						}
						switch {
						case in.auth != nil: // the victim believed it
							return append(grants(first), b.proves(b.keys.pLocal))
						case n == after:
							return append(out, says(eapSuccess))
						case n == 0:
							start, err := server.Start()
							if err != nil {
								t.Fatal(err)
							}
							return append(out, &message.EAP{Packet: start})
						}
						next, _ := server.Handle(in.eap)
						return append(out, &message.EAP{Packet: next})
					})
					w.mustEnd(t, sa, FailPeerAuth, eap.ErrEarlySuccess)
					for _, in := range heard {
						if in.auth != nil {
							t.Error("the victim sent its AUTH")
						}
					}
				})
			}
		}
	}
}

// The other way round: a user brings its AUTH before EAP has come to its end, with
// the keys of IKE_SA_INIT, and is not let in.
func TestUserSkipsEAP(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		for after := range 2 {
			l := newEAPLab(t, m)
			l.user.Local.EAP.Password = []byte("s3cret")
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			for n := 0; ; w.deliver(0) { // until it has answered as often
				if sa.flight != nil && sa.flight.task.kind() == kindEAP && len(w.wire) > 0 && w.wire[0].from.Addr() == w.a.addr {
					if n == after {
						break
					}
					n++
				}
			}
			w.lose()
			idi := idPayload(sa.localID, false)
			octets := auth.SignedOctets(sa.keys.prf, sa.hs.request, sa.hs.nonceR, sa.keys.pLocal, idi.AppendTo(nil))
			proof := &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, sa.keys.pLocal, octets)}
			datagrams, err := sa.seal(message.IKEAuth, sa.flight.id, false, []message.Payload{proof})
			if err != nil {
				t.Fatal(err)
			}
			sa.send(datagrams, w.now)
			w.a.do(w.a.e.take())
			w.flush()
			if count[Established](w.b) != 0 || len(w.b.e.sas) != 0 {
				t.Errorf("%v after %d packets: the gateway lets a user in that has not finished", m, after)
			}
		}
	}
}

// A gateway leaves the user out, and lets everybody in.
func TestUserMustBeAsked(t *testing.T) {
	l := newEAPLab(t, eap.TypeMSCHAPv2)
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	sa := w.connect()
	w.rogue(func(_ int, in *inbox, b *SA) []message.Payload {
		return append(b.identifies(t), grants(in)...)
	})
	w.mustEnd(t, sa, FailPeerAuth, errNotAsked)
}

// CVE-2015-4171: a gateway that has not proved itself hears no byte of EAP, and
// nobody is asked for a password. What it may have: another certificate, the
// right one without its key, the right identity with a pre-shared key, nothing.
func TestRogueGatewayHearsNothing(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		for name, c := range map[string]struct {
			spoil func(l *eapLab)
			first func(t *testing.T, b *SA) []message.Payload
		}{
			"no AUTH":                    {func(*eapLab) {}, func(t *testing.T, b *SA) []message.Payload { return b.identifies(t)[:1] }},
			"no AUTH, but a certificate": {func(*eapLab) {}, func(t *testing.T, b *SA) []message.Payload { return b.identifies(t)[:2] }},
			"empty AUTH": {func(*eapLab) {}, func(t *testing.T, b *SA) []message.Payload {
				return append(b.identifies(t)[:2], &message.Auth{Method: message.AuthMethod(auth.MethodDigitalSignature)})
			}},
			"AUTH of method 0": {func(*eapLab) {}, func(t *testing.T, b *SA) []message.Payload {
				return append(b.identifies(t)[:2], &message.Auth{Data: make([]byte, 32)})
			}},
			"AUTH with the keys of IKE_SA_INIT": {func(*eapLab) {}, func(t *testing.T, b *SA) []message.Payload {
				return append(b.identifies(t)[:2], b.proves(b.keys.pLocal))
			}},
			"AUTH with an empty key": {func(*eapLab) {}, func(t *testing.T, b *SA) []message.Payload {
				return append(b.identifies(t)[:2], b.proves(nil))
			}},
			"another's key": {func(l *eapLab) { l.gw.Local.Key = newEAPLab(t, m).gw.Local.Key }, nil},
			"another authority": {func(l *eapLab) {
				l.gw.Local.Chain = []*x509.Certificate{newCA(t, "CA").issue(t, l.gw.Local.Key, "b.test", 0, testTime.Add(time.Hour))}
			}, nil},
			"a certificate of its own, signed by a good one": {func(l *eapLab) {
				own := &testCA{cert: l.gw.Local.Chain[0], key: l.gw.Local.Key}
				other := newEAPLab(t, m).gw.Local.Key
				leaf := own.issue(t, other, "b.test", 0, testTime.Add(time.Hour))
				l.gw.Local.Key, l.gw.Local.Chain = other, []*x509.Certificate{leaf, own.cert}
			}, nil},
			"another name in both": {func(l *eapLab) {
				l.gw.Local.ID = identity("c.test")
				l.gw.Local.Chain = []*x509.Certificate{l.ca.issue(t, l.gw.Local.Key, "c.test", 0, testTime.Add(time.Hour))}
			}, nil},
			"another name in the certificate": {func(l *eapLab) {
				l.gw.Local.Chain = []*x509.Certificate{l.ca.issue(t, l.gw.Local.Key, "c.test", 0, testTime.Add(time.Hour))}
			}, nil},
			"another name in IDr": {func(l *eapLab) { l.gw.Local.ID = identity("c.test") }, nil},
			"no name in IDr": {func(l *eapLab) {}, func(t *testing.T, b *SA) []message.Payload {
				b.localID = auth.FromAddr(addrB)
				return b.identifies(t)
			}},
		} {
			t.Run(m.String()+"/"+name, func(t *testing.T) {
				l := newEAPLab(t, m)
				c.spoil(l)
				if m != eap.TypeTLS {
					l.user.Local.EAP.Password = []byte("s3cret")
				}
				w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
				sa := w.connect()
				server := l.gw.Peer.EAP.New(nil)
				heard := w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
					if n > 0 {
						return nil
					}
					first, err := server.Start()
					if err != nil {
						t.Fatal(err)
					}
					out := b.identifies
					if c.first != nil {
						out = func(t *testing.T) []message.Payload { return c.first(t, b) }
					}
					return append(out(t), &message.EAP{Packet: first})
				})
				if len(heard) != 1 || heard[0].eap != nil || heard[0].auth != nil {
					t.Errorf("the gateway heard %d messages", len(heard))
				}
				if count[Ask](w.a) != 0 || count[Established](w.a) != 0 || sa.State() != StateClosed {
					t.Errorf("asked %d, state %v", count[Ask](w.a), sa.State())
				}
				switch f := w.a.failure(t); f.Code {
				case FailPeerAuth, FailPeerCertificate, FailPeerIdentity:
				default:
					t.Errorf("explained as %v", f)
				}
			})
		}
	}
}

// A method that makes a key ends with that key in AUTH, and one that makes none
// with the keys of IKE: neither stands for the other, at either end.
func TestProofOfAnotherMethod(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		t.Run("gateway/"+m.String(), func(t *testing.T) {
			l := newEAPLab(t, m)
			l.user.Local.EAP.Password = []byte("s3cret")
			for name, key := range map[string]func(b *SA, msk []byte) []byte{
				"no key":              func(*SA, []byte) []byte { return nil },
				"zeros":               func(*SA, []byte) []byte { return make([]byte, 64) },
				"the other direction": func(b *SA, _ []byte) []byte { return b.keys.pPeer },
				"half of the key":     func(_ *SA, msk []byte) []byte { return append(msk[:32:32], 1) },
				"IKE for the method, or the reverse": func(b *SA, msk []byte) []byte {
					if msk != nil {
						return b.keys.pLocal
					}
					return make([]byte, 64)
				},
			} {
				if name == "half of the key" && m == eap.TypeGTC {
					continue // which has none
				}
				w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
				sa := w.connect()
				server := l.gw.Peer.EAP.New(nil)
				var first *inbox
				w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
					if n == 0 {
						first = in
					}
					if in.auth != nil {
						msk := server.MSK()
						return append(grants(first), b.proves(key(b, msk)))
					}
					if n == 0 {
						start, err := server.Start()
						if err != nil {
							t.Fatal(err)
						}
						return append(b.identifies(t), &message.EAP{Packet: start})
					}
					next, _ := server.Handle(in.eap)
					return []message.Payload{&message.EAP{Packet: next}}
				})
				if !server.Succeeded() {
					t.Fatal("the method did not come to its end, so the test is blind")
				}
				t.Log(name)
				w.mustEnd(t, sa, FailPeerAuth, errWrongProof)
			}
		})
		t.Run("user/"+m.String(), func(t *testing.T) {
			for name, key := range map[string]func(sa *SA, msk []byte) []byte{
				"no key":              func(*SA, []byte) []byte { return nil },
				"zeros":               func(*SA, []byte) []byte { return make([]byte, 64) },
				"the other direction": func(sa *SA, _ []byte) []byte { return sa.keys.pPeer },
				"IKE for the method, or the reverse": func(sa *SA, msk []byte) []byte {
					if msk != nil {
						return sa.keys.pLocal
					}
					return make([]byte, 64)
				},
			} {
				l := newEAPLab(t, m)
				l.user.Local.EAP.Password = []byte("s3cret")
				w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
				sa := w.connect()
				for sa.State() != StateAuthSent || sa.flight == nil || sa.flight.task.kind() != kindProof {
					if len(w.wire) == 0 {
						t.Fatal("no proof is sent")
					}
					w.deliver(0)
				}
				w.lose()
				idi := idPayload(sa.localID, false)
				octets := auth.SignedOctets(sa.keys.prf, sa.hs.request, sa.hs.nonceR, sa.keys.pLocal, idi.AppendTo(nil))
				forged := &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, key(sa, sa.hs.user.peer.MSK()), octets)}
				datagrams, err := sa.seal(message.IKEAuth, sa.flight.id, false, []message.Payload{forged})
				if err != nil {
					t.Fatal(err)
				}
				sa.send(datagrams, w.now)
				w.a.do(w.a.e.take())
				w.flush()
				if count[Established](w.b) != 0 || len(w.b.e.sas) != 0 {
					t.Errorf("%s: the gateway let it in", name)
				}
			}
		})
	}
}

// grants is what a gateway gives that lets the victim in: first is what the
// victim asked for.
func grants(first *inbox) []message.Payload {
	p := mustProposals(transform.ProtoESP, "aes128gcm16-noesn")[0]
	p.SPI = []byte{0xfe, 0xed, 0xfa, 0xce}
	return []message.Payload{message.NewSA(p), &message.TS{Selectors: first.tsi}, &message.TS{Responder: true, Selectors: first.tsr}}
}

// What a victim says is no proof when it comes back: its AUTH by a pre-shared
// key and after EAP, and its packets of EAP.
func TestReflectionOfAuth(t *testing.T) {
	t.Run("PSK", func(t *testing.T) {
		for _, who := range []string{"b.test", "a.test"} {
			w := newWorld(t, testOptions{})
			sa := w.connect()
			w.rogue(func(_ int, in *inbox, b *SA) []message.Payload {
				idr := &message.ID{Responder: true, Kind: in.idi.Kind, Data: []byte(who)}
				return append(grants(in), idr, in.auth)
			})
			code := FailPSKMismatch
			if who == "a.test" {
				code = FailPeerIdentity
			}
			w.mustEnd(t, sa, code, nil)
		}
	})
	t.Run("EAP packets", func(t *testing.T) {
		for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
			l := newEAPLab(t, m)
			l.user.Local.EAP.Password = []byte("s3cret")
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			server := l.gw.Peer.EAP.New(nil)
			w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
				if n == 0 {
					first, err := server.Start()
					if err != nil {
						t.Fatal(err)
					}
					return append(b.identifies(t), &message.EAP{Packet: first})
				}
				return []message.Payload{&message.EAP{Packet: in.eap}}
			})
			w.mustEnd(t, sa, FailProtocol, eap.ErrProtocol)
		}
	})
	t.Run("AUTH after EAP", func(t *testing.T) {
		for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
			l := newEAPLab(t, m)
			l.user.Local.EAP.Password = []byte("s3cret")
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			server := l.gw.Peer.EAP.New(nil)
			var asked *inbox
			w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
				if n == 0 {
					asked = in
				}
				if in.auth != nil {
					return append(grants(asked), in.auth)
				}
				if n == 0 {
					first, err := server.Start()
					if err != nil {
						t.Fatal(err)
					}
					return append(b.identifies(t), &message.EAP{Packet: first})
				}
				next, _ := server.Handle(in.eap)
				return []message.Payload{&message.EAP{Packet: next}}
			})
			w.mustEnd(t, sa, FailPeerAuth, errWrongProof)
		}
	})
}

// Everything that a victim sends comes back to it, from the gateway's address: a
// host that both begins and answers would authenticate with itself.
func TestReflectionOfEverything(t *testing.T) {
	for name, wanted := range map[string]string{"a named peer": "b.test", "any peer": "%any"} {
		cfg := pskConfig("a")
		cfg.Peer.ID = identity(wanted)
		w := newWorld(t, testOptions{cfgA: cfg})
		w.a.cfg, w.a.terms = cfg, cfg.Proposals // it answers, too
		sa := w.connect()
		for n := 0; len(w.wire) > 0 && n < 50; n++ {
			k := w.wire[0]
			w.wire = w.wire[1:]
			mirrored := netip.AddrPortFrom(w.b.addr, k.to.Port())
			w.a.do(w.a.e.HandleDatagram(Datagram{Data: bytes.Clone(k.data), Local: k.from, Remote: mirrored, NATT: k.natt}, w.now))
		}
		if count[Established](w.a) != 0 || count[InstallChild](w.a) != 0 || sa.State() == StateUp {
			t.Errorf("%s: it is connected with itself", name)
		}
	}
}

// A gateway that has proved itself asks for the password once more under
// another name: what is stored goes out once, and everything else is asked of
// the user with the gateway's own words.
func TestSecondQuestionGetsNoPassword(t *testing.T) {
	l := newEAPLab(t, eap.TypeGTC)
	l.user.Local.EAP.Password = []byte("s3cret")
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	w.connect()
	ask := func(id byte, text string) *message.EAP {
		return says(eap.Packet{Code: eap.CodeRequest, ID: id, Type: eap.TypeGTC, Data: []byte(text)})
	}
	heard := w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
		if n == 0 {
			return append(b.identifies(t), ask(1, "Password: "))
		}
		return []message.Payload{ask(byte(n+1), "Your password is wrong. Password: ")}
	})
	told := slices.DeleteFunc(heard, func(in *inbox) bool { return !bytes.Contains(in.eap, []byte("s3cret")) })
	if len(told) != 1 {
		t.Errorf("the password went out %d times", len(told))
	}
	if a, ok := effect[Ask](w.a); !ok || a.Question.Kind != eap.AskCode || a.Question.Text != "Your password is wrong. Password:" || count[Ask](w.a) != 1 {
		t.Errorf("the user is asked %+v", a.Question)
	}
}

// A recorded handshake proves nothing a second time, to either end.
func TestReplayAcrossSessions(t *testing.T) {
	for _, m := range []eap.Type{0, eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		cfgA, cfgB := pskConfig("a"), pskConfig("b")
		if m != 0 {
			l := newEAPLab(t, m)
			l.user.Local.EAP.Password = []byte("s3cret")
			cfgA, cfgB = l.user, l.gw
		}
		var recorded []packet
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		sa := w.connect()
		for len(w.wire) > 0 {
			recorded = append(recorded, w.wire[0])
			w.deliver(0)
		}
		if sa.State() != StateUp {
			t.Fatalf("%v: state %v", m, sa.State())
		}

		// Another gateway of the same kind hears the user's half.
		w = newWorld(t, testOptions{seed: 1, cfgA: cfgA, cfgB: cfgB})
		for range 2 {
			for _, k := range recorded {
				if k.from.Addr() == w.a.addr {
					w.hand(k)
				}
			}
		}
		if count[Established](w.b) != 0 {
			t.Errorf("%v: the gateway let a recording in", m)
		}
		// The user hears the gateway's half.
		w = newWorld(t, testOptions{seed: 2, cfgA: cfgA, cfgB: cfgB})
		sa = w.connect()
		for range 2 {
			for _, k := range recorded {
				if k.from.Addr() == w.b.addr {
					w.hand(k)
				}
			}
		}
		if count[Established](w.a) != 0 || sa.State() == StateUp {
			t.Errorf("%v: the user believes a recording", m)
		}
		// And the same with the SPIs of the new session, as far as it shows them.
		for _, k := range recorded {
			if k.from.Addr() == w.b.addr {
				k.data = bytes.Clone(k.data)
				binary.BigEndian.PutUint64(k.data, sa.spiLocal)
				w.hand(k)
			}
		}
		if count[Established](w.a) != 0 || sa.State() == StateUp {
			t.Errorf("%v: the user believes a recording under its own SPI", m)
		}
	}
}
