package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
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

var root = ipc.Peer{UID: 0, PID: 1}

// request is one as a front end sends it.
func request(method, path, body string) *http.Request {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, rd)
	r.Host = ipc.Host
	r.Header.Set(ipc.HeaderAPI, "1")
	if body != "" {
		r.Header.Set("Content-Type", ipc.ContentJSON)
	}
	return r
}

// do serves one request and returns the status and the error, if it is one.
func do(t testing.TB, s *server.Server, r *http.Request) (int, *api.Error) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get(ipc.HeaderAPI) != "1" {
		t.Errorf("%s %s: no version in the answer", r.Method, r.URL)
	}
	if w.Code == http.StatusOK {
		return w.Code, nil
	}
	var body ipc.ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == nil || body.Error.What == "" {
		t.Errorf("%s %s: status %d with body %q: %v", r.Method, r.URL, w.Code, w.Body, err)
		return w.Code, &api.Error{}
	}
	return w.Code, body.Error
}

func TestRequests(t *testing.T) {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "a/b ö"})
	b.SetConnection(api.Connection{Name: ".."})
	s := server.New(b, server.Options{})
	big := `{"files":[{"path":"x","data":"` + strings.Repeat("A", ipc.MaxBody) + `"}]}`
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"state", "GET", "/v1/state", "", 200},
		{"dynamic", "GET", "/v1/dynamic", "", 200},
		{"log", "GET", "/v1/log?limit=3", "", 200},
		{"log, default", "GET", "/v1/log", "", 200},
		{"log, negative", "GET", "/v1/log?limit=-1", "", 400},
		{"log, too much", "GET", "/v1/log?limit=10001", "", 400},
		{"log, twice", "GET", "/v1/log?limit=1&limit=2", "", 400},
		{"log, unknown parameter", "GET", "/v1/log?lines=1", "", 400},
		{"events, bad number", "GET", "/v1/events?after=x", "", 400},
		{"import", "POST", "/v1/import", big, 200},
		{"import, no files", "POST", "/v1/import", `{"files":[]}`, 400},
		{"import, nameless file", "POST", "/v1/import", `{"files":[{"path":"","data":""}]}`, 400},
		{"import, bad name", "POST", "/v1/import", `{"files":[{"path":"x","data":""}],"name":"a\nb"}`, 400},
		{"import, long password", "POST", "/v1/import", `{"files":[{"path":"x","data":""}],"password":"` + strings.Repeat("A", 8000) + `"}`, 400},
		{"import, unknown field", "POST", "/v1/import", `{"files":[{"path":"x","data":""}],"path":"/etc/shadow"}`, 400},
		{"connect", "POST", "/v1/connections/a%2Fb%20%C3%B6/connect", `{"wait":true}`, 200},
		{"connect, dots", "POST", "/v1/connections/%2E%2E/connect", `{"wait":false,"profile":"respond"}`, 200},
		{"connect, unknown", "POST", "/v1/connections/c/connect", `{}`, 404},
		{"connect, bad profile", "POST", "/v1/connections/c/connect", `{"profile":"open"}`, 400},
		{"connect, no body", "POST", "/v1/connections/c/connect", "", 400},
		{"connect, not JSON", "POST", "/v1/connections/c/connect", `wait=true`, 400},
		{"connect, two values", "POST", "/v1/connections/c/connect", `{}{}`, 400},
		{"connect, rubbish after", "POST", "/v1/connections/c/connect", `{} x`, 400},
		{"connect, wrong type", "POST", "/v1/connections/c/connect", `{"wait":"yes"}`, 400},
		{"connect, cut", "POST", "/v1/connections/c/connect", `{"wait":`, 400},
		{"connect, too large", "POST", "/v1/connections/c/connect", big, 400},
		{"connect, control character", "POST", "/v1/connections/c%0A/connect", `{}`, 400},
		{"connect, long name", "POST", "/v1/connections/" + strings.Repeat("x", 256) + "/connect", `{}`, 400},
		{"disconnect", "POST", "/v1/connections/%2E%2E/disconnect", "", 200},
		{"disconnect, body", "POST", "/v1/connections/%2E%2E/disconnect", "{}", 400},
		{"remove", "DELETE", "/v1/connections/%2E%2E", "", 200},
		{"remove, gone", "DELETE", "/v1/connections/%2E%2E", "", 404},
		{"another version", "GET", "/v2/state", "", 501},
		{"another method", "PUT", "/v1/state", "", 501},
		{"nothing", "GET", "/", "", 501},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, e := do(t, s, s.As(request(tt.method, tt.path, tt.body), root)); status != tt.status {
				t.Errorf("status %d, want %d: %v", status, tt.status, e)
			}
		})
	}
}

