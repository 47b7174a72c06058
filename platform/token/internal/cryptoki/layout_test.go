package cryptoki

import (
	"slices"
	"testing"
)

// TestLayout holds the layouts against the sizes that a C compiler gives the
// structures: aligned with longs of 8 bytes, and on Windows packed with longs of 4.
func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		name       string
		fields     []field
		unix, win  int
		last, wint int // where the last field lies
	}{
		{"CK_ATTRIBUTE", []field{ulong, ptr, ulong}, 24, 16, 16, 12},
		{"CK_C_INITIALIZE_ARGS", []field{ptr, ptr, ptr, ptr, ulong, ptr}, 48, 44, 40, 36},
		{"CK_SLOT_INFO", []field{64, 32, ulong, 2, 2}, 112, 104, 106, 102},
		{"CK_TOKEN_INFO", []field{32, 32, 16, 16, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, 2, 2, 16}, 208, 160, 188, 144},
		{"CK_SESSION_INFO", []field{ulong, ulong, ulong, ulong}, 32, 16, 24, 12},
	} {
		for goos, want := range map[string][2]int{"linux": {tt.unix, tt.last}, "darwin": {tt.unix, tt.last}, "windows": {tt.win, tt.wint}} {
			at, size := layoutOf(goos).offsets(tt.fields...)
			if got := [2]int{size, at[len(at)-1]}; got != want {
				t.Errorf("%s on %s: size and last offset %v, want %v", tt.name, goos, got, want)
			}
		}
	}
	for _, goos := range []string{"linux", "windows"} {
		l := layoutOf(goos)
		b := make([]byte, l.long)
		l.put(b, 0x12345678)
		if l.get(b) != 0x12345678 || l.unavailable(0x12345678) || !l.unavailable(l.get(slices.Repeat([]byte{0xff}, l.long))) {
			t.Errorf("%s: numbers", goos)
		}
	}
}
