package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/internal/simnet"
)

const rightSecret = "correct horse battery staple"

// asking makes a profile ask for its pre-shared key.
func asking(text string) string {
	return strings.Replace(text, `secret = "office+psk"`, "ask = true", 1)
}

// begin connects without waiting for it.
func begin(t *testing.T, e *Engine) <-chan error {
	t.Helper()
	end := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		end <- e.Connect(ctx, api.ConnectRequest{Name: "office", Wait: true})
	}()
	synctest.Wait()
	return end
}

// question returns the only question that waits.
func question(t *testing.T, e *Engine, kind api.PromptKind) api.Prompt {
	t.Helper()
	time.Sleep(time.Second)
	s, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Prompts) != 1 || s.Prompts[0].Kind != kind || s.Prompts[0].Connection != "office" {
		t.Fatalf("the prompts are %+v, want one for %s; the connections are %+v", s.Prompts, kind, s.Connections)
	}
	return s.Prompts[0]
}

func noQuestion(t *testing.T, e *Engine) {
	t.Helper()
	s, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Prompts) > 0 {
		t.Fatalf("there are prompts: %+v", s.Prompts)
	}
}

func answerWith(t *testing.T, e *Engine, a api.Answer) {
	t.Helper()
	if err := e.Answer(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code api.ErrorCode) *api.Error {
	t.Helper()
	ae := api.AsError(err)
	if ae == nil || ae.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return ae
}

// inside looks at a connection on the loop.
func inside(t *testing.T, e *Engine, f func(*conn)) {
	t.Helper()
	if err := e.call(t.Context(), func() { f(e.conns["office"]) }); err != nil {
		t.Fatal(err)
	}
}

// What is asked serves until the user disconnects, and not a moment longer.
func TestAskForSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, asking(requestProfile), gatewayProfile)
		defer w.stop()
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptSecret)
		if len(q.ID) != 32 || q.Attempt != 1 || q.User != "alice@vpn.test" || !q.Rememberable || q.Until.Sub(q.Asked) != promptTime {
			t.Errorf("the question is %+v", q)
		}
		answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(rightSecret)})
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		noQuestion(t, w.client)
		var psk []byte
		inside(t, w.client, func(c *conn) {
			psk = c.held.psk
			if c.cfg != nil {
				t.Error("the configuration with its secret is still there")
			}
		})

		w.net.SetTap(dropAll) // it comes back without asking
		time.Sleep(5 * time.Minute)
		noQuestion(t, w.client)
		w.net.SetTap(nil)
		time.Sleep(2 * time.Minute)
		if c := connection(t, w.client); c.State != api.Connected {
			t.Fatalf("after the gateway came back: %s, %v", c.State, c.Problem)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(psk, make([]byte, len(rightSecret))) {
			t.Errorf("after disconnecting the secret is %q", psk)
		}
		begin(t, w.client)
		answerWith(t, w.client, api.Answer{ID: question(t, w.client, api.PromptSecret).ID, Cancel: true})
	})
}

// A stored secret too is gone from memory when it has served.
func TestStoredSecretIsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		gateway := map[string]*ike.Config{}
		if err := w.gateway.call(t.Context(), func() { gateway["workers"] = w.gateway.conns["workers"].cfg }); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		var cfg *ike.Config
		inside(t, w.client, func(c *conn) { cfg = c.cfg })
		if string(cfg.Local.PSK) != rightSecret {
			t.Fatal("the attempt has no secret")
		}
		time.Sleep(10 * time.Second)
		if c := connection(t, w.client); c.State != api.Connected {
			t.Fatalf("state %s, %v", c.State, c.Problem)
		}
		if n := bytes.Count(append(cfg.Local.PSK, cfg.Peer.PSK...), []byte{0}); n != 2*len(rightSecret) {
			t.Error("a connection that is up still has its secret in memory")
		}
		if err := w.gateway.Disconnect(t.Context(), "workers"); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(gateway["workers"].Local.PSK, []byte{0}); n != len(rightSecret) {
			t.Error("a responder that no longer listens still has its secret in memory")
		}
	})
}

