package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/app/gather"
	"sallyport/core/api"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

const (
	clientText = `version = 1
name = "Client (respond only)"

[default_response]
enabled = true
`
	serverText = `version = 1
name = "Server (request security)"

[default_response]
enabled = true

[[rule]]
name = "ask everyone"
filter_list = "All IP Traffic"
filter_action = "Request security"
`
)

// policies gives a service policies, and what comes of them.
func policies(b *ipctest.Backend) {
	b.SetPolicy(api.Policy{Name: "Client (respond only)", Description: "Protects when asked.", Predefined: true, Rules: 1}, clientText)
	b.SetPolicy(api.Policy{Name: "Server (request security)", Description: "Protects when possible.", Predefined: true, Rules: 2}, serverText)
	b.SetPolicy(api.Policy{Name: "lab", Rules: 3, Problem: &api.Error{Code: api.CodePolicyInvalid, What: "The policy \"lab\" contradicts itself.",
		Why: "Two rules have the same filter.", Position: &api.Position{File: "lab.toml", Line: 12, Field: "rule[2].filter"}}}, "name = \"lab\"\n\tevil\x1b[2J\n")
	b.SetAssignment(&api.Assignment{Policy: "Server (request security)", By: "alice (uid 1000)", Since: now.Add(-2 * time.Hour)})
	b.SetSecurity(api.Security{
		Coverage: []api.Coverage{
			{Rule: "ask everyone", Action: "negotiate", Protection: api.Protected, Protected: 999_960, Clear: 40, Percent: 99.996},
			{Rule: "printers", Action: "permit", Protection: api.Clear, Clear: 4200},
			{Rule: "telnet", Action: "block", Protection: api.Stopped, Blocked: 120, Percent: 100},
		},
		Failures: map[string]uint64{"gateway_silent": 7, "no_proposal": 1, "timeout": 0}, Fallbacks: 2,
		Exempt: []string{"IKE and ESP of the service itself", "DHCP", "loopback"}, Firewall: "set, 31 rules",
	})
	lan := netip.MustParsePrefix("192.0.2.0/24")
	b.SetMemories(
		api.Memory{Network: lan, Peer: "198.51.100.9", Rule: "ask everyone", Worked: now.Add(-26 * time.Hour)},
		api.Memory{Peer: "198.51.100.10", Rule: "home", Worked: now.Add(-time.Minute), Pinned: true})
	b.OnDiff = func(_ context.Context, from, to string) ([]string, error) {
		if from == to {
			return nil, nil
		}
		return []string{`the rule "ask everyone" is added: All IP Traffic, Request security`}, nil
	}
	b.OnAssign = func(context.Context, string, bool) (api.AssignResult, error) {
		return api.AssignResult{Changes: []string{`the rule "ask everyone" is removed`},
			Order: []string{"IKE and ESP of the service: permit", "any traffic: permit, and protect when asked (default response)"}}, nil
	}
	b.OnExplain = func(_ context.Context, flow string) (api.FlowAnswer, error) {
		return api.FlowAnswer{Flow: flow, Rule: "ask everyone", Filter: "any → 10.0.0.0/8, any protocol", Action: "negotiate",
			Protection: api.Protected, Connection: "office", SA: "c0ffee01 (in), deadbeef (out)", Since: now.Add(-5 * time.Second),
			Assignment: &api.Assignment{Policy: "Server (request security)", By: "alice (uid 1000)", Since: now.Add(-2 * time.Hour)},
			Why:        []string{"\"ask everyone\" matches: 10.0.0.0/8.", "\"answer whoever asks\" matches any destination, which is less specific."}}, nil
	}
	b.OnSimulate = func(context.Context, api.SimulateRequest) (api.Simulation, error) {
		return api.Simulation{Skipped: 3, Flows: []api.SimulatedFlow{
			{Flow: "10.0.0.1 -> 10.1.2.3:443/tcp", Packets: 12, Bytes: 9000, Rule: "ask everyone", Verdict: "protected or clear"},
			{Flow: "10.0.0.1 -> 192.0.2.1:53/udp", Packets: 2, Bytes: 140, Verdict: "clear"},
			{Flow: "10.0.0.1 -> 192.0.2.9:23/tcp", Packets: 1, Bytes: 60, Rule: "telnet", Verdict: "blocked"},
		}}, nil
	}
}

