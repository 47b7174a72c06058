package ike

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/transform"
)

// Bounds of what tickets may hold, and of what they make us remember.
const (
	maxTicket     = 4096  // bytes of one, as the peer stores it
	maxTicketKeys = 32    // that open tickets; a new one is made each ticketKeyLife
	maxSpent      = 16384 // tickets that were used and are not over yet
	ticketKeyLife = time.Hour
)

// errTicket is all that is said of a ticket that does not serve.
var errTicket = errors.New("ike: the ticket is not one of ours, or is over")

// A passport is what a ticket says, sealed so that only we read it: the state of
// an IKE SA "by value" (RFC 5723, section 5.2).
type passport struct {
	id      [16]byte  // spent with the first use
	issuer  uint64    // the configuration that let the peer in
	until   time.Time // whole seconds
	elder   uint64    // our SPI of the IKE SA that it was issued in
	reauth  time.Time // when the authentication runs out; zero: never
	suite   transform.Suite
	d       []byte // SK_d
	localID auth.Identity
	peerID  auth.Identity
	local   string // how we proved ourselves
	peer    string // how the peer did
	user    string // whom EAP proved
	groups  []string
	quantum quantum
}

// maxUnix bounds times, so that arithmetic with them cannot overflow.
const maxUnix = 1 << 40

// passportVersion begins each passport; another version is another format.
const passportVersion = 1

// appendTo appends the encoding of p.
func (p *passport) appendTo(b []byte) []byte {
	b = append(b, passportVersion)
	b = append(b, p.id[:]...)
	b = binary.BigEndian.AppendUint64(b, p.issuer)
	b = binary.BigEndian.AppendUint64(b, uint64(p.until.Unix()))
	b = binary.BigEndian.AppendUint64(b, p.elder)
	var reauth uint64
	if !p.reauth.IsZero() {
		reauth = uint64(p.reauth.Unix())
	}
	b = binary.BigEndian.AppendUint64(b, reauth)
	for _, t := range []transform.Transform{p.suite.Encr, p.suite.PRF, p.suite.Integ, p.suite.KE} {
		b = append(b, byte(t.Type))
		b = binary.BigEndian.AppendUint16(b, uint16(t.ID))
		b = binary.BigEndian.AppendUint16(b, t.KeyBits)
	}
	field := func(x []byte) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(x)))
		b = append(b, x...)
	}
	b = append(b, flags(p.quantum.safe, p.quantum.offered, p.quantum.follows))
	field(p.d)
	for _, id := range []auth.Identity{p.localID, p.peerID} {
		b = append(b, byte(id.Type))
		field(id.Data)
	}
	field([]byte(p.local))
	field([]byte(p.peer))
	field([]byte(p.user))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.groups)))
	for _, g := range p.groups {
		field([]byte(g))
	}
	return b
}

// parsePassport reads what appendTo wrote. The result shares no memory with b.
func parsePassport(b []byte) (*passport, error) {
	r := reader{b: b}
	p := &passport{}
	if r.u8() != passportVersion {
		return nil, errTicket
	}
	copy(p.id[:], r.next(len(p.id)))
	p.issuer = r.u64()
	until := r.u64()
	p.elder = r.u64()
	reauth := r.u64()
	if until > maxUnix || reauth > maxUnix {
		return nil, errTicket
	}
	p.until = time.Unix(int64(until), 0)
	if reauth != 0 {
		p.reauth = time.Unix(int64(reauth), 0)
	}
	p.suite.Protocol = transform.ProtoIKE
	for _, t := range []*transform.Transform{&p.suite.Encr, &p.suite.PRF, &p.suite.Integ, &p.suite.KE} {
		*t = transform.Transform{Type: transform.Type(r.u8()), ID: transform.ID(r.u16()), KeyBits: r.u16()}
	}
	f := r.u8()
	p.quantum = quantum{safe: f&1 != 0, offered: f&2 != 0, follows: f&4 != 0}
	p.d = slices.Clone(r.field())
	for _, id := range []*auth.Identity{&p.localID, &p.peerID} {
		*id = auth.Identity{Type: auth.IDType(r.u8()), Data: slices.Clone(r.field())}
	}
	p.local, p.peer, p.user = string(r.field()), string(r.field()), string(r.field())
	for n := r.u16(); n > 0 && !r.short; n-- {
		p.groups = append(p.groups, string(r.field()))
	}
	if r.short || f > 7 || len(r.b) > 0 || len(p.d) == 0 {
		return nil, errTicket
	}
	return p, nil
}

// flags packs booleans, the first in the lowest bit.
func flags(list ...bool) (b byte) {
	for i, x := range list {
		if x {
			b |= 1 << i
		}
	}
	return b
}

