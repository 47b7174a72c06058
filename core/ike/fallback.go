package ike

import (
	"net/netip"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// A fallback is how far an initiator has come in finding out whether the peer can
// take an offer with several key exchanges or ML-KEM in it. RFC 7296 has peers pass
// over proposals that they do not understand; some refuse the message, or drop it.
//
//	offersAll ─ refused ──────────────────────────→ offersClassical
//	    └── silent ─→ findsOut ─ answered ─→ asksAgain ─ refused or silent ─┘
//
// Silence proves little, since packets get lost: only where the same peer answers
// the classical offer and then is silent to the other once more it is left at that.
// Whoever sits on the way can bring that about: Config.Proposals without classical
// ones is how to insist.
type fallback uint8

const (
	offersAll fallback = iota
	findsOut           // by the classical offer, whether anybody is there
	asksAgain
	offersClassical // to stay
)

const (
	fallbackSends = 2           // unanswered ones before the classical offer
	fallbackGrace = time.Second // for a better answer than a refusal that anyone could have sent
	// plainTime is how long a peer that could not take the offer is not bothered
	// with it.
	plainTime = 24 * time.Hour
	maxPlain  = 256
)

// offers are the proposals of IKE_SA_INIT as of now.
func (sa *SA) offers() []transform.Proposal {
	if f := sa.hs.fallback; f == findsOut || f == offersClassical {
		return transform.Classical(sa.cfg.Proposals)
	}
	return sa.cfg.Proposals
}

// mayFallBack reports whether there is a classical offer left to make.
func (sa *SA) mayFallBack() bool {
	if sa.state != StateInitSent || sa.hs.resumed != nil || sa.hs.fallback != offersAll && sa.hs.fallback != asksAgain {
		return false
	}
	n := len(transform.Classical(sa.cfg.Proposals))
	return n > 0 && n < len(sa.cfg.Proposals)
}

// fallsBackFrom reports whether a refusal can be of what the peer does not understand.
func (sa *SA) fallsBackFrom(f *Failure) bool {
	if f == nil || !sa.mayFallBack() {
		return false
	}
	switch f.Notify {
	case message.NotifyInvalidSyntax, message.NotifyUnsupportedCriticalPayload:
		return true
	}
	return f.Code == FailNoProposal || f.Code == FailProtocol
}

// fallBack starts over, with another offer and as another IKE SA: what comes for
// the one so far comes too late.
func (sa *SA) fallBack(to fallback, why string, now time.Time) {
	sends := 0
	if f := sa.flight; f != nil && to == findsOut {
		sends = f.sends
	}
	level, offer := Info, "with all algorithms"
	if to != asksAgain {
		level, offer = Warn, "without quantum-safe key exchange"
	}
	sa.log(level, "%s: the peer %s; asking again %s", sa.name(), why, offer)
	sa.e.rename(sa)
	sa.flight, sa.hint, sa.giveUpAt = nil, nil, time.Time{}
	hs := sa.hs
	hs.fallback = to
	hs.nonceI, hs.natSource = sa.e.random(nonceLen), sa.e.random(20)
	hs.cookie, hs.cookies, hs.groups = nil, 0, nil
	sa.tryInit(sa.offers()[0].KEs()[0], now)
	if f := sa.flight; f != nil && sends > 0 { // the patience with a silent peer is not to grow
		f.sends = sends + 1
		f.deadline = now.Add(sa.cfg.Retransmit.wait(sends))
	}
}

// fallBackFromSilence starts over when enough requests were not answered.
func (sa *SA) fallBackFromSilence(now time.Time) bool {
	if !sa.mayFallBack() || sa.flight.sends < fallbackSends {
		return false
	}
	to := findsOut
	if sa.hs.fallback == asksAgain {
		to = offersClassical
	}
	sa.fallBack(to, "does not answer", now)
	return true
}

// rename gives an SA another SPI.
func (e *Endpoint) rename(sa *SA) {
	spi := e.newSPI()
	delete(e.sas, sa.spiLocal)
	sa.spiLocal = spi
	e.sas[spi] = sa
}

// A plainTable remembers peers that answered the classical offer alone.
type plainTable map[netip.Addr]time.Time // until when

// knows reports whether a peer need not be asked for more.
func (t plainTable) knows(peer netip.Addr, now time.Time) bool {
	until, ok := t[peer]
	return ok && now.Before(until)
}

// note remembers how an established SA came about.
func (t plainTable) note(sa *SA, now time.Time) {
	if !sa.initiator || sa.hs == nil || sa.hs.resumed != nil {
		return
	}
	peer := sa.path.Remote.Addr()
	if sa.hs.fallback != offersClassical {
		delete(t, peer)
		return
	}
	if t.knows(peer, now) {
		return
	}
	for p, until := range t {
		if len(t) < maxPlain && now.Before(until) {
			continue
		}
		delete(t, p) // over, or to make room
	}
	t[peer] = now.Add(plainTime)
}
