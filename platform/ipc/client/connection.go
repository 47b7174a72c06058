package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// Answer implements api.Backend. The caller wipes a.Secret.
func (c *Client) Answer(ctx context.Context, a api.Answer) error {
	return c.call(ctx, quick, http.MethodPost, "/answer", a, &struct{}{})
}

// Export implements api.Backend.
func (c *Client) Export(ctx context.Context, name string) (api.Export, error) {
	var x api.Export
	err := c.onConnection(ctx, http.MethodGet, name, "/export", nil, &x)
	return x, err
}

// SetProfile implements api.Backend.
func (c *Client) SetProfile(ctx context.Context, name string, p api.Profile) error {
	return c.command(ctx, slow, http.MethodPost, name, "/profile", ipc.ProfileBody{Profile: p})
}

// Test implements api.Backend. The caller wipes r.Password.
func (c *Client) Test(ctx context.Context, r api.ImportRequest) (api.TestResult, error) {
	var res api.TestResult
	err := c.call(ctx, slow, http.MethodPost, "/test", r, &res)
	return res, err
}

// Traffic implements api.Backend.
func (c *Client) Traffic(ctx context.Context) (map[string]api.Counters, error) {
	var t map[string]api.Counters
	err := c.call(ctx, quick, http.MethodGet, "/traffic", nil, &t)
	return t, err
}

// Tokens implements api.Backend.
func (c *Client) Tokens(ctx context.Context) (api.Tokens, error) {
	var t api.Tokens
	err := c.call(ctx, quick, http.MethodGet, "/tokens", nil, &t)
	return t, err
}

// Exchanges implements api.Backend.
func (c *Client) Exchanges(ctx context.Context, name string, limit int) ([]api.Message, error) {
	q := url.Values{"limit": {strconv.Itoa(max(0, min(limit, ipc.MaxMessages)))}}
	if name != "" {
		if err := checkName("connection", name); err != nil {
			return nil, err
		}
		q.Set("connection", name)
	}
	var messages []api.Message
	err := c.call(ctx, quick, http.MethodGet, "/exchanges?"+q.Encode(), nil, &messages)
	return messages, err
}

func (c *Client) onConnection(ctx context.Context, method, name, verb string, in, out any) error {
	if err := checkName("connection", name); err != nil {
		return err
	}
	return c.call(ctx, quick, method, "/connections/"+escapeName(name)+verb, in, out)
}
