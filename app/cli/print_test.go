package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9950: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		17_200_000: "17 MB", 1 << 40: "1.1 TB", 1<<64 - 1: "18 EB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 420 * time.Millisecond: "420 ms", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s",
		2*time.Hour + 3*time.Minute: "2 h 3 min", 50 * time.Hour: "2 d 2 h",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestShellName(t *testing.T) {
	for name, want := range map[string]string{
		"office": "office", "a b": "'a b'", "it's": `'it'\''s'`, "-x": "'-x'", "": "''", "$(rm)": "'$(rm)'",
	} {
		if got := shellName(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

// FuzzClean holds what is shown against what a terminal must not get, and JSON
// against its own meaning.
func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;title\x07 \u0085 \u202e \r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got := clean(s); strings.ContainsFunc(got, unsafeRune) {
			t.Errorf("clean(%q) = %q", s, got)
		}
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := escapeControls(want)
		if bytes.ContainsFunc(safe, unsafeRune) || !utf8.Valid(safe) {
			t.Errorf("escapeControls(%q) = %q", want, safe)
		}
		var a, b string
		if json.Unmarshal(want, &a) != nil || json.Unmarshal(safe, &b) != nil || a != b {
			t.Errorf("%q means %q, escaped %q", want, a, b)
		}
	})
}
