package engine

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/internal/simnet"
)

var (
	stormSeeds = flag.Int("storm.seeds", 40, "seeds of TestEngineStorm")
	stormFrom  = flag.Int64("storm.from", 0, "the first of them")
	stormSeed  = flag.Int64("storm.seed", -1, "the one seed of TestEngineStorm to run")
)

// TestEngineStorm takes two whole services through what networks and machines do:
// loss and new orders, NATs that forget, ways that break in one direction, UDP or
// TCP that is blocked, other networks, sleep, stops, crashes, and users who change
// their mind. In between, and in the end, the weather is fine for a while: then
// both must come to the same SAs in bounded time, and carry packets both ways. At
// no time may what is to be protected be seen, or be let out, and at the end
// nothing may be left: no SA, no address, no connection, no goroutine.
//
// A seed makes the same things happen again; the order in which goroutines hear of
// them is Go's.
func TestEngineStorm(t *testing.T) {
	if *stormSeed >= 0 {
		engineStorm(t, uint64(*stormSeed))
		return
	}
	begun := time.Now()
	for i := range *stormSeeds {
		engineStorm(t, uint64(*stormFrom)+uint64(i)) // ends the test when it fails
		if n := i + 1; n%500 == 0 {
			fmt.Fprintf(os.Stderr, "%d seeds without a failure in %v\n", n, time.Since(begun).Round(time.Second))
		}
	}
}

// How long the ends may take, once the weather is fine, to be connected and of one
// mind: for the retransmissions of a dead request, a liveness check of what the
// other end has forgotten, and the longest wait between two attempts.
const stormPatience = 3 * time.Minute

// marker is in each packet that the tunnel carries: it is to be seen nowhere else.
const marker = "for nobody's eyes"

// A storm is one under way.
type storm struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	net     *simnet.Net
	nat     *simnet.NAT
	client  *stormEnd
	gateway *stormEnd
	mode    api.Profile
	tcp     bool // the gateway takes TCP
	wanted  bool // by the user
	packets int
	// resources is how many Child SAs for resources there are at most.
	resources int

	seen  atomic.Bool // the marker, on the wire
	story []string
	begun time.Time
}

// A stormEnd is a machine, and the service that runs on it.
type stormEnd struct {
	name   string
	m      *hosttest.Machine
	h      *simnet.Host
	e      *Engine
	seed   uint64
	lives  int // how often the service was started
	cancel context.CancelFunc
	done   chan error
	freeze atomic.Int64 // for how long the loop is to stand still
	slept  atomic.Int64 // as the machine counts
}

func (x *stormEnd) start() {
	var ctx context.Context
	ctx, x.cancel = context.WithCancel(context.Background())
	x.lives++
	var seed [32]byte
	copy(seed[:], fmt.Sprint(x.seed, x.name, x.lives))
	x.e, x.done = New(Options{Host: x.m.System(), Version: "test", Rand: rand.NewChaCha8(seed)}), make(chan error, 1)
	go func() { x.done <- x.e.Run(ctx) }()
	synctest.Wait()
}

func (x *stormEnd) stop() error {
	x.cancel()
	return <-x.done
}

func (s *storm) newEnd(name string, addr netip.Addr, file, text string) *stormEnd {
	x := &stormEnd{name: name, seed: s.seed, h: s.net.Host(addr, netip.Addr{})}
	x.m = hosttest.NewMachine(x.h.OpenUDP, x.h.Source)
	x.m.DialTCP, x.m.ListenTCP = x.h.DialTCP, x.h.ListenTCP
	x.m.Slept = func() time.Duration {
		if d := time.Duration(x.freeze.Swap(0)); d > 0 {
			time.Sleep(d)
		}
		return time.Duration(x.slept.Load())
	}
	x.m.Profiles.Write(file+".toml", []byte(text))
	x.m.Secrets.Write(file+"+psk", []byte("correct horse battery staple"))
	x.start()
	return x
}

