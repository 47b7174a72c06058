package ike

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport/core/ike/message"
)

var (
	addrA2 = netip.MustParseAddr("203.0.113.7")
	addrA6 = netip.MustParseAddr("2001:db8::7")
	addrB2 = netip.MustParseAddr("198.51.100.2")
	addrB6 = netip.MustParseAddr("2001:db8:1::1")
)

// mobileWorld is one whose ends speak MOBIKE; b has further addresses.
func mobileWorld(t testing.TB, change ...func(a, b *Config)) (w *world, a, b *SA) {
	t.Helper()
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.MOBIKE, cfgB.MOBIKE = true, true
	for _, f := range change {
		f(cfgA, cfgB)
	}
	w = newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.b.more = []netip.Addr{addrB2, addrB6}
	w.b.do(w.b.e.SetAddresses(append([]netip.Addr{addrB, netip.MustParseAddr("10.0.0.1")}, w.b.more...), w.now))
	a, b = w.up()
	if !a.Mobile() || !b.Mobile() {
		t.Fatalf("mobile: %v and %v", a.Mobile(), b.Mobile())
	}
	return w, a, b
}

func between(a, b netip.Addr) Path {
	return Path{Local: netip.AddrPortFrom(a, 4500), Remote: netip.AddrPortFrom(b, 4500)}
}

func (p Path) reversed() Path { return Path{Local: p.Remote, Remote: p.Local, TCP: p.TCP} }

// only delivers what goes over one of the paths, and loses the rest.
func (w *world) only(paths ...Path) func() {
	return func() {
		for len(w.wire) > 0 {
			k := w.wire[0]
			p := Path{Local: k.from, Remote: k.to}
			if slices.Contains(paths, p) || slices.Contains(paths, p.reversed()) {
				w.deliver(0)
			} else {
				w.wire = w.wire[1:]
			}
		}
	}
}

// follows checks that both ends, and their Child SAs, are on a path.
func (w *world) follows(a, b *SA, p Path) {
	w.t.Helper()
	if a.path != p || b.path != p.reversed() {
		w.t.Errorf("paths %v and %v, want %v", a.path, b.path, p)
	}
	for _, x := range []struct {
		p    *peer
		want Path
	}{{w.a, p}, {w.b, p.reversed()}} {
		if last, ok := effect[PathChanged](x.p); !ok || last.Path != x.want {
			w.t.Errorf("%s: the Child SAs were told %v, want %v", x.p.name, last.Path, x.want)
		}
	}
}

// TestMobikeMove: the initiator names its new address, and both ends are on it
// after one round trip.
func TestMobikeMove(t *testing.T) {
	w, a, b := mobileWorld(t)
	if got := a.PeerAddresses(); !slices.Equal(got, []netip.Addr{addrB2, addrB6}) {
		t.Errorf("further addresses %v: those of private networks are told to nobody outside", got)
	}
	to := between(addrA2, addrB)
	w.a.do(a.Move([]Path{to}, w.now))
	if len(w.wire) != 1 {
		t.Fatalf("%d messages, want UPDATE_SA_ADDRESSES alone", len(w.wire))
	}
	w.deliver(0)
	w.deliver(0)
	w.follows(a, b, to)
	if m, ok := effect[Moved](w.a); !ok || m.Path != to {
		t.Errorf("moved: %v", m)
	}
	if a.Info().Moves != 1 || b.Info().Moves != 1 {
		t.Errorf("%d and %d moves", a.Info().Moves, b.Info().Moves)
	}
	w.a.do(a.Move([]Path{to}, w.now)) // nothing is new
	if len(w.wire) != 0 {
		t.Errorf("%d messages for nothing", len(w.wire))
	}
	// The IKE SA that follows can move too, to the other family.
	w.a.do(a.Rekey(w.now))
	w.flush()
	w.agree()
	a, b = w.a.one(), w.b.one()
	w.a.do(a.Move([]Path{between(addrA6, addrB6), to}, w.now))
	w.flush()
	w.follows(a, b, between(addrA6, addrB6))
}

