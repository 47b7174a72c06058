package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

func TestAnswerRequests(t *testing.T) {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "office"})
	b.Ask(api.Prompt{ID: "q", Kind: api.PromptSecret, Connection: "office"})
	s := server.New(b, server.Options{Access: server.Access{Groups: []string{}}})
	for _, tt := range []struct {
		name, path, body string
		status           int
	}{
		{"no ID", "/v1/answer", `{"trust":true}`, 400},
		{"long ID", "/v1/answer", `{"id":"` + strings.Repeat("q", 300) + `"}`, 400},
		{"long choice", "/v1/answer", `{"id":"q","choice":"` + strings.Repeat("q", 300) + `"}`, 400},
		{"long secret", "/v1/answer", `{"id":"q","secret":"` + strings.Repeat("A", 8000) + `"}`, 400},
		{"not base64", "/v1/answer", `{"id":"q","secret":"a b"}`, 400},
		{"unknown field", "/v1/answer", `{"id":"q","always":true}`, 400},
		{"unknown prompt", "/v1/answer", `{"id":"r","cancel":true}`, 404},
		{"answer", "/v1/answer", `{"id":"q","secret":"eA=="}`, 200},
		{"second answer", "/v1/answer", `{"id":"q","secret":"eA=="}`, 404},
		{"profile", "/v1/connections/office/profile", `{"profile":"require"}`, 200},
		{"no profile", "/v1/connections/office/profile", `{}`, 400},
		{"another profile", "/v1/connections/office/profile", `{"profile":"open"}`, 400},
		{"unknown connection", "/v1/connections/home/profile", `{"profile":"require"}`, 404},
	} {
		if status, e := do(t, s, s.As(request(http.MethodPost, tt.path, tt.body), root)); status != tt.status {
			t.Errorf("%s: status %d, want %d: %v", tt.name, status, tt.status, e)
		}
	}
	for _, path := range []string{"/v1/answer", "/v1/connections/office/profile"} {
		if status, _ := do(t, s, s.As(request(http.MethodPost, path, `{}`), ipc.Peer{UID: 4242})); status != http.StatusForbidden {
			t.Errorf("a stranger may post to %s: status %d", path, status)
		}
	}
}

// What a front end answers is in the Backend's hands, and nowhere else: not in
// the log of who did what, and not in the server's memory.
func TestAnswerIsWiped(t *testing.T) {
	var got []byte
	b := &ipctest.Backend{OnAnswer: func(_ context.Context, a api.Answer) error {
		got = a.Secret
		return nil
	}}
	b.Ask(api.Prompt{ID: "the-question", Kind: api.PromptSecret})
	var mu sync.Mutex
	var log strings.Builder
	s := server.New(b, server.Options{Log: func(_ api.LogLevel, text string) {
		mu.Lock()
		defer mu.Unlock()
		log.WriteString(text + "\n")
	}})
	if status, e := do(t, s, s.As(request(http.MethodPost, "/v1/answer", `{"id":"the-question","secret":"b3BlbiBzZXNhbWU="}`), root)); status != http.StatusOK {
		t.Fatal(e)
	}
	if string(got) != strings.Repeat("\x00", len("open sesame")) {
		t.Errorf("the server keeps %q", got)
	}
	if text := log.String(); !strings.Contains(text, "answer a prompt") || strings.Contains(text, "sesame") || strings.Contains(text, "the-question") {
		t.Errorf("the log says %q", text)
	}
}

// Two front ends follow the same question, and one of them answers it.
func TestPromptsOverTheSocket(t *testing.T) {
	b := &ipctest.Backend{}
	path := ipctest.Socket(t)
	ipctest.Serve(t, path, b, server.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	clients := [2]*client.Client{client.New(path), client.New(path)}
	asked, answered := make(chan api.Prompt, 2), make(chan string, 2)
	for _, c := range clients {
		defer c.Close()
		st, err := c.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		go c.Events(ctx, st.Seq, func(ev api.Event) bool {
			switch ev.Kind {
			case api.EventPrompt:
				asked <- *ev.Prompt
			case api.EventAnswered:
				answered <- ev.Name
			}
			return true
		})
	}
	want := api.Prompt{ID: "q", Kind: api.PromptServer, Connection: "office", Attempt: 1, Certificate: &api.Certificate{Subject: "CN=gw", Fingerprint: "AB"}}
	b.Ask(want)
	for range clients {
		if p := <-asked; p.ID != want.ID || p.Kind != want.Kind || p.Certificate == nil || p.Certificate.Fingerprint != "AB" {
			t.Errorf("asked %+v", p)
		}
	}
	st, err := clients[0].State(ctx)
	if err != nil || len(st.Prompts) != 1 {
		t.Fatalf("%+v, %v", st.Prompts, err)
	}
	results := make(chan error, 2)
	for _, c := range clients {
		go func() { results <- c.Answer(ctx, api.Answer{ID: "q", Trust: true}) }()
	}
	first, second := <-results, <-results
	if first != nil {
		first, second = second, first
	}
	var e *api.Error
	if first != nil || !errors.As(second, &e) || e.Code != api.CodeNotFound {
		t.Errorf("two answers: %v and %v", first, second)
	}
	for range clients {
		if id := <-answered; id != "q" {
			t.Errorf("answered %q", id)
		}
	}
}
