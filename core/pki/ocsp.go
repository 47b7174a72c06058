package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"sallyport/core/ike/auth"
)

// An OCSP response (RFC 6960, section 4.2.1).
type ocspResponse struct {
	Status asn1.Enumerated
	Bytes  struct {
		Type asn1.ObjectIdentifier
		Data []byte
	} `asn1:"explicit,tag:0,optional"`
}

type ocspBasic struct {
	Data         ocspData
	Algorithm    pkix.AlgorithmIdentifier
	Signature    asn1.BitString
	Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
}

type ocspData struct {
	Raw        asn1.RawContent
	Version    int `asn1:"optional,default:0,explicit,tag:0"`
	Responder  asn1.RawValue
	ProducedAt time.Time `asn1:"generalized"`
	Responses  []ocspSingle
	Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
}

type ocspSingle struct {
	ID struct {
		Hash     pkix.AlgorithmIdentifier
		NameHash []byte
		KeyHash  []byte
		Serial   *big.Int
	}
	Good    asn1.Flag `asn1:"tag:0,optional"`
	Revoked struct {
		At     time.Time       `asn1:"generalized"`
		Reason asn1.Enumerated `asn1:"explicit,tag:0,optional"`
	} `asn1:"tag:1,optional"`
	Unknown    asn1.Flag        `asn1:"tag:2,optional"`
	ThisUpdate time.Time        `asn1:"generalized"`
	NextUpdate time.Time        `asn1:"generalized,explicit,tag:0,optional"`
	Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
}

var (
	oidOCSPBasic   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidOCSPNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

	errOCSPSize    = fmt.Errorf("the OCSP response is larger than %d bytes", MaxOCSP)
	errOCSPOther   = errors.New("the OCSP response is not about this certificate")
	errOCSPUnknown = errors.New("the authority does not know this certificate")
	errOCSPSigner  = errors.New("the OCSP response is not signed by the authority, or by whom it told to")
	errOCSPForm    = errors.New("the OCSP response is of an unknown form")
)

// withoutEnd is how long an OCSP response serves that does not say so: it tells
// that newer information is there at all times (RFC 6960, section 4.2.2.1).
const withoutEnd = 10 * time.Minute

// ocspHashes are the hashes of issuers in certificate IDs.
var ocspHashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1}, // names the issuer, and proves nothing
	{oidSHA256, crypto.SHA256}, {oidSHA384, crypto.SHA384}, {oidSHA512, crypto.SHA512},
}

// answerSignatures are the algorithms that an answer may be signed with.
var answerSignatures = []struct {
	oid       asn1.ObjectIdentifier
	algorithm x509.SignatureAlgorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, x509.SHA256WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, x509.SHA384WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, x509.SHA512WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, x509.ECDSAWithSHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, x509.ECDSAWithSHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, x509.ECDSAWithSHA512},
	{asn1.ObjectIdentifier{1, 3, 101, 112}, x509.PureEd25519},
}

// takeOCSP judges the certificate by an OCSP response.
func (x *checked) takeOCSP(der []byte, now time.Time) (time.Time, error) {
	if len(der) > MaxOCSP {
		return time.Time{}, errOCSPSize
	}
	var r ocspResponse
	if rest, err := asn1.Unmarshal(der, &r); err != nil || len(rest) > 0 {
		return time.Time{}, errOCSPForm
	}
	if r.Status != 0 {
		return time.Time{}, fmt.Errorf("the OCSP server refuses to answer (status %d)", r.Status)
	}
	var b ocspBasic
	if !r.Bytes.Type.Equal(oidOCSPBasic) {
		return time.Time{}, errOCSPForm
	}
	if rest, err := asn1.Unmarshal(r.Bytes.Data, &b); err != nil || len(rest) > 0 || b.Data.Version != 0 {
		return time.Time{}, errOCSPForm
	}
	// What concerns us is looked for before any signature is checked.
	i := slices.IndexFunc(b.Data.Responses, func(s ocspSingle) bool { return s.about(x.cert, x.issuer) })
	if i < 0 {
		return time.Time{}, errOCSPOther
	}
	signer, err := b.signed(x.issuer, x.weak, now)
	if err != nil {
		return time.Time{}, err
	}
	s := &b.Data.Responses[i]
	if hasCritical(b.Data.Extensions) || hasCritical(s.Extensions) {
		return time.Time{}, errOCSPForm
	}
	until := s.NextUpdate
	if until.IsZero() {
		until = s.ThisUpdate.Add(withoutEnd)
	}
	if err := current(s.ThisUpdate, until, now); err != nil {
		return time.Time{}, err
	}
	switch isRevoked := !s.Revoked.At.IsZero(); {
	case isRevoked:
		x.settle(true, s.Revoked.At, int(s.Revoked.Reason))
	case bool(s.Good) && !bool(s.Unknown):
		x.settle(false, time.Time{}, 0)
		x.signer = signer
	default:
		return time.Time{}, errOCSPUnknown
	}
	return until, nil
}

func hasCritical(list []pkix.Extension) bool {
	return slices.ContainsFunc(list, func(e pkix.Extension) bool { return e.Critical })
}

