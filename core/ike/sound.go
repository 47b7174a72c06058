package ike

import (
	"net/netip"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/pmtu"
)

// How long the answer to the first try of a sounding is waited for.
const (
	leastPatience = 300 * time.Millisecond
	mostPatience  = 2 * time.Second
	somePatience  = time.Second // as long as no round trip was measured
)

// A sounding is what is known of a path: IKE shares the addresses and ports of
// ESP, and so what may be lost on the way.
type sounding struct {
	local, remote netip.Addr
	mtu           int           // of IP packets; 0: not known
	rtt           time.Duration // of late, and rather more; 0: not known
	// uncut says that IP fragments are lost as well.
	uncut bool
	// doubted says that a large message had to be repeated.
	doubted bool
}

// here returns what is known of the path that the SA has now.
func (sa *SA) here() *sounding {
	local, remote := sa.path.Local.Addr(), sa.path.Remote.Addr() // ports do not matter
	if sa.sound.local != local || sa.sound.remote != remote {
		sa.sound = sounding{local: local, remote: remote}
	}
	return &sa.sound
}

// timed learns from an answer: how long a round trip takes, or that the request had
// to be repeated.
func (sa *SA) timed(f *flight, now time.Time) {
	if f.sends > 1 {
		sa.suspect(f.datagrams)
		return
	}
	s, d := sa.here(), now.Sub(f.last)
	s.rtt = max(d, (3*s.rtt+d)/4, time.Microsecond)
}

// patience is how long the answer to a sounding is waited for.
func (s *sounding) patience(try int) time.Duration {
	d := somePatience
	if s.rtt > 0 {
		d = min(max(3*s.rtt, leastPatience), mostPatience)
	}
	return d << min(try, 3)
}

// Sound asks the peer of an established SA with an IP packet of size bytes that
// nobody may cut, or of a few less where the cipher's blocks do not allow that
// size: Sounded follows, with tag, once the peer has answered. try, from 0, counts
// how often this size has been tried: each waits twice as long.
//
// It is an INFORMATIONAL request like a liveness check, which every peer answers,
// made long by a status notify that none knows (RFC 7296, section 3.10.1). What is
// lost has to be repeated, for the window must be free again (section 2.3): then
// IP may cut it. Where IP fragments are lost too, an empty INFORMATIONAL request
// goes along under the same message ID. Section 2.1 wants repetitions to be the
// same bytes; here both ask for the same, which is nothing, so it does not matter
// which of them the peer has read, and a packet that was too large never costs
// the SA. (Fragments of IKE would serve as well, but strongSwan, seen with 5.9.8,
// takes those of an INFORMATIONAL request for unprotected.)
//
// Sound reports false, and does nothing, when the SA is not Soundable.
func (sa *SA) Sound(size, try int, tag any, now time.Time) ([]Effect, bool) {
	if !sa.Soundable() {
		return nil, false
	}
	sa.enqueue(&soundTask{path: sa.path, size: size, try: try, tag: tag}, now)
	sa.e.settle(sa, now)
	return sa.e.take(), true
}

// Soundable reports whether Sound can be used: the SA is up, and shares the path
// of ESP in UDP.
func (sa *SA) Soundable() bool { return sa.state == StateUp && sa.natt && !sa.path.TCP }

// SetMTU tells how large IP packets may be on the SA's path: messages are
// fragmented to fit.
func (sa *SA) SetMTU(mtu int) { sa.here().mtu = mtu }

// suspect notes that datagrams had to be repeated: when they were large, that may
// be why, and what follows is fragmented to pass everywhere (RFC 7383, section
// 2.5.2) until more is known of the path.
func (sa *SA) suspect(datagrams [][]byte) {
	least := pmtu.Floor(!sa.path.Remote.Addr().Unmap().Is4())
	for _, b := range datagrams {
		if s := sa.here(); s.mtu == 0 && len(b)+sa.outerLen() > least {
			s.mtu, s.doubted = least, true
		}
	}
}

// Doubted reports whether large messages were lost on the SA's path, which may be
// narrow.
func (sa *SA) Doubted() bool { return sa.here().doubted }

// soundTask sends a packet of a given size.
type soundTask struct {
	informing
	path  Path
	size  int
	try   int
	tag   any
	sent  int
	cut   bool     // it was repeated in other forms than whole
	empty [][]byte // the last of them
}

func (*soundTask) kind() kind { return kindSounding }

func (t *soundTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	if t.path != sa.path || !sa.Soundable() {
		return nil, false
	}
	pad := &message.Notify{Kind: message.NotifyPadding}
	const header, notify = 4, 8 // of a payload, and of one with a Notify
	room := t.size - sa.outerLen() - message.HeaderLen - header
	for n := room - notify; n > 0; n-- {
		plain := notify + n
		if plain+sa.keys.seal.Overhead(plain) <= room {
			pad.Data = make([]byte, n)
			t.sent = t.size - room + plain + sa.keys.seal.Overhead(plain)
			break
		}
	}
	return []message.Payload{pad}, pad.Data != nil
}

// outerLen is how long the headers of IP and UDP are, with the non-ESP marker.
func (sa *SA) outerLen() int {
	if sa.path.Remote.Addr().Unmap().Is4() {
		return 20 + 8 + 4
	}
	return 40 + 8 + 4
}

// sealSounding protects a message that is to be sent whole.
func (sa *SA) sealSounding(x message.ExchangeType, id uint32, response bool, payloads []message.Payload) ([][]byte, error) {
	h := sa.header(x, id, response)
	b, err := message.Seal(h, payloads, sa.keys.seal, sa.e.opt.Rand)
	if err != nil {
		return nil, err
	}
	sa.tellSent(h, [][]byte{b}, payloads, 0)
	return [][]byte{b}, nil
}

// soundTries is how often a sounding is sent in forms that may be lost for their
// size: whole, and cut by IP.
const soundTries = 2

// send sends the request whole, and when that was lost in forms that pass.
func (t *soundTask) send(sa *SA, f *flight) {
	o := origin{sa.path, sa.natt}
	if f.sends == 1 && t.path == sa.path {
		sa.sendOver(o, f.datagrams, NeverCut)
		return
	}
	t.cut = true
	sa.sendOver(o, f.datagrams, CutAnywhere)
	if f.sends <= soundTries && !sa.here().uncut {
		return
	}
	if t.empty == nil {
		b, err := message.Seal(sa.header(t.exchange(), f.id, false), nil, sa.keys.seal, sa.e.opt.Rand)
		if err != nil {
			sa.log(Warn, "%s: %v", sa.name(), err)
			return
		}
		t.empty = [][]byte{b}
	}
	sa.sendOver(o, t.empty, CutIfRefused)
}

// until is when the request is repeated: soon, as long as nothing is known of the
// peer from its silence.
func (t *soundTask) until(sa *SA, f *flight, now time.Time) time.Time {
	if f.sends <= soundTries {
		return now.Add(sa.here().patience(t.try))
	}
	return now.Add(f.ladder.wait(f.sends - soundTries))
}

// sounded tells what became of the packet. Of an answer to one that was repeated
// nobody knows which of them it answers.
func (sa *SA) sounded(x task, _ *inbox, _ []uint32, _ time.Time) *notifyError {
	t := x.(*soundTask)
	if t.empty != nil && t.path == sa.path {
		sa.here().uncut = true
	}
	sa.e.emit(Sounded{SA: sa, Path: t.path, Tag: t.tag, Sent: t.sent, Fits: !t.cut && t.path == sa.path})
	return nil
}
