package hosttest

import (
	"context"
	"crypto"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"sallyport/core/host"
)

// A Card is a token with one key, in a reader of a Machine.
type Card struct {
	Label, Secret string // its name, its PIN
	ID            byte
	Certificate   []byte
	Key           crypto.Signer
	Kind          host.TokenKeyKind
	Tries         int           // wrong PINs that lock it
	Open          bool          // it needs no PIN
	Pad           bool          // the PIN is typed at the reader
	AlwaysAsks    bool          // it wants the PIN with each signature
	Takes         time.Duration // for a signature

	mu     sync.Mutex // guards what follows
	wrong  int
	given  bool
	out    bool
	logins int
	pins   int // with signatures
	open   int // sessions
	lies   bool
}

// Pull takes the card out.
func (c *Card) Pull() { c.set(func() { c.out, c.given = true, false }) }

// Lie makes the card sign something else.
func (c *Card) Lie() { c.set(func() { c.lies = true }) }

func (c *Card) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Counts returns how often a PIN came, how often one came with a signature, and
// how many sessions are open.
func (c *Card) Counts() (logins, pins, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins, c.pins, c.open
}

// tokens are those of a machine.
type tokens struct{ m *Machine }

// Modules implements host.Tokens.
func (t tokens) Modules() []string {
	if t.m.Card == nil {
		return nil
	}
	return []string{"/usr/lib/test.so"}
}

// List implements host.Tokens.
func (t tokens) List(context.Context) ([]host.Token, error) {
	c := t.m.Card
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return nil, nil
	}
	return []host.Token{{Module: "/usr/lib/test.so", Label: c.Label, Serial: "1", PIN: c.stateLocked(),
		Certificates: []host.TokenCertificate{{ID: []byte{c.ID}, Label: "mine", DER: c.Certificate}}}}, nil
}

// Open implements host.Tokens.
func (t tokens) Open(context.Context, *host.Token) (host.TokenSession, error) {
	c := t.m.Card
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return nil, host.ErrTokenGone
	}
	c.open++
	return &cardSession{c: c}, nil
}

func (c *Card) stateLocked() host.PINState {
	return host.PINState{Needed: !c.Open, Given: c.given, Pad: c.Pad, Low: c.wrong > 0, Final: c.wrong > 0 && c.wrong == c.Tries-1, Locked: c.Tries > 0 && c.wrong >= c.Tries, Min: 4, Max: 16}
}

type cardSession struct {
	c    *Card
	once sync.Once
}

// PIN implements host.TokenSession.
func (s *cardSession) PIN(context.Context) (host.PINState, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.out {
		return host.PINState{}, host.ErrTokenGone
	}
	return s.c.stateLocked(), nil
}

// Login implements host.TokenSession.
func (s *cardSession) Login(_ context.Context, pin []byte) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	st := c.stateLocked()
	switch {
	case c.out:
		return host.ErrTokenGone
	case st.Locked:
		return host.ErrPINLocked
	case c.Pad && len(pin) == 0, string(pin) == c.Secret:
		c.given, c.wrong = true, 0
		return nil
	}
	c.wrong++
	return host.ErrPINWrong
}

// Key implements host.TokenSession.
func (s *cardSession) Key(_ context.Context, id []byte, _ string) (host.TokenKey, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !slices.Equal(id, []byte{s.c.ID}) || !s.c.given && !s.c.Open {
		return host.TokenKey{}, host.ErrTokenKey
	}
	return host.TokenKey{Handle: 1, Kind: s.c.Kind, AlwaysAsks: s.c.AlwaysAsks}, nil
}

// Sign implements host.TokenSession.
func (s *cardSession) Sign(_ context.Context, k host.TokenKey, digest []byte, opts crypto.SignerOpts, pin []byte) ([]byte, error) {
	time.Sleep(s.c.Takes)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if len(pin) > 0 {
		s.c.pins++
	}
	switch {
	case s.c.out || !s.c.given && !s.c.Open:
		return nil, host.ErrTokenGone
	case k.AlwaysAsks && string(pin) != s.c.Secret:
		return nil, host.ErrPINWrong
	case s.c.lies:
		digest = slices.Clone(digest)
		digest[0] ^= 1
	}
	return s.c.Key.Sign(rand.Reader, digest, opts)
}

// Close implements host.TokenSession.
func (s *cardSession) Close() {
	s.once.Do(func() {
		s.c.set(func() {
			if s.c.open--; s.c.open == 0 {
				s.c.given = false
			}
		})
	})
}
