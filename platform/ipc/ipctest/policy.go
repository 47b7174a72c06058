package ipctest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
)

type policy struct {
	api.Policy
	text []byte
}

// SetPolicy adds or changes a policy and its text.
func (b *Backend) SetPolicy(p api.Policy, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setPolicyLocked(policy{p, []byte(text)})
}

func (b *Backend) setPolicyLocked(p policy) {
	i, found := b.findPolicyLocked(p.Name)
	if found {
		b.policies[i] = p
	} else {
		b.policies = slices.Insert(b.policies, i, p)
	}
}

// SetAssignment puts a policy in force, or none, and raises the event.
func (b *Backend) SetAssignment(a *api.Assignment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.assignLocked(a)
}

func (b *Backend) assignLocked(a *api.Assignment) {
	b.assignment = a
	b.emitLocked(api.Event{Kind: api.EventAssignment, Assignment: a})
}

// SetSecurity sets what Security answers, beside the assignment.
func (b *Backend) SetSecurity(s api.Security) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.security = s
}

// SetMemories sets the downgrade memory.
func (b *Backend) SetMemories(m ...api.Memory) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.memories = slices.Clone(m)
}

// FallBack lets the traffic of a connection leave in clear for d, as a failed
// negotiation under request does, and raises the events.
func (b *Backend) FallBack(name string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, ok := b.findLocked(name)
	if !ok {
		return
	}
	c := b.conns[i]
	c.Protection, c.ClearUntil = api.Clear, b.now().Add(d)
	if c.State == api.Blocked || c.State == api.Connected {
		c.State, c.Since = api.Reconnecting, b.now()
	}
	b.setLocked(c)
	b.emitLocked(api.Event{Kind: api.EventFallback, Name: name, Connection: &c})
}

func (b *Backend) findPolicyLocked(name string) (int, bool) {
	return slices.BinarySearchFunc(b.policies, name, func(p policy, n string) int { return strings.Compare(p.Name, n) })
}

// getPolicyLocked returns the index of a policy, or explains that there is none.
func (b *Backend) getPolicyLocked(name string) (int, error) {
	i, ok := b.findPolicyLocked(name)
	if !ok {
		return 0, &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("There is no policy %q.", name),
			Next: "`sallyport policy list` shows the policies."}
	}
	return i, nil
}

// Security implements api.Backend.
func (b *Backend) Security(context.Context) (api.Security, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.security
	s.Assignment = b.assignment
	return s, nil
}

// Policies implements api.Backend.
func (b *Backend) Policies(context.Context) ([]api.Policy, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []api.Policy
	for _, p := range b.policies {
		p.Assigned = b.assignedLocked(p.Name)
		list = append(list, p.Policy)
	}
	return list, nil
}

func (b *Backend) assignedLocked(name string) bool {
	return b.assignment != nil && b.assignment.Policy == name
}

// Policy implements api.Backend.
func (b *Backend) Policy(_ context.Context, name string) (api.PolicyFile, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.getPolicyLocked(name)
	if err != nil {
		return api.PolicyFile{}, err
	}
	return api.PolicyFile{Name: name, Text: slices.Clone(b.policies[i].text)}, nil
}

// StorePolicy implements api.Backend: without OnStore, the first line of the
// text is the policy's name and every other line a rule. OnStore judges the text
// and says what it is; storing it, or not, is done here.
func (b *Backend) StorePolicy(ctx context.Context, f api.PolicyFile) (api.Policy, error) {
	if f.Check {
		b.record("check policy %q (%d bytes)", f.Name, len(f.Text))
	} else {
		b.record("store policy %q (%d bytes) replace=%t by %s", f.Name, len(f.Text), f.Replace, api.Caller(ctx))
	}
	if b.OnStore != nil {
		p, err := b.OnStore(ctx, f)
		if e := api.AsError(err); f.Check && e != nil && e.Code == api.CodePolicyInvalid {
			finding := api.Finding{Error: true, Text: cmp.Or(e.Why, e.What)}
			if e.Position != nil {
				finding.Position = *e.Position
			}
			return api.Policy{Name: f.Name, Problem: e, Findings: []api.Finding{finding}}, nil
		}
		if err == nil && !f.Check {
			b.SetPolicy(p, string(f.Text))
		}
		return p, err
	}
	name, _, _ := strings.Cut(string(f.Text), "\n")
	if f.Name != "" {
		name = f.Name
	}
	if name == "" {
		return api.Policy{}, &api.Error{Code: api.CodePolicyInvalid, What: "The policy has no name.", Position: &api.Position{Line: 1}}
	}
	if f.Check {
		return api.Policy{Name: name, Rules: strings.Count(string(f.Text), "\n")}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.findPolicyLocked(name); ok && !f.Replace {
		return api.Policy{}, &api.Error{Code: api.CodeExists, What: fmt.Sprintf("There is a policy %q already.", name),
			Next: "Choose another name with --name, or overwrite it with --replace."}
	}
	p := policy{api.Policy{Name: name, Rules: strings.Count(string(f.Text), "\n")}, slices.Clone(f.Text)}
	b.setPolicyLocked(p)
	p.Assigned = b.assignedLocked(name)
	return p.Policy, nil
}

// RemovePolicy implements api.Backend.
func (b *Backend) RemovePolicy(ctx context.Context, name string) error {
	b.record("remove policy %q by %s", name, api.Caller(ctx))
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.getPolicyLocked(name)
	if err != nil {
		return err
	}
	if b.assignedLocked(name) {
		return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("The policy %q is assigned.", name),
			Next: "Unassign it first, with `sallyport policy unassign`."}
	}
	b.policies = slices.Delete(b.policies, i, i+1)
	return nil
}

