package ike

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

func TestPSK(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := w.up()
	if got, want := a.peerID.String(), "b.test"; got != want {
		t.Errorf("peer is %q, want %q", got, want)
	}
	if got, want := b.peerID.String(), "a.test"; got != want {
		t.Errorf("peer is %q, want %q", got, want)
	}
	if a.path.Remote.Port() != 4500 || b.path.Remote.Port() != 4500 || !a.natt || !b.natt {
		t.Errorf("paths %v and %v: not on the NAT-T port", a.path, b.path)
	}
	if w.b.e.HalfOpen() != 0 {
		t.Error("still half-open")
	}
	if !a.natRemote || !b.natRemote || a.natLocal || b.natLocal {
		t.Errorf("NATs %v %v %v %v: each is to claim one on its own side", a.natLocal, a.natRemote, b.natLocal, b.natRemote)
	}
	for _, p := range []*peer{w.a, w.b} {
		x, _ := effect[Established](p)
		if x.LocalAuth != "PSK" || x.PeerAuth != "PSK" || x.Childless {
			t.Errorf("%s: %+v", p.name, x)
		}
		i := p.one().Info()
		if i.State != StateUp || i.Name != "net-"+p.name || i.Suite.Encr.ID != transform.EncrAESGCM16 {
			t.Errorf("%s: %+v", p.name, i)
		}
	}
}

// initRequests are the IKE_SA_INIT requests that a has on the wire.
func (w *world) parse(i int) message.Message {
	w.t.Helper()
	if i >= len(w.wire) {
		w.t.Fatalf("only %d packets on the wire", len(w.wire))
	}
	m, err := message.Parse(w.wire[i].data)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func TestCookieAndInvalidKE(t *testing.T) {
	other := mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-ecp256")
	tests := []struct {
		name   string
		cookie bool
		group  bool
		rounds int // IKE_SA_INIT exchanges
	}{
		{"neither", false, false, 1},
		{"cookie", true, false, 2},
		{"other group", false, true, 2},
		{"cookie and other group", true, true, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions{}
			if tt.cookie {
				o.optB.CookieThreshold = -1
			}
			if tt.group {
				o.termsB = other
			}
			w := newWorld(t, o)
			w.connect()
			rounds := 0
			var nonce []byte
			for len(w.wire) > 0 && w.parse(0).Exchange == message.IKESAInit {
				m := w.parse(0)
				n, _ := message.Find[*message.Nonce](m.Payloads)
				if rounds > 0 && !bytes.Equal(n.Data, nonce) {
					t.Error("the nonce changed with the retry")
				}
				nonce = n.Data
				if m.MessageID != 0 {
					t.Errorf("message ID %d", m.MessageID)
				}
				rounds++
				w.deliver(0)
				w.deliver(0)
			}
			if rounds != tt.rounds {
				t.Errorf("%d rounds, want %d", rounds, tt.rounds)
			}
			w.flush()
			w.agree()
			if n := len(w.b.e.sas); n != 1 {
				t.Errorf("the responder holds %d SAs", n)
			}
		})
	}
}

func TestCookieHoldsNoState(t *testing.T) {
	w := newWorld(t, testOptions{optB: Options{CookieThreshold: -1}})
	w.connect()
	request := w.wire[0]
	w.deliver(0)
	if len(w.b.e.sas) != 0 || w.b.e.HalfOpen() != 0 || len(w.b.e.inits) != 0 {
		t.Error("state before the cookie came back")
	}
	if len(w.wire[0].data) > len(request.data) {
		t.Error("the answer is longer than the request")
	}
	w.deliver(0)
	withCookie := w.wire[0]

	// The cookie is worth nothing from another address.
	stolen := withCookie
	stolen.from = netip.MustParseAddrPort("203.0.113.9:500")
	w.lose()
	w.hand(stolen)
	if len(w.b.e.sas) != 0 {
		t.Error("cookie accepted from another address")
	}
	// It outlives one change of the secret, but not two.
	w.lose()
	w.now = w.now.Add(cookieLife + time.Second)
	w.hand(withCookie)
	if len(w.b.e.sas) != 1 {
		t.Error("cookie of the last secret refused")
	}
	w.now = w.now.Add(cookieLife + time.Second)
	w.b.do(w.b.e.HandleTimeout(w.now))
	w.hand(withCookie)
	if len(w.b.e.sas) != 0 {
		t.Error("cookie of an old secret accepted")
	}
}

