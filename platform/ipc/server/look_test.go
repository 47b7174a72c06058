package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

// lookHouse has a connection and IKE messages.
func lookHouse() *ipctest.Backend {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "office", State: api.Connected, Counters: api.Counters{InBytes: 7}})
	b.SetMessages([]api.Message{{Connection: "office", Exchange: "IKE_SA_INIT"}, {Exchange: "IKE_AUTH"}})
	return b
}

func TestLookRequests(t *testing.T) {
	s := server.New(lookHouse(), server.Options{})
	file := `{"files":[{"path":"a.toml","data":"eA=="}]`
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"export", "GET", "/v1/connections/office/export", "", 200},
		{"export, unknown", "GET", "/v1/connections/none/export", "", 404},
		{"export, parameter", "GET", "/v1/connections/office/export?path=/etc/shadow", "", 400},
		{"export, body", "GET", "/v1/connections/office/export", "{}", 400},
		{"export, control character", "GET", "/v1/connections/a%0Ab/export", "", 400},
		{"test", "POST", "/v1/test", file + `}`, 200},
		{"test, no file", "POST", "/v1/test", `{}`, 400},
		{"test, no body", "POST", "/v1/test", "", 400},
		{"test, no path", "POST", "/v1/test", `{"files":[{"data":"eA=="}]}`, 400},
		{"test, unknown field", "POST", "/v1/test", file + `,"path":"/etc/shadow"}`, 400},
		{"test, long password", "POST", "/v1/test", file + `,"password":"` + strings.Repeat("A", 8000) + `"}`, 400},
		{"test, long path", "POST", "/v1/test", `{"files":[{"path":"` + strings.Repeat("a", 5000) + `","data":"eA=="}]}`, 400},
		{"test, many files", "POST", "/v1/test", `{"files":[` + strings.Repeat(`{"path":"a","data":""},`, 2000) + `{"path":"a","data":""}]}`, 400},
		{"test, too long", "POST", "/v1/test", `{"files":[{"path":"a","data":"` + strings.Repeat("AAAA", ipc.MaxImportBody/4) + `"}]}`, 400},
		{"test, not JSON", "POST", "/v1/test", "\x00\x01", 400},
		{"traffic", "GET", "/v1/traffic", "", 200},
		{"traffic, parameter", "GET", "/v1/traffic?x=1", "", 400},
		{"traffic, post", "POST", "/v1/traffic", "", 501},
		{"exchanges", "GET", "/v1/exchanges", "", 200},
		{"exchanges of one", "GET", "/v1/exchanges?connection=office&limit=1", "", 200},
		{"exchanges of a test", "GET", "/v1/exchanges?connection=office+%28test%29", "", 200},
		{"exchanges, negative", "GET", "/v1/exchanges?limit=-1", "", 400},
		{"exchanges, too many", "GET", fmt.Sprintf("/v1/exchanges?limit=%d", ipc.MaxMessages+1), "", 400},
		{"exchanges, no number", "GET", "/v1/exchanges?limit=all", "", 400},
		{"exchanges, twice", "GET", "/v1/exchanges?limit=1&limit=2", "", 400},
		{"exchanges, control character", "GET", "/v1/exchanges?connection=%1b", "", 400},
		{"exchanges, long name", "GET", "/v1/exchanges?connection=" + strings.Repeat("a", ipc.MaxName+1), "", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, e := do(t, s, s.As(request(tt.method, tt.path, tt.body), root)); status != tt.status {
				t.Errorf("status %d, want %d: %v", status, tt.status, e)
			}
		})
	}
}

// A password that comes with a test is wiped when the test is over.
func TestPasswordOfATestIsWiped(t *testing.T) {
	b := lookHouse()
	var held []byte
	b.OnTest = func(_ context.Context, r api.ImportRequest) (api.TestResult, error) {
		held = r.Password
		return api.TestResult{}, nil
	}
	s := server.New(b, server.Options{})
	do(t, s, s.As(request("POST", "/v1/test", `{"files":[{"path":"a.toml","data":"eA=="}],"password":"aHVudGVyMg=="}`), root))
	if len(held) != 7 || strings.Trim(string(held), "\x00") != "" {
		t.Errorf("the password is %q after the request", held)
	}
}

// Tests take their time, and take none from imports.
func TestTestsDoNotHoldImportsUp(t *testing.T) {
	b := lookHouse()
	begun, end := make(chan struct{}, 16), make(chan struct{})
	b.OnTest = func(context.Context, api.ImportRequest) (api.TestResult, error) {
		begun <- struct{}{}
		<-end
		return api.TestResult{}, nil
	}
	s := server.New(b, server.Options{})
	body := `{"files":[{"path":"a.toml","data":"eA=="}]}`
	done := make(chan struct{})
	for range 4 {
		go func() {
			do(t, s, s.As(request("POST", "/v1/test", body), root))
			done <- struct{}{}
		}()
	}
	<-begun
	<-begun
	if status, e := do(t, s, s.As(request("POST", "/v1/import", body), root)); status != http.StatusOK {
		t.Errorf("an import beside tests: %d, %v", status, e)
	}
	close(end)
	for range 4 {
		<-done
	}
}

// TestLookOverTheSocket makes the calls as a front end does.
func TestLookOverTheSocket(t *testing.T) {
	b := lookHouse()
	c := client.New(start(t, b))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	x, err := c.Export(ctx, "office")
	if err != nil || x.Name != "office.toml" || len(x.Text) == 0 || len(x.Missing) != 1 {
		t.Errorf("export: %+v, %v", x, err)
	}
	r, err := c.Test(ctx, api.ImportRequest{Files: []api.File{{Path: "a.toml", Data: []byte("x")}}})
	if err != nil || len(r.Steps) != 1 {
		t.Errorf("test: %+v, %v", r, err)
	}
	b.OnTest = func(context.Context, api.ImportRequest) (api.TestResult, error) {
		return api.TestResult{Missing: []string{"ca.pem"}, Problem: &api.Error{Code: api.CodeAuthRefused, What: "no"}}, nil
	}
	if r, err = c.Test(ctx, api.ImportRequest{Files: []api.File{{Path: "a.toml"}}}); err != nil || len(r.Missing) != 1 || r.Problem.Code != api.CodeAuthRefused {
		t.Errorf("test: %+v, %v", r, err)
	}
	if n, err := c.Traffic(ctx); err != nil || n["office"].InBytes != 7 {
		t.Errorf("traffic: %v, %v", n, err)
	}
	if m, err := c.Exchanges(ctx, "office", 10); err != nil || len(m) != 1 || m[0].Exchange != "IKE_SA_INIT" {
		t.Errorf("exchanges: %+v, %v", m, err)
	}
	if m, err := c.Exchanges(ctx, "", 1); err != nil || len(m) != 1 || m[0].Exchange != "IKE_AUTH" {
		t.Errorf("the newest of all: %+v, %v", m, err)
	}
}
