package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/internal/simnet"
)

// An authCase is a way for the two ends to prove who they are, with a right
// credential of the user and a wrong one.
type authCase struct {
	name          string
	local, remote string // of the user's profile: what stands under [local] and [remote]
	gateway       string // the tables of the gateway's profile before its children
	asks          api.PromptKind
	right, wrong  string // what is stored as "office+psk", or answered
	code          api.ErrorCode
	files         func(f *authFiles, secret string) // beside what all have
	list          bool                              // of users with their passwords, at the gateway
	radius        []eap.Type
	cannot        bool // not even with the right one
	offline       bool // the wrong one does not get as far as the gateway
}

// authFiles are what the profiles name.
type authFiles struct {
	t      *testing.T
	w      *world
	ca     *issuer
	radius *fakeRADIUS
	keys   []*ecdsa.PrivateKey // that are secrets
}

// The secrets of these tests. They hold what every encoding writes in its own
// way.
const (
	markedRight = "canary right <\"Grüße & \\ \u2603> 1"
	markedWrong = "canary wrong <\"Grüße & \\ \u2603> 2"
	markedShare = "canary shared <\"with RADIUS\">"
)

const (
	certRemote = "method = \"certificate\"\nid = \"gw.vpn.test\"\ncas = [\"ca.pem\"]\n"
	certLocal  = "[local]\nmethod = \"certificate\"\nid = \"gw.vpn.test\"\ncertificates = [\"gw.pem\"]\nkey = \"workers+key\"\n"
)

// eapLocal is a user's [local] for EAP.
func eapLocal(method, more string) string {
	return "method = \"eap\"\nuser = \"alice\"\n" + more + "[local.eap]\nmethods = [\"" + method + "\"]\n"
}

func eapGateway(remote, methods string) string {
	return certLocal + "\n[remote]\nmethod = \"eap\"\ncas = [\"ca.pem\"]\n" + remote + methods
}

const (
	usersOfList   = "users = \"workers+users\"\n"
	usersOfRADIUS = "[remote.radius]\nservers = [\"10.10.0.10\"]\nsecret = \"workers+radius\"\n"
	storedSecret  = "secret = \"office+psk\"\n"
	ownCert       = "certificates = [\"alice.pem\"]\nkey = \"office+key\"\n"
)

