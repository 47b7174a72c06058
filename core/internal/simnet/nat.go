package simnet

import (
	"net/netip"
	"time"
)

// A NAT has one address, and hides hosts with private ones behind it. Each of
// their sockets has one port there, whomever it sends to, and hears only those it
// has sent to (RFC 4787: endpoint-independent mapping, address and port-dependent
// filtering).
type NAT struct {
	net  *Net
	addr netip.Addr
	life time.Duration

	// Guarded by net.mu.
	next uint16
	out  map[netip.AddrPort]*mapping // by the address within
	in   map[uint16]*mapping         // by the port without
	age  int                         // how often it has forgotten all
}

// A mapping is of one socket.
type mapping struct {
	inside netip.AddrPort
	port   uint16
	used   map[netip.AddrPort]time.Time // when something was last sent there
}

// NAT adds a NAT. It forgets who was sent nothing for life.
func (n *Net) NAT(addr netip.Addr, life time.Duration) *NAT {
	nat := &NAT{net: n, addr: addr, life: life, next: 20000}
	nat.clearLocked()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nats[addr] = nat
	return nat
}

// Forget makes the NAT forget everything, as when it is started again: what is
// sent next has another port, and TCP connections lead nowhere.
func (nat *NAT) Forget() {
	nat.net.mu.Lock()
	defer nat.net.mu.Unlock()
	nat.clearLocked()
	nat.net.changedLocked()
}

func (nat *NAT) clearLocked() {
	nat.out, nat.in = make(map[netip.AddrPort]*mapping), make(map[uint16]*mapping)
	nat.age++
}

// outLocked returns what the world sees of a datagram from within.
func (nat *NAT) outLocked(inside, remote netip.AddrPort) netip.AddrPort {
	now := time.Now()
	m := nat.out[inside]
	if m != nil && nat.deadLocked(m, now) {
		delete(nat.out, inside)
		delete(nat.in, m.port)
		m = nil
	}
	if m == nil {
		nat.next++
		m = &mapping{inside: inside, port: nat.next, used: make(map[netip.AddrPort]time.Time)}
		nat.out[inside], nat.in[m.port] = m, m
	}
	m.used[remote] = now
	return netip.AddrPortFrom(nat.addr, m.port)
}

// deadLocked reports whether nothing was sent for too long.
func (nat *NAT) deadLocked(m *mapping, now time.Time) bool {
	for _, t := range m.used {
		if now.Sub(t) < nat.life {
			return false
		}
	}
	return true
}

// inLocked returns whom a datagram is for; invalid: nobody.
func (nat *NAT) inLocked(from netip.AddrPort, port uint16) netip.AddrPort {
	m := nat.in[port]
	if m == nil {
		return netip.AddrPort{}
	}
	if t, ok := m.used[from]; !ok || time.Since(t) >= nat.life {
		return netip.AddrPort{}
	}
	return m.inside
}
