// Package explain turns a failure into what a person needs: what happened, why,
// and what to do next, with a stable code for programs and translators. The
// parameter "server_hint" is a line that a user can copy to the person who runs
// the gateway. No secret ever enters an explanation.
package explain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/pki"
	"sallyport/core/profile"
)

// A Context says what the failure befell.
type Context struct {
	Connection string
	Gateway    []string
	Profile    api.Profile
}

// A CredentialError says that our own certificate, key or secret for a
// connection is missing or unfit.
type CredentialError struct {
	Field string // of the profile
	Err   error
}

func (e *CredentialError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }

// A ResolveError says that no name of the gateway has an address.
type ResolveError struct{ Err error }

func (e *ResolveError) Error() string { return "resolve: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ResolveError) Unwrap() error { return e.Err }

// A RouteError says that the machine has no way to the gateway.
type RouteError struct {
	Remote string // the gateway's address
	Err    error
}

func (e *RouteError) Error() string { return fmt.Sprintf("no route to %s: %v", e.Remote, e.Err) }

// Unwrap returns the cause.
func (e *RouteError) Unwrap() error { return e.Err }

// A HostError says that the machine refused addresses, routes or DNS.
type HostError struct{ Err error }

func (e *HostError) Error() string { return "set addresses, routes and DNS: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

// Explain explains err, which is not nil. An *api.Error in its chain is
// returned as it is.
func Explain(err error, c Context) *api.Error {
	var done *api.Error
	if errors.As(err, &done) {
		return done
	}
	e := &api.Error{What: c.what(), Params: map[string]string{}}
	for _, try := range []func(error, Context, *api.Error) bool{byProfile, byCredential, byHost, byIKE, byContext} {
		if try(err, c, e) {
			break
		}
	}
	if e.Code == "" {
		e.Code = api.CodeInternal
		e.Why = sentence(err.Error())
		e.Next = "This is a fault of Sallyport. Please report it with the output of \"sallyport log\"."
	}
	if c.Connection != "" {
		e.Params["connection"] = c.Connection
	}
	if len(c.Gateway) > 0 {
		e.Params["gateway"] = strings.Join(c.Gateway, ", ")
	}
	if len(e.Params) == 0 {
		e.Params = nil
	}
	return e
}

// what begins every explanation of a connection's failure.
func (c Context) what() string {
	if c.Connection == "" {
		return "That did not work."
	}
	if len(c.Gateway) == 0 {
		return fmt.Sprintf("Connection %q does not work.", c.Connection)
	}
	return fmt.Sprintf("Connection %q to %s does not work.", c.Connection, strings.Join(c.Gateway, ", "))
}

// sentence makes an error's text a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

// byProfile explains faults of files, names and requests.
func byProfile(err error, c Context, e *api.Error) bool {
	switch {
	case errors.Is(err, profile.ErrNotFound):
		e.Code = api.CodeNotFound
		e.What = fmt.Sprintf("There is no connection called %q.", c.Connection)
		e.Next = "\"sallyport list\" shows the connections; \"sallyport import FILE\" adds one."
		return true
	case errors.Is(err, profile.ErrExists):
		e.Code = api.CodeExists
		e.What = sentence(err.Error())
		e.Next = "Remove it first, import under another name (--name), or replace it (--replace)."
		return true
	case errors.Is(err, profile.ErrRequest):
		e.Code = api.CodeUsage
		e.What = sentence(err.Error())
		return true
	}
	faults := profile.AllErrors(err)
	if len(faults) == 0 {
		return false
	}
	first := faults[0]
	e.Code = api.CodeProfileInvalid
	if first.Unsupported {
		e.Code = api.CodeUnsupported
	}
	e.What = fmt.Sprintf("%s cannot be used.", orText(first.File, "The profile"))
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.Error())
	}
	e.Why = strings.Join(lines, "\n")
	e.Next = "Correct the file and try again; nothing was changed."
	e.Position = &api.Position{File: first.File, Line: first.Line, Field: first.Field}
	return true
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// byCredential explains what is wrong with what we prove ourselves with.
func byCredential(err error, _ Context, e *api.Error) bool {
	var ce *CredentialError
	if !errors.As(err, &ce) {
		return false
	}
	e.Code = api.CodeLocalCredential
	e.Why = sentence("our own credential cannot be used: " + ce.Error())
	e.Next = "Import the connection again with its certificate, key or password."
	e.Params["field"] = ce.Field
	return true
}

// byHost explains what the machine refused.
func byHost(err error, _ Context, e *api.Error) bool {
	var resolve *ResolveError
	var route *RouteError
	var setup *HostError
	switch {
	case errors.Is(err, host.ErrNoTUN):
		e.Code = api.CodeNoTUN
		e.Why = "This machine has no TUN device: " + err.Error() + "."
		e.Next = "On Linux: \"sudo modprobe tun\", and in a container pass /dev/net/tun through. Then try again."
	case errors.Is(err, host.ErrPrivilege):
		e.Code = api.CodeNoPrivilege
		e.Why = "The service lacks a right that it needs: " + err.Error() + "."
		e.Next = "Run the service as root: \"sudo systemctl start sallyportd\", or \"sudo sallyportd run\"."
	case errors.Is(err, host.ErrPortInUse):
		e.Code = api.CodePortInUse
		e.Why = "Another program has UDP port 500 or 4500: " + err.Error() + "."
		e.Next = "Find it with \"sudo ss -ulpn\" (often strongswan or libreswan) and stop it, then try again."
	case errors.Is(err, host.ErrUnsupported):
		e.Code = api.CodeUnsupported
		e.Why = sentence(err.Error())
		e.Next = "docs/platforms.md lists what works on which system."
	case errors.As(err, &resolve):
		e.Code = api.CodeResolve
		e.Why = sentence("the gateway's name has no address: " + resolve.Err.Error())
		e.Next = "Check the spelling of the gateway and this machine's network and DNS."
	case errors.As(err, &route):
		e.Code = api.CodeNoNetwork
		e.Why = sentence(route.Error())
		e.Next = "Check that this machine is connected to a network, then try again."
		e.Params["address"] = route.Remote
	case errors.As(err, &setup):
		e.Code = api.CodeNetworkSetup
		e.Why = sentence(setup.Error())
		e.Next = "Everything was put back. \"sallyport log\" has the details."
	default:
		return false
	}
	return true
}

// byContext explains a wait that ended.
func byContext(err error, _ Context, e *api.Error) bool {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Why, e.Next = api.CodeTimeout, "It took longer than the time given.", "Try again, or give it more time with --wait."
	case errors.Is(err, context.Canceled):
		e.Code, e.Why = api.CodeCancelled, "It was cancelled."
	default:
		return false
	}
	return true
}

