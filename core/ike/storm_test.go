package ike

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

var (
	stormSeeds = flag.Int("storm.seeds", 1000, "seeds of TestStorm")
	stormFrom  = flag.Int64("storm.from", 0, "the first of them")
	stormSeed  = flag.Int64("storm.seed", -1, "the one seed of TestStorm to run")
)

// stormsOfOld are seeds that failed once.
var stormsOfOld = []uint64{176, 133, 241, 602, 140843, 174519, 140462}

// TestStorm is TestRandomWalk on the networks that laptops meet: addresses come
// and go, NATs forget, paths break, machines sleep and gateways restart or send the
// client elsewhere, while both ends prove themselves in every way, change between UDP
// and TCP, rekey with several key exchanges, resume and delete, and somebody on the
// way repeats, changes and invents messages. When the weather is fine again, both
// must agree, and after the end nothing may be left. It runs on every processor.
func TestStorm(t *testing.T) {
	if *stormSeed >= 0 {
		storm(t, uint64(*stormSeed), true)
		return
	}
	const shards = 8
	var done atomic.Int64
	begun := time.Now()
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			run := func(seed uint64) {
				if storm(t, seed, false); t.Failed() {
					t.Fatalf("failed with -run TestStorm -storm.seed %d", seed)
				}
				if n := done.Add(1); n%10000 == 0 {
					fmt.Fprintf(os.Stderr, "%d seeds without a failure in %v\n", n, time.Since(begun).Round(time.Second))
				}
			}
			if shard == 0 {
				for _, seed := range stormsOfOld {
					run(seed)
				}
			}
			for i := shard; i < *stormSeeds; i += shards {
				run(uint64(*stormFrom) + uint64(i))
			}
		})
	}
}

var (
	addrInside = netip.MustParseAddr("192.168.1.2")
	addrNAT    = netip.MustParseAddr("203.0.113.99")
	addrThief  = netip.MustParseAddr("203.0.113.66")
)

// A weather is a storm under way.
type weather struct {
	*walker
	pool    *testPool
	mobile  bool
	harsh   bool                // without MOBIKE, with all that else only those meet who speak it
	mapping uint16              // the NAT's port for port 500; that for 4500 is the next
	broken  map[netip.Addr]bool // addresses of b that cannot be reached
	heard   []packet            // what somebody on the way has kept
	begun   uint16              // endpoints of b
	served  int                 // effects of a that were looked at
	tcp     bool                // the client may go through TCP connections
	streams map[uint16]*stormStream
}

// stormConfigs chooses what the ends are configured with.
func (s *weather) configs(seed uint64) (a, b *Config) {
	a, b = pskConfig("a"), pskConfig("b")
	if seed%3 == 0 {
		a, b, s.pool = roadwarrior()
	}
	s.mobile, s.harsh = seed%4 != 3, seed%16 == 15
	for _, c := range []*Config{a, b} {
		c.LivenessDelay, c.Retransmit.Tries = 20*time.Second, 8
		c.MOBIKE = s.mobile
		switch seed % 7 {
		case 2:
			c.RekeyTime, c.HardLifetime = 90*time.Second, 10*time.Minute
			c.Children[0].RekeyTime, c.Children[0].HardLifetime = 30*time.Second, 5*time.Minute
		case 4:
			c.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ke1_mlkem768")
			c.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519-ke1_mlkem768-esn")
		case 5:
			c.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ke1_ecp256")
			c.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519-ke1_ecp256-ke2_mlkem768-esn")
		}
	}
	b.CheckPath = seed%5 == 1
	if seed%11 == 6 { // with Child SAs for resources, of which the responder allows fewer at times
		a.Children[0].Resources, b.Children[0].Resources = 2, 1+int(seed/11%2)
	}
	a.Reopen, b.Reopen = seed/8%2 == 1, seed/8%2 == 1
	stormProofs(seed, a, b)
	s.tcp = slices.Contains([]uint64{2, 8, 11}, seed%17)
	return a, b
}

