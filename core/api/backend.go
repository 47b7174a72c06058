package api

import (
	"context"
	"time"
)

// A Backend is everything a front end can ask of the service. core/engine
// implements it; platform/ipc carries it. Errors are *Error.
type Backend interface {
	// State returns the whole state.
	State(ctx context.Context) (State, error)
	// Dynamic returns the security associations and drop counters.
	Dynamic(ctx context.Context) (Dynamic, error)
	// Log returns up to limit of the newest log entries, oldest first.
	Log(ctx context.Context, limit int) ([]LogEntry, error)
	// Events calls yield with each event after seq, in order, until ctx ends or
	// yield returns false. A follower that is too slow gets EventLost.
	Events(ctx context.Context, after uint64, yield func(Event) bool) error

	// Import stores the connections of the given files (see ImportRequest).
	Import(ctx context.Context, r ImportRequest) (ImportResult, error)
	// Remove disconnects and forgets a connection and its secrets.
	Remove(ctx context.Context, name string) error
	// Connect starts a tunnel, and with r.Wait returns when it carries traffic
	// or has failed. Without Wait it returns when the attempt has begun.
	Connect(ctx context.Context, r ConnectRequest) error
	// Disconnect ends a tunnel and returns when the host is as it was before.
	Disconnect(ctx context.Context, name string) error
	// Answer answers a prompt. CodeNotFound says that nobody waits for it any more.
	Answer(ctx context.Context, a Answer) error

	// Export returns a connection as a file that Import takes, with its
	// certificates within and without its secrets.
	Export(ctx context.Context, name string) (Export, error)
	// SetProfile stores another profile for a connection. On a tunnel in use it
	// holds at once, and never with a moment of clear text in between.
	SetProfile(ctx context.Context, name string, p Profile) error
	// Test tries what an import of one connection would store: it speaks IKE with
	// the gateway until the first Child SA is agreed, and closes it again, within
	// 30 s. Nothing is stored, and no route, address, name server or filter of the
	// host changes. A file that cannot be used is an error; a gateway that does
	// not let us in is TestResult.Problem.
	Test(ctx context.Context, r ImportRequest) (TestResult, error)
	// Traffic returns the counters of the tunnels that are up, by connection.
	Traffic(ctx context.Context) (map[string]Counters, error)
	// Exchanges returns up to limit of the newest IKE messages of a connection,
	// or with an empty name of all, oldest first.
	Exchanges(ctx context.Context, name string, limit int) ([]Message, error)

	// Tokens returns the smart cards and tokens that are there, and what can be
	// read of them without a PIN.
	Tokens(ctx context.Context) (Tokens, error)

	// Security returns what the security monitor shows beside the SAs.
	Security(ctx context.Context) (Security, error)
	// Policies lists the stored and the predefined policies.
	Policies(ctx context.Context) ([]Policy, error)
	// Policy returns the text of a policy.
	Policy(ctx context.Context, name string) (PolicyFile, error)
	// StorePolicy checks and stores the text of a policy. An assigned policy
	// stays in force as it was until it is assigned again.
	StorePolicy(ctx context.Context, f PolicyFile) (Policy, error)
	// RemovePolicy forgets a policy that is not assigned.
	RemovePolicy(ctx context.Context, name string) error
	// DiffPolicies says, a change a line, how the policy b differs from a.
	DiffPolicies(ctx context.Context, a, b string) ([]string, error)
	// Assign puts a policy in force, or with dryRun only tells what that would
	// change. Nothing is half applied: on error the old one is in force.
	// Caller(ctx) is who assigned it.
	Assign(ctx context.Context, name string, dryRun bool) (AssignResult, error)
	// Unassign ends the assigned policy.
	Unassign(ctx context.Context) error
	// ExplainFlow says what happens to a flow, as "10.1.2.3:443/tcp" or
	// "10.0.0.1 -> 10.1.2.3:443/tcp".
	ExplainFlow(ctx context.Context, flow string) (FlowAnswer, error)
	// Simulate says what a policy would do to a capture.
	Simulate(ctx context.Context, r SimulateRequest) (Simulation, error)
	// AllowClear answers a Question: the traffic of a connection may leave in
	// clear for a while, although it was protected here before.
	AllowClear(ctx context.Context, name string, d time.Duration) error
	// Memories lists the downgrade memory. Pin keeps an entry for good or, when
	// m.Pinned is false, lets it age; Forget drops one. Network, Peer and Rule
	// name the entry.
	Memories(ctx context.Context) ([]Memory, error)
	Pin(ctx context.Context, m Memory) error
	Forget(ctx context.Context, m Memory) error
}