// profiles returns what the ends are configured with.
func (s *storm) profiles() (client, gateway string) {
	pick := func(list ...string) string { return list[s.rng.IntN(len(list))] }
	s.mode = api.Profile(pick("respond", "request", "require", "require"))
	top := fmt.Sprintf("profile = %q\ntransport = %q\n", s.mode, pick("auto", "auto", "auto", "udp"))
	var ends [2]string
	for i := range ends {
		ike := "liveness_delay = \"10s\"\nquantum = " + pick(`"off"`, `"off"`, `"prefer"`) + "\n" // ML-KEM costs most
		ike += pick("", "", "", "mobike = \"never\"\n") + pick("", "", "no_resume = true\n")
		ike += pick("", "rekey_time = \"50s\"\n", "rekey_time = \"50s\"\nreauth_time = \"130s\"\n", "reauth_time = \"70s\"\n")
		if i == 0 {
			ike += pick("", "", "childless = true\n")
		} else {
			ike += pick("", "check_path = true\n")
		}
		ends[i] = "[ike]\n" + ike + "\n[local]"
	}
	child := pick("", "rekey_time = \"20s\"\n", "rekey_packets = 1000\n")
	second := pick("", "\n[[children]]\nname = \"second\"\nremote_ts = [\"10.11.0.0/16\"]\n")
	client = strings.NewReplacer("gateways", top+"gateways", "[local]", ends[0], "[[children]]\n", "[[children]]\n"+child).Replace(clientProfile) + second
	s.tcp = s.rng.IntN(3) > 0
	top = "role ="
	if s.tcp {
		top = "tcp_ports = [\"4500\"]\nrole ="
	}
	gateway = strings.NewReplacer("role =", top, "[local]", ends[1], "[[children]]\n", "[[children]]\n"+pick("", "rekey_time = \"25s\"\n")).Replace(gatewayProfile)
	if second != "" {
		gateway = strings.Replace(gateway, "[[pools]]", "[[children]]\nname = \"second\"\nlocal_ts = [\"10.11.0.0/16\"]\n\n[[pools]]", 1)
	}
	return client, gateway
}

func engineStorm(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &storm{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), net: simnet.New(seed), begun: time.Now()}
		client, gateway := s.profiles()
		if seed%5 == 4 {
			s.resources = 2
			client, gateway = withResources(client, 2), withResources(gateway, 2)
		}
		s.nat = s.net.NAT(netip.MustParseAddr("203.0.113.99"), 90*time.Second)
		s.net.SetTap(func(p simnet.Packet) bool { s.look(p.Data); return true })
		s.net.TapTCP(s.look)
		s.gateway = s.newEnd("gateway", gatewayAddr, "workers", gateway)
		s.client = s.newEnd("client", clientAddr, "office", client)
		defer func() {
			if t.Failed() {
				t.Logf("failed with -run TestEngineStorm -storm.seed %d\n%s\n%s\n%s", seed, client, gateway, strings.Join(s.story, "\n"))
				s.logs()
			}
			for _, x := range []*stormEnd{s.client, s.gateway} {
				if err := x.stop(); err != nil {
					t.Errorf("%s: %v", x.name, err)
				}
			}
		}()
		s.connect()
		for range 2 {
			for range 5 + s.rng.IntN(20) {
				if s.step(); t.Failed() {
					return
				}
			}
			if s.calm(); t.Failed() {
				return
			}
		}
		s.leave()
	})
}

// look watches the wire.
func (s *storm) look(b []byte) {
	if bytes.Contains(b, []byte(marker)) {
		s.seen.Store(true)
	}
}

// tell writes the story down.
func (s *storm) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("%8.2fs ", time.Since(s.begun).Seconds())+fmt.Sprintf(format, args...))
}

func (s *storm) logs() {
	for _, x := range []*stormEnd{s.client, s.gateway} {
		log, _ := x.e.Log(context.Background(), 400)
		for _, l := range log {
			s.t.Logf("%s %8.2fs %s", x.name, l.Time.Sub(s.begun).Seconds(), l.Text)
		}
	}
}

