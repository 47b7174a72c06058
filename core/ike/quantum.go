package ike

import (
	"slices"

	"sallyport/core/transform"
)

// A quantum is what an SA knows of its safety from quantum computers, beside its
// suite.
type quantum struct {
	safe    bool // by what was before: keys of an elder SA that was safe
	offered bool // the peer could have had it
	follows bool // the peer knows of several key exchanges
	refused bool // the peer answered the offer without it alone
}

// offersQuantum reports whether a peer can agree on a quantum-safe key exchange
// with one of the proposals.
func offersQuantum(list []transform.Proposal) bool {
	return slices.ContainsFunc(list, func(p transform.Proposal) bool { return p.QuantumSafe() })
}

// heirQuantum is what an SA knows whose keys come out of those of sa too.
func (sa *SA) heirQuantum() quantum {
	q := sa.quantum
	q.safe = q.safe || sa.keys.suite.QuantumSafe()
	return q
}
