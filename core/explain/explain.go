// Package explain turns a failure into what a person needs: what happened, why,
// and what to do next, with a stable code for programs and translators. The
// parameter "server_hint" is a line that a user can copy to the person who runs
// the gateway. No secret ever enters an explanation.
package explain

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/core/api"
)

// A Context says what the failure befell.
type Context struct {
	Connection string
	Gateway    []string // empty for a responder
	Profile    api.Profile
}

// The keys of Params. Programs and translators may rely on them.
const (
	ParamConnection  = "connection"
	ParamGateway     = "gateway"
	ParamEAPCode     = "eap_code"    // why MSCHAPv2 refuses a user: 691 wrong password, 648 expired, ...
	ParamProof       = "proof"       // what the gateway refuses of us: "psk", "certificate", "expired", "unasked" (of another authority), "eap" (it did not ask), "user" (by name); "server": whose certificate is not accepted is the server of EAP
	ParamServerHint  = "server_hint" // a question for the gateway's administrator
	ParamNotify      = "notify"      // the error notify that the peer sent
	ParamUnverified  = "unverified"  // "true": the peer's answer could have been forged on the way
	ParamNeeds       = "needs"       // "password": the same request may succeed with one
	ParamDetail      = "detail"      // the error's own text
	ParamField       = "field"       // of the profile
	ParamSubject     = "subject"     // of the certificate concerned
	ParamIssuer      = "issuer"
	ParamFingerprint = "fingerprint" // SHA-256 of that certificate
	ParamExpected    = "expected"    // identity
	ParamFound       = "found"       // identity
	ParamAddress     = "address"     // of the gateway
	ParamTries       = "tries"       // of a PIN that are left: "low", "final"
)

// Explain explains err, which is not nil. An *api.Error in its chain is
// returned as it is.
func Explain(err error, c Context) *api.Error {
	var done *api.Error
	if errors.As(err, &done) {
		return done
	}
	e := &api.Error{Params: map[string]string{}}
	for _, try := range []func(error, *api.Error) bool{byProfile, byToken, byCredential, byHost, byIKE, byContext} {
		if try(err, e) {
			break
		}
	}
	if e.Code == "" {
		e.Code = api.CodeInternal
		e.Params[ParamDetail] = text(err)
	}
	complete(e, c)
	return e
}

// About returns the general explanation of a code, for who has no error to
// explain but knows what happened.
func About(code api.ErrorCode, c Context) *api.Error {
	e := &api.Error{Code: code, Params: map[string]string{}}
	complete(e, c)
	return e
}

// complete fills what is empty with the general sentences of the code.
func complete(e *api.Error, c Context) {
	g, ok := general[e.Code]
	if !ok {
		g = general[api.CodeInternal]
	}
	if e.What == "" {
		e.What = c.what(g)
	}
	if e.Why == "" {
		e.Why = g.why
		if d := e.Params[ParamDetail]; d != "" && g.detail {
			e.Why += " " + sentence(d)
		}
	}
	if e.Next == "" {
		e.Next = g.next
	}
	if e.Params[ParamServerHint] == "" && g.hint != "" {
		e.Params[ParamServerHint] = g.hint
	}
	if c.Connection != "" {
		e.Params[ParamConnection] = c.Connection
	}
	switch {
	case len(c.Gateway) > 0:
		e.Params[ParamGateway] = strings.Join(c.Gateway, ", ")
	case c.Connection != "":
		// We are the gateway: the other end is a peer, and the hint is for us.
		e.Why, e.Next = ofPeer.Replace(e.Why), ofPeer.Replace(e.Next)
		delete(e.Params, ParamServerHint)
	}
	if len(e.Params) == 0 {
		e.Params = nil
	}
}

var ofPeer = strings.NewReplacer("The gateway", "The peer", "the gateway", "the peer")

// what says what happened to the connection.
func (c Context) what(g words) string {
	if c.Connection == "" || g.what == "" {
		if g.plain != "" {
			return g.plain
		}
		return "That did not work."
	}
	name := fmt.Sprintf("%q", c.Connection)
	if len(c.Gateway) > 0 {
		name += " (" + strings.Join(c.Gateway, ", ") + ")"
	}
	return fmt.Sprintf(g.what, name)
}

// prefixes begin the errors of packages; people need not read them.
var prefixes = []string{"ike: ", "pki: ", "auth: ", "transform: ", "ts: ", "message: ", "profile: ", "eap: "}

// text returns what an error says, on one line.
func text(err error) string {
	s := err.Error()
	for {
		before := s
		for _, p := range prefixes {
			s = strings.TrimPrefix(s, p)
		}
		if s == before {
			break
		}
	}
	const most = 500
	if s = strings.ReplaceAll(s, "\n", "; "); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// sentence makes a clause a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	first, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[n:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}
