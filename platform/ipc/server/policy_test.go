package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

var memory = api.Memory{Network: netip.MustParsePrefix("192.0.2.0/24"), Peer: "198.51.100.1", Rule: "office"}

// policyHouse has two policies, a connection that asks, and a memory.
func policyHouse() *ipctest.Backend {
	b := &ipctest.Backend{}
	b.SetPolicy(api.Policy{Name: "Client (respond only)", Predefined: true}, "a\n")
	b.SetPolicy(api.Policy{Name: "x/../y"}, "a\nb\n")
	b.SetConnection(api.Connection{Name: "office", Question: "May it?"})
	b.SetMemories(memory)
	return b
}

func TestPolicyRequests(t *testing.T) {
	s := server.New(policyHouse(), server.Options{})
	long := strings.Repeat("A", ipc.MaxBody)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"security", "GET", "/v1/security", "", 200},
		{"security, parameter", "GET", "/v1/security?x=1", "", 400},
		{"list", "GET", "/v1/policies", "", 200},
		{"get", "GET", "/v1/policies/x%2F..%2Fy", "", 200},
		{"get, unknown", "GET", "/v1/policies/x", "", 404},
		{"get, control character", "GET", "/v1/policies/x%00", "", 400},
		{"store", "POST", "/v1/policies", `{"name":"new","text":"YQo="}`, 200},
		{"store, long", "POST", "/v1/policies", `{"name":"long","text":"` + long + `"}`, 200},
		{"store, again", "POST", "/v1/policies", `{"name":"new","text":"YQo="}`, 409},
		{"store, replace", "POST", "/v1/policies", `{"name":"new","text":"YQo=","replace":true}`, 200},
		{"store, invalid", "POST", "/v1/policies", `{"text":""}`, 422},
		{"store, bad name", "POST", "/v1/policies", `{"name":"a\u0007","text":"YQo="}`, 400},
		{"store, unknown field", "POST", "/v1/policies", `{"name":"new","path":"/etc/shadow"}`, 400},
		{"store, too long", "POST", "/v1/policies", `{"name":"n","text":"` + strings.Repeat("AAAA", ipc.MaxPolicy/3+1) + `"}`, 400},
		{"diff", "GET", "/v1/policies/x%2F..%2Fy/diff/new", "", 200},
		{"diff, unknown", "GET", "/v1/policies/new/diff/none", "", 404},
		{"diff, bad name", "GET", "/v1/policies/new/diff/%0A", "", 400},
		{"assign, dry", "POST", "/v1/policies/new/assign", `{"dry_run":true}`, 200},
		{"assign", "POST", "/v1/policies/new/assign", `{}`, 200},
		{"assign, unknown", "POST", "/v1/policies/none/assign", `{}`, 404},
		{"assign, no body", "POST", "/v1/policies/new/assign", "", 400},
		{"remove, assigned", "DELETE", "/v1/policies/new", "", 409},
		{"unassign, body", "POST", "/v1/unassign", "{}", 400},
		{"unassign", "POST", "/v1/unassign", "", 200},
		{"unassign, none", "POST", "/v1/unassign", "", 404},
		{"remove", "DELETE", "/v1/policies/new", "", 200},
		{"explain", "GET", "/v1/explain?flow=10.0.0.1+-%3E+10.1.2.3%3A443%2Ftcp", "", 200},
		{"explain, nothing", "GET", "/v1/explain", "", 400},
		{"explain, spaces", "GET", "/v1/explain?flow=++", "", 400},
		{"explain, twice", "GET", "/v1/explain?flow=a&flow=b", "", 400},
		{"explain, long", "GET", "/v1/explain?flow=" + long[:ipc.MaxFlow+1], "", 400},
		{"simulate", "POST", "/v1/simulate", `{"policy":{"text":"YQ=="},"capture":"` + long + `"}`, 200},
		{"simulate, bad name", "POST", "/v1/simulate", `{"policy":{"name":"\n"},"capture":""}`, 400},
		{"allow", "POST", "/v1/connections/office/allow-clear", `{"milliseconds":300000}`, 200},
		{"allow, none", "POST", "/v1/connections/office/allow-clear", `{}`, 400},
		{"allow, negative", "POST", "/v1/connections/office/allow-clear", `{"milliseconds":-1}`, 400},
		{"allow, for ever", "POST", "/v1/connections/office/allow-clear", `{"milliseconds":9223372036854775807}`, 400},
		{"allow, unknown", "POST", "/v1/connections/none/allow-clear", `{"milliseconds":1}`, 404},
		{"memories", "GET", "/v1/memories", "", 200},
		{"pin", "POST", "/v1/memories/pin", `{"network":"192.0.2.0/24","peer":"198.51.100.1","rule":"office","worked":"0001-01-01T00:00:00Z","pinned":true}`, 200},
		{"pin, no network", "POST", "/v1/memories/pin", `{"network":"192.0.2.0","peer":"p","rule":"r"}`, 400},
		{"pin, unknown", "POST", "/v1/memories/pin", `{"peer":"p","rule":"r"}`, 404},
		{"forget, long", "POST", "/v1/memories/forget", `{"peer":"` + long[:600] + `"}`, 400},
		{"forget", "POST", "/v1/memories/forget", `{"network":"192.0.2.0/24","peer":"198.51.100.1","rule":"office"}`, 200},
		{"forget, gone", "POST", "/v1/memories/forget", `{"network":"192.0.2.0/24","peer":"198.51.100.1","rule":"office"}`, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, e := do(t, s, s.As(request(tt.method, tt.path, tt.body), root)); status != tt.status {
				t.Errorf("status %d, want %d: %v", status, tt.status, e)
			}
		})
	}
}

