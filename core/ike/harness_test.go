package ike

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// A world is two endpoints and the wire between them, with its own time. A
// test delivers message by message, or lets it run.
type world struct {
	t    testing.TB
	now  time.Time
	a, b *peer // a starts, b answers
	wire []packet
	rng  *rand.Rand
}

type packet struct {
	from, to netip.AddrPort
	natt     bool
	tcp      bool
	data     []byte
	at       time.Time
}

// A peer is one endpoint with what its effects did.
type peer struct {
	w        *world
	name     string
	e        *Endpoint
	addr     netip.Addr
	more     []netip.Addr // further addresses
	cfg      *Config      // as responder
	terms    []transform.Proposal
	ocsp     bool                // asks for OCSP responses
	nat      func(packet) packet // rewrites what it sends
	effects  []Effect            // all but Send
	children map[uint32]*fakeChild
	sas      map[*SA]bool
	refuse   bool                // Resolve refuses
	choose   func(Claim) *Config // in place of cfg, as responder
	lines    int
	seen     int           // effects that the walk has looked at
	late     time.Duration // how long the machine has slept, its clock with it
}

// clock is the time as the peer's machine has it.
func (p *peer) clock() time.Time { return p.w.now.Add(-p.late) }

// timeout is when the peer's next timer fires, in the time of the world.
func (p *peer) timeout() time.Time {
	t := p.e.NextTimeout()
	if t.IsZero() {
		return t
	}
	return t.Add(p.late)
}

// A fakeChild is a Child SA in a peer's data path.
type fakeChild struct {
	ChildSA
	sa     *SA
	active bool
	line   int // of Child SAs that replace each other
}

func (p *peer) Terms(Path) Terms {
	t := Terms{Proposals: p.terms, OCSP: p.ocsp}
	t.Multiple = p.cfg != nil && p.cfg.asksTwice()
	t.PPK = p.cfg != nil && len(p.cfg.PPKs) > 0
	if p.cfg != nil && p.cfg.Peer.Verifier != nil {
		t.Roots = p.cfg.Peer.Verifier.Roots
	}
	return t
}

func (p *peer) Resolve(c Claim) *Config {
	switch {
	case p.refuse:
		return nil
	case p.choose != nil:
		return p.choose(c)
	}
	return p.cfg
}

// seededReader makes everything random repeatable.
type seededReader struct{ r *rand.ChaCha8 }

func (s seededReader) Read(b []byte) (int, error) { return s.r.Read(b) }

func newSeeded(seed uint64, name string) seededReader {
	var k [32]byte
	copy(k[:], fmt.Sprintf("%020d%s", seed, name))
	return seededReader{rand.NewChaCha8(k)}
}

var (
	addrA = netip.MustParseAddr("192.0.2.1")
	addrB = netip.MustParseAddr("198.51.100.1")
)

// testOptions adjusts the endpoints of a world; nil fields mean the defaults.
type testOptions struct {
	seed   uint64
	cfgA   *Config
	cfgB   *Config
	optB   Options
	termsB []transform.Proposal
	ocspB  bool // B asks for OCSP responses
}

func newWorld(t testing.TB, o testOptions) *world {
	w := &world{t: t, now: time.Unix(1_700_000_000, 0), rng: rand.New(rand.NewPCG(o.seed, 1))}
	mk := func(name string, addr netip.Addr, opt Options, cfg *Config, terms []transform.Proposal) *peer {
		p := &peer{w: w, name: name, addr: addr, cfg: cfg, children: map[uint32]*fakeChild{}, sas: map[*SA]bool{}}
		p.terms = terms
		if cfg != nil && terms == nil {
			p.terms = cfg.Proposals
		}
		opt.Rand = newSeeded(o.seed, name)
		opt.Resolver = p
		p.e = NewEndpoint(opt)
		return p
	}
	if o.cfgA == nil {
		o.cfgA = pskConfig("a")
	}
	if o.cfgB == nil {
		o.cfgB = pskConfig("b")
	}
	w.a = mk("a", addrA, Options{}, o.cfgA, nil)
	w.b = mk("b", addrB, o.optB, o.cfgB, o.termsB)
	w.b.ocsp = o.ocspB
	return w
}

func mustProposals(p transform.Protocol, list ...string) []transform.Proposal {
	got, err := transform.ParseProposals(p, list)
	if err != nil {
		panic(err)
	}
	return got
}

func identity(s string) auth.Identity {
	id, err := auth.ParseIdentity(s)
	if err != nil {
		panic(err)
	}
	return id
}

func nets(list ...string) ts.List {
	var l ts.List
	for _, s := range list {
		l = append(l, ts.FromPrefix(netip.MustParsePrefix(s)))
	}
	return l
}

var testPSK = []byte("correct horse battery staple")

