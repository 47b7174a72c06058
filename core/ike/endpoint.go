// Package ike is the IKEv2 engine (RFC 7296): role-neutral and without I/O.
// Datagrams and time go in, effects come out; a loop outside sends, installs
// and shows. The same SA is initiator and responder.
//
// Nothing that is not authenticated changes the state of an established SA.
// Before that, an unprotected error notify is only remembered: the handshake
// goes on, and the notify becomes the cause of the failure when the time is
// over (see Retransmit.Grace).
//
// An Endpoint and its SAs are not for concurrent use.
package ike

import (
	"cmp"
	"container/heap"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/ike/message"
)

// Options are the settings of an Endpoint. The zero value initiates only.
type Options struct {
	Rand     io.Reader // nil: crypto/rand
	Resolver Resolver  // nil: peers may not start an IKE SA with us
	// NATTPort is the local port that IKE shares with ESP; 0: 4500.
	NATTPort uint16
	// MaxHalfOpen bounds the IKE SAs that peers have begun without proving who
	// they are; 0: 512. A single address may hold an eighth of them.
	MaxHalfOpen int
	// CookieThreshold is the number of half-open IKE SAs from which on a peer
	// must return a cookie first (RFC 7296, section 2.6); 0: an eighth of MaxHalfOpen;
	// negative: always.
	CookieThreshold int
	// HalfOpenTimeout is how long a peer may take to prove who it is; 0: 30 s.
	HalfOpenTimeout time.Duration
	// Keepalive is the idle time before a NAT keepalive; 0: 20 s; negative: never.
	Keepalive time.Duration
	// MTU is the largest IP packet that a message is sent in before it is
	// fragmented (RFC 7383), where the peer can; 0: 1280.
	MTU int
	// CrashSecret makes the tokens with which peers learn that we have lost their
	// SAs (RFC 6290). It outlives this Endpoint, and is nobody else's. Empty: none
	// are made.
	CrashSecret []byte
	// Trace asks for a Trace effect with each message.
	Trace bool
}

func (o Options) withDefaults() Options {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	o.NATTPort = cmp.Or(o.NATTPort, 4500)
	o.MaxHalfOpen = cmp.Or(o.MaxHalfOpen, 512)
	switch {
	case o.CookieThreshold == 0:
		o.CookieThreshold = max(1, o.MaxHalfOpen/8)
	case o.CookieThreshold < 0:
		o.CookieThreshold = 0
	}
	o.HalfOpenTimeout = cmp.Or(o.HalfOpenTimeout, 30*time.Second)
	o.Keepalive = orDefault(o.Keepalive, 20*time.Second)
	o.MTU = cmp.Or(o.MTU, 1280)
	return o
}

// An Endpoint owns every IKE SA of a service.
type Endpoint struct {
	opt       Options
	sas       map[uint64]*SA // by local SPI
	timers    timerHeap      // every SA of sas, the next to time out first
	inits     map[initKey]*SA
	halfOpen  halfOpenTable
	known     knownTable
	children  map[uint32]*child   // by inbound SPI
	reserved  map[uint32]struct{} // inbound SPIs on offer
	cookies   cookieJar
	graves    graveyard
	tickets   ticketOffice
	drops     map[string]uint64
	plain     plainTable
	replies   bucket // unprotected answers that hold no state
	doubts    bucket // unprotected INVALID_SPI that are looked into
	coming    coming
	incoming  incoming
	addresses []netip.Addr // of this machine, see SetAddresses
	strangers bucket       // traces of what strangers send
	touched   []*SA        // to settle at the end of the call
	effects   []Effect
}

// NewEndpoint returns an Endpoint without SAs.
func NewEndpoint(o Options) *Endpoint {
	o = o.withDefaults()
	return &Endpoint{
		opt:      o,
		sas:      make(map[uint64]*SA),
		inits:    make(map[initKey]*SA),
		known:    make(knownTable),
		halfOpen: halfOpenTable{max: o.MaxHalfOpen, sources: make(map[netip.Addr]int)},
		children: make(map[uint32]*child),
		reserved: make(map[uint32]struct{}),
		graves:   graveyard{bySPI: make(map[uint64]*grave)},
		drops:    make(map[string]uint64),
		plain:    make(plainTable),
	}
}

// Initiate starts an IKE SA. The SA is never nil; where it cannot even begin,
// the effects hold its Closed. A path to another port than 500 uses the
// non-ESP marker from the start.
func (e *Endpoint) Initiate(cfg *Config, path Path, now time.Time) (*SA, []Effect) {
	sa := e.newSA(cfg, path, true, now)
	sa.startInit(now)
	e.settle(sa, now)
	return sa, e.take()
}