// TestMobikeWithout: one end that does not want it, and nobody speaks it. Then
// Move tells nothing, and the responder follows as RFC 7296, section 2.23, says.
func TestMobikeWithout(t *testing.T) {
	for _, without := range []string{"a", "b"} {
		cfgA, cfgB := pskConfig("a"), pskConfig("b")
		cfgA.MOBIKE, cfgB.MOBIKE = without != "a", without != "b"
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		a, b := w.up()
		if a.Mobile() || b.Mobile() {
			t.Errorf("%s does not speak it: mobile %v and %v", without, a.Mobile(), b.Mobile())
		}
		w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
		for _, p := range opened(t, w.wire[0].data, b) {
			t.Errorf("%s does not speak it, and is sent %v", without, p)
		}
		w.flush()
		w.follows(a, b, between(addrA2, addrB))
	}
}

// TestMobikeNATAppearsAndVanishes: each move says whether a NAT is in between.
func TestMobikeNATAppearsAndVanishes(t *testing.T) {
	w, a, b := mobileWorld(t)
	if a.natLocal {
		t.Fatal("a NAT from the start")
	}
	inside, outside := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddrPort("203.0.113.99:1024")
	w.a.nat = func(k packet) packet {
		if k.from.Addr() == inside {
			k.from = outside
		}
		return k
	}
	w.b.nat = func(k packet) packet {
		if k.to == outside {
			k.to = netip.AddrPortFrom(inside, 4500)
		}
		return k
	}
	w.a.do(a.Move([]Path{between(inside, addrB)}, w.now))
	w.flush()
	if !a.natLocal || b.path.Remote != outside || a.path != between(inside, addrB) {
		t.Errorf("behind a NAT: %v; paths %v and %v", a.natLocal, a.path, b.path)
	}
	// The NAT forgets, and gives us another port. The next liveness check finds out.
	outside = netip.MustParseAddrPort("203.0.113.99:2048")
	w.a.do(a.CheckLiveness(w.now))
	w.flush()
	if b.path.Remote != outside {
		t.Errorf("the gateway still sends to %v after the NAT has changed", b.path.Remote)
	}
	w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
	w.flush()
	if a.natLocal {
		t.Error("the NAT does not vanish")
	}
	w.follows(a, b, between(addrA2, addrB))
}

// TestMobikePaths: while the best path is silent, the others are tried, and the
// one that answers is taken.
func TestMobikePaths(t *testing.T) {
	w, a, b := mobileWorld(t)
	dead, alive := between(addrA2, addrB), between(addrA6, addrB6)
	begun := w.now
	w.a.do(a.Move([]Path{dead, between(addrA2, addrB2), alive}, w.now))
	w.only(alive)()
	for range 8 {
		w.run(250*time.Millisecond, w.only(alive))
		if a.path == alive && b.path == alive.reversed() {
			break
		}
	}
	w.follows(a, b, alive)
	if took := w.now.Sub(begun); took > time.Second {
		t.Errorf("the path that works was found after %v", took)
	}
	if a.owesUpdate() {
		t.Error("the peer was not told where we are in the end")
	}
	// The path dies without the machine noticing: a liveness check asks the
	// caller for others.
	w.a.effects = nil
	w.a.do(a.CheckLiveness(w.now))
	w.run(3*time.Second, w.only(dead))
	if count[PathSilent](w.a) != 1 {
		t.Fatalf("%d times silent", count[PathSilent](w.a))
	}
	w.a.do(a.Move([]Path{alive, dead}, w.now))
	w.run(10*time.Second, w.only(dead))
	w.follows(a, b, dead)
	if a.state != StateUp {
		t.Errorf("state %v", a.state)
	}
}

// TestMobikeStranded: without any path nothing is sent and nobody is declared
// dead; when there is one again, the SA goes on at once.
func TestMobikeStranded(t *testing.T) {
	for _, to := range []Path{between(addrA, addrB), between(addrA2, addrB)} {
		w, a, _ := mobileWorld(t, func(a, b *Config) { a.LivenessDelay = 10 * time.Second })
		w.a.do(a.Rekey(w.now)) // in flight when the network goes
		w.lose()
		w.a.do(a.Move(nil, w.now))
		w.run(20*time.Minute, func() {})
		if len(w.wire) != 0 || a.state != StateUp {
			t.Fatalf("%d messages without a network, state %v", len(w.wire), a.state)
		}
		w.a.do(a.Move([]Path{to}, w.now))
		w.flush()
		w.agree()
		if a, b := w.a.one(), w.b.one(); a.path != to || b.path != to.reversed() {
			t.Errorf("paths %v and %v, want %v", a.path, b.path, to)
		}
	}
}

