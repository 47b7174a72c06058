package profile

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
)

// An EAP says how the user of an initiator answers a gateway that asks with
// EAP. The zero value answers with whatever the gateway asks for that is safe.
type EAP struct {
	// Methods are those allowed, the preferred first: "mschapv2", "gtc", "tls",
	// "ttls", "peap". Empty: all that the connection has the means for.
	Methods []string `toml:"methods,omitempty"`
	// Inner are those allowed within TTLS and PEAP: "mschapv2", "gtc", and for
	// TTLS "pap". Default: "mschapv2", "gtc".
	Inner []string `toml:"inner,omitempty"`
	// Anonymous is the name that TTLS and PEAP say outside of TLS.
	Anonymous string `toml:"anonymous,omitempty"`
	// Server is the identity in the certificate of the server that TLS, TTLS and
	// PEAP speak with; empty: the gateway's own.
	Server string `toml:"server,omitempty"`
	// Only lets the gateway prove itself within EAP alone (RFC 5998).
	Only bool `toml:"only,omitempty"`
}

func (e *EAP) isZero() bool {
	return len(e.Methods) == 0 && len(e.Inner) == 0 && e.Anonymous == "" && e.Server == "" && !e.Only
}

var eapMethods = map[string]eap.Type{
	"mschapv2": eap.TypeMSCHAPv2, "gtc": eap.TypeGTC, "tls": eap.TypeTLS, "ttls": eap.TypeTTLS, "peap": eap.TypePEAP,
}

var innerMethods = map[string]eap.Type{"mschapv2": eap.TypeMSCHAPv2, "gtc": eap.TypeGTC, "pap": eap.PAP}

// ParseEAPMethods returns the methods that a profile names; inner are those
// within TTLS and PEAP.
func ParseEAPMethods(names []string, inner bool) ([]eap.Type, error) {
	known := eapMethods
	if inner {
		known = innerMethods
	}
	var out []eap.Type
	for _, n := range names {
		t, ok := known[n]
		if !ok {
			return nil, fmt.Errorf("%s is no method of EAP; there are %s", shown(n), strings.Join(sorted(known), ", "))
		}
		if slices.Contains(out, t) {
			return nil, fmt.Errorf("%s is there twice", shown(n))
		}
		out = append(out, t)
	}
	return out, nil
}

func sorted(m map[string]eap.Type) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// UsesEAP reports whether a user answers the gateway: alone, or after the
// certificate of the machine (RFC 4739).
func (a *Auth) UsesEAP() bool { return a.Method == MethodEAP || a.User != "" }

// eap checks the user of an end.
func (v *validator) eap(field string, a *Auth, local, responder bool) {
	if !local || responder {
		switch {
		case a.Method == MethodEAP:
			v.bad(field+".method", "\"eap\" is how the user of an initiator proves itself: it belongs to [local], and a responder cannot ask for it yet")
		case a.User != "" || !a.EAP.isZero():
			v.bad(field+".user", "belongs to [local] of an initiator: who answers when the gateway asks with EAP")
		}
		return
	}
	switch {
	case a.Method == MethodPSK && (a.User != "" || !a.EAP.isZero()):
		v.bad(field+".user", "has no meaning with method = \"psk\"; set method = \"eap\"")
	case a.Method == MethodEAP && a.User == "":
		v.bad(field+".user", "is missing: the name that the gateway knows the user by")
	case a.User == "" && !a.EAP.isZero():
		v.bad(field+".eap", "needs user: who answers when the gateway asks with EAP")
	case len(a.User) > 253 || a.User != "" && (!clean(a.User) || eap.Clean([]byte(a.User)) != a.User):
		v.bad(field+".user", "is not printable text of at most 253 bytes")
	case a.Method == MethodEAP && a.Ask:
		v.bad(field+".ask", "has no meaning with method = \"eap\": a password that is not stored is asked for")
	case a.Method == MethodEAP && (a.Key == "") != (len(a.Certificates) == 0) && v.mode == stored:
		v.bad(field+".key", "goes with certificates: EAP-TLS needs both")
	}
	methods, err := ParseEAPMethods(a.EAP.Methods, false)
	if err != nil {
		v.bad(field+".eap.methods", "%v", err)
	}
	if slices.Contains(methods, eap.TypeTLS) && len(a.Certificates) == 0 {
		v.bad(field+".certificates", "is missing: EAP-TLS proves the user with a certificate")
	}
	inner, err := ParseEAPMethods(a.EAP.Inner, true)
	if err != nil {
		v.bad(field+".eap.inner", "%v", err)
	}
	if slices.Contains(inner, eap.PAP) && (len(inner) > 1 || slices.Contains(methods, eap.TypePEAP)) {
		v.bad(field+".eap.inner", "\"pap\" stands alone, and within TTLS only")
	}
	if a.EAP.Anonymous != "" && (len(a.EAP.Anonymous) > 253 || eap.Clean([]byte(a.EAP.Anonymous)) != a.EAP.Anonymous) {
		v.bad(field+".eap.anonymous", "is not printable text of at most 253 bytes")
	}
	if a.EAP.Server != "" {
		if id, err := auth.ParseIdentity(a.EAP.Server); err != nil || id.IsAny() || !clean(a.EAP.Server) || strings.ContainsRune(a.EAP.Server, '*') {
			v.bad(field+".eap.server", "is not the identity of one server")
		}
	}
}
