package wycheproof

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"sallyport/core/ike/auth"
	"sallyport/core/transform"
)

func prfOf(name string) (transform.PRF, error) {
	_, sha, _ := strings.Cut(name, "_")
	return transform.NewPRF(map[string]transform.ID{"sha1": transform.PRFHMACSHA1, "sha256": transform.PRFHMACSHA256,
		"sha384": transform.PRFHMACSHA384, "sha512": transform.PRFHMACSHA512}[sha])
}

// feedPRF computes the whole HMAC, with the message in two parts.
func feedPRF(name string) feed {
	return func(g *group, v *vector) (string, string) {
		prf, err := prfOf(name)
		if err != nil {
			return err.Error(), ""
		}
		if g.TagSize != 8*prf.Size() {
			return "", "a PRF is not truncated"
		}
		half := len(v.Msg) / 2
		if good := bytes.Equal(prf.Sum(v.Key, v.Msg[:half], v.Msg[half:]), v.Tag); good != (v.Result == "valid") {
			return fmt.Sprintf("agrees: %v", good), ""
		}
		return "", ""
	}
}

// feedInteg verifies the truncated HMAC of ESP and of IKE with CBC ciphers.
func feedInteg(name string) feed {
	return func(g *group, v *vector) (string, string) {
		prf, err := prfOf(name)
		if err != nil {
			return err.Error(), ""
		}
		if len(v.Key) > prf.Size() {
			return "", "the key of an integrity algorithm has the size of its hash"
		}
		key := append(bytes.Clone(v.Key), make([]byte, prf.Size()-len(v.Key))...) // as HMAC itself fills it up
		id := map[int]transform.ID{20: transform.IntegHMACSHA1_96, 32: transform.IntegHMACSHA256128,
			48: transform.IntegHMACSHA384192, 64: transform.IntegHMACSHA512256}[prf.Size()]
		mac, err := transform.NewHMAC(id, key)
		if err != nil {
			return err.Error(), ""
		}
		tag := v.Tag
		switch {
		case len(tag) == mac.Size():
		case len(tag) > mac.Size() && v.Result == "valid":
			// A truncation of the vector's own.
			if mac.Verify(tag, v.Msg) {
				return "a tag that is too long verifies", ""
			}
			tag = tag[:mac.Size()]
		case v.Result == "valid":
			return "", "a tag shorter than ours"
		default:
			return "", "what is invalid lies beyond the truncation"
		}
		if good := mac.Verify(tag, v.Msg); good != (v.Result == "valid") {
			return fmt.Sprintf("verifies: %v", good), ""
		}
		return "", ""
	}
}

// feedPlus computes prf+, which is the second half of HKDF (RFC 5869, section
// 2.3; RFC 7296, section 2.13), over the prf, which is the first.
func feedPlus(name string) feed {
	return func(_ *group, v *vector) (wrong, cannot string) {
		prf, err := prfOf(name)
		if err != nil {
			return err.Error(), ""
		}
		defer func() {
			if r := recover(); (r != nil) != (v.Result == "invalid") {
				wrong = fmt.Sprintf("panic: %v", r)
			}
		}()
		salt := v.Salt
		if len(salt) == 0 {
			salt = make([]byte, prf.Size())
		}
		if got := prf.Plus(prf.Sum(salt, v.Ikm), v.Info, v.Size); !bytes.Equal(got, v.Okm) {
			return fmt.Sprintf("%x", got), ""
		}
		return "", ""
	}
}

// The curves of the files, and how they travel in a KE payload.
var methods = map[string]struct {
	id    transform.ID
	curve elliptic.Curve // nil: X25519
}{
	"x25519":                 {transform.KEX25519, nil},
	"ecdh_secp256r1":         {transform.KEECP256, elliptic.P256()},
	"ecdh_secp256r1_ecpoint": {transform.KEECP256, elliptic.P256()},
	"ecdh_secp384r1_ecpoint": {transform.KEECP384, elliptic.P384()},
	"ecdh_secp521r1_ecpoint": {transform.KEECP521, elliptic.P521()},
}

// feedKE gives the public value as a KE payload has it. A point that would give
// the secret away, or is none, has to be refused.
func feedKE(name string) feed {
	m := methods[name]
	return func(_ *group, v *vector) (string, string) {
		public := v.Public
		if m.curve != nil {
			if name == "ecdh_secp256r1" {
				if public = pointOf(public); public == nil {
					return "", "not a key in ASN.1: a KE payload has none"
				}
			}
			if len(public) == 0 || public[0] != 4 {
				// Compressed, hybrid, or infinity: the form without its first byte.
				return wantRefused(m.id, v, public), ""
			}
			public = public[1:]
		}
		scalar := make([]byte, (transform.PublicSize(m.id)+1)/2)
		if m.curve == nil {
			scalar = make([]byte, 32)
		}
		d := new(big.Int).SetBytes(v.Private)
		if d.BitLen() > 8*len(scalar) {
			return "", "a private key that is too long"
		}
		d.FillBytes(scalar)
		ke, err := transform.NewKeyExchange(m.id, bytes.NewReader(scalar))
		if err != nil {
			return "", "a private key out of range: we draw another"
		}
		got, err := ke.Shared(public)
		if m.curve == nil && bytes.Equal(v.Shared, make([]byte, 32)) {
			if !errors.Is(err, transform.ErrBadPublic) {
				return fmt.Sprintf("a shared secret of zeros: %x, %v", got, err), ""
			}
			return "", ""
		}
		if m.curve == nil && v.Result == "acceptable" && err == nil && bytes.Equal(got, v.Shared) {
			return "", "" // RFC 7748 has every value accepted that keeps the secret
		}
		if m.curve != nil && v.Result != "valid" {
			n := len(public) / 2
			x, y := new(big.Int).SetBytes(public[:n]), new(big.Int).SetBytes(public[n:])
			if len(public) == transform.PublicSize(m.id) && onCurve(m.curve, x, y) {
				if err == nil && bytes.Equal(got, v.Shared) || v.Result == "invalid" {
					return "", "only its ASN.1 is at fault: the curve goes by number"
				}
				return fmt.Sprintf("%x, %v", got, err), ""
			}
			return wantRefused(m.id, v, v.Public), ""
		}
		if err != nil || !bytes.Equal(got, v.Shared) {
			return fmt.Sprintf("%x, %v", got, err), ""
		}
		return "", ""
	}
}

