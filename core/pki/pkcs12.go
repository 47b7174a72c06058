package pki

import (
	"crypto"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// The bounds on a container: what one may make us compute.
const (
	maxContainer  = 1 << 20
	maxDerivation = 2_000_000 // iterations of key derivation, together
	maxBags       = 64
)

// pfx is the outside of a container (RFC 7292, section 4).
type pfx struct {
	Version  int
	AuthSafe contentInfo
	MAC      macData `asn1:"optional"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type macData struct {
	MAC struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Salt       []byte
	Iterations int `asn1:"optional,default:1"`
}

type encryptedData struct {
	Version int
	Info    struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Content   []byte `asn1:"tag:0,optional"`
	}
}

type safeBag struct {
	ID         asn1.ObjectIdentifier
	Value      asn1.RawValue   `asn1:"tag:0,explicit"`
	Attributes []asn1.RawValue `asn1:"set,optional"`
}

// RFC 7292, sections 4.1 and 4.2 and appendix D; RFC 9579.
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidKeyBag        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidShroudedKey   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidPBMAC1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidHMACSHA256    = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
)

// IsPKCS12 reports whether a file looks like a PKCS #12 container.
func IsPKCS12(b []byte) bool {
	var p pfx
	rest, err := asn1.Unmarshal(b, &p)
	return err == nil && len(rest) == 0 && p.Version == 3
}

// ParsePKCS12 reads a container with one private key, the certificate that
// belongs to it and others, of which Chain picks those to send along. Its
// errors do not quote the file; they are ErrPassphraseNeeded or
// ErrPassphraseWrong where that is what is wrong.
func ParsePKCS12(b, passphrase []byte) (*Credential, error) {
	malformed := func(detail string, err error) error {
		return &Error{Kind: Malformed, Detail: "the PKCS #12 file " + detail, Err: err}
	}
	if len(b) > maxContainer {
		return nil, malformed(fmt.Sprintf("of %d bytes is too large", len(b)), nil)
	}
	ordered, err := keyFirst(b)
	if err != nil {
		return nil, malformed("cannot be read", err)
	}
	// This checks the MAC, and finds the container to be of another kind than it
	// looks for.
	_, err = pkcs12.DecodeTrustStore(b, string(passphrase))
	wrong := errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption)
	switch {
	case wrong && len(passphrase) == 0:
		return nil, ErrPassphraseNeeded
	case wrong:
		return nil, ErrPassphraseWrong
	}
	ordered, err = seal(ordered, passphrase)
	if err != nil {
		return nil, malformed("cannot be read", err)
	}
	key, first, others, err := pkcs12.DecodeChain(ordered, string(passphrase))
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return nil, ErrPassphraseWrong
	case err != nil:
		return nil, malformed("cannot be opened", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, malformed("holds a key that cannot sign", nil)
	}
	certs := append([]*x509.Certificate{first}, others...)
	if len(certs) > maxBags {
		return nil, malformed("holds too many certificates", nil)
	}
	for _, c := range certs {
		if pub, err := PublicKey(c); err == nil && sameKey(pub, signer.Public()) {
			return NewCredential(c, certs, signer)
		}
	}
	return nil, malformed("holds no certificate of its private key", nil)
}

// keyFirst returns the contents of a container in the order in which nothing
// costs more than counted: the key, which must be where its encryption can be
// seen, before what is encrypted as a whole. A second key, which could hide
// there, is refused by the decoder before it derives anything for it.
func keyFirst(b []byte) ([]byte, error) {
	var p pfx
	if rest, err := asn1.Unmarshal(b, &p); err != nil || len(rest) > 0 || p.Version != 3 || !p.AuthSafe.Type.Equal(oidData) {
		return nil, errors.Join(errors.New("it is not protected by a password, or no PKCS #12 file in DER"), err)
	}
	var inner []byte
	if rest, err := asn1.Unmarshal(p.AuthSafe.Content.Bytes, &inner); err != nil || len(rest) > 0 {
		return nil, errors.New("its contents are malformed")
	}
	var safes []asn1.RawValue
	if rest, err := asn1.Unmarshal(inner, &safes); err != nil || len(rest) > 0 || len(safes) > 2 {
		return nil, errors.New("its contents are malformed, or more than two")
	}
	work := 0
	add := func(n int, err error) error {
		if err == nil && (n < 0 || n > maxDerivation-work) {
			err = fmt.Errorf("it demands more than %d iterations to derive its keys", maxDerivation)
		}
		work += n
		return err
	}
	if err := add(macWork(&p.MAC)); err != nil {
		return nil, err
	}
	var plain, sealed []asn1.RawValue
	keys := 0
	for _, raw := range safes {
		var ci contentInfo
		if rest, err := asn1.Unmarshal(raw.FullBytes, &ci); err != nil || len(rest) > 0 {
			return nil, errors.New("its contents are malformed")
		}
		switch {
		case ci.Type.Equal(oidEncryptedData):
			var e encryptedData
			if rest, err := asn1.Unmarshal(ci.Content.Bytes, &e); err != nil || len(rest) > 0 {
				return nil, errors.New("its encrypted contents are malformed")
			}
			if err := add(pbeWork(e.Info.Algorithm)); err != nil {
				return nil, err
			}
			sealed = append(sealed, raw)
		case ci.Type.Equal(oidData):
			algorithms, n, err := keyBags(ci.Content.Bytes)
			if err != nil {
				return nil, err
			}
			for _, a := range algorithms {
				if err := add(pbeWork(a)); err != nil {
					return nil, err
				}
			}
			keys += n
			plain = append(plain, raw)
		default:
			return nil, errors.New("its contents are encrypted for a certificate rather than with a password")
		}
	}
	if keys != 1 {
		return nil, fmt.Errorf("it holds %d private keys in a place of their own, and one is needed", keys)
	}
	return asn1.Marshal(append(plain, sealed...))
}

// keyBags returns how the keys among unencrypted bags are encrypted, and how
// many keys there are.
func keyBags(content []byte) (algorithms []pkix.AlgorithmIdentifier, keys int, err error) {
	var data []byte
	var bags []safeBag
	if rest, err := asn1.Unmarshal(content, &data); err != nil || len(rest) > 0 {
		return nil, 0, errors.New("its contents are malformed")
	}
	if rest, err := asn1.Unmarshal(data, &bags); err != nil || len(rest) > 0 || len(bags) > maxBags {
		return nil, 0, errors.New("its contents are malformed, or too many")
	}
	for _, bag := range bags {
		switch {
		case bag.ID.Equal(oidKeyBag):
			keys++
		case bag.ID.Equal(oidShroudedKey):
			k, ok := parseEncrypted(bag.Value.Bytes)
			if !ok {
				return nil, 0, errors.New("its private key is malformed")
			}
			algorithms = append(algorithms, k.Algorithm)
			keys++
		}
	}
	return algorithms, keys, nil
}

// macWork returns how many iterations the MAC asks for.
func macWork(m *macData) (int, error) {
	if !m.MAC.Algorithm.Algorithm.Equal(oidPBMAC1) {
		return m.Iterations, nil
	}
	var params struct{ KDF, Scheme pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(m.MAC.Algorithm.Parameters.FullBytes, &params); err != nil {
		return 0, errors.New("its MAC is malformed")
	}
	return kdfWork(params.KDF)
}

// pbeWork returns how many iterations an encryption asks for: with PBES2, or
// as RFC 7292, appendix B, has it, for key and IV each.
func pbeWork(a pkix.AlgorithmIdentifier) (int, error) {
	if a.Algorithm.Equal(oidPBES2) {
		var params struct{ KDF, Cipher pkix.AlgorithmIdentifier }
		if _, err := asn1.Unmarshal(a.Parameters.FullBytes, &params); err != nil {
			return 0, errors.New("its encryption is malformed")
		}
		return kdfWork(params.KDF)
	}
	var params struct {
		Salt       []byte
		Iterations int32
	}
	if _, err := asn1.Unmarshal(a.Parameters.FullBytes, &params); err != nil {
		return 0, errors.New("its encryption is malformed")
	}
	return 2 * int(params.Iterations), nil
}

func kdfWork(a pkix.AlgorithmIdentifier) (int, error) {
	var params struct {
		Salt       asn1.RawValue
		Iterations int32
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(a.Parameters.FullBytes, &params); err != nil || !a.Algorithm.Equal(oidPBKDF2) {
		return 0, errors.New("its key derivation is malformed, or not PBKDF2")
	}
	return int(params.Iterations), nil
}

// seal makes a container of contents whose integrity is known already, with a
// MAC (RFC 9579) for the decoder to see.
func seal(contents, passphrase []byte) ([]byte, error) {
	salt := []byte("reordered")
	key, err := pbkdf2.Key(sha256.New, string(passphrase), salt, 1, sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(contents)

	prf := pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue}
	kdf, err := asn1.Marshal(struct {
		Salt                  []byte
		Iterations, KeyLength int
		PRF                   pkix.AlgorithmIdentifier
	}{salt, 1, sha256.Size, prf})
	if err != nil {
		return nil, err
	}
	params, err := asn1.Marshal(struct{ KDF, Scheme pkix.AlgorithmIdentifier }{
		pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: kdf}}, prf})
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal(contents)
	if err != nil {
		return nil, err
	}
	out := pfx{Version: 3, AuthSafe: contentInfo{Type: oidData, Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}}}
	out.MAC.MAC.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidPBMAC1, Parameters: asn1.RawValue{FullBytes: params}}
	out.MAC.MAC.Digest, out.MAC.Salt, out.MAC.Iterations = mac.Sum(nil), salt, 1
	return asn1.Marshal(out)
}
