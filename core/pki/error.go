// Package pki decides which certificates are believed, and for whom: paths to
// the profile's own certificate authorities, validity, purpose, name
// constraints, strength, and identity (RFC 5280, RFC 4945, RFC 7296). It also
// reads certificates and private keys from files.
//
// Certificates come from strangers: their number and size are bounded before
// any signature is checked. The time is an argument; nothing reads a clock.
package pki

import (
	"fmt"
	"time"
)

// A Kind says what is wrong with a certificate.
type Kind uint8

// The kinds.
const (
	Malformed         Kind = iota + 1 // cannot be parsed, or there are too many
	UnknownCA                         // no path to a trusted certificate authority
	Expired                           // its time is over
	NotYetValid                       // its time has not come, or our clock is behind
	Identity                          // it does not name the identity claimed, or that is not who we want
	Usage                             // it is not meant for this purpose
	NameConstraints                   // an authority issued it for names beyond its own
	Weak                              // a key or signature is too weak
	Mismatch                          // key and certificate do not belong together
	Revoked                           // its authority has revoked it
	RevocationUnknown                 // whether it was revoked must be known and is not
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Malformed:
		return "malformed"
	case UnknownCA:
		return "unknown CA"
	case Expired:
		return "expired"
	case NotYetValid:
		return "not yet valid"
	case Identity:
		return "identity"
	case Usage:
		return "usage"
	case NameConstraints:
		return "name constraints"
	case Weak:
		return "weak"
	case Mismatch:
		return "key mismatch"
	case Revoked:
		return "revoked"
	case RevocationUnknown:
		return "revocation unknown"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// An Error says why a certificate, chain or key is refused, in parts from
// which a sentence for people can be made.
type Error struct {
	Kind    Kind
	Subject string // of the certificate concerned, readable; empty when there is none
	Issuer  string // who issued it; for UnknownCA, the authority that is missing
	Detail  string // one clause: "expired on 2025-03-01 12:00 UTC, 3 days ago"
	// For Identity: who is wanted (a pattern), and who was found: the
	// identity that the peer claims, or the names that the certificate holds.
	Expected, Found string
	// For Expired and NotYetValid: the end or beginning of its time, and the time
	// of the check. For Revoked: when it was.
	Date, Now time.Time
	// Clock says that it is rather this machine's clock that is wrong: the
	// certificates agree with each other about a time that is not ours.
	Clock bool
	// Allowable says that a key or signature of kind Weak is one that the profile
	// may allow: see Verifier.Weak.
	Allowable bool
	Err       error // the cause, where another package found it
}

// Error joins the parts.
func (e *Error) Error() string {
	s := "pki: "
	if e.Subject != "" {
		s += fmt.Sprintf("certificate %q ", e.Subject)
	}
	s += e.Detail
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