func TestNotForBrowsers(t *testing.T) {
	s := server.New(&ipctest.Backend{}, server.Options{})
	for name, change := range map[string]func(*http.Request){
		"another host":      func(r *http.Request) { r.Host = "attacker.example" },
		"localhost":         func(r *http.Request) { r.Host = "localhost" },
		"a web page":        func(r *http.Request) { r.Header.Set("Origin", "https://attacker.example") },
		"an opaque origin":  func(r *http.Request) { r.Header.Set("Origin", "null") },
		"a navigation":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "navigate") },
		"no version header": func(r *http.Request) { r.Header.Del(ipc.HeaderAPI) },
	} {
		r := s.As(request("GET", "/v1/state", ""), root)
		change(r)
		if status, e := do(t, s, r); status != 403 {
			t.Errorf("%s: status %d, %v", name, status, e)
		}
	}
	// A form's encoding is not JSON, whatever it holds.
	r := s.As(request("POST", "/v1/connections/a/connect", "{}"), root)
	r.Header.Set("Content-Type", "text/plain")
	if status, e := do(t, s, r); status != 400 {
		t.Errorf("text/plain: status %d, %v", status, e)
	}
}

func TestAccess(t *testing.T) {
	self := uint32(os.Geteuid())
	const other, group = 4242, 777
	for _, tt := range []struct {
		name   string
		access server.Access
		peer   ipc.Peer
		want   bool
	}{
		{"root", server.Access{}, ipc.Peer{UID: 0}, true},
		{"ourselves", server.Access{}, ipc.Peer{UID: self}, true},
		{"vetted by the system", server.Access{}, ipc.Peer{Vetted: true, UID: other}, true},
		{"a stranger", server.Access{}, ipc.Peer{UID: other, GIDs: []uint32{other}}, false},
		{"root's group is not root", server.Access{}, ipc.Peer{UID: other, GIDs: []uint32{0}}, false},
		{"the overflow user", server.Access{}, ipc.Peer{UID: 65534, GIDs: []uint32{65534}}, false},
		{"a member", server.Access{}, ipc.Peer{UID: other, GIDs: []uint32{other, group}}, true},
		{"a listed user", server.Access{UIDs: []uint32{1, other}}, ipc.Peer{UID: other}, true},
		{"no group at all", server.Access{Groups: []string{}}, ipc.Peer{UID: other, GIDs: []uint32{group}}, false},
		{"another group", server.Access{Groups: []string{"wheel"}}, ipc.Peer{UID: other, GIDs: []uint32{group}}, false},
	} {
		s := server.New(&ipctest.Backend{}, server.Options{Access: tt.access})
		s.SetGroup(server.DefaultGroup, group)
		if got := s.Allows(tt.peer); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		status, e := do(t, s, s.As(request("GET", "/v1/state", ""), tt.peer))
		if tt.want != (status == 200) {
			t.Errorf("%s: status %d, %v", tt.name, status, e)
		}
		if !tt.want && (e.Code != api.CodeNotAllowed || e.Next == "" || e.Params["uid"] != fmt.Sprint(tt.peer.UID)) {
			t.Errorf("%s: told %+v", tt.name, e)
		}
	}
	// A request from nowhere is nobody's.
	if status, _ := do(t, server.New(&ipctest.Backend{}, server.Options{}), request("GET", "/v1/state", "")); status != 403 {
		t.Errorf("from nowhere: status %d", status)
	}
}

