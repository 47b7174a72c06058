package ike

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// ticket returns the last ticket that a peer was given.
func (p *peer) ticket() *Ticket {
	p.w.t.Helper()
	x, ok := effect[TicketIssued](p)
	if !ok {
		p.w.t.Fatalf("%s: no ticket", p.name)
	}
	return x.Ticket
}

// resume starts an SA from a with a ticket.
func (w *world) resume(t *Ticket) *SA {
	sa, fx := w.a.e.Resume(w.a.cfg, t, w.path(), w.a.clock())
	w.a.do(fx)
	return sa
}

// lost is the end of a's SA without a word to b, as after a long sleep.
func (w *world) lost() {
	w.a.do(w.a.one().Abandon(w.a.clock()))
}

func TestResume(t *testing.T) {
	cfgA, cfgB, pool := roadwarrior()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	old, _ := w.up()
	before := old.Info()
	t1 := w.a.ticket()
	w.lost()
	w.now = w.now.Add(30 * time.Minute)
	from := len(w.a.effects)
	sa := w.resume(t1)
	w.flush()
	w.agree()
	if sa.State() != StateUp || pool.leases != 1 || len(w.b.e.sas) != 1 {
		t.Fatalf("%v; %d leases, %d SAs at the responder", sa.State(), pool.leases, len(w.b.e.sas))
	}
	est, _ := effect[Established](w.a)
	got := sa.Info()
	if !est.Resumed || !got.Resumed || got.PeerAuth != before.PeerAuth || got.LocalAuth != before.LocalAuth || !got.PeerID.Equal(before.PeerID) {
		t.Errorf("%+v, before %+v", got, before)
	}
	if f := w.b.closed(); f == nil || f.Code != FailReplaced {
		t.Errorf("the responder's old SA: %v", f)
	}
	d := t1.d
	if t1.Wipe(); !t1.Until().IsZero() || !bytes.Equal(d, make([]byte, len(d))) {
		t.Error("the ticket is not wiped")
	}
	if w.a.ticket() == t1 || len(w.a.effects) == from {
		t.Error("no ticket for the next time")
	}
	// Forward secrecy of its own soon.
	w.advance(2 * resumedRekey)
	w.agree()
	if i := w.a.one().Info(); i.Rekeys != 1 || !i.Resumed {
		t.Errorf("%d rekeys, resumed %v", i.Rekeys, i.Resumed)
	}
	w.lost()
	w.resume(w.a.ticket())
	w.flush()
	w.agree()
}

// TestResumeWithCookie also drops the first request.
func TestResumeWithCookie(t *testing.T) {
	w := newWorld(t, testOptions{optB: Options{CookieThreshold: -1}})
	w.up()
	w.lost()
	w.resume(w.a.ticket())
	w.lose()
	w.advance(5 * time.Second)
	w.agree()
	if !w.a.one().Info().Resumed {
		t.Error("not resumed")
	}
}

// TestResumeRefused shows each way in which a ticket is worth nothing, and that
// the initiator learns it without a wait where the responder can say so.
func TestResumeRefused(t *testing.T) {
	for name, spoil := range map[string]func(w *world, t *Ticket){
		"restarted": func(w *world, _ *Ticket) {
			w.b.e = NewEndpoint(Options{Rand: newSeeded(7, "b"), Resolver: w.b})
			w.b.sas, w.b.children = map[*SA]bool{}, map[uint32]*fakeChild{}
		},
		"recalled": func(w *world, _ *Ticket) { w.b.e.Forget(w.b.cfg, w.now) },
		"over":     func(w *world, t *Ticket) { w.now = t.until; t.until = t.until.Add(time.Hour) },
		"spoiled":  func(_ *world, t *Ticket) { t.opaque[len(t.opaque)-1] ^= 1 },
		"cut":      func(_ *world, t *Ticket) { t.opaque = t.opaque[:9] },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			w.up()
			ticket := w.a.ticket()
			w.lost()
			spoil(w, ticket)
			sa := w.resume(ticket)
			w.flush()
			if f := w.a.closed(); sa.State() != StateClosed || f.Notify != message.NotifyTicketNack {
				t.Fatalf("%v: %v", sa.State(), f)
			}
			if len(w.a.e.reserved)+w.b.e.HalfOpen() != 0 {
				t.Error("something is left")
			}
			w.up() // from the beginning
		})
	}
}

func TestResumeSilence(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	ticket := w.a.ticket()
	w.lost()
	sa := w.resume(ticket)
	w.lose()
	w.run(15*time.Second, w.lose)
	if f := w.a.closed(); sa.State() != StateClosed || f.Code != FailSilent {
		t.Fatalf("%v: %v", sa.State(), f)
	}
}