func TestForgedRefusalsAreNotFinal(t *testing.T) {
	kinds := []message.NotifyType{
		message.NotifyNoProposalChosen, message.NotifyInvalidSyntax, message.NotifyAuthenticationFailed,
		message.NotifyInvalidMajorVersion, message.NotifyUnsupportedCriticalPayload, 12345,
	}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			w := newWorld(t, testOptions{})
			w.connect()
			forged := w.forge(w.wire[0], &message.Notify{Kind: kind})
			w.hand(forged)
			w.flush() // the true answer comes within the grace
			w.agree()

			w = newWorld(t, testOptions{})
			w.connect()
			w.deliver(0)
			w.deliver(0) // IKE_AUTH is on the wire
			w.hand(w.forge(w.wire[0], &message.Notify{Kind: kind}))
			w.flush()
			w.agree()
		})
	}
	t.Run("no better answer", func(t *testing.T) {
		w := newWorld(t, testOptions{})
		w.connect()
		forged := w.forge(w.wire[0], &message.Notify{Kind: message.NotifyNoProposalChosen})
		w.lose()
		w.hand(forged)
		if count[Closed](w.a) != 0 {
			t.Fatal("closed at once")
		}
		start := w.now
		w.run(time.Minute, w.lose)
		f := w.a.closed()
		if f.Code != FailNoProposal || !f.Unauthenticated || f.Notify != message.NotifyNoProposalChosen {
			t.Errorf("failed with %+v", f)
		}
		_ = start
	})
}

func TestForgedCookiesAreBounded(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	for i := range 100 {
		w.hand(w.forge(w.wire[0], &message.Notify{Kind: message.NotifyCookie, Data: []byte{1, byte(i)}}))
	}
	if n := len(w.wire); n > maxCookieRounds+1 {
		t.Errorf("%d requests sent", n)
	}
	for i := range 100 {
		w.hand(w.forge(w.wire[0], &message.Notify{Kind: message.NotifyInvalidKEPayload,
			Data: binary.BigEndian.AppendUint16(nil, uint16(i))}))
	}
	if n := len(w.wire); n > maxCookieRounds+maxKERounds+1 {
		t.Errorf("%d requests sent", n)
	}
}

func TestInvalidKEOnlyToAnOfferedGroup(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	for _, group := range []transform.ID{transform.KEMODP1024, transform.KEX25519, 0, 999} {
		w.hand(w.forge(w.wire[0], invalidKE(group)))
	}
	if len(w.wire) != 1 {
		t.Errorf("%d requests sent: one was made for a group that is not on offer", len(w.wire))
	}
}

