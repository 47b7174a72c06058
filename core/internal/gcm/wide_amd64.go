//go:build !purego

package gcm

import (
	"crypto/cipher"
	"crypto/fips140"
	"encoding/binary"
	"errors"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// lanes is how many blocks processor and operating system (which has to save the
// wide registers; package cpu asks it) can work on with one instruction. Who wants
// validated cryptography (GODEBUG=fips140) has that of the standard library.
// Tests change it.
var lanes = func() int {
	x := &cpu.X86
	// The bits of leaf 7 that say whether the instructions for AES and for
	// products work on registers wider than a block.
	const vaes, vpclmulqdq = 1 << 9, 1 << 10
	switch {
	case fips140.Enabled(), !x.HasAES, !x.HasPCLMULQDQ, !x.HasAVX2, cpuid7()&(vaes|vpclmulqdq) != vaes|vpclmulqdq:
		return 1
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasBMI2:
		return 4
	}
	return 2
}()

// A wideGCM is one expanded key. Nothing of it changes after newWide. The
// assembly knows the offsets of the fields; TestLayout holds them together.
type wideGCM struct {
	rounds uint64 // 10, 12 or 14
	lanes  int    // 2 or 4
	_      [32]byte

	// H^17, H^16 ... H^1, each divided by x, with their bytes reversed. The
	// assembly reads up to 96 bytes behind the last, and multiplies what it
	// finds there by zero. H^16 lies on a cache line, as the object does: the
	// size of a wideGCM is, rounded to one the allocator knows, a multiple of 64.
	powers [17][16]byte

	// The first round key, and behind it at the end the last 10, 12 or 14: so
	// short keys and long ones have their last rounds in the same registers.
	keys [15][16]byte
}

// maxPlain is the most that one nonce may encrypt (SP 800-38D, section 5.2.1.1).
const maxPlain = (1<<32 - 2) * 16

var errOpen = errors.New("gcm: message authentication failed")

func newWide(key []byte) cipher.AEAD {
	g := &wideGCM{lanes: lanes}
	g.expand(key)
	powers(g)
	return g
}

// expand fills in the round keys (FIPS 197, section 5.2). Words are held as the
// processor loads them: their first byte is the lowest.
func (g *wideGCM) expand(key []byte) {
	n := len(key) / 4
	g.rounds = uint64(n + 6)
	var w [60]uint32
	for i := range n {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1)
	for i := n; i < 4*(n+7); i++ {
		t := w[i-1]
		switch {
		case i%n == 0:
			t = subWord(bits.RotateLeft32(t, -8)) ^ rcon
			rcon = rcon<<1 ^ rcon>>7*0x11b
		case n == 8 && i%n == 4:
			t = subWord(t)
		}
		w[i] = w[i-n] ^ t
	}
	for r := range n + 7 {
		k := &g.keys[0]
		if r > 0 {
			k = &g.keys[len(g.keys)-(n+7)+r]
		}
		for i, v := range w[4*r : 4*r+4] {
			binary.LittleEndian.PutUint32(k[4*i:], v)
		}
	}
	clear(w[:])
}

func (g *wideGCM) NonceSize() int { return nonceSize }

func (g *wideGCM) Overhead() int { return tagSize }

// Seal is that of cipher.AEAD.
func (g *wideGCM) Seal(dst, nonce, plaintext, additionalData []byte) []byte {
	if len(nonce) != nonceSize {
		panic("gcm: incorrect nonce length")
	}
	if uint64(len(plaintext)) > maxPlain {
		panic("gcm: message too large")
	}
	ret, out := extend(dst, len(plaintext)+tagSize)
	checkOverlap(out, plaintext, additionalData)
	to, from, n := unsafe.SliceData(out), unsafe.SliceData(plaintext), len(plaintext)
	if aad := unsafe.SliceData(additionalData); g.lanes == 4 {
		seal4(g, to, from, n, unsafe.SliceData(nonce), aad, len(additionalData))
	} else {
		seal2(g, to, from, n, unsafe.SliceData(nonce), aad, len(additionalData))
	}
	return ret
}

// Open is that of cipher.AEAD.
func (g *wideGCM) Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error) {
	if len(nonce) != nonceSize {
		panic("gcm: incorrect nonce length")
	}
	if len(ciphertext) < tagSize || uint64(len(ciphertext)) > maxPlain+tagSize {
		return nil, errOpen
	}
	ret, out := extend(dst, len(ciphertext)-tagSize)
	checkOverlap(out, ciphertext, additionalData)
	authentic, to, from := 0, unsafe.SliceData(out), unsafe.SliceData(ciphertext)
	if aad := unsafe.SliceData(additionalData); g.lanes == 4 {
		authentic = open4(g, to, from, len(out), unsafe.SliceData(nonce), aad, len(additionalData))
	} else {
		authentic = open2(g, to, from, len(out), unsafe.SliceData(nonce), aad, len(additionalData))
	}
	if authentic == 0 {
		clear(out) // nobody may see what is not authentic
		return nil, errOpen
	}
	return ret, nil
}

// extend returns b with n bytes more, and those bytes.
func extend(b []byte, n int) (all, more []byte) {
	total := len(b) + n
	if cap(b) >= total {
		all = b[:total]
	} else {
		all = make([]byte, total)
		copy(all, b)
	}
	return all, all[len(b):]
}

// checkOverlap panics where the contract of cipher.AEAD is broken: output and
// input may only be the same from the start on, and additional data is apart.
func checkOverlap(out, in, additionalData []byte) {
	if overlap(out, in) && unsafe.SliceData(out) != unsafe.SliceData(in) {
		panic("gcm: invalid buffer overlap of output and input")
	}
	if overlap(out, additionalData) {
		panic("gcm: invalid buffer overlap of output and additional data")
	}
}

func overlap(a, b []byte) bool {
	x, y := uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return len(a) > 0 && len(b) > 0 && x < y+uintptr(len(b)) && y < x+uintptr(len(a))
}

// seal4 and seal2 encrypt n bytes from src to dst and put the tag behind them.
//
//go:noescape
func seal4(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int)

//go:noescape
func seal2(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int)

// open4 and open2 decrypt n bytes from src to dst, and return 1 when the tag that
// stands behind them in src is theirs, 0 otherwise.
//
//go:noescape
func open4(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int) int

//go:noescape
func open2(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int) int

// powers fills in k.powers from k.keys.
//
//go:noescape
func powers(k *wideGCM)

// subWord applies the S-box of AES to each byte.
//
//go:noescape
func subWord(w uint32) uint32

// cpuid7 returns ECX of leaf 7, which there is where AVX2 is.
func cpuid7() (ecx uint32)
