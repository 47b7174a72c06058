package explain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/profile"
)

// byProfile explains faults of files, names and requests.
func byProfile(err error, e *api.Error) bool {
	switch {
	case errors.Is(err, profile.ErrNotFound):
		e.Code = api.CodeNotFound
		return true
	case errors.Is(err, profile.ErrExists):
		e.Code, e.What = api.CodeExists, sentence(text(err))
		return true
	case errors.Is(err, profile.ErrRequest):
		e.Code, e.Params[ParamDetail] = api.CodeUsage, text(err)
		return true
	}
	faults := profile.AllErrors(err)
	if len(faults) == 0 {
		return false
	}
	first := faults[0]
	e.Code = api.CodeUnsupported
	const most = 10
	var lines []string
	needsPassword := true
	for i, f := range faults {
		needsPassword = needsPassword && f.NeedsPassword
		if !f.Unsupported {
			e.Code = api.CodeProfileInvalid
		}
		if i < most {
			lines = append(lines, f.Error())
		}
	}
	if len(faults) > most {
		lines = append(lines, fmt.Sprintf("and %d more", len(faults)-most))
	}
	if first.File != "" {
		e.What = fmt.Sprintf("%s cannot be used.", first.File)
	}
	e.Why = strings.Join(lines, "\n")
	if !strings.HasSuffix(e.Why, ".") && !strings.HasSuffix(e.Why, "?") {
		e.Why += "." // another sentence may follow
	}
	if needsPassword {
		e.Code, e.Params[ParamNeeds] = api.CodeLocalCredential, "password"
		e.Next = "Give the pre-shared key or passphrase with the import: sallyport import FILE --password-stdin."
	}
	e.Position = &api.Position{File: first.File, Line: first.Line, Field: first.Field}
	return true
}

// byCredential explains what is wrong with what we prove ourselves with.
func byCredential(err error, e *api.Error) bool {
	var ce *CredentialError
	if !errors.As(err, &ce) {
		return false
	}
	e.Code = api.CodeLocalCredential
	e.Params[ParamField] = ce.Field
	e.Params[ParamDetail] = text(ce)
	var pe *pki.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Why = fmt.Sprintf("What %s names in the profile is not in the store.", ce.Field)
	case errors.Is(err, host.ErrUnsafe):
		e.Why = sentence(text(ce))
		e.Next = "Make the file readable by its owner alone (chmod 600); if somebody else may have read it, replace the secret."
	case errors.Is(err, pki.ErrPassphraseWrong):
		e.Why = "The passphrase does not open the private key."
		e.Next = "Connect again, and give the right one when you are asked."
	case errors.As(err, &pe):
		e.Params[ParamSubject] = pe.Subject
		if pe.Kind == pki.Identity {
			e.Next = "Set local.id to a name that the certificate holds, or leave it out to use the certificate's subject."
		}
	}
	return true
}

// byHost explains what the machine refused.
func byHost(err error, e *api.Error) bool {
	var resolve *ResolveError
	var route *RouteError
	var setup *HostError
	var transport *TransportError
	var firewall *FirewallError
	switch {
	case errors.As(err, &transport): // before what it wraps, which may be a deadline
		e.Code, err = api.CodeNoTransport, transport
	case errors.As(err, &firewall):
		e.Code, err = api.CodeFirewall, firewall.Err
	case errors.Is(err, host.ErrNoTUN):
		e.Code = api.CodeNoTUN
	case errors.Is(err, host.ErrPrivilege):
		e.Code = api.CodeNoPrivilege
	case errors.Is(err, host.ErrPortInUse):
		e.Code = api.CodePortInUse
	case errors.Is(err, host.ErrUnsupported):
		e.Code = api.CodeUnsupported
	case errors.Is(err, host.ErrInUse):
		e.Code = api.CodeBusy
		e.Why = sentence(text(err))
		e.Next = "Is another Sallyport service running on this machine? Stop it, or give this one its own --state-dir and --socket."
	case errors.Is(err, host.ErrUnsafe):
		e.Code = api.CodeLocalCredential
		e.Next = "Make the file readable by its owner alone (chmod 600); if somebody else may have read it, replace the secret."
	case errors.As(err, &resolve):
		e.Code, err = api.CodeResolve, resolve.Err
	case errors.As(err, &route):
		e.Code, err = api.CodeNoNetwork, route
		e.Params[ParamAddress] = route.Remote
	case errors.As(err, &setup):
		e.Code, err = api.CodeNetworkSetup, setup.Err
	default:
		return false
	}
	e.Params[ParamDetail] = text(err)
	return true
}