func TestSilence(t *testing.T) {
	for _, lost := range []string{"IKE_SA_INIT", "IKE_AUTH"} {
		t.Run(lost, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			w.connect()
			if lost == "IKE_AUTH" {
				w.deliver(0)
				w.deliver(0)
			}
			start, sends := w.now, len(w.wire)
			var gaps []time.Duration
			last := start
			w.lose()
			w.run(5*time.Minute, func() {
				if n := len(w.wire); n > 0 {
					sends += n
					gaps = append(gaps, w.now.Sub(last).Round(time.Millisecond))
					last = w.now
				}
				w.lose()
			})
			f := w.a.closed()
			if f.Code != FailSilent || f.Notify != 0 {
				t.Errorf("failed with %v", f)
			}
			if (f.Err != nil) != (lost == "IKE_AUTH") {
				t.Errorf("detail %v", f.Err)
			}
			want := []time.Duration{2000, 3600, 6480, 11664, 20995}
			for i := range want {
				want[i] *= time.Millisecond
			}
			if sends != defaultTries+1 || !slices.Equal(gaps[:5], want) {
				t.Errorf("%d transmissions after %v, want 6 after %v", sends, gaps, want)
			}
			if len(w.a.e.sas) != 0 || !w.a.e.NextTimeout().IsZero() {
				t.Error("the initiator keeps something")
			}
			if len(w.b.e.sas) != 0 || w.b.e.HalfOpen() != 0 || len(w.b.e.inits) != 0 {
				t.Error("the responder keeps something")
			}
			if count[Closed](w.b) != 0 {
				t.Error("the responder tells of an SA that never was")
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	tests := []struct {
		name   string
		change func(w *world)
		code   FailureCode
		notify message.NotifyType
		within time.Duration
	}{
		{"our PSK is refused", func(w *world) { w.b.cfg.Peer.PSK = []byte("other") }, FailAuthRefused, message.NotifyAuthenticationFailed, 0},
		{"their PSK is wrong", func(w *world) { w.b.cfg.Local.PSK = []byte("other") }, FailPSKMismatch, 0, 0},
		{"we are someone else", func(w *world) { w.b.cfg.Peer.ID = identity("c.test") }, FailAuthRefused, message.NotifyAuthenticationFailed, 0},
		{"they are someone else", func(w *world) { w.b.cfg.Local.ID = identity("c.test") }, FailPeerIdentity, 0, 0},
		{"nobody there for us", func(w *world) { w.b.refuse = true }, FailAuthRefused, message.NotifyAuthenticationFailed, 0},
		{"no IKE proposal", func(w *world) { w.b.terms = mustProposals(transform.ProtoIKE, "aes128-sha256-modp3072") },
			FailNoProposal, message.NotifyNoProposalChosen, 3 * time.Second},
		{"IKE proposal not for us", func(w *world) {
			w.b.cfg.Proposals = mustProposals(transform.ProtoIKE, "aes128-sha256-modp3072")
		}, FailNoProposal, message.NotifyNoProposalChosen, 0},
		{"no ESP proposal", func(w *world) {
			w.b.cfg.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes256-sha512")
		}, FailNoProposal, message.NotifyNoProposalChosen, 0},
		{"no common networks", func(w *world) { w.b.cfg.Children[0].Local = nets("10.99.0.0/16") },
			FailTSUnacceptable, message.NotifyTSUnacceptable, 0},
		{"no key of our own", func(w *world) { w.a.cfg.Local.PSK = nil }, FailLocalCredential, 0, 0},
		{"they authenticate otherwise", func(w *world) {
			w.a.cfg.Peer.PSK, w.a.cfg.Peer.Verifier = nil, &pki.Verifier{}
		}, FailPeerAuth, 0, 0},
		{"no address", func(w *world) { w.a.cfg.WantAddresses = []netip.Addr{netip.IPv4Unspecified()} }, FailNoAddress, 0, 0},
		{"no free address", func(w *world) {
			w.a.cfg.WantAddresses = []netip.Addr{netip.IPv4Unspecified()}
			w.b.cfg.Pool = &testPool{full: true}
		}, FailNoAddress, message.NotifyInternalAddressFailure, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			tt.change(w)
			w.connect()
			w.flush()
			if tt.within > 0 {
				w.advance(tt.within)
			}
			f := w.a.closed()
			if f.Code != tt.code || f.Notify != tt.notify {
				t.Errorf("failed with %v (notify %v), want %v (%v)", f, f.Notify, tt.code, tt.notify)
			}
			w.advance(time.Minute)
			if len(w.a.e.sas)+len(w.b.e.sas) != 0 {
				t.Errorf("%d and %d SAs are left", len(w.a.e.sas), len(w.b.e.sas))
			}
			if len(w.a.children)+len(w.b.children) != 0 {
				t.Error("children are left")
			}
			for _, s := range []string{string(testPSK)} {
				if strings.Contains(w.a.story()+w.b.story(), s) {
					t.Error("the log holds the PSK")
				}
			}
		})
	}
}

// A testPool hands out 10.20.0.x and fd00:20::x.
type testPool struct {
	full   bool
	next   byte
	leases int
}

func (p *testPool) Lease(_ auth.Identity, want []netip.Addr) (Lease, error) {
	if p.full {
		return Lease{}, errors.New("pool is empty")
	}
	p.leases++
	l := Lease{
		DNS:     []netip.Addr{netip.MustParseAddr("10.10.0.10"), netip.MustParseAddr("fd00:10::10")},
		Domains: []string{"intranet.test"},
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("fd00:10::/64")},
	}
	for _, a := range want {
		p.next++
		if a.Is4() {
			l.Addresses = append(l.Addresses, netip.AddrFrom4([4]byte{10, 20, 0, p.next}))
		} else {
			b := netip.MustParseAddr("fd00:20::").As16()
			b[15] = p.next
			l.Addresses = append(l.Addresses, netip.AddrFrom16(b))
		}
	}
	return l, nil
}

func (p *testPool) Release(auth.Identity, Lease) { p.leases-- }

// roadwarrior makes a a client of gateway b.
func roadwarrior() (a, b *Config, pool *testPool) {
	a, b, pool = pskConfig("a"), pskConfig("b"), &testPool{}
	a.WantAddresses = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	a.Children[0].Local, a.Children[0].LocalDynamic = nil, ts.Any()[:1]
	a.Children[0].Remote = nets("0.0.0.0/0", "::/0")
	b.Children[0].Local = nets("10.10.0.0/16", "fd00:10::/64")
	b.Children[0].Remote, b.Children[0].RemoteDynamic = nil, ts.Any()[:1]
	b.Pool = pool
	return a, b, pool
}

func TestRoadwarrior(t *testing.T) {
	cfgA, cfgB, pool := roadwarrior()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := w.up()
	x, _ := effect[Established](w.a)
	want := Established{SA: a, PeerID: identity("b.test"), LocalAuth: "PSK", PeerAuth: "PSK",
		Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("fd00:20::2")},
		DNS:       []netip.Addr{netip.MustParseAddr("10.10.0.10"), netip.MustParseAddr("fd00:10::10")},
		Domains:   []string{"intranet.test"},
		Subnets:   []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("fd00:10::/64")},
	}
	if !slices.Equal(x.Addresses, want.Addresses) || !slices.Equal(x.DNS, want.DNS) ||
		!slices.Equal(x.Domains, want.Domains) || !slices.Equal(x.Subnets, want.Subnets) {
		t.Errorf("got %+v, want %+v", x, want)
	}
	c := w.a.child()
	if got := c.local.String(); got != hosts(want.Addresses).String() {
		t.Errorf("local selectors %v", got)
	}
	if got := c.remote.String(); got != nets("10.10.0.0/16", "fd00:10::/64").String() {
		t.Errorf("remote selectors %v", got)
	}
	// Addresses and leases outlive rekeys of either side.
	w.b.do(b.Rekey(w.now))
	w.flush()
	w.b.do(w.b.e.RekeyChild(w.b.child().in, w.now))
	w.flush()
	w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
	w.flush()
	w.agree()
	if pool.leases != 1 || w.a.child().local.String() != hosts(want.Addresses).String() {
		t.Errorf("%d leases, %v", pool.leases, w.a.child().local)
	}
	w.a.do(w.a.one().Close(w.now))
	w.flush()
	if pool.leases != 0 {
		t.Error("the lease was not given back")
	}
	if f := w.b.closed(); f == nil || f.Code != FailPeerClosed {
		t.Errorf("the gateway saw %v", f)
	}
	if x, _ := effect[Closed](w.a); x.Err != nil {
		t.Errorf("closed with %v", x.Err)
	}
}

