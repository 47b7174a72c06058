package ipctest

import (
	"context"
	"fmt"
	"slices"

	"sallyport/core/api"
)

// Ask puts a prompt to the front ends and raises the event.
func (b *Backend) Ask(p api.Prompt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prompts = append(b.prompts, p)
	b.emitLocked(api.Event{Kind: api.EventPrompt, Name: p.Connection, Prompt: &p})
}

// Withdraw ends a prompt that nobody answered.
func (b *Backend) Withdraw(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withdrawLocked(id)
}

func (b *Backend) withdrawLocked(id string) bool {
	n := len(b.prompts)
	b.prompts = slices.DeleteFunc(b.prompts, func(p api.Prompt) bool { return p.ID == id })
	if len(b.prompts) == n {
		return false
	}
	b.emitLocked(api.Event{Kind: api.EventAnswered, Name: id})
	return true
}

// SetMessages sets what Exchanges answers from, oldest first.
func (b *Backend) SetMessages(m []api.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = slices.Clone(m)
}

// Answer implements api.Backend.
func (b *Backend) Answer(ctx context.Context, a api.Answer) error {
	remember := ""
	if a.Remember {
		remember = " remember=true"
	}
	b.record("answer %s secret=%t choice=%q trust=%t cancel=%t%s", a.ID, len(a.Secret) > 0, a.Choice, a.Trust, a.Cancel, remember)
	if b.OnAnswer != nil {
		if err := b.OnAnswer(ctx, a); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.withdrawLocked(a.ID) {
		return &api.Error{Code: api.CodeNotFound, What: "Nobody waits for that answer any more."}
	}
	return nil
}

// Export implements api.Backend.
func (b *Backend) Export(ctx context.Context, name string) (api.Export, error) {
	b.record("export %q", name)
	if err := b.must(name); err != nil {
		return api.Export{}, err
	}
	if b.OnExport != nil {
		return b.OnExport(ctx, name)
	}
	return api.Export{Name: name + ".toml", Text: fmt.Appendf(nil, "version = 1\nname = %q\n", name), Missing: []string{"the pre-shared key"}}, nil
}

// SetProfile implements api.Backend.
func (b *Backend) SetProfile(ctx context.Context, name string, p api.Profile) error {
	b.record("profile %q %s", name, p)
	if err := b.must(name); err != nil {
		return err
	}
	if b.OnSetProfile != nil {
		if err := b.OnSetProfile(ctx, name, p); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.findLocked(name); ok {
		c := b.conns[i]
		c.Profile = p
		b.setLocked(c)
	}
	return nil
}

// Test implements api.Backend: without OnTest every connection would connect.
func (b *Backend) Test(ctx context.Context, r api.ImportRequest) (api.TestResult, error) {
	b.record("test %s password=%t", r.Files[0].Path, len(r.Password) > 0)
	if b.OnTest != nil {
		return b.OnTest(ctx, r)
	}
	return api.TestResult{Steps: []api.TestStep{{Name: "resolve", OK: true, Text: "vpn.example.com is 192.0.2.1"}}}, nil
}

// SetTokens sets what Tokens returns.
func (b *Backend) SetTokens(t api.Tokens) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = t
}

// Tokens implements api.Backend.
func (b *Backend) Tokens(context.Context) (api.Tokens, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens, nil
}

// Traffic implements api.Backend: the counters of the connected connections.
func (b *Backend) Traffic(context.Context) (map[string]api.Counters, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := map[string]api.Counters{}
	for _, c := range b.conns {
		if c.State == api.Connected {
			t[c.Name] = c.Counters
		}
	}
	return t, nil
}

// Exchanges implements api.Backend.
func (b *Backend) Exchanges(_ context.Context, name string, limit int) ([]api.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []api.Message
	for _, m := range b.messages {
		if name == "" || m.Connection == name {
			out = append(out, m)
		}
	}
	return out[max(0, len(out)-limit):], nil
}
