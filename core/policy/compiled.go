package policy

import (
	"net/netip"

	"sallyport/core/ts"
)

// A Compiled is a policy made ready for one machine. It never changes and
// goroutines may share it.
type Compiled struct {
	Policy string // its name
	// Entries are in the order of decision: the first that matches decides. A
	// packet that none matches passes in clear text, as in Windows.
	Entries []Entry
	// Routes are the networks that some traffic to negotiate goes to: they lead
	// into the tunnel device. See RoutesFor.
	Routes []netip.Prefix
	Peers  []Peer
	// Response is the peer entry of the default response rule in Peers, or -1.
	Response int

	boxes     []box // of Entries
	lan       []netip.Prefix
	pins      ts.List
	locals    []netip.Prefix // addresses of this machine
	out       *matcher       // for packets that leave
	in        *matcher       // for packets that arrive
	discovery bool
}
