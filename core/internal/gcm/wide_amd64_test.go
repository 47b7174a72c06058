//go:build !purego

package gcm

import (
	"crypto/aes"
	"encoding/hex"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestWideIsUsed asks the system, not package cpu, what the processor can do.
func TestWideIsUsed(t *testing.T) {
	if os.Getenv("GODEBUG") != "" {
		t.Skip("GODEBUG may have switched the assembly off")
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip("no /proc/cpuinfo to ask")
	}
	flags := strings.Fields(string(info))
	lacks := func(want ...string) string {
		for _, f := range want {
			if !slices.Contains(flags, f) {
				return f
			}
		}
		return ""
	}
	want, why := 4, ""
	if why = lacks("aes", "pclmulqdq", "avx2", "vaes", "vpclmulqdq"); why != "" {
		want = 1
	} else if why = lacks("avx512f", "avx512bw", "avx512dq", "avx512vl", "bmi2"); why != "" {
		want = 2
	}
	if lanes != want {
		t.Errorf("%d blocks at a time, want %d", lanes, want)
	}
	each(t, func(t *testing.T) {
		g, ok := ours(t, make([]byte, 32)).(*wideGCM)
		if ok != (lanes > 1) || ok && g.lanes != lanes {
			t.Errorf("%T does not work on %d blocks at a time", g, lanes)
		}
	})
	if why != "" {
		t.Skipf("the processor has no %s: assembly for more than %d blocks at a time was NOT tested", why, want)
	}
}

// Processors without AVX-512 run two_amd64.s and what it shares: nothing in there
// may need its registers or its encoding. Mnemonics are those that were looked up.
func TestNoAVX512(t *testing.T) {
	known := strings.Fields(`VAESENC VAESENCLAST VAESKEYGENASSIST VBROADCASTI128 VEXTRACTI128 VINSERTI128 VMOVD VMOVDQA
		VMOVDQU VMOVQ VPADDD VPADDQ VPAND VPCLMULQDQ VPINSRD VPINSRQ VPOR VPSHUFB VPSHUFD VPSLLDQ VPSRAD VPSRLDQ VPSRLQ
		VPTEST VPXOR VZEROUPPER`)
	vector, wide := regexp.MustCompile(`\bV[A-Z][A-Z0-9.]*\b`), regexp.MustCompile(`\b(Z\d+|K[0-7]|[XY](1[6-9]|[23]\d))\b`)
	for _, file := range []string{"two_amd64.s", "key_amd64.s", "ghash_amd64.h"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for i, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "//")
			if r := wide.FindString(code); r != "" {
				t.Errorf("%s:%d: register %s", file, i+1, r)
			}
			for _, m := range vector.FindAllString(code, -1) {
				if seen++; !slices.Contains(known, m) {
					t.Errorf("%s:%d: %s", file, i+1, m)
				}
			}
		}
		if seen < 10 {
			t.Errorf("%s: %d instructions found", file, seen)
		}
	}
}

// TestLayout holds the struct against what the assembly knows of it.
func TestLayout(t *testing.T) {
	var g wideGCM
	if at := unsafe.Offsetof(g.rounds); at != 0 {
		t.Errorf("rounds at %d", at)
	}
	if at := unsafe.Offsetof(g.powers) + 16; at != 64 {
		t.Errorf("H^16 at %d", at)
	}
	if at := unsafe.Offsetof(g.keys); at != 320 {
		t.Errorf("round keys at %d", at)
	}
	if behind := unsafe.Sizeof(g) - unsafe.Offsetof(g.keys); behind < 96 {
		t.Errorf("%d bytes behind the powers", behind)
	}
	if lanes == 1 {
		t.Skip("the processor cannot run the assembly")
	}
	for range 100 {
		if at := uintptr(unsafe.Pointer(newWide(make([]byte, 16)).(*wideGCM))); at%64 != 0 {
			t.Fatalf("an object at %x: the powers straddle cache lines", at)
		}
	}
}

// TestExpand uses the example keys of FIPS 197, appendix A, and their last words.
func TestExpand(t *testing.T) {
	if lanes == 1 {
		t.Skip("the processor cannot run the assembly")
	}
	for _, c := range []struct{ key, first, last string }{
		{"2b7e151628aed2a6abf7158809cf4f3c", "a0fafe1788542cb123a339392a6c7605", "d014f9a8c9ee2589e13f0cc8b6630ca6"},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "62f8ead2522c6b7bfe0c91f72402f5a5", "e98ba06f448c773c8ecc720401002202"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", "1f352c073b6108d72d9810a30914dff4", "fe4890d1e6188d0b046df344706c631e"},
	} {
		key := unhex(t, c.key)
		g := newWide(key).(*wideGCM)
		last := len(g.keys) - 1
		first := last - int(g.rounds) + 1
		if got := g.keys[0][:]; hex.EncodeToString(got) != c.key[:32] {
			t.Errorf("key %s: starts with %x", c.key, got)
		}
		if got := g.keys[first][:]; hex.EncodeToString(got) != c.first {
			t.Errorf("key %s: goes on with %x, want %s", c.key, got, c.first)
		}
		if got := g.keys[last][:]; hex.EncodeToString(got) != c.last {
			t.Errorf("key %s: ends with %x, want %s", c.key, got, c.last)
		}
	}
}

// subWord is the S-box that the standard library's AES has.
func TestSubWord(t *testing.T) {
	if lanes == 1 {
		t.Skip("the processor cannot run the assembly")
	}
	seen := map[uint32]bool{}
	for i := range uint32(256) {
		got := subWord(i << 24)
		if got&0xffffff != 0x636363 || seen[got] {
			t.Errorf("subWord(%#08x) = %#08x", i<<24, got)
		}
		seen[got] = true
	}
	if got := subWord(0x53ff0100); got != 0xed167c63 {
		t.Errorf("subWord = %#08x", got)
	}
}

// The limit is that of the counter, whose first value masks the tag. Slices that
// long are pretended: nobody reads them.
//
//go:nocheckptr
func TestMessageTooLarge(t *testing.T) {
	if lanes == 1 {
		t.Skip("the processor cannot run the assembly")
	}
	g := newWide(make([]byte, 16))
	var b [16]byte
	tooLong := unsafe.Slice(&b[0], maxPlain+tagSize+1)
	if !panics(func() { g.Seal(nil, b[:nonceSize], tooLong[:maxPlain+1], nil) }) {
		t.Error("sealed more than the counter allows")
	}
	if _, err := g.Open(nil, b[:nonceSize], tooLong, nil); err == nil {
		t.Error("opened more than the counter allows")
	}
	if maxPlain/aes.BlockSize != 1<<32-2 {
		t.Error("the limit is not that of SP 800-38D, section 5.2.1.1")
	}
}

// What a caller has on its stack stays there.
func TestArgumentsDoNotEscape(t *testing.T) {
	each(t, func(t *testing.T) {
		g, ok := ours(t, make([]byte, 32)).(*wideGCM)
		if !ok {
			t.Skip("it is the standard library")
		}
		if n := testing.AllocsPerRun(100, func() {
			var nonce [nonceSize]byte
			var aad [12]byte
			var buf [1416]byte
			sealed := g.Seal(buf[:0], nonce[:], buf[:1400], aad[:])
			if _, err := g.Open(buf[:0], nonce[:], sealed, aad[:]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
