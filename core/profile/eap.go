package profile

import (
	"fmt"
	"net/netip"
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

// AsksUsers reports whether the users of the remote end are asked for: alone, or
// after the certificate or pre-shared key of their machine (RFC 4739).
func (a *Auth) AsksUsers() bool {
	return a.Method == MethodEAP || a.Users != "" || len(a.RADIUS.Servers) > 0 || !a.EAP.isZero()
}

// eap checks the user of an end.
func (v *validator) eap(field string, a *Auth, local, responder bool) {
	if local && responder && (a.Method == MethodEAP || a.User != "" || !a.EAP.isZero()) {
		v.bad(field+".method", "\"eap\" proves the user of an initiator; a responder asks for it under [remote]")
		return
	}
	if !local || a.Users != "" || len(a.RADIUS.Servers) > 0 || a.RADIUS.Secret != "" || a.RADIUS.NAS != "" {
		v.askers(field, a, local, responder)
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
	case a.Method == MethodEAP && a.Ask && !a.OnToken() && (v.mode == stored || a.Key != "" || len(a.Certificates) > 0):
		v.bad(field+".ask", "has no meaning with method = \"eap\": a password that is not stored is asked for")
	case a.Method == MethodEAP && !a.OnToken() && (a.Key == "") != (len(a.Certificates) == 0) && v.mode == stored:
		v.bad(field+".key", "goes with certificates: EAP-TLS needs both")
	}
	methods, err := ParseEAPMethods(a.EAP.Methods, false)
	if err != nil {
		v.bad(field+".eap.methods", "%v", err)
	}
	if slices.Contains(methods, eap.TypeTLS) && !a.certifies() && (v.mode == stored || a.Key == "") {
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

// askers checks how a responder asks its users.
func (v *validator) askers(field string, a *Auth, local, responder bool) {
	asks := a.AsksUsers()
	switch {
	case local:
		v.bad(field+".users", "belongs to [remote] of a responder: whom it asks with EAP")
		return
	case asks && !responder && a.Method != MethodEAP:
		v.bad(field+".users", "is for a responder: whom it asks with EAP")
		return
	case asks && !responder:
		v.bad(field+".method", "\"eap\" is how the user of an initiator proves itself, under [local]; a gateway does so by its certificate or a pre-shared key")
		return
	case a.User != "":
		v.bad(field+".user", "belongs to [local] of an initiator: who answers when the gateway asks with EAP")
	case !asks && (a.RADIUS.Secret != "" || a.RADIUS.NAS != ""):
		v.bad(field+".users", "is missing: whom to ask; users or radius names them")
	case asks && a.Users != "" && len(a.RADIUS.Servers) > 0:
		v.bad(field+".users", "contradicts radius: either a list knows the users, or a server")
	case asks && a.Users == "" && len(a.RADIUS.Servers) == 0 && v.mode == stored:
		v.bad(field+".users", "is missing: who may come in; or name the servers that know, under [remote.radius]")
	case asks && len(a.RADIUS.Servers) > 0 && a.RADIUS.Secret == "" && v.mode == stored:
		v.bad(field+".radius.secret", "is missing: what is shared with the RADIUS servers")
	}
	if a.EAP.Anonymous != "" || a.EAP.Server != "" || a.EAP.Only || len(a.EAP.Inner) > 0 {
		v.bad(field+".eap", "of a responder holds methods only")
	}
	methods, err := ParseEAPMethods(a.EAP.Methods, false)
	if err != nil {
		v.bad(field+".eap.methods", "%v", err)
	}
	if slices.Contains(methods, eap.TypeTTLS) || slices.Contains(methods, eap.TypePEAP) {
		v.bad(field+".eap.methods", "a responder asks with mschapv2, gtc and tls itself; with others a RADIUS server does")
	}
	if len(methods) > 0 && len(a.RADIUS.Servers) > 0 {
		v.bad(field+".eap.methods", "is the RADIUS server's choice")
	}
	if slices.Contains(methods, eap.TypeTLS) && len(a.CAs) == 0 {
		v.bad(field+".cas", "is missing: the authorities of the users' certificates, for tls")
	}
	if len(a.RADIUS.Servers) > 8 {
		v.bad(field+".radius.servers", "more than 8")
	}
	for i, s := range a.RADIUS.Servers {
		if _, err := RADIUSServer(s); err != nil {
			v.bad(at(field+".radius.servers", i), "%v", err)
		}
	}
	if a.RADIUS.NAS != "" && (len(a.RADIUS.NAS) > 253 || !clean(a.RADIUS.NAS)) {
		v.bad(field+".radius.nas", "is not printable text of at most 253 bytes")
	}
}

// RADIUSServer returns the address of a server as a profile names it; the port
// is 1812 where none is named.
func RADIUSServer(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.AddrPortFrom(a, 1812), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%s is not the address of a server; write it as \"192.0.2.5\" or \"192.0.2.5:1812\"", shown(s))
	}
	return a, nil
}