// HandleDatagram processes a received IKE message. A datagram that is not
// right is counted and dropped.
func (e *Endpoint) HandleDatagram(d Datagram, now time.Time) []Effect {
	p := d.path().unmap()
	d.Local, d.Remote = p.Local, p.Remote
	h, err := message.ParseHeader(d.Data)
	e.traceDatagram(h, d)
	var version *message.InvalidMajorVersionError
	switch {
	case errors.As(err, &version):
		e.drop("other IKE version")
		if version.Major > 2 {
			e.refuseVersion(h, d, now)
		}
	case err != nil:
		e.drop("malformed header")
	case h.Exchange == message.IKESAInit && !h.Response():
		e.handleInitRequest(h, d, now)
	case h.Exchange == message.IKESessionResume && !h.Response():
		e.handleResumeRequest(h, d, now)
	default:
		e.route(h, d, now)
	}
	e.endTrace(now)
	return e.take()
}

// route hands a message to the SA that it names (RFC 7296, section 2.6).
// The answer for an unknown SPI is none that could be abused: see answerLost.
func (e *Endpoint) route(h message.Header, d Datagram, now time.Time) {
	local, remote := h.ResponderSPI, h.InitiatorSPI
	if !h.Initiator() {
		local, remote = remote, local
	}
	if h.Exchange == message.IKESAInit || h.Exchange == message.IKESessionResume {
		remote = 0 // an initiator learns it from this very message
	}
	sa := e.sas[local]
	switch {
	case sa == nil && e.graves.answer(e, local, d):
		e.fault("repeated request to an IKE SA that is closed")
	case h.InitiatorSPI|h.ResponderSPI == 0 && h.Exchange == message.Informational && !h.Response():
		e.doubt(d, now)
	case sa == nil:
		e.answerLost(h, d, now)
	case sa.initiator == h.Initiator() || sa.spiRemote != remote:
		e.drop("SPI of another role or peer")
	default:
		e.incoming.near = sa
		sa.receive(h, d, now)
		e.settle(sa, now)
	}
}

// NextTimeout reports when HandleTimeout wants to run; zero means never.
func (e *Endpoint) NextTimeout() time.Time {
	if len(e.timers) == 0 {
		return time.Time{}
	}
	return e.timers[0].wake
}

// HandleTimeout retransmits, rekeys, checks and expires what is due.
func (e *Endpoint) HandleTimeout(now time.Time) []Effect {
	for len(e.timers) > 0 {
		sa := e.timers[0]
		if sa.wake.IsZero() || sa.wake.After(now) {
			break
		}
		sa.handleTimeout(now)
		e.settle(sa, now)
		if !sa.wake.IsZero() && !sa.wake.After(now) {
			// Every due timer moves itself on; this guards the loop against
			// one that would not.
			sa.wake = now.Add(time.Millisecond)
			e.reschedule(sa)
		}
	}
	e.graves.expire(now)
	return e.take()
}

// NoteInbound tells that packets arrived on a Child SA, authenticated: the
// peer is alive, and it has switched to this Child SA if it is a new one.
func (e *Endpoint) NoteInbound(inSPI uint32, now time.Time) []Effect {
	if c := e.children[inSPI]; c != nil {
		c.sa.noteInbound(c, now)
		e.settle(c.sa, now)
	}
	return e.take()
}

// NoteOutbound tells that packets left on a Child SA: no keepalive is needed.
func (e *Endpoint) NoteOutbound(inSPI uint32, now time.Time) {
	if c := e.children[inSPI]; c != nil {
		c.sa.lastSent = now
		c.sa.schedule(now)
	}
}

// RekeyChild rekeys a Child SA, as when it has carried its bytes or packets.
func (e *Endpoint) RekeyChild(inSPI uint32, now time.Time) []Effect {
	if c := e.children[inSPI]; c != nil {
		c.sa.rekeyChild(c, now)
		e.settle(c.sa, now)
	}
	return e.take()
}

// CloseChild deletes a Child SA.
func (e *Endpoint) CloseChild(inSPI uint32, now time.Time) []Effect {
	if c := e.children[inSPI]; c != nil {
		c.sa.closeChild(c, nil, now)
		e.settle(c.sa, now)
	}
	return e.take()
}

// ExpireChild ends a Child SA that can carry no more, as when it has used its last
// sequence number.
func (e *Endpoint) ExpireChild(inSPI uint32, now time.Time) []Effect {
	if c := e.children[inSPI]; c != nil {
		c.sa.expireChild(c, now)
		e.settle(c.sa, now)
	}
	return e.take()
}

// PeerMoved tells that the newest authenticated packet of a Child SA came by
// another path than the SA's (RFC 7296, section 2.23; RFC 9329, section 6.1).
// The path's local end may be invalid: then it is as before.
func (e *Endpoint) PeerMoved(inSPI uint32, p Path, now time.Time) []Effect {
	if c := e.children[inSPI]; c != nil {
		c.sa.peerMoved(p.unmap(), now)
		e.settle(c.sa, now)
	}
	return e.take()
}

// SAs returns the IKE SAs that we started or that are established, oldest first.
func (e *Endpoint) SAs() []*SA {
	list := slices.Collect(maps.Values(e.sas))
	list = slices.DeleteFunc(list, func(sa *SA) bool { return !sa.announced })
	slices.SortFunc(list, func(a, b *SA) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.spiLocal, b.spiLocal))
	})
	return list
}

