package transform

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
)

// A PRF is a pseudo-random function of IKEv2 (RFC 7296, section 2.13). All that
// Sallyport implements are HMACs: any key length will do, and the preferred
// key length is the size of the output (RFC 4868, section 2.4).
type PRF struct {
	id   ID
	hash func() hash.Hash
	size int
}

var prfs = map[ID]PRF{
	PRFHMACSHA1:   {PRFHMACSHA1, sha1.New, sha1.Size},
	PRFHMACSHA256: {PRFHMACSHA256, sha256.New, sha256.Size},
	PRFHMACSHA384: {PRFHMACSHA384, sha512.New384, sha512.Size384},
	PRFHMACSHA512: {PRFHMACSHA512, sha512.New, sha512.Size},
}

// NewPRF returns the PRF with this identifier.
func NewPRF(id ID) (PRF, error) {
	p, ok := prfs[id]
	if !ok {
		return PRF{}, fmt.Errorf("transform: %v is not implemented", Transform{Type: TypePRF, ID: id})
	}
	return p, nil
}

// ID is the identifier of the PRF.
func (p PRF) ID() ID { return p.id }

// Size is the length of the output, and of SK_d, SK_pi and SK_pr.
func (p PRF) Size() int { return p.size }

// Sum is prf(key, data), over the concatenation of data.
func (p PRF) Sum(key []byte, data ...[]byte) []byte {
	mac := hmac.New(p.hash, key)
	for _, d := range data {
		mac.Write(d)
	}
	return mac.Sum(nil)
}

// Plus is the first n bytes of prf+(key, seed). It panics when n exceeds the
// 255 blocks that prf+ is defined for: n is the caller's, never the peer's.
func (p PRF) Plus(key, seed []byte, n int) []byte {
	if n < 0 || n > 255*p.size {
		panic(fmt.Sprintf("transform: prf+ of %d bytes", n))
	}
	out := make([]byte, 0, n+p.size)
	mac := hmac.New(p.hash, key)
	var last []byte
	for counter := byte(1); len(out) < n; counter++ {
		mac.Reset()
		mac.Write(last)
		mac.Write(seed)
		mac.Write([]byte{counter})
		out = mac.Sum(out)
		last = out[len(out)-p.size:]
	}
	Wipe(out[n:])
	return out[:n:n]
}