func TestRefusalsDoNotFillTheLog(t *testing.T) {
	lines := 0
	s := server.New(&ipctest.Backend{}, server.Options{Log: func(api.LogLevel, string) { lines++ }})
	for range 50 {
		do(t, s, s.As(request("GET", "/v1/state", ""), ipc.Peer{UID: 4242}))
	}
	if lines != 1 {
		t.Errorf("%d lines", lines)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	var logged string
	b := &ipctest.Backend{OnState: func(context.Context) error { panic("oops") }}
	s := server.New(b, server.Options{Log: func(_ api.LogLevel, text string) { logged += text }})
	status, e := do(t, s, s.As(request("GET", "/v1/state", ""), root))
	if status != 500 || e.Code != api.CodeInternal || strings.Contains(e.Error(), "oops") || !strings.Contains(logged, "oops") {
		t.Errorf("status %d, %v, logged %q", status, e, logged)
	}
}

func TestErrorsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   api.ErrorCode
	}{
		{&api.Error{Code: api.CodeAuthRefused, What: "No."}, 422, api.CodeAuthRefused},
		{fmt.Errorf("wrapped: %w", &api.Error{Code: api.CodeBusy, What: "No."}), 409, api.CodeBusy},
		{io.ErrUnexpectedEOF, 500, api.CodeInternal},
		{context.DeadlineExceeded, 504, api.CodeTimeout},
	} {
		b := &ipctest.Backend{OnState: func(context.Context) error { return tt.err }}
		s := server.New(b, server.Options{})
		if status, e := do(t, s, s.As(request("GET", "/v1/state", ""), root)); status != tt.status || e.Code != tt.code {
			t.Errorf("%v: status %d, %v", tt.err, status, e)
		}
	}
}

func TestPasswordIsWiped(t *testing.T) {
	var kept []byte
	b := &ipctest.Backend{OnImport: func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		if kept = r.Password; string(kept) != "secret" {
			t.Errorf("the backend got %q", kept)
		}
		return api.ImportResult{}, nil
	}}
	s := server.New(b, server.Options{Log: func(_ api.LogLevel, text string) {
		if strings.Contains(text, "secret") {
			t.Errorf("logged %q", text)
		}
	}})
	body, err := json.Marshal(api.ImportRequest{Files: []api.File{{Path: "x"}}, Password: []byte("secret")})
	if err != nil {
		t.Fatal(err)
	}
	do(t, s, s.As(request("POST", "/v1/import", string(body)), root))
	if !bytes.Equal(kept, make([]byte, 6)) {
		t.Errorf("kept %q", kept)
	}
}

// start serves b and returns the path of its socket.
func start(t *testing.T, b api.Backend) string {
	t.Helper()
	path := ipctest.Socket(t)
	ipctest.Serve(t, path, b, server.Options{})
	return path
}

