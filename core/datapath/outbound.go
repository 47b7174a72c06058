package datapath

import (
	"sync"
	"time"

	"sallyport/core/esp"
	"sallyport/core/host"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/spd"
)

const (
	// tunRead is the longest read from a TUN: a super-packet and its header.
	tunRead = host.VNetLen + 65535
	// maxBurst bounds how many waiting packets are taken from the TUN before
	// the lock is let go.
	maxBurst = 128
	// maxHeader is the longest IP and transport header of a super-packet.
	maxHeader = 256
	// flowCacheLen is the size of a flow cache, a power of two.
	flowCacheLen = 512
	// minMTU4 is what every IPv4 link carries (RFC 791): inner packets are
	// never cut smaller.
	minMTU4 = 68
)

// outbound is the way from the TUN to the sockets.
type outbound struct {
	d *Datapath

	// mu guards the fields of the first paragraph, and who holds it may use ctl:
	// to send what waited for an SA.
	mu     sync.Mutex
	groups map[uint32]*group
	staged int // bytes that wait in all groups
	ctl    lane

	hosts hosts
	icmp  icmpLimiter
	lanes []*lane // that read the TUN
}

// A lane is what one goroutine needs on the way out.
type lane struct {
	*outbound
	cache    [flowCacheLen]outFlow
	buf      []byte // that the TUN is read to
	batch    batch
	scratch  esp.Scratch
	icmpBuf  [host.VNetLen + minMTU6]byte
	frame    [maxHeader]byte // the header that each segment begins with
	fragment [60]byte        // the header that each fragment begins with
	events   []Event
	lone     bool // the last burst was one packet

	place // among the lanes

	drops drops
}

// An outFlow remembers what the SPD says about a flow.
type outFlow struct {
	flow   ippkt.Flow
	hash   uint64  // of flow
	policy *policy // that said so; nil: the slot is free
	group  *group  // of a flow to protect
	drop   Drop    // why not, when group is nil
	// serial is of the SA whose selectors were last checked, allowed what
	// they said.
	serial  uint64
	allowed bool
}

func (o *outbound) init(d *Datapath, lanes int) {
	o.d = d
	o.groups = make(map[uint32]*group)
	o.ctl.outbound = o
	for range lanes {
		o.lanes = append(o.lanes, &lane{outbound: o})
	}
}

// unlock lets go of mu and then tells what happened under it.
func (o *outbound) unlock() {
	events := o.ctl.events
	o.ctl.events = nil
	o.ctl.batch.buf = nil // seldom needed
	o.mu.Unlock()
	for _, e := range events {
		o.d.cfg.Notify(e)
	}
}

// burst reads t and handles what is there, until it fails or somebody else
// reads it.
func (o *lane) burst(t *device) error {
	if o.buf == nil {
		// Seal puts its trailer behind the payload.
		o.buf = make([]byte, tunRead+esp.MaxTrailer)
	}
	n, err := t.Read(o.buf[:tunRead])
	if err != nil {
		return err
	}
	o.enter()
	i := 0
	for ; n > 0 && err == nil; i++ {
		o.packet(t, o.buf[:n])
		if !o.leads || t.try == nil || i == maxBurst {
			break
		}
		if o.lone && i == 0 {
			o.flush() // another one would be a surprise
		}
		n, err = t.try.TryRead(o.buf[:tunRead])
	}
	o.lone = i == 1
	o.flush()
	o.leave()
	o.tell()
	return err
}

// tell tells what happened.
func (o *lane) tell() {
	for _, e := range o.events {
		o.d.cfg.Notify(e)
	}
	clear(o.events)
	o.events = o.events[:0]
}

// packet handles a packet or super-packet b with its virtio-net header. b has
// esp.MaxTrailer bytes of capacity beyond its length.
func (o *lane) packet(t *device, b []byte) {
	if len(b) < host.VNetLen {
		o.drops.add(OutMalformed, 1)
		return
	}
	var p ippkt.Packet
	if p.Parse(b[host.VNetLen:]) != nil {
		o.drops.add(OutMalformed, 1)
		return
	}
	f := o.lookup(&p.Flow)
	if f.group == nil {
		o.drops.add(f.drop, 1)
		return
	}
	sa := f.group.sas.Active(f.hash)
	if sa == nil {
		if f, sa = o.wait(f, &p, b); sa == nil {
			return
		}
	}
	if f.serial != sa.Serial {
		f.serial, f.allowed = sa.Serial, sa.Outbound.Match(&p.Flow)
	}
	if !f.allowed {
		o.drops.add(OutSelectors, 1)
		return
	}
	o.protect(t, sa, &p, b)
}

