// Package policy holds the IPsec policies that an admin edits, in the words of
// the Windows IPsec policies: a policy is rules, a rule joins a filter list, a
// filter action, authentication methods, a tunnel endpoint and a connection
// type. Policies are compiled for a machine (Compile), judged before that
// (Validate), proved (Prove), explained and simulated. The package does no I/O.
package policy

import (
	"slices"

	"sallyport/core/api"
	"sallyport/core/config"
)

// SchemaVersion is the version of the file format that this code reads and
// writes.
const SchemaVersion = 1

// A Policy is one policy file. One policy is assigned at a time; it does
// nothing until then. Make one with New, a preset or Parse: the zero values of
// some fields are not their defaults.
type Policy struct {
	Version     int    `toml:"version"`
	Name        string `toml:"name"`
	Description string `toml:"description,omitempty"`

	KeyExchange     KeyExchange     `toml:"key_exchange,omitempty"`
	DefaultResponse DefaultResponse `toml:"default_response,omitempty"`
	Downgrade       Downgrade       `toml:"downgrade,omitempty"`
	Exemptions      Exemptions      `toml:"exemptions,omitempty"`

	FilterLists   []FilterList   `toml:"filter_lists,omitempty"`
	FilterActions []FilterAction `toml:"filter_actions,omitempty"`
	Rules         []Rule         `toml:"rules,omitempty"`

	source *config.Tree // the lines of the file it was read from; nil: none
}

// A Rule says what happens to the traffic of a filter list.
type Rule struct {
	Name         string `toml:"name"`
	FilterList   string `toml:"filter_list"`   // by name: of the policy, or a stock list
	FilterAction string `toml:"filter_action"` // by name: of the policy, or a stock action
	// Tunnel is the endpoint of the tunnel: a connection by name, the address
	// of a gateway, or empty: host to host, the peer is the destination.
	Tunnel         string       `toml:"tunnel,omitempty"`
	ConnectionType string       `toml:"connection_type,omitempty"` // TypeAll, TypeLAN or TypeRemote
	Enabled        bool         `toml:"enabled"`                   // default true
	Auth           []AuthMethod `toml:"auth,omitempty"`            // in order of preference
}

// The connection types.
const (
	TypeAll    = "all" // also when empty
	TypeLAN    = "lan"
	TypeRemote = "remote" // remote access: dialled, cellular, tunnels of others
)

// SetDefaults makes r what an empty table stands for.
func (r *Rule) SetDefaults() { r.Enabled = true }

// A FilterList is a named list of filters.
type FilterList struct {
	Name        string   `toml:"name"`
	Description string   `toml:"description,omitempty"`
	Filters     []Filter `toml:"filters"`
}

// A Filter matches packets.
type Filter struct {
	// Source and Destination are an address, a prefix, a range "a-b", or one of
	// the words WordAny, WordMe, WordGateway.
	Source      string `toml:"source"`
	Destination string `toml:"destination"`
	// Protocol is a name ("tcp", "udp", "icmp" ...) or number; empty or "any": every one.
	// "icmp" is the ICMP of the address family.
	Protocol string `toml:"protocol,omitempty"`
	// Ports are a number, a name or a range "1024-65535"; empty or "any": every one.
	SourcePort      string `toml:"source_port,omitempty"`
	DestinationPort string `toml:"destination_port,omitempty"`
	// Mirrored also matches packets with source and destination exchanged: the
	// answers. Default true.
	Mirrored bool `toml:"mirrored"`
}

// The words for addresses.
const (
	WordAny     = "any"     // every address of both families
	WordMe      = "me"      // this machine, whatever its addresses are
	WordGateway = "gateway" // the tunnel endpoint of the rule
)

// SetDefaults makes f what an empty table stands for.
func (f *Filter) SetDefaults() { f.Mirrored = true }

// A FilterAction says what happens to matching traffic.
type FilterAction struct {
	Name        string `toml:"name"`
	Description string `toml:"description,omitempty"`
	Action      string `toml:"action"` // ActionPermit, ActionBlock or ActionNegotiate

	// The rest is for ActionNegotiate alone.

	// Methods are ESP proposals in order of preference; empty: the built-in list.
	Methods []string `toml:"methods,omitempty"`
	// AcceptUnsecured accepts unsecured communication, but always responds
	// using IPsec.
	AcceptUnsecured bool `toml:"accept_unsecured,omitempty"`
	// FallbackToUnsecured allows clear text with a peer that cannot or will not
	// negotiate, for FallbackTime at a time (default 5 minutes).
	FallbackToUnsecured bool            `toml:"fallback_to_unsecured,omitempty"`
	FallbackTime        config.Duration `toml:"fallback_time,omitempty"`
	// RespondOnly never starts a negotiation because of traffic.
	RespondOnly    bool   `toml:"respond_only,omitempty"`
	SessionKeyPFS  bool   `toml:"session_key_pfs,omitempty"`
	RekeySeconds   uint64 `toml:"rekey_seconds,omitempty"`   // default 3600
	RekeyKilobytes uint64 `toml:"rekey_kilobytes,omitempty"` // 0: the cipher's limit
}

// The actions.
const (
	ActionPermit    = "permit"
	ActionBlock     = "block"
	ActionNegotiate = "negotiate"
)

