package cli

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

var serverPrompt = api.Prompt{ID: "q", Kind: api.PromptServer, Connection: "home", Attempt: 1, Text: "trust me\x1b[1m",
	Certificate: &api.Certificate{Subject: "CN=gw", Issuer: "CN=Nobody\x1b[31m", Names: []string{"gw.example.com"}, Fingerprint: "AB:CD"}}

// certificatePrompt is a choice of two certificates; a stranger has named one.
var certificatePrompt = api.Prompt{ID: "q", Kind: api.PromptCertificate, Connection: "home", Attempt: 1, Rememberable: true, Choices: []api.Choice{
	{ID: "1", Text: "alice", Certificate: &api.Certificate{Subject: "CN=alice", Issuer: "CN=ca", Fingerprint: "AB:CD", Uses: []api.CertificateUse{api.UseClient, "newer"}}},
	{ID: "2", Text: "bob\x1b[1m", Certificate: &api.Certificate{Subject: "CN=bob\x1b[1m", Issuer: "CN=ca", Fingerprint: "EF:01"}},
}}

func secretPrompt(attempt int) api.Prompt {
	return api.Prompt{ID: "q", Kind: api.PromptSecret, Connection: "home", Attempt: attempt}
}

// asks makes a service that asks before it connects, each prompt in turn, and
// returns what it was answered.
func asks(b *ipctest.Backend, prompts ...api.Prompt) func() []api.Answer {
	var mu sync.Mutex
	var got []api.Answer
	answered := make(chan api.Answer)
	b.OnAnswer = func(_ context.Context, a api.Answer) error {
		a.Secret = append([]byte(nil), a.Secret...)
		mu.Lock()
		got = append(got, a)
		mu.Unlock()
		go func() { answered <- a }()
		return nil
	}
	b.OnConnect = func(ctx context.Context, r api.ConnectRequest) error {
		for _, p := range prompts {
			b.Ask(p)
			select {
			case a := <-answered:
				if a.Cancel {
					return &api.Error{Code: api.CodeCancelled, What: "It was given up."}
				}
			case <-ctx.Done():
				b.Withdraw(p.ID)
				return ctx.Err()
			}
		}
		if last := got[len(got)-1]; !last.Trust && last.Choice == "" && string(last.Secret) != "right" {
			return &api.Error{Code: api.CodeAuthRefused, What: "Could not connect."}
		}
		b.SetConnection(api.Connection{Name: r.Name, State: api.Connected, Protection: api.Protected, Since: now})
		return nil
	}
	return func() []api.Answer {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestConnectAsks(t *testing.T) {
	for name, tt := range map[string]struct {
		prompts []api.Prompt
		typed   string // at the terminal
		yes     bool
		stdin   string
		args    []string
		code    int
		answer  api.Answer // the last
		shows   string     // on standard error
	}{
		"secret":            {prompts: []api.Prompt{secretPrompt(1)}, typed: "right", answer: api.Answer{ID: "q", Secret: []byte("right")}},
		"wrong secret":      {prompts: []api.Prompt{secretPrompt(1)}, typed: "left", code: ExitFailed, answer: api.Answer{ID: "q", Secret: []byte("left")}, shows: "Could not connect."},
		"second attempt":    {prompts: []api.Prompt{secretPrompt(2)}, typed: "right", answer: api.Answer{ID: "q", Secret: []byte("right")}, shows: "The last answer was wrong."},
		"nothing":           {prompts: []api.Prompt{secretPrompt(1)}, code: ExitFailed, answer: api.Answer{ID: "q", Cancel: true}},
		"server":            {prompts: []api.Prompt{serverPrompt}, yes: true, answer: api.Answer{ID: "q", Trust: true}, shows: "  SHA-256  AB:CD\n"},
		"another server":    {prompts: []api.Prompt{serverPrompt}, code: ExitFailed, answer: api.Answer{ID: "q", Cancel: true}},
		"certificate":       {prompts: []api.Prompt{certificatePrompt}, yes: true, answer: api.Answer{ID: "q", Choice: "1", Remember: true}, shows: "for clients, newer\n     SHA-256 AB:CD\n  2  bob"},
		"no certificate":    {prompts: []api.Prompt{certificatePrompt}, code: ExitFailed, answer: api.Answer{ID: "q", Cancel: true}, shows: "Several certificates"},
		"both":              {prompts: []api.Prompt{secretPrompt(1), serverPrompt}, typed: "right", yes: true, answer: api.Answer{ID: "q", Trust: true}},
		"script":            {prompts: []api.Prompt{secretPrompt(1)}, stdin: "right\n", args: []string{"--password-stdin"}, answer: api.Answer{ID: "q", Secret: []byte("right")}},
		"script, wrong":     {prompts: []api.Prompt{secretPrompt(1)}, stdin: "left\n", args: []string{"--password-stdin"}, code: ExitFailed, answer: api.Answer{ID: "q", Secret: []byte("left")}},
		"script, two":       {prompts: []api.Prompt{secretPrompt(1), secretPrompt(2)}, stdin: "left\n", args: []string{"--password-stdin"}, code: ExitFailed, answer: api.Answer{ID: "q", Cancel: true}},
		"script, JSON":      {prompts: []api.Prompt{secretPrompt(1)}, stdin: "right\n", args: []string{"--password-stdin", "--json"}, answer: api.Answer{ID: "q", Secret: []byte("right")}},
		"script, not waits": {stdin: "right\n", args: []string{"--password-stdin", "--wait", "0"}, code: ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := house()
				got := asks(b, tt.prompts...)
				s := shell{b: b, stdin: tt.stdin}
				if tt.stdin == "" {
					s.opt = func(o *Options) {
						o.Prompt = func(ctx context.Context, q string) ([]byte, error) {
							time.Sleep(time.Hour) // people think
							return []byte(tt.typed), nil
						}
						o.Confirm = func(context.Context, string) (bool, error) { return tt.yes, nil }
					}
				}
				code, out, errOut := s.run(t.Context(), append([]string{"connect", "home"}, tt.args...)...)
				if code != tt.code || !strings.Contains(errOut, tt.shows) || strings.Contains(errOut, "\x1b") {
					t.Errorf("exit %d, want %d:\n%s%s", code, tt.code, out, errOut)
				}
				if tt.answer.ID == "" {
					return
				}
				answers := got()
				if len(answers) != len(tt.prompts) {
					t.Fatalf("answered %d times", len(answers))
				}
				a := answers[len(answers)-1]
				if a.Trust != tt.answer.Trust || a.Choice != tt.answer.Choice || a.Remember != tt.answer.Remember || a.Cancel != tt.answer.Cancel || string(a.Secret) != string(tt.answer.Secret) {
					t.Errorf("answered %+v, want %+v", a, tt.answer)
				}
				if strings.Contains(out+errOut, "right") || strings.Contains(out+errOut, "left") {
					t.Errorf("the secret is shown:\n%s%s", out, errOut)
				}
			})
		})
	}
}

