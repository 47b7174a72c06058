package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/policy"
	"sallyport/core/profile"
)

func (e *Engine) explainProbe(p *probe, err error) *api.Error {
	x := explain.Context{Connection: strings.TrimSuffix(p.name, probeSuffix)}
	if p.profile != nil {
		x.Gateway, x.Profile = p.profile.Gateways, p.profile.PolicyProfile()
	}
	return explain.Explain(err, x)
}

// probeResult says how far a test came, step by step.
func (e *Engine) probeResult(p *probe, warnings []string) api.TestResult {
	r := api.TestResult{Steps: []api.TestStep{}}
	failed := p.problem != nil
	var why string
	if failed {
		r.Problem = e.explainProbe(p, p.problem)
		e.blame(p, r.Problem)
		why = cmp.Or(r.Problem.Why, r.Problem.What)
	}
	reached := p.reached()
	texts := []struct{ name, text string }{
		{stepResolve, e.resolvedText(p)},
		{stepReach, fmt.Sprintf("The gateway answers at %v.", p.remote)},
		{stepAgree, fmt.Sprintf("Both ends agreed on %v.", p.info.Suite)},
		{stepAuthenticate, p.provedText()},
		{stepTunnel, p.tunnelText()},
	}
	for i, s := range texts {
		if i < reached {
			r.Steps = append(r.Steps, api.TestStep{Name: s.name, OK: true, Text: s.text})
			continue
		}
		if failed {
			r.Steps = append(r.Steps, api.TestStep{Name: s.name, Text: why})
		}
		break
	}
	if reached > 2 {
		r.IKE = p.info.Suite.String()
	}
	if p.child != nil {
		r.ESP = p.child.Suite.String()
		r.Connection = e.probeView(p, warnings)
	}
	outcome := "it would connect"
	if failed {
		outcome = r.Problem.Error()
	}
	e.logf(api.LogInfo, "ike", p.name, "test: %s", outcome)
	return r
}

// reached returns how many steps were taken with success.
func (p *probe) reached() int {
	var f *ike.Failure
	_ = errors.As(p.problem, &f)
	switch {
	case p.child != nil:
		return 5
	case p.est != nil || p.info.PeerAuth != "":
		return 4
	case p.info.Suite.Encr.ID != 0:
		return 3
	case p.heard:
		return 2
	case p.addrs != nil:
		return 1
	}
	return 0
}

func (e *Engine) resolvedText(p *probe) string {
	var names, addrs []string
	if p.profile != nil {
		for _, g := range p.profile.Gateways {
			if name, _, err := profile.SplitGateway(g); err == nil {
				if _, err := netip.ParseAddr(name); err != nil {
					names = append(names, name)
				}
			}
		}
	}
	for _, a := range p.addrs {
		if s := a.Addr().String(); !slices.Contains(addrs, s) {
			addrs = append(addrs, s)
		}
	}
	if len(names) == 0 {
		return strings.Join(addrs, ", ") + " needs no look-up."
	}
	return fmt.Sprintf("%s is %s.", strings.Join(names, ", "), strings.Join(addrs, ", "))
}

func (p *probe) provedText() string {
	return fmt.Sprintf("The gateway proved to be %v (%s), and accepted this end as %v (%s).", p.info.PeerID, p.info.PeerAuth, p.info.LocalID, p.info.LocalAuth)
}

func (p *probe) tunnelText() string {
	if p.child == nil {
		return ""
	}
	s := fmt.Sprintf("Traffic with %v would travel through %v", p.child.Remote, p.child.Suite)
	if p.est != nil && len(p.est.Addresses) > 0 {
		s += fmt.Sprintf(", from %s", strings.Join(texts(p.est.Addresses), ", "))
	}
	return s + "."
}

// probeView is the connection as it would be.
func (e *Engine) probeView(p *probe, warnings []string) *api.Connection {
	v := &api.Connection{Name: p.profile.Name, Role: profile.Initiator, Gateway: p.profile.Gateways, Profile: p.profile.PolicyProfile(),
		State: api.Disconnected, Since: time.Now(), Warnings: slices.Clone(warnings)}
	v.Path, v.PeerID = p.info.Path.String(), p.info.PeerID.String()
	if p.est != nil {
		v.Addresses, v.DNS = p.est.Addresses, p.est.DNS
		if w := weakAuth(p.est); w != "" {
			v.Warnings = append(v.Warnings, w)
		}
	}
	v.Routes = p.child.Remote.Prefixes()
	if len(p.profile.Children) > 1 {
		v.Warnings = append(v.Warnings, fmt.Sprintf("Only the first of %d children was tried.", len(p.profile.Children)))
	}
	if c := e.conns[p.profile.Name]; c != nil && c.current != nil {
		v.Warnings = append(v.Warnings, "A connection of this name is up: a gateway that allows one of each identity may have ended it.")
	}
	v.Warnings = append(v.Warnings, e.blockedBehind(p)...)
	return v
}

// blockedBehind tells which of the networks behind the gateway the rules in
// force would block all the same.
func (e *Engine) blockedBehind(p *probe) []string {
	if e.guard.compiled == nil {
		return nil
	}
	var out []string
	for _, dst := range p.child.Remote.Prefixes() {
		if x := e.explainTo(netip.AddrPortFrom(firstHost(dst), 443), "tcp"); x != nil && x.Decider != nil && x.Decider.Action == policy.Block {
			out = append(out, fmt.Sprintf("The rule %q of the assigned policy blocks traffic to %v.", x.Rule, dst))
		}
	}
	return out
}

// explainTo asks the policy about a flow; nil without one.
func (e *Engine) explainTo(to netip.AddrPort, proto string) *policy.Explanation {
	if e.guard.compiled == nil || !to.IsValid() {
		return nil
	}
	host := net.JoinHostPort(to.Addr().String(), strconv.Itoa(int(to.Port())))
	x, err := e.guard.compiled.Explain(host+"/"+proto, e.clearNow(time.Now()))
	if err != nil {
		return nil
	}
	return &x
}

// blame adds to a failure that the rules in force stand in the way.
func (e *Engine) blame(p *probe, problem *api.Error) {
	switch problem.Code {
	case api.CodeGatewaySilent, api.CodeNoNetwork, api.CodeTimeout, api.CodeResolve:
	default:
		return
	}
	if slices.Contains(e.guard.intent.Exempt.IKE, p.remote.Port()) || !p.remote.IsValid() {
		return // IKE passes whatever the rules say
	}
	x := e.explainTo(p.remote, "udp")
	if x == nil || x.Decider == nil || x.Decider.Action == policy.Permit {
		return
	}
	problem.Why = strings.TrimSpace(problem.Why + fmt.Sprintf(" The rule %q of the assigned policy stops packets to %v.", x.Rule, p.remote))
	problem.Next = fmt.Sprintf("Let the rule %q permit UDP to %v, or use a gateway on port 500 or 4500, which the service may always reach. %s", x.Rule, p.remote, problem.Next)
}
