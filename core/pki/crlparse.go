package pki

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions of CRLs that are understood (RFC 5280, section 5.2): the last
// number of their identifiers, which all begin with 2.5.29.
const (
	idCRLNumber         = 20
	idReasonCode        = 21
	idInvalidityDate    = 24
	idDeltaCRL          = 27
	idDistributionPoint = 28
	idCertificateIssuer = 29
	idAuthorityKeyID    = 35
)

// A crl is a certificate revocation list (RFC 5280, section 5.1), of which
// everything aliases the bytes that it was parsed from.
type crl struct {
	raw, signature []byte // what is signed, and with what
	algorithm      pkix.AlgorithmIdentifier
	issuer         []byte
	body           cryptobyte.String // what follows the issuer

	// Set by parseBody.
	this, next time.Time // next is zero when the list does not say it
	entries    cryptobyte.String
	extensions extensionList
}

// parseCRL parses as much of a list as is needed to verify it.
func parseCRL(b []byte) (*crl, error) {
	var l crl
	var list, tbs, algorithm, inner, issuer cryptobyte.String
	var signature asn1.BitString
	input := cryptobyte.String(b)
	if !input.ReadASN1(&list, der.SEQUENCE) || !input.Empty() ||
		!list.ReadASN1Element(&tbs, der.SEQUENCE) ||
		!list.ReadASN1Element(&algorithm, der.SEQUENCE) ||
		!list.ReadASN1BitString(&signature) || !list.Empty() || signature.BitLength%8 != 0 {
		return nil, errCRLForm
	}
	l.raw, l.signature = tbs, signature.Bytes
	var version int64
	if !tbs.ReadASN1(&tbs, der.SEQUENCE) ||
		tbs.PeekASN1Tag(der.INTEGER) && (!tbs.ReadASN1Integer(&version) || version != 1) ||
		!tbs.ReadASN1Element(&inner, der.SEQUENCE) || !bytes.Equal(inner, algorithm) ||
		!tbs.ReadASN1Element(&issuer, der.SEQUENCE) {
		return nil, errCRLForm
	}
	if rest, err := asn1.Unmarshal(algorithm, &l.algorithm); err != nil || len(rest) > 0 {
		return nil, errCRLForm
	}
	l.issuer, l.body = issuer, tbs
	return &l, nil
}

// parseBody parses the rest, of a list that is verified.
func (l *crl) parseBody() error {
	s := l.body
	var extensions, list cryptobyte.String
	var present bool
	if !readTime(&s, &l.this) ||
		(s.PeekASN1Tag(der.UTCTime) || s.PeekASN1Tag(der.GeneralizedTime)) && !readTime(&s, &l.next) ||
		s.PeekASN1Tag(der.SEQUENCE) && !s.ReadASN1(&l.entries, der.SEQUENCE) ||
		!s.ReadOptionalASN1(&extensions, &present, der.Tag(0).ContextSpecific().Constructed()) || !s.Empty() ||
		present && (!extensions.ReadASN1(&list, der.SEQUENCE) || !extensions.Empty()) {
		return errCRLForm
	}
	l.extensions = extensionList(list)
	if !l.extensions.valid() {
		return errCRLForm
	}
	return nil
}

// find looks for a serial number. The time is zero when the list does not have it.
// An entry of a certificate that somebody else issued, or one that is not
// understood, makes the whole list useless.
func (l *crl) find(serial *big.Int) (at time.Time, reason int, err error) {
	want := serial.Bytes()
	for entries := l.entries; !entries.Empty(); {
		var entry, number, list cryptobyte.String
		if !entries.ReadASN1(&entry, der.SEQUENCE) || !entry.ReadASN1(&number, der.INTEGER) || len(number) == 0 {
			return at, 0, errCRLForm
		}
		when := entry
		if !entry.SkipASN1(der.UTCTime) && !entry.SkipASN1(der.GeneralizedTime) {
			return at, 0, errCRLForm
		}
		if !entry.Empty() && (!entry.ReadASN1(&list, der.SEQUENCE) || !entry.Empty() || !extensionList(list).valid()) {
			return at, 0, errCRLForm
		}
		said := 0
		for e := range extensionList(list).all {
			switch {
			case e.id == idCertificateIssuer:
				return at, 0, errIndirect
			case e.id == idReasonCode:
				value := cryptobyte.String(e.value)
				if !value.ReadASN1Enum(&said) {
					return at, 0, errCRLForm
				}
			case e.critical && e.id != idInvalidityDate:
				return at, 0, errCRLExtension
			}
		}
		if number[0] >= 0x80 || !bytes.Equal(bytes.TrimLeft(number, "\x00"), want) {
			continue
		}
		if !readTime(&when, &at) || at.IsZero() {
			return time.Time{}, 0, errCRLForm
		}
		return at, said, nil
	}
	return at, 0, nil
}

// readTime reads a Time (RFC 5280, section 5.1.2.4).
func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(der.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

// An extensionList is what a SEQUENCE OF Extension holds.
type extensionList cryptobyte.String

type crlExtension struct {
	id       byte // the last number of an identifier below 2.5.29; 0: another one
	critical bool
	value    []byte
}

// valid reports whether the whole list can be read.
func (l extensionList) valid() bool {
	s := cryptobyte.String(l)
	for !s.Empty() {
		if _, ok := readExtension(&s); !ok {
			return false
		}
	}
	return true
}

// all calls f with each extension of a valid list.
func (l extensionList) all(f func(crlExtension) bool) {
	s := cryptobyte.String(l)
	for !s.Empty() {
		e, ok := readExtension(&s)
		if !ok || !f(e) {
			return
		}
	}
}

func readExtension(s *cryptobyte.String) (e crlExtension, ok bool) {
	var x, id, value cryptobyte.String
	if !s.ReadASN1(&x, der.SEQUENCE) || !x.ReadASN1(&id, der.OBJECT_IDENTIFIER) ||
		x.PeekASN1Tag(der.BOOLEAN) && !x.ReadASN1Boolean(&e.critical) ||
		!x.ReadASN1(&value, der.OCTET_STRING) || !x.Empty() {
		return e, false
	}
	if len(id) == 3 && id[0] == 0x55 && id[1] == 0x1d {
		e.id = id[2]
	}
	e.value = value
	return e, true
}