// TestMobikeDeadAfterMove: a peer that does not answer from any path is given up
// in bounded time.
func TestMobikeDeadAfterMove(t *testing.T) {
	w, a, _ := mobileWorld(t)
	w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
	w.run(25*time.Second, w.lose)
	if f := w.a.closed(); f.Code != FailPeerDead {
		t.Errorf("%v", f)
	}
	w, a, _ = mobileWorld(t)
	w.a.do(a.Hurry(w.now))
	w.run(4*time.Second, w.lose)
	if f := w.a.closed(); f.Code != FailPeerDead {
		t.Errorf("after a sleep: %v", f)
	}
}

// TestMobikeForgotten has a responder that takes UPDATE_SA_ADDRESSES for a sign of
// life, as libreswan does once the IKE SA was rekeyed: what it answers does not pass
// for having followed, and the next move is one without MOBIKE.
func TestMobikeForgotten(t *testing.T) {
	w, a, b := mobileWorld(t)
	w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
	if len(w.wire) != 1 {
		t.Fatalf("%d packets", len(w.wire))
	}
	update := w.wire[0]
	m := w.parse(0)
	w.lose()
	h := b.header(message.Informational, m.Header.MessageID, true)
	w.hand(packet{from: update.to, to: update.from, natt: true, data: sealRaw(t, b, h, 0, nil)})
	x, ok := effect[Moved](w.a)
	if !ok || !x.Behind || a.Mobile() {
		t.Errorf("%+v, %v; mobile: %v", x, ok, a.Mobile())
	}
	if w.a.one() != a {
		t.Error("the IKE SA ended before there is another")
	}
	w, a, _ = mobileWorld(t)
	w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
	w.flush()
	if x, ok := effect[Moved](w.a); !ok || x.Behind || !a.Mobile() {
		t.Errorf("of one that follows: %+v, %v; mobile: %v", x, ok, a.Mobile())
	}
}

// TestMobikeUnacceptable: a responder whose Child SA protects its peer's outer
// address lets nobody move, and the initiator tries the next path, then gives up.
func TestMobikeUnacceptable(t *testing.T) {
	w, a, b := mobileWorld(t, func(a, b *Config) {
		a.Children[0].Local, b.Children[0].Remote = nets(addrA.String()+"/32"), nets(addrA.String()+"/32")
	})
	before := b.path
	w.a.do(a.Move([]Path{between(addrA2, addrB), between(addrA6, addrB6)}, w.now))
	w.flush()
	if b.path != before {
		t.Errorf("the responder moved to %v", b.path)
	}
	if f := w.a.closed(); f.Code != FailPeerRefused || f.Notify != message.NotifyUnacceptableAddresses {
		t.Errorf("%v", f)
	}
}

// TestMobikeNoNATsAllowed: whoever wants no NAT on the way is told of one, and
// stays where it was (RFC 4555, section 3.9).
func TestMobikeNoNATsAllowed(t *testing.T) {
	w, a, b := mobileWorld(t)
	before := b.path
	ask := func(seen Path) message.NotifyType {
		a.enqueue(&strictUpdateTask{seen: between(addrA2, addrB)}, w.now)
		a.path = seen
		w.a.e.settle(a, w.now)
		w.a.do(w.a.e.take())
		w.deliver(0)
		plain := opened(t, w.wire[0].data, a)
		w.flush()
		for _, p := range plain {
			if n, ok := p.(*message.Notify); ok && n.Kind.IsError() {
				return n.Kind
			}
		}
		return 0
	}
	if n := ask(between(addrA6, addrB)); n != message.NotifyUnexpectedNATDetected || b.path != before {
		t.Errorf("through a NAT: %v, path %v", n, b.path)
	}
	if n := ask(between(addrA2, addrB)); n != 0 || b.path != between(addrA2, addrB).reversed() {
		t.Errorf("without a NAT: %v, path %v", n, b.path)
	}
}

// strictUpdateTask is an UPDATE_SA_ADDRESSES of an initiator that wants no NAT.
type strictUpdateTask struct {
	addressesTask // its answer is of no interest
	seen          Path
}

func (t *strictUpdateTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	data := slices.Concat(t.seen.Local.Addr().AsSlice(), t.seen.Remote.Addr().AsSlice(), []byte{4500 >> 8, 4500 & 255, 4500 >> 8, 4500 & 255})
	payloads, ok := (&updateTask{}).request(sa, now)
	return append(payloads, &message.Notify{Kind: message.NotifyNoNATsAllowed, Data: data}), ok
}

