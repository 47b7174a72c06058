package api

import (
	"context"
	"errors"
)

// An ErrorCode names a failure for programs and translators. Codes are stable;
// the English sentences beside them are not.
type ErrorCode string

// The codes. Each has a cause and a next step in core/explain.
const (
	CodeInternal          ErrorCode = "internal"
	CodeUsage             ErrorCode = "usage"              // the request itself is malformed
	CodeUnreachable       ErrorCode = "unreachable"        // the service does not answer (front ends only)
	CodeNotAllowed        ErrorCode = "not_allowed"        // this caller may not
	CodeNotFound          ErrorCode = "not_found"          // no connection of that name
	CodeExists            ErrorCode = "exists"             // a connection of that name is there already
	CodeBusy              ErrorCode = "busy"               // another operation on it is under way
	CodeProfileInvalid    ErrorCode = "profile_invalid"    // a file is malformed; Position says where
	CodeUnsupported       ErrorCode = "unsupported"        // not available on this system yet, or not offered yet
	CodeNoPrivilege       ErrorCode = "no_privilege"       // the service lacks a system right
	CodeNoTUN             ErrorCode = "no_tun"             // the TUN device cannot be opened
	CodeNetworkSetup      ErrorCode = "network_setup"      // addresses, routes or DNS could not be set
	CodePortInUse         ErrorCode = "port_in_use"        // UDP 500/4500 are taken
	CodeNoNetwork         ErrorCode = "no_network"         // no route to the gateway
	CodeResolve           ErrorCode = "resolve"            // the gateway's name does not resolve
	CodeGatewaySilent     ErrorCode = "gateway_silent"     // no answer before the timeout
	CodeNoTransport       ErrorCode = "no_transport"       // no answer, and no TCP connection either
	CodeNoProposal        ErrorCode = "no_proposal"        // NO_PROPOSAL_CHOSEN
	CodeAuthRefused       ErrorCode = "auth_refused"       // the gateway refused our credentials
	CodePasswordRefused   ErrorCode = "password_refused"   // the gateway refused the user's password or code; Params["user"]
	CodeEAPMethod         ErrorCode = "eap_method"         // the gateway asks the user in a way that we may not or cannot answer
	CodePSKMismatch       ErrorCode = "psk_mismatch"       // the gateway's AUTH does not verify with our PSK
	CodePeerUnknownCA     ErrorCode = "peer_unknown_ca"    // the peer's certificate has no path to a trusted CA
	CodePeerExpired       ErrorCode = "peer_expired"       // ... is expired or not yet valid
	CodePeerIdentity      ErrorCode = "peer_identity"      // ... does not name who we asked for
	CodePeerCertificate   ErrorCode = "peer_certificate"   // ... is unfit for another reason
	CodePeerWeak          ErrorCode = "peer_weak"          // ... has a key or signature that the profile could allow, and does not
	CodePeerRevoked       ErrorCode = "peer_revoked"       // ... was revoked by its authority
	CodeRevocationUnknown ErrorCode = "revocation_unknown" // whether it was revoked is not known, and must be
	CodePeerAuth          ErrorCode = "peer_auth"          // the peer's proof of identity fails
	CodeLocalCredential   ErrorCode = "local_credential"   // our own certificate, key or secret is missing or unfit
	CodeTokenMissing      ErrorCode = "token_missing"      // the smart card or token is not there
	CodeTokenRemoved      ErrorCode = "token_removed"      // ... was removed while it was needed
	CodeTokenObject       ErrorCode = "token_object"       // ... has no such certificate or key, or several
	CodeTokenModule       ErrorCode = "token_module"       // the PKCS #11 module is missing, breaks down or does not answer
	CodePINWrong          ErrorCode = "pin_wrong"          // the token refused the PIN; Params["tries"] as Prompt.Tries
	CodePINLocked         ErrorCode = "pin_locked"         // the token takes no PIN any more
	CodeTSUnacceptable    ErrorCode = "ts_unacceptable"    // TS_UNACCEPTABLE
	CodeNoAddress         ErrorCode = "no_address"         // INTERNAL_ADDRESS_FAILURE
	CodePeerRefused       ErrorCode = "peer_refused"       // another error notify; Params["notify"]
	CodePeerClosed        ErrorCode = "peer_closed"        // the peer deleted the IKE SA
	CodePeerDead          ErrorCode = "peer_dead"          // an established peer stopped answering
	CodeProtocol          ErrorCode = "protocol"           // the peer broke the protocol
	CodeFirewall          ErrorCode = "firewall"           // the packet filter could not be set, and the profile requires it
	CodePolicyInvalid     ErrorCode = "policy_invalid"     // a policy is malformed or contradicts itself; Position says where
	CodeDowngrade         ErrorCode = "downgrade"          // it was protected here before, and now cannot be
	CodeCancelled         ErrorCode = "cancelled"          // the user or the caller gave up
	CodeTimeout           ErrorCode = "timeout"            // not done within the caller's time
)

// An Error is an explained failure: what happened, why, and what to do next.
// Code and Params are for translators and scripts, the sentences for people.
type Error struct {
	Code     ErrorCode         `json:"code"`
	What     string            `json:"what"` // "Could not connect to \"office\"."
	Why      string            `json:"why,omitempty"`
	Next     string            `json:"next,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	Position *Position         `json:"position,omitempty"`
}

// A Position points into a file that the user wrote.
type Position struct {
	File  string `json:"file"`
	Line  int    `json:"line,omitempty"` // 1-based; 0 when unknown
	Field string `json:"field,omitempty"`
}

// Error joins the sentences.
func (e *Error) Error() string {
	s := e.What
	for _, t := range []string{e.Why, e.Next} {
		if t != "" {
			s += " " + t
		}
	}
	return s
}

// AsError returns the explained failure within err, or explains it as well as
// its kind allows; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeTimeout, What: "It was not done in time."}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCancelled, What: "It was cancelled."}
	}
	return &Error{Code: CodeInternal, What: "Something went wrong inside Sallyport.", Why: err.Error(),
		Next: "Please report it, with the output of `sallyport log`."}
}