func storm(t *testing.T, seed uint64, verbose bool) {
	s := &weather{broken: map[netip.Addr]bool{}, mapping: 2000, streams: map[uint16]*stormStream{}}
	cfgA, cfgB := s.configs(seed)
	s.walker = newWalker(newWorld(t, testOptions{seed: seed, cfgA: cfgA, cfgB: cfgB}))
	s.loss, s.repeat = s.rng.IntN(30), s.rng.IntN(20)
	s.deletes = seed%2 == 0
	s.b.more = []netip.Addr{addrB2, addrB6}
	s.b.do(s.b.e.SetAddresses([]netip.Addr{addrB, addrB2, addrB6}, s.b.clock()))
	s.a.nat = s.leave
	if seed%13 == 5 {
		s.redirects()
	}
	defer func() {
		if t.Failed() && verbose {
			t.Log(s.a.story() + s.b.story())
		}
	}()
	s.connect()
	for range 3 { // it may be sent elsewhere
		s.settle()
		s.serve()
	}
	if s.agree(); t.Failed() {
		return
	}
	for range 30 + s.rng.IntN(90) {
		s.step()
		s.serve()
		s.accepts()
		s.bounds()
		if t.Failed() {
			return
		}
	}
	s.peace()
	s.ends()
}

// leave is what becomes of a packet of a's on its way out: the address that it
// has is the only one it can send from, and a NAT may write its own.
func (s *weather) leave(k packet) packet {
	switch {
	case k.from.Addr() != s.a.addr || k.tcp && !s.open(k.from.Port()):
		k.to = netip.AddrPort{}
	case s.a.addr == addrInside && k.tcp:
		k.from = netip.AddrPortFrom(addrNAT, k.from.Port())
	case s.a.addr == addrInside:
		k.from = netip.AddrPortFrom(addrNAT, s.mapped(k.from.Port()))
	}
	return k
}

func (s *weather) mapped(port uint16) uint16 {
	if port == 4500 {
		return s.mapping + 1
	}
	return s.mapping
}

// arrive hands over what the network lets through.
func (s *weather) arrive(k packet) {
	if k.tcp && !s.open(k.from.Port()) && !s.open(k.to.Port()) {
		return
	}
	if k.to.Addr() == addrNAT && s.a.addr == addrInside {
		switch k.to.Port() {
		case s.mapping:
			k.to = netip.AddrPortFrom(addrInside, 500)
		case s.mapping + 1:
			k.to = netip.AddrPortFrom(addrInside, 4500)
		}
		if k.tcp {
			k.to = netip.AddrPortFrom(addrInside, k.to.Port())
		}
	}
	toA, toB := k.to.Addr() == s.a.addr, k.to.Addr() == s.b.addr || slices.Contains(s.b.more, k.to.Addr())
	if !toA && !toB || s.broken[k.to.Addr()] || s.broken[k.from.Addr()] {
		return
	}
	if k.tcp {
		s.hand(k)
		return
	}
	if len(s.heard) < 32 {
		s.heard = append(s.heard, k)
	} else {
		s.heard[s.rng.IntN(len(s.heard))] = k
	}
	s.hand(k)
}

func (s *weather) settle() {
	for n := 0; len(s.wire) > 0; n++ {
		if n > 2000 {
			s.t.Fatal("the peers talk without end")
		}
		k := s.wire[0]
		s.wire = s.wire[1:]
		s.arrive(k)
	}
}

