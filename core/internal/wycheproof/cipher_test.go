package wycheproof

import (
	"bytes"
	"errors"
	"fmt"

	"sallyport/core/esp"
	"sallyport/core/internal/gcm"
	"sallyport/core/transform"
)

// suiteOf is the suite of an AEAD's file.
func suiteOf(name string, p transform.Protocol, keySize int) transform.Suite {
	id := transform.EncrAESGCM16
	if name == "chacha20_poly1305" {
		id, keySize = transform.EncrChaCha20Poly, 0
	}
	return transform.Suite{Protocol: p, Encr: transform.Transform{Type: transform.TypeEncr, ID: id, KeyBits: uint16(keySize)},
		PRF: transform.Transform{Type: transform.TypePRF, ID: transform.PRFHMACSHA256}}
}

const otherNonce = "IKE and ESP have nonces of 12 bytes alone: salt and explicit IV"

// judge holds what became of opening a vector against its result.
func judge(v *vector, got []byte, err error) string {
	switch {
	case v.Result == "valid" && err != nil:
		return "refused: " + err.Error()
	case v.Result == "valid" && !bytes.Equal(got, v.Msg):
		return fmt.Sprintf("opened to %x", got)
	case v.Result == "invalid" && err == nil:
		return "accepted"
	}
	return ""
}

// feedAEAD opens, and seals again, with the cipher that IKE and ESP use. The
// first four bytes of the nonce are the salt.
func feedAEAD(name string) feed {
	return func(g *group, v *vector) (string, string) {
		if len(v.Iv) != 12 {
			return "", otherNonce
		}
		aead, salt, err := transform.NewAEAD(suiteOf(name, transform.ProtoESP, g.KeySize), append(bytes.Clone(v.Key), v.Iv[:4]...))
		if err != nil {
			return err.Error(), ""
		}
		nonce := append(salt[:], v.Iv[4:]...)
		got, err := aead.Open(nil, nonce, append(bytes.Clone(v.Ct), v.Tag...), v.Aad)
		if wrong := judge(v, got, err); wrong != "" || v.Result != "valid" {
			return wrong, ""
		}
		if sealed := aead.Seal(nil, nonce, v.Msg, v.Aad); !bytes.Equal(sealed, append(bytes.Clone(v.Ct), v.Tag...)) {
			return fmt.Sprintf("sealed to %x", sealed), ""
		}
		return "", ""
	}
}

// feedGCM opens, and seals again, with the cipher beneath ESP, which does not take
// every vector as a packet.
func feedGCM(g *group, v *vector) (string, string) {
	if len(v.Iv) != 12 {
		return "", otherNonce
	}
	aead, err := gcm.New(v.Key)
	if err != nil {
		return err.Error(), ""
	}
	sealed := append(bytes.Clone(v.Ct), v.Tag...)
	got, err := aead.Open(nil, v.Iv, sealed, v.Aad)
	if wrong := judge(v, got, err); wrong != "" || v.Result != "valid" {
		return wrong, ""
	}
	if again := aead.Seal(nil, v.Iv, v.Msg, v.Aad); !bytes.Equal(again, sealed) {
		return fmt.Sprintf("sealed to %x", again), ""
	}
	return "", ""
}

// feedSK opens the vector as the body of an SK payload: the message is the
// payloads with padding and its length behind.
func feedSK(name string) feed {
	return func(g *group, v *vector) (string, string) {
		if len(v.Iv) != 12 {
			return "", otherNonce
		}
		sk, err := transform.NewSK(suiteOf(name, transform.ProtoIKE, g.KeySize), append(bytes.Clone(v.Key), v.Iv[:4]...), nil)
		if err != nil {
			return err.Error(), ""
		}
		body := append(append(bytes.Clone(v.Iv[4:]), v.Ct...), v.Tag...)
		got, err := sk.Open(nil, v.Aad, body)
		want, good := v.Msg, v.Result == "valid"
		if n := len(want); n == 0 || int(want[n-1]) > n-1 {
			good = false // what is authentic, and no SK payload for all that
		} else {
			want = want[:n-1-int(want[n-1])]
		}
		switch {
		case good && (err != nil || !bytes.Equal(got, want)):
			return fmt.Sprintf("opened to %x, %v", got, err), ""
		case !good && !errors.Is(err, transform.ErrIntegrity):
			return fmt.Sprintf("%v", err), ""
		}
		return "", ""
	}
}