// opened returns the payloads of a protected message to sa.
func opened(t *testing.T, datagram []byte, sa *SA) []message.Payload {
	t.Helper()
	var r message.Reassembler
	m, complete, err := r.Open(bytes.Clone(datagram), sa.keys.open)
	if err != nil || !complete {
		t.Fatalf("open: %v, %v", complete, err)
	}
	return m.Payloads
}

// TestMobikeCheckPath: a responder that checks paths moves nothing before the
// answer came from there.
func TestMobikeCheckPath(t *testing.T) {
	check := func(a, b *Config) { b.CheckPath = true }
	w, a, b := mobileWorld(t, check)
	before, to := b.path, between(addrA2, addrB)
	w.a.do(a.Move([]Path{to}, w.now))
	w.deliver(0) // the update
	if b.path != before || count[PathChanged](w.b) > 1 {
		t.Fatalf("moved to %v unchecked", b.path)
	}
	w.flush()
	w.follows(a, b, to)

	// Nobody is there: the responder stays, and finds its peer on the old path.
	w, a, b = mobileWorld(t, check)
	before = b.path
	w.a.do(a.Move([]Path{to}, w.now))
	w.deliver(0)
	w.wire = slices.DeleteFunc(w.wire, func(k packet) bool { return k.to.Addr() == addrA2 })
	a.path = between(addrA, addrB) // it is where it was: somebody else sent the request on
	w.run(5*time.Second, w.only(between(addrA, addrB)))
	if b.path != before || b.state != StateUp {
		t.Errorf("path %v, state %v", b.path, b.state)
	}
}

// TestCheckPathWithoutCookie: an answer without the cookie ends the SA (RFC
// 4555, section 3.7).
func TestCheckPathWithoutCookie(t *testing.T) {
	w, a, b := mobileWorld(t, func(a, b *Config) { b.CheckPath = true })
	w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
	w.deliver(0)
	a.mob.on = false // does not know COOKIE2
	w.flush()
	if f := w.b.closed(); b.state != StateClosed || f.Code != FailProtocol {
		t.Errorf("state %v, %v", b.state, f)
	}
}

// TestMobikeNATRemap: when packets of a Child SA come from elsewhere, the
// responder asks there, and follows whoever answers.
func TestMobikeNATRemap(t *testing.T) {
	w, _, b := mobileWorld(t)
	before := b.path
	moved := netip.AddrPortFrom(addrA2, 1024)
	w.b.do(w.b.e.PeerMoved(b.children[0].in, Path{Remote: moved}, w.now))
	if b.path != before || len(w.wire) != 1 || w.wire[0].to != moved {
		t.Fatalf("path %v, wire %v", b.path, w.wire)
	}
	w.b.nat = func(k packet) packet { return k }
	w.a.nat = func(k packet) packet { k.from = moved; return k } // what a NAT does now
	w.flush()
	if b.path.Remote != moved {
		t.Errorf("path %v, want %v", b.path, moved)
	}
}

// TestNATRemapHijack: whoever sends copies of another's packets from its own
// address moves nothing: neither copies of IKE messages, new or old, nor of ESP.
func TestNATRemapHijack(t *testing.T) {
	w, a, b := mobileWorld(t)
	thief := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.66"), 4500)
	before := b.path
	stays := func(what string) {
		t.Helper()
		if b.path != before || b.state != StateUp {
			t.Errorf("%s: path %v, state %v", what, b.path, b.state)
		}
	}
	from := func(k packet) packet { k.from = thief; return k }

	w.a.do(a.CheckLiveness(w.now))
	request := w.wire[0]
	w.lose()
	w.hand(from(request)) // before the true one
	stays("a request that overtakes")
	answer := w.wire[0]
	w.lose()
	w.hand(from(answer)) // to the initiator, as if the gateway had moved
	if a.path != before.reversed() {
		t.Errorf("a copied answer moved the initiator to %v", a.path)
	}
	w.hand(from(request)) // afterwards
	stays("a repeated request")
	for range 2 * maxUnproved {
		w.hand(from(request))
	}
	if w.wire[len(w.wire)-1].to == thief {
		t.Error("the answers to a replayed request go on to whoever replays it")
	}
	w.lose()

	w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now)) // an old update
	update := w.wire[0]
	w.flush()
	w.a.do(a.Move([]Path{between(addrA, addrB)}, w.now))
	w.flush()
	w.hand(from(update))
	w.lose()
	stays("an update from before")

	forged := bytes.Clone(update.data)
	forged[23]++ // the message ID that is next
	forged[23]++
	w.hand(packet{from: thief, to: update.to, natt: true, data: forged})
	stays("an update with another message ID")

	w.b.do(w.b.e.PeerMoved(b.children[0].in, Path{Remote: thief}, w.now)) // a copy of ESP that overtook
	stays("a copied ESP packet")
	w.run(20*time.Second, func() { // the thief answers nothing
		w.wire = slices.DeleteFunc(w.wire, func(k packet) bool { return k.to == thief })
		w.flush()
	})
	stays("a copied ESP packet, and silence")
	if count[Closed](w.b) != 0 {
		t.Error("the theft ended the SA")
	}
}