// about reports whether an answer is about a certificate: its serial number,
// and its issuer's name and key.
func (s *ocspSingle) about(cert, issuer *x509.Certificate) bool {
	if s.ID.Serial == nil || s.ID.Serial.Cmp(cert.SerialNumber) != 0 {
		return false
	}
	key, ok := keyBits(issuer)
	if !ok {
		return false
	}
	for _, h := range ocspHashes {
		if h.oid.Equal(s.ID.Hash.Algorithm) {
			return bytes.Equal(s.ID.NameHash, digest(h.hash, issuer.RawSubject)) && bytes.Equal(s.ID.KeyHash, digest(h.hash, key))
		}
	}
	return false
}

func digest(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// keyBits is the public key of a certificate as hashes of keys are made of it.
func keyBits(c *x509.Certificate) ([]byte, bool) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil || len(rest) > 0 {
		return nil, false
	}
	return info.Key.RightAlign(), true
}

// signed checks that the issuer signed the answer, or one whom it has certified
// for just that (RFC 6960, section 4.2.2.2), whose certificate it returns when it
// may have been revoked in its turn.
func (b *ocspBasic) signed(issuer *x509.Certificate, weak bool, now time.Time) (*x509.Certificate, error) {
	holds, err := signatureOf(b.Algorithm, b.Data.Raw, b.Signature.RightAlign())
	if err != nil {
		return nil, err
	}
	by := func(c *x509.Certificate) error {
		if err := strongSigner(c, weak); err != nil {
			return err
		}
		if !holds(c) {
			return errOCSPSigner
		}
		return nil
	}
	if b.names(issuer) {
		if err := by(issuer); err == nil {
			return nil, nil
		}
	}
	if len(b.Certificates) > maxOCSPCerts {
		return nil, errOCSPSigner
	}
	for _, raw := range b.Certificates {
		c, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil || !b.names(c) || tooCostly(c) {
			continue
		}
		if err := delegate(c, issuer, now); err != nil {
			return nil, err
		}
		if err := by(c); err != nil || forGood(c) {
			return nil, err
		}
		return c, nil
	}
	return nil, errOCSPSigner
}

// forGood reports whether an authority says of who signs its answers that it is not
// to be asked about (id-pkix-ocsp-nocheck), or does not say where (RFC 6960, section
// 4.2.2.2.1). An OCSP server that vouches for itself would be no answer: lists are.
func forGood(c *x509.Certificate) bool {
	return len(c.CRLDistributionPoints) == 0 ||
		slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidOCSPNoCheck) })
}

// signatureOf returns what says whether the key of a certificate has signed an
// answer, by an algorithm that holds.
func signatureOf(algorithm pkix.AlgorithmIdentifier, signed, sig []byte) (holds func(*x509.Certificate) bool, err error) {
	if algorithm.Algorithm.Equal(oidRSASSAPSS) {
		hash, err := pssHash(algorithm.Parameters.FullBytes)
		if err != nil || hash == 0 { // without parameters it is SHA-1
			return nil, errWeakAnswer
		}
		return func(c *x509.Certificate) bool {
			pub, err := PublicKey(c)
			if err != nil {
				return false
			}
			if k, ok := pub.(*auth.PSSPublicKey); ok && (k.Hash == 0 || k.Hash == hash) {
				pub = k.Key
			}
			k, ok := pub.(*rsa.PublicKey)
			return ok && rsa.VerifyPSS(k, hash, digest(hash, signed), sig, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
		}, nil
	}
	for _, s := range answerSignatures {
		if s.oid.Equal(algorithm.Algorithm) {
			return func(c *x509.Certificate) bool { return c.CheckSignature(s.algorithm, signed, sig) == nil }, nil
		}
	}
	return nil, errWeakAnswer
}

// names reports whether the answer says that c signed it.
func (b *ocspBasic) names(c *x509.Certificate) bool {
	r := b.Data.Responder
	if r.Class != asn1.ClassContextSpecific {
		return false
	}
	switch r.Tag {
	case 1:
		return bytes.Equal(r.Bytes, c.RawSubject)
	case 2:
		var hash []byte
		if rest, err := asn1.Unmarshal(r.Bytes, &hash); err != nil || len(rest) > 0 {
			return false
		}
		key, ok := keyBits(c)
		sum := sha1.Sum(key)
		return ok && bytes.Equal(hash, sum[:])
	}
	return false
}

// delegate checks that issuer itself has certified c for signing answers.
func delegate(c, issuer *x509.Certificate, now time.Time) error {
	const sign = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject), weakSignature(c.SignatureAlgorithm), c.CheckSignatureFrom(issuer) != nil:
		return errOCSPSigner
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning), c.KeyUsage != 0 && c.KeyUsage&sign == 0:
		return errors.New("the OCSP response is signed by a certificate that is not meant for it")
	case checkTime(c, now) != nil:
		return errors.New("the certificate that signed the OCSP response is out of its time")
	case extensions(c) != nil:
		return errOCSPSigner
	}
	return nil
}