// feedESP opens as an ESP packet those vectors whose additional data could be
// the header of one. What is authentic need not be padded as ESP is.
func feedESP(name string) feed {
	return func(g *group, v *vector) (string, string) {
		switch {
		case len(v.Iv) != 12:
			return "", otherNonce
		case len(v.Aad) != esp.HeaderLen:
			return "", "the additional data is not the size of an ESP header"
		case len(v.Ct)%4 != 0 || len(v.Ct) == 0:
			return "", "an ESP payload is a multiple of four bytes"
		}
		suite := suiteOf(name, transform.ProtoESP, g.KeySize)
		o, err := esp.NewOpener(suite, esp.Keys{Encr: append(bytes.Clone(v.Key), v.Iv[:4]...)})
		if err != nil {
			return err.Error(), ""
		}
		pkt := bytes.Join([][]byte{v.Aad, v.Iv[4:], v.Ct, v.Tag}, nil)
		_, _, err = o.Open(make([]byte, len(pkt)), pkt)
		if refused := errors.Is(err, esp.ErrICV); refused == (v.Result == "valid") || errors.Is(err, esp.ErrShort) || errors.Is(err, esp.ErrReplay) {
			return fmt.Sprintf("%v", err), ""
		}
		return "", ""
	}
}

var integOf = map[int]transform.ID{128: transform.IntegHMACSHA256128, 192: transform.IntegHMACSHA384192, 256: transform.IntegHMACSHA512256}

// unpad takes the padding of PKCS #5 off, which the vectors carry and IKE and
// ESP do not know.
func unpad(b []byte) ([]byte, bool) {
	if len(b) == 0 || b[len(b)-1] == 0 || int(b[len(b)-1]) > min(16, len(b)) {
		return nil, false
	}
	n := int(b[len(b)-1])
	return b[:len(b)-n], bytes.Count(b[len(b)-n:], b[len(b)-1:]) == n
}

func feedCBC(g *group, v *vector) (string, string) {
	if v.Result != "valid" {
		return "", "what is invalid is the padding of PKCS #5, which IKE and ESP do not use"
	}
	s := suiteOf("", transform.ProtoESP, g.KeySize)
	s.Encr.ID, s.Integ = transform.EncrAESCBC, transform.Transform{Type: transform.TypeInteg, ID: transform.IntegHMACSHA256128}
	c, _, err := transform.NewCBCHMAC(s, v.Key, make([]byte, 32))
	if err != nil {
		return err.Error(), ""
	}
	got := make([]byte, len(v.Ct))
	c.Decrypt(got, v.Iv, v.Ct)
	again := make([]byte, len(v.Ct))
	c.Encrypt(again, v.Iv, got)
	if plain, ok := unpad(got); !ok || !bytes.Equal(plain, v.Msg) || !bytes.Equal(again, v.Ct) {
		return fmt.Sprintf("%x", got), ""
	}
	return "", ""
}

// feedCBCHMAC checks the integrity before it decrypts, as IKE and ESP do. The
// key is that of the HMAC and that of the cipher (RFC 7518, section 5.2.2); HMAC
// itself fills a short key up with zeros, as is done here to have one of our size.
func feedCBCHMAC(g *group, v *vector) (string, string) {
	half := len(v.Key) / 2
	s := suiteOf("", transform.ProtoESP, 8*half)
	s.Encr.ID, s.Integ = transform.EncrAESCBC, transform.Transform{Type: transform.TypeInteg, ID: integOf[g.TagSize]}
	c, mac, err := transform.NewCBCHMAC(s, v.Key[half:], append(bytes.Clone(v.Key[:half]), make([]byte, half)...))
	if err != nil {
		return err.Error(), ""
	}
	bits := uint64(len(v.Aad)) * 8
	var al [8]byte
	for i := range al {
		al[i] = byte(bits >> (56 - 8*i))
	}
	if !mac.Verify(v.Tag, v.Aad, v.Iv, v.Ct, al[:]) {
		return judge(v, nil, transform.ErrIntegrity), ""
	}
	if len(v.Ct)%c.BlockSize() != 0 {
		return judge(v, nil, transform.ErrIntegrity), ""
	}
	plain := make([]byte, len(v.Ct))
	c.Decrypt(plain, v.Iv, v.Ct)
	got, ok := unpad(plain)
	if !ok {
		return judge(v, nil, errors.New("padding")), ""
	}
	return judge(v, got, nil), ""
}
