package engine

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/pki"
)

// An issuer is a certificate authority of a test.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newIssuer(t *testing.T, name string) *issuer {
	t.Helper()
	a := &issuer{key: newKey(t)}
	a.cert = certify(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, nil, a.key.Public(), a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certify(t *testing.T, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour)
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue returns a certificate for a host name and its key.
func (a *issuer) issue(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := newKey(t)
	return certify(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "The gateway \x1b[1m" + strings.Repeat("x", 300)},
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature}, a.cert, key.Public(), a.key), key
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

const certGatewayAuth = `[local]
method = "certificate"
id = "gw.vpn.test"
certificates = ["gw.pem"]
key = "workers+key"

[remote]
method = "psk"
secret = "workers+psk"
`

// openProfile leaves open which authority vouches for the gateway.
func openProfile(text string) string {
	return strings.Replace(text, "method = \"psk\"\nid = \"gw.vpn.test\"", "method = \"certificate\"\nid = \"gw.vpn.test\"", 1)
}

// newCertWorld is a world whose gateway has a certificate of ca for a name.
func newCertWorld(t *testing.T, client string, ca *issuer, name string) (*world, *x509.Certificate) {
	t.Helper()
	cert, key := ca.issue(t, name)
	own := strings.Split(gatewayProfile, "[local]")[0] + strings.Replace(certGatewayAuth, "gw.vpn.test", name, 1) + "\n[[children]]" + strings.SplitN(gatewayProfile, "[[children]]", 2)[1]
	w := newWorld(t, client, "")
	w.gm.Certs.Write("gw.pem", pemOf("CERTIFICATE", cert.Raw))
	w.gm.Secrets.Write("workers+key", keyPEM(t, key))
	w.gm.Secrets.Write("workers+psk", []byte(rightSecret))
	w.gm.Profiles.Write("workers.toml", []byte(own))
	if _, err := w.gateway.State(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
		t.Fatal(err)
	}
	return w, cert
}

// A gateway that no authority vouches for is asked about once.
func TestUnknownServerIsTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cert := newCertWorld(t, openProfile(requireProfile), newIssuer(t, "nobody"), "gw.vpn.test")
		defer w.stop()
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptServer)
		x := q.Certificate
		if x == nil || x.Fingerprint != pki.Fingerprint(cert) || len(x.Fingerprint) != 95 || !x.NotAfter.Equal(cert.NotAfter) || len(x.Names) != 1 || x.Names[0] != "gw.vpn.test" {
			t.Fatalf("the certificate is shown as %+v", x)
		}
		if strings.Contains(x.Subject, "\x1b") || len([]rune(x.Subject)) > maxCertText+1 {
			t.Errorf("its subject as %q", x.Subject)
		}
		c := connection(t, w.client)
		if c.State != api.Connecting || c.Problem == nil || c.Problem.Code != api.CodePeerUnknownCA || c.Problem.Params["fingerprint"] != x.Fingerprint {
			t.Errorf("while it is asked: %s, %+v", c.State, c.Problem)
		}
		if action(w.cm, "10.10.0.10") != host.FirewallTunnelOnly {
			t.Error("traffic leaves in clear while the user is asked")
		}
		wantCode(t, w.client.Answer(t.Context(), api.Answer{ID: q.ID, Secret: []byte("yes")}), api.CodeUsage)
		answerWith(t, w.client, api.Answer{ID: q.ID, Trust: true})
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		for range 2 {
			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
			if err := connect(t, w.client, time.Minute); err != nil {
				t.Fatal("a trusted gateway: ", err)
			}
		}

		// Another certificate of the same name is another gateway.
		other, key := newIssuer(t, "nobody").issue(t, "gw.vpn.test")
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if err := w.gateway.Disconnect(t.Context(), "workers"); err != nil {
			t.Fatal(err)
		}
		w.gm.Certs.Write("gw.pem", pemOf("CERTIFICATE", other.Raw))
		w.gm.Secrets.Write("workers+key", keyPEM(t, key))
		if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, connect(t, w.client, time.Minute), api.CodePeerUnknownCA)
		noQuestion(t, w.client)
	})
}

func TestUnknownServerIsNotTrusted(t *testing.T) {
	for name, tt := range map[string]struct {
		answer api.Answer
		code   api.ErrorCode
	}{
		"no":        {api.Answer{}, api.CodePeerUnknownCA},
		"cancelled": {api.Answer{Cancel: true}, api.CodeCancelled},
		"silence":   {api.Answer{ID: "none"}, api.CodePeerUnknownCA},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := newCertWorld(t, openProfile(clientProfile), newIssuer(t, "nobody"), "gw.vpn.test")
				defer w.stop()
				end := begin(t, w.client)
				q := question(t, w.client, api.PromptServer)
				if tt.answer.ID == "" {
					tt.answer.ID = q.ID
					answerWith(t, w.client, tt.answer)
				}
				wantCode(t, <-end, tt.code)
				time.Sleep(time.Hour)
				noQuestion(t, w.client)
				if b, _ := w.cm.Profiles.Read("office.toml"); bytes.Contains(b, []byte("cas")) {
					t.Errorf("something is trusted now:\n%s", b)
				}
			})
		})
	}
}