// byContext explains a wait that ended.
func byContext(err error, e *api.Error) bool {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Code = api.CodeTimeout
	case errors.Is(err, context.Canceled):
		e.Code = api.CodeCancelled
	default:
		return false
	}
	return true
}

// codes are the codes for the failures of the IKE engine.
var codes = map[ike.FailureCode]api.ErrorCode{
	ike.FailInternal:        api.CodeInternal,
	ike.FailSilent:          api.CodeGatewaySilent,
	ike.FailNoProposal:      api.CodeNoProposal,
	ike.FailAuthRefused:     api.CodeAuthRefused,
	ike.FailEAPMethod:       api.CodeEAPMethod,
	ike.FailPSKMismatch:     api.CodePSKMismatch,
	ike.FailPeerCertificate: api.CodePeerCertificate,
	ike.FailPeerIdentity:    api.CodePeerIdentity,
	ike.FailPeerAuth:        api.CodePeerAuth,
	ike.FailLocalCredential: api.CodeLocalCredential,
	ike.FailTSUnacceptable:  api.CodeTSUnacceptable,
	ike.FailNoAddress:       api.CodeNoAddress,
	ike.FailPeerRefused:     api.CodePeerRefused,
	ike.FailPeerClosed:      api.CodePeerClosed,
	ike.FailPeerDead:        api.CodePeerDead,
	ike.FailProtocol:        api.CodeProtocol,
	ike.FailExpired:         api.CodePeerClosed,
	ike.FailReplaced:        api.CodePeerClosed,
	ike.FailRedirected:      api.CodePeerRefused,
}

// byIKE explains what the IKE engine reports.
func byIKE(err error, e *api.Error) bool {
	var f *ike.Failure
	var pe *pki.Error
	isFailure := errors.As(err, &f)
	isCertificate := errors.As(err, &pe)
	switch {
	case isFailure && f.Code == ike.FailLocalCredential:
		// A certificate that is concerned is our own.
	case isCertificate:
		byCertificate(pe, e)
		if errors.Is(err, eap.ErrServer) {
			byUserServer(e)
		}
	}
	if !isFailure {
		return isCertificate
	}
	if f.Notify != 0 {
		e.Params[ParamNotify] = f.Notify.String()
	}
	if u, ok := errors.AsType[*ike.UnknownPeer](f); ok {
		e.Params[ParamFingerprint] = pki.Fingerprint(u.Certificate)
		e.Next = "If you expect this gateway, compare the fingerprint of its certificate with what its administrator says, and connect again; or import the connection again with the authority's certificate (remote.cas)."
	}
	if f.Err != nil {
		e.Params[ParamDetail] = text(f.Err)
	}
	if e.Code != "" {
		return true
	}
	e.Code = codes[f.Code]
	switch {
	case f.Code == ike.FailAuthRefused && errors.Is(f.Err, eap.ErrRefused):
		byUser(f.Err, e)
	case f.Code == ike.FailAuthRefused:
		byProof(f.Err, e)
	case f.Code == ike.FailNoAddress && f.Notify == message.NotifyFailedCPRequired:
		e.Why = "The gateway wants to assign an inner address, and this connection asks for none (FAILED_CP_REQUIRED)."
		e.Next = "Let it ask: virtual_ips = [\"0.0.0.0\", \"::\"] in the profile."
	case f.Code == ike.FailLocalCredential && errors.Is(f.Err, auth.ErrNoScheme):
		e.Why = sentence(text(f.Err))
		e.Next = "Use a certificate with a key that the gateway can verify (RSA and ECDSA are the most common), or allow more under signatures of [local] in the profile."
	case f.Code == ike.FailExpired:
		e.Why = "The lifetime of the connection ended before new keys were agreed on."
		e.Next = "Connect again. If it keeps happening, compare the lifetimes of both ends."
	case f.Code == ike.FailReplaced:
		e.Why = "The same peer connected again, which replaced this connection."
		e.Next = "If that was not you, check that no other machine uses the same identity."
	case f.Code == ike.FailPeerRefused && f.Notify != 0:
		e.Why = fmt.Sprintf("The gateway refused the connection: %v.", f.Notify)
	case f.Code == ike.FailTSUnacceptable:
		byAnswer(f.Err, e)
	case f.Code == ike.FailSilent && bySilence(f.Err, e):
	case f.Code == ike.FailSilent && f.Err != nil:
		// It answered at first, so the way to it is open in part.
		e.Why = sentence(text(f.Err))
		e.Next = "Try another network, such as a phone's: this one may block UDP port 4500 or large packets. If it is the same there, look at the gateway's log: OpenIKED, for one, says nothing when it has no certificate of the authorities that this connection trusts (remote.cas)."
	}
	if f.Unauthenticated {
		e.Params[ParamUnverified] = "true"
		if e.Why == "" {
			e.Why = general[e.Code].why
		}
		e.Why += " That answer came unprotected, so anyone on the way could have sent it."
	}
	return e.Code != ""
}

