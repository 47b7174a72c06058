// Package vault keeps what a user asked us to remember in the secret store of
// the user's own session: the Secret Service (GNOME Keyring, KWallet,
// KeePassXC), the Windows credential manager, or the macOS keychain. Where
// there is none nothing can be remembered; no file of ours ever holds a secret.
package vault

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/zalando/go-keyring"

	"sallyport/app/model"
	"sallyport/core/api"
)

// service is under which all that we keep stands in the store.
const service = "Sallyport"

// coded begins what is kept in base 64, since a store takes text alone.
const coded = "base64:"

// ErrNone says that the session has no secret store.
var ErrNone = errors.New("vault: this session has no secret store")

// kinds are the prompts whose answers can be kept.
var kinds = []api.PromptKind{api.PromptPassword, api.PromptSecret, api.PromptPassphrase, api.PromptPIN}

// A Vault is the secret store of the session that the program runs in. Its
// methods may wait for the user to unlock it. The stores take strings, which
// cannot be wiped; the copies of ours are.
type Vault struct {
	mu        sync.Mutex // guards the store, of which a session has one
	available func() bool
}

var _ model.Vault = (*Vault)(nil)

// New returns the session's Vault. It opens nothing.
func New() *Vault { return &Vault{available: available} }

// Available reports whether anything can be remembered. It waits for nobody,
// and unlocks nothing.
func (v *Vault) Available() bool { return v.available() }

// Get implements model.Vault.
func (v *Vault) Get(connection string, kind api.PromptKind) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.available() {
		return nil, ErrNone
	}
	s, err := keyring.Get(service, user(connection, kind))
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("vault: read: %w", err)
	}
	return decode(s)
}

// Set implements model.Vault.
func (v *Vault) Set(connection string, kind api.PromptKind, secret []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.available() {
		return ErrNone
	}
	if len(secret) == 0 {
		return remove(connection, kind)
	}
	if err := keyring.Set(service, user(connection, kind), encode(secret)); err != nil {
		return fmt.Errorf("vault: keep: %w", err)
	}
	return nil
}

// Forget implements model.Vault.
func (v *Vault) Forget(connection string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.available() {
		return ErrNone
	}
	var errs []error
	for _, k := range kinds {
		errs = append(errs, remove(connection, k))
	}
	return errors.Join(errs...)
}

func remove(connection string, kind api.PromptKind) error {
	err := keyring.Delete(service, user(connection, kind))
	if err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return fmt.Errorf("vault: forget: %w", err)
	}
	return nil
}

// user names a secret in the store; what is behind the last colon is the kind.
func user(connection string, kind api.PromptKind) string { return connection + ": " + string(kind) }

// encode makes text of a secret: itself, if it is text that no store changes.
func encode(secret []byte) string {
	s := string(secret)
	if utf8.Valid(secret) && !strings.HasPrefix(s, coded) && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	return coded + base64.StdEncoding.EncodeToString(secret)
}

func decode(s string) ([]byte, error) {
	b64, ok := strings.CutPrefix(s, coded)
	if !ok {
		return []byte(s), nil
	}
	b, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return nil, errors.New("vault: what is kept is not what we wrote")
	}
	return b, nil
}