// Forget ends the handshakes of peers that follow cfg, without a word to them,
// and every ticket that was issued under it. So it does with those who have not said
// who they are, once nobody is expected any more: they would be told that they are
// not who they say, and believe it, when all that happens is that we stop.
func (e *Endpoint) Forget(cfg *Config, now time.Time) []Effect {
	for _, sa := range slices.Collect(maps.Values(e.sas)) {
		if sa.state == StateInitAnswered && (sa.cfg == cfg || sa.cfg == nil && len(e.opt.Resolver.Terms(sa.path).Proposals) == 0) {
			sa.close(nil, now)
		}
	}
	e.tickets.recall(cfg)
	return e.take()
}

// Close forgets every IKE SA without a word to the peers. The Endpoint is not to
// be used after it.
func (e *Endpoint) Close(now time.Time) {
	for _, sa := range slices.Collect(maps.Values(e.sas)) {
		sa.close(nil, now)
	}
	e.take()
}

// Drops returns how many datagrams were dropped, by named reason.
func (e *Endpoint) Drops() map[string]uint64 { return maps.Clone(e.drops) }

// HalfOpen reports how many peers have begun an IKE SA without having proved
// who they are.
func (e *Endpoint) HalfOpen() int { return e.halfOpen.n }

func (e *Endpoint) drop(reason string) {
	e.drops[reason]++
	e.fault(reason)
}

// emit adds an effect to the answer of the current call.
func (e *Endpoint) emit(x Effect) { e.effects = append(e.effects, x) }

// take returns the effects of the current call.
func (e *Endpoint) take() []Effect {
	x := e.effects
	e.effects = nil
	if e.opt.Trace {
		disown(x)
	}
	return x
}

// touch notes that an SA changed beside the one that the call is about.
func (e *Endpoint) touch(sa *SA) { e.touched = append(e.touched, sa) }

// settle lets the SA of the call, and then others that it changed, go on: each
// starts its next queued exchange and sets its timer.
func (e *Endpoint) settle(sa *SA, now time.Time) {
	e.touch(sa)
	for i := len(e.touched) - 1; len(e.touched) > 0; i = 0 {
		x := e.touched[i]
		e.touched = slices.Delete(e.touched, i, i+1)
		x.pump(now)
		if x.state != StateClosed {
			x.schedule(now)
		}
	}
}

// random returns n random bytes. The random source does not fail in a way
// that an IKE engine could go on after: see crypto/rand.Read.
func (e *Endpoint) random(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(e.opt.Rand, b); err != nil {
		panic("ike: random source: " + err.Error())
	}
	return b
}

// jitter returns a random part of up to d.
func (e *Endpoint) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint64(e.random(8)) % uint64(d))
}

// newSPI returns an IKE SPI that is not in use.
func (e *Endpoint) newSPI() uint64 {
	for {
		spi := binary.BigEndian.Uint64(e.random(8))
		if spi != 0 && e.sas[spi] == nil && e.graves.bySPI[spi] == nil {
			return spi
		}
	}
}

// newChildSPI reserves an ESP SPI that is not in use, until the caller puts a
// child in its place or gives it back with freeChildSPI. Values up to 255 are
// not for use (RFC 4303, section 2.1).
func (e *Endpoint) newChildSPI() uint32 {
	for {
		spi := binary.BigEndian.Uint32(e.random(4))
		_, taken := e.reserved[spi]
		if spi > 255 && !taken && e.children[spi] == nil {
			e.reserved[spi] = struct{}{}
			return spi
		}
	}
}

func (e *Endpoint) freeChildSPI(spi uint32) { delete(e.reserved, spi) }

// add makes an SA findable.
func (e *Endpoint) add(sa *SA) {
	e.sas[sa.spiLocal] = sa
	heap.Push(&e.timers, sa)
}

// remove forgets an SA.
func (e *Endpoint) remove(sa *SA) {
	delete(e.sas, sa.spiLocal)
	if sa.heapIndex >= 0 {
		heap.Remove(&e.timers, sa.heapIndex)
	}
	e.halfOpen.leave(sa)
	e.known.leave(sa)
	if e.inits[sa.initKey] == sa {
		delete(e.inits, sa.initKey)
	}
}

// reschedule restores the timer queue after sa.wake changed.
func (e *Endpoint) reschedule(sa *SA) {
	if sa.heapIndex >= 0 {
		heap.Fix(&e.timers, sa.heapIndex)
	}
}

// A timerHeap orders SAs by the time of their next timer; those without one
// come last.
type timerHeap []*SA

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	a, b := h[i].wake, h[j].wake
	if a.IsZero() || b.IsZero() {
		return !a.IsZero()
	}
	return a.Before(b)
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *timerHeap) Push(x any) {
	sa := x.(*SA)
	sa.heapIndex = len(*h)
	*h = append(*h, sa)
}

func (h *timerHeap) Pop() any {
	old := *h
	sa := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	sa.heapIndex = -1
	return sa
}
