package engine

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"testing/synctest"

	"software.sslmate.com/src/go-pkcs12"

	"sallyport/core/api"
	"sallyport/core/canary"
)

// lockedKeys are the forms of files that hold a private key behind a password, as
// the tables and files of an import.
func lockedKeys(t *testing.T, key *ecdsa.PrivateKey, cert, ca *x509.Certificate, password string) map[string][]api.File {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 files in this form are in use
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte(password), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	authority := api.File{Path: "ca.pem", Data: pemOf("CERTIFICATE", ca.Raw)}
	out := map[string][]api.File{
		"PEM": {authority, {Path: "alice.pem", Data: pemOf("CERTIFICATE", cert.Raw)}, {Path: "alice.key", Data: pem.EncodeToMemory(block)}},
	}
	for name, enc := range map[string]*pkcs12.Encoder{"PKCS #12, old": pkcs12.LegacyDES, "PKCS #12, new": pkcs12.Modern2023} {
		p12, err := enc.WithRand(rand.Reader).Encode(key, cert, []*x509.Certificate{ca}, password)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = []api.File{authority, {Path: "alice.key", Data: p12}}
	}
	return out
}

// TestCanaryOfKeyFiles imports keys behind a password, tests and uses them, with
// the right password and with a wrong one, and finds neither password nor key in
// anything that the service writes.
func TestCanaryOfKeyFiles(t *testing.T) {
	base := authCases()[2]
	if base.name != "certificate" {
		t.Fatalf("the case is %q", base.name)
	}
	for _, kind := range []string{"PEM", "PKCS #12, old", "PKCS #12, new"} {
		for _, password := range []string{markedWrong, markedRight} {
			right := password == markedRight
			t.Run(fmt.Sprintf("%s/%v", kind, right), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := base.world(t, base.right, "require")
					w, h := f.w, heap{}
					key := newKey(t)
					cert := certify(t, &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "alice"}, DNSNames: []string{"alice.vpn.test"},
						KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, f.ca.cert, key.Public(), f.ca.key)
					certs := ""
					if kind == "PEM" {
						certs = "certificates = [\"alice.pem\"]\n"
					}
					text := "version = 1\nname = \"office\"\ngateways = [\"" + gatewayAddr.String() + "\"]\nvirtual_ips = [\"0.0.0.0\"]\n" +
						"[local]\nmethod = \"certificate\"\nid = \"alice.vpn.test\"\nkey = \"alice.key\"\n" + certs +
						"[remote]\n" + certRemote + "[[children]]\nname = \"net\"\nremote_ts = [\"10.10.0.0/16\"]\n"
					request := func(dry bool) api.ImportRequest {
						files := append([]api.File{{Path: "office.toml", Data: []byte(text)}}, lockedKeys(t, key, cert, f.ca.cert, markedRight)[kind]...)
						return api.ImportRequest{Files: files, Password: []byte(password), Replace: true, DryRun: dry}
					}
					for _, dry := range []bool{true, false} {
						res, err := w.client.Import(t.Context(), request(dry))
						if (err == nil) != right {
							t.Errorf("import: %v", err)
						}
						h.add(t, "import", res, err)
					}
					tested, err := w.client.Test(t.Context(), request(false))
					if right && (err != nil || tested.Problem != nil) {
						t.Errorf("test: %+v, %v", tested, err)
					}
					h.add(t, "test", tested, err)
					err = base.try(t, w.client, password) // with what was stored before, where the password was wrong
					if err != nil {
						t.Errorf("connect: %v", err)
					}
					h.add(t, "connect", "", err)
					h.gather(t, "user's,", w.client, w.cm)
					h.gather(t, "gateway's,", w.gateway, w.gm)
					if err := w.client.Disconnect(t.Context(), "office"); err != nil {
						t.Error(err)
					}
					w.stop()
					d, err := key.Bytes()
					if err != nil {
						t.Fatal(err)
					}
					for where, b := range h {
						for _, found := range canary.Find(b.Bytes(), []byte(markedRight), []byte(markedWrong), d) {
							t.Errorf("%s: %s", where, found)
						}
					}
				})
			})
		}
	}
}
