package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"sallyport/core/ike/auth"
)

// The bounds on files.
const (
	maxFile  = 4 << 20 // a bundle of authorities
	maxCerts = 1024
)

// ParseCertificates reads the certificates of a file: PEM with any number of
// blocks and text between them, or DER, one behind the other. Blocks of other
// kinds are passed over. There must be at least one certificate.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	if len(b) > maxFile {
		return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("a certificate file of %d bytes is too large", len(b))}
	}
	var ders [][]byte
	if isPEM(b) {
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" {
				ders = append(ders, block.Bytes)
			}
			if len(ders) > maxCerts {
				return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("more than %d certificates in one file", maxCerts)}
			}
		}
	} else {
		for rest := b; len(rest) > 0; {
			var v asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &v); err != nil || len(ders) == maxCerts {
				return nil, &Error{Kind: Malformed, Detail: "the file holds no certificate: neither PEM nor DER", Err: err}
			}
			ders = append(ders, v.FullBytes)
		}
	}
	if len(ders) == 0 {
		return nil, &Error{Kind: Malformed, Detail: "the file holds no certificate"}
	}
	var certs []*x509.Certificate
	for i, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("certificate %d of the file cannot be parsed", i+1), Err: err}
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func isPEM(b []byte) bool { return bytes.Contains(b, []byte("-----BEGIN ")) }

// The errors of ParsePrivateKey that a front end answers with a question.
var (
	ErrPassphraseNeeded = errors.New("pki: the private key is encrypted: a passphrase is needed")
	ErrPassphraseWrong  = errors.New("pki: the passphrase does not open the private key")
)

// ParsePrivateKey reads the first private key of a file: PEM or DER, as
// PKCS #8, PKCS #1 or SEC 1, in the clear or encrypted with a passphrase
// (PKCS #8 with PBES2, and the older encryption of OpenSSL's PEM).
// Errors never quote the file.
func ParsePrivateKey(b, passphrase []byte) (crypto.Signer, error) {
	if len(b) > maxFile {
		return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("a key file of %d bytes is too large", len(b))}
	}
	if !isPEM(b) {
		if IsPKCS12(b) {
			c, err := ParsePKCS12(b, passphrase)
			if err != nil {
				return nil, err
			}
			return c.Key, nil
		}
		if info, ok := parseEncrypted(b); ok {
			der, err := info.open(passphrase)
			if err != nil {
				return nil, err
			}
			return parseKey(der, nil)
		}
		return parseKey(b, nil)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			return parseKey(block.Bytes, nil)
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] == "" {
				return parseKey(block.Bytes, nil)
			}
			return openLegacy(block, passphrase)
		case "ENCRYPTED PRIVATE KEY":
			info, ok := parseEncrypted(block.Bytes)
			if !ok {
				return nil, &Error{Kind: Malformed, Detail: "the encrypted private key cannot be parsed"}
			}
			der, err := info.open(passphrase)
			if err != nil {
				return nil, err
			}
			return parseKey(der, ErrPassphraseWrong)
		case "OPENSSH PRIVATE KEY":
			return nil, &Error{Kind: Malformed, Detail: "the file holds an OpenSSH key: convert it with ssh-keygen -p -m PKCS8"}
		}
	}
	return nil, &Error{Kind: Malformed, Detail: "the file holds no private key"}
}

// parseKey parses an unencrypted key in DER. A failure is reported as wrong
// when that is not nil: the key came out of a decryption without integrity.
func parseKey(der []byte, wrong error) (crypto.Signer, error) {
	key, err := parseDERKey(der)
	if err != nil && wrong != nil {
		return nil, wrong
	}
	return key, err
}

func parseDERKey(der []byte) (crypto.Signer, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if k, ok := parsePSSKey(der); ok {
			return k, nil
		}
		if k, e := x509.ParsePKCS1PrivateKey(der); e == nil {
			key = k
		} else if k, e := x509.ParseECPrivateKey(der); e == nil {
			key = k
		} else {
			return nil, &Error{Kind: Malformed, Detail: "the private key cannot be parsed (PKCS #8, PKCS #1 and SEC 1 are understood)", Err: err}
		}
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("a private key of type %T cannot sign", key)}
}

// openLegacy opens the encryption of OpenSSL's PEM before PKCS #8. It is weak
// (MD5, no integrity), but protects a file that is here already.
func openLegacy(block *pem.Block, passphrase []byte) (crypto.Signer, error) {
	if len(passphrase) == 0 {
		return nil, ErrPassphraseNeeded
	}
	//lint:ignore SA1019 files in this form are in use
	der, err := x509.DecryptPEMBlock(block, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrPassphraseWrong
	}
	if err != nil {
		return nil, &Error{Kind: Malformed, Detail: "the encrypted private key cannot be opened", Err: err}
	}
	return parseKey(der, ErrPassphraseWrong)
}

// keyText names the kind of a public key.
func keyText(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case *auth.PSSPublicKey:
		return fmt.Sprintf("RSA-PSS-%d", k.Key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}
