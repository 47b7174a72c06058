package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// The bounds on key derivation: what a file may make us compute.
const (
	maxIterations   = 10_000_000
	maxScryptMemory = 256 << 20
)

// encryptedKey is an EncryptedPrivateKeyInfo (RFC 5958, section 3).
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

func parseEncrypted(der []byte) (encryptedKey, bool) {
	var k encryptedKey
	rest, err := asn1.Unmarshal(der, &k)
	return k, err == nil && len(rest) == 0 && len(k.Data) > 0
}

// The algorithms of PBES2 (RFC 8018, appendix A.4, B.1 and B.2; RFC 7914, section 7).
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

var pbesPRFs = []struct {
	oid asn1.ObjectIdentifier
	new func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New}, // the default
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

var pbesCiphers = []struct {
	oid  asn1.ObjectIdentifier
	key  int
	open func([]byte) (cipher.Block, error)
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16, aes.NewCipher},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, 24, aes.NewCipher},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32, aes.NewCipher},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, 24, des.NewTripleDESCipher},
}

// open decrypts the key with PBES2 in CBC mode.
func (k encryptedKey) open(passphrase []byte) ([]byte, error) {
	unsupported := func(what string, id asn1.ObjectIdentifier) error {
		return &Error{Kind: Malformed, Detail: fmt.Sprintf("the private key is encrypted with %s %v, which is not supported: convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc", what, id)}
	}
	malformed := func(err error) error {
		return &Error{Kind: Malformed, Detail: "the parameters of the key's encryption are malformed", Err: err}
	}
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, unsupported("the algorithm", k.Algorithm.Algorithm)
	}
	var params struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if rest, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &params); err != nil || len(rest) > 0 {
		return nil, malformed(err)
	}
	for _, c := range pbesCiphers {
		if !c.oid.Equal(params.Cipher.Algorithm) {
			continue
		}
		var iv []byte
		if rest, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil || len(rest) > 0 {
			return nil, malformed(err)
		}
		if len(passphrase) == 0 {
			return nil, ErrPassphraseNeeded
		}
		var key []byte
		var err error
		switch {
		case params.KDF.Algorithm.Equal(oidPBKDF2):
			key, err = derivePBKDF2(params.KDF.Parameters.FullBytes, passphrase, c.key)
		case params.KDF.Algorithm.Equal(oidScrypt):
			key, err = deriveScrypt(params.KDF.Parameters.FullBytes, passphrase, c.key)
		default:
			return nil, unsupported("the key derivation", params.KDF.Algorithm)
		}
		if err != nil {
			return nil, malformed(err)
		}
		block, err := c.open(key)
		if err != nil {
			return nil, malformed(err)
		}
		if len(iv) != block.BlockSize() || len(k.Data)%block.BlockSize() != 0 {
			return nil, malformed(nil)
		}
		plain := make([]byte, len(k.Data))
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, k.Data)
		return unpad(plain, block.BlockSize())
	}
	return nil, unsupported("the cipher", params.Cipher.Algorithm)
}

// unpad removes the padding of RFC 8018, section 6.1.1. The file is local and
// its owner present: there is no oracle to close.
func unpad(b []byte, block int) ([]byte, error) {
	n := int(b[len(b)-1])
	if n == 0 || n > block {
		return nil, ErrPassphraseWrong
	}
	for _, c := range b[len(b)-n:] {
		if int(c) != n {
			return nil, ErrPassphraseWrong
		}
	}
	return b[:len(b)-n], nil
}

func derivePBKDF2(der, passphrase []byte, size int) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("PBKDF2 parameters")
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, fmt.Errorf("%d iterations of PBKDF2 (at most %d)", p.Iterations, maxIterations)
	}
	if len(p.PRF.Algorithm) == 0 {
		p.PRF.Algorithm = pbesPRFs[0].oid
	}
	for _, f := range pbesPRFs {
		if f.oid.Equal(p.PRF.Algorithm) {
			return pbkdf2.Key(f.new, string(passphrase), p.Salt, p.Iterations, size)
		}
	}
	return nil, fmt.Errorf("PBKDF2 with %v", p.PRF.Algorithm)
}

func deriveScrypt(der, passphrase []byte, size int) ([]byte, error) {
	var p struct {
		Salt      []byte
		N, R, P   int
		KeyLength int `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("scrypt parameters")
	}
	if p.N < 2 || p.R < 1 || p.P < 1 || p.R > 64 || p.P > 16 || p.N > maxScryptMemory/(128*p.R) {
		return nil, fmt.Errorf("scrypt with N=%d, r=%d, p=%d needs too much", p.N, p.R, p.P)
	}
	return scrypt.Key(passphrase, p.Salt, p.N, p.R, p.P, size)
}