// An AuthMethod is one way to authenticate, for both ends.
type AuthMethod struct {
	Method string `toml:"method"` // MethodCertificate, MethodPSK or MethodEAP
	// User is who a peer that asks with EAP knows us as; the peer proves itself
	// with a certificate before that.
	User string `toml:"user,omitempty"`
	// EAPMethods are the methods of EAP allowed, the preferred first; empty: all
	// that there are the means for.
	EAPMethods []string `toml:"eap_methods,omitempty"`
	// CAs name the certificate authorities that the peer's certificate must lead to.
	CAs []string `toml:"cas,omitempty"`
	// Certificates name our own certificate, then intermediates; Key its private
	// key in the secret store. With EAP they are the user's, for EAP-TLS.
	Certificates []string `toml:"certificates,omitempty"`
	Key          string   `toml:"key,omitempty"`
	Secret       string   `toml:"secret,omitempty"` // of the PSK or EAP password in the secret store
	LocalID      string   `toml:"local_id,omitempty"`
	RemoteID     string   `toml:"remote_id,omitempty"` // who the peer must be, or a pattern of it
}

// The authentication methods.
const (
	MethodCertificate = "certificate"
	MethodPSK         = "psk"
	MethodEAP         = "eap"
)

// KeyExchange holds the settings of main mode: the IKE SA.
type KeyExchange struct {
	Methods      []string        `toml:"methods,omitempty"`        // IKE proposals; empty: the built-in list
	MasterKeyPFS bool            `toml:"master_key_pfs,omitempty"` // a new IKE SA for each quick mode SA
	Lifetime     config.Duration `toml:"lifetime,omitempty"`       // default 8h
}

// A DefaultResponse answers peers for whose traffic no rule negotiates.
type DefaultResponse struct {
	Enabled bool         `toml:"enabled,omitempty"`
	Methods []string     `toml:"methods,omitempty"` // ESP proposals; empty: the built-in list
	Auth    []AuthMethod `toml:"auth,omitempty"`
}

// Downgrade is the memory of where protection has worked: there a later
// failure blocks and asks, instead of falling back to clear text.
type Downgrade struct {
	TTL config.Duration `toml:"ttl,omitempty"` // default 30 days
	// Pins are addresses, prefixes or ranges of peers that are treated as if
	// protection had worked already.
	Pins []string `toml:"pins,omitempty"`
}

// Exemptions are what passes in clear text although a rule wants it protected
// or blocked. IKE and ESP of the service itself, DHCP, neighbour discovery and
// loopback always do.
type Exemptions struct {
	// LAN are the networks of the machine's LAN interfaces, as far as their
	// addresses are private or link-local, and but for name servers there. A
	// rule that names private addresses is meant for those, and wins.
	LAN bool `toml:"lan,omitempty"`
	// LANDiscovery adds multicast DNS, LLMNR and SSDP.
	LANDiscovery bool `toml:"lan_discovery,omitempty"`
}

// New returns an empty policy.
func New(name string) *Policy { return &Policy{Version: SchemaVersion, Name: name} }

// Duplicate returns a copy of p under another name.
func (p *Policy) Duplicate(name string) *Policy {
	c := *p
	c.Name, c.source = name, nil
	c.KeyExchange.Methods = slices.Clone(p.KeyExchange.Methods)
	c.DefaultResponse.Methods = slices.Clone(p.DefaultResponse.Methods)
	c.DefaultResponse.Auth = cloneAuth(p.DefaultResponse.Auth)
	c.Downgrade.Pins = slices.Clone(p.Downgrade.Pins)
	c.FilterLists = slices.Clone(p.FilterLists)
	for i := range c.FilterLists {
		c.FilterLists[i].Filters = slices.Clone(p.FilterLists[i].Filters)
	}
	c.FilterActions = slices.Clone(p.FilterActions)
	for i := range c.FilterActions {
		c.FilterActions[i].Methods = slices.Clone(p.FilterActions[i].Methods)
	}
	c.Rules = slices.Clone(p.Rules)
	for i := range c.Rules {
		c.Rules[i].Auth = cloneAuth(p.Rules[i].Auth)
	}
	return &c
}

func cloneAuth(l []AuthMethod) []AuthMethod {
	l = slices.Clone(l)
	for i := range l {
		l[i].CAs = slices.Clone(l[i].CAs)
		l[i].Certificates = slices.Clone(l[i].Certificates)
		l[i].EAPMethods = slices.Clone(l[i].EAPMethods)
	}
	return l
}

// List returns the filter list of that name, of the policy or a stock one.
func (p *Policy) List(name string) (FilterList, bool) {
	for _, l := range p.FilterLists {
		if l.Name == name {
			return l, true
		}
	}
	for _, l := range StockFilterLists() {
		if l.Name == name {
			return l, true
		}
	}
	return FilterList{}, false
}

// Action returns the filter action of that name, of the policy or a stock one.
func (p *Policy) Action(name string) (FilterAction, bool) {
	for _, a := range p.FilterActions {
		if a.Name == name {
			return a, true
		}
	}
	for _, a := range StockFilterActions() {
		if a.Name == name {
			return a, true
		}
	}
	return FilterAction{}, false
}

// DowngradeTTL returns the time to live of the downgrade memory.
func (p *Policy) DowngradeTTL() config.Duration {
	if p.Downgrade.TTL.Duration == 0 {
		return config.Duration{Duration: defaultDowngradeTTL}
	}
	return p.Downgrade.TTL
}

// PresetName returns the Windows name of a profile.
func PresetName(p api.Profile) string {
	switch p {
	case api.Respond:
		return "Client (respond only)"
	case api.Request:
		return "Server (request security)"
	case api.Require:
		return "Secure Server (require security)"
	}
	return string(p)
}
