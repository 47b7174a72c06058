package api

import (
	"net/netip"
	"time"
)

// A Protection says what becomes of the traffic that a rule, or a connection,
// is to protect.
type Protection string

// The values of Protection.
const (
	Protected Protection = "protected" // it travels through an SA
	Clear     Protection = "clear"     // it may leave unprotected at this moment
	Held      Protection = "held"      // it waits a moment for an SA
	Stopped   Protection = "blocked"   // it is dropped
)

// An Assignment says which policy is in force.
type Assignment struct {
	Policy string    `json:"policy"`
	By     string    `json:"by"` // who assigned it
	Since  time.Time `json:"since"`
}

// A Policy is a stored IPsec policy.
type Policy struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Predefined  bool     `json:"predefined,omitempty"`
	Assigned    bool     `json:"assigned,omitempty"`
	Rules       int      `json:"rules"`
	Problem     *Error   `json:"problem,omitempty"` // the file's fault
	Warnings    []string `json:"warnings,omitempty"`
	// Findings are all that StorePolicy found out about a text, place by place:
	// the warnings again, and what would keep the policy from being assigned.
	Findings []Finding `json:"findings,omitempty"`
}

// A Finding is something about the text of a policy that its author should know.
type Finding struct {
	Error    bool     `json:"error,omitempty"` // the policy cannot be assigned so
	Position Position `json:"position"`
	Text     string   `json:"text"` // "there is no filter list \"Offices\"; did you mean ..."
}

// A PolicyFile is the text of a policy.
type PolicyFile struct {
	Name    string `json:"name,omitempty"` // overrides the name in the text
	Text    []byte `json:"text"`
	Replace bool   `json:"replace,omitempty"`
	// Check stores nothing. What is wrong with the text is then told in the
	// answer, as Problem and Findings, and not as an error.
	Check bool `json:"check,omitempty"`
}

// An AssignResult tells what an assignment changes, or would change.
type AssignResult struct {
	Changes  []string `json:"changes"`            // the difference to what was in force
	Order    []string `json:"order"`              // the filters as they decide, most specific first
	Warnings []string `json:"warnings,omitempty"` // overlaps, unreachable rules
}

// A FlowAnswer explains what happens to a flow.
type FlowAnswer struct {
	Flow       string      `json:"flow"`
	Rule       string      `json:"rule"` // empty: no rule matches
	Filter     string      `json:"filter,omitempty"`
	Action     string      `json:"action"` // "permit", "block", "negotiate"
	Protection Protection  `json:"protection"`
	Connection string      `json:"connection,omitempty"`
	SA         string      `json:"sa,omitempty"` // SPIs of the Child SA that carries it
	Since      time.Time   `json:"since,omitzero"`
	Assignment *Assignment `json:"assignment,omitempty"`
	Why        []string    `json:"why"` // candidates, and why the winner won
}

// A SimulateRequest asks what a policy would do to captured traffic.
type SimulateRequest struct {
	Policy  PolicyFile `json:"policy"`
	Capture []byte     `json:"capture"` // pcap or pcapng
}

// A Simulation is what would happen to each flow of a capture.
type Simulation struct {
	Flows   []SimulatedFlow `json:"flows"`
	Skipped uint64          `json:"skipped"` // packets that are not IP
}

// A SimulatedFlow is one flow of a capture.
type SimulatedFlow struct {
	Flow    string `json:"flow"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Rule    string `json:"rule,omitempty"`
	Verdict string `json:"verdict"` // "clear", "protected", "protected or clear", "blocked"
}

// Coverage says how much of a rule's traffic was protected.
type Coverage struct {
	Rule       string     `json:"rule"`
	Action     string     `json:"action"` // "permit", "block", "negotiate"
	Protection Protection `json:"protection"`
	Protected  uint64     `json:"protected_bytes"`
	Clear      uint64     `json:"clear_bytes"`
	Blocked    uint64     `json:"blocked_bytes"`
	Percent    float64    `json:"coverage_percent"` // protected of protected and clear; 100 without traffic
}

// A Security is the security monitor's page beside the SAs.
type Security struct {
	Assignment *Assignment       `json:"assignment,omitempty"`
	Coverage   []Coverage        `json:"coverage"`
	Failures   map[string]uint64 `json:"failures"`  // negotiations that failed, by ErrorCode
	Fallbacks  uint64            `json:"fallbacks"` // times traffic was let out in clear
	Exempt     []string          `json:"exempt"`    // what passes whatever the rules say
	Firewall   string            `json:"firewall"`  // state of the packet filter, in words
	// Warning is set when nothing is protected: "no security associations: ...".
	Warning string `json:"warning,omitempty"`
}

// A Memory is an entry of the downgrade memory: protection worked here once.
type Memory struct {
	Network netip.Prefix `json:"network"` // where this machine was
	Peer    string       `json:"peer"`
	Rule    string       `json:"rule"`
	Worked  time.Time    `json:"worked"` // last
	Pinned  bool         `json:"pinned,omitempty"`
}
