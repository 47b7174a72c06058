package draft

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
)

// A KeyState says what a file holds of a private key.
type KeyState int

// The values of KeyState.
const (
	KeyNone KeyState = iota
	KeyPlain
	KeyEncrypted
)

// A Content is what is in a file of certificates and keys, as far as it can be
// told without a passphrase.
type Content struct {
	Certificates []*x509.Certificate
	Key          KeyState
	// Container says that the file is a PKCS #12 container: with a key, and with
	// certificates that cannot be seen without its passphrase.
	Container bool
	// Foreign is the fault of a file of a kind that cannot be read: OpenSSHKey.
	Foreign Kind

	public crypto.PublicKey // of a plain key
}

// maxBlocks bounds what is looked at in one file.
const maxBlocks = 1024

// Inspect tells what is in a file, PEM or DER. What it cannot read it leaves
// out; what to make of that is the caller's to say.
func Inspect(data []byte) Content {
	var c Content
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		c.der(data)
		return c
	}
	for n, rest := 0, data; n < maxBlocks; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				c.Certificates = append(c.Certificates, cert)
			}
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				c.Key = KeyEncrypted
			} else {
				c.key(block.Bytes)
			}
		case "ENCRYPTED PRIVATE KEY":
			c.Key = KeyEncrypted
		case "OPENSSH PRIVATE KEY":
			c.Foreign = OpenSSHKey
		}
	}
	return c
}

func (c *Content) der(data []byte) {
	if certs, err := x509.ParseCertificates(data); err == nil && len(certs) > 0 {
		c.Certificates = certs
		return
	}
	var outer struct {
		First asn1.RawValue
		Rest  asn1.RawValue `asn1:"optional"`
		More  asn1.RawValue `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(data, &outer); err != nil || len(rest) > 0 {
		return
	}
	switch {
	// PFX ::= SEQUENCE { version INTEGER (3), authSafe, macData } (RFC 7292, section 4).
	case outer.First.Tag == asn1.TagInteger && bytes.Equal(outer.First.Bytes, []byte{3}) && outer.Rest.Tag == asn1.TagSequence:
		c.Container, c.Key = true, KeyEncrypted
	// EncryptedPrivateKeyInfo ::= SEQUENCE { algorithm SEQUENCE, data OCTET STRING } (RFC 5958, section 3).
	case outer.First.Tag == asn1.TagSequence && outer.Rest.Tag == asn1.TagOctetString:
		c.Key = KeyEncrypted
	default:
		c.key(data)
	}
}

// key takes note of an unencrypted private key. One of a kind that is unknown
// here counts as well: the service knows more kinds.
func (c *Content) key(der []byte) {
	if _, err := asn1.Unmarshal(der, new(asn1.RawValue)); err != nil {
		return
	}
	c.Key = KeyPlain
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			if key, err = x509.ParseECPrivateKey(der); err != nil {
				return
			}
		}
	}
	if s, ok := key.(crypto.Signer); ok {
		c.public = s.Public()
	}
}

// Fits reports whether the private key belongs to a certificate, or whether
// that cannot be told here.
func (c *Content) Fits(cert *x509.Certificate) bool {
	own, ok := c.public.(interface{ Equal(crypto.PublicKey) bool })
	return !ok || cert.PublicKey == nil || own.Equal(cert.PublicKey)
}

// certificatesOnly returns the certificates of a file without the key that may
// be beside them: that goes a way of its own.
func certificatesOnly(data []byte) []byte {
	c := Inspect(data)
	if c.Key == KeyNone || len(c.Certificates) == 0 {
		return data
	}
	var out []byte
	for _, cert := range c.Certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}