// authCases are all methods of the user against our own responder. The
// methods that it does not speak (TTLS, PEAP) are proved against
// strongSwan and FreeRADIUS.
func authCases() []authCase {
	psk := authCase{name: "PSK", local: "method = \"psk\"\nid = \"alice@vpn.test\"\n" + storedSecret, remote: "method = \"psk\"\nid = \"gw.vpn.test\"\n",
		gateway: "[local]\nmethod = \"psk\"\nid = \"gw.vpn.test\"\nsecret = \"workers+psk\"\n\n[remote]\nmethod = \"psk\"\n", code: api.CodeAuthRefused}
	asked := psk
	asked.name, asked.asks, asked.local = "PSK, asked", api.PromptSecret, strings.Replace(psk.local, storedSecret, "ask = true\n", 1)
	certGateway := certLocal + "\n[remote]\nmethod = \"certificate\"\ncas = [\"ca.pem\"]\n"
	alice := "method = \"certificate\"\nid = \"alice.vpn.test\"\n" + ownCert
	list := []authCase{psk, asked,
		{name: "certificate", local: alice, remote: certRemote, gateway: certGateway, code: api.CodeAuthRefused,
			files: func(f *authFiles, secret string) { f.certificate(secret == markedWrong, "") }},
		{name: "certificate, encrypted key", local: alice + "ask = true\n", remote: certRemote, gateway: certGateway, asks: api.PromptPassphrase,
			code: api.CodeLocalCredential, offline: true, files: func(f *authFiles, _ string) { f.certificate(false, markedRight) }},
		{name: "EAP-TLS", local: eapLocal("tls", ownCert), remote: certRemote, gateway: eapGateway(usersOfList, "[remote.eap]\nmethods = [\"tls\"]\n"),
			code: api.CodePasswordRefused, list: true, files: func(f *authFiles, secret string) { f.certificate(secret == markedWrong, "") }},
		{name: "certificate, then EAP (RFC 4739), to a gateway without", local: alice + "user = \"alice\"\n" + storedSecret, remote: certRemote, gateway: certGateway,
			code: api.CodeLocalCredential, cannot: true, files: func(f *authFiles, _ string) { f.certificate(false, "") }},
		{name: "certificate, then EAP (RFC 4739)", local: alice + "user = \"alice\"\n" + storedSecret, remote: certRemote, gateway: certGateway + usersOfList,
			code: api.CodePasswordRefused, list: true, files: func(f *authFiles, _ string) { f.certificate(false, "") }},
		{name: "certificate, then EAP (RFC 4739), asked", local: alice + "user = \"alice\"\n", remote: certRemote, gateway: certGateway + usersOfList, asks: api.PromptPassword,
			code: api.CodePasswordRefused, list: true, files: func(f *authFiles, _ string) { f.certificate(false, "") }},
		{name: "certificate, then EAP (RFC 4739), wrong certificate", local: alice + "user = \"alice\"\n" + storedSecret, remote: certRemote, gateway: certGateway + usersOfList,
			code: api.CodeAuthRefused, list: true, files: func(f *authFiles, secret string) { f.certificate(secret == markedWrong, "") }},
		{name: "certificate, then EAP (RFC 4739) through RADIUS", local: alice + "user = \"alice\"\n" + storedSecret, remote: certRemote, gateway: certGateway + usersOfRADIUS,
			code: api.CodePasswordRefused, radius: []eap.Type{eap.TypeMSCHAPv2}, files: func(f *authFiles, _ string) { f.certificate(false, "") }},
	}
	for _, m := range []struct {
		name string
		typ  eap.Type
	}{{"mschapv2", eap.TypeMSCHAPv2}, {"gtc", eap.TypeGTC}} {
		c := authCase{name: "EAP-" + m.typ.String(), local: eapLocal(m.name, storedSecret), remote: certRemote,
			gateway: eapGateway(usersOfList, "[remote.eap]\nmethods = [\""+m.name+"\"]\n"), code: api.CodePasswordRefused, list: true}
		asked := c
		asked.name, asked.asks, asked.local = c.name+", asked", api.PromptPassword, strings.Replace(c.local, storedSecret, "", 1)
		through := c
		through.name, through.gateway, through.list, through.radius = c.name+" through RADIUS", eapGateway(usersOfRADIUS, ""), false, []eap.Type{m.typ}
		list = append(list, c, asked, through)
	}
	for i := range list {
		list[i].right, list[i].wrong = markedRight, markedWrong
	}
	return list
}

// certificate gives the user one; of another authority, when it is wrong.
func (f *authFiles) certificate(wrong bool, passphrase string) {
	ca := f.ca
	if wrong {
		ca = newIssuer(f.t, "own") // the same name, another key
	}
	key := newKey(f.t)
	c := certify(f.t, &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "alice"}, DNSNames: []string{"alice.vpn.test", "alice"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.cert, key.Public(), ca.key)
	f.w.cm.Certs.Write("alice.pem", pemOf("CERTIFICATE", c.Raw))
	f.keys = append(f.keys, key)
	text := keyPEM(f.t, key)
	if passphrase != "" {
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			f.t.Fatal(err)
		}
		//lint:ignore SA1019 files in this form are in use
		locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte(passphrase), x509.PEMCipherAES256)
		if err != nil {
			f.t.Fatal(err)
		}
		text = pem.EncodeToMemory(locked)
	}
	f.w.cm.Secrets.Write("office+key", text)
}

