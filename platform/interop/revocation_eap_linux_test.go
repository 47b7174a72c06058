package interop_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestRevocationWithinEAP asks about the certificate of FreeRADIUS behind our
// gateway, and our gateway about that of a user, with lists from outside. A
// server whose certificate was revoked never hears who the user is.
func TestRevocationWithinEAP(t *testing.T) {
	l := lab.New(t)
	pki := lab.NewPKI(t)
	crl := []string{"http://" + crlAt + "/ca.crl"}
	for _, leaf := range []lab.Leaf{
		{Name: "radius", Key: "rsa", SANs: []string{"radius.vpn.test"}},
		{Name: "gw-users", Key: "ecdsa256", SANs: []string{"users.vpn.test", "radius-users.vpn.test"}},
		{Name: "alice", Key: "ecdsa256", SANs: []string{"alice"}, Client: true},
	} {
		leaf.Issuer, leaf.CRL = "ca-ecdsa256", crl
		pki.Issue(t, leaf)
	}
	gw := userGateway(t, l, pki)
	server := newRADIUS(t, l, pki, "1.3")
	var list atomic.Pointer[[]byte]
	l.Wan.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if b := list.Load(); b != nil {
			_, _ = w.Write(*b)
			return
		}
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	}), crlAt)

	for _, tt := range []struct {
		name, method, revoked, policy string
		code                          api.ErrorCode // empty: it connects
	}{
		{"strict, nobody tells", "ttls", "none", "strict", api.CodeRevocationUnknown},
		{"server revoked", "ttls", "radius", "soft", api.CodePeerRevoked},
		{"server revoked, PEAP", "peap", "radius", "strict", api.CodePeerRevoked},
		{"user revoked", "tls", "alice", "soft", api.CodeAuthRefused},
		{"server revoked, nobody asks", "ttls", "radius", "off", ""},
		{"good, strict", "ttls", "", "strict", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := l.For(t)
			var b []byte
			switch tt.revoked {
			case "none":
				list.Store(nil)
			case "":
				b = pki.CRL(t, "ca-ecdsa256", "ca-other")
			default:
				b = pki.CRL(t, "ca-ecdsa256", tt.revoked)
			}
			if b != nil {
				list.Store(&b)
			}
			name, gateway := strings.NewReplacer(" ", "-", ",", "").Replace(tt.name), "radius-users.vpn.test"
			inner := []string{"mschapv2"}
			if tt.method == "tls" {
				gateway, inner = "users.vpn.test", nil
			}
			profile := userProfile(gateway, "alice", []string{tt.method}, inner)
			profile = strings.Replace(profile, "cas = [", "revocation = \""+tt.policy+"\"\ncas = [", 1)
			if tt.method == "tls" {
				profile = strings.Replace(profile, "server = \"radius.vpn.test\"\n", "", 1)
			} else {
				profile = strings.Replace(profile, "[local.eap]\n", "[local.eap]\nanonymous = \"nobody\"\n", 1)
			}
			before := len(server.Log())
			begun := time.Now()
			s, r := asUser(t, l, pki, name, profile, userPassword)
			heard := server.Log()[before:]
			if tt.code != "" {
				if r.Exit != 1 || !strings.Contains(r.Out, `"`+string(tt.code)+`"`) {
					t.Errorf("exit %d: %s%s\n%s", r.Exit, r.Out, r.Err, gw.Must("log"))
				}
				if strings.Contains(heard, "alice") || strings.Contains(heard, "MSCHAPv2") || tt.revoked == "radius" && heard == "" {
					t.Errorf("the server heard\n%s", heard)
				}
				if d := time.Since(begun); d > 7*time.Second {
					t.Errorf("explained after %v", d)
				}
			} else if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); r.Exit != 0 || err != nil || !strings.Contains(page, lab.Marker) {
				t.Errorf("exit %d: %s%s; through the tunnel came %q, %v\n%s", r.Exit, r.Out, r.Err, page, err, gw.Must("log"))
			} else if !strings.Contains(heard, "alice") {
				t.Error("the server did not hear the user, so the test is blind")
			}
			if tt.revoked == "alice" && !strings.Contains(gw.Must("log"), "was revoked by its authority") {
				t.Errorf("the gateway does not say why\n%s", gw.Must("log"))
			}
			s.CLI("disconnect", "office")
			s.Stop()
		})
	}
}