// byAnswer explains an answer that has other networks than those asked for.
func byAnswer(err error, e *api.Error) {
	if out, ok := errors.AsType[*ike.OutsideAnswer](err); ok {
		e.Why = fmt.Sprintf("The gateway answers with other networks than those that this connection asks for: %v behind itself, %v on this side.", out.Remote, out.Local)
		e.Next = "Compare local_ts and remote_ts in the profile with these, and with what the gateway's administrator says."
	}
}

// bySilence explains a gateway that says nothing more to a user, and reports
// whether it is one.
func bySilence(err error, e *api.Error) bool {
	silent, ok := errors.AsType[*ike.SilentToUser](err)
	if ok {
		e.Why = fmt.Sprintf("The gateway stopped answering while the user proved who they are (EAP-%v). Some gateways, OpenIKED among them, do so when the name or the password is wrong, in place of saying it.", silent.Method)
		e.Next = "Check the user's name and password, and connect again. If both are right, try another network, and ask the gateway's administrator what its log says."
	}
	return ok
}

// byProof explains what the gateway does not accept of us, as far as we know
// ourselves.
func byProof(err error, e *api.Error) {
	r, ok := errors.AsType[*ike.RefusedProof](err)
	if !ok {
		return
	}
	why := general[api.CodeAuthRefused].why
	c := r.Certificate
	asked, identities := "", "this connection's own identity (local.id)"
	if !r.Asked.IsAny() {
		e.Params[ParamExpected] = r.Asked.String()
		asked, identities = fmt.Sprintf(", and asked to be %q", r.Asked), "the identities of both ends (local.id, remote.id)"
	}
	switch {
	case r.EAP:
		e.Params[ParamProof] = "eap"
		e.Why = fmt.Sprintf("The gateway refused (AUTHENTICATION_FAILED) without asking for the user; it was told the identity %q%s.", r.ID, asked)
		e.Next = "Ask the gateway's administrator whether it asks users with EAP at all, what else it wants instead or before (local.method), and whether a connection is there for " + identities + "."
		return
	case c == nil:
		e.Params[ParamProof] = "psk"
		e.Why = fmt.Sprintf("%s It was shown the pre-shared key of %q%s.", why, r.ID, asked)
		e.Next = "Check the pre-shared key and " + identities + " with the gateway's administrator."
		return
	}
	e.Params[ParamSubject], e.Params[ParamIssuer] = pki.Subject(c).String(), auth.FromDN(c.RawIssuer).String()
	const day = "2006-01-02"
	switch {
	case r.Expired:
		e.Params[ParamProof] = "expired"
		e.Why = fmt.Sprintf("The own certificate, %s, is valid from %s to %s only, and the gateway does not accept it.", pki.Subject(c), c.NotBefore.Format(day), c.NotAfter.Format(day))
		e.Next = "Check the date of this machine. If it is right, ask for a new certificate and import the connection again with it."
	case r.Unasked:
		e.Params[ParamProof] = "unasked"
		e.Why = fmt.Sprintf("The gateway asks for certificates of other authorities than the one of ours, %s, and does not accept it.", auth.FromDN(c.RawIssuer))
		e.Next = "Ask the gateway's administrator for a certificate of an authority that it trusts, and import the connection again with it."
	default:
		e.Params[ParamProof] = "certificate"
		e.Why = fmt.Sprintf("%s It was shown the certificate of %s, issued by %s%s.", why, pki.Subject(c), auth.FromDN(c.RawIssuer), asked)
		e.Next = "Ask the gateway's administrator whether it knows the authority that issued this certificate, whether it was revoked, whether a certificate alone is enough, and whether a connection is there for " + identities + "."
	}
}

