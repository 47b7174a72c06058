// Package simnet is a network in memory: hosts with addresses, which move and
// fail, NATs, UDP sockets that fulfil host.UDPConn, TCP, and links that lose,
// repeat, reorder and delay by a seed, or are cut. Under testing/synctest its
// delays take no real time, and a failing seed makes the same things happen again.
package simnet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sallyport/core/host"
)

// A Packet is a datagram on the wire.
type Packet struct {
	From, To netip.AddrPort
	Data     []byte
}

// Faults say what the network does to datagrams. Probabilities are 0 to 1.
type Faults struct {
	Loss, Repeat float64
	Delay        time.Duration // of each datagram
	Jitter       time.Duration // up to this more, by chance: what reorders
}

// A Net is a network that connects all its hosts.
type Net struct {
	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	socks  map[netip.AddrPort]*Conn
	nats   map[netip.Addr]*NAT
	faults Faults
	tap    func(Packet) bool
	cut    func(from, to netip.AddrPort, tcp bool) bool
	tcp    tcp
}

// New returns a network without faults, whose chances follow seed.
func New(seed uint64) *Net {
	return &Net{rng: rand.New(rand.NewPCG(seed, 0)), socks: make(map[netip.AddrPort]*Conn), nats: make(map[netip.Addr]*NAT),
		tcp: tcp{listeners: make(map[netip.AddrPort]*listener), open: make(map[*tcpConn]bool), changed: make(chan struct{})}}
}

// SetFaults replaces the faults.
func (n *Net) SetFaults(f Faults) {
	n.mu.Lock()
	n.faults = f
	n.mu.Unlock()
}

// SetTap shows every datagram to f as it is sent; those for which f returns
// false are lost.
func (n *Net) SetTap(f func(Packet) bool) {
	n.mu.Lock()
	n.tap = f
	n.mu.Unlock()
}

// Cut breaks the network: what f says of two ends, as the network sees them, does
// not pass from the one to the other. TCP waits until it does. nil heals all.
func (n *Net) Cut(f func(from, to netip.AddrPort, tcp bool) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = f
	n.changedLocked()
}

// Inject delivers a datagram that nobody sent, as an attacker on the path can.
func (n *Net) Inject(p Packet) { n.deliver(p) }

// A Host is a machine with an address per family.
type Host struct {
	net *Net
	// The families that it has, with an address now or without.
	has4, has6 bool

	// Guarded by net.mu.
	v4, v6 netip.Addr
	nat    *NAT // that it is behind; nil: none
	down   bool
	socks  []*Conn
}

// Host adds a machine. An invalid address means that it lacks the family.
func (n *Net) Host(v4, v6 netip.Addr) *Host {
	return &Host{net: n, has4: v4.IsValid(), has6: v6.IsValid(), v4: v4, v6: v6}
}

// Readdress gives the host other addresses, as when it moves to another network;
// its sockets stay open. Invalid ones leave it without a network.
func (h *Host) Readdress(v4, v6 netip.Addr) { h.Enter(nil, v4, v6) }

// Enter is Readdress into a network behind a NAT; nil: there is none.
func (h *Host) Enter(nat *NAT, v4, v6 netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	defer h.net.changedLocked()
	h.v4, h.v6, h.nat = v4, v6, nat
	for _, c := range h.socks {
		delete(h.net.socks, c.addr)
		addr := v4
		if c.v6 {
			addr = v6
		}
		c.addr = netip.AddrPortFrom(addr, c.addr.Port())
		if addr.IsValid() {
			h.net.socks[c.addr] = c
		}
	}
}

// SetDown takes the host off the network without a word, as when it has no power,
// or puts it back. Its own programs notice nothing.
func (h *Host) SetDown(down bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down = down
	h.net.changedLocked()
}

// OpenUDP fulfils host.System.
func (h *Host) OpenUDP(v6 bool, port uint16) (host.UDPConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	addr, has := h.v4, h.has4
	if v6 {
		addr, has = h.v6, h.has6
	}
	if !has {
		return nil, fmt.Errorf("simnet: no address of that family")
	}
	taken := func(port uint16) bool {
		return slices.ContainsFunc(h.socks, func(c *Conn) bool { return c.v6 == v6 && c.port == port }) || h.net.socks[netip.AddrPortFrom(addr, port)] != nil
	}
	if port == 0 {
		for port = 40000; taken(port); port++ {
		}
	}
	at := netip.AddrPortFrom(addr, port)
	if taken(port) {
		return nil, fmt.Errorf("simnet: %v: %w", at, host.ErrPortInUse)
	}
	c := &Conn{net: h.net, host: h, v6: v6, port: port, addr: at, in: make(chan Packet, 4096), closed: make(chan struct{})}
	if addr.IsValid() {
		h.net.socks[at] = c
	}
	h.socks = append(h.socks, c)
	return c, nil
}

