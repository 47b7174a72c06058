package esp

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"

	"sallyport/core/transform"
)

// ErrExhausted means that the SA has no sequence number left (RFC 4303, section
// 3.3.3): it must not send any more.
var ErrExhausted = errors.New("esp: sequence numbers exhausted")

// A Sealer protects outbound packets of one SA.
type Sealer struct {
	*protector
	spi uint32
	seq uint64 // of the last packet sent
	max uint64
	cbc cbcMode
}

// cbcMode is what the standard library's CBC encrypters and decrypters offer
// beside cipher.BlockMode, so that one object serves every packet.
type cbcMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

// NewSealer returns a Sealer for the SA that the peer knows by spi.
func NewSealer(spi uint32, s transform.Suite, k Keys) (*Sealer, error) {
	p, err := newProtector(s, k)
	if err != nil {
		return nil, err
	}
	e := &Sealer{protector: p, spi: spi, max: math.MaxUint32}
	if s.ESN {
		e.max = math.MaxUint64
	}
	if p.block != nil {
		m, ok := cipher.NewCBCEncrypter(p.block, make([]byte, p.block.BlockSize())).(cbcMode)
		if !ok {
			return nil, ErrSuite
		}
		e.cbc = m
	}
	return e, nil
}

// Sequence returns the sequence number of the last packet sealed.
func (e *Sealer) Sequence() uint64 { return e.seq }

// Remaining returns how many packets may still be sealed.
func (e *Sealer) Remaining() uint64 { return e.max - e.seq }

// Skip leaves out n sequence numbers, at most those that remain: so that the end
// of an SA can be tried out.
func (e *Sealer) Skip(n uint64) { e.seq += min(n, e.Remaining()) }

// Len returns the length of the packet that Seal makes of n bytes.
func (e *Sealer) Len(n int) int { return e.sealed(n) }

// MaxInner returns the length of the longest inner packet that fits in an ESP
// packet of n bytes.
func (e *Sealer) MaxInner(n int) int { return e.maxInner(n) }

// Seal writes to dst the ESP packet that carries buf[start:end], with the given
// next header, and returns its length. dst has room for Len(end-start) bytes
// and does not overlap buf. The trailer is put behind the payload for the
// duration of the call, so that the cipher takes one pass: buf must reach
// MaxTrailer bytes beyond end, and what stood there is restored.
func (e *Sealer) Seal(dst, buf []byte, start, end int, next uint8) (int, error) {
	if e.seq == e.max {
		return 0, ErrExhausted
	}
	e.seq++
	if e.aead != nil {
		return e.SealAs(&e.Scratch, e.seq, dst, buf, start, end, next), nil
	}
	n := e.sealed(end - start)
	dst = dst[:n:n]
	binary.BigEndian.PutUint64(dst, uint64(e.spi)<<32|uint64(uint32(e.seq)))
	e.sealCBC(dst, buf, start, end, next)
	return n, nil
}

// Concurrent reports whether SealAs can be used: the suite has an AEAD.
func (e *Sealer) Concurrent() bool { return e.aead != nil }

// Reserve takes the next n sequence numbers, for SealAs, and returns the first.
// It reports false when there are not as many.
func (e *Sealer) Reserve(n int) (first uint64, ok bool) {
	if uint64(n) > e.Remaining() {
		return 0, false
	}
	first = e.seq + 1
	e.seq += uint64(n)
	return first, true
}

// SealAs does what Seal does, under a sequence number that the caller has
// reserved and uses once. Goroutines may call it at the same time, each with a
// Scratch of its own.
func (e *Sealer) SealAs(sc *Scratch, seq uint64, dst, buf []byte, start, end int, next uint8) int {
	n := e.sealed(end - start)
	dst = dst[:n:n]
	// One store, which the cipher reads back at once.
	binary.BigEndian.PutUint64(dst, uint64(e.spi)<<32|uint64(uint32(seq)))

	// The trailer is at most 5 bytes long: it is put, and taken away again, as
	// one word.
	body := n - HeaderLen - aeadIV - e.icv // payload, padding and trailer
	pad := uint(body - 2 - (end - start))
	tail := buf[end : end+8]
	saved := binary.LittleEndian.Uint64(tail)
	const padding = 0x030201 // RFC 4303, section 2.4
	binary.LittleEndian.PutUint64(tail, padding&(1<<(8*pad)-1)|(uint64(pad)|uint64(next)<<8)<<(8*pad))

	// The sequence number makes each IV unique under the key (RFC 4106,
	// section 3.1; RFC 7634, section 2).
	binary.BigEndian.PutUint64(dst[HeaderLen:], seq)
	nonce := e.nonceOf(sc, seq)
	e.aead.Seal(dst[HeaderLen+aeadIV:][:0], nonce, buf[start:start+body], e.header(sc, dst, uint32(seq>>32)))
	binary.LittleEndian.PutUint64(tail, saved)
	return n
}

// sealCBC seals the packet whose header is in dst with a CBC cipher and a MAC.
func (e *Sealer) sealCBC(dst, buf []byte, start, end int, next uint8) {
	body := len(dst) - HeaderLen - e.iv - e.icv
	pad := body - 2 - (end - start)
	tail := buf[end : end+pad+2]
	var saved [MaxTrailer]byte
	copy(saved[:], tail)
	for i := range pad {
		tail[i] = byte(i + 1) // RFC 4303, section 2.4
	}
	tail[pad], tail[pad+1] = byte(pad), next

	iv := dst[HeaderLen : HeaderLen+e.iv]
	rand.Read(iv) // unpredictable (RFC 3602, section 2); it never fails
	e.cbc.SetIV(iv)
	out := dst[HeaderLen+e.iv:]
	e.cbc.CryptBlocks(out[:body], buf[start:start+body])
	copy(out[body:], e.authenticate(dst[:len(dst)-e.icv], uint32(e.seq>>32)))
	copy(tail, saved[:])
}

// header returns the AAD of a packet: its header, with the high sequence bits
// in the middle when the SA uses ESN (RFC 4106, section 5).
func (p *protector) header(sc *Scratch, pkt []byte, high uint32) []byte {
	if !p.esn {
		return pkt[:HeaderLen]
	}
	h := binary.BigEndian.Uint64(pkt)
	binary.BigEndian.PutUint64(sc.aad[:], h&^math.MaxUint32|uint64(high))
	binary.BigEndian.PutUint32(sc.aad[8:], uint32(h))
	return sc.aad[:]
}

// nonceOf returns the nonce with an IV of 64 bits.
func (p *protector) nonceOf(sc *Scratch, iv uint64) []byte {
	binary.BigEndian.PutUint32(sc.nonce[:], p.salt)
	binary.BigEndian.PutUint64(sc.nonce[saltLen:], iv)
	return sc.nonce[:]
}