// byIKE explains what the IKE engine reports.
func byIKE(err error, c Context, e *api.Error) bool {
	var f *ike.Failure
	if !errors.As(err, &f) {
		var pe *pki.Error
		if errors.As(err, &pe) {
			byCertificate(pe, c, e)
			return true
		}
		return false
	}
	if f.Notify != 0 {
		e.Params["notify"] = f.Notify.String()
	}
	var pe *pki.Error
	if errors.As(err, &pe) {
		byCertificate(pe, c, e)
		return true
	}
	x, ok := failures[f.Code]
	if !ok {
		return false
	}
	e.Code, e.Why, e.Next = x.code, x.why, x.next
	if x.server != "" {
		e.Params["server_hint"] = x.server
	}
	if f.Code == ike.FailSilent && f.Notify != 0 {
		e.Why += fmt.Sprintf(" An answer that anyone could have forged said %v.", f.Notify)
	}
	if f.Code == ike.FailPeerRefused && f.Notify != 0 {
		e.Why = fmt.Sprintf("The gateway refused: %v.", f.Notify)
	}
	if f.Err != nil {
		e.Params["detail"] = f.Err.Error()
		if x.detail {
			e.Why += " " + sentence(f.Err.Error())
		}
	}
	return true
}

// A text explains one failure code of the IKE engine.
type text struct {
	code      api.ErrorCode
	why, next string
	server    string // hint for the gateway's side
	detail    bool   // the error's own text belongs to the explanation
}