// step lets one thing happen, and some time pass.
func (s *storm) step() {
	if s.seed%3 == 1 && s.rng.IntN(10) == 0 {
		s.endChildren()
	}
	switch n := s.rng.IntN(100); {
	case n < 22:
		s.tell("%d packets", s.talk())
	case n < 34:
		s.faults()
	case n < 48:
		s.move()
	case n < 54:
		s.tell("the NAT forgets")
		s.nat.Forget()
	case n < 66:
		s.cut()
	case n < 72:
		s.tell("%d TCP connections break", s.net.BreakTCP())
	case n < 80:
		s.sleep()
	case n < 86:
		x := s.client
		if s.rng.IntN(2) == 0 {
			x = s.gateway
		}
		s.restart(x)
	case n < 90:
		s.change()
	default:
		s.talk()
		d := time.Duration(s.rng.IntN(120)) * time.Second
		s.tell("%v pass", d)
		s.pass(d)
	}
	s.pass(time.Duration(s.rng.IntN(int(4 * time.Second))))
}

// pass lets time pass, while what may be let out is watched.
func (s *storm) pass(d time.Duration) {
	for d > 0 && !s.t.Failed() {
		part := min(d, time.Second)
		time.Sleep(part)
		d -= part
		s.watch()
	}
}

// watch checks what holds at any time.
func (s *storm) watch() {
	if s.seen.Load() {
		s.t.Errorf("what the tunnel carries was seen on the wire")
	}
	if a := action(s.client.m, "10.10.0.10"); s.wanted && s.mode == api.Require && a != host.FirewallTunnelOnly && a != host.FirewallDrop {
		s.t.Errorf("%v after the start the firewall lets out what requires protection: %v", time.Since(s.begun), a)
	}
	for _, x := range []*stormEnd{s.client, s.gateway} {
		s.drain(x)
	}
}

// drain takes what arrived, which nobody waits for.
func (s *storm) drain(x *stormEnd) {
	for t := x.m.TUN(); t != nil; {
		select {
		case <-t.Out:
		default:
			return
		}
	}
}

