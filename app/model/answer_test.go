package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// A memory is a Vault in memory.
type memory struct {
	mu    sync.Mutex
	kept  map[string]string
	delay time.Duration
	gets  int
}

func (v *memory) Get(connection string, kind api.PromptKind) ([]byte, error) {
	time.Sleep(v.delay)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gets++
	return []byte(v.kept[connection+"/"+string(kind)]), nil
}

func (v *memory) Set(connection string, kind api.PromptKind, secret []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kept == nil {
		v.kept = map[string]string{}
	}
	v.kept[connection+"/"+string(kind)] = string(secret)
	if len(secret) == 0 {
		delete(v.kept, connection+"/"+string(kind))
	}
	return nil
}

func (v *memory) Forget(connection string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for k := range v.kept {
		if strings.HasPrefix(k, connection+"/") {
			delete(v.kept, k)
		}
	}
	return nil
}

func (v *memory) password() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kept["office/password"]
}

// A gate is a service with one connection, whose password it asks for.
type gate struct {
	*ipctest.Backend
	password string
	attempts int // wrong answers that end the attempt
	tries    []string
	problem  *api.Error
}

func newGate(password string) *gate {
	g := &gate{Backend: &ipctest.Backend{}, password: password, attempts: 2,
		problem: &api.Error{Code: api.CodeAuthRefused, What: "x"}}
	g.SetConnection(office(api.Disconnected))
	answers := make(chan api.Answer)
	g.OnAnswer = func(_ context.Context, a api.Answer) error {
		a.Secret = slices.Clone(a.Secret)
		go func() { answers <- a }()
		return nil
	}
	n := 0
	g.OnConnect = func(ctx context.Context, r api.ConnectRequest) error {
		g.SetConnection(office(api.Connecting))
		for attempt := 1; ; attempt++ {
			n++
			g.Ask(api.Prompt{ID: fmt.Sprint("p", n), Kind: api.PromptPassword, Connection: "office", Attempt: attempt, Rememberable: true})
			a := <-answers
			g.tries = append(g.tries, string(a.Secret))
			time.Sleep(100 * time.Millisecond)
			switch {
			case a.Cancel:
				c := office(api.Disconnected)
				c.Problem = &api.Error{Code: api.CodeCancelled}
				g.SetConnection(c)
				return c.Problem
			case string(a.Secret) == g.password:
				g.SetConnection(office(api.Connected))
				return nil
			case attempt == g.attempts:
				c := office(api.Disconnected)
				c.Problem = g.problem
				g.SetConnection(c)
				return g.problem
			}
		}
	}
	return g
}

// TestVault remembers what the user wants remembered once it has proved right,
// gives it once an attempt, and forgets what has proved wrong.
func TestVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, v := newGate("right"), &memory{}
		m := New(Options{Backend: g, Vault: v})
		defer run(t, m)()
		synctest.Wait()
		if !m.Snapshot().CanRemember {
			t.Error("nothing can be remembered")
		}
		connect := func() <-chan error {
			done := make(chan error, 1)
			go func() { done <- m.Connect(t.Context(), "office") }()
			time.Sleep(time.Second)
			return done
		}
		answer := func(secret string, remember bool) {
			t.Helper()
			s := m.Snapshot()
			if len(s.Prompts) != 1 {
				t.Fatalf("the user is asked %d things", len(s.Prompts))
			}
			b := []byte(secret)
			if err := m.Answer(t.Context(), api.Answer{ID: s.Prompts[0].ID, Secret: b}, remember); err != nil {
				t.Fatal(err)
			}
			if strings.Trim(string(b), "\x00") != "" {
				t.Errorf("the secret is still %q", b)
			}
			time.Sleep(time.Second)
		}
		disconnect := func() {
			t.Helper()
			if err := m.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}

		// Wrong at first: not kept. Right then, and wanted: kept, but not before it is up.
		done := connect()
		answer("wrong", true)
		if v.password() != "" {
			t.Errorf("kept %q, which is wrong", v.password())
		}
		answer("right", true)
		if err := <-done; err != nil || v.password() != "right" {
			t.Errorf("Connect: %v; kept %q", err, v.password())
		}
		disconnect()

		// Now nobody is asked.
		if err := <-connect(); err != nil {
			t.Errorf("Connect: %v", err)
		}
		disconnect()

		// The password has changed: the kept one is tried once, forgotten, and the user asked.
		g.password, g.tries = "changed", nil
		done = connect()
		if v.password() != "" {
			t.Errorf("still kept: %q", v.password())
		}
		answer("changed", false)
		if err := <-done; err != nil || v.password() != "" || fmt.Sprint(g.tries) != "[right changed]" {
			t.Errorf("Connect: %v; kept %q; tried %q", err, v.password(), g.tries)
		}
		disconnect()

		// A kept one that ends the attempt is forgotten too.
		v.Set("office", api.PromptPassword, []byte("old"))
		g.attempts, g.tries = 1, nil
		if err := <-connect(); api.AsError(err).Code != api.CodeAuthRefused {
			t.Errorf("Connect: %v", err)
		}
		time.Sleep(time.Second)
		if v.password() != "" || fmt.Sprint(g.tries) != "[old]" {
			t.Errorf("kept %q; tried %q", v.password(), g.tries)
		}

		// What fails for another reason proves nothing: what is kept stays, what is new is not kept.
		v.Set("office", api.PromptPassword, []byte("maybe"))
		g.problem = &api.Error{Code: api.CodeGatewaySilent, What: "x"}
		<-connect()
		time.Sleep(time.Second)
		if v.password() != "maybe" {
			t.Errorf("kept %q", v.password())
		}
		if err := m.Backend().Remove(t.Context(), "office"); err != nil || v.password() != "" {
			t.Errorf("Remove: %v; kept %q", err, v.password())
		}
	})
}

