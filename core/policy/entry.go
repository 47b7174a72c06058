package policy

import (
	"net/netip"
	"time"

	"sallyport/core/ts"
)

// An Action is what a compiled entry does with packets.
type Action uint8

// The actions, the strictest first.
const (
	Block     Action = 0
	Negotiate Action = 1
	Permit    Action = 2
)

// String returns the word of the policy file.
func (a Action) String() string {
	switch a {
	case Block:
		return ActionBlock
	case Negotiate:
		return ActionNegotiate
	case Permit:
		return ActionPermit
	}
	return "invalid action"
}

// A Direction says which packets an entry concerns.
type Direction uint8

// The directions. A mirrored filter gives entries of both.
const (
	Both Direction = 0
	Out  Direction = 1
	In   Direction = 2
)

// String names the direction.
func (d Direction) String() string {
	switch d {
	case Out:
		return "out"
	case In:
		return "in"
	}
	return "both"
}

// An EndpointKind says where a negotiated SA ends.
type EndpointKind uint8

// The kinds of tunnel endpoints.
const (
	EndpointNone       EndpointKind = 0 // nothing is negotiated
	EndpointConnection EndpointKind = 1 // the gateway of a stored connection
	EndpointGateway    EndpointKind = 2 // a gateway given by its address in the rule
	EndpointHost       EndpointKind = 3 // host to host: the destination itself
)

// String names the kind.
func (k EndpointKind) String() string {
	switch k {
	case EndpointConnection:
		return "connection"
	case EndpointGateway:
		return "gateway"
	case EndpointHost:
		return "host to host"
	}
	return "none"
}

// A Kind says where an entry comes from.
type Kind uint8

// The kinds of entries.
const (
	FromRule      Kind = 0
	FromFragments Kind = 1 // of a rule with ports: the fragments that hide theirs
	FromLAN       Kind = 2 // the exemption of the local network
	FromLANDNS    Kind = 3 // no name servers on the local network, though it is exempt
)

// An Entry is one line of the compiled policy: what happens to packets between
// a local and a remote selector. The first entry that matches decides.
type Entry struct {
	// ID names the entry for counters and the downgrade memory. It stays the
	// same as long as rule, filter and selectors do, across compilations and
	// machines.
	ID string
	// Rule is the name of the rule and RuleIndex its place in the policy; -1
	// when Kind is FromLAN or FromLANDNS.
	Rule      string
	RuleIndex int
	// List is the filter list, Filter the place of the filter in it.
	List   string
	Filter int
	Kind   Kind

	Action        Action
	Direction     Direction
	Local, Remote ts.List // one selector each
	// LocalMe says that Local stands for whatever addresses this machine has;
	// in an SA it is the address that the packets come from.
	LocalMe bool

	Endpoint   EndpointKind
	Connection string     // for EndpointConnection
	Gateway    netip.Addr // for EndpointGateway
	// Negotiation holds the settings of Negotiate; entries of one rule share it.
	Negotiation *Negotiation
}

// MustProtect reports whether the packets of e may never pass in clear text.
func (e *Entry) MustProtect() bool {
	switch e.Action {
	case Block:
		return true
	case Negotiate:
		return e.Negotiation.Strict()
	}
	return false
}

// A Negotiation is how the traffic of a rule is secured.
type Negotiation struct {
	Methods             []string // ESP proposals; empty: the built-in list
	AcceptUnsecured     bool
	FallbackToUnsecured bool
	FallbackTime        time.Duration
	RespondOnly         bool // traffic starts nothing; a click does
	SessionKeyPFS       bool
	RekeyTime           time.Duration
	RekeyBytes          uint64 // 0: the cipher's limit
	Peer                int    // index in Compiled.Peers
}

// Strict reports whether packets may never leave in clear text. To accept
// unsecured packets from others does not change that: the answer is secured.
func (n *Negotiation) Strict() bool { return !n.FallbackToUnsecured && !n.RespondOnly }

// A Peer is an entry of the peer authorization database (RFC 4301, section
// 4.4.3): who may authenticate, how, and as whom.
type Peer struct {
	Rule       string // "" for the default response rule
	Connection string // authentication stands in the connection's profile; Auth is empty
	// Addresses are where the peer may be; empty: the connection's gateways.
	Addresses ts.List
	Auth      []AuthMethod // in order of preference
	// Initiate is false when we only answer.
	Initiate bool
	// IKE holds the settings of main mode.
	IKE KeyExchangeSettings
	// ESP holds the proposals for quick mode; empty: the built-in list.
	ESP []string
	// Allowed is the traffic that the peer may secure, from our side: host to
	// host traffic of the rule; nil: that of the connection's children.
	Allowed []Pair
}

// A Pair is traffic between a local and a remote selector.
type Pair struct{ Local, Remote ts.Selector }

// KeyExchangeSettings are KeyExchange with its defaults filled in.
type KeyExchangeSettings struct {
	Methods      []string
	MasterKeyPFS bool
	Lifetime     time.Duration
}
