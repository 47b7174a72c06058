package policies

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/core/config"
	"sallyport/core/policy"
	"sallyport/platform/ipc/ipctest"
)

const office = `# The office, and nothing else.
version = 1
name = "Office only"
description = "Everything through the office, but for the printers."

[exemptions]
lan = true

[[filter_lists]]
name = "Office"
filters = [
  {source = "me", destination = "10.0.0.0/8"},
  {source = "me", destination = "2001:db8::/32"},
]

[[filter_lists]]
name = "Printers"
filters = [{source = "me", destination = "10.9.0.0/24", protocol = "tcp", destination_port = "631"}] # no paper

[[rules]]
name = "Office"
filter_list = "Office"
filter_action = "Require security"
tunnel = "berlin"

# They know no IPsec.
[[rules]]
name = "Printers"
filter_list = "Printers"
filter_action = "Permit"

[[rules]]
name = "Nothing else"
filter_list = "All IP Traffic"
filter_action = "Block"
`

const lan = `version = 1
name = "LAN"

[[filter_lists]]
name = "Neighbours"
filters = [{source = "me", destination = "192.168.1.0/24"}]

[[filter_actions]]
name = "Ask, then talk"
action = "negotiate"
methods = ["aes256gcm16-x25519", "default"]
accept_unsecured = true
fallback_to_unsecured = true
fallback_time = "2m"

[[rules]]
name = "Neighbours"
filter_list = "Neighbours"
filter_action = "Ask, then talk"
connection_type = "lan"
auth = [{method = "certificate", cas = ["ca.crt"], certificates = ["alice.crt"], key = "alice.key"}]
`

// judge is what a service makes of a text.
func judge(_ context.Context, f api.PolicyFile) (api.Policy, error) {
	p, err := policy.Parse("policy.toml", f.Text)
	if err != nil {
		e := &api.Error{Code: api.CodePolicyInvalid, What: "The policy is malformed.", Why: err.Error()}
		if all := config.AllErrors(err); len(all) > 0 {
			e.Why = all[0].Msg
			e.Position = &api.Position{File: all[0].File, Line: all[0].Line, Field: all[0].Field}
		}
		return api.Policy{}, e
	}
	return api.Policy{Name: p.Name, Description: p.Description, Rules: len(p.Rules)}, nil
}