// TestMobikeInitiatorDecides: an UPDATE_SA_ADDRESSES of the responder is not
// followed.
func TestMobikeInitiatorDecides(t *testing.T) {
	w, a, b := mobileWorld(t)
	before := a.path
	b.path.Local = netip.AddrPortFrom(addrB2, 4500)
	b.enqueue(&updateTask{}, w.now)
	w.b.e.settle(b, w.now)
	w.b.do(w.b.e.take())
	w.flush()
	if a.path != before || a.state != StateUp {
		t.Errorf("path %v, state %v", a.path, a.state)
	}
}

// TestMobikeAddressesChange: the responder tells when its addresses change, and
// the list stays bounded.
func TestMobikeAddressesChange(t *testing.T) {
	w, a, b := mobileWorld(t)
	w.b.do(w.b.e.SetAddresses([]netip.Addr{addrB, addrB6}, w.now))
	w.flush()
	if got := a.PeerAddresses(); !slices.Equal(got, []netip.Addr{addrB6}) {
		t.Errorf("further addresses %v", got)
	}
	w.b.do(w.b.e.SetAddresses([]netip.Addr{addrB}, w.now))
	w.flush()
	if got := a.PeerAddresses(); len(got) != 0 {
		t.Errorf("further addresses %v after there are none", got)
	}
	in := &inbox{}
	for i := range 40 {
		in.notifies = append(in.notifies,
			&message.Notify{Kind: message.NotifyAdditionalIP4Address, Data: []byte{198, 51, 100, byte(i)}},
			&message.Notify{Kind: message.NotifyAdditionalIP4Address, Data: []byte{127, 0, 0, 1}},
			&message.Notify{Kind: message.NotifyAdditionalIP4Address, Data: make([]byte, 16)},
			&message.Notify{Kind: message.NotifyAdditionalIP6Address, Data: make([]byte, i)})
	}
	b.readAddresses(in)
	if len(b.mob.peer) != maxPeerAddresses {
		t.Errorf("%d addresses kept: %v", len(b.mob.peer), b.mob.peer)
	}
}

// TestSlept: lifetimes run on while the machine sleeps; waits for answers do not.
func TestSlept(t *testing.T) {
	w, a, _ := mobileWorld(t, func(a, b *Config) { a.RekeyTime, a.HardLifetime = time.Hour, 2*time.Hour })
	before := a.spiLocal
	w.a.do(w.a.e.Slept(30*time.Minute, w.now))
	w.advance(20 * time.Minute)
	if w.a.one().spiLocal != before {
		t.Fatal("rekeyed too early")
	}
	w.advance(11 * time.Minute)
	if w.a.one().spiLocal == before {
		t.Error("not rekeyed, an hour later of which half was slept")
	}
	w.agree()

	w, a, _ = mobileWorld(t)
	w.a.do(a.CheckLiveness(w.now))
	w.lose()
	w.a.do(w.a.e.Slept(30*time.Minute, w.now))
	w.advance(30 * time.Second) // the retransmissions go on
	if a.state != StateUp {
		t.Errorf("state %v: the sleep counted as silence of the peer", a.state)
	}

	w, a, _ = mobileWorld(t, func(a, b *Config) { a.RekeyTime, a.HardLifetime = time.Hour, 2*time.Hour })
	w.a.do(w.a.e.Slept(3*time.Hour, w.now))
	w.advance(time.Second)
	if f := w.a.closed(); a.state == StateUp || f.Code != FailExpired {
		t.Errorf("state %v, %v: its lifetime ended in the sleep", a.state, f)
	}
}
