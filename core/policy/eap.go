package policy

import (
	"slices"
	"strings"

	"sallyport/core/ike/auth"
)

// EAP has two ends that differ: a user, and a peer that asks for the user with
// EAP and proves itself with a certificate. So it serves a rule whose tunnel
// ends at a gateway, and host to host it serves what this machine starts; a
// machine that is asked has no user of its peer's to know. Whoever comes to us
// with a password is asked by a connection with role = "responder".

// eapMethods are those that a user may answer with.
var eapMethods = []string{"mschapv2", "gtc", "tls", "ttls", "peap"}

// eapMethod checks an authentication method with EAP.
func (c *checker) eapMethod(field string, m *AuthMethod) {
	if m.Method != MethodEAP {
		if m.User != "" {
			c.bad(field+".user", "needs method = \"eap\": whom the peer asks for")
		}
		if len(m.EAPMethods) > 0 {
			c.bad(field+".eap_methods", "needs method = \"eap\"")
		}
		return
	}
	switch {
	case m.User == "":
		c.bad(field+".user", "is missing: the name that the peer knows the user by")
	case len(m.User) > 253 || !clean(m.User):
		c.bad(field+".user", "is not printable text of at most 253 bytes")
	}
	switch {
	case len(m.CAs) == 0:
		c.bad(field+".cas", "is missing: the authorities that the peer's certificate must lead to, before the user proves anything to it")
	case anybody(m.RemoteID):
		c.bad(field+".remote_id", "is missing: who may ask for the user; whoever else has a certificate of these authorities would be given the password")
	}
	if (m.Key == "") != (len(m.Certificates) == 0) {
		c.bad(field+".key", "goes with certificates: EAP-TLS needs both")
	}
	for i, n := range m.EAPMethods {
		switch {
		case !slices.Contains(eapMethods, n):
			c.bad(at(field+".eap_methods", i), "%s is no method of EAP; there are %s", shown(n), strings.Join(eapMethods, ", "))
		case slices.Contains(m.EAPMethods[:i], n):
			c.bad(at(field+".eap_methods", i), "%s is there twice", shown(n))
		case n == "tls" && m.Key == "":
			c.bad(field+".certificates", "is missing: EAP-TLS proves the user with a certificate")
		}
	}
}

// anybody reports whether an identity, or a pattern of it, fits every peer.
func anybody(id string) bool {
	parsed, err := auth.ParseIdentity(id)
	return err == nil && (parsed.IsAny() || strings.Trim(id, "*.@") == "")
}

// users checks that EAP stands where there is a user and somebody who asks.
func (c *checker) users(field string, r *Rule, a *FilterAction) {
	if r.Tunnel != "" {
		return // a gateway asks; a connection has authentication methods of its own
	}
	others := slices.ContainsFunc(r.Auth, func(m AuthMethod) bool { return m.Method != MethodEAP })
	for i := range r.Auth {
		m, path := &r.Auth[i], at(field+".auth", i)
		switch {
		case m.Method != MethodEAP:
		case a.RespondOnly && !others:
			c.bad(path+".method", "\"eap\" alone answers nobody, and the filter action %s starts nothing: host to host the end that begins is the user", shown(a.Name))
		case m.Secret == "" && m.Key == "":
			c.bad(path+".secret", "is missing: host to host there is one negotiation for each peer, and nobody is asked for a password for each")
		case a.RespondOnly:
			c.warn(path+".method", "\"eap\" is not used: the filter action %s starts nothing, and only the end that begins is the user", shown(a.Name))
		case !others:
			c.warn(path+".method", "\"eap\" is for what this machine begins: a peer that begins is not answered by this rule")
		}
	}
}

// Answers reports whether a peer that begins can prove itself by m.
func (m *AuthMethod) Answers() bool { return m.Method != MethodEAP }
