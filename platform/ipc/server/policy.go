package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// maxPeer bounds the names in an entry of the downgrade memory.
const maxPeer = 512

func (s *Server) security(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	sec, err := s.backend.Security(r.Context())
	sec.Coverage, sec.Exempt = notNil(sec.Coverage), notNil(sec.Exempt)
	if sec.Failures == nil {
		sec.Failures = map[string]uint64{}
	}
	return sec, err
}

func (s *Server) policies(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list, err := s.backend.Policies(r.Context())
	return notNil(list), err
}

func (s *Server) policy(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := nameOf(r)
	if err != nil {
		return nil, err
	}
	return s.backend.Policy(r.Context(), name)
}

func (s *Server) storePolicy(w http.ResponseWriter, r *http.Request) (any, error) {
	var f api.PolicyFile
	if err := s.read(w, r, ipc.MaxPolicyBody, &f); err != nil {
		return nil, err
	}
	if err := checkPolicy(f); err != nil {
		return nil, err
	}
	if f.Check {
		p, err := s.backend.StorePolicy(r.Context(), f)
		return p, err
	}
	what := "store a policy"
	if f.Name != "" {
		what = "store the policy " + strconv.Quote(f.Name)
	}
	s.audit(r, what)
	return s.backend.StorePolicy(s.asked(r), f)
}

func checkPolicy(f api.PolicyFile) error {
	if len(f.Text) > ipc.MaxPolicy {
		return usage("A policy may have at most %d bytes.", ipc.MaxPolicy)
	}
	if f.Name != "" {
		if err := ipc.CheckName(f.Name); err != nil {
			return usage("The name for the policy does not do: %v.", err)
		}
	}
	return nil
}

func (s *Server) removePolicy(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := bare(r)
	if err != nil {
		return nil, err
	}
	s.audit(r, "remove the policy "+strconv.Quote(name))
	return struct{}{}, s.backend.RemovePolicy(s.asked(r), name)
}

func (s *Server) diffPolicies(_ http.ResponseWriter, r *http.Request) (any, error) {
	a, err := nameOf(r)
	if err != nil {
		return nil, err
	}
	b, err := segment(r, "other")
	if err != nil {
		return nil, err
	}
	changes, err := s.backend.DiffPolicies(r.Context(), a, b)
	return notNil(changes), err
}

func (s *Server) assign(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := nameOf(r)
	if err != nil {
		return nil, err
	}
	var body ipc.AssignBody
	if err := s.read(w, r, ipc.MaxBody, &body); err != nil {
		return nil, err
	}
	if !body.DryRun {
		s.audit(r, "assign the policy "+strconv.Quote(name))
	}
	res, err := s.backend.Assign(s.asked(r), name, body.DryRun)
	res.Changes, res.Order = notNil(res.Changes), notNil(res.Order)
	return res, err
}

func (s *Server) unassign(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := empty(r); err != nil {
		return nil, err
	}
	s.audit(r, "unassign the policy")
	return struct{}{}, s.backend.Unassign(s.asked(r))
}

func (s *Server) explainFlow(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r, "flow")
	if err != nil {
		return nil, err
	}
	flow := strings.TrimSpace(q.Get("flow"))
	if flow == "" || len(flow) > ipc.MaxFlow {
		return nil, usage("A flow to explain must have between 1 and %d bytes.", ipc.MaxFlow)
	}
	answer, err := s.backend.ExplainFlow(r.Context(), flow)
	answer.Why = notNil(answer.Why)
	return answer, err
}

func (s *Server) simulate(w http.ResponseWriter, r *http.Request) (any, error) {
	release, err := s.captures.take(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	var req api.SimulateRequest
	if err := s.read(w, r, ipc.MaxSimulateBody, &req); err != nil {
		return nil, err
	}
	if err := checkPolicy(req.Policy); err != nil {
		return nil, err
	}
	if len(req.Capture) > ipc.MaxCapture {
		return nil, usage("A capture may have at most %d bytes.", ipc.MaxCapture)
	}
	sim, err := s.backend.Simulate(r.Context(), req)
	sim.Flows = notNil(sim.Flows)
	return sim, err
}

func (s *Server) allowClear(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := nameOf(r)
	if err != nil {
		return nil, err
	}
	var body ipc.AllowClearBody
	if err := s.read(w, r, ipc.MaxBody, &body); err != nil {
		return nil, err
	}
	if body.Milliseconds <= 0 || body.Milliseconds > ipc.MaxClear.Milliseconds() {
		return nil, usage("Traffic may be let out in clear for up to %v at a time.", ipc.MaxClear)
	}
	d := time.Duration(body.Milliseconds) * time.Millisecond
	s.audit(r, fmt.Sprintf("allow clear text for %q for %v", name, d))
	return struct{}{}, s.backend.AllowClear(s.asked(r), name, d)
}

func (s *Server) memories(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list, err := s.backend.Memories(r.Context())
	return notNil(list), err
}

func (s *Server) pin(w http.ResponseWriter, r *http.Request) (any, error) {
	m, err := s.readMemory(w, r)
	if err != nil {
		return nil, err
	}
	verb := "unpin"
	if m.Pinned {
		verb = "pin"
	}
	s.audit(r, verb+" "+memoryText(m))
	return struct{}{}, s.backend.Pin(s.asked(r), m)
}

func (s *Server) forget(w http.ResponseWriter, r *http.Request) (any, error) {
	m, err := s.readMemory(w, r)
	if err != nil {
		return nil, err
	}
	s.audit(r, "forget "+memoryText(m))
	return struct{}{}, s.backend.Forget(s.asked(r), m)
}

func (s *Server) readMemory(w http.ResponseWriter, r *http.Request) (api.Memory, error) {
	var m api.Memory
	if err := s.read(w, r, ipc.MaxBody, &m); err != nil {
		return m, err
	}
	if len(m.Peer) > maxPeer || len(m.Rule) > maxPeer {
		return m, usage("The names of a peer and of a rule may have at most %d bytes.", maxPeer)
	}
	return m, nil
}

func memoryText(m api.Memory) string {
	return fmt.Sprintf("the memory of %q, rule %q, in %v", m.Peer, m.Rule, m.Network)
}

// empty reports whether a request has something that it must not have.
func empty(r *http.Request) error {
	if r.ContentLength != 0 {
		return usage("This request has no body.")
	}
	_, err := query(r)
	return err
}
