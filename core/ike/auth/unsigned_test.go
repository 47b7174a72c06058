package auth

import (
	"crypto"
	"io"
)

// sign signs octets by one scheme, whatever the peer says.
func (s Scheme) sign(rand io.Reader, key crypto.Signer, octets []byte) ([]byte, error) {
	d := schemes[s]
	u, err := Prepare(key.Public(), octets, []uint16{d.wire}, []Scheme{s})
	if err != nil {
		return nil, err
	}
	return key.Sign(rand, u.Digest, u.Opts)
}