func TestAllOverTheSocket(t *testing.T) {
	b := &ipctest.Backend{}
	b.SetService(api.Service{Version: "9", APIVersion: 1})
	b.SetDynamic(api.Dynamic{Drops: map[string]uint64{"replay": 1}})
	c := client.New(start(t, b))
	defer c.Close()
	ctx := t.Context()

	if r, err := c.Import(ctx, api.ImportRequest{Files: []api.File{{Path: "f", Data: []byte("office\n")}}, Password: []byte("pw")}); err != nil || len(r.Imported) != 1 {
		t.Errorf("Import: %+v, %v", r, err)
	}
	large := api.File{Path: "large", Data: make([]byte, 20<<20)}
	if _, err := c.Import(ctx, api.ImportRequest{Files: []api.File{{Path: "f", Data: []byte("office\n")}, large}, Replace: true}); err != nil {
		t.Errorf("Import of 20 MB: %v", err)
	}
	if err := c.Connect(ctx, api.ConnectRequest{Name: "office", Wait: true, Profile: api.Request}); err != nil {
		t.Errorf("Connect: %v", err)
	}
	if st, err := c.State(ctx); err != nil || len(st.Connections) != 1 || st.Connections[0].State != api.Connected || st.Service.Version != "9" {
		t.Errorf("State: %+v, %v", st, err)
	}
	if d, err := c.Dynamic(ctx); err != nil || d.Drops["replay"] != 1 {
		t.Errorf("Dynamic: %+v, %v", d, err)
	}
	b.Write(api.LogEntry{Text: "one"})
	b.Write(api.LogEntry{Text: "two"})
	if l, err := c.Log(ctx, 1); err != nil || len(l) != 1 || l[0].Text != "two" {
		t.Errorf("Log: %+v, %v", l, err)
	}
	if err := c.Disconnect(ctx, "office"); err != nil {
		t.Errorf("Disconnect: %v", err)
	}
	var kinds []string
	if err := c.Events(ctx, 0, func(e api.Event) bool {
		kinds = append(kinds, fmt.Sprint(e.Seq, e.Kind))
		return len(kinds) < 6
	}); err != nil {
		t.Errorf("Events: %v", err)
	}
	if got, want := fmt.Sprint(kinds), "[1connection 2connection 3connection 4log 5log 6connection]"; got != want {
		t.Errorf("Events: %s, want %s", got, want)
	}
	if err := c.Remove(ctx, "office"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if err := c.Remove(ctx, "office"); api.AsError(err).Code != api.CodeNotFound {
		t.Errorf("Remove twice: %v", err)
	}
	want := `connect "office" wait=true profile="request"`
	if calls := b.Calls(); !slices.Contains(calls, want) {
		t.Errorf("calls %q lack %s", calls, want)
	}
	// What is refused before it is read leaves the client an explanation.
	huge := api.File{Path: "huge", Data: make([]byte, 25<<20)}
	if _, err := c.Import(ctx, api.ImportRequest{Files: []api.File{huge}}); api.AsError(err).Code != api.CodeUsage {
		t.Errorf("Import of 25 MB: %v", err)
	}
}

func TestCallersDeadlineReachesTheBackend(t *testing.T) {
	b := &ipctest.Backend{OnConnect: func(ctx context.Context, _ api.ConnectRequest) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		<-ctx.Done()
		return &api.Error{Code: api.CodeTimeout, What: "The gateway is slow.", Why: ctx.Err().Error()}
	}}
	b.SetConnection(api.Connection{Name: "a"})
	c := client.New(start(t, b))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := c.Connect(ctx, api.ConnectRequest{Name: "a", Wait: true})
	if e := api.AsError(err); e.Code != api.CodeTimeout || e.What != "The gateway is slow." {
		t.Errorf("got %v", err)
	}
}

func TestCallerGivesUp(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	b := &ipctest.Backend{OnConnect: func(ctx context.Context, _ api.ConnectRequest) error {
		close(begun)
		<-ctx.Done()
		close(over)
		return ctx.Err()
	}}
	b.SetConnection(api.Connection{Name: "a"})
	c := client.New(start(t, b))
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if err := c.Connect(ctx, api.ConnectRequest{Name: "a", Wait: true}); api.AsError(err).Code != api.CodeCancelled {
		t.Errorf("got %v", err)
	}
	<-over
}

// TestSlowFollower holds a follower up until the ring has passed it.
func TestSlowFollower(t *testing.T) {
	b := &ipctest.Backend{Ring: 16}
	c := client.New(start(t, b))
	defer c.Close()
	text := strings.Repeat("x", 64<<10) // fills the socket's buffers soon
	var last uint64
	lost := false
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b.Write(api.LogEntry{Text: "first"})
	err := c.Events(ctx, 0, func(e api.Event) bool {
		if last == 0 {
			for range 300 {
				b.Write(api.LogEntry{Text: text})
			}
		}
		switch {
		case e.Kind == api.EventLost:
			lost = true
			b.Write(api.LogEntry{Text: "end"})
		case !lost && e.Seq != last+1, lost && e.Seq <= last:
			t.Errorf("event %d follows %d", e.Seq, last)
		}
		last = e.Seq
		return e.Log == nil || e.Log.Text != "end"
	})
	if err != nil || !lost {
		t.Errorf("lost %v, %v", lost, err)
	}
}