// world starts both ends. The user has the given secret; profile is a name, or
// empty.
func (c *authCase) world(t *testing.T, secret, profile string) *authFiles {
	t.Helper()
	f := &authFiles{t: t, w: newWorld(t, "", ""), ca: newIssuer(t, "own")}
	w := f.w
	gw, key := f.ca.issue(t, "gw.vpn.test")
	f.keys = append(f.keys, key)
	for _, m := range []struct {
		write func(string, []byte) error
		name  string
		data  []byte
	}{
		{w.cm.Certs.Write, "ca.pem", pemOf("CERTIFICATE", f.ca.cert.Raw)},
		{w.gm.Certs.Write, "ca.pem", pemOf("CERTIFICATE", f.ca.cert.Raw)},
		{w.gm.Certs.Write, "gw.pem", pemOf("CERTIFICATE", gw.Raw)},
		{w.gm.Secrets.Write, "workers+key", keyPEM(t, key)},
		{w.gm.Secrets.Write, "workers+psk", []byte(c.right)},
		{w.gm.Secrets.Write, "workers+radius", []byte(markedShare)},
		{w.gm.Secrets.Write, "workers+users", fmt.Appendf(nil, "[[users]]\nname = \"alice\"\npassword = '%s'\n", c.right)},
		{w.gm.Profiles.Write, "workers.toml", []byte(strings.Split(gatewayProfile, "[local]")[0] + c.gateway + "\n[[children]]" + strings.SplitN(gatewayProfile, "[[children]]", 2)[1])},
	} {
		if err := m.write(m.name, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if c.radius != nil {
		f.radius = &fakeRADIUS{secret: []byte(markedShare), config: eap.ServerConfig{Name: "radius", Methods: c.radius, Password: users("alice", c.right)}}
		w.gm.Dial = f.radius.dial
	}
	if c.files != nil {
		c.files(f, secret)
	}
	if c.asks == "" {
		w.cm.Secrets.Write("office+psk", []byte(secret))
	}
	own := clientProfile
	if profile != "" {
		own = strings.Replace(own, "gateways", "profile = \""+profile+"\"\ngateways", 1)
	}
	head, children, _ := strings.Cut(own, "[local]")
	_, children, _ = strings.Cut(children, "[[children]]")
	w.cm.Profiles.Write("office.toml", []byte(head+"[local]\n"+c.local+"\n[remote]\n"+c.remote+"\n[[children]]"+children))
	if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
		t.Fatal(err)
	}
	return f
}

// try connects once, and answers what is asked.
func (c *authCase) try(t *testing.T, e *Engine, secret string) error {
	t.Helper()
	end := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		end <- e.Connect(ctx, api.ConnectRequest{Name: "office", Wait: true})
	}()
	if c.asks != "" {
		answerWith(t, e, api.Answer{ID: question(t, e, c.asks).ID, Secret: []byte(secret)})
	}
	return <-end
}

// Every method lets the right user in, and carries traffic.
func TestAuthMethods(t *testing.T) {
	for _, c := range authCases() {
		if c.cannot {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := c.world(t, c.right, "")
				defer f.w.stop()
				if err := c.try(t, f.w.client, c.right); err != nil {
					t.Fatal(err)
				}
				f.w.carries(t, "10.20.0.1")
			})
		})
	}
}

// A wrong credential is tried once per connect, is explained within five
// seconds, and is not tried again by itself: a profile that keeps trying would
// lock the account.
func TestWrongCredentialIsTriedOnce(t *testing.T) {
	for _, c := range authCases() {
		for _, profile := range []string{"respond", "request", "require"} {
			t.Run(c.name+"/"+profile, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := c.world(t, c.wrong, profile)
					defer f.w.stop()
					tries := map[string]bool{} // IKE SAs that got as far as IKE_AUTH
					f.w.net.SetTap(func(p simnet.Packet) bool {
						b := p.Data
						if len(b) > 4 && p.To.Port() == 4500 {
							b = b[4:]
						}
						if p.From.Addr() == clientAddr && len(b) > 18 && b[18] == 35 {
							tries[string(b[:8])] = true
						}
						return true
					})
					want := 1
					if c.offline || c.cannot {
						want = 0
					}
					for n := 1; n <= 2; n++ {
						begun := time.Now()
						ae := wantCode(t, c.try(t, f.w.client, c.wrong), c.code)
						if took := time.Since(begun); took > 5*time.Second {
							t.Errorf("explained after %v", took)
						}
						if ae.What == "" || ae.Why == "" || ae.Next == "" {
							t.Errorf("half an explanation: %+v", ae)
						}
						time.Sleep(time.Hour)
						if len(tries) != n*want {
							t.Errorf("%d tries at the gateway after %d connects and an hour, want %d", len(tries), n, n*want)
						}
						if f.radius != nil && f.radius.rejects != n {
							t.Errorf("%d tries at the RADIUS server after %d connects", f.radius.rejects, n)
						}
					}
				})
			})
		}
	}
}