// talk sends packets both ways, whatever becomes of them.
func (s *storm) talk() int {
	n := 1 + s.rng.IntN(20)
	for i := range n {
		text := fmt.Sprint(marker, i)
		if t := s.client.m.TUN(); t != nil {
			t.InjectPacket(udp4("10.20.0.1", "10.10.0.10", text))
		}
		if t := s.gateway.m.TUN(); t != nil {
			t.InjectPacket(udp4("10.10.0.10", "10.20.0.1", text))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

func (s *storm) faults() {
	f := simnet.Faults{Delay: time.Duration(s.rng.IntN(100)) * time.Millisecond, Jitter: time.Duration(s.rng.IntN(200)) * time.Millisecond}
	if s.rng.IntN(2) == 0 {
		f.Loss, f.Repeat = float64(s.rng.IntN(40))/100, float64(s.rng.IntN(20))/100
	}
	s.tell("the network: %+v", f)
	s.net.SetFaults(f)
}

var stormInside = netip.MustParseAddr("192.168.1.2")

// move takes the client elsewhere; sometimes nobody tells it.
func (s *storm) move() {
	switch s.rng.IntN(4) {
	case 0:
		s.client.h.Readdress(clientAddr, netip.Addr{})
	case 1:
		s.client.h.Readdress(elsewhere, netip.Addr{})
	case 2:
		s.client.h.Enter(s.nat, stormInside, netip.Addr{})
	default:
		s.client.h.Readdress(netip.Addr{}, netip.Addr{})
	}
	at, _ := s.client.h.Source(gatewayAddr)
	told := s.rng.IntN(6) > 0
	s.tell("the client is at %v, told %v", at, told)
	if told {
		s.client.m.NetworkChanged()
	}
}

// cut breaks the way, in some way.
func (s *storm) cut() {
	n := s.rng.IntN(6)
	toGateway := func(to netip.AddrPort) bool { return to.Addr() == gatewayAddr }
	cuts := []struct {
		what string
		cut  func(from, to netip.AddrPort, tcp bool) bool
	}{
		{"healed", nil},
		{"everything", func(_, _ netip.AddrPort, _ bool) bool { return true }},
		{"UDP", func(_, _ netip.AddrPort, tcp bool) bool { return !tcp }},
		{"TCP", func(_, _ netip.AddrPort, tcp bool) bool { return tcp }},
		{"to the gateway", func(_, to netip.AddrPort, _ bool) bool { return toGateway(to) }},
		{"from the gateway", func(_, to netip.AddrPort, _ bool) bool { return !toGateway(to) }},
	}
	s.tell("cut: %s", cuts[n].what)
	s.net.Cut(cuts[n].cut)
}

// endChildren lets the gateway delete its Child SAs, or the lifetime of those of the
// client be over.
func (s *storm) endChildren() {
	x, end := s.gateway, func(e *Engine, spi uint32) { e.perform(e.ep.CloseChild(spi, time.Now())) }
	if s.rng.IntN(3) == 0 {
		x, end = s.client, func(e *Engine, spi uint32) { e.perform(e.ep.ExpireChild(spi, time.Now())) }
	}
	one := s.rng.IntN(2) == 0
	s.tell("the %s ends its Child SAs, one alone %v", x.name, one)
	if err := x.e.call(context.Background(), func() {
		for _, spi := range slices.Sorted(maps.Keys(x.e.kids.bySPI)) {
			if k := x.e.kids.bySPI[spi]; k != nil && !k.retired {
				if end(x.e, spi); one {
					return
				}
			}
		}
	}); err != nil {
		s.t.Error(err)
	}
}

// sleep stops a machine, and with it its clock or not, as systems differ.
func (s *storm) sleep() {
	d := time.Duration(1+s.rng.IntN(240)) * time.Second
	if s.rng.IntN(4) == 0 {
		d *= 15
	}
	counts := s.rng.IntN(2) == 0
	s.tell("the client sleeps for %v, and knows: %v", d, counts)
	x := s.client
	x.h.SetDown(true)
	x.freeze.Store(int64(d))
	if err := x.e.call(context.Background(), func() {}); err != nil {
		s.t.Error(err)
	}
	s.pass(d)
	if counts {
		x.slept.Add(int64(d))
	}
	x.h.SetDown(false)
	if s.rng.IntN(2) == 0 {
		x.m.NetworkChanged()
	}
	synctest.Wait()
}

// restart ends a service, in good order or not, and starts it again.
func (s *storm) restart(x *stormEnd) {
	killed := s.rng.IntN(2) == 0
	d := time.Duration(s.rng.IntN(20)) * time.Second
	s.tell("the %s stops, killed %v, for %v", x.name, killed, d)
	restore := func() {}
	if killed {
		restore = x.m.Kept()
		x.h.SetDown(true)
	}
	if err := x.stop(); err != nil {
		s.t.Errorf("%s: %v", x.name, err)
	}
	restore()
	s.pass(d)
	x.h.SetDown(false)
	x.start()
	if x == s.client && s.mode == api.Respond {
		s.wanted = false // it begins nothing by itself
	}
	s.tell("the %s runs", x.name)
}

// change lets the user do something.
func (s *storm) change() {
	if s.rng.IntN(2) == 0 {
		s.tell("disconnect")
		s.wanted = false
		if err := s.client.e.Disconnect(context.Background(), "office"); err != nil {
			s.t.Error(err)
		}
		return
	}
	s.connect()
}

// connect is the user's wish, whatever it leads to.
func (s *storm) connect() {
	s.tell("connect")
	err := s.client.e.Connect(context.Background(), api.ConnectRequest{Name: "office"})
	if ae := new(api.Error); err != nil && !(errors.As(err, &ae) && ae.Code == api.CodeBusy) {
		s.t.Error(err)
	}
	s.wanted = err == nil
}

// calm lets the weather be fine, and checks that both ends come to the same, and
// stay so.
func (s *storm) calm() {
	s.net.Cut(nil)
	s.net.SetFaults(simnet.Faults{Delay: 5 * time.Millisecond})
	switch s.rng.IntN(3) {
	case 0:
		s.client.h.Readdress(clientAddr, netip.Addr{})
	case 1:
		s.client.h.Enter(s.nat, stormInside, netip.Addr{})
	}
	if _, err := s.client.h.Source(gatewayAddr); err != nil {
		s.client.h.Readdress(elsewhere, netip.Addr{})
	}
	s.client.m.NetworkChanged()
	at, _ := s.client.h.Source(gatewayAddr)
	s.tell("calm: the client is at %v", at)
	synctest.Wait()
	begun := time.Now()
	for {
		if connection(s.t, s.client.e).State == api.Disconnected {
			s.connect()
		}
		if s.pass(time.Second); s.t.Failed() {
			return
		}
		why := s.disagreement()
		if why == "" {
			break
		}
		if time.Since(begun) > stormPatience {
			s.t.Errorf("after %v of fine weather: %s", stormPatience, why)
			return
		}
	}
	s.tell("of one mind after %v", time.Since(begun))
	for i := range 4 {
		if i == 0 {
			s.carries(30) // until a request is repeated that the gateway asks with where the client is
		} else {
			s.carries(1)
		}
		if s.t.Failed() {
			return
		}
		s.pass(time.Duration(s.rng.IntN(20)) * time.Second)
		for range 10 { // a rekey under way ends
			if why := s.disagreement(); why == "" {
				break
			}
			s.pass(500 * time.Millisecond)
		}
	}
	if why := s.disagreement(); why != "" {
		s.t.Errorf("in fine weather: %s", why)
	}
}

// holds is what an end has.
type stormHolds struct {
	ike    map[string]bool // of SPIs, the initiator's first
	child  map[string]bool // of SPIs, the initiator's inbound first
	other  string
	leases int
}

func (x *stormEnd) holds() (h stormHolds, err error) {
	h.ike, h.child = make(map[string]bool), make(map[string]bool)
	err = x.e.call(context.Background(), func() {
		e := x.e
		d := e.dynamic()
		for _, i := range d.IKESAs {
			key := i.LocalSPI + i.RemoteSPI
			if !i.Initiator {
				key = i.RemoteSPI + i.LocalSPI
			}
			h.ike[key] = true
		}
		for _, c := range d.ChildSAs {
			key := c.InSPI + c.OutSPI
			if x.name == "gateway" {
				key = c.OutSPI + c.InSPI
			}
			if c.State == "installed" {
				h.child[key] = true
			}
		}
		for _, p := range e.pools {
			h.leases += p.Leased()
		}
		if n := len(e.drains); n > 0 {
			h.other += fmt.Sprintf(" %d drains", n)
		}
		for _, c := range e.conns {
			if c.attempt != nil {
				h.other += " an attempt"
			}
		}
	})
	return h, err
}

// disagreement says what is not yet as it must become.
func (s *storm) disagreement() string {
	c, err := s.client.holds()
	g, err2 := s.gateway.holds()
	if err := errors.Join(err, err2); err != nil {
		return err.Error()
	}
	conn := connection(s.t, s.client.e)
	children := strings.Count(string(s.client.e.conns["office"].text), "[[children]]")
	switch {
	case conn.State != api.Connected:
		return fmt.Sprintf("the client is %s: %v", conn.State, conn.Problem)
	case fmt.Sprint(c.ike) != fmt.Sprint(g.ike) || len(c.ike) != 1:
		return fmt.Sprintf("IKE SAs %v and %v", c.ike, g.ike)
	case fmt.Sprint(c.child) != fmt.Sprint(g.child) || len(c.child) < children || len(c.child) > children+s.resources:
		return fmt.Sprintf("Child SAs %v and %v, want %d", c.child, g.child, children)
	case g.leases != 2:
		return fmt.Sprintf("%d addresses are lent", g.leases)
	case c.other+g.other != "":
		return "left: " + c.other + g.other
	}
	return ""
}

// carries sends a packet each way to each network, so often until it arrives.
func (s *storm) carries(tries int) {
	inside := connection(s.t, s.client.e).Addresses
	if len(inside) == 0 {
		s.t.Error("connected without an address")
		return
	}
	nets := []string{"10.10.0.10", "10.11.0.10"}[:strings.Count(string(s.client.e.conns["office"].text), "[[children]]")]
	for _, there := range nets {
		s.packets++
		text := fmt.Sprint(marker, " ", s.packets)
		for _, x := range []struct {
			from, to *stormEnd
			pkt      []byte
		}{
			{s.client, s.gateway, udp4(inside[0].String(), there, text)},
			{s.gateway, s.client, udp4(there, inside[0].String(), text)},
		} {
			s.drain(x.to)
			if !passes(x.from.m.TUN(), x.to.m.TUN(), x.pkt, tries) {
				s.t.Errorf("%v after the start, connected, and a packet from the %s to %s does not arrive; drops %v at the client, %v at the gateway", time.Since(s.begun), x.from.name, there,
					drops(s.t, s.client.e), drops(s.t, s.gateway.e))
				return
			}
		}
	}
}

// passes sends a packet and waits for it, which others may come before.
func passes(from, to *hosttest.TUN, pkt []byte, tries int) bool {
	for range tries {
		from.InjectPacket(bytes.Clone(pkt))
		late := time.After(400 * time.Millisecond)
		for wait := true; wait; {
			select {
			case got := <-to.Out:
				if bytes.Equal(got[host.VNetLen:], pkt) {
					return true
				}
			case <-late:
				wait = false
			}
		}
	}
	return false
}

// leave ends the tunnel: nothing may be left of it.
func (s *storm) leave() {
	s.tell("the end")
	s.wanted = false
	if err := s.client.e.Disconnect(context.Background(), "office"); err != nil {
		s.t.Error(err)
	}
	s.pass(time.Minute)
	for _, x := range []*stormEnd{s.client, s.gateway} {
		if why := x.leftovers(); why != "" {
			s.t.Errorf("the %s keeps%s", x.name, why)
		}
	}
	if a := action(s.client.m, "10.10.0.10"); a != host.FirewallClear {
		s.t.Errorf("disconnected, and the firewall says %v", a)
	}
}

// leftovers says what an end still has that has nobody.
func (x *stormEnd) leftovers() (out string) {
	add := func(n int, what string) {
		if n != 0 {
			out += fmt.Sprintf(" %d %s", n, what)
		}
	}
	_ = x.e.call(context.Background(), func() {
		e := x.e
		add(len(e.sas), "IKE SAs")
		add(len(e.kids.bySPI), "Child SAs")
		add(len(e.graces), "graces")
		add(len(e.drains), "drains")
		add(len(e.knocks), "knocks")
		add(len(e.probes), "probes")
		add(len(e.checks), "checks")
		add(len(e.relays), "relays")
		add(len(e.prompts), "prompts")
		add(len(e.ready), "things that wait for the host")
		add(len(e.streams.byPath), "TCP connections")
		add(len(e.streams.gateways), "openings for TCP")
		if d := e.streams.door; d != nil {
			d.mu.Lock()
			add(d.strangers, "strangers")
			add(len(d.from), "sources")
			d.mu.Unlock()
		}
		for _, p := range e.pools {
			add(p.Leased(), "leases")
		}
		for _, c := range e.conns {
			add(len(c.policies)+len(c.lending.lent().remote), "policies")
			if c.attempt != nil || c.mending != nil || c.current != nil {
				out += " an attempt or a session"
			}
		}
		if e.net != nil {
			add(len(e.net.dp.SAs().All()), "SAs of the data path")
			add(len(e.ep.SAs()), "IKE SAs of the endpoint")
		}
	})
	return out
}