func TestSeveralChildren(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	more := func(c *Config, name, local, remote string) {
		x := c.Children[0]
		x.Name, x.Local, x.Remote = name, nets(local), nets(remote)
		c.Children = append(c.Children, x)
	}
	more(cfgA, "lab", "10.3.0.0/16", "10.4.0.0/16")
	more(cfgB, "lab", "10.4.0.0/16", "10.3.0.0/16")
	more(cfgA, "none", "10.5.0.0/16", "10.6.0.0/16")
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.up()
	if len(w.a.children) != 2 {
		t.Errorf("%d children", len(w.a.children))
	}
	x, ok := effect[ChildFailed](w.a)
	var f *Failure
	if !ok || x.Name != "none" || !errors.As(x.Err, &f) || f.Code != FailTSUnacceptable {
		t.Errorf("got %+v", x)
	}

	// The first one fails, the others come.
	cfgA.Children[0], cfgA.Children[2] = cfgA.Children[2], cfgA.Children[0]
	w = newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.up()
	if e, _ := effect[Established](w.a); !e.Childless {
		t.Error("not childless")
	}
	if len(w.a.children) != 2 {
		t.Errorf("%d children", len(w.a.children))
	}

	// All fail: the IKE SA has no use.
	for i := range cfgA.Children {
		cfgA.Children[i].Remote = nets("10.99.0.0/16")
	}
	w = newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	w.flush()
	if f := w.a.closed(); f.Code != FailTSUnacceptable {
		t.Errorf("closed with %v", f)
	}
	if len(w.b.e.sas) != 0 {
		t.Error("the responder still has it")
	}
}