// A ConnectRequest starts a tunnel.
type ConnectRequest struct {
	Name string `json:"name"`
	Wait bool   `json:"wait"` // the deadline is the context's
	// Profile overrides the stored profile for this attempt; empty: as stored.
	Profile Profile `json:"profile,omitempty"`
}

// An ImportRequest hands over file contents. The service never opens a path
// that a caller names: it answers with the names it misses, and the caller
// reads those with its own rights and asks again with all files so far.
type ImportRequest struct {
	// Files[0] is what the user named; the rest answer an earlier Missing.
	Files []File `json:"files"`
	// Asked lists the Missing patterns that the caller has already looked for.
	Asked []string `json:"asked,omitempty"`
	Name  string   `json:"name,omitempty"` // rename; only with one connection
	// Password is the secret that the file lacks (PSK, EAP password, key passphrase).
	// It is wiped when Import returns: a Backend keeps a copy of what it stores.
	Password []byte `json:"password,omitempty"`
	// Replace overwrites connections of the same name. A secret that the files
	// leave out, as an Export does, stays what it was.
	Replace bool `json:"replace,omitempty"`
	// DryRun stores nothing and tells what would be stored.
	DryRun bool `json:"dry_run,omitempty"`
}

// A File is a file's content under the path the importer knows it by.
type File struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// An ImportResult tells what was stored, or which files are still missing.
type ImportResult struct {
	// Missing lists paths or glob patterns, relative to the folder of Files[0]
	// or absolute, that the importer wants to see. Nothing is stored while it
	// is not empty.
	Missing  []string             `json:"missing,omitempty"`
	Format   string               `json:"format,omitempty"` // "sallyport", "swanctl"
	Imported []ImportedConnection `json:"imported,omitempty"`
	// Refused names the connections of the file that were not stored, and why:
	// "swanctl.conf:12: connections.eap.local.auth: EAP is not supported yet".
	Refused []string `json:"refused,omitempty"`
}

// An ImportedConnection is one stored connection and what it does not honour.
type ImportedConnection struct {
	Name     string   `json:"name"`
	Gateway  []string `json:"gateway,omitempty"`
	Auth     string   `json:"auth"`               // "PSK", "certificate (ECDSA P-256)"
	Warnings []string `json:"warnings,omitempty"` // weak algorithms
	Ignored  []string `json:"ignored,omitempty"`  // "swanctl.conf:12: connections.home.mobike: why"
	// Plan tells, setting by setting, what the file asks for and what it becomes.
	Plan []PlanLine `json:"plan,omitempty"`
	// Asks are what the user will be asked for at each connect, since it is not
	// stored.
	Asks []PromptKind `json:"asks,omitempty"`
}

// A PlanLine is one setting of an imported file.
type PlanLine struct {
	Setting string `json:"setting"` // "ike.proposals"
	Wanted  string `json:"wanted"`  // as the file writes it: "aes128-sha1-modp1024"
	Becomes string `json:"becomes"` // what it will be here; empty: it is not honoured
	Weak    bool   `json:"weak,omitempty"`
	Note    string `json:"note,omitempty"` // why
}

// An Export is a connection as a file.
type Export struct {
	Name string `json:"name"` // of the file: "office.toml"
	Text []byte `json:"text"` // a profile of our own format
	// Missing names in words the secrets that are left out.
	Missing []string `json:"missing,omitempty"`
}

// A TestResult is what a test of a connection found.
type TestResult struct {
	// Missing lists files that the service wants to see first, as that of an
	// ImportResult does. Nothing was tried while it is not empty.
	Missing []string   `json:"missing,omitempty"`
	Steps   []TestStep `json:"steps"`             // in the order in which they were taken
	Problem *Error     `json:"problem,omitempty"` // nil: it would connect
	// Connection is the tunnel as it would be.
	Connection *Connection `json:"connection,omitempty"`
	IKE        string      `json:"ike,omitempty"` // what was agreed: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"
	ESP        string      `json:"esp,omitempty"`
}

// A TestStep is one step of a test: "resolve", "reach", "agree",
// "authenticate" and "tunnel".
type TestStep struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"` // "vpn.example.com is 192.0.2.1"
}
