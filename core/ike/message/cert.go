package message

import (
	"crypto/sha1"
	"fmt"
)

// A Cert payload carries a certificate (RFC 7296, section 3.6).
type Cert struct {
	Encoding CertEncoding
	Data     []byte
}

// Type returns PayloadCERT.
func (c *Cert) Type() PayloadType { return PayloadCERT }

// AppendTo appends the payload body to b.
func (c *Cert) AppendTo(b []byte) []byte {
	return append(append(b, byte(c.Encoding)), c.Data...)
}

// ParseCert parses a payload body. The result aliases b.
func ParseCert(b []byte) (Cert, error) {
	if len(b) < 1 {
		return Cert{}, fmt.Errorf("certificate: no encoding: %w", ErrShort)
	}
	return Cert{CertEncoding(b[0]), b[1:]}, nil
}

// A CertReq payload asks for a certificate of one of the authorities (RFC
// 7296, section 3.7).
type CertReq struct {
	Encoding CertEncoding
	// Authorities holds for X.509 the SHA-1 hashes of the public keys of
	// trusted authorities, one after the other. Empty: any.
	Authorities []byte
}

// Type returns PayloadCERTREQ.
func (c *CertReq) Type() PayloadType { return PayloadCERTREQ }

// AppendTo appends the payload body to b.
func (c *CertReq) AppendTo(b []byte) []byte {
	return append(append(b, byte(c.Encoding)), c.Authorities...)
}

// ParseCertReq parses a payload body. The result aliases b.
func ParseCertReq(b []byte) (CertReq, error) {
	if len(b) < 1 {
		return CertReq{}, fmt.Errorf("certificate request: no encoding: %w", ErrShort)
	}
	return CertReq{CertEncoding(b[0]), b[1:]}, nil
}

// Hashes splits Authorities into hashes, aliased; it leaves out an incomplete
// one at the end. It returns nil for encodings that carry no hashes.
func (c *CertReq) Hashes() [][]byte {
	switch c.Encoding {
	case CertX509Signature, CertHashAndURL, CertHashAndURLBundle:
	default:
		return nil
	}
	var hashes [][]byte
	for b := c.Authorities; len(b) >= sha1.Size; b = b[sha1.Size:] {
		hashes = append(hashes, b[:sha1.Size:sha1.Size])
	}
	return hashes
}