// DiffPolicies implements api.Backend: without OnDiff, the lines that only one has.
func (b *Backend) DiffPolicies(ctx context.Context, from, to string) ([]string, error) {
	if b.OnDiff != nil {
		return b.OnDiff(ctx, from, to)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.getPolicyLocked(from)
	if err != nil {
		return nil, err
	}
	j, err := b.getPolicyLocked(to)
	if err != nil {
		return nil, err
	}
	return diff(b.policies[i].text, b.policies[j].text), nil
}

func diff(a, b []byte) []string {
	old, new := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	var changes []string
	for _, l := range old {
		if !slices.Contains(new, l) {
			changes = append(changes, "- "+l)
		}
	}
	for _, l := range new {
		if !slices.Contains(old, l) {
			changes = append(changes, "+ "+l)
		}
	}
	return changes
}

// Assign implements api.Backend: without OnAssign, the changes are those from
// the text of the assigned policy, and the order that of the lines.
func (b *Backend) Assign(ctx context.Context, name string, dryRun bool) (api.AssignResult, error) {
	b.record("assign %q dry=%t by %s", name, dryRun, api.Caller(ctx))
	var res api.AssignResult
	if b.OnAssign != nil {
		var err error
		if res, err = b.OnAssign(ctx, name, dryRun); err != nil {
			return res, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.getPolicyLocked(name)
	if err != nil {
		return api.AssignResult{}, err
	}
	if b.OnAssign == nil {
		var old []byte
		if b.assignment != nil {
			if j, ok := b.findPolicyLocked(b.assignment.Policy); ok {
				old = b.policies[j].text
			}
		}
		text := b.policies[i].text
		res = api.AssignResult{Changes: diff(old, text), Order: strings.Split(strings.TrimSpace(string(text)), "\n")}
	}
	if !dryRun {
		b.assignLocked(&api.Assignment{Policy: name, By: api.Caller(ctx), Since: b.now()})
	}
	return res, nil
}

// Unassign implements api.Backend.
func (b *Backend) Unassign(ctx context.Context) error {
	b.record("unassign by %s", api.Caller(ctx))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.assignment == nil {
		return &api.Error{Code: api.CodeNotFound, What: "No policy is assigned."}
	}
	b.assignLocked(nil)
	return nil
}

// ExplainFlow implements api.Backend: without OnExplain, no rule matches.
func (b *Backend) ExplainFlow(ctx context.Context, flow string) (api.FlowAnswer, error) {
	b.record("explain %q", flow)
	if b.OnExplain != nil {
		return b.OnExplain(ctx, flow)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return api.FlowAnswer{Flow: flow, Action: "permit", Protection: api.Clear, Assignment: b.assignment,
		Why: []string{"No rule matches."}}, nil
}

// Simulate implements api.Backend: without OnSimulate, the capture has no packets.
func (b *Backend) Simulate(ctx context.Context, r api.SimulateRequest) (api.Simulation, error) {
	b.record("simulate a policy of %d bytes against %d bytes", len(r.Policy.Text), len(r.Capture))
	if b.OnSimulate != nil {
		return b.OnSimulate(ctx, r)
	}
	return api.Simulation{}, nil
}

// AllowClear implements api.Backend: it answers the connection's question.
func (b *Backend) AllowClear(ctx context.Context, name string, d time.Duration) error {
	b.record("allow clear %q %v by %s", name, d, api.Caller(ctx))
	if err := b.must(name); err != nil {
		return err
	}
	if b.OnAllowClear != nil {
		return b.OnAllowClear(ctx, name, d)
	}
	b.mu.Lock()
	i, _ := b.findLocked(name)
	c := b.conns[i]
	c.Question = ""
	b.setLocked(c)
	b.mu.Unlock()
	b.FallBack(name, d)
	return nil
}

// Memories implements api.Backend.
func (b *Backend) Memories(context.Context) ([]api.Memory, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.memories), nil
}

// Pin implements api.Backend.
func (b *Backend) Pin(ctx context.Context, m api.Memory) error {
	b.record("pin %v %q %q %t by %s", m.Network, m.Peer, m.Rule, m.Pinned, api.Caller(ctx))
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.memoryLocked(m)
	if err == nil {
		b.memories[i].Pinned = m.Pinned
	}
	return err
}

// Forget implements api.Backend.
func (b *Backend) Forget(ctx context.Context, m api.Memory) error {
	b.record("forget %v %q %q by %s", m.Network, m.Peer, m.Rule, api.Caller(ctx))
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.memoryLocked(m)
	if err == nil {
		b.memories = slices.Delete(b.memories, i, i+1)
	}
	return err
}

func (b *Backend) memoryLocked(m api.Memory) (int, error) {
	i := slices.IndexFunc(b.memories, func(e api.Memory) bool {
		return e.Network == m.Network && e.Peer == m.Peer && e.Rule == m.Rule
	})
	if i < 0 {
		return 0, &api.Error{Code: api.CodeNotFound, What: "The downgrade memory has no such entry.",
			Next: "`sallyport memory list` shows the entries."}
	}
	return i, nil
}