var failures = map[ike.FailureCode]text{
	ike.FailInternal: {api.CodeInternal, "Something went wrong inside Sallyport.",
		"Please report it with the output of \"sallyport log\".", "", true},
	ike.FailSilent: {api.CodeGatewaySilent, "The gateway does not answer.",
		"Check the gateway's address, and that this network lets UDP ports 500 and 4500 out.",
		"Does the gateway receive IKE (UDP 500 and 4500) from this client, and does its firewall let answers out?", false},
	ike.FailNoProposal: {api.CodeNoProposal, "Client and gateway have no encryption algorithms in common.",
		"Ask the gateway's administrator which algorithms it accepts, and name them in the profile (ike.proposals, children.proposals).",
		"Compare the gateway's IKE and ESP proposals with the client's; its log says NO_PROPOSAL_CHOSEN and lists both.", true},
	ike.FailAuthRefused: {api.CodeAuthRefused, "The gateway refused our credentials.",
		"Check the identity and the secret or certificate of this connection; the gateway's log says which of them it did not accept.",
		"The gateway's log says why it answered AUTHENTICATION_FAILED: an unknown identity, a wrong secret, or a certificate it does not trust.", false},
	ike.FailPSKMismatch: {api.CodePSKMismatch, "The gateway's pre-shared key is not ours.",
		"Enter the pre-shared key again. If it is right, someone may be impersonating the gateway.",
		"Does the gateway hold the same pre-shared key for this client's identity?", false},
	ike.FailPeerCertificate: {api.CodePeerCertificate, "The gateway's certificate is not accepted.",
		"Ask the gateway's administrator for the right certificate authority.", "", true},
	ike.FailPeerIdentity: {api.CodePeerIdentity, "The gateway is not the one this connection asks for.",
		"Check the remote identity of this connection. If it is right, someone may be impersonating the gateway.",
		"Which identity does the gateway send (IDr), and is it the one in the client's profile?", true},
	ike.FailPeerAuth: {api.CodePeerAuth, "The gateway could not prove who it is.",
		"Do not trust this network until the gateway's administrator has looked at it.",
		"Does the gateway sign with the key that belongs to its certificate?", true},
	ike.FailLocalCredential: {api.CodeLocalCredential, "Our own certificate, key or secret cannot be used.",
		"Import the connection again with its certificate, key or password.", "", true},
	ike.FailTSUnacceptable: {api.CodeTSUnacceptable, "The gateway protects none of the networks that this connection asks for.",
		"Compare the networks of this connection (local_ts, remote_ts) with the gateway's.",
		"Compare the gateway's traffic selectors with the client's; its log says TS_UNACCEPTABLE.", false},
	ike.FailNoAddress: {api.CodeNoAddress, "The gateway has no address to give us.",
		"Try again later, or ask the gateway's administrator to enlarge the address pool.",
		"Is the address pool for this client exhausted or missing (INTERNAL_ADDRESS_FAILURE)?", false},
	ike.FailPeerRefused: {api.CodePeerRefused, "The gateway refused.",
		"Show this message to the gateway's administrator.", "The gateway's log says why it sent this notify.", false},
	ike.FailPeerClosed: {api.CodePeerClosed, "The gateway closed the connection.",
		"Connect again. If it keeps happening, the gateway's log says why.", "The gateway's log says why it deleted the IKE SA.", false},
	ike.FailPeerDead: {api.CodePeerDead, "The gateway stopped answering.",
		"Sallyport connects again by itself as soon as the gateway is back.", "Is the gateway up, and reachable from the client?", false},
	ike.FailProtocol: {api.CodeProtocol, "The gateway did not keep to the protocol.",
		"Please report it with the output of \"sallyport log\", and which gateway it is.", "", true},
	ike.FailExpired: {api.CodePeerClosed, "The lifetime of the connection ended before it could be renewed.",
		"Connect again. If it keeps happening, compare the lifetimes of client and gateway.", "Does the gateway answer rekeying (CREATE_CHILD_SA)?", false},
	ike.FailReplaced: {api.CodePeerClosed, "The same peer connected again and replaced this connection.",
		"Check that no other machine uses the same identity.", "", false},
}

// byCertificate explains why the peer's certificate is not accepted.
func byCertificate(p *pki.Error, _ Context, e *api.Error) {
	e.Params["subject"] = p.Subject
	e.Why = sentence(strings.TrimPrefix(p.Error(), "pki: "))
	switch p.Kind {
	case pki.UnknownCA:
		e.Code = api.CodePeerUnknownCA
		e.Next = "If you expect this gateway, add the certificate of its authority to the connection (remote.cas); ask its administrator for it."
		e.Params["server_hint"] = "Which certificate authority signed the gateway's certificate, and does the gateway send the intermediate certificates?"
	case pki.Expired, pki.NotYetValid:
		e.Code = api.CodePeerExpired
		e.Next = "Check this machine's date and time. If they are right, the gateway needs a new certificate."
		e.Params["server_hint"] = "Renew the gateway's certificate."
	case pki.Identity:
		e.Code = api.CodePeerIdentity
		e.Next = "Check the remote identity of this connection. If it is right, someone may be impersonating the gateway."
		e.Params["server_hint"] = "The gateway's certificate must hold its identity (IDr) as a subjectAltName."
	default:
		e.Code = api.CodePeerCertificate
		e.Next = "Ask the gateway's administrator for a certificate that fits."
	}
}