// Source tells the address that the host reaches dst from.
func (h *Host) Source(dst netip.Addr) (netip.Addr, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	addr := h.v4
	if dst.Unmap().Is6() {
		addr = h.v6
	}
	if !addr.IsValid() {
		return addr, fmt.Errorf("simnet: no route to %v", dst)
	}
	return addr, nil
}

// A Conn is a socket of a host.
type Conn struct {
	net    *Net
	host   *Host
	v6     bool
	port   uint16
	addr   netip.AddrPort // guarded by net.mu
	in     chan Packet
	once   sync.Once
	closed chan struct{}
}

// Recv fulfils host.UDPConn.
func (c *Conn) Recv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	select {
	case p := <-c.in:
		return copy(b, p.Data), 0, p.From, p.To.Addr(), 0, nil
	case <-c.closed:
		return 0, 0, netip.AddrPort{}, netip.Addr{}, 0, net.ErrClosed
	}
}

// Send fulfils host.UDPConn.
func (c *Conn) Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, _ uint8) error {
	if segment == 0 {
		segment = len(b)
	}
	c.net.mu.Lock()
	from, down := c.addr, c.host.down
	if local.IsValid() && local != from.Addr() {
		c.net.mu.Unlock()
		return fmt.Errorf("simnet: %v is no address of this machine", local)
	}
	if nat := c.host.nat; nat != nil && from.Addr().IsValid() && !down {
		from = nat.outLocked(from, remote)
	}
	c.net.mu.Unlock()
	if !from.Addr().IsValid() {
		return fmt.Errorf("simnet: no route to %v", remote)
	}
	if down {
		return nil
	}
	for len(b) > 0 {
		n := min(segment, len(b))
		c.net.send(Packet{from, remote, append([]byte(nil), b[:n]...)})
		b = b[n:]
	}
	return nil
}

// Offload reports that segments are taken.
func (c *Conn) Offload() bool { return true }

// LocalPort returns the socket's port.
func (c *Conn) LocalPort() uint16 { return c.port }

// Close ends the socket.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		if c.net.socks[c.addr] == c {
			delete(c.net.socks, c.addr)
		}
		c.host.socks = slices.DeleteFunc(c.host.socks, func(o *Conn) bool { return o == c })
	})
	return nil
}

// send puts a datagram on the wire.
func (n *Net) send(p Packet) {
	n.mu.Lock()
	tap, f := n.tap, n.faults
	lost := n.rng.Float64() < f.Loss
	copies := 1
	if n.rng.Float64() < f.Repeat {
		copies = 2
	}
	var delays [2]time.Duration
	for i := range copies {
		delays[i] = f.Delay
		if f.Jitter > 0 {
			delays[i] += time.Duration(n.rng.Int64N(int64(f.Jitter)))
		}
	}
	lost = n.cut != nil && n.cut(p.From, p.To, false) || lost
	n.mu.Unlock()
	if tap != nil && !tap(p) || lost {
		return
	}
	for _, d := range delays[:copies] {
		if d == 0 {
			n.deliver(p)
		} else {
			time.AfterFunc(d, func() { n.deliver(p) })
		}
	}
}

func (n *Net) deliver(p Packet) {
	n.mu.Lock()
	cut := n.cut != nil && n.cut(p.From, p.To, false) // since it was sent
	if nat := n.nats[p.To.Addr()]; nat != nil {
		p.To = nat.inLocked(p.From, p.To.Port())
	}
	c := n.socks[p.To]
	if c != nil && c.host.down {
		c = nil
	}
	n.mu.Unlock()
	if c == nil || cut {
		return
	}
	select {
	case c.in <- p:
	default: // a full socket buffer drops, as in life
	}
}

// Reseed starts the chances of the network anew.
func (n *Net) Reseed(seed uint64) {
	n.mu.Lock()
	n.rng = rand.New(rand.NewPCG(seed, 0))
	n.mu.Unlock()
}
