// Package api is the contract between the service and every front end: the
// states, events, requests and error codes that cross IPC. It imports only the
// standard library, and nothing secret ever has a field here.
package api

import (
	"net/netip"
	"time"
)

// A TunnelState is what the user sees of a connection as a whole.
//
//	Disconnected → Connecting → Connected ⇄ Reconnecting
//	      ↑            │            │            │
//	      └────── Disconnecting ←───┴────────────┘
//	                   Blocked: not protected, and the profile forbids clear text
type TunnelState string

// The states of a tunnel.
const (
	Disconnected  TunnelState = "disconnected"
	Connecting    TunnelState = "connecting"
	Connected     TunnelState = "connected"
	Reconnecting  TunnelState = "reconnecting"
	Disconnecting TunnelState = "disconnecting"
	Blocked       TunnelState = "blocked"
	// Listening is the state of a responder connection that waits for peers.
	Listening TunnelState = "listening"
)

// A Profile says what may travel unprotected, in the words of the Windows
// IPsec policies.
type Profile string

// The three profiles.
const (
	Respond Profile = "respond" // Client (respond only): secure when asked
	Request Profile = "request" // Server (request security): secure when possible
	Require Profile = "require" // Secure Server (require security): secure or nothing
)

// A State is the whole truth of the service at one moment: what a front end
// draws after connecting, before it follows events.
type State struct {
	Service     Service      `json:"service"`
	Connections []Connection `json:"connections"` // sorted by name
	Assignment  *Assignment  `json:"assignment,omitempty"`
	Prompts     []Prompt     `json:"prompts,omitempty"` // that wait for an answer, oldest first
	Seq         uint64       `json:"seq"`               // the last event folded into this state
}

// A Service describes the running service process.
type Service struct {
	Version    string    `json:"version"`
	APIVersion int       `json:"api_version"`
	Started    time.Time `json:"started"`
	Ports      []string  `json:"ports,omitempty"` // local ports that IKE uses: "udp/4500", "tcp/443"
	// TokenModules names the PKCS #11 modules; none: it sees no smart cards.
	TokenModules []string `json:"token_modules,omitempty"`
	// Warnings are conditions of the whole service that a user should know.
	Warnings []string `json:"warnings,omitempty"`
}

// APIVersion is raised when a change would break an older front end.
const APIVersion = 1

// A Connection is one stored connection profile together with the state of
// its tunnel.
type Connection struct {
	Name     string      `json:"name"`
	Role     string      `json:"role"` // "initiator" or "responder"
	Gateway  []string    `json:"gateway,omitempty"`
	Profile  Profile     `json:"profile"`
	State    TunnelState `json:"state"`
	Since    time.Time   `json:"since"`
	Problem  *Error      `json:"problem,omitempty"`  // why it is not connected, or the profile file's fault
	Warnings []string    `json:"warnings,omitempty"` // weak algorithms, settings not honoured
	// Rule names the rule of the assigned policy that made this connection, of
	// this machine with one peer, without a profile of its own.
	Rule string `json:"rule,omitempty"`
	// Protection says what becomes of the traffic of the protected networks;
	// empty when nothing asks for their protection.
	Protection Protection `json:"protection,omitempty"`
	ClearUntil time.Time  `json:"clear_until,omitzero"` // the fallback to clear text lasts until then
	// Question is set when the user must decide whether traffic may leave in
	// clear although it was protected here before.
	Question string `json:"question,omitempty"`

	// Set while the tunnel is up.
	Path      string         `json:"path,omitempty"` // "192.0.2.7:4500 → 198.51.100.1:4500"
	Transport *Transport     `json:"transport,omitempty"`
	PeerID    string         `json:"peer_id,omitempty"`
	Addresses []netip.Addr   `json:"addresses,omitempty"` // virtual addresses
	DNS       []netip.Addr   `json:"dns,omitempty"`
	Domains   []string       `json:"domains,omitempty"` // that alone are asked of DNS; none: all names
	Routes    []netip.Prefix `json:"routes,omitempty"`  // protected networks
	Counters  Counters       `json:"counters"`
	SAs       int            `json:"sas,omitempty"` // Child SAs that carry traffic
	// QuantumSafe says that who records the traffic today cannot read it with a
	// quantum computer later; QuantumWhy says why it is not so.
	QuantumSafe bool       `json:"quantum_safe,omitempty"`
	QuantumWhy  QuantumWhy `json:"quantum_why,omitempty"`
	// PathMTU says how large the packets of the tunnel may be on their way; nil:
	// they have none, as over TCP, or it is not looked into.
	PathMTU *PathMTU `json:"path_mtu,omitempty"`
}

