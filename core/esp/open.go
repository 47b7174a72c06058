package esp

import (
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"errors"

	"sallyport/core/transform"
)

// Reasons why Open refuses a packet. Before ErrPadding nothing of the packet
// was believed; ErrPadding comes from the authenticated peer.
var (
	ErrShort   = errors.New("esp: packet too short or misaligned")
	ErrReplay  = errors.New("esp: sequence number replayed or too old")
	ErrICV     = errors.New("esp: integrity check failed")
	ErrPadding = errors.New("esp: bad padding")
)

// An Opener verifies and decrypts inbound packets of one SA.
type Opener struct {
	*protector
	window window
	cbc    cbcMode
}

// NewOpener returns an Opener.
func NewOpener(s transform.Suite, k Keys) (*Opener, error) {
	p, err := newProtector(s, k)
	if err != nil {
		return nil, err
	}
	o := &Opener{protector: p}
	if p.block != nil {
		m, ok := cipher.NewCBCDecrypter(p.block, make([]byte, p.block.BlockSize())).(cbcMode)
		if !ok {
			return nil, ErrSuite
		}
		o.cbc = m
	}
	return o, nil
}

// Highest returns the highest sequence number that was authenticated.
func (o *Opener) Highest() uint64 { return o.window.top }

// PlainLen returns how many bytes Open writes to dst for a packet of n bytes;
// it is negative for a packet that is too short.
func (o *Opener) PlainLen(n int) int { return n - HeaderLen - o.iv - o.icv }

// Open verifies the ESP packet pkt, whose SPI the caller has looked up, and
// decrypts it to dst, which has room for PlainLen(len(pkt)) bytes and either
// does not overlap pkt or begins where the ciphertext of pkt does (see
// InPlace). It returns the payload, which aliases dst, and its next header.
//
// The replay window is consulted first and changed only once the ICV is
// verified (RFC 4303, section 3.4.3). On error the contents of dst are
// undefined.
func (o *Opener) Open(dst, pkt []byte) (payload []byte, next uint8, err error) {
	seq, err := o.Sequence(pkt)
	if err != nil {
		return nil, 0, err
	}
	if o.aead != nil {
		payload, next, err = o.OpenAs(&o.Scratch, seq, dst, pkt)
	} else {
		payload, next, err = o.openCBC(dst, pkt, seq)
	}
	if err != ErrICV {
		o.window.mark(seq)
	}
	return payload, next, err
}

// Sequence returns the sequence number of pkt, if that may still be accepted.
// It fails with ErrShort or ErrReplay.
func (o *Opener) Sequence(pkt []byte) (uint64, error) {
	if body := o.PlainLen(len(pkt)); body < o.align || body&(o.align-1) != 0 {
		return 0, ErrShort
	}
	low := binary.BigEndian.Uint32(pkt[4:])
	seq := uint64(low)
	if o.esn {
		seq = o.window.infer(low)
	}
	if !o.window.fresh(seq) {
		return 0, ErrReplay
	}
	return seq, nil
}

// Concurrent reports whether OpenAs can be used: the suite has an AEAD.
func (o *Opener) Concurrent() bool { return o.aead != nil }

// OpenAs does what Open does, but for the replay window: the caller has asked
// Sequence for seq, and afterwards, unless the error is ErrICV, asks Accept
// whether the packet is still new. Goroutines may call it at the same time, each
// with a Scratch of its own.
func (o *Opener) OpenAs(sc *Scratch, seq uint64, dst, pkt []byte) (payload []byte, next uint8, err error) {
	body := o.PlainLen(len(pkt))
	nonce := o.nonceOf(sc, binary.BigEndian.Uint64(pkt[HeaderLen:]))
	plain := dst[:body]
	if _, err := o.aead.Open(plain[:0], nonce, pkt[HeaderLen+aeadIV:], o.header(sc, pkt, uint32(seq>>32))); err != nil {
		return nil, 0, ErrICV
	}
	return trim(plain)
}

// Accept notes that the packet with the sequence number seq was authenticated.
// It reports false when that has happened before, or has become too old.
func (o *Opener) Accept(seq uint64) bool {
	if !o.window.fresh(seq) {
		return false
	}
	o.window.mark(seq)
	return true
}

func (o *Opener) openCBC(dst, pkt []byte, seq uint64) (payload []byte, next uint8, err error) {
	plain, sealed := dst[:o.PlainLen(len(pkt))], pkt[HeaderLen+o.iv:]
	if !hmac.Equal(o.authenticate(pkt[:len(pkt)-o.icv], uint32(seq>>32)), sealed[len(plain):]) {
		return nil, 0, ErrICV
	}
	o.cbc.SetIV(pkt[HeaderLen : HeaderLen+o.iv])
	o.cbc.CryptBlocks(plain, sealed[:len(plain)])
	return trim(plain)
}

// trim takes the trailer off an authentic packet.
func trim(plain []byte) (payload []byte, next uint8, err error) {
	body := len(plain)
	pad := int(plain[body-2])
	next = plain[body-1]
	end := body - 2 - pad
	if end < 0 {
		return nil, 0, ErrPadding
	}
	for i, b := range plain[end : body-2] {
		if int(b) != i+1 { // RFC 4303, section 2.4
			return nil, 0, ErrPadding
		}
	}
	return plain[:end], next, nil
}

// InPlace returns the part of pkt that Open may be given as dst to decrypt in
// place, or nil when pkt is too short.
func (o *Opener) InPlace(pkt []byte) []byte {
	if len(pkt) < HeaderLen+o.iv {
		return nil
	}
	return pkt[HeaderLen+o.iv:]
}
