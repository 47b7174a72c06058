package ike

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"time"

	"sallyport/core/ike/message"
)

// An initKey recognizes an IKE_SA_INIT request that comes again: the hash of
// where it came from and of all of it.
type initKey [32]byte

func newInitKey(d Datagram) initKey {
	from, _ := d.Remote.MarshalBinary()
	h := sha256.New()
	h.Write(from)
	h.Write(d.Data)
	return initKey(h.Sum(nil))
}

// A halfOpenTable counts the IKE SAs whose peers have not proved themselves.
type halfOpenTable struct {
	n, max  int
	sources map[netip.Addr]int
}

// room reports whether one more SA from addr may be begun.
func (t *halfOpenTable) room(addr netip.Addr) bool {
	return t.n < t.max && t.sources[addr] < max(1, t.max/8)
}

func (t *halfOpenTable) enter(sa *SA, addr netip.Addr) {
	sa.source = addr
	t.n++
	t.sources[addr]++
}

// leave takes an SA out, once; later calls do nothing.
func (t *halfOpenTable) leave(sa *SA) {
	if !sa.source.IsValid() {
		return
	}
	t.n--
	if t.sources[sa.source]--; t.sources[sa.source] == 0 {
		delete(t.sources, sa.source)
	}
	sa.source = netip.Addr{}
}

// cookieLife is how long a cookie secret makes new cookies; those of the one
// before it are still accepted.
const cookieLife = 60 * time.Second

// A cookieJar makes and checks stateless cookies (RFC 7296, section 2.6):
// version | HMAC-SHA-256(secret, Ni | IPi | SPIi).
type cookieJar struct {
	version     byte
	secret, old []byte
	since       time.Time
}

// rotate makes a fresh secret when it is time.
func (j *cookieJar) rotate(e *Endpoint, now time.Time) {
	age := now.Sub(j.since)
	if j.secret != nil && age < cookieLife {
		return
	}
	j.old = j.secret
	if age >= 2*cookieLife {
		j.old = nil
	}
	j.secret, j.since = e.random(32), now
	j.version++
}

func (j *cookieJar) cookie(version byte, secret, nonce []byte, from netip.Addr, spi []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write(nonce)
	m.Write(from.AsSlice())
	m.Write(spi)
	return m.Sum([]byte{version})
}

// bake returns the cookie that the sender of an IKE_SA_INIT request must bring.
func (j *cookieJar) bake(nonce []byte, from netip.Addr, spi []byte) []byte {
	return j.cookie(j.version, j.secret, nonce, from, spi)
}

// accepts reports whether a cookie is one of ours for this sender.
func (j *cookieJar) accepts(cookie, nonce []byte, from netip.Addr, spi []byte) bool {
	if len(cookie) == 0 {
		return false
	}
	secret := j.secret
	if cookie[0] == j.version-1 {
		secret = j.old
	} else if cookie[0] != j.version {
		return false
	}
	return secret != nil && hmac.Equal(cookie, j.cookie(cookie[0], secret, nonce, from, spi))
}

// A bucket limits unprotected answers, which strangers can ask for, to a rate.
type bucket struct {
	tokens float64
	last   time.Time
}

const (
	bucketSize = 100
	bucketRate = 50 // a second
)

func (b *bucket) take(now time.Time) bool {
	if b.last.IsZero() {
		b.tokens = bucketSize
	} else if d := now.Sub(b.last); d > 0 {
		b.tokens = min(bucketSize, b.tokens+bucketRate*d.Seconds())
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Bounds of the graveyard.
const (
	graveTime    = 20 * time.Second
	maxGraves    = 256
	graveReplays = 8
)

// A graveyard holds the last response of closed SAs, so that a peer whose last
// request closed one, and who did not hear the answer, hears it again.
type graveyard struct {
	bySPI map[uint64]*grave
	queue []*grave // oldest first
}

type grave struct {
	spi      uint64
	request  [32]byte
	response [][]byte
	path     Path
	natt     bool
	replays  int
	until    time.Time
}

func (g *graveyard) bury(sa *SA, now time.Time) {
	if len(g.queue) == maxGraves {
		delete(g.bySPI, g.queue[0].spi)
		g.queue = g.queue[1:]
	}
	x := &grave{sa.spiLocal, sa.lastRequest, sa.lastResponse, sa.path, sa.natt, 0, now.Add(graveTime)}
	g.bySPI[x.spi] = x
	g.queue = append(g.queue, x)
}

// answer repeats the last response when d is the request that it answered.
func (g *graveyard) answer(e *Endpoint, spi uint64, d Datagram) bool {
	x := g.bySPI[spi]
	if x == nil {
		return false
	}
	h := sha256.Sum256(d.Data)
	if !bytes.Equal(h[:], x.request[:]) || x.replays == graveReplays {
		return false
	}
	x.replays++
	for _, b := range x.response {
		e.emit(Send{Path: x.path, NATT: x.natt, Data: b})
	}
	return true
}

func (g *graveyard) expire(now time.Time) {
	for len(g.queue) > 0 && !g.queue[0].until.After(now) {
		delete(g.bySPI, g.queue[0].spi)
		g.queue = g.queue[1:]
	}
}

// refuseVersion answers a request of a newer major version (RFC 7296, section 2.5).
func (e *Endpoint) refuseVersion(h message.Header, d Datagram, now time.Time) {
	if !h.Response() {
		e.refuse(h, d, &message.Notify{Kind: message.NotifyInvalidMajorVersion}, now)
	}
}

// refuse answers a request with an unprotected notify, holding no state. The
// rate of such answers is limited.
func (e *Endpoint) refuse(h message.Header, d Datagram, n *message.Notify, now time.Time) {
	if !e.replies.take(now) {
		e.drop("too many unprotected answers")
		return
	}
	e.answerOnce(h, d, n, now)
}

// answerOnce sends an unprotected answer, shorter than any request.
func (e *Endpoint) answerOnce(h message.Header, d Datagram, n *message.Notify, now time.Time) {
	m := message.Message{Header: h, Payloads: []message.Payload{n}}
	m.Flags = message.FlagResponse
	if !h.Initiator() {
		m.Flags |= message.FlagInitiator
	}
	if b, err := m.AppendTo(nil); err == nil {
		e.tellAnswered(m.Header, d, len(b), n, now)
		e.emit(Send{Path: d.path(), NATT: d.NATT, Data: b})
	}
}