func TestInitialContact(t *testing.T) {
	w := newWorld(t, testOptions{})
	_, old := w.up()
	// a crashes and comes back.
	w.a.e = NewEndpoint(Options{Rand: newSeeded(99, "a"), Resolver: w.a})
	w.a.children, w.a.sas = map[uint32]*fakeChild{}, map[*SA]bool{}
	w.up()
	if old.state != StateClosed {
		t.Error("the old SA is still there")
	}
	if f := w.b.closed(); f.Code != FailReplaced {
		t.Errorf("closed with %v", f)
	}
	// Making a second one before breaking the first is no initial contact.
	w.connect()
	w.flush()
	if len(w.a.e.sas) != 2 || len(w.b.e.sas) != 2 {
		t.Errorf("%d and %d SAs, want 2", len(w.a.e.sas), len(w.b.e.sas))
	}
}

func TestUnique(t *testing.T) {
	b := pskConfig("b")
	b.Unique = true
	w := newWorld(t, testOptions{cfgB: b})
	w.up()
	w.connect()
	w.flush()
	w.agree()
	if len(w.a.e.sas) != 1 {
		t.Errorf("%d SAs", len(w.a.e.sas))
	}
}

func TestReplayedInit(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	request := w.wire[0]
	w.deliver(0)
	response := w.wire[0]
	w.hand(request)
	if n := len(w.b.e.sas); n != 1 {
		t.Errorf("%d SAs for one request", n)
	}
	if !bytes.Equal(w.wire[1].data, response.data) {
		t.Error("answered otherwise")
	}
	w.flush()
	w.agree()
	// The response again, after its time.
	before := len(w.wire)
	w.hand(response)
	if len(w.wire) != before || w.a.one().state != StateUp {
		t.Error("a late response did something")
	}
	// A recorded request, from elsewhere: bounded, and it proves nothing.
	for i := range 2000 {
		k := request
		k.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 500)
		w.hand(k)
	}
	w.lose()
	if n := w.b.e.HalfOpen(); n > 512 {
		t.Errorf("%d half-open SAs", n)
	}
	w.agree()
	w.advance(time.Minute)
	if n := w.b.e.HalfOpen(); n != 0 {
		t.Errorf("%d half-open SAs are left", n)
	}
	w.agree()
}

func TestHalfOpenIsBounded(t *testing.T) {
	w := newWorld(t, testOptions{optB: Options{MaxHalfOpen: 16, CookieThreshold: 1000}})
	for range 100 {
		w.connect()
		w.deliver(len(w.wire) - 1)
	}
	if n := w.b.e.HalfOpen(); n != 2 {
		t.Errorf("%d half-open SAs of one address, want 2", n)
	}
	if w.b.e.Drops()["too many half-open IKE SAs"] != 98 {
		t.Errorf("dropped %v", w.b.e.Drops())
	}
}