// stocked returns a service with policies of each kind.
func stocked(t testing.TB) *ipctest.Backend {
	b := uitest.Bare(t)
	b.SetConnection(api.Connection{Name: "berlin", State: api.Connected, Profile: api.Require, Role: "initiator"})
	b.SetConnection(api.Connection{Name: "paris", State: api.Disconnected, Profile: api.Request, Role: "initiator"})
	for _, p := range policy.Presets() {
		b.SetPolicy(api.Policy{Name: p.Name, Description: p.Description, Predefined: true, Rules: len(p.Rules)}, string(policy.Marshal(p)))
	}
	for _, text := range []string{office, lan} {
		p, err := judge(t.Context(), api.PolicyFile{Text: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		b.SetPolicy(p, text)
	}
	b.SetPolicy(api.Policy{Name: "Broken", Problem: &api.Error{Code: api.CodePolicyInvalid, What: "The policy is malformed.",
		Why: `rules[0].filter_list: there is no filter list "Ofice"; did you mean "Office"?`, Next: "Correct the line and store it again.",
		Position: &api.Position{File: "Broken.toml", Line: 14, Field: "rules[0].filter_list"}}}, broken)
	b.OnStore = judge
	b.OnAssign = func(_ context.Context, name string, _ bool) (api.AssignResult, error) {
		switch name {
		case "Broken":
			return api.AssignResult{}, &api.Error{Code: api.CodePolicyInvalid, What: "The policy cannot be assigned.", Why: `there is no filter list "Ofice"`,
				Position: &api.Position{File: "Broken.toml", Line: 10, Field: "rules[0].filter_list"}}
		case "Office only":
			return api.AssignResult{}, nil
		}
		return api.AssignResult{Changes: []string{`- rule "Office"`, `+ rule "Neighbours"`, `~ downgrade ttl: 720h → 2160h`},
			Order:    []string{"me ↔ 192.168.1.0/24: negotiate (Neighbours)", "me ↔ 0.0.0.0/0: permit (rest)"},
			Warnings: []string{`warning: LAN.toml:6: filter_lists[0].filters[0]: is never reached by UDP`}}, nil
	}
	b.OnDiff = func(context.Context, string, string) ([]string, error) { return []string{`+ rule "Neighbours"`}, nil }
	b.OnExplain = func(_ context.Context, flow string) (api.FlowAnswer, error) {
		if strings.Contains(flow, "nonsense") {
			return api.FlowAnswer{}, &api.Error{Code: api.CodeUsage, What: "\"nonsense\" is not a flow.", Next: "Write it as 10.1.2.3:443/tcp."}
		}
		return api.FlowAnswer{Flow: "192.168.178.20 → 10.1.2.3:443/tcp", Rule: "Office", Filter: "Office, filter 1: me ↔ 10.0.0.0/8", Action: "negotiate",
			Protection: api.Protected, Connection: "berlin", SA: "c1a0b2d3 in, 9e8d7c6b out", Since: uitest.Now.Add(-time.Hour),
			Assignment: &api.Assignment{Policy: "Office only", By: "alice (uid 1000)", Since: uitest.Now.Add(-26 * time.Hour)},
			Why: []string{"rule \"Office\", filter 1 requires security: it passes secured or not at all", "The firewall: tunnel only.",
				"Office, me ↔ 10.0.0.0/8: decides: no other that matches is before it",
				"Nothing else, me ↔ 0.0.0.0/0: does not decide: the deciding filter names fewer remote addresses"}}, nil
	}
	b.OnSimulate = func(context.Context, api.SimulateRequest) (api.Simulation, error) {
		return api.Simulation{Skipped: 3, Flows: []api.SimulatedFlow{
			{Flow: "192.168.178.20:49152 → 10.1.2.3:443/tcp", Packets: 1200, Bytes: 1_400_000, Rule: "Office", Verdict: "protected"},
			{Flow: "192.168.178.20:49153 → 10.9.0.7:631/tcp", Packets: 80, Bytes: 64_000, Rule: "Printers", Verdict: "clear"},
			{Flow: "192.168.178.20:5353 → 224.0.0.251:5353/udp", Packets: 12, Bytes: 1_800, Verdict: "blocked"},
			{Flow: "192.168.178.20:49154 → 192.168.1.9:445/tcp", Packets: 40, Bytes: 9_000, Rule: "Neighbours", Verdict: "protected or clear"},
		}}, nil
	}
	b.SetMemories(
		api.Memory{Network: prefix("192.168.178.0/24"), Peer: "vpn.example.com", Rule: "Office", Worked: uitest.Now.Add(-2 * time.Hour)},
		api.Memory{Peer: "203.0.113.20", Rule: "Neighbours", Worked: uitest.Now.Add(-9 * 24 * time.Hour), Pinned: true},
	)
	return b
}

const broken = `version = 1
name = "Broken"

[[filter_lists]]
name = "Office"
filters = [{source = "me", destination = "10.0.0.0/8"}]

[[rules]]
name = "Office"
filter_list = "Ofice"
filter_action = "Block"
`

// assigned is stocked with a policy in force.
func assigned(t testing.TB) *ipctest.Backend {
	b := stocked(t)
	b.SetAssignment(&api.Assignment{Policy: "Office only", By: "alice (uid 1000)", Since: uitest.Now.Add(-26 * time.Hour)})
	return b
}

// big returns a policy with n filters.
func big(n int) string {
	var s strings.Builder
	s.WriteString("version = 1\nname = \"Big\"\n\n[[filter_lists]]\nname = \"Many\"\nfilters = [\n")
	for i := range n {
		fmt.Fprintf(&s, "  {source = \"me\", destination = \"10.%d.%d.%d\"}, # host %d\n", i>>16, i>>8&255, i&255, i)
	}
	s.WriteString("]\n\n[[rules]]\nname = \"Many\"\nfilter_list = \"Many\"\nfilter_action = \"Block\"\n")
	return s.String()
}

// open returns the page in a window.
func open(t testing.TB, b *ipctest.Backend) (*View, *kit.Env) {
	env := uitest.Env(t, b)
	env.Window.Resize(uitest.Page)
	v := New(env)
	env.Window.SetContent(uitest.Show(env, v))
	env.Window.Resize(uitest.Page)
	uitest.Settle()
	return v, env
}

func mustJudge(t testing.TB, text string) api.Policy {
	p, err := judge(t.Context(), api.PolicyFile{Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// capture is a file that was chosen.
func capture(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// wizardAt brings the wizard to a page.
func wizardAt(page int) func(*testing.T, *View, *kit.Env) {
	return func(_ *testing.T, v *View, _ *kit.Env) {
		v.detail.edit("")
		w := newWizard(v.editor, func(*wizard) {})
		w.show()
		if page == pageAuth || page == pageName {
			w.rule.Tunnel = ""
		}
		w.filter.Destination = "10.20.0.0/16"
		w.auth.Method, w.auth.Secret = "psk", "lan"
		for w.page < page {
			w.step(1)
		}
	}
}
