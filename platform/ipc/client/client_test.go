package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// over returns a Client whose connections serve takes, without a socket.
func over(serve func(net.Conn)) *Client {
	c := New("/run/test.sock")
	c.rt.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			serve(theirs)
		}()
		return ours, nil
	}
	return c
}

// answering serves every request with the same bytes.
func answering(raw string) *Client {
	return over(func(c net.Conn) {
		buf := make([]byte, 4096)
		for n := 0; !strings.Contains(string(buf[:n]), "\r\n\r\n"); {
			m, err := c.Read(buf[n:])
			if err != nil || n+m == len(buf) {
				return
			}
			n += m
		}
		io.WriteString(c, raw) // returns when all of it has been read
	})
}

func response(status int, version, contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%s: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), ipc.HeaderAPI, version, contentType, len(body), body)
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      api.ErrorCode
		says      string
	}{
		{"a state", response(200, "1", ipc.ContentJSON, `{"service":{"version":"1"},"connections":[],"later":true}`), "", ""},
		{"an error", response(404, "1", ipc.ContentJSON, `{"error":{"code":"not_found","what":"Gone."}}`), api.CodeNotFound, "Gone."},
		{"an error of few words", response(404, "1", ipc.ContentJSON, `{"error":{"code":"newer_code"}}`), "newer_code", "newer_code"},
		{"older", response(200, "0", ipc.ContentJSON, `{}`), api.CodeUnsupported, "older"},
		{"newer", response(501, "2", ipc.ContentJSON, `{}`), api.CodeUnsupported, "newer"},
		{"no number", response(200, "one", ipc.ContentJSON, `{}`), api.CodeInternal, "version"},
		{"another program", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", api.CodeUnreachable, "Another program"},
		{"a redirect", "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nSallyport-Api: 1\r\nContent-Length: 0\r\n\r\n", api.CodeInternal, "HTTP status 302"},
		{"not JSON", response(200, "1", ipc.ContentJSON, `<html>`), api.CodeInternal, "makes no sense"},
		{"no explanation", response(500, "1", ipc.ContentJSON, `{}`), api.CodeInternal, "HTTP status 500"},
		{"no code", response(500, "1", ipc.ContentJSON, `{"error":{"what":"x"}}`), api.CodeInternal, "HTTP status 500"},
		{"cut off", "HTTP/1.1 200 OK\r\nSallyport-Api: 1\r\nContent-Length: 99\r\n\r\n{}", api.CodeUnreachable, "broke off"},
		{"not HTTP", "SSH-2.0-x\r\n", api.CodeUnreachable, "broke off"},
		{"nothing", "", api.CodeUnreachable, "broke off"},
		{"endless headers", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", api.CodeUnreachable, ""},
		{"too long", response(200, "1", ipc.ContentJSON, strings.Repeat(" ", ipc.MaxResponse+1)), api.CodeInternal, "longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := answering(tt.raw)
				defer c.Close()
				_, err := c.State(t.Context())
				if tt.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				var e *api.Error
				if !errors.As(err, &e) || e.Code != tt.want || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %#v, want %s with %q", err, tt.want, tt.says)
				}
			})
		})
	}
}

func TestSilentService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := over(func(c net.Conn) { io.Copy(io.Discard, c) })
		defer c.Close()
		begun := time.Now()
		_, err := c.State(t.Context())
		if e := api.AsError(err); e.Code != api.CodeTimeout || time.Since(begun) > quick+grace {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}

		// Without a deadline Connect waits for the service, and Events for a heartbeat.
		begun = time.Now()
		err = c.Events(t.Context(), 0, func(api.Event) bool { return true })
		if e := api.AsError(err); e.Code != api.CodeUnreachable || time.Since(begun) != ipc.HeartbeatLost {
			t.Errorf("events after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		begun = time.Now()
		err = c.Connect(ctx, api.ConnectRequest{Name: "a", Wait: true})
		if e := api.AsError(err); e.Code != api.CodeCancelled || time.Since(begun) != time.Hour {
			t.Errorf("connect after %v: %v", time.Since(begun), err)
		}
	})
}