func TestNATRebinds(t *testing.T) {
	w := newWorld(t, testOptions{})
	port := uint16(40000)
	public := netip.MustParseAddr("203.0.113.7")
	w.a.nat = func(k packet) packet {
		k.from = netip.AddrPortFrom(public, port+k.from.Port()%10)
		return k
	}
	toA := func(k packet) packet { k.to = netip.AddrPortFrom(addrA, 4500); return k }
	w.b.nat = func(k packet) packet {
		if k.to.Addr() == public {
			return toA(k)
		}
		return k
	}
	a, b := w.up()
	if !a.natLocal || !b.natRemote {
		t.Error("the NAT was not seen")
	}
	if b.path.Remote.Addr() != public {
		t.Errorf("path %v", b.path)
	}
	port = 50000
	w.a.do(a.CheckLiveness(w.now))
	w.flush()
	x, ok := effect[PathChanged](w.b)
	if !ok || x.Path.Remote.Port() < 50000 || b.path != x.Path {
		t.Errorf("got %+v", x)
	}
	// A packet of ESP tells it as well.
	moved := netip.AddrPortFrom(public, 60001)
	w.b.do(w.b.e.PeerMoved(w.b.child().in, Path{Remote: moved}, w.now))
	if b.path.Remote != moved {
		t.Errorf("path %v", b.path)
	}
	// The client behind the NAT does not follow anyone.
	w.a.do(w.a.e.PeerMoved(w.a.child().in, Path{Remote: moved}, w.now))
	if a.path.Remote.Addr() != addrB {
		t.Errorf("path %v", a.path)
	}
	// What does not authenticate moves nobody.
	forged := netip.MustParseAddrPort("203.0.113.66:4500")
	d := a.header(message.Informational, a.nextID, false)
	m := message.Message{Header: d, Payloads: []message.Payload{&message.Encrypted{Body: make([]byte, 60)}}}
	raw, _ := m.AppendTo(nil)
	w.hand(packet{from: forged, to: b.path.Local, natt: true, data: raw})
	if b.path.Remote != moved {
		t.Error("a forged packet moved the peer")
	}
}

func TestLivenessAndKeepalive(t *testing.T) {
	a := pskConfig("a")
	a.LivenessDelay = 30 * time.Second
	w := newWorld(t, testOptions{cfgA: a})
	w.up()
	keepalives := 0
	w.run(10*time.Minute, func() { w.flush() })
	if count[Closed](w.a) != 0 {
		t.Fatal("closed although the peer is alive")
	}
	w.a.one().lastSent = w.now
	fx := w.a.e.HandleTimeout(w.now.Add(21 * time.Second))
	for _, x := range fx {
		if s, ok := x.(Send); ok && s.Keepalive && s.NATT && len(s.Data) == 1 && s.Data[0] == 0xff {
			keepalives++
		}
	}
	if keepalives != 1 {
		t.Errorf("%d keepalives", keepalives)
	}
	w.run(5*time.Minute, w.lose)
	if f := w.a.closed(); f.Code != FailPeerDead {
		t.Errorf("closed with %v", f)
	}
	if len(w.a.children) != 0 {
		t.Error("children outlive their SA")
	}
}

func TestAuthLifetime(t *testing.T) {
	b := pskConfig("b")
	b.ReauthTime = time.Hour
	w := newWorld(t, testOptions{cfgB: b})
	a, _ := w.up()
	w.a.do(a.Rekey(w.now)) // the lifetime outlives a rekey
	w.flush()
	start := w.now
	w.advance(50 * time.Minute)
	if _, ok := effect[Reauthenticate](w.a); ok {
		t.Fatal("too early")
	}
	w.advance(9 * time.Minute)
	x, ok := effect[Reauthenticate](w.a)
	if !ok || x.SA != w.a.one() || x.By.Sub(start) != time.Hour {
		t.Errorf("got %+v", x)
	}
	w.advance(2 * time.Minute)
	if len(w.a.e.sas)+len(w.b.e.sas) != 0 {
		t.Error("the SA outlives its authentication")
	}
	if f := w.b.closed(); f.Code != FailExpired {
		t.Errorf("closed with %v", f)
	}
}

func TestCloseWithoutAnswer(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, _ := w.up()
	w.a.do(a.Close(w.now))
	if len(w.a.children) != 0 {
		t.Error("children outlive Close")
	}
	w.lose()
	w.run(closePatience+time.Second, w.lose)
	if x, ok := effect[Closed](w.a); !ok || x.Err != nil {
		t.Errorf("got %+v", x)
	}
}

