package model

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"time"

	"sallyport/core/api"
)

// vaultTime is how long the vault may take before the user is asked instead: it
// may be waiting for the user as well.
const vaultTime = 10 * time.Second

// A desk holds the prompts' answers on their way: those from the vault, and
// those that are to go there once they have proved right.
type desk struct {
	prompts map[string]api.Prompt // that wait for an answer, by ID
	given   map[key]*given
	tried   map[key]bool // the vault's answer was given in this attempt
	doubts  map[key]int  // attempts since the last success that the vault's answer did not bring up
}

// maxDoubts is how often the vault's answer is given without success, for
// whatever reason: an account may be locked after some wrong passwords, and not
// every gateway says that it was the password.
const maxDoubts = 3

// mostDoubts is maxDoubts, and 1 of a PIN: a token locks after a few wrong ones.
func mostDoubts(k api.PromptKind) int {
	if k == api.PromptPIN {
		return 1
	}
	return maxDoubts
}

type key struct {
	connection string
	kind       api.PromptKind
}

// given is an answer whose proof is awaited.
type given struct {
	prompt string
	secret []byte // what to keep; nil: it came from the vault
	// How the connection stood: what it said already says nothing of the answer.
	state   api.TunnelState
	problem *api.Error
}

func newDesk() desk {
	return desk{prompts: map[string]api.Prompt{}, given: map[key]*given{}, tried: map[key]bool{}, doubts: map[key]int{}}
}

// Answer answers a prompt. With remember, and if the prompt allows it, the
// answer is kept in the vault once it has proved right: when the tunnel is up.
// secret is wiped. The choice of a certificate is no secret: the service
// remembers that itself.
func (m *Model) Answer(ctx context.Context, a api.Answer, remember bool) error {
	defer clear(a.Secret)
	m.mu.Lock()
	p, ok := m.desk.prompts[a.ID]
	a.Remember = remember && ok && p.Kind == api.PromptCertificate
	if ok {
		m.bell.acted(p.Connection, m.now())
		if remember && p.Rememberable && m.opt.Vault != nil && len(a.Secret) > 0 && !a.Cancel {
			m.giveLocked(p, slices.Clone(a.Secret))
		}
	}
	m.mu.Unlock()
	err := m.opt.Backend.Answer(ctx, a)
	if err != nil && ok {
		m.mu.Lock()
		m.desk.drop(key{p.Connection, p.Kind}, a.ID)
		m.mu.Unlock()
	}
	return err
}

// lookForVault finds out whether anything can be remembered.
func (m *Model) lookForVault(context.Context) {
	if m.opt.Vault == nil {
		return
	}
	if v, ok := m.opt.Vault.(interface{ Available() bool }); ok && !v.Available() {
		return
	}
	m.change(func() { m.world.remember = true })
}

// promptLocked shows a prompt to the user, or lets the vault answer it first.
func (m *Model) promptLocked(p api.Prompt) {
	k := key{p.Connection, p.Kind}
	m.desk.prompts[p.ID] = p
	if g := m.desk.given[k]; g != nil && g.prompt != p.ID && p.Attempt > 1 {
		m.wrongLocked(k) // it is asked again: that answer was wrong
	}
	if p.Attempt > 1 || !p.Rememberable || p.Kind == api.PromptCertificate || m.opt.Vault == nil || m.desk.tried[k] || m.desk.doubts[k] >= mostDoubts(p.Kind) {
		m.world.ask(p)
		return
	}
	if m.running == nil || m.running.Err() != nil {
		m.world.ask(p)
		return
	}
	m.desk.tried[k] = true
	m.besideLocked(func(ctx context.Context) { m.fromVault(ctx, p) })
}

// fromVault answers a prompt with what the vault keeps, or shows it to the user.
func (m *Model) fromVault(ctx context.Context, p api.Prompt) {
	got := make(chan []byte, 1)
	go func() { // ends with the vault's call, which nothing can hasten
		secret, err := m.opt.Vault.Get(p.Connection, p.Kind)
		if err != nil {
			secret = nil
		}
		got <- secret
	}()
	t := time.NewTimer(vaultTime)
	defer t.Stop()
	var secret []byte
	select {
	case <-ctx.Done():
		return
	case <-t.C:
	case secret = <-got:
	}
	defer clear(secret)
	show := func() {
		m.change(func() {
			if _, ok := m.desk.prompts[p.ID]; ok {
				m.world.ask(p)
			}
		})
	}
	if len(secret) == 0 {
		show()
		return
	}
	m.mu.Lock()
	_, waits := m.desk.prompts[p.ID]
	if waits {
		m.giveLocked(p, nil)
	}
	m.mu.Unlock()
	if !waits {
		return
	}
	if m.opt.Backend.Answer(ctx, api.Answer{ID: p.ID, Secret: bytes.Clone(secret)}) != nil {
		m.mu.Lock()
		m.desk.drop(key{p.Connection, p.Kind}, p.ID)
		m.mu.Unlock()
		show()
	}
}

