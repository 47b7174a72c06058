// Package client is the front ends' road to the service: an api.Backend over
// the transport of package ipc. What comes back is bounded and checked, since
// an old, new or broken service may answer.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// How long the service may take where the caller's context sets no limit.
const (
	quick = 30 * time.Second // reading the state
	slow  = 2 * time.Minute  // changing it
	// grace is what the service gets beyond the caller's deadline, to answer
	// with its own explanation.
	grace = 2 * time.Second
)

// DefaultSocket is where the system's own service listens.
const DefaultSocket = ipc.DefaultPath

// A Client calls the service at one socket. It may be used from several
// goroutines. Every error is an *api.Error.
type Client struct {
	path string
	rt   *http.Transport
}

var _ api.Backend = (*Client)(nil)

// New returns a Client for the service at path; empty means DefaultSocket.
// Nothing is opened before the first call.
func New(path string) *Client {
	if path == "" {
		path = DefaultSocket
	}
	return &Client{path: path, rt: &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return ipc.Dial(ctx, path) },
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
		MaxIdleConns:           4,
		IdleConnTimeout:        30 * time.Second,
		// A large body waits until the service has agreed to the headers.
		ExpectContinueTimeout: 10 * time.Second,
	}}
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.rt.CloseIdleConnections()
	return nil
}

// State implements api.Backend.
func (c *Client) State(ctx context.Context) (api.State, error) {
	var st api.State
	err := c.call(ctx, quick, http.MethodGet, "/state", nil, &st)
	return st, err
}

// Dynamic implements api.Backend.
func (c *Client) Dynamic(ctx context.Context) (api.Dynamic, error) {
	var d api.Dynamic
	err := c.call(ctx, quick, http.MethodGet, "/dynamic", nil, &d)
	return d, err
}

// Log implements api.Backend.
func (c *Client) Log(ctx context.Context, limit int) ([]api.LogEntry, error) {
	var entries []api.LogEntry
	limit = max(0, min(limit, ipc.MaxLog))
	err := c.call(ctx, quick, http.MethodGet, "/log?limit="+strconv.Itoa(limit), nil, &entries)
	return entries, err
}

// Import implements api.Backend. The caller wipes r.Password.
func (c *Client) Import(ctx context.Context, r api.ImportRequest) (api.ImportResult, error) {
	var res api.ImportResult
	err := c.call(ctx, slow, http.MethodPost, "/import", r, &res)
	return res, err
}

// Remove implements api.Backend.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.command(ctx, slow, http.MethodDelete, name, "", nil)
}

// Connect implements api.Backend. With r.Wait and no deadline it waits as long
// as the service does.
func (c *Client) Connect(ctx context.Context, r api.ConnectRequest) error {
	limit := slow
	if r.Wait {
		limit = 0
	}
	return c.command(ctx, limit, http.MethodPost, r.Name, "/connect", ipc.ConnectBody{Wait: r.Wait, Profile: r.Profile})
}

// Disconnect implements api.Backend.
func (c *Client) Disconnect(ctx context.Context, name string) error {
	return c.command(ctx, slow, http.MethodPost, name, "/disconnect", nil)
}

func (c *Client) command(ctx context.Context, limit time.Duration, method, name, verb string, body any) error {
	if err := checkName("connection", name); err != nil {
		return err
	}
	var nothing struct{}
	return c.call(ctx, limit, method, "/connections/"+escapeName(name)+verb, body, &nothing)
}

// checkName explains a name that cannot travel; kind is what it names.
func checkName(kind, name string) error {
	if err := ipc.CheckName(name); err != nil {
		return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("That is no name of a %s: %v.", kind, err)}
	}
	return nil
}

// escapeName escapes a path segment so that no dot segment remains.
func escapeName(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// call sends one request and decodes its answer into out. limit is the time
// allowed when ctx sets none; 0 means no limit.
func (c *Client) call(ctx context.Context, limit time.Duration, method, path string, in, out any) error {
	if _, ok := ctx.Deadline(); !ok && limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return &api.Error{Code: api.CodeInternal, What: "The request could not be encoded.", Why: err.Error()}
		}
		defer clear(body) // it may hold a password
	}
	late, cancel := withGrace(ctx)
	defer cancel()
	resp, err := c.send(ctx, late, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, ipc.MaxResponse+1))
	switch {
	case err != nil:
		return c.broken(ctx, err)
	case len(b) > ipc.MaxResponse:
		return c.nonsense(fmt.Sprintf("its answer is longer than %d bytes", ipc.MaxResponse))
	}
	return c.decode(resp.StatusCode, b, out)
}

// withGrace returns a context that ends with ctx when that is cancelled, but a
// moment after its deadline.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			time.AfterFunc(grace, cancel)
			return
		}
		cancel()
	})
	return late, func() { stop(); cancel() }
}

// send sends a request and checks that it is a service of our version that
// answers. ctx carries the caller's deadline, late the time we really wait.
func (c *Client) send(ctx, late context.Context, method, path string, body []byte) (*http.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, api.AsError(err)
	}
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(late, method, "http://"+ipc.Host+ipc.Prefix+path, rd)
	if err != nil {
		return nil, &api.Error{Code: api.CodeInternal, What: "The request could not be built.", Why: err.Error()}
	}
	req.Header.Set(ipc.HeaderAPI, strconv.Itoa(api.APIVersion))
	req.Header.Set("User-Agent", "")
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set(ipc.HeaderTimeout, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
	if body != nil {
		req.Header.Set("Content-Type", ipc.ContentJSON)
		if len(body) > ipc.MaxBody {
			req.Header.Set("Expect", "100-continue")
		}
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return nil, c.explainDial(ctx, err)
	}
	if e := c.checkVersion(resp.Header.Get(ipc.HeaderAPI)); e != nil {
		resp.Body.Close()
		return nil, e
	}
	return resp, nil
}

// decode decodes an answer. Fields that we do not know come from a newer
// service of the same API version, and are left out.
func (c *Client) decode(status int, b []byte, out any) error {
	if status == http.StatusOK {
		if err := json.Unmarshal(b, out); err != nil {
			return c.nonsense("its answer is not the JSON that belongs there")
		}
		return nil
	}
	var body ipc.ErrorBody
	if err := json.Unmarshal(b, &body); err != nil || body.Error == nil || body.Error.Code == "" {
		return c.nonsense(fmt.Sprintf("its answer has HTTP status %d and does not say why", status))
	}
	if body.Error.What == "" {
		body.Error.What = "The service refused, and said only: " + string(body.Error.Code) + "."
	}
	return body.Error
}