func TestEventStream(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nSallyport-Api: 1\r\nContent-Type: application/x-ndjson\r\n\r\n"
	for _, tt := range []struct {
		name, raw string
		events    int
		want      api.ErrorCode
	}{
		{"ends", head + "{}\n{\"event\":{\"seq\":1}}\n", 1, api.CodeUnreachable},
		{"stops", head + "{\"error\":{\"code\":\"unreachable\",\"what\":\"The service is stopping.\"}}\n{\"event\":{\"seq\":1}}\n", 0, api.CodeUnreachable},
		{"malformed", head + "{\"event\":{\"seq\":1}}\n{\"event\":[]}\n", 1, api.CodeInternal},
		{"error without a code", head + "{\"error\":{}}\n", 0, api.CodeInternal},
		{"endless line", head + strings.Repeat("x", ipc.MaxEventLine+10), 0, api.CodeInternal},
		{"no stream", response(200, "1", ipc.ContentJSON, "{}"), 0, api.CodeInternal},
		{"refused", response(409, "1", ipc.ContentJSON, `{"error":{"code":"busy","what":"No."}}`), 0, api.CodeBusy},
		{"older", response(404, "0", ipc.ContentJSON, `{}`), 0, api.CodeUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := answering(tt.raw)
				defer c.Close()
				n := 0
				err := c.Events(t.Context(), 0, func(api.Event) bool { n++; return true })
				if n != tt.events || api.AsError(err).Code != tt.want {
					t.Errorf("%d events, %v; want %d, %s", n, err, tt.events, tt.want)
				}
			})
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), file, filepath.Join(file, "x")} {
		c := New(path)
		_, err := c.State(t.Context())
		if e := api.AsError(err); e.Code != api.CodeUnreachable || !strings.Contains(e.Why, path) || !strings.Contains(e.Next, path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(file).State(ctx); api.AsError(err).Code != api.CodeCancelled {
		t.Errorf("cancelled before: %v", err)
	}
	if err := New(file).Remove(t.Context(), "a\nb"); api.AsError(err).Code != api.CodeUsage {
		t.Errorf("a bad name: %v", err)
	}
}

func TestUntrusted(t *testing.T) {
	err := New("/x").explainDial(t.Context(), fmt.Errorf("dial: %w", ipc.ErrUntrusted))
	if e := api.AsError(err); e.Code != api.CodeNotAllowed || !strings.Contains(e.Why, "secrets") {
		t.Errorf("got %v", err)
	}
}

func TestNextSteps(t *testing.T) {
	for _, tt := range []struct {
		goos    string
		systemd bool
		want    string
	}{
		{"linux", true, "sudo systemctl start sallyportd"},
		{"linux", false, "sudo sallyportd start"},
		{"darwin", false, "sudo sallyportd start"},
		{"windows", false, "`sallyportd start` in a command prompt"},
	} {
		if got := startService(tt.goos, tt.systemd); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", tt.goos, got)
		}
	}
}

func TestEscapeName(t *testing.T) {
	for name, want := range map[string]string{"a": "a", ".": "%2E", "..": "%2E%2E", "a/b": "a%2Fb", "ä?": "%C3%A4%3F", "a.b": "a.b"} {
		if got := escapeName(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// FuzzDecode decodes any answer: an error explains itself, and a success means
// what it says.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"service":{"version":"1","api_version":1,"started":"2026-01-02T03:04:05Z"},"connections":[{"name":"a","addresses":["10.0.0.1"],"routes":["::/0"]}],"seq":3}`,
		`{"error":{"code":"no_proposal","what":"x","params":{"a":"b"},"position":{"file":"f","line":1}}}`,
		`{"assignment":{"policy":"p","by":"root","since":"2026-01-02T03:04:05Z"},"coverage":[{"rule":"r","coverage_percent":99.5}],"failures":{"timeout":1},"exempt":["DHCP"]}`,
		`[{"network":"192.0.2.0/24","peer":"p","rule":"r","worked":"2026-01-02T03:04:05Z","pinned":true}]`,
		`[{"name":"p","rules":3,"problem":{"code":"policy_invalid","what":"x"}}]`,
		`{"flow":"f","protection":"held","since":"2026-01-02T03:04:05Z","why":["x"]}`,
		`{"flows":[{"flow":"f","packets":1,"bytes":2,"verdict":"clear"}],"skipped":18446744073709551615}`,
		`null`, `{"error":null}`, `[]`, `{"connections":{}}`, ``,
	} {
		f.Add(200, []byte(s))
		f.Add(422, []byte(s))
	}
	c := New("/x")
	f.Fuzz(func(t *testing.T, status int, b []byte) {
		for _, out := range []any{
			&api.State{}, &api.Security{}, &[]api.Policy{}, &api.AssignResult{}, &api.FlowAnswer{}, &api.Simulation{}, &[]api.Memory{},
		} {
			if err := c.decode(status, b, out); err != nil {
				if e := api.AsError(err); e.Code == "" || e.What == "" {
					t.Errorf("unexplained: %#v", e)
				}
				continue
			}
			again, err := json.Marshal(out)
			if err != nil {
				continue // a year beyond 9999
			}
			if err := json.Unmarshal(again, reflect.New(reflect.TypeOf(out).Elem()).Interface()); err != nil {
				t.Errorf("%q decodes to a %T that does not come back: %v", b, out, err)
			}
		}
	})
}

// FuzzStream reads any stream: what it yields is what the lines say, in order,
// and it ends.
func FuzzStream(f *testing.F) {
	f.Add([]byte("{}\n{\"event\":{\"seq\":1,\"kind\":\"log\",\"log\":{\"text\":\"x\"}}}\n{\"error\":{\"code\":\"busy\",\"what\":\"x\"}}\n"))
	f.Add([]byte("{\"event\":null}\n\n"))
	f.Add([]byte("{\"event\":{\"seq\":-1}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []uint64
		err := readStream(strings.NewReader(string(b)), func(e api.Event) bool {
			got = append(got, e.Seq)
			return true
		}, func() {})
		if err == nil {
			t.Fatal("a stream that nobody left ended without an error")
		}
		var want []uint64
		for line := range strings.Lines(string(b)) {
			var l ipc.StreamLine
			if json.Unmarshal([]byte(line), &l) != nil || l.Error != nil {
				break
			}
			if l.Event != nil {
				want = append(want, l.Event.Seq)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got events %v, want %v", got, want)
		}
	})
}