// wantRefused gives a value in all the forms that could slip through.
func wantRefused(id transform.ID, v *vector, public []byte) string {
	scalar := make([]byte, 66)
	scalar[0], scalar[31], scalar[47] = 0, 7, 7
	ke, err := transform.NewKeyExchange(id, bytes.NewReader(append(scalar, scalar...)))
	if err != nil {
		return err.Error()
	}
	forms := [][]byte{public}
	if len(public) > 0 {
		forms = append(forms, public[1:])
	}
	if p := pointOf(public); p != nil {
		forms = append(forms, p, p[1:])
	}
	for _, p := range forms {
		if got, err := ke.Shared(p); !errors.Is(err, transform.ErrBadPublic) {
			return fmt.Sprintf("%x gives %x, %v", p, got, err)
		}
	}
	return ""
}

func onCurve(c elliptic.Curve, x, y *big.Int) bool {
	p := c.Params()
	if x.Cmp(p.P) >= 0 || y.Cmp(p.P) >= 0 {
		return false
	}
	left := new(big.Int).Exp(y, big.NewInt(2), p.P)
	right := new(big.Int).Exp(x, big.NewInt(3), p.P)
	right.Sub(right, new(big.Int).Mul(x, big.NewInt(3))).Add(right, p.B).Mod(right, p.P)
	return left.Cmp(right) == 0
}

// pointOf returns the point of a SubjectPublicKeyInfo, whatever its curve.
func pointOf(spki []byte) []byte {
	var k struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(spki, &k); err != nil || len(rest) > 0 || len(k.Key.Bytes) == 0 {
		return nil
	}
	return k.Key.Bytes
}

// algIDs are the AlgorithmIdentifiers of RFC 7427, appendix A, that stand before
// a signature, by scheme.
var algIDs = map[string]string{
	"ecdsa-sha256":   "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
	"ecdsa-sha384":   "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
	"ecdsa-sha512":   "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
	"ed25519":        "\x30\x05\x06\x03\x2b\x65\x70",
	"rsa-sha256":     "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
	"rsa-sha384":     "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
	"rsa-sha512":     "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00",
	"rsa-pss-sha256": pssID(1, 32),
	"rsa-pss-sha384": pssID(2, 48),
	"rsa-pss-sha512": pssID(3, 64),
}

func pssID(hash, salt byte) string {
	h := "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" + string([]byte{hash}) + "\x05\x00"
	return "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f" + h +
		"\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" + h + "\xa2\x03\x02\x01" + string([]byte{salt})
}

// feedAuth verifies an AUTH payload: with the signature as RFC 7427 has it, and
// r | s as RFC 4754 has it.
func feedAuth(name string) feed {
	family := name[:strings.IndexByte(name+"_", '_')]
	pss, raw := strings.HasPrefix(name, "rsa_pss"), strings.HasSuffix(name, "p1363")
	return func(g *group, v *vector) (string, string) {
		pub, err := x509.ParsePKIXPublicKey(g.PublicKeyDer)
		if err != nil {
			return "", "the key does not parse: " + err.Error()
		}
		hash := strings.ToLower(strings.ReplaceAll(g.Sha, "-", ""))
		scheme := family
		switch {
		case pss:
			scheme = "rsa-pss-" + hash
		case family != "ed25519":
			scheme = family + "-" + hash
		}
		valid, method, data := v.Result == "valid", auth.MethodDigitalSignature, []byte(nil)
		switch id := algIDs[scheme]; {
		case raw:
			method = map[string]auth.Method{"sha256": auth.MethodECDSA256, "sha384": auth.MethodECDSA384, "sha512": auth.MethodECDSA521}[hash]
			data = v.Sig
		case id == "": // SHA-1 within PSS: there is no such scheme, by whatever name
			for _, id := range []string{pssID(1, 20), pssID(1, 32), "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x00"} {
				data = append(append([]byte{byte(len(id))}, id...), v.Sig...)
				if _, err := auth.Verify(pub, method, data, v.Msg, nil); err == nil {
					return "PSS with SHA-1 verifies", ""
				}
			}
			return "", ""
		default:
			data = append(append([]byte{byte(len(id))}, id...), v.Sig...)
		}
		if pss && (g.MgfSha != g.Sha || g.SLen != sizes[hash].Size()) {
			if v.Comment == fmt.Sprintf("s_len changed to %d", sizes[hash].Size()) {
				return "", "wrong for its group alone: the salt is of the size that we ask for"
			}
			valid = false // RSASSA-PSS of IKEv2 has one hash, and a salt of its size
		}
		if _, err := auth.Verify(pub, method, data, v.Msg, nil); (err == nil) != valid {
			return fmt.Sprintf("verify: %v", err), ""
		}
		return "", ""
	}
}

var sizes = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}