// TestEventOrder lets many write while many follow: each follower sees all, in
// order.
func TestEventOrder(t *testing.T) {
	const writers, each, followers = 4, 100, 4
	b := &ipctest.Backend{Ring: writers * each}
	path := start(t, b)
	var wg sync.WaitGroup
	for range followers {
		wg.Go(func() {
			c := client.New(path)
			defer c.Close()
			var last uint64
			err := c.Events(t.Context(), 0, func(e api.Event) bool {
				if e.Kind != api.EventLog || e.Seq != last+1 {
					t.Errorf("event %d %s follows %d", e.Seq, e.Kind, last)
					return false
				}
				last = e.Seq
				return last < writers*each
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range writers {
		wg.Go(func() {
			for range each {
				b.Write(api.LogEntry{Text: "x"})
			}
		})
	}
	// Other calls go on beside the streams.
	wg.Go(func() {
		c := client.New(path)
		defer c.Close()
		for range 50 {
			if _, err := c.State(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func TestRestart(t *testing.T) {
	path := ipctest.Socket(t)
	b := &ipctest.Backend{}
	stop := ipctest.Serve(t, path, b, server.Options{})
	c := client.New(path)
	defer c.Close()
	if _, err := c.State(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	following := make(chan struct{})
	go func() {
		first := true
		ended <- c.Events(t.Context(), 0, func(api.Event) bool {
			if first {
				close(following)
				first = false
			}
			return true
		})
	}()
	b.Write(api.LogEntry{Text: "x"})
	<-following
	stop()
	if err := <-ended; api.AsError(err).Code != api.CodeUnreachable {
		t.Errorf("the follower of a stopped service: %v", err)
	}
	if _, err := c.State(t.Context()); api.AsError(err).Code != api.CodeUnreachable || api.AsError(err).Next == "" {
		t.Errorf("a stopped service: %v", err)
	}
	ipctest.Serve(t, path, &ipctest.Backend{}, server.Options{})
	if _, err := c.State(t.Context()); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	// A position of the earlier life is told to be lost.
	if err := c.Events(t.Context(), 1000, func(e api.Event) bool {
		if e.Kind != api.EventLost {
			t.Errorf("got %+v", e)
		}
		return false
	}); err != nil {
		t.Error(err)
	}
}

func TestHeartbeat(t *testing.T) {
	path := ipctest.Socket(t)
	ln, err := ipc.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(&ipctest.Backend{}, server.Options{})
	s.SetHeartbeat(20 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()

	c, err := ipc.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/events HTTP/1.1\r\nHost: %s\r\n%s: 1\r\n\r\n", ipc.Host, ipc.HeaderAPI)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(resp.Body)
	for range 4 {
		if !sc.Scan() || sc.Text() != "{}" {
			t.Fatalf("got %q, %v", sc.Text(), sc.Err())
		}
	}
	cancel()
	for sc.Scan() {
		var l ipc.StreamLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil || l.Error != nil && l.Error.Code != api.CodeUnreachable {
			t.Errorf("at the end: %q, %v", sc.Text(), err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTooManyCallers(t *testing.T) {
	path := start(t, &ipctest.Backend{})
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range 48 {
		c, err := ipc.Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		// Held open only once it has been accepted.
		fmt.Fprintf(c, "GET /v1/state HTTP/1.1\r\nHost: %s\r\n%s: 1\r\n\r\n", ipc.Host, ipc.HeaderAPI)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	c := client.New(path)
	defer c.Close()
	if _, err := c.State(t.Context()); api.AsError(err).Code != api.CodeBusy {
		t.Errorf("one too many: %v", err)
	}
	for _, h := range held[:8] {
		h.Close()
	}
	held = held[8:]
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := c.State(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after others left: %v", err)
		}
	}
}

func TestTooManyFollowers(t *testing.T) {
	path := start(t, &ipctest.Backend{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	busy := make(chan error, 32)
	for range 17 {
		wg.Go(func() {
			c := client.New(path)
			defer c.Close()
			err := c.Events(ctx, 0, func(api.Event) bool { return true })
			if ctx.Err() == nil {
				busy <- err
			}
		})
	}
	if err := <-busy; api.AsError(err).Code != api.CodeBusy {
		t.Errorf("got %v", err)
	}
}

// TestRawRubbish sends what is no HTTP, and less than a request.
func TestRawRubbish(t *testing.T) {
	path := start(t, &ipctest.Backend{})
	for _, s := range []string{
		"\x00\x01\x02\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"GET /v1/state HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET /v1/state HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: sallyport\r\nSallyport-Api: 1\r\n\r\n",
		"POST /v1/import HTTP/1.1\r\nHost: sallyport\r\nSallyport-Api: 1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /v1/import HTTP/1.1\r\nHost: sallyport\r\nSallyport-Api: 1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
	} {
		c, err := ipc.Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, s)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%.40q: status %d", s, resp.StatusCode)
		}
		c.Close()
	}
	c := client.New(path)
	defer c.Close()
	if _, err := c.State(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// routes are all but the stream of events.
var routes = []struct{ method, path string }{
	{"POST", "/v1/import"}, {"POST", "/v1/connections/a/connect"}, {"POST", "/v1/connections/a/disconnect"},
	{"DELETE", "/v1/connections/a"}, {"GET", "/v1/state"}, {"GET", "/v1/log?limit=1"}, {"GET", "/v1/dynamic"},
	{"GET", "/v1/security"}, {"GET", "/v1/policies"}, {"POST", "/v1/policies"}, {"GET", "/v1/policies/p"}, {"DELETE", "/v1/policies/p"},
	{"GET", "/v1/policies/p/diff/p"}, {"POST", "/v1/policies/p/assign"}, {"POST", "/v1/unassign"}, {"GET", "/v1/explain?flow=a"},
	{"POST", "/v1/simulate"}, {"POST", "/v1/connections/a/allow-clear"}, {"GET", "/v1/memories"},
	{"POST", "/v1/memories/pin"}, {"POST", "/v1/memories/forget"},
	{"GET", "/v1/connections/a/export"}, {"POST", "/v1/test"}, {"GET", "/v1/traffic"}, {"GET", "/v1/exchanges"},
}

// FuzzRequest decodes any body on any route: it must answer, with an explained
// error or a success, and never panic.
func FuzzRequest(f *testing.F) {
	for i := range routes {
		f.Add(uint8(i), []byte(`{"files":[{"path":"a","data":"YQ=="}],"asked":["b"],"name":"c","password":"cHc=","replace":true}`))
		f.Add(uint8(i), []byte(`{"wait":true,"profile":"require"}`))
		f.Add(uint8(i), []byte(`{"name":"p","text":"YQo=","replace":true}`))
		f.Add(uint8(i), []byte(`{"policy":{"text":"YQo="},"capture":"1MOyoQ=="}`))
		f.Add(uint8(i), []byte(`{"network":"192.0.2.0/24","peer":"p","rule":"r","worked":"2026-03-14T15:09:26Z","pinned":true}`))
		f.Add(uint8(i), []byte(`{"dry_run":true}`))
		f.Add(uint8(i), []byte(`{"milliseconds":300000}`))
		f.Add(uint8(i), []byte(nil))
	}
	f.Add(uint8(0), []byte(`{"files":[null],"name":null}`))
	f.Add(uint8(1), []byte(`[[[[`))
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		r := routes[int(route)%len(routes)]
		b := &ipctest.Backend{}
		b.SetConnection(api.Connection{Name: "a"})
		b.SetPolicy(api.Policy{Name: "p"}, "r\n")
		b.SetAssignment(&api.Assignment{Policy: "q"})
		s := server.New(b, server.Options{Log: func(level api.LogLevel, text string) {
			if level == api.LogError {
				t.Error(text)
			}
		}})
		status, e := do(t, s, s.As(request(r.method, r.path, string(body)), root))
		if status == 200 || slices.Contains([]api.ErrorCode{api.CodeUsage, api.CodeExists, api.CodeNotFound, api.CodePolicyInvalid}, e.Code) {
			return
		}
		t.Errorf("%s %s with %q: status %d, %v", r.method, r.path, body, status, e)
	})
}

// FuzzPath does the same for paths.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/v1/state", "/v1/log?limit=%", "/v1/connections/%00", "/v1/connections/..%2F", "/v1//state", "/v1/connections/a/connect?x=y", "/v1/policies/%2E%2E/diff/%2F", "/v1/explain?flow=%00", "*", "/%zz"} {
		f.Add("GET", p)
		f.Add("DELETE", p)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s: 1\r\n\r\n", method, path, ipc.Host, ipc.HeaderAPI)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil || strings.Contains(r.URL.Path, "events") {
			return
		}
		s := server.New(&ipctest.Backend{}, server.Options{})
		w := httptest.NewRecorder()
		s.ServeHTTP(w, s.As(r, root))
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%q: status %d, %s", raw, w.Code, w.Body)
		}
	})
}