// pskConfig is a site-to-site configuration of side a or b.
func pskConfig(side string) *Config {
	here, there, local, remote := "a.test", "b.test", "10.1.0.0/16", "10.2.0.0/16"
	if side == "b" {
		here, there, local, remote = there, here, remote, local
	}
	return &Config{
		Name:      "net-" + side,
		Local:     LocalAuth{ID: identity(here), PSK: testPSK},
		Peer:      PeerAuth{ID: identity(there), PSK: testPSK},
		Proposals: mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ecp256"),
		Children: []ChildConfig{{
			Name: "net", Local: nets(local), Remote: nets(remote),
			Proposals: mustProposals(transform.ProtoESP, "aes128gcm16-x25519-esn-noesn"),
		}},
		RekeyTime: -1, HardLifetime: -1, LivenessDelay: -1,
	}
}

// connect starts an SA from a.
func (w *world) connect() *SA {
	sa, fx := w.a.e.Initiate(w.a.cfg, w.path(), w.a.clock())
	w.a.do(fx)
	return sa
}

func (w *world) path() Path {
	return Path{Local: netip.AddrPortFrom(w.a.addr, 500), Remote: netip.AddrPortFrom(w.b.addr, 500)}
}

// do performs effects.
func (p *peer) do(fx []Effect) {
	w := p.w
	w.t.Helper()
	for _, x := range fx {
		switch x := x.(type) {
		case Send:
			if x.Keepalive {
				continue
			}
			k := packet{from: x.Path.Local, to: x.Path.Remote, natt: x.NATT, tcp: x.Path.TCP, data: x.Data, at: w.now}
			if p.nat != nil {
				k = p.nat(k)
			}
			w.wire = append(w.wire, k)
			continue
		case Established:
			p.sas[x.SA] = true
		case InstallChild:
			if p.children[x.Child.InSPI] != nil {
				w.t.Errorf("%s: child %08x installed twice", p.name, x.Child.InSPI)
			}
			c := &fakeChild{ChildSA: x.Child, sa: x.SA}
			if old := p.children[x.Replaces]; old != nil {
				c.line = old.line
			} else {
				p.lines++
				c.line = p.lines
			}
			p.children[x.Child.InSPI] = c
			if x.Child.OutboundNow {
				p.activate(c)
			}
		case ActivateChild:
			c := p.children[x.InSPI]
			if c == nil {
				w.t.Errorf("%s: unknown child %08x activated", p.name, x.InSPI)
				break
			}
			p.activate(c)
		case RemoveChild:
			if p.children[x.InSPI] == nil {
				w.t.Errorf("%s: unknown child %08x removed", p.name, x.InSPI)
			}
			delete(p.children, x.InSPI)
		case Replaced:
			if !p.sas[x.Old] {
				w.t.Errorf("%s: unknown SA replaced", p.name)
			}
			p.sas[x.New] = true
			for _, c := range p.children {
				if c.sa == x.Old {
					c.sa = x.New
				}
			}
		case Closed:
			delete(p.sas, x.SA)
			for spi, c := range p.children {
				if c.sa == x.SA {
					w.t.Errorf("%s: child %08x survives its SA", p.name, spi)
				}
			}
		}
		p.effects = append(p.effects, x)
	}
}

// activate moves the outbound traffic of c's line to c.
func (p *peer) activate(c *fakeChild) {
	for _, o := range p.children {
		if o.line == c.line {
			o.active = o == c
		}
	}
}

func (w *world) at(addr netip.Addr) *peer {
	if addr == w.b.addr || slices.Contains(w.b.more, addr) {
		return w.b
	}
	return w.a
}

// deliver hands the i-th packet on the wire to whom it is for.
func (w *world) deliver(i int) {
	k := w.wire[i]
	w.wire = slices.Delete(w.wire, i, i+1)
	w.hand(k)
}

func (w *world) hand(k packet) {
	p := w.at(k.to.Addr())
	p.do(p.e.HandleDatagram(Datagram{Data: bytes.Clone(k.data), Local: k.to, Remote: k.from, NATT: k.natt, TCP: k.tcp}, p.clock()))
}

// flush delivers everything in order until the wire is quiet.
func (w *world) flush() {
	for n := 0; len(w.wire) > 0; n++ {
		if n > 2000 {
			w.t.Fatal("the peers talk without end")
		}
		w.deliver(0)
	}
}

// lose forgets what is on the wire.
func (w *world) lose() { w.wire = nil }

// advance lets time pass, and timers fire in order; between them everything
// on the wire arrives unless lossy says otherwise.
func (w *world) advance(d time.Duration) {
	w.flush()
	w.run(d, w.flush)
}

func (w *world) run(d time.Duration, between func()) {
	end := w.now.Add(d)
	for n := 0; ; n++ {
		if n > 100000 {
			w.t.Fatal("timers without end")
		}
		next := w.a.timeout()
		if x := w.b.timeout(); next.IsZero() || !x.IsZero() && x.Before(next) {
			next = x
		}
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(w.now) {
			w.now = next
		}
		w.a.do(w.a.e.HandleTimeout(w.a.clock()))
		w.b.do(w.b.e.HandleTimeout(w.b.clock()))
		between()
	}
	w.now = end
}