// TestTicketServesOnce replays what was on the wire, and uses a copied ticket
// with its secret.
func TestTicketServesOnce(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	ticket := w.a.ticket()
	stolen := ticket.clone()
	w.lost()
	w.resume(ticket)
	request := w.wire[0]
	w.flush()
	w.agree()
	w.hand(request)
	if n := len(w.b.e.inits); n != 1 {
		t.Errorf("%d half-open", n) // the very SA, which answers it again
	}
	w.lose()
	w.now = w.now.Add(time.Minute)
	w.b.do(w.b.e.HandleTimeout(w.now))
	w.hand(request)
	w.lose()
	w.lost()
	sa := w.resume(stolen)
	w.flush()
	if sa.State() != StateClosed || w.b.e.HalfOpen() != 0 {
		t.Fatalf("%v", sa.State())
	}
}

// TestStolenTicket: a ticket travels in clear, so whoever sees it has it, and
// can do nothing with it without SK_d; nor does it cost its owner anything.
func TestStolenTicket(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	ticket := w.a.ticket()
	stolen := ticket.clone()
	stolen.d[0] ^= 1
	mine := w.a.one()
	thief, fx := w.a.e.Resume(w.a.cfg, stolen, w.path(), w.now)
	w.a.do(fx)
	w.flush()
	w.advance(time.Minute)
	if thief.State() == StateUp || mine.State() != StateUp || len(w.b.e.sas) != 1 {
		t.Fatalf("%v, %v, %d SAs", thief.State(), mine.State(), len(w.b.e.sas))
	}
	w.agree()
	w.lost()
	w.resume(ticket)
	w.flush()
	w.agree()
}

// TestTicketOfAnother presents a ticket with another identity than its own.
func TestTicketOfAnother(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	ticket := w.a.ticket()
	ticket.localID = identity("mallory.test")
	sa := w.resume(ticket)
	w.flush()
	if f := w.a.closed(); sa.State() != StateClosed || f.Code != FailAuthRefused {
		t.Errorf("%v: %v", sa.State(), f)
	}
}

// TestResumeKeepsReauthentication: a ticket proves nothing anew.
func TestResumeKeepsReauthentication(t *testing.T) {
	cfgB := pskConfig("b")
	cfgB.ReauthTime = time.Hour
	w := newWorld(t, testOptions{cfgB: cfgB})
	w.up()
	by := w.now.Add(time.Hour)
	ticket := w.a.ticket()
	if !ticket.Until().Equal(by) {
		t.Errorf("the ticket is good until %v, the authentication until %v", ticket.Until(), by)
	}
	w.lost()
	w.now = w.now.Add(50 * time.Minute)
	w.resume(ticket)
	w.flush()
	w.agree()
	w.advance(9 * time.Minute)
	r, ok := effect[Reauthenticate](w.a)
	if !ok || r.By.Sub(by).Abs() > 2*time.Second {
		t.Errorf("%v: reauthenticate by %v, want %v", ok, r.By, by)
	}
	w.advance(2 * time.Minute)
	if f := w.b.closed(); f.Code != FailExpired {
		t.Errorf("the responder's SA: %v", f)
	}
}

// TestResumeUser resumes what a user began with a password that only the user
// knows: nobody is asked.
func TestResumeUser(t *testing.T) {
	l := newEAPLab(t, eap.TypeMSCHAPv2)
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	w.connect()
	w.flush()
	if w.a.answer("s3cret", w.now) == nil {
		t.Fatal("nobody was asked")
	}
	w.flush()
	w.agree()
	w.lost()
	asked := count[Ask](w.a)
	w.resume(w.a.ticket())
	w.flush()
	w.agree()
	if count[Ask](w.a) != asked {
		t.Error("asked again")
	}
	if sa := w.b.one(); sa.guestUser != "alice" || sa.peerAuth != "EAP-MSCHAPv2 (alice)" {
		t.Errorf("user %q, %q", sa.guestUser, sa.peerAuth)
	}
}

