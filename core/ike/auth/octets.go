package auth

import (
	"crypto/hmac"

	"sallyport/core/transform"
)

// keyPad is mixed into a pre-shared key (RFC 7296, section 2.15).
const keyPad = "Key Pad for IKEv2"

// SignedOctets returns what an AUTH payload covers (RFC 7296, section 2.15):
// the sender's first message as it went over the wire, the nonce of the other
// end, and the MAC of the sender's identification under its SK_p.
// idBody is the body of the ID payload, without the generic header.
func SignedOctets(prf transform.PRF, realMessage, nonce, skp, idBody []byte) []byte {
	octets := make([]byte, 0, len(realMessage)+len(nonce)+prf.Size())
	octets = append(octets, realMessage...)
	octets = append(octets, nonce...)
	return append(octets, prf.Sum(skp, idBody)...)
}

// PSK returns the AUTH data of a pre-shared key over octets.
func PSK(prf transform.PRF, psk, octets []byte) []byte {
	return prf.Sum(prf.Sum(psk, []byte(keyPad)), octets)
}

// VerifyPSK reports, in constant time, whether data is the AUTH data of the
// pre-shared key over octets. An empty key proves nothing and never verifies.
func VerifyPSK(prf transform.PRF, psk, data, octets []byte) bool {
	return len(psk) > 0 && hmac.Equal(PSK(prf, psk, octets), data)
}