// anxious is a house where a connection cannot be protected any more.
func anxious() *ipctest.Backend {
	b := house()
	b.SetConnection(api.Connection{Name: "home", Role: "initiator", Gateway: []string{"198.51.100.9"}, Profile: api.Request,
		State: api.Blocked, Since: now.Add(-time.Minute), Protection: api.Stopped, Problem: &api.Error{Code: api.CodeDowngrade, What: "It was protected here before."},
		Question: "\"home\" was protected in this network before, and now its gateway does not answer. May its traffic leave in clear?"})
	b.SetConnection(api.Connection{Name: "lab", Role: "initiator", Gateway: []string{"203.0.113.9"}, Profile: api.Request,
		State: api.Reconnecting, Since: now.Add(-time.Minute), Protection: api.Clear, ClearUntil: now.Add(4 * time.Minute)})
	b.SetConnection(api.Connection{Name: "192.0.2.8", Rule: "ask everyone", Role: "initiator", State: api.Connecting, Since: now, Protection: api.Held})
	b.SetConnection(api.Connection{Name: "far", Role: "initiator", Profile: api.Request, State: api.Reconnecting, Since: now, Protection: api.Clear, ClearUntil: now.Add(24 * time.Hour)})
	return b
}

func TestPolicyGolden(t *testing.T) {
	server := "Server (request security)"
	for _, tt := range []struct {
		name  string
		args  []string
		setup func(*ipctest.Backend)
		color bool
	}{
		{name: "help", args: []string{"policy", "--help"}},
		{name: "help-explain", args: []string{"policy", "explain", "--help"}},
		{name: "nothing", args: []string{"policy"}},
		{name: "list", args: []string{"policy", "list"}},
		{name: "list-json", args: []string{"policy", "list", "--json"}},
		{name: "list-unassigned", args: []string{"policy", "list"}, setup: func(b *ipctest.Backend) { b.SetAssignment(nil) }},
		{name: "show", args: []string{"policy", "show", "lab"}},
		{name: "show-json", args: []string{"policy", "show", "lab", "--json"}},
		{name: "show-unknown", args: []string{"policy", "show", "none"}},
		{name: "export", args: []string{"policy", "export", server}},
		{name: "duplicate", args: []string{"policy", "duplicate", server, "mine"}},
		{name: "duplicate-json", args: []string{"policy", "duplicate", server, "mine", "--json"}},
		{name: "duplicate-exists", args: []string{"policy", "duplicate", server, "lab"}},
		{name: "remove", args: []string{"policy", "remove", "lab"}},
		{name: "remove-json", args: []string{"policy", "remove", "lab", "--json"}},
		{name: "remove-assigned", args: []string{"policy", "remove", server}},
		{name: "diff", args: []string{"policy", "diff", "Client (respond only)", server}},
		{name: "diff-json", args: []string{"policy", "diff", "Client (respond only)", server, "--json"}},
		{name: "diff-same", args: []string{"policy", "diff", server, server}},
		{name: "diff-one", args: []string{"policy", "diff", server}},
		{name: "assign", args: []string{"policy", "assign", "Client (respond only)"}},
		{name: "assign-json", args: []string{"policy", "assign", "Client (respond only)", "--json"}},
		{name: "assign-dry", args: []string{"policy", "assign", "Client (respond only)", "--dry-run"}},
		{name: "assign-warned", args: []string{"policy", "assign", server}, setup: func(b *ipctest.Backend) {
			b.OnAssign = func(context.Context, string, bool) (api.AssignResult, error) {
				return api.AssignResult{Warnings: []string{"The rule \"telnet\" is never reached."}}, nil
			}
		}},
		{name: "assign-firewall", args: []string{"policy", "assign", server}, setup: func(b *ipctest.Backend) {
			b.OnAssign = func(context.Context, string, bool) (api.AssignResult, error) {
				return api.AssignResult{}, &api.Error{Code: api.CodeFirewall, What: "The policy was not assigned.", Why: "The packet filter could not be set."}
			}
		}},
		{name: "unassign", args: []string{"policy", "unassign"}},
		{name: "unassign-json", args: []string{"policy", "unassign", "--json"}},
		{name: "explain", args: []string{"policy", "explain", "10.1.2.3:443/tcp"}},
		{name: "explain-json", args: []string{"policy", "explain", "10.0.0.1 -> 10.1.2.3:443/tcp", "--json"}},
		{name: "explain-none", args: []string{"policy", "explain", "10.1.2.3"}, setup: func(b *ipctest.Backend) { b.OnExplain = nil; b.SetAssignment(nil) }},
		{name: "explain-two", args: []string{"policy", "explain", "10.0.0.1", "10.1.2.3"}},
		{name: "simulate-no-capture", args: []string{"policy", "simulate", "x"}},
		{name: "security", args: []string{"show", "security"}},
		{name: "security-json", args: []string{"show", "security", "--json"}},
		{name: "security-none", args: []string{"show", "security"}, setup: func(b *ipctest.Backend) {
			b.SetAssignment(nil)
			b.SetSecurity(api.Security{Warning: "no security associations: nothing is protected"})
		}},
		{name: "all", args: []string{"show", "all"}},
		{name: "memory", args: []string{"memory", "list"}},
		{name: "memory-json", args: []string{"memory", "list", "--json"}},
		{name: "memory-nothing", args: []string{"memory"}},
		{name: "memory-pin", args: []string{"memory", "pin", "192.0.2.0/24", "198.51.100.9", "ask everyone"}},
		{name: "memory-unpin-json", args: []string{"memory", "unpin", "-", "198.51.100.10", "home", "--json"}},
		{name: "memory-forget", args: []string{"memory", "forget", "192.0.2.0/24", "198.51.100.9", "ask everyone"}},
		{name: "memory-forget-unknown", args: []string{"memory", "forget", "192.0.2.0/24", "198.51.100.9", "x"}},
		{name: "memory-bad-network", args: []string{"memory", "pin", "192.0.2.0", "a", "b"}},
		{name: "memory-few", args: []string{"memory", "pin", "192.0.2.0/24"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := house()
			if tt.setup != nil {
				tt.setup(b)
			}
			code, out, errOut := shell{b: b, opt: func(o *Options) { o.Color = tt.color }}.run(t.Context(), tt.args...)
			golden(t, "policy-"+tt.name, transcript(tt.args, code, out, errOut))
		})
	}
}