// A PathMTU is how many bytes an IP packet outside of the tunnel may have.
type PathMTU struct {
	Bytes int      `json:"bytes"`
	Known MTUKnown `json:"known"`
}

// An MTUKnown says how a PathMTU is known.
type MTUKnown string

// The values of MTUKnown.
const (
	MTUAssumed  MTUKnown = "assumed"  // nothing has been heard of the path
	MTUReported MTUKnown = "reported" // a router, or this machine's own link, says so
	MTUProved   MTUKnown = "proved"   // the peer has answered a packet of that size
)

// A QuantumWhy says why a tunnel is not safe from quantum computers.
type QuantumWhy string

// The values of QuantumWhy.
const (
	QuantumNotOffered   QuantumWhy = "not_offered"   // this client does not offer an exchange that is
	QuantumNotSupported QuantumWhy = "not_supported" // the gateway did not take up the offer
	QuantumRefused      QuantumWhy = "refused"       // the gateway answered only when it was asked without
)

// Counters count inner packets and bytes.
type Counters struct {
	InPackets  uint64 `json:"in_packets"`
	InBytes    uint64 `json:"in_bytes"`
	OutPackets uint64 `json:"out_packets"`
	OutBytes   uint64 `json:"out_bytes"`
}

// Dynamic is what "show dynamic" prints: the security associations as they
// stand (in the UI: main mode and quick mode SAs).
type Dynamic struct {
	IKESAs   []IKESA           `json:"ike_sas"`
	ChildSAs []ChildSA         `json:"child_sas"`
	Drops    map[string]uint64 `json:"drops"` // packets dropped, by named reason
}

// An IKESA is one IKE SA (main mode SA).
type IKESA struct {
	Connection  string    `json:"connection"`
	Initiator   bool      `json:"initiator"` // of the IKE SA
	State       string    `json:"state"`
	LocalSPI    string    `json:"local_spi"` // 16 hex digits
	RemoteSPI   string    `json:"remote_spi"`
	Local       string    `json:"local"` // address and port
	Remote      string    `json:"remote"`
	LocalID     string    `json:"local_id"`
	RemoteID    string    `json:"remote_id"`
	Proposal    string    `json:"proposal"` // "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"
	LocalAuth   string    `json:"local_auth"`
	RemoteAuth  string    `json:"remote_auth"`
	NATLocal    bool      `json:"nat_local"`
	NATRemote   bool      `json:"nat_remote"`
	Established time.Time `json:"established"`
	RekeyAt     time.Time `json:"rekey_at,omitzero"`
	Rekeys      int       `json:"rekeys"` // how often this SA's line has been rekeyed
	// ReauthAt is when both ends have to prove who they are again; zero: never.
	ReauthAt time.Time `json:"reauth_at,omitzero"`
	// Resumed says that a ticket brought the SA back, without a proof of anybody's
	// identity: the proofs named here are from before.
	Resumed bool `json:"resumed,omitzero"`
	// Mobile says that both ends speak MOBIKE: the SA outlives a change of network.
	// Moves counts those of its line.
	Mobile bool `json:"mobile,omitzero"`
	Moves  int  `json:"moves,omitzero"`
}

// A ChildSA is one pair of ESP SAs (quick mode SA).
type ChildSA struct {
	Connection  string    `json:"connection"`
	Child       string    `json:"child"`
	Resource    int       `json:"resource,omitempty"` // that it is for, beside others of the child (RFC 9611)
	State       string    `json:"state"`              // "installed", "rekeyed" (old, inbound only)
	InSPI       string    `json:"in_spi"`             // 8 hex digits
	OutSPI      string    `json:"out_spi"`
	Proposal    string    `json:"proposal"`
	LocalTS     []string  `json:"local_ts"`
	RemoteTS    []string  `json:"remote_ts"`
	Established time.Time `json:"established"`
	RekeyAt     time.Time `json:"rekey_at,omitzero"`
	Counters    Counters  `json:"counters"`
}
