package ike

import (
	"crypto/x509"
	"fmt"

	"sallyport/core/ike/message"
)

// A FailureCode names why an IKE SA, or the negotiation of a Child SA, ended.
type FailureCode int

// The codes.
const (
	FailInternal        FailureCode = iota + 1 // our own fault, or the random source's
	FailSilent                                 // nobody answered before the timeout
	FailNoProposal                             // no common algorithms: the peer's NO_PROPOSAL_CHOSEN, or its offer does not suit us
	FailAuthRefused                            // the peer refused our credentials: AUTHENTICATION_FAILED, or in EAP (Err may wrap *eap.RefusedError)
	FailEAPMethod                              // the gateway asks for an EAP method that we may not or cannot use
	FailPSKMismatch                            // the peer's AUTH does not verify with our PSK
	FailPeerCertificate                        // the peer's certificate is not accepted; Err wraps *pki.Error
	FailPeerIdentity                           // the peer is not whom we asked for
	FailPeerAuth                               // the peer's proof of identity fails in another way
	FailLocalCredential                        // our own certificate, key or secret is missing or unfit
	FailTSUnacceptable                         // no common traffic selectors
	FailNoAddress                              // the peer has no inner address for us
	FailPeerRefused                            // the peer sent another error notify; Notify says which
	FailPeerClosed                             // the peer deleted the SA
	FailPeerDead                               // an established peer stopped answering
	FailProtocol                               // the peer broke the protocol
	FailExpired                                // the hard lifetime ended before a rekey came through
	FailReplaced                               // the same peer came again (INITIAL_CONTACT, Config.Unique)
	FailRedirected                             // the peer sends us to another gateway; Err is a *Redirect
)

var failureNames = map[FailureCode]string{
	FailInternal:        "internal error",
	FailSilent:          "no answer",
	FailNoProposal:      "no common proposal",
	FailAuthRefused:     "peer refused our credentials",
	FailEAPMethod:       "no common EAP method",
	FailPSKMismatch:     "pre-shared key mismatch",
	FailPeerCertificate: "peer's certificate not accepted",
	FailPeerIdentity:    "peer's identity not accepted",
	FailPeerAuth:        "peer's proof of identity fails",
	FailLocalCredential: "own credential unfit",
	FailTSUnacceptable:  "no common traffic selectors",
	FailNoAddress:       "no inner address",
	FailPeerRefused:     "peer refused",
	FailPeerClosed:      "closed by the peer",
	FailPeerDead:        "peer is dead",
	FailProtocol:        "protocol error",
	FailExpired:         "lifetime over",
	FailReplaced:        "replaced by a newer SA of the same peer",
	FailRedirected:      "redirected",
}

func (c FailureCode) String() string {
	if s, ok := failureNames[c]; ok {
		return s
	}
	return fmt.Sprintf("failure %d", int(c))
}

// A Failure is why an IKE SA or the negotiation of a Child SA ended.
type Failure struct {
	Code   FailureCode
	Notify message.NotifyType // the error notify that the peer sent; 0: none
	// Unauthenticated says that the answer which told so could have been forged
	// on the way; nothing better came before the time was over.
	Unauthenticated bool
	Err             error // the detail, may be nil; wraps *pki.Error for FailPeerCertificate
}

// Error describes the failure for a log.
func (f *Failure) Error() string {
	s := f.Code.String()
	if f.Notify != 0 {
		s += fmt.Sprintf(" (%v)", f.Notify)
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return "ike: " + s
}

// Unwrap returns the detail.
func (f *Failure) Unwrap() error { return f.Err }

// An UnknownPeer is why a peer's certificate is not accepted, when all that it
// lacks is an authority: it bears the identity asked for, is in its time and
// meant for this purpose, and the peer has proved with the AUTH payload that it
// holds the key. See PeerAuth.TellUnknown.
type UnknownPeer struct {
	Certificate *x509.Certificate
	Err         error // wraps *pki.Error of kind pki.UnknownCA
}

// Error says what is missing.
func (e *UnknownPeer) Error() string { return e.Err.Error() }

// Unwrap returns the refusal.
func (e *UnknownPeer) Unwrap() error { return e.Err }

// A notifyError is an error that the peer is told with a Notify payload, and
// the failure that it is on our side.
type notifyError struct {
	notify message.NotifyType
	data   []byte
	code   FailureCode
	err    error
}

func (e *notifyError) Error() string {
	if e.err == nil {
		return e.notify.String()
	}
	return e.notify.String() + ": " + e.err.Error()
}

func (e *notifyError) Unwrap() error { return e.err }

// failure returns e as the reason of an end.
func (e *notifyError) failure() *Failure { return &Failure{Code: e.code, Err: e.err} }