// step lets one random thing happen.
func (s *weather) step() {
	if s.rng.IntN(6) == 0 {
		s.sound()
	}
	switch n := s.rng.IntN(100); {
	case n < 45 && len(s.wire) > 0:
		i := s.rng.IntN(len(s.wire))
		k := s.wire[i]
		if k.tcp { // nothing is lost there, and nothing overtakes
			i = slices.IndexFunc(s.wire, func(o packet) bool { return o.tcp && o.from == k.from && o.to == k.to })
			k = s.wire[i]
			s.wire = slices.Delete(s.wire, i, i+1)
			s.arrive(k)
			break
		}
		if s.rng.IntN(100) < s.repeat {
			s.arrive(k)
			break
		}
		s.wire = slices.Delete(s.wire, i, i+1)
		if s.rng.IntN(100) >= s.loss {
			s.arrive(k)
		}
	case n < 50:
		s.settle()
	case n < 68:
		s.run(time.Duration(s.rng.IntN(2500))*time.Millisecond, func() {})
	case n < 84:
		p := s.a
		if s.rng.IntN(2) == 0 {
			p = s.b
		}
		s.act(p)
	case n < 92:
		s.attack()
	default:
		s.change()
	}
}

// change lets something happen to the network, or to a machine.
func (s *weather) change() {
	if s.tcp && s.rng.IntN(3) == 0 {
		s.transport()
		return
	}
	switch n := s.rng.IntN(20); {
	case n < 6: // another network
		s.a.addr = []netip.Addr{addrA, addrA2, addrA6, addrInside}[s.rng.IntN(4)]
		s.move()
	case n < 7: // none at all
		for _, sa := range s.a.e.SAs() {
			s.a.do(sa.Move(nil, s.a.clock()))
		}
		s.run(time.Duration(s.rng.IntN(40))*time.Second, s.settle)
		s.move()
	case n < 10: // the NAT forgets, and traffic finds out, or a check
		s.mapping += 2
		if s.a.addr == addrInside {
			clear(s.streams)
		}
		s.traffic()
	case n < 13: // a part of the network breaks, or heals
		if at := []netip.Addr{addrB, addrB2, addrB6}[s.rng.IntN(3)]; s.broken[at] {
			delete(s.broken, at)
		} else {
			s.broken[at] = true
			s.breakStreams(at)
		}
	case n < 14: // the gateway's addresses change
		list := []netip.Addr{addrB, addrB2, addrB6}[:1+s.rng.IntN(3)]
		s.b.do(s.b.e.SetAddresses(list, s.b.clock()))
	case n < 17:
		s.sleep()
	case n < 19 && s.deletes: // the client loses its SAs, and comes back with a ticket
		for _, sa := range s.a.e.SAs() {
			s.a.do(sa.Abandon(s.a.clock()))
		}
		if x, ok := effect[TicketIssued](s.a); ok && s.rng.IntN(5) > 0 {
			s.resume(x.Ticket)
		} else {
			s.connect()
		}
	case s.deletes:
		s.restart()
	}
}

// paths are those that the client has where it is.
func (s *weather) paths() []Path {
	if s.a.addr.Is6() {
		return []Path{between(s.a.addr, addrB6)}
	}
	return []Path{between(s.a.addr, addrB), between(s.a.addr, addrB2)}
}

// pathsOf are those that the client has for an IKE SA: without MOBIKE its gateway is
// where it was.
func (s *weather) pathsOf(sa *SA) []Path {
	paths := s.paths()
	if at := sa.path.Remote.Addr(); !s.mobile && at.Is4() == s.a.addr.Is4() {
		return []Path{between(s.a.addr, at)}
	}
	return paths
}

func (s *weather) move() {
	paths := s.paths()
	if s.rng.IntN(3) == 0 {
		slices.Reverse(paths)
	}
	for _, sa := range s.a.e.SAs() {
		if sa.path.TCP {
			s.reroute(sa, s.stream())
			continue
		}
		s.a.do(sa.Move(paths, s.a.clock()))
	}
}

