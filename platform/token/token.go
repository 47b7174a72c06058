// Package token shows the smart cards and tokens of the machine through PKCS #11
// modules, each in a process of its own: see package helper.
package token

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/core/host"
	"sallyport/platform/token/internal/wire"
)

// How long a module may take: to show what is there, to find a key, to sign, and
// for a user who types a PIN at the reader.
const (
	listTime  = 10 * time.Second
	quickTime = 10 * time.Second
	signTime  = 20 * time.Second
	padTime   = 60 * time.Second
)

// Tokens implements host.Tokens.
type Tokens struct {
	helper  string
	modules []string

	mu    sync.Mutex // guards procs
	procs map[string]*process
}

// New returns the tokens that the modules show. helper is the program that loads
// them. Nothing is loaded yet.
func New(helper string, modules []string) *Tokens {
	return &Tokens{helper: helper, modules: slices.Clone(modules), procs: map[string]*process{}}
}

// Modules implements host.Tokens.
func (t *Tokens) Modules() []string { return slices.Clone(t.modules) }

// process returns the process of a module, started when it does not run.
func (t *Tokens) process(module string) (*process, error) {
	if !slices.Contains(t.modules, module) {
		return nil, fmt.Errorf("%w: %s is not configured", host.ErrTokenModule, module)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.procs[module]; p != nil && p.use() {
		return p, nil
	}
	p, err := start(t.helper, module)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", host.ErrTokenModule, module, err)
	}
	t.procs[module] = p
	return p, nil
}

// List implements host.Tokens.
func (t *Tokens) List(ctx context.Context) ([]host.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	found := make([][]host.Token, len(t.modules))
	errs := make([]error, len(t.modules))
	var wg sync.WaitGroup
	for i, m := range t.modules {
		wg.Go(func() { found[i], errs[i] = t.list(ctx, m) })
	}
	wg.Wait()
	return slices.Concat(found...), errors.Join(errs...)
}

func (t *Tokens) list(ctx context.Context, module string) ([]host.Token, error) {
	p, err := t.process(module)
	if err != nil {
		return nil, err
	}
	defer p.release()
	a, err := p.ask(ctx, &wire.Request{Op: wire.List})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", module, err)
	}
	for i := range a.Tokens {
		a.Tokens[i].Module = module
	}
	return a.Tokens, nil
}

// Open implements host.Tokens.
func (t *Tokens) Open(ctx context.Context, token *host.Token) (host.TokenSession, error) {
	p, err := t.process(token.Module)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	a, err := p.ask(ctx, &wire.Request{Op: wire.Open, Slot: token.Slot, Label: token.Label, Serial: token.Serial})
	if err != nil {
		p.release()
		return nil, err
	}
	return &session{p: p, number: a.Session, pad: token.PIN.Pad}, nil
}

// A session implements host.TokenSession.
type session struct {
	p      *process
	number uint64
	pad    bool
	once   sync.Once
}

func (s *session) ask(ctx context.Context, limit time.Duration, q wire.Request) (wire.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	q.Session = s.number
	return s.p.ask(ctx, &q)
}

// PIN implements host.TokenSession.
func (s *session) PIN(ctx context.Context) (host.PINState, error) {
	a, err := s.ask(ctx, quickTime, wire.Request{Op: wire.PIN})
	return a.PIN, err
}

// Login implements host.TokenSession.
func (s *session) Login(ctx context.Context, pin []byte) error {
	limit := signTime
	if len(pin) == 0 && s.pad {
		limit = padTime
	}
	_, err := s.ask(ctx, limit, wire.Request{Op: wire.Login, PIN: pin})
	return err
}

// Key implements host.TokenSession.
func (s *session) Key(ctx context.Context, id []byte, label string) (host.TokenKey, error) {
	a, err := s.ask(ctx, quickTime, wire.Request{Op: wire.Key, ID: id, Label: label})
	return a.Key, err
}

// Sign implements host.TokenSession.
func (s *session) Sign(ctx context.Context, k host.TokenKey, digest []byte, opts crypto.SignerOpts, pin []byte) ([]byte, error) {
	limit := signTime
	if k.AlwaysAsks && len(pin) == 0 && s.pad {
		limit = padTime
	}
	q := wire.Request{Op: wire.Sign, Key: k, Digest: digest, Hash: uint(opts.HashFunc()), PIN: pin}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		if q.PSS = true; pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != opts.HashFunc().Size() {
			return nil, fmt.Errorf("%w: a salt of %d bytes", host.ErrTokenRefused, pss.SaltLength)
		}
	}
	a, err := s.ask(ctx, limit, q)
	return a.Signature, err
}

// Close implements host.TokenSession. It waits for nothing: a module that hangs
// is ended by whoever asked it.
func (s *session) Close() {
	s.once.Do(func() {
		go func() {
			defer s.p.release()
			_, _ = s.ask(context.Background(), quickTime, wire.Request{Op: wire.Close}) // gone already is closed
		}()
	})
}