// TestProtectionIsShown looks at connections that are not protected.
func TestProtectionIsShown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		args  []string
		color bool
	}{
		{"list", []string{"list"}, false},
		{"list-color", []string{"list"}, true},
		{"status", []string{"status"}, false},
		{"status-question", []string{"status", "home"}, false},
		{"status-clear", []string{"status", "lab"}, false},
		{"status-rule", []string{"status", "192.0.2.8"}, false},
		{"allow-json", []string{"allow-clear", "home", "--yes", "--json"}, false},
		{"allow-yes", []string{"allow-clear", "home", "--for", "90s", "--yes"}, false},
		{"allow-unasked", []string{"allow-clear", "home"}, false},
		{"allow-long", []string{"allow-clear", "home", "--for", "25h", "--yes"}, false},
		{"allow-unknown", []string{"allow-clear", "nowhere", "--yes"}, false},
		{"connect-nowait", []string{"connect", "lab", "--wait", "0"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := anxious()
			b.OnConnect = func(context.Context, api.ConnectRequest) error { return nil }
			if tt.name == "connect-nowait" {
				b.OnConnect = nil
			}
			code, out, errOut := shell{b: b, opt: func(o *Options) { o.Color = tt.color }}.run(t.Context(), tt.args...)
			golden(t, "protection-"+tt.name, transcript(tt.args, code, out, errOut))
		})
	}
}

