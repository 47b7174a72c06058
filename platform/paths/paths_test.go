package paths

import (
	"path/filepath"
	"testing"
)

func TestAbsolute(t *testing.T) {
	for _, p := range []string{ConfigDir(), StateDir(), Socket()} {
		if !filepath.IsAbs(p) {
			t.Errorf("%q is not absolute", p)
		}
	}
}
