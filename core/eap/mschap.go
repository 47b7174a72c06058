package eap

import (
	"crypto/des"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/md4" //lint:ignore SA1019 MSCHAPv2 is made of it
)

// The computations of MS-CHAPv2 (RFC 2759, section 8) and of its keys (RFC
// 3079, section 3). MD4 and single DES make a captured exchange as good as the
// password's hash: it never runs with an end that has not proved itself.

// ntHash is NtPasswordHash: MD4 of the password in UTF-16LE.
func ntHash(password []byte) ([]byte, error) {
	if !utf8.Valid(password) {
		return nil, fmt.Errorf("eap: the password is not UTF-8: %w", ErrCredential)
	}
	if len(password) == 0 || utf8.RuneCount(password) > 256 {
		return nil, fmt.Errorf("eap: a password has between 1 and 256 characters: %w", ErrCredential)
	}
	u := utf16.Encode([]rune(string(password)))
	b := make([]byte, 0, 2*len(u))
	for _, c := range u {
		b = append(b, byte(c), byte(c>>8))
	}
	h := md4.New()
	h.Write(b)
	clear(b)
	clear(u)
	return h.Sum(nil), nil
}

// plainUser is the name that enters the hashes: without the domain in front.
func plainUser(name string) string {
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		return name[i+1:]
	}
	return name
}

// challengeHash is ChallengeHash.
func challengeHash(peer, server []byte, user string) []byte {
	h := sha1.New()
	h.Write(peer)
	h.Write(server)
	h.Write([]byte(plainUser(user)))
	return h.Sum(nil)[:8]
}

// ntResponse is ChallengeResponse: the challenge under three DES keys.
func ntResponse(challenge, hash []byte) []byte {
	var z [21]byte
	copy(z[:], hash)
	defer clear(z[:])
	out := make([]byte, 24)
	for i := range 3 {
		k := z[7*i : 7*i+7]
		key := []byte{k[0], k[0]<<7 | k[1]>>1, k[1]<<6 | k[2]>>2, k[2]<<5 | k[3]>>3,
			k[3]<<4 | k[4]>>4, k[4]<<3 | k[5]>>5, k[5]<<2 | k[6]>>6, k[6] << 1}
		block, err := des.NewCipher(key)
		if err != nil {
			panic(err) // the key has 8 bytes
		}
		block.Encrypt(out[8*i:], challenge)
		clear(key)
	}
	return out
}

// authenticatorResponse is GenerateAuthenticatorResponse, "S=" and 40 digits.
func authenticatorResponse(hash, response, peer, server []byte, user string) string {
	h := md4.New()
	h.Write(hash)
	hashHash := h.Sum(nil)
	s := sha1.New()
	s.Write(hashHash)
	s.Write(response)
	s.Write([]byte("Magic server to client signing constant"))
	digest := s.Sum(nil)
	s.Reset()
	s.Write(digest)
	s.Write(challengeHash(peer, server, user))
	s.Write([]byte("Pad to make it do more than one iteration"))
	return "S=" + strings.ToUpper(hex.EncodeToString(s.Sum(nil)))
}

// mschapMSK is the MSK: the two master keys of the server, and zeros.
func mschapMSK(hash, response []byte) []byte {
	h := md4.New()
	h.Write(hash)
	hashHash := h.Sum(nil)
	s := sha1.New()
	s.Write(hashHash)
	s.Write(response)
	s.Write([]byte("This is the MPPE Master Key"))
	master := s.Sum(nil)[:16]
	defer clear(master)
	key := func(magic string) []byte {
		s := sha1.New()
		s.Write(master)
		s.Write(make([]byte, 40))
		s.Write([]byte(magic))
		s.Write([]byte(strings.Repeat("\xf2", 40)))
		return s.Sum(nil)[:16]
	}
	msk := make([]byte, 0, 64)
	msk = append(msk, key("On the client side, this is the send key; on the server side, it is the receive key.")...)
	msk = append(msk, key("On the client side, this is the receive key; on the server side, it is the send key.")...)
	return msk[:64]
}