// Without a terminal the command says what is waited for, and gives up in time.
func TestConnectCannotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := house()
		asks(b, secretPrompt(1))
		begun := time.Now()
		code, _, errOut := shell{b: b}.run(t.Context(), "connect", "home", "--wait", "10s")
		if code != ExitFailed || !strings.Contains(errOut, "sallyport answer q") || !strings.Contains(errOut, "did not connect within 10s") {
			t.Errorf("exit %d:\n%s", code, errOut)
		}
		if d := time.Since(begun); d != 10*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// Somebody else answers while the terminal waits.
func TestConnectAnsweredElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := house()
		asks(b, secretPrompt(1))
		open := make(chan struct{})
		go func() {
			<-open
			b.Answer(t.Context(), api.Answer{ID: "q", Secret: []byte("right")})
		}()
		code, out, errOut := shell{b: b, opt: func(o *Options) {
			o.Prompt = func(ctx context.Context, _ string) ([]byte, error) {
				close(open)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			o.Confirm = func(context.Context, string) (bool, error) { return false, errors.New("nobody asked for this") }
		}}.run(t.Context(), "connect", "home")
		if code != ExitDone || !strings.Contains(out, "is connected") {
			t.Errorf("exit %d:\n%s%s", code, out, errOut)
		}
	})
}

func TestAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		prompt api.Prompt
		args   []string
		stdin  string
		typed  string
		code   int
		want   string // what the service heard
	}{
		"secret":      {prompt: secretPrompt(1), args: []string{"--secret-stdin"}, stdin: "x\n", want: `answer q secret=true choice="" trust=false cancel=false`},
		"trust":       {prompt: serverPrompt, args: []string{"--trust"}, want: `answer q secret=false choice="" trust=true cancel=false`},
		"choice":      {prompt: serverPrompt, args: []string{"--choice", "2"}, want: `answer q secret=false choice="2" trust=false cancel=false`},
		"remembered":  {prompt: certificatePrompt, args: []string{"--choice", "2", "--remember"}, want: `answer q secret=false choice="2" trust=false cancel=false remember=true`},
		"remember it": {prompt: certificatePrompt, args: []string{"--remember"}, code: ExitUsage},
		"and trust":   {prompt: serverPrompt, args: []string{"--trust", "--remember"}, code: ExitUsage},
		"cancel":      {prompt: serverPrompt, args: []string{"--cancel"}, want: `answer q secret=false choice="" trust=false cancel=true`},
		"typed":       {prompt: secretPrompt(1), typed: "x", want: `answer q secret=true choice="" trust=false cancel=false`},
		"both":        {prompt: serverPrompt, args: []string{"--trust", "--cancel"}, code: ExitUsage},
		"no terminal": {prompt: serverPrompt, code: ExitUsage},
		"no stdin":    {prompt: serverPrompt, args: []string{"--secret-stdin"}, code: ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			b := house()
			b.Ask(tt.prompt)
			s := shell{b: b, stdin: tt.stdin}
			if tt.typed != "" {
				s.opt = func(o *Options) {
					o.Prompt = func(context.Context, string) ([]byte, error) { return []byte(tt.typed), nil }
					o.Confirm = func(context.Context, string) (bool, error) { return false, nil }
				}
			}
			code, out, errOut := s.run(t.Context(), append([]string{"answer", "q"}, tt.args...)...)
			if code != tt.code {
				t.Fatalf("exit %d:\n%s%s", code, out, errOut)
			}
			if calls := strings.Join(b.Calls(), "\n"); tt.want != "" && !strings.Contains(calls, tt.want) {
				t.Errorf("the service heard\n%s\nwant %s", calls, tt.want)
			}
		})
	}
}