// The peer's last answer got lost: its request comes again after the SA is gone.
func TestAnswerFromTheGrave(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, _ := w.up()
	w.a.do(a.Close(w.now))
	w.deliver(0)
	w.lose()
	w.advance(3 * time.Second)
	if len(w.a.e.sas) != 0 {
		t.Error("the answer was not repeated")
	}
	if w.b.e.Drops()["unknown SPI"] != 0 {
		t.Error("the repeated request was dropped")
	}
}

func TestWindow(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := w.up()
	liveness := func(id uint32) packet {
		d, err := a.seal(message.Informational, id, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return packet{from: a.path.Local, to: a.path.Remote, natt: true, data: d[0]}
	}
	answers := func(k packet) int {
		w.lose()
		w.hand(k)
		return len(w.wire)
	}
	next := b.expectID
	first := liveness(next)
	for _, tt := range []struct {
		name string
		k    packet
		want int
	}{
		{"ahead of the window", liveness(next + 1), 0},
		{"far ahead", liveness(next + 1000), 0},
		{"in the window", first, 1},
		{"again", first, 1},
		{"older", liveness(next - 1), 0},
		{"the next", liveness(next + 1), 1},
		{"no longer the last", first, 0},
	} {
		if got := answers(tt.k); got != tt.want {
			t.Errorf("%s: %d answers, want %d", tt.name, got, tt.want)
		}
	}
	// A repeated request must authenticate to be answered.
	bad := liveness(next + 1)
	bad.data[len(bad.data)-1] ^= 1
	if answers(bad) != 0 {
		t.Error("answered a forged repetition")
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	k := w.wire[0]
	w.lose()
	k.data = bytes.Clone(k.data)
	k.data[17] = 0x30
	w.hand(k)
	if m := w.parse(0); message.FindNotify(m.Payloads, message.NotifyInvalidMajorVersion) == nil {
		t.Errorf("answered with %v", m.Payloads)
	}
	w.lose()
	k.data[17] = 0x10
	w.hand(k)
	if len(w.wire) != 0 {
		t.Error("IKEv1 was answered")
	}
	for range 1000 { // no storm
		k.data[17] = 0x30
		w.hand(k)
	}
	if len(w.wire) > bucketSize {
		t.Errorf("%d answers", len(w.wire))
	}
}

func TestUnknownSPIIsIgnored(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, _ := w.up()
	d, _ := a.seal(message.Informational, a.nextID, false, nil)
	binary.BigEndian.PutUint64(d[0][8:], 0x0123456789abcdef)
	w.hand(packet{from: a.path.Local, to: a.path.Remote, natt: true, data: d[0]})
	if len(w.wire) != 0 || w.b.e.Drops()["unknown SPI"] != 1 {
		t.Errorf("%d answers, drops %v", len(w.wire), w.b.e.Drops())
	}
}

func TestRefusalAfterFailureIsTold(t *testing.T) {
	// The initiator does not accept the responder, who believes in the SA
	// until it is told (RFC 7296, section 2.21.2).
	w := newWorld(t, testOptions{})
	w.b.cfg.Local.PSK = []byte("other")
	w.connect()
	w.flush()
	if f := w.b.closed(); f.Code != FailAuthRefused {
		t.Errorf("the responder saw %v", f)
	}
	if len(w.b.children) != 0 {
		t.Error("its children live on")
	}
}

func TestEAPIsRefused(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	w.deliver(0)
	w.deliver(0)
	w.lose()
	a := w.a.e.SAs()[0]
	d, err := a.seal(message.IKEAuth, 1, false, []message.Payload{idPayload(identity("a.test"), false)})
	if err != nil {
		t.Fatal(err)
	}
	w.hand(packet{from: a.path.Local, to: a.path.Remote, natt: true, data: d[0]})
	w.flush()
	if f := w.a.closed(); f.Code != FailAuthRefused {
		t.Errorf("closed with %v", f)
	}
}

func TestDatagramsOfEveryLength(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	full := w.wire[0]
	w.lose()
	for n := range full.data {
		k := full
		k.data = full.data[:n]
		w.hand(k)
	}
	if len(w.b.e.sas) != 0 {
		t.Error("a truncated request made an SA")
	}
}