// effect returns the last effect of a type.
func effect[T Effect](p *peer) (T, bool) {
	for i := len(p.effects) - 1; i >= 0; i-- {
		if x, ok := p.effects[i].(T); ok {
			return x, true
		}
	}
	var zero T
	return zero, false
}

func count[T Effect](p *peer) int {
	n := 0
	for _, x := range p.effects {
		if _, ok := x.(T); ok {
			n++
		}
	}
	return n
}

// closed returns the failure with which the last SA closed.
func (p *peer) closed() *Failure {
	x, ok := effect[Closed](p)
	if !ok {
		p.w.t.Helper()
		p.w.t.Fatalf("%s: nothing closed", p.name)
	}
	var f *Failure
	errors.As(x.Err, &f)
	return f
}

// one returns the only established SA of a peer.
func (p *peer) one() *SA {
	p.w.t.Helper()
	var found *SA
	for _, sa := range p.e.SAs() {
		if sa.state == StateUp {
			if found != nil {
				p.w.t.Fatalf("%s: more than one SA is up", p.name)
			}
			found = sa
		}
	}
	if found == nil {
		p.w.t.Fatalf("%s: no SA is up", p.name)
	}
	return found
}

// up connects, and checks that both ends agree.
func (w *world) up() (*SA, *SA) {
	w.t.Helper()
	w.connect()
	w.flush()
	w.agree()
	return w.a.one(), w.b.one()
}

// agree checks that both ends hold the same SAs with the same keys, and that
// each has exactly one Child SA of each kind to send on.
func (w *world) agree() {
	w.t.Helper()
	a, b := w.a.one(), w.b.one()
	if a.spiLocal != b.spiRemote || a.spiRemote != b.spiLocal {
		w.t.Fatalf("SPIs %x %x and %x %x", a.spiLocal, a.spiRemote, b.spiLocal, b.spiRemote)
	}
	if !bytes.Equal(a.keys.d, b.keys.d) {
		w.t.Fatal("different keys")
	}
	if len(w.a.children) != len(w.b.children) {
		w.t.Fatalf("%d children and %d", len(w.a.children), len(w.b.children))
	}
	w.mirror(w.a, w.b)
	w.mirror(w.b, w.a)
	if len(w.a.e.reserved)+len(w.b.e.reserved) != 0 {
		w.t.Errorf("SPIs are still reserved: %v %v", w.a.e.reserved, w.b.e.reserved)
	}
}

// mirror checks that p's children are q's the other way round.
func (w *world) mirror(p, q *peer) {
	w.t.Helper()
	active := 0
	for _, c := range p.children {
		d := q.children[c.OutSPI]
		if d == nil || d.OutSPI != c.InSPI {
			w.t.Fatalf("%s: child %08x %08x has no mirror", p.name, c.InSPI, c.OutSPI)
		}
		if !bytes.Equal(c.KeyIn, d.KeyOut) || !bytes.Equal(c.KeyOut, d.KeyIn) || bytes.Equal(c.KeyIn, c.KeyOut) {
			w.t.Fatalf("%s: keys of child %08x do not fit", p.name, c.InSPI)
		}
		if fmt.Sprint(c.Local) != fmt.Sprint(d.Remote) || c.Suite != d.Suite {
			w.t.Fatalf("%s: child %08x: %v %v and %v %v", p.name, c.InSPI, c.Local, c.Suite, d.Remote, d.Suite)
		}
		if c.active {
			active++
		}
	}
	type line struct {
		name     string
		resource int
	}
	names := map[line]bool{}
	for _, c := range p.children {
		names[line{c.Name, c.Resource}] = true
	}
	if active != len(names) {
		w.t.Fatalf("%s: %d of %d children carry traffic, want %d", p.name, active, len(p.children), len(names))
	}
}

// story is what happened at a peer, for failures.
func (p *peer) story() string {
	var b bytes.Buffer
	for _, x := range p.effects {
		switch x := x.(type) {
		case Log:
			fmt.Fprintf(&b, "%s: %s\n", p.name, x.Text)
		case Closed:
			fmt.Fprintf(&b, "%s: closed: %v\n", p.name, x.Err)
		case InstallChild:
			fmt.Fprintf(&b, "%s: install %08x for %08x, outbound %v\n", p.name, x.Child.InSPI, x.Replaces, x.Child.OutboundNow)
		case ActivateChild:
			fmt.Fprintf(&b, "%s: activate %08x\n", p.name, x.InSPI)
		case RemoveChild:
			fmt.Fprintf(&b, "%s: remove %08x, %v\n", p.name, x.InSPI, x.Err)
		default:
			fmt.Fprintf(&b, "%s: %T\n", p.name, x)
		}
	}
	return b.String()
}

// forge makes an unprotected answer to the last packet on the wire.
func (w *world) forge(k packet, payloads ...message.Payload) packet {
	h, err := message.ParseHeader(k.data)
	if err != nil {
		w.t.Fatal(err)
	}
	m := message.Message{Header: h, Payloads: payloads}
	m.Flags = message.FlagResponse
	b, err := m.AppendTo(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return packet{from: k.to, to: k.from, natt: k.natt, data: b}
}