func TestAllowClearAsks(t *testing.T) {
	for _, tt := range []struct {
		answer  bool
		err     error
		code    int
		allowed bool
	}{
		{true, nil, ExitDone, true},
		{false, nil, ExitFailed, false},
		{true, io.EOF, ExitFailed, false},
	} {
		b := anxious()
		asked := ""
		sh := shell{b: b, opt: func(o *Options) {
			o.Confirm = func(_ context.Context, q string) (bool, error) { asked = q; return tt.answer, tt.err }
		}}
		code, out, errOut := sh.run(t.Context(), "allow-clear", "home", "--for", "10m")
		allowed := slices.ContainsFunc(b.Calls(), func(c string) bool { return strings.HasPrefix(c, `allow clear "home" 10m0s`) })
		if code != tt.code || allowed != tt.allowed || !strings.Contains(out, "May its traffic leave in clear?") || !strings.Contains(asked, "IN CLEAR for 10 min") {
			t.Errorf("%v, %v: exit %d, allowed %v, asked %q\n%s%s", tt.answer, tt.err, code, allowed, asked, out, errOut)
		}
		// A script that reads JSON is not asked.
		if code, _, _ := sh.run(t.Context(), "allow-clear", "home", "--json"); code != ExitUsage {
			t.Errorf("with --json: exit %d", code)
		}
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, " YES \n": true, "\n": false, "n\n": false, "yesterday\n": false, strings.Repeat("y", 100) + "\n": false, "y": false} {
		if got, _ := confirm(t.Context(), strings.NewReader(in), io.Discard, "?"); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, w := io.Pipe()
	defer w.Close()
	if ok, err := confirm(ctx, r, io.Discard, "?"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, %v", ok, err)
	}
}

// TestConnectInClear tries to connect under request where nothing answers: it
// must not look like a success, whatever way the service puts it.
func TestConnectInClear(t *testing.T) {
	silent := &api.Error{Code: api.CodeGatewaySilent, What: "Could not connect to \"home\".", Why: "The gateway does not answer.", Next: "Try again later."}
	for _, tt := range []struct {
		name string
		err  error
		args []string
	}{
		{"failed", silent, []string{"connect", "home", "--profile", "request"}},
		{"failed-json", silent, []string{"connect", "home", "--profile", "request", "--json"}},
		{"returned", nil, []string{"connect", "home"}},
		{"late", context.DeadlineExceeded, []string{"connect", "home", "--wait", "5s"}},
		{"interrupted", context.Canceled, []string{"connect", "home"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := house()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				b.OnConnect = func(ctx context.Context, r api.ConnectRequest) error {
					b.SetConnection(api.Connection{Name: "home", Profile: api.Request, State: api.Reconnecting})
					b.FallBack("home", 5*time.Minute)
					if errors.Is(tt.err, context.Canceled) {
						cancel()
					}
					return tt.err
				}
				code, out, errOut := shell{b: b}.run(ctx, tt.args...)
				if code != ExitFailed {
					t.Errorf("exit %d", code)
				}
				golden(t, "connect-clear-"+tt.name, transcript(tt.args, code, out, errOut))
			})
		})
	}
	// What was not even tried is no news of the traffic.
	b := anxious()
	b.OnConnect = func(context.Context, api.ConnectRequest) error {
		return &api.Error{Code: api.CodeNotAllowed, What: "No."}
	}
	if code, _, errOut := (shell{b: b}).run(t.Context(), "connect", "lab"); code != ExitNotAllowed || strings.Contains(errOut, "CLEAR") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestMonitorProtection(t *testing.T) {
	for _, args := range [][]string{{"monitor"}, {"monitor", "--json"}} {
		synctest.Test(t, func(t *testing.T) {
			b := anxious()
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				synctest.Wait()
				b.FallBack("home", 5*time.Minute)
				b.SetAssignment(&api.Assignment{Policy: "Client\x1b (respond only)", By: "root (uid 0)", Since: now})
				b.SetAssignment(nil)
				b.SetConnection(api.Connection{Name: "vault", State: api.Blocked, Protection: api.Stopped, Problem: &api.Error{What: "The gateway does not answer."}})
				synctest.Wait()
				cancel()
			}()
			code, out, errOut := shell{b: b}.run(ctx, args...)
			golden(t, strings.Join(append([]string{"protection"}, args...), "-"), transcript(args, code, out, errOut))
		})
	}
}