// giveLocked notes an answer whose proof is awaited.
func (m *Model) giveLocked(p api.Prompt, secret []byte) {
	k := key{p.Connection, p.Kind}
	if old := m.desk.given[k]; old != nil {
		clear(old.secret)
	}
	g := &given{prompt: p.ID, secret: secret}
	if i, ok := m.world.find(p.Connection); ok {
		g.state, g.problem = m.world.conns[i].State, m.world.conns[i].Problem
	}
	m.desk.given[k] = g
}

// drop forgets an answer that did not arrive.
func (d *desk) drop(k key, prompt string) {
	if g := d.given[k]; g != nil && g.prompt == prompt {
		clear(g.secret)
		delete(d.given, k)
	}
}

// answered notes that nobody asks any more.
func (d *desk) answered(prompt string) { delete(d.prompts, prompt) }

// keepOnly forgets the prompts that stand no more.
func (d *desk) keepOnly(prompts []api.Prompt) {
	for id := range d.prompts {
		if !slices.ContainsFunc(prompts, func(p api.Prompt) bool { return p.ID == id }) {
			delete(d.prompts, id)
		}
	}
}

// clear forgets everything: the service is gone, and with it the attempts.
func (d *desk) clear() {
	for _, g := range d.given {
		clear(g.secret)
	}
	*d = newDesk()
}

// see holds what becomes of a connection against the answers that were given
// for it.
func (d *desk) see(m *Model, c *api.Connection) {
	switch c.State {
	case api.Connected:
		m.rightLocked(c.Name)
	case api.Disconnected, api.Blocked:
	default:
		if c.Problem == nil {
			return
		}
	}
	wrong := c.Problem != nil && c.State != api.Connected && aboutCredential(c.Problem.Code)
	for k, g := range d.given {
		if k.connection != c.Name {
			continue
		}
		if _, waits := d.prompts[g.prompt]; waits {
			continue // the answer is still on its way: this is older news
		}
		if c.State == g.state && reflect.DeepEqual(c.Problem, g.problem) {
			continue
		}
		if wrong {
			m.wrongLocked(k)
		} else if c.State != api.Connecting && c.State != api.Reconnecting {
			if g.secret == nil {
				d.doubts[k]++
			}
			clear(g.secret) // neither right nor wrong
			delete(d.given, k)
		}
	}
	if c.State == api.Connecting || c.State == api.Reconnecting && wrong {
		return
	}
	for k := range d.tried {
		if k.connection == c.Name && d.given[k] == nil {
			delete(d.tried, k) // another attempt may ask the vault again
		}
	}
}

// aboutCredential reports whether a failure means that what we gave is wrong.
func aboutCredential(c api.ErrorCode) bool {
	return c == api.CodeAuthRefused || c == api.CodePasswordRefused || c == api.CodePSKMismatch || c == api.CodeLocalCredential || c == api.CodePINWrong || c == api.CodePINLocked
}

// rightLocked keeps the answers that brought a connection up.
func (m *Model) rightLocked(name string) {
	for k, g := range m.desk.given {
		if k.connection != name {
			continue
		}
		delete(m.desk.given, k)
		delete(m.desk.doubts, k)
		if g.secret != nil {
			m.besideLocked(func(context.Context) {
				_ = m.opt.Vault.Set(k.connection, k.kind, g.secret) // what cannot be kept is asked for again
				clear(g.secret)
			})
		}
	}
}

// wrongLocked forgets an answer that was wrong, also in the vault if it came
// from there.
func (m *Model) wrongLocked(k key) {
	g := m.desk.given[k]
	delete(m.desk.given, k)
	if g.secret != nil {
		clear(g.secret)
		return
	}
	m.besideLocked(func(context.Context) {
		_ = m.opt.Vault.Set(k.connection, k.kind, nil) // it is asked for, not tried again, in this attempt
	})
}