// refusals are the reasons that MSCHAPv2 knows (RFC 2759, section 6).
var refusals = map[int]struct{ why, next string }{
	646: {"The account may not be used at this time of day.", "Try again within the hours that your company allows, or ask its administrator."},
	647: {"The account is disabled.", "Ask the administrator of your company to enable it."},
	648: {"The password has expired.", "Change it where your company lets you, then connect again."},
	649: {"The account may not connect from outside.", "Ask the administrator of your company for the right to use the VPN."},
	709: {"The password could not be changed.", "Change it where your company lets you, then connect again."},
}

// byUser explains why the gateway refuses the user.
func byUser(err error, e *api.Error) {
	e.Code = api.CodePasswordRefused
	if errors.Is(err, ike.ErrUserCertificate) {
		e.Params[ParamProof] = "certificate"
		e.Why = "The gateway, or the server behind it, does not accept the user's certificate."
		e.Next = "Ask its administrator whether the certificate was revoked or has expired, and whether the server trusts the authority that issued it. Nothing is tried by itself."
	}
	var r *eap.RefusedError
	if !errors.As(err, &r) {
		return
	}
	if r.Untried && e.Params[ParamProof] == "" {
		e.Code, e.Params[ParamProof] = api.CodeAuthRefused, "user"
		e.Why = "The gateway, or the server behind it, turned the user away before it asked for any proof: no password was sent."
		if r.Message != "" {
			e.Why += fmt.Sprintf(" It says: %q.", r.Message)
		}
		e.Next = "Check the user's name (local.user), with its domain where your company has one, and ask the gateway's administrator whether this user is let in, and with which method of EAP."
		return
	}
	if words, ok := refusals[r.Code]; ok {
		e.Why, e.Next = words.why, words.next
	}
	if r.Code != 0 {
		e.Params[ParamEAPCode] = strconv.Itoa(r.Code)
	}
}

// byUserServer says that a certificate that is not accepted is not the gateway's
// but that of the server behind it, which asks the user within TLS and often has
// a name, and an authority, of its own.
func byUserServer(e *api.Error) {
	e.Params[ParamProof] = "server"
	e.Why = strings.NewReplacer("The gateway's certificate, or one", "The certificate of the server that asks for the user, or one",
		"The gateway's certificate", "The certificate of the server that asks for the user",
		"the gateway's certificate", "the certificate of the server that asks for the user",
		"The gateway is not", "The server that asks for the user (EAP) is not", "pose as the gateway", "pose as that server").Replace(e.Why)
	switch e.Code {
	case api.CodePeerIdentity:
		e.Next = "Behind many gateways a RADIUS server asks, with a name of its own: ask the administrator for it, and set it in the profile (server under [local.eap]). If it is right already, somebody may be posing as that server: do not go on in this network."
	case api.CodePeerUnknownCA:
		e.Next = "Ask the administrator for the certificate of the authority of that server, often a RADIUS server behind the gateway, and import the connection again with it in remote.cas. It stands there beside the gateway's."
	}
}

// byCertificate explains why the peer's certificate is not accepted.
func byCertificate(p *pki.Error, e *api.Error) {
	e.Code = api.CodePeerCertificate
	switch p.Kind {
	case pki.UnknownCA:
		e.Code = api.CodePeerUnknownCA
	case pki.Expired, pki.NotYetValid:
		e.Code = api.CodePeerExpired
	case pki.Identity:
		e.Code = api.CodePeerIdentity
	case pki.Weak:
		if p.Allowable {
			e.Code = api.CodePeerWeak
		}
	case pki.Revoked:
		e.Code = api.CodePeerRevoked
	case pki.RevocationUnknown:
		e.Code = api.CodeRevocationUnknown
	}
	if p.Clock {
		e.Next = "The clock of this machine seems to be wrong: the gateway's certificates and the authority's own agree about another time. Set it, then connect again."
	}
	for param, value := range map[string]string{ParamSubject: p.Subject, ParamIssuer: p.Issuer, ParamExpected: p.Expected, ParamFound: p.Found} {
		if value != "" {
			e.Params[param] = value
		}
	}
	e.Why = general[e.Code].why + " " + sentence(text(p))
}
