package vault

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/zalando/go-keyring"

	"sallyport/core/api"
)

// TestMock goes through all that a Vault does, on a store in memory.
func TestMock(t *testing.T) {
	keyring.MockInit()
	through(t, &Vault{available: func() bool { return true }})
}

// TestSession does the same on the secret store of the session it runs in, and
// leaves it as it was:
//
//	dbus-run-session -- sh -c 'printf x | gnome-keyring-daemon --unlock --components=secrets &&
//		SALLYPORT_KEYRING_TESTS=1 go test ./app/vault -run TestSession'
func TestSession(t *testing.T) {
	if os.Getenv("SALLYPORT_KEYRING_TESTS") == "" {
		t.Skip("needs a session with an unlocked secret store, and SALLYPORT_KEYRING_TESTS=1")
	}
	v := New()
	if !v.Available() {
		t.Fatal("this session has no secret store")
	}
	through(t, v)
}

func through(t *testing.T, v *Vault) {
	t.Helper()
	const name = "office/Zürich: test"
	t.Cleanup(func() { _ = v.Forget(name) })
	get := func(kind api.PromptKind) string {
		t.Helper()
		b, err := v.Get(name, kind)
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		return string(b)
	}
	if got := get(api.PromptPassword); got != "" {
		t.Errorf("kept before anything was: %q", got)
	}
	for _, secret := range []string{"hunter2", "motörhead 密码", "base64:AAAA", "two\nlines", "\x00\xff binary", " space "} {
		if err := v.Set(name, api.PromptPassword, []byte(secret)); err != nil {
			t.Fatalf("Set: %v", err)
		}
		if got := get(api.PromptPassword); got != secret {
			t.Errorf("kept %q, got %q", secret, got)
		}
	}
	if err := v.Set(name, api.PromptPIN, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	if err := v.Set(name, api.PromptPassword, nil); err != nil {
		t.Fatal(err)
	}
	if p, pin := get(api.PromptPassword), get(api.PromptPIN); p != "" || pin != "1234" {
		t.Errorf("after one was forgotten: %q and %q", p, pin)
	}
	for range 2 { // to forget twice is no fault
		if err := v.Forget(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := get(api.PromptPIN); got != "" {
		t.Errorf("after all was forgotten: %q", got)
	}
}

// TestNone has nothing to keep a secret in.
func TestNone(t *testing.T) {
	keyring.MockInit()
	v := &Vault{available: func() bool { return false }}
	if v.Available() {
		t.Error("available")
	}
	if _, err := v.Get("office", api.PromptPassword); !errors.Is(err, ErrNone) {
		t.Errorf("Get: %v", err)
	}
	if err := v.Set("office", api.PromptPassword, []byte("x")); !errors.Is(err, ErrNone) {
		t.Errorf("Set: %v", err)
	}
	if err := v.Forget("office"); !errors.Is(err, ErrNone) {
		t.Errorf("Forget: %v", err)
	}
}

// TestRefusing has a store that is there and does not work.
func TestRefusing(t *testing.T) {
	broken := errors.New("locked")
	keyring.MockInitWithError(broken)
	t.Cleanup(keyring.MockInit)
	v := &Vault{available: func() bool { return true }}
	if _, err := v.Get("office", api.PromptPassword); !errors.Is(err, broken) {
		t.Errorf("Get: %v", err)
	}
	if err := v.Set("office", api.PromptPassword, []byte("x")); !errors.Is(err, broken) {
		t.Errorf("Set: %v", err)
	}
	if err := v.Forget("office"); !errors.Is(err, broken) {
		t.Errorf("Forget: %v", err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("hunter2"))
	f.Add([]byte("base64:"))
	f.Add([]byte("\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decode(encode(b))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%q came back as %q, %v", b, got, err)
		}
	})
}