// Whom the system's authorities vouch for nobody is asked about, and where the
// certificate says another name, or the profile its authorities, a question
// would only be an invitation.
func TestServersNotAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newIssuer(t, "everybody's")
		w, _ := newCertWorld(t, openProfile(clientProfile), ca, "gw.vpn.test")
		defer w.stop()
		w.cm.Roots = x509.NewCertPool()
		w.cm.Roots.AddCert(ca.cert)
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w, _ := newCertWorld(t, openProfile(clientProfile), newIssuer(t, "nobody"), "other.vpn.test")
		defer w.stop()
		// It refuses us, for we asked for another.
		if err := connect(t, w.client, time.Minute); err == nil {
			t.Error("connected to another")
		}
		noQuestion(t, w.client)
	})
	synctest.Test(t, func(t *testing.T) {
		ca := newIssuer(t, "the right one")
		text := strings.Replace(openProfile(clientProfile), "[[children]]", "cas = [\"ca.pem\"]\n\n[[children]]", 1)
		w, _ := newCertWorld(t, text, newIssuer(t, "nobody"), "gw.vpn.test")
		defer w.stop()
		w.cm.Certs.Write("ca.pem", pemOf("CERTIFICATE", ca.cert.Raw))
		wantCode(t, connect(t, w.client, time.Minute), api.CodePeerUnknownCA)
		noQuestion(t, w.client)
	})
}

func must(b []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A gateway whose file changed while it was asked about is not pinned over it.
func TestTrustDoesNotOverwriteEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newCertWorld(t, openProfile(clientProfile), newIssuer(t, "nobody"), "gw.vpn.test")
		defer w.stop()
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptServer)
		edited := []byte(openProfile(clientProfile) + "\n# mine\n")
		w.cm.Profiles.Write("office.toml", edited)
		answerWith(t, w.client, api.Answer{ID: q.ID, Trust: true})
		wantCode(t, <-end, api.CodeBusy)
		if got := must(w.cm.Profiles.Read("office.toml")); got != string(edited) {
			t.Errorf("the file is now\n%s", got)
		}
	})
}

// The key of a certificate can stay encrypted: its passphrase opens it in memory.
func TestAskForPassphrase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newIssuer(t, "own")
		cert, key := ca.issue(t, "alice.vpn.test")
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 files in this form are in use
		locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte("open sesame"), x509.PEMCipherAES256)
		if err != nil {
			t.Fatal(err)
		}
		client := strings.Replace(clientProfile, "method = \"psk\"\nid = \"alice@vpn.test\"\nsecret = \"office+psk\"",
			"method = \"certificate\"\nid = \"alice.vpn.test\"\ncertificates = [\"alice.pem\"]\nkey = \"office+key\"\nask = true", 1)
		client = strings.Replace(client, "id = \"gw.vpn.test\"", "id = \"gw.vpn.test\"\nsecret = \"office+psk\"", 1)
		gateway := strings.Replace(gatewayProfile, "[remote]\nmethod = \"psk\"", "[remote]\nmethod = \"certificate\"\ncas = [\"ca.pem\"]", 1)
		w := newWorld(t, client, "")
		defer w.stop()
		w.cm.Certs.Write("alice.pem", pemOf("CERTIFICATE", cert.Raw))
		w.cm.Secrets.Write("office+key", pem.EncodeToMemory(locked))
		w.gm.Certs.Write("ca.pem", pemOf("CERTIFICATE", ca.cert.Raw))
		w.gm.Secrets.Write("workers+psk", []byte(rightSecret))
		w.gm.Profiles.Write("workers.toml", []byte(gateway))
		if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
			t.Fatal(err)
		}
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptPassphrase)
		answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte("open barley")})
		if ae := wantCode(t, <-end, api.CodeLocalCredential); !strings.Contains(ae.Why, "passphrase does not open") {
			t.Errorf("explained as %v", ae)
		}
		end = begin(t, w.client)
		if q = question(t, w.client, api.PromptPassphrase); q.Attempt != 2 {
			t.Errorf("asked as attempt %d", q.Attempt)
		}
		answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte("open sesame")})
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		inside(t, w.client, func(c *conn) {
			if c.held != nil {
				t.Error("the open key is still held")
			}
		})
	})
}

// A replacing import keeps the secret that its file leaves out, through the
// engine as well; the first one asks.
func TestImportAsksAndKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", gatewayProfile)
		defer w.stop()
		text := strings.Replace(clientProfile, "secret = \"office+psk\"\n", "", 1)
		request := func(change func(*api.ImportRequest)) api.ImportedConnection {
			t.Helper()
			r := api.ImportRequest{Files: []api.File{{Path: "office.toml", Data: []byte(text)}}}
			change(&r)
			res, err := w.client.Import(t.Context(), r)
			if err != nil || len(res.Imported) != 1 {
				t.Fatalf("%+v, %v", res, err)
			}
			return res.Imported[0]
		}
		if c := request(func(*api.ImportRequest) {}); len(c.Asks) != 1 || c.Asks[0] != api.PromptSecret {
			t.Errorf("asks %v", c.Asks)
		}
		end := begin(t, w.client)
		answerWith(t, w.client, api.Answer{ID: question(t, w.client, api.PromptSecret).ID, Secret: []byte(rightSecret)})
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		request(func(r *api.ImportRequest) { r.Replace, r.Password = true, []byte(rightSecret) })
		if c := request(func(r *api.ImportRequest) { r.Replace = true }); len(c.Asks) != 0 {
			t.Errorf("asks %v for what is stored", c.Asks)
		}
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}
