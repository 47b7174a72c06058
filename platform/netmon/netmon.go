// Package netmon tells when addresses, links or routes of the machine change,
// and which address it would use to reach a peer.
package netmon

import "sallyport/core/host"

// A Config says what a Monitor leaves out.
type Config struct {
	// Mark is that of the sockets whose routes Source asks for; 0: none.
	Mark uint32
	// Table is the routing table that is ours: changes there are no news; 0: none.
	Table int
}

var _ host.NetMonitor = (*Monitor)(nil)
