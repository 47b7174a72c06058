package policy

import (
	"net/netip"

	"sallyport/core/api"
	"sallyport/core/profile"
	"sallyport/core/ts"
)

// An Env is what Compile and Validate know of the machine. They only read it.
type Env struct {
	Connections  []Connection // the stored connections
	Certificates []string     // names in the certificate store
	Secrets      []string     // names in the secret store
	Interfaces   []Interface  // of the machine, without our tunnel device
	Resolvers    []netip.Addr // name servers that the machine asks outside of every tunnel
}

// An Interface is one interface of the machine.
type Interface struct {
	Name     string
	Kind     InterfaceKind
	Prefixes []netip.Prefix // its addresses with their prefix lengths
}

// An InterfaceKind says what connection type an interface belongs to.
type InterfaceKind string

// The kinds of interfaces.
const (
	KindLAN      InterfaceKind = "lan"    // Ethernet, wireless LAN
	KindRemote   InterfaceKind = "remote" // dialled, cellular, tunnels of others
	KindLoopback InterfaceKind = "loopback"
)

// A Connection is what policies need to know of a stored connection.
type Connection struct {
	Name      string
	Responder bool
	Profile   api.Profile
	// Gateways are what the connection calls its gateways, without ports;
	// Endpoints are the addresses known of them, with the ports of IKE.
	Gateways  []string
	Endpoints []netip.AddrPort
	Children  []Child
	Pools     []ts.Selector // of a responder: addresses handed out to peers
}

// A Child is the traffic of one Child SA.
type Child struct {
	Name          string
	Local, Remote ts.List
	// LocalDynamic are selectors of our own address, RemoteDynamic of the
	// peer's, with protocol and ports and without From and To.
	LocalDynamic, RemoteDynamic ts.List
}

// FromProfile returns what policies need of a stored connection. Its Endpoints
// hold those gateways that are addresses; the caller adds what it resolved.
func FromProfile(c *profile.Connection) (Connection, error) { return fromProfile(c) }

// ForConnection returns the policy of a profile for one connection: its rule
// matches the connection's protected networks, and its tunnel endpoint is the
// connection.
func ForConnection(c Connection, p api.Profile) (*Policy, error) { return forConnection(c, p) }