// TestPolicyFiles reads and writes real files.
func TestPolicyFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one.toml", "one\nrule\n")
	write("two.toml", "two\nrule\nrule\n")
	write("bad.toml", "")
	write("huge.toml", strings.Repeat("x", maxPolicy+1))
	write("there.toml", "old")
	write("capture.pcap", "packets")
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
	b := house()
	sh := shell{b: b}
	var story strings.Builder
	for _, line := range []string{
		"policy import one.toml two.toml",
		"policy import one.toml",
		"policy import one.toml --replace",
		"policy import one.toml --name uno --json",
		"policy import one.toml two.toml --name uno",
		"policy import",
		"policy import two.toml bad.toml --replace --json",
		"policy import bad.toml",
		"policy import none.toml",
		"policy import folder",
		"policy import huge.toml",
		"policy assign one",
		"policy import one.toml --replace",
		"policy export one",
		"policy export one out.toml",
		"policy export one there.toml",
		"policy export one there.toml --replace --json",
		"policy export one --json",
		"policy export one none/out.toml",
		"policy export none out2.toml",
		"policy export",
		"policy simulate one.toml --against capture.pcap",
		"policy simulate one.toml --against capture.pcap --json",
		"policy simulate one.toml --against none.pcap",
		"policy simulate none.toml --against capture.pcap",
	} {
		args := strings.Fields(line)
		code, out, errOut := sh.run(t.Context(), args...)
		story.WriteString(transcript(args, code, out, errOut) + "\n")
	}
	b.OnSimulate = func(context.Context, api.SimulateRequest) (api.Simulation, error) {
		return api.Simulation{}, &api.Error{Code: api.CodePolicyInvalid, What: "The policy is malformed.", Position: &api.Position{Line: 2, Field: "rule"}}
	}
	code, out, errOut := sh.run(t.Context(), "policy", "simulate", "one.toml", "--against", "capture.pcap")
	story.WriteString(transcript([]string{"policy", "simulate", "one.toml", "--against", "capture.pcap"}, code, out, errOut))
	for name, want := range map[string]string{"out.toml": "one\nrule\n", "there.toml": "one\nrule\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	if left, _ := filepath.Glob(".sallyport-*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := os.Stat("out2.toml"); err == nil {
		t.Error("a policy that is not there was written")
	}
	told := story.String()
	for _, name := range []string{"none.toml", "none/out.toml"} { // each system has its own words
		_, err := os.Stat(name)
		told = strings.ReplaceAll(told, capital(gather.Reason(err)), "No such file or directory")
	}
	t.Chdir(home)
	golden(t, "policy-files", told)
}

// home is the folder of the test data.
var home = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestEmptyPolicies(t *testing.T) {
	for _, args := range [][]string{
		{"policy", "list"}, {"memory", "list"}, {"show", "security"}, {"policy", "explain", "10.0.0.1"}, {"policy", "diff", "a", "a"}, {"policy", "assign", "a"},
	} {
		for _, more := range []string{"", "--json"} {
			b := &ipctest.Backend{OnAssign: func(context.Context, string, bool) (api.AssignResult, error) { return api.AssignResult{}, nil }}
			if args[0] == "policy" && args[1] != "list" {
				b.SetPolicy(api.Policy{Name: "a"}, "")
			}
			code, out, errOut := shell{b: b}.run(t.Context(), slices.DeleteFunc(append(slices.Clone(args), more), func(s string) bool { return s == "" })...)
			if code != 0 || errOut != "" || strings.Contains(out, "null") || strings.Contains(out, "0001-01-01") {
				t.Errorf("%v %s: exit %d\n%s%s", args, more, code, out, errOut)
			}
		}
	}
}

