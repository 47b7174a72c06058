package draft

import (
	"strings"
	"testing"
)

func TestMeasure(t *testing.T) {
	for _, tt := range []struct {
		secret string
		grade  Grade
		flaw   Flaw
	}{
		{"", Empty, ""},
		{"x", Seconds, FlawShort},
		{"password", Seconds, FlawCommon},
		{"P@ssw0rd", Seconds, FlawCommon},
		{"Password2024", Seconds, FlawCommon},
		{"Sommer2025!", Seconds, FlawCommon},
		{"vpnsecretsharedkey", Seconds, FlawCommon},
		{strings.Repeat("a", 64), Seconds, FlawRepeats},
		{strings.Repeat("Xk3", 20), Seconds, FlawRepeats},
		{"1234567890", Seconds, FlawSequence},
		{"0987654321", Seconds, FlawSequence},
		{"qwertzuiop", Seconds, FlawSequence},
		{"abcdefghijklmnopqrstuvwxyz", Seconds, FlawSequence},
		{"kartoffelsalat", Seconds, FlawWords},
		{"kartoffelsalatgabel", Days, FlawWords},
		{"Xk3_9qZ", Days, FlawShort},
		{"Xk3_9qZv", Days, FlawShort},
		{"Xk3_9qZv2", Years, FlawShort},
		{"Xk3_9qZv2#Lw", Good, ""},
		{"0123456789abcdef", Seconds, FlawSequence},
		{"8f3c1a97e2b05d", Years, FlawShort},
		{"8f3c1a97e2b05d648f1c", Good, ""},
		{"zugvogel lampe kirsche dampf ritze", Good, ""},
		{"gültig über Österreich hinaus 7x?Kq", Strong, ""},
		{"7Q2XK-93MZP-VV4TR", Strong, ""},
	} {
		got := Measure(tt.secret)
		if got.Grade != tt.grade || got.Flaw != tt.flaw {
			t.Errorf("%q: %.1f bits, grade %d, flaw %q; want %d, %q", tt.secret, got.Bits, got.Grade, got.Flaw, tt.grade, tt.flaw)
		}
	}
	for range 200 {
		s := Generate()
		if m := Measure(s); m.Grade != Strong || len(s) != 30 {
			t.Errorf("generated %q: %.1f bits", s, m.Bits)
		}
	}
}

// FuzzMeasure looks for a secret that crashes the estimate, and for one that
// gets weaker when it grows by random characters.
func FuzzMeasure(f *testing.F) {
	f.Add("Passw0rd")
	f.Add("\xff\x00 ünï")
	f.Fuzz(func(t *testing.T, s string) {
		m := Measure(s)
		if m.Bits < 0 || m.Bits > 256*16 || m.Weak() != (m.Bits < WeakBits) || m.Weak() && s != "" && m.Flaw == "" {
			t.Errorf("%q: %+v", s, m)
		}
		if len(s) < 100 && Measure(s+"7Q2XK-93MZP-VV4TR").Bits < 40 {
			t.Errorf("%q with more is weak", s)
		}
	})
}