// TestPolicyRequestsAreForThoseWhoMay lets a stranger try every route.
func TestPolicyRequestsAreForThoseWhoMay(t *testing.T) {
	b := policyHouse()
	s := server.New(b, server.Options{Access: server.Access{Groups: []string{}}})
	for _, r := range routes {
		r := request(r.method, r.path, "")
		if status, e := do(t, s, s.As(r, ipc.Peer{UID: 4242})); status != 403 || e.Code != api.CodeNotAllowed {
			t.Errorf("%s %s: status %d, %v", r.Method, r.URL, status, e)
		}
	}
	if calls := b.Calls(); len(calls) > 0 {
		t.Errorf("the backend was asked: %q", calls)
	}
}

// TestWhoAsked holds the log and what the backend learns against each other.
func TestWhoAsked(t *testing.T) {
	var lines []string
	b := policyHouse()
	s := server.New(b, server.Options{Log: func(_ api.LogLevel, text string) { lines = append(lines, text) }})
	peer := ipc.Peer{UID: 0, PID: 77}
	post := func(p ipc.Peer, path, body string) {
		t.Helper()
		if status, e := do(t, s, s.As(request("POST", path, body), p)); status != 200 {
			t.Fatalf("%s: status %d, %v", path, status, e)
		}
	}
	const name = "Client%20(respond%20only)"
	post(peer, "/v1/policies/"+name+"/assign", `{"dry_run":true}`)
	post(peer, "/v1/policies/"+name+"/assign", `{}`)
	post(peer, "/v1/connections/office/allow-clear", `{"milliseconds":60000}`)
	post(peer, "/v1/memories/pin", `{"network":"192.0.2.0/24","peer":"198.51.100.1","rule":"office","pinned":true}`)
	post(ipc.Peer{Vetted: true, UID: 99}, "/v1/unassign", "")
	want := []string{
		`assign the policy "Client (respond only)": asked by uid 0 (pid 77)`,
		`allow clear text for "office" for 1m0s: asked by uid 0 (pid 77)`,
		`pin the memory of "198.51.100.1", rule "office", in 192.0.2.0/24: asked by uid 0 (pid 77)`,
		`unassign the policy: asked by an administrator`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the log says\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	calls := b.Calls()
	for _, want := range []string{
		`assign "Client (respond only)" dry=false by root (uid 0)`,
		`allow clear "office" 1m0s by root (uid 0)`,
		`unassign by an administrator`,
	} {
		if !slices.Contains(calls, want) {
			t.Errorf("calls %q lack %s", calls, want)
		}
	}
}

// TestNothingIsNull lets an empty service answer: lists are lists.
func TestNothingIsNull(t *testing.T) {
	b := &ipctest.Backend{
		OnAssign: func(context.Context, string, bool) (api.AssignResult, error) { return api.AssignResult{}, nil },
		OnExplain: func(_ context.Context, flow string) (api.FlowAnswer, error) {
			return api.FlowAnswer{Flow: flow}, nil
		},
	}
	s := server.New(b, server.Options{})
	for _, path := range []string{"/v1/security", "/v1/policies", "/v1/memories", "/v1/explain?flow=a"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, s.As(request("GET", path, ""), root))
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%s: status %d, %s", path, w.Code, w.Body)
		}
	}
	b.SetPolicy(api.Policy{Name: "p"}, "")
	for _, tt := range []struct{ path, body string }{
		{"/v1/policies/p/assign", "{}"}, {"/v1/simulate", `{"policy":{"text":""},"capture":""}`},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, s.As(request("POST", tt.path, tt.body), root))
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%s: status %d, %s", tt.path, w.Code, w.Body)
		}
	}
}