// TestSlowVault does not keep the user waiting for a vault that waits itself.
func TestSlowVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, v := newGate("right"), &memory{delay: time.Minute}
		m := New(Options{Backend: g, Vault: v})
		stop := run(t, m)
		go m.Connect(t.Context(), "office")
		time.Sleep(5 * time.Second)
		if n := len(m.Snapshot().Prompts); n != 0 {
			t.Errorf("%d prompts while the vault is asked", n)
		}
		time.Sleep(6 * time.Second)
		if n := len(m.Snapshot().Prompts); n != 1 {
			t.Errorf("%d prompts after the vault had its time", n)
		}
		if err := m.Answer(t.Context(), api.Answer{ID: "p1", Cancel: true}, true); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		stop()
	})
}

// TestConnect shows what is under way, and ends what its user gives up.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &ipctest.Backend{}
		b.SetConnection(office(api.Disconnected))
		b.OnConnect = func(ctx context.Context, r api.ConnectRequest) error {
			b.SetConnection(office(api.Connecting))
			<-ctx.Done()
			return api.AsError(ctx.Err())
		}
		m := New(Options{Backend: b})
		stop := run(t, m)
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Connect(ctx, "office") }()
		time.Sleep(time.Second)
		if c := m.Snapshot().Find("office"); c.Pending != Connect || c.Verb != Cancel || c.Mark != Busy {
			t.Errorf("while connecting: %+v", c)
		}
		cancel()
		if err := <-done; api.AsError(err).Code != api.CodeCancelled {
			t.Errorf("given up: %v", err)
		}
		time.Sleep(time.Second)
		if c := m.Snapshot().Find("office"); c.Pending != None || c.State != api.Disconnected {
			t.Errorf("after it was given up: %+v", c)
		}
		if calls := b.Calls(); !slices.Contains(calls, `disconnect "office"`) {
			t.Errorf("the service was not told: %q", calls)
		}

		// It falls back to clear text: the user is let go, the attempt is not.
		go func() { done <- m.Connect(t.Context(), "office") }()
		time.Sleep(time.Second)
		b.FallBack("office", time.Minute)
		if err := <-done; err != nil {
			t.Errorf("in clear: %v", err)
		}
		if c := m.Snapshot().Find("office"); c.Mark != Partly {
			t.Errorf("in clear: %+v", c)
		}
		if n := strings.Count(fmt.Sprint(b.Calls()), "disconnect"); n != 1 {
			t.Errorf("%d disconnects", n)
		}

		// The program ends: the service goes on.
		b.SetConnection(office(api.Disconnected))
		ctx, cancel = context.WithCancel(t.Context())
		go func() { done <- m.Connect(ctx, "office") }()
		time.Sleep(time.Second)
		stop()
		cancel()
		if err := <-done; err == nil {
			t.Error("no error")
		}
		if n := strings.Count(fmt.Sprint(b.Calls()), "disconnect"); n != 1 {
			t.Errorf("%d disconnects", n)
		}
	})
}

// TestLinks meets services of every kind.
func TestLinks(t *testing.T) {
	state := errors.New("")
	for _, tt := range []struct {
		name  string
		err   error
		probe Link
		api   int
		want  Link
	}{
		{"missing", errGone, Missing, 0, Missing},
		{"stopped", errGone, Stopped, 0, Stopped},
		{"lost", errGone, Lost, 0, Lost},
		{"a probe that knows nothing", errGone, Linked, 0, Lost},
		{"refused", &api.Error{Code: api.CodeNotAllowed}, Lost, 0, Refused},
		{"none for this system", &api.Error{Code: api.CodeUnsupported}, Lost, 0, Missing},
		{"newer on the road", &api.Error{Code: api.CodeUnsupported, Params: map[string]string{"service": "newer"}}, Lost, 0, Newer},
		{"older on the road", &api.Error{Code: api.CodeUnsupported, Params: map[string]string{"service": "older"}}, Lost, 0, Older},
		{"nonsense", &api.Error{Code: api.CodeInternal}, Lost, 0, Lost},
		{"another error", state, Lost, 0, Lost},
		{"newer", nil, Lost, api.APIVersion + 1, Newer},
		{"older", nil, Lost, -1, Older},
		{"ours", nil, Lost, api.APIVersion, Linked},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &ipctest.Backend{OnState: func(context.Context) error { return tt.err }}
			b.SetService(api.Service{APIVersion: tt.api})
			states, probes := 0, 0
			if tt.err != nil {
				b.OnState = func(context.Context) error { states++; return tt.err }
			}
			m := New(Options{Backend: b, Probe: func() Link { probes++; return tt.probe }})
			stop := run(t, m)
			time.Sleep(time.Minute)
			stop()
			s := m.Snapshot()
			if s.Link != tt.want || (s.Link == Linked) != (s.LinkProblem == nil) {
				t.Errorf("%s: link %d, %v", tt.name, s.Link, s.LinkProblem)
			}
			if states > 40 || tt.err != nil && states < 20 || probes > 12 {
				t.Errorf("%s: asked %d times, probed %d times in a minute", tt.name, states, probes)
			}
		})
	}
}