// lookup finds what the SPD says about a flow.
func (o *lane) lookup(flow *ippkt.Flow) *outFlow {
	policy := o.d.policy.Load()
	hash := flow.Hash()
	f := &o.cache[hash%flowCacheLen]
	if f.policy == policy && f.flow == *flow {
		return f
	}
	*f = outFlow{flow: *flow, hash: hash, policy: policy}
	if f.group = o.hosts.lookup(flow); f.group != nil {
		return f
	}
	action, i := policy.Lookup(flow)
	switch {
	case i < 0:
		f.drop = OutNoPolicy
	case action == spd.Protect:
		f.group = policy.groups[i]
	case action == spd.Bypass:
		// The routes decide what enters the tunnel; from here there is no way
		// out in clear text.
		f.drop = OutBypass
	default:
		f.drop = OutDiscard
	}
	return f
}

// protect seals a packet or the segments of a super-packet on sa.
func (o *lane) protect(t *device, sa *sad.SA, p *ippkt.Packet, b []byte) {
	h := parseVNet(b)
	pkt := b[host.VNetLen:][:p.Len]
	path := sa.Path()
	sa.Out.Lock()
	if sa.Out.Spent() {
		sa.Out.Unlock()
		o.drops.add(OutHardLimit, 1)
		return
	}
	j := job{sa: sa, path: path, tos: p.TOS, next: nextHeader(p.Flow.V6)}
	if o.d.cfg.HideDSCP {
		j.tos &= ecnMask
	}
	j.fit = max(sa.Out.Sealer.MaxInner(min(path.OuterMTU()-outerLen(path.V6()), maxDatagram)), minMTU4)
	j.mtu = j.fit
	if p.Flow.V6 {
		// Every IPv6 link carries 1280: if need be, the outer packet is
		// fragmented (RFC 2473, section 7.1).
		j.mtu = max(j.mtu, minMTU6)
	}
	o.share(&j, h, p, pkt)
	switch {
	case h.gso == gsoNone:
		o.plain(t, &j, h, p, pkt)
	case p.Fragment:
		o.drops.add(OutMalformed, 1)
	case h.gso == gsoTCPv4 || h.gso == gsoTCPv6:
		o.segmentTCP(t, &j, int(h.gsoSize), p, pkt)
	case h.gso == gsoUDP:
		o.segmentUDP(t, &j, int(h.gsoSize), p, pkt)
	default:
		o.drops.add(OutMalformed, 1)
	}
	if !j.reserved {
		o.count(&j)
		sa.Out.Unlock()
	}
}

// count adds a job's counts to the SA's, which is locked.
func (o *lane) count(j *job) {
	sa := j.sa
	switch sa.CountOut(j.packets, j.bytes) {
	case sad.SoftLimit:
		o.event(Event{Kind: SoftLifetime, Group: sa.Group.ID, InSPI: sa.InSPI, Outbound: true})
	case sad.HardLimit:
		o.event(Event{Kind: HardLifetime, Group: sa.Group.ID, InSPI: sa.InSPI, Outbound: true})
	}
}

// plain seals one packet that stands alone.
func (o *lane) plain(t *device, j *job, h vnet, p *ippkt.Packet, pkt []byte) {
	if h.flags&vnetNeedsChecksum != 0 && !h.complete(pkt) {
		o.drops.add(OutMalformed, 1)
		return
	}
	if p.Len > j.mtu {
		if p.DontFragment {
			o.tooBig(t, p, pkt, j.mtu)
			return
		}
		o.fragments(j, pkt, 0, p.Len)
		return
	}
	if p.Flow.Proto == ippkt.ProtoTCP && p.First && isSYN(pkt[p.L4:]) {
		clampMSS(pkt[p.L4:], min(j.fit, segmentFit(j.sa, j.path)), ipLen(p.Flow.V6))
	}
	o.seal(j, pkt, 0, p.Len)
}

func isSYN(tcp []byte) bool { return len(tcp) >= ippkt.TCPLen && tcp[13]&ippkt.SYN != 0 }

// ipLen returns the length of an IP header without options.
func ipLen(v6 bool) int {
	if v6 {
		return ippkt.IPv6Len
	}
	return ippkt.IPv4Len
}

// nextHeader returns what an ESP trailer calls an inner packet.
func nextHeader(v6 bool) uint8 {
	if v6 {
		return ippkt.ProtoIPv6
	}
	return ippkt.ProtoIPv4
}

func (o *lane) event(e Event) { o.events = append(o.events, e) }

// A limiter is a token bucket.
type limiter struct {
	tokens float64
	last   time.Time
}

// allow takes a token, of which there are burst at most and rate more each
// second.
func (l *limiter) allow(now time.Time, rate, burst float64) bool {
	if l.last.IsZero() {
		l.tokens = burst
	} else if d := now.Sub(l.last).Seconds(); d > 0 {
		l.tokens = min(burst, l.tokens+d*rate)
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
