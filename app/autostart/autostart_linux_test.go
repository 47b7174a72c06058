package autostart

import "testing"

// TestEnable is of Linux alone: elsewhere the one place is the user's own.
func TestEnable(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	e, err := Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if want {
			err = Enable(e)
		} else {
			err = Disable()
		}
		if got, err2 := Enabled(); err != nil || err2 != nil || got != want {
			t.Errorf("enabled: %v, %v, %v", got, err, err2)
		}
	}
}