func TestPolicyCompletion(t *testing.T) {
	b := house()
	b.SetPolicy(api.Policy{Name: "-rf\x1b"}, "")
	for _, tt := range []struct {
		args []string
		want string
		not  string
	}{
		{[]string{"policy", "assign", ""}, "Client (respond only)\tProtects when asked.\n", "-rf"},
		{[]string{"policy", "diff", "lab", ""}, "lab\n", "-rf"},
		{[]string{"policy", "assign", "lab", ""}, ":4\n", "lab"},
		{[]string{"memory", "pin", ""}, "192.0.2.0/24\n", "198"},
		{[]string{"memory", "pin", "192.0.2.0/24", "198.51.100.9", ""}, "ask everyone\n", "home"},
		{[]string{"allow-clear", ""}, "office\tconnected\n", "lab"},
	} {
		_, out, _ := shell{b: b}.run(t.Context(), append([]string{"__complete"}, tt.args...)...)
		if !strings.Contains(out, tt.want) || strings.Contains(out, tt.not) {
			t.Errorf("%q offers\n%s", tt.args, out)
		}
	}
}

// TestPoliciesOverTheSocket goes the whole road once.
func TestPoliciesOverTheSocket(t *testing.T) {
	path := ipctest.Socket(t)
	b := anxious()
	ipctest.Serve(t, path, b, server.Options{})
	sh := shell{opt: func(o *Options) { o.Dial = func(s string) api.Backend { return client.New(s) } }}
	file := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(file, []byte("new one\nrule\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"policy", "import", file}, {"policy", "list"}, {"policy", "show", "new one"}, {"policy", "duplicate", "new one", ".."}, {"policy", "diff", "new one", ".."},
		{"policy", "assign", "..", "--dry-run"}, {"policy", "assign", ".."}, {"policy", "explain", "10.0.0.1 -> [fd00::1]:53/udp"},
		{"policy", "simulate", file, "--against", file}, {"policy", "unassign"}, {"policy", "remove", ".."}, {"show", "security"}, {"show", "all"},
		{"memory", "list"}, {"memory", "pin", "192.0.2.0/24", "198.51.100.9", "ask everyone"}, {"memory", "unpin", "-", "198.51.100.10", "home"},
		{"memory", "forget", "-", "198.51.100.10", "home"}, {"allow-clear", "home", "--yes"},
	} {
		if code, out, errOut := sh.run(t.Context(), append(args, "--socket", path)...); code != 0 {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errOut)
		}
	}
	if want := fmt.Sprintf("(uid %d)", os.Geteuid()); !slices.ContainsFunc(b.Calls(), func(c string) bool {
		return strings.HasPrefix(c, `assign ".." dry=false by `) && strings.HasSuffix(c, want)
	}) {
		t.Errorf("nobody assigned it: %q", b.Calls())
	}
}

func TestPolicyCheck(t *testing.T) {
	b := anxious()
	sh := shell{b: b}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for _, f := range []string{good, bad} {
		if err := os.WriteFile(f, []byte("mine\nrule\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.OnStore = func(_ context.Context, f api.PolicyFile) (api.Policy, error) {
		if !f.Check {
			t.Error("it is stored")
		}
		return api.Policy{Name: "mine", Rules: 1}, nil
	}
	if code, out, _ := sh.run(t.Context(), "policy", "check", good); code != 0 || !strings.Contains(out, "can be assigned (1 rule)") {
		t.Errorf("exit %d\n%s", code, out)
	}
	b.OnStore = func(context.Context, api.PolicyFile) (api.Policy, error) {
		return api.Policy{}, &api.Error{Code: api.CodePolicyInvalid, What: "It is wrong.", Why: "there is no filter list \x1b[1m",
			Position: &api.Position{File: "policy.toml", Line: 7, Field: "rules[0].filter_list"}}
	}
	code, out, _ := sh.run(t.Context(), "policy", "check", good, bad)
	if code != ExitFailed || strings.Count(out, "rules[0].filter_list: there is no filter list") != 2 || !strings.Contains(out, bad+":7:") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d\n%q", code, out)
	}
	if code, out, _ := sh.run(t.Context(), "policy", "check", bad, "--json"); code != ExitFailed || !strings.Contains(out, `"field": "rules[0].filter_list"`) {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, _ := sh.run(t.Context(), "policy", "check", filepath.Join(dir, "none")); code != ExitUsage {
		t.Errorf("exit %d", code)
	}
	for _, c := range b.Calls() {
		if strings.HasPrefix(c, "store") {
			t.Errorf("a check is %s", c)
		}
	}
}