// TestPoliciesOverTheSocket goes the whole road with each request.
func TestPoliciesOverTheSocket(t *testing.T) {
	b := policyHouse()
	b.SetSecurity(api.Security{Fallbacks: 3, Coverage: []api.Coverage{{Rule: "r", Percent: 99.5}}})
	var got api.SimulateRequest
	b.OnSimulate = func(_ context.Context, r api.SimulateRequest) (api.Simulation, error) {
		got = r
		return api.Simulation{Flows: []api.SimulatedFlow{{Flow: "f", Verdict: "clear"}}}, nil
	}
	c := client.New(start(t, b))
	defer c.Close()
	ctx := t.Context()
	check := func(what string, err error, ok bool) {
		t.Helper()
		if err != nil || !ok {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
	sec, err := c.Security(ctx)
	check("Security", err, sec.Fallbacks == 3 && sec.Coverage[0].Percent == 99.5)
	p, err := c.StorePolicy(ctx, api.PolicyFile{Name: "..", Text: make([]byte, ipc.MaxPolicy)})
	check("StorePolicy of 2 MiB", err, p.Name == "..")
	f, err := c.Policy(ctx, "..")
	check("Policy", err, f.Name == ".." && len(f.Text) == ipc.MaxPolicy)
	changes, err := c.DiffPolicies(ctx, "Client (respond only)", "x/../y")
	check("DiffPolicies", err, slices.Equal(changes, []string{"+ b"}))
	changes, err = c.DiffPolicies(ctx, "..", "..")
	check("DiffPolicies of one", err, len(changes) == 0)
	res, err := c.Assign(ctx, "x/../y", true)
	check("Assign, dry", err, slices.Equal(res.Order, []string{"a", "b"}))
	_, err = c.Assign(ctx, "x/../y", false)
	check("Assign", err, true)
	st, err := c.State(ctx)
	check("State", err, st.Assignment != nil && st.Assignment.Policy == "x/../y" && strings.Contains(st.Assignment.By, fmt.Sprintf("uid %d", os.Geteuid())))
	list, err := c.Policies(ctx)
	check("Policies", err, len(list) == 3 && list[2].Assigned)
	check("Unassign", c.Unassign(ctx), true)
	check("RemovePolicy", c.RemovePolicy(ctx, ".."), true)
	a, err := c.ExplainFlow(ctx, "10.0.0.1 -> 10.1.2.3:443/tcp")
	check("ExplainFlow", err, a.Flow == "10.0.0.1 -> 10.1.2.3:443/tcp")
	sim, err := c.Simulate(ctx, api.SimulateRequest{Policy: api.PolicyFile{Text: []byte("a")}, Capture: make([]byte, ipc.MaxCapture)})
	check("Simulate 32 MiB", err, len(sim.Flows) == 1 && len(got.Capture) == ipc.MaxCapture)
	check("AllowClear", c.AllowClear(ctx, "office", 1500*time.Microsecond), slices.ContainsFunc(b.Calls(), func(s string) bool {
		return strings.HasPrefix(s, `allow clear "office" 2ms by`)
	}))
	m := memory
	m.Pinned = true
	check("Pin", c.Pin(ctx, m), true)
	all, err := c.Memories(ctx)
	check("Memories", err, len(all) == 1 && all[0].Pinned)
	check("Forget", c.Forget(ctx, m), true)

	for what, err := range map[string]error{
		"a large policy":    second(c.StorePolicy(ctx, api.PolicyFile{Text: make([]byte, ipc.MaxPolicy+1)})),
		"a large capture":   second(c.Simulate(ctx, api.SimulateRequest{Capture: make([]byte, ipc.MaxCapture+1)})),
		"a long flow":       second(c.ExplainFlow(ctx, strings.Repeat("1", ipc.MaxFlow+1))),
		"a name of nothing": second(c.Policy(ctx, "")),
		"a diff of nothing": second(c.DiffPolicies(ctx, "a", "")),
		"no time":           c.AllowClear(ctx, "office", 0),
		"all time":          c.AllowClear(ctx, "office", 1<<63-1),
	} {
		if api.AsError(err) == nil || api.AsError(err).Code != api.CodeUsage {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestEventsOfPolicies lets a follower see a fallback and an assignment.
func TestEventsOfPolicies(t *testing.T) {
	b := policyHouse()
	c := client.New(start(t, b))
	defer c.Close()
	st, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.FallBack("office", time.Minute)
	b.SetAssignment(&api.Assignment{Policy: "p", By: "me"})
	b.SetAssignment(nil)
	var got []string
	err = c.Events(t.Context(), st.Seq, func(e api.Event) bool {
		text, err := json.Marshal(e.Assignment)
		if err != nil {
			t.Error(err)
		}
		if e.Assignment != nil {
			text = []byte(e.Assignment.Policy)
		}
		if e.Connection != nil && !e.Connection.ClearUntil.IsZero() {
			text = []byte(e.Connection.Protection)
		}
		got = append(got, fmt.Sprintf("%s %s", e.Kind, text))
		return len(got) < 4
	})
	if want := "connection clear, fallback clear, assignment p, assignment null"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("got %q, %v; want %s", got, err, want)
	}
}
