package model

import (
	"slices"

	"sallyport/core/api"
)

// ErrorText explains a failure in the words of the catalogue: what happened,
// why, and what to do next in the window. The service's own sentences say more
// of this one case; they are English, and shown as detail: see ErrorDetail.
func ErrorText(e *api.Error) (what, why, next Text) {
	code := e.Code
	if _, ok := known[code]; !ok {
		code = api.CodeInternal // a later service has added it
	}
	key := "errors." + string(code)
	what = Text{Key: key + ".what", Params: gaps(e)}
	if name := e.Params["connection"]; name != "" && known[code] {
		what.Key = key + ".named"
	}
	why, next = Text{Key: key + ".why", Params: gaps(e)}, Text{Key: key + ".next", Params: gaps(e)}
	switch {
	case code == api.CodePeerRefused && e.Params["notify"] != "":
		why.Key = "errors.peer_refused.notify"
	case code == api.CodeAuthRefused && slices.Contains([]string{"psk", "certificate", "expired", "unasked", "eap", "user"}, e.Params["proof"]):
		why.Key = "errors.auth_refused." + e.Params["proof"]
	case code == api.CodePasswordRefused && e.Params["proof"] == "certificate":
		why.Key = "errors.password_refused.certificate"
	case code == api.CodePeerIdentity && e.Params["proof"] == "server" && e.Params["expected"] != "" && e.Params["found"] != "":
		why.Key, next.Key = "errors.peer_identity.server", "errors.peer_identity.server_next"
	case code == api.CodePeerIdentity && e.Params["expected"] != "" && e.Params["found"] != "":
		why.Key = "errors.peer_identity.names"
	case code == api.CodePeerUnknownCA && e.Params["issuer"] != "":
		why.Key = "errors.peer_unknown_ca.issuer"
	case code == api.CodeLocalCredential && e.Params["needs"] == "password":
		why.Key = "errors.local_credential.needs"
	case (code == api.CodeProfileInvalid || code == api.CodePolicyInvalid) && e.Position != nil && e.Position.File != "" && e.Position.Line > 0:
		why.Key += "At"
		why.Params["File"], why.Params["Line"] = e.Position.File, e.Position.Line
	}
	return what, why, next
}

// ErrorNote returns what else must be known of a failure: that anyone on the
// way could have forged the answer that it rests on. Its key is empty without.
func ErrorNote(e *api.Error) Text {
	if e.Params["unverified"] == "true" {
		return say("errors.unverified")
	}
	return Text{}
}

// ErrorDetail returns the service's own sentences, in English, and an empty
// string when it has none.
func ErrorDetail(e *api.Error) string {
	return e.Error()
}

// ErrorHint returns what a user can copy to who runs the gateway, in English.
func ErrorHint(e *api.Error) string { return e.Params["server_hint"] }

// gaps fills the gaps that a sentence about a failure may have.
func gaps(e *api.Error) map[string]any {
	p := map[string]any{}
	for gap, param := range map[string]string{"Name": "connection", "Gateway": "gateway", "Notify": "notify", "Address": "address",
		"Subject": "subject", "Issuer": "issuer", "Expected": "expected", "Found": "found", "Detail": "detail"} {
		if v := e.Params[param]; v != "" {
			p[gap] = v
		}
	}
	return p
}

// known are the codes that the catalogue explains; true: its sentence of what
// happened can name the connection.
var known = map[api.ErrorCode]bool{
	api.CodeInternal:          true,
	api.CodeUsage:             false,
	api.CodeUnreachable:       false,
	api.CodeNotAllowed:        false,
	api.CodeNotFound:          true,
	api.CodeExists:            true,
	api.CodeBusy:              true,
	api.CodeProfileInvalid:    true,
	api.CodeUnsupported:       true,
	api.CodeNoPrivilege:       true,
	api.CodeNoTUN:             true,
	api.CodeNetworkSetup:      true,
	api.CodePortInUse:         true,
	api.CodeNoNetwork:         true,
	api.CodeResolve:           true,
	api.CodeGatewaySilent:     true,
	api.CodeNoTransport:       true,
	api.CodeNoProposal:        true,
	api.CodeAuthRefused:       true,
	api.CodePasswordRefused:   true,
	api.CodeEAPMethod:         true,
	api.CodePSKMismatch:       true,
	api.CodePeerUnknownCA:     true,
	api.CodePeerExpired:       true,
	api.CodePeerIdentity:      true,
	api.CodePeerCertificate:   true,
	api.CodePeerWeak:          true,
	api.CodePeerRevoked:       true,
	api.CodeRevocationUnknown: true,
	api.CodePeerAuth:          true,
	api.CodeLocalCredential:   true,
	api.CodeTokenMissing:      true,
	api.CodeTokenRemoved:      true,
	api.CodeTokenObject:       true,
	api.CodeTokenModule:       true,
	api.CodePINWrong:          true,
	api.CodePINLocked:         true,
	api.CodeTSUnacceptable:    true,
	api.CodeNoAddress:         true,
	api.CodePeerRefused:       true,
	api.CodePeerClosed:        true,
	api.CodePeerDead:          true,
	api.CodeProtocol:          true,
	api.CodeFirewall:          true,
	api.CodePolicyInvalid:     false,
	api.CodeDowngrade:         true,
	api.CodeCancelled:         true,
	api.CodeTimeout:           true,
}