// A reader takes fields off the front; past the end it gives zeros and says so.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) next(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	x := r.b[:n:n]
	r.b = r.b[n:]
	return x
}

func (r *reader) u8() uint8   { return r.next(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.next(2)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.next(8)) }

func (r *reader) field() []byte {
	n := int(r.u16())
	if n > maxTicket {
		r.short = true
		return nil
	}
	return r.next(n)
}

// A ticketOffice issues tickets and takes them back. Its keys live in memory
// alone and change every hour; with the last ticket of a key the key is gone.
type ticketOffice struct {
	keys    []ticketKey // oldest first
	issuers map[*Config]uint64
	serial  uint64
	spent   map[[16]byte]time.Time
}

type ticketKey struct {
	name        [8]byte
	seal        cipher.AEAD
	made, until time.Time
}

// key returns the key for new tickets that last until a time.
func (o *ticketOffice) key(e *Endpoint, until, now time.Time) *ticketKey {
	o.keys = slices.DeleteFunc(o.keys, func(k ticketKey) bool { return !k.until.After(now) })
	if n := len(o.keys); n == 0 || now.Sub(o.keys[n-1].made) >= ticketKeyLife {
		if n == maxTicketKeys {
			o.keys = slices.Delete(o.keys, 0, 1)
		}
		secret := e.random(32)
		defer transform.Wipe(secret)
		k := ticketKey{name: [8]byte(e.random(8)), seal: newTicketAEAD(secret), made: now}
		o.keys = append(o.keys, k)
	}
	k := &o.keys[len(o.keys)-1]
	if k.until.Before(until) {
		k.until = until
	}
	return k
}

func newTicketAEAD(secret []byte) cipher.AEAD {
	block, err := aes.NewCipher(secret)
	if err == nil {
		var a cipher.AEAD
		if a, err = cipher.NewGCM(block); err == nil {
			return a
		}
	}
	panic("ike: AES-256-GCM: " + err.Error())
}

// issue seals p: the key's name, a nonce, and the passport (AES-256-GCM).
func (o *ticketOffice) issue(e *Endpoint, cfg *Config, p *passport, now time.Time) []byte {
	if o.issuers == nil {
		o.issuers = make(map[*Config]uint64)
	}
	if o.issuers[cfg] == 0 {
		o.serial++
		o.issuers[cfg] = o.serial
	}
	p.issuer, p.id = o.issuers[cfg], [16]byte(e.random(16))
	k := o.key(e, p.until, now)
	plain := p.appendTo(nil)
	defer transform.Wipe(plain)
	out := append(k.name[:len(k.name):len(k.name)], e.random(k.seal.NonceSize())...)
	return k.seal.Seal(out, out[len(k.name):], plain, k.name[:])
}

// open reads a ticket of ours that is not over and not spent, and tells whose it
// is.
func (o *ticketOffice) open(ticket []byte, now time.Time) (*passport, *Config, error) {
	const nameLen, nonceLen = 8, 12
	if len(ticket) < nameLen+nonceLen || len(ticket) > maxTicket {
		return nil, nil, errTicket
	}
	i := slices.IndexFunc(o.keys, func(k ticketKey) bool { return string(k.name[:]) == string(ticket[:nameLen]) })
	if i < 0 {
		return nil, nil, errTicket
	}
	plain, err := o.keys[i].seal.Open(nil, ticket[nameLen:nameLen+nonceLen], ticket[nameLen+nonceLen:], ticket[:nameLen])
	if err != nil {
		return nil, nil, errTicket
	}
	defer transform.Wipe(plain)
	p, err := parsePassport(plain)
	if err != nil {
		return nil, nil, err
	}
	if _, spent := o.spent[p.id]; spent || !p.until.After(now) {
		return nil, nil, errTicket
	}
	for cfg, serial := range o.issuers {
		if serial == p.issuer {
			return p, cfg, nil
		}
	}
	return nil, nil, errTicket
}

// spend notes that a ticket was used, and reports whether it was not before.
// When there are too many to remember, every ticket that is out loses its worth.
func (o *ticketOffice) spend(p *passport, now time.Time) bool {
	if _, spent := o.spent[p.id]; spent {
		return false
	}
	if len(o.spent) >= maxSpent {
		for id, until := range o.spent {
			if !until.After(now) {
				delete(o.spent, id)
			}
		}
		if len(o.spent) >= maxSpent {
			o.keys = nil
			clear(o.spent)
		}
	}
	if o.spent == nil {
		o.spent = make(map[[16]byte]time.Time)
	}
	o.spent[p.id] = p.until
	return true
}

// recall ends every ticket that was issued under cfg.
func (o *ticketOffice) recall(cfg *Config) { delete(o.issuers, cfg) }
