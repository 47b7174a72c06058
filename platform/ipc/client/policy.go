package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// Security implements api.Backend.
func (c *Client) Security(ctx context.Context) (api.Security, error) {
	var s api.Security
	err := c.call(ctx, quick, http.MethodGet, "/security", nil, &s)
	return s, err
}

// Policies implements api.Backend.
func (c *Client) Policies(ctx context.Context) ([]api.Policy, error) {
	var list []api.Policy
	err := c.call(ctx, quick, http.MethodGet, "/policies", nil, &list)
	return list, err
}

// Policy implements api.Backend.
func (c *Client) Policy(ctx context.Context, name string) (api.PolicyFile, error) {
	var f api.PolicyFile
	err := c.onPolicy(ctx, quick, http.MethodGet, name, "", nil, &f)
	return f, err
}

// StorePolicy implements api.Backend.
func (c *Client) StorePolicy(ctx context.Context, f api.PolicyFile) (api.Policy, error) {
	var p api.Policy
	if err := tooLarge("policy", len(f.Text), ipc.MaxPolicy); err != nil {
		return p, err
	}
	err := c.call(ctx, slow, http.MethodPost, "/policies", f, &p)
	return p, err
}

// RemovePolicy implements api.Backend.
func (c *Client) RemovePolicy(ctx context.Context, name string) error {
	return c.onPolicy(ctx, slow, http.MethodDelete, name, "", nil, &struct{}{})
}

// DiffPolicies implements api.Backend.
func (c *Client) DiffPolicies(ctx context.Context, a, b string) ([]string, error) {
	if err := checkName("policy", b); err != nil {
		return nil, err
	}
	var changes []string
	err := c.onPolicy(ctx, quick, http.MethodGet, a, "/diff/"+escapeName(b), nil, &changes)
	return changes, err
}

// Assign implements api.Backend.
func (c *Client) Assign(ctx context.Context, name string, dryRun bool) (api.AssignResult, error) {
	var r api.AssignResult
	err := c.onPolicy(ctx, slow, http.MethodPost, name, "/assign", ipc.AssignBody{DryRun: dryRun}, &r)
	return r, err
}

// Unassign implements api.Backend.
func (c *Client) Unassign(ctx context.Context) error {
	return c.call(ctx, slow, http.MethodPost, "/unassign", nil, &struct{}{})
}

// ExplainFlow implements api.Backend.
func (c *Client) ExplainFlow(ctx context.Context, flow string) (api.FlowAnswer, error) {
	var a api.FlowAnswer
	if err := tooLarge("flow", len(flow), ipc.MaxFlow); err != nil {
		return a, err
	}
	err := c.call(ctx, quick, http.MethodGet, "/explain?flow="+url.QueryEscape(flow), nil, &a)
	return a, err
}

// Simulate implements api.Backend.
func (c *Client) Simulate(ctx context.Context, r api.SimulateRequest) (api.Simulation, error) {
	var s api.Simulation
	if err := tooLarge("policy", len(r.Policy.Text), ipc.MaxPolicy); err != nil {
		return s, err
	}
	if err := tooLarge("capture", len(r.Capture), ipc.MaxCapture); err != nil {
		return s, err
	}
	err := c.call(ctx, slow, http.MethodPost, "/simulate", r, &s)
	return s, err
}

// AllowClear implements api.Backend. Less than a millisecond more is asked for
// than d, never less.
func (c *Client) AllowClear(ctx context.Context, name string, d time.Duration) error {
	ms := (d + time.Millisecond - 1).Milliseconds()
	return c.command(ctx, slow, http.MethodPost, name, "/allow-clear", ipc.AllowClearBody{Milliseconds: ms})
}

// Memories implements api.Backend.
func (c *Client) Memories(ctx context.Context) ([]api.Memory, error) {
	var list []api.Memory
	err := c.call(ctx, quick, http.MethodGet, "/memories", nil, &list)
	return list, err
}

// Pin implements api.Backend.
func (c *Client) Pin(ctx context.Context, m api.Memory) error {
	return c.call(ctx, slow, http.MethodPost, "/memories/pin", m, &struct{}{})
}

// Forget implements api.Backend.
func (c *Client) Forget(ctx context.Context, m api.Memory) error {
	return c.call(ctx, slow, http.MethodPost, "/memories/forget", m, &struct{}{})
}

func (c *Client) onPolicy(ctx context.Context, limit time.Duration, method, name, verb string, body, out any) error {
	if err := checkName("policy", name); err != nil {
		return err
	}
	return c.call(ctx, limit, method, "/policies/"+escapeName(name)+verb, body, out)
}

// tooLarge explains what the service would not take; kind is what it is.
func tooLarge(kind string, size, limit int) error {
	if size <= limit {
		return nil
	}
	return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("The %s is too large.", kind),
		Why: fmt.Sprintf("It has %d bytes, and at most %d are taken.", size, limit)}
}
