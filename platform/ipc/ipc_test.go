package ipc

import (
	"strings"
	"testing"

	"sallyport/platform/paths"
)

// TestDefaultPath holds what front ends try against where the service listens.
func TestDefaultPath(t *testing.T) {
	if DefaultPath != paths.Socket() {
		t.Errorf("front ends try %s, the service listens on %s", DefaultPath, paths.Socket())
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"office": true, "my office": true, "büro/1": true, ".": true, "": false, "a\nb": false, "\x7f": false,
		"\xff": false, strings.Repeat("x", MaxName): true, strings.Repeat("x", MaxName+1): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPeerString(t *testing.T) {
	for want, p := range map[string]Peer{"uid 1000 (pid 42)": {UID: 1000, PID: 42}, "uid 0": {}, "an administrator": {Vetted: true}} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