// traffic lets the gateway see a packet of each Child SA that the client sends on.
func (s *weather) traffic() {
	for _, spi := range sorted(s.a.children) {
		c := s.a.children[spi]
		if d := s.b.children[c.OutSPI]; c.active && d != nil {
			k := s.leave(packet{from: c.sa.path.Local, to: c.sa.path.Remote, tcp: c.sa.path.TCP})
			if k.to.IsValid() && !s.broken[k.to.Addr()] {
				s.b.do(s.b.e.NoteInbound(d.InSPI, s.b.clock()))
				s.b.do(s.b.e.PeerMoved(d.InSPI, Path{Local: k.to, Remote: k.from, TCP: k.tcp}, s.b.clock()))
			}
		}
	}
}

func sorted(m map[uint32]*fakeChild) []uint32 {
	var list []uint32
	for spi := range m {
		list = append(list, spi)
	}
	slices.Sort(list)
	return list
}

// sleep lets a's clock stand still while the world goes on.
func (s *weather) sleep() {
	d := time.Duration(s.rng.IntN(40)) * time.Minute
	if s.rng.IntN(2) == 0 {
		d /= 60
	}
	end := s.now.Add(d)
	for {
		next := s.b.timeout()
		if next.IsZero() || next.After(end) {
			break
		}
		s.now = later(s.now, next)
		s.b.do(s.b.e.HandleTimeout(s.b.clock()))
		s.wire = slices.DeleteFunc(s.wire, func(k packet) bool { return s.at(k.to.Addr()) == s.a })
	}
	s.now = end
	s.a.late += d
	s.a.do(s.a.e.Slept(d, s.a.clock()))
	for _, sa := range s.a.e.SAs() {
		s.a.do(sa.Hurry(s.a.clock()))
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// restart is a gateway that has forgotten everything.
func (s *weather) restart() {
	s.begun++
	s.b.e = NewEndpoint(Options{Rand: newSeeded(uint64(s.begun), s.b.name+"again"), Resolver: s.b})
	s.b.do(s.b.e.SetAddresses([]netip.Addr{addrB, addrB2, addrB6}, s.b.clock()))
	s.b.sas, s.b.children, s.gone[s.b] = map[*SA]bool{}, map[uint32]*fakeChild{}, map[uint32]time.Time{}
	if s.pool != nil {
		s.pool.leases = 0
	}
}

// attack is what somebody does who sees and sends packets and knows no key.
func (s *weather) attack() {
	if len(s.heard) == 0 {
		return
	}
	k := s.heard[s.rng.IntN(len(s.heard))]
	k.data = bytes.Clone(k.data)
	p := s.at(k.to.Addr())
	known := s.established(p)
	var fooled *SA
	from := len(p.effects)
	if (s.mobile || s.harsh) && s.rng.IntN(2) == 0 {
		k.from = netip.AddrPortFrom(addrThief, k.from.Port())
	}
	defer func() {
		for sa, was := range known {
			if at := sa.path.Remote.Addr(); at == addrThief && was.Remote.Addr() != at && sa != fooled {
				s.t.Errorf("%s: sends to a thief", p.name)
			}
		}
	}()
	switch s.rng.IntN(4) {
	case 0: // again
		fooled = s.overtaken(p, k)
		s.hand(k)
		return
	case 1: // changed
		k.data[s.rng.IntN(len(k.data))] ^= 1 << s.rng.IntN(8)
	case 2: // cut
		k.data = k.data[:s.rng.IntN(len(k.data))]
	default: // invented
		k = s.invent(k)
	}
	s.hand(k)
	for _, x := range p.effects[from:] {
		switch x := x.(type) {
		case Established, InstallChild, ActivateChild, RemoveChild, Replaced, PathChanged, TicketIssued, ChildFailed:
			s.t.Errorf("%s: a message of nobody's did %T", p.name, x)
		case Closed:
			if _, ok := known[x.SA]; ok {
				s.t.Errorf("%s: a message of nobody's ended an IKE SA: %v", p.name, x.Err)
			}
		}
	}
}

// established are p's IKE SAs, and where each is.
func (s *weather) established(p *peer) map[*SA]Path {
	known := map[*SA]Path{}
	for sa := range p.sas {
		known[sa] = sa.path
	}
	return known
}

// overtaken returns the IKE SA of p that takes a copy of k for k itself, and its
// sender for the peer, for k has not come yet: where it is from only the IP header says,
// which nothing protects. With MOBIKE that is the peer's word that it has moved (RFC
// 4555, section 5.1), unless the responder asks there before it follows; without, any
// message, unless a NAT is in front of us (RFC 7296, section 2.23), or it goes back
// whence we have asked. In the end p must be where its peer is all the same.
func (s *weather) overtaken(p *peer, k packet) *SA {
	h, err := message.ParseHeader(k.data)
	if err != nil {
		return nil
	}
	sa := p.e.sas[h.ResponderSPI]
	if !h.Initiator() {
		sa = p.e.sas[h.InitiatorSPI]
	}
	if sa == nil || sa.keys.open == nil {
		return nil
	}
	var r message.Reassembler
	m, _, err := r.Open(bytes.Clone(k.data), sa.keys.open)
	update := slices.ContainsFunc(m.Payloads, func(x message.Payload) bool {
		n, ok := x.(*message.Notify)
		return ok && n.Kind == message.NotifyUpdateSAAddresses
	})
	switch {
	case err != nil:
	case h.Response():
		if !sa.mob.on && !sa.line && sa.flight != nil && sa.flight.id == h.MessageID {
			return sa
		}
	case h.MessageID != sa.expectID:
	case sa.mob.on && update && !sa.line && !sa.cfg.CheckPath, !sa.mob.on && !(sa.line && sa.natLocal):
		return sa
	}
	return nil
}

// invent makes an unprotected message of an exchange that k belongs to.
func (s *weather) invent(k packet) packet {
	h, err := message.ParseHeader(k.data)
	if err != nil {
		return k
	}
	kinds := []message.NotifyType{message.NotifyAuthenticationFailed, message.NotifyInvalidIKESPI, message.NotifyInvalidSyntax,
		message.NotifyNoProposalChosen, message.NotifyChildSANotFound, message.NotifyUpdateSAAddresses, message.NotifyInitialContact}
	payloads := []message.Payload{&message.Notify{Kind: kinds[s.rng.IntN(len(kinds))]}}
	if s.rng.IntN(3) == 0 {
		payloads = []message.Payload{&message.Delete{Protocol: transform.ProtoIKE}}
	}
	if h.Exchange != message.IKESAInit && h.Exchange != message.IKESessionResume {
		h.Exchange = []message.ExchangeType{message.Informational, message.IKEAuth, message.CreateChildSA}[s.rng.IntN(3)]
	}
	h.MessageID += uint32(s.rng.IntN(3))
	m := message.Message{Header: h, Payloads: payloads}
	if b, err := m.AppendTo(nil); err == nil {
		k.data = b
	}
	return k
}

// serve does what the service around a does: it names the paths when the peer
// is silent.
func (s *weather) serve() {
	for ; s.served < len(s.a.effects); s.served++ {
		switch x := s.a.effects[s.served].(type) {
		case PathSilent:
			if s.a.e.sas[x.SA.spiLocal] == x.SA && !x.SA.path.TCP {
				s.a.do(x.SA.Move(s.paths(), s.a.clock()))
			}
		case Closed:
			var r *Redirect
			if errors.As(x.Err, &r) {
				s.sent(r)
			}
		}
	}
}

// bounds checks that nothing grows, at no time.
func (s *weather) bounds() {
	for _, p := range []*peer{s.a, s.b} {
		e := p.e
		if len(e.SAs()) > 16 || len(e.children) > 24 || len(e.reserved) > 16 || len(e.graves.queue) > maxGraves || e.halfOpen.n > e.halfOpen.max {
			s.t.Errorf("%s: %d IKE SAs, %d Child SAs, %d SPIs on offer, %d graves, %d half-open", p.name, len(e.SAs()), len(e.children), len(e.reserved), len(e.graves.queue), e.halfOpen.n)
		}
		if len(e.timers) != len(e.sas) || len(e.touched) != 0 || len(e.effects) != 0 || len(p.children) != len(e.children) {
			s.t.Errorf("%s: %d timers of %d SAs, %d touched, %d effects; %d children of %d", p.name, len(e.timers), len(e.sas), len(e.touched), len(e.effects), len(p.children), len(e.children))
		}
		for _, sa := range e.sas {
			if len(sa.queue) > 16 || len(sa.children) > 8 {
				s.t.Errorf("%s: %d requests wait, %d children", p.name, len(sa.queue), len(sa.children))
			}
			if len(sa.children) > 0 && (sa.state == StateInitSent || sa.state == StateInitAnswered) {
				s.t.Errorf("%s: a Child SA of a peer that has proved nothing", p.name)
			}
		}
	}
}

// peace heals the network, and checks that both ends come to the same.
func (s *weather) peace() {
	clear(s.broken)
	s.a.addr = addrA
	for _, sa := range s.a.e.SAs() {
		if sa.path.TCP {
			s.a.do(sa.Reroute(s.pathsOf(sa)[0], s.a.clock()))
			continue
		}
		s.a.do(sa.Move(s.pathsOf(sa), s.a.clock()))
	}
	calm := func() { s.settle(); s.serve(); s.settle() }
	calm()
	s.run(20*time.Minute, calm) // for a dead peer to be noticed
	for range 100 {
		if s.quiet() {
			break
		}
		s.run(time.Second, calm)
	}
	if s.concord(); s.t.Failed() {
		return
	}
	if len(s.a.e.SAs()) == 0 {
		s.connect()
		calm()
		s.run(time.Minute, calm)
	}
	if s.t.Failed() {
		return
	}
	up := 0
	for _, sa := range s.a.e.SAs() {
		if sa.state != StateUp {
			continue
		}
		up++
		if x := s.b.e.sas[sa.spiRemote]; x == nil || x.path != sa.path.reversed() {
			s.t.Errorf("a is on %v, and b not on it: %v", sa.path, s.b.e.SAs()[0].path)
		}
		for _, c := range sa.children {
			if c.out == 0 {
				s.t.Error("a child without a peer")
			}
		}
	}
	if up != 1 {
		s.t.Errorf("%d IKE SAs are up in the end", up)
	}
	if s.pool != nil && s.pool.leases != 1 {
		s.t.Errorf("%d leases", s.pool.leases)
	}
}

// ends closes everything, after which nothing may be left.
func (s *weather) ends() {
	if s.t.Failed() {
		return
	}
	for _, sa := range s.a.e.SAs() {
		s.a.do(sa.Close(s.a.clock()))
	}
	s.settle()
	s.run(2*time.Minute, s.settle)
	for _, p := range []*peer{s.a, s.b} {
		e := p.e
		e.graves.expire(p.clock())
		if len(e.sas)+len(e.timers)+len(e.inits)+e.halfOpen.n+len(e.halfOpen.sources)+len(e.children)+len(e.reserved)+len(e.graves.queue)+len(e.graves.bySPI)+len(p.sas)+len(p.children) != 0 {
			s.t.Errorf("%s: left over: %d SAs, %d timers, %d inits, %d half-open of %d sources, %d children, %d SPIs, %d graves", p.name,
				len(e.sas), len(e.timers), len(e.inits), e.halfOpen.n, len(e.halfOpen.sources), len(e.children), len(e.reserved), len(e.graves.queue))
		}
	}
	if s.pool != nil && s.pool.leases != 0 {
		s.t.Errorf("%d leases in the end", s.pool.leases)
	}
}