// A wrong answer is asked for again by the next connect, and by nothing else.
func TestWrongSecretIsNotRepeated(t *testing.T) {
	for _, profile := range []string{clientProfile, requireProfile} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, asking(profile), gatewayProfile)
			defer w.stop()
			requests := 0
			end := begin(t, w.client)
			q := question(t, w.client, api.PromptSecret)
			if profile == requireProfile && action(w.cm, "10.10.0.10") != host.FirewallTunnelOnly {
				t.Error("traffic leaves in clear while the user is asked")
			}
			answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte("another horse")})
			wantCode(t, <-end, api.CodeAuthRefused)
			time.Sleep(time.Minute)
			w.net.SetTap(func(p simnet.Packet) bool {
				if p.From.Addr() == clientAddr {
					requests++
				}
				return true
			})
			time.Sleep(time.Hour)
			noQuestion(t, w.client)
			if requests > 0 {
				t.Errorf("%d packets to the gateway after it refused", requests)
			}
			if profile == requireProfile && action(w.cm, "10.10.0.10") != host.FirewallTunnelOnly {
				t.Error("traffic leaves in clear after a wrong answer")
			}
			end = begin(t, w.client)
			if q = question(t, w.client, api.PromptSecret); q.Attempt != 2 {
				t.Errorf("asked as attempt %d", q.Attempt)
			}
			answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(rightSecret)})
			if err := <-end; err != nil {
				t.Fatal(err)
			}
			inside(t, w.client, func(c *conn) {
				if c.wrong != 0 {
					t.Errorf("%d wrong answers are remembered", c.wrong)
				}
			})
		})
	}
}

func TestPromptEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, w *world, q api.Prompt)
		code api.ErrorCode
	}{
		"cancelled": {func(t *testing.T, w *world, q api.Prompt) {
			answerWith(t, w.client, api.Answer{ID: q.ID, Cancel: true})
		}, api.CodeCancelled},
		"timed out": {func(*testing.T, *world, api.Prompt) { time.Sleep(promptTime) }, api.CodeTimeout},
		"disconnected": {func(t *testing.T, w *world, _ api.Prompt) {
			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Error(err)
			}
		}, api.CodeCancelled},
		"removed": {func(t *testing.T, w *world, _ api.Prompt) {
			if err := w.client.Remove(t.Context(), "office"); err != nil {
				t.Error(err)
			}
		}, api.CodeCancelled},
	} {
		for _, profile := range []string{clientProfile, requireProfile} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, asking(profile), gatewayProfile)
					defer w.stop()
					end := begin(t, w.client)
					q := question(t, w.client, api.PromptSecret)
					tt.end(t, w, q)
					wantCode(t, <-end, tt.code)
					time.Sleep(10 * time.Minute)
					noQuestion(t, w.client)
					wantCode(t, w.client.Answer(t.Context(), api.Answer{ID: q.ID, Secret: []byte(rightSecret)}), api.CodeNotFound)
					held := profile == requireProfile && (name == "cancelled" || name == "timed out")
					if clear := action(w.cm, "10.10.0.10") == host.FirewallClear; clear == held {
						t.Errorf("in clear: %v", clear)
					}
				})
			})
		}
	}
}

// The service says that a question is over when it stops.
func TestPromptIsWithdrawnByStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, asking(clientProfile), gatewayProfile)
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptSecret)
		w.stop()
		if err := <-end; err == nil {
			t.Error("connected")
		}
		found := false
		evs, _ := w.client.journal.after(0)
		for _, ev := range evs {
			found = found || ev.Kind == api.EventAnswered && ev.Name == q.ID
		}
		if !found {
			t.Error("nobody is told that the question is over")
		}
	})
}

func TestTwoAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, asking(clientProfile), gatewayProfile)
		defer w.stop()
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptSecret)
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { errs[i] = w.client.Answer(t.Context(), api.Answer{ID: q.ID, Secret: []byte(rightSecret)}) })
		}
		wg.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
				continue
			}
			wantCode(t, err, api.CodeNotFound)
		}
		if done != 1 {
			t.Errorf("%d answers count", done)
		}
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

func TestAnswersThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, asking(clientProfile), gatewayProfile)
		defer w.stop()
		begin(t, w.client)
		q := question(t, w.client, api.PromptSecret)
		for _, a := range []api.Answer{
			{}, {Trust: true}, {Choice: "1"}, {Secret: make([]byte, maxSecret+1)}, {Secret: []byte("x"), Trust: true},
		} {
			a.ID = q.ID
			wantCode(t, w.client.Answer(t.Context(), a), api.CodeUsage)
		}
		question(t, w.client, api.PromptSecret)
	})
}

// A gateway cannot make the service ask without end.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, asking(clientProfile), gatewayProfile)
		defer w.stop()
		begin(t, w.client)
		q := question(t, w.client, api.PromptSecret)
		var errs []error
		inside(t, w.client, func(c *conn) {
			for range 10 {
				w.client.ask(c, c.attempt, api.Prompt{Kind: api.PromptCode, Text: "a\x1b[31m\u202eb\x00" + strings.Repeat("x", 4000)}, func(_ answer, err error) { errs = append(errs, err) })
			}
		})
		s, err := w.client.State(t.Context())
		if err != nil || len(s.Prompts) != maxPrompts || len(errs) != 10-maxPrompts+1 {
			t.Fatalf("%d prompts, %d refused, %v", len(s.Prompts), len(errs), err)
		}
		for _, err := range errs {
			wantCode(t, err, api.CodePeerAuth)
		}
		if text := s.Prompts[1].Text; !strings.HasPrefix(text, "a[31mbx") || len(text) > maxText {
			t.Errorf("the gateway's text is %q", text)
		}
		answerWith(t, w.client, api.Answer{ID: q.ID, Cancel: true}) // with it the attempt ends
		noQuestion(t, w.client)
	})
}

// What the user says stays with the service: it is in nothing that a front end
// can read.
func TestSecretsDoNotLeak(t *testing.T) {
	for _, secret := range []string{rightSecret, "canary-of-the-mine"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, asking(clientProfile), gatewayProfile)
			defer w.stop()
			end := begin(t, w.client)
			given := []byte(secret)
			answerWith(t, w.client, api.Answer{ID: question(t, w.client, api.PromptSecret).ID, Secret: given})
			clear(given) // as the server does
			<-end
			synctest.Wait()
			var all bytes.Buffer
			add := func(v any, err error) {
				if err != nil {
					t.Error(err)
				}
				b, err := json.Marshal(v)
				if err != nil {
					t.Error(err)
				}
				all.Write(b)
				fmt.Fprintf(&all, "%+v", v)
			}
			ctx := t.Context()
			s, err := w.client.State(ctx)
			add(s, err)
			d, err := w.client.Dynamic(ctx)
			add(d, err)
			l, err := w.client.Log(ctx, 0)
			add(l, err)
			x, err := w.client.Exchanges(ctx, "", 1000)
			add(x, err)
			for seq := uint64(0); ; {
				evs, _ := w.client.journal.after(seq)
				if len(evs) == 0 {
					break
				}
				add(evs, nil)
				seq = evs[len(evs)-1].Seq
			}
			out, err := w.client.Export(ctx, "office")
			add(string(out.Text), err)
			names, err := w.cm.Secrets.List()
			for _, n := range names {
				if b, _ := w.cm.Secrets.Read(n); n != "office+psk" && bytes.Contains(b, []byte(secret)) {
					t.Errorf("it is stored as %s, %v", n, err)
				}
			}
			if strings.Contains(all.String(), secret) || strings.Contains(all.String(), fmt.Sprintf("%x", secret)) {
				t.Errorf("the secret %q is in what front ends see", secret)
			}
		})
	}
}