// TestTicketIsNoWayIntoEAP asks for a password within an SA that a ticket
// resumes, from either end.
func TestTicketIsNoWayIntoEAP(t *testing.T) {
	l := newEAPLab(t, eap.TypeMSCHAPv2)
	l.user.Local.EAP.Password = []byte("s3cret")
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	w.connect()
	w.flush()
	w.agree()
	ticket := w.a.ticket()
	w.lost()
	sa := w.resume(ticket)
	w.deliver(0) // the request
	w.deliver(0) // the answer: keys are there
	w.lose()
	b := w.b.e.inits[w.b.onlyInit()]
	ask := []message.Payload{idPayload(identity("b.test"), true), says(eap.Packet{Code: eap.CodeRequest, ID: 1, Type: eap.TypeIdentity})}
	data, err := b.seal(message.IKEAuth, 1, true, ask)
	if err != nil {
		t.Fatal(err)
	}
	w.hand(packet{from: b.path.Local, to: sa.path.Local, natt: true, data: data[0]})
	if f := w.a.closed(); sa.State() != StateClosed || f.Code != FailProtocol {
		t.Errorf("%v: %v", sa.State(), f)
	}
	w.lose()
	sa.keys.seal = b.keys.open // the closed SA has wiped its own
	begin, err := sa.seal(message.IKEAuth, 1, false, []message.Payload{idPayload(identity("alice.test"), false)})
	if err != nil {
		t.Fatal(err)
	}
	w.hand(packet{from: sa.path.Local, to: b.path.Local, natt: true, data: begin[0]})
	if b.state != StateClosed || b.hs != nil {
		t.Errorf("the responder is %v", b.state)
	}
}

func (p *peer) onlyInit() initKey {
	for k, sa := range p.e.inits {
		if sa.state == StateInitAnswered {
			return k
		}
	}
	p.w.t.Fatal("nothing half-open")
	return initKey{}
}

// TestNoTickets where they are not wanted, or would get round a check.
func TestNoTickets(t *testing.T) {
	for name, change := range map[string]func(a, b *Config){
		"initiator":         func(a, _ *Config) { a.TicketLife = -1 },
		"responder":         func(_, b *Config) { b.TicketLife = -1 },
		"test":              func(a, _ *Config) { a.Beside = true },
		"strict revocation": func(_, b *Config) { b.Peer.Verifier = &pki.Verifier{Revocation: pki.RevocationStrict} },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pskConfig("a"), pskConfig("b")
			change(a, b)
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.up()
			w.advance(24 * time.Hour)
			if count[TicketIssued](w.a)+count[TicketIssued](w.b) != 0 {
				t.Error("a ticket")
			}
		})
	}
}

// TestTicketsAreRenewed in their half, and bounded at the responder.
func TestTicketsAreRenewed(t *testing.T) {
	cfgB := pskConfig("b")
	cfgB.TicketLife = time.Hour
	w := newWorld(t, testOptions{cfgB: cfgB})
	w.up()
	w.advance(48 * time.Hour)
	if n := count[TicketIssued](w.a); n != 97 {
		t.Errorf("%d tickets in two days", n)
	}
	if n := len(w.b.e.tickets.keys); n > 3 {
		t.Errorf("%d keys", n)
	}
	w.lost()
	w.resume(w.a.ticket())
	w.flush()
	w.agree()
}

// TestSpentTicketsAreBounded: when too many are remembered, all lose their worth
// rather than one serve twice.
func TestSpentTicketsAreBounded(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	o := &w.b.e.tickets
	for i := range maxSpent {
		if !o.spend(&passport{id: [16]byte{byte(i), byte(i >> 8), 1}, until: w.now.Add(time.Hour)}, w.now) {
			t.Fatal("not spent")
		}
	}
	ticket := w.a.ticket()
	first := &passport{id: [16]byte{0xff, 0xff, 2}, until: w.now.Add(time.Hour)}
	if !o.spend(first, w.now) || o.spend(first, w.now) || len(o.spent) > maxSpent {
		t.Errorf("%d are remembered", len(o.spent))
	}
	if _, _, err := o.open(ticket.opaque, w.now); err == nil {
		t.Error("a ticket outlives what is known of it")
	}
}

// FuzzTicket reads passports and tickets of any content.
func FuzzTicket(f *testing.F) {
	p := &passport{until: time.Unix(1_700_000_000, 0), elder: 7, reauth: time.Unix(1_700_000_100, 0), d: []byte("secret"), issuer: 3,
		suite: transform.Suite{Protocol: transform.ProtoIKE, Encr: transform.Transform{Type: transform.TypeEncr, ID: transform.EncrAESGCM16, KeyBits: 256}},
		local: "PSK", peer: "EAP-GTC (alice)", user: "alice", groups: []string{"admins", ""}, localID: identity("b.test"),
		peerID: auth.FromAddr(netip.MustParseAddr("2001:db8::1"))}
	f.Add(p.appendTo(nil))
	w := newWorld(f, testOptions{})
	w.up()
	ours := w.a.ticket().opaque
	f.Add(ours)
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePassport(b); err == nil {
			if again := p.appendTo(nil); !bytes.Equal(again, b) {
				t.Errorf("%x became %x", b, again)
			}
		}
		if _, _, err := w.b.e.tickets.open(b, w.now); err == nil && !bytes.Equal(b, ours) {
			t.Error("a ticket of nobody's")
		}
	})
}
