package engine

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
)

// twoCertificates is a user with two certificates of the gateway's authority, of
// which one is the other's by name.
func twoCertificates(more string) *authCase {
	return &authCase{
		name:   "two certificates",
		local:  "method = \"certificate\"\nid = \"alice.vpn.test\"\n" + ownCert + more + "[[local.more]]\nid = \"bob.vpn.test\"\ncertificates = [\"bob.pem\"]\nkey = \"office+key-2\"\n",
		remote: certRemote, gateway: certLocal + "\n[remote]\nmethod = \"certificate\"\ncas = [\"ca.pem\"]\n",
		files: func(f *authFiles, _ string) {
			f.certificate(false, "")
			key := newKey(f.t)
			c := certify(f.t, &x509.Certificate{SerialNumber: big.NewInt(4), Subject: pkix.Name{CommonName: "bob"}, DNSNames: []string{"bob.vpn.test"},
				KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{smartCardLogon}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
				f.ca.cert, key.Public(), f.ca.key)
			f.w.cm.Certs.Write("bob.pem", pemOf("CERTIFICATE", c.Raw))
			f.w.cm.Secrets.Write("office+key-2", keyPEM(f.t, key))
		},
	}
}

func peerID(t *testing.T, w *world) string {
	t.Helper()
	d, err := w.gateway.Dynamic(t.Context())
	if err != nil || len(d.IKESAs) == 0 {
		t.Fatalf("no SA at the gateway: %v", err)
	}
	return d.IKESAs[len(d.IKESAs)-1].RemoteID
}

// Of several certificates that the gateway takes the user names one. It serves
// while the connection is wanted, and from then on when that is wished.
func TestAskWhichCertificate(t *testing.T) {
	for _, remember := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := twoCertificates("").world(t, "", "request")
			w := f.w
			defer w.stop()
			end := begin(t, w.client)
			q := question(t, w.client, api.PromptCertificate)
			if len(q.Choices) != 2 || q.Choices[0].Text != "alice.vpn.test" || q.Choices[1].Text != "bob.vpn.test" || !q.Rememberable || q.Until.Sub(q.Asked) != promptTime {
				t.Fatalf("the question is %+v", q)
			}
			x := q.Choices[1].Certificate
			if x == nil || x.Subject != "CN=bob" || x.Issuer != "CN=own" || x.Fingerprint == "" || !x.NotAfter.After(time.Now()) ||
				len(x.Uses) != 2 || x.Uses[0] != api.UseClient || x.Uses[1] != api.UseSmartCard {
				t.Errorf("the second certificate is %+v", x)
			}
			for _, bad := range []api.Answer{{Choice: "3"}, {Choice: ""}, {Secret: []byte("2")}, {Trust: true}, {Choice: "2", Trust: true}} {
				bad.ID = q.ID
				wantCode(t, w.client.Answer(t.Context(), bad), api.CodeUsage)
			}
			time.Sleep(90 * time.Second) // longer than a gateway keeps what is half open
			answerWith(t, w.client, api.Answer{ID: q.ID, Choice: "2", Remember: remember})
			if err := <-end; err != nil {
				t.Fatal(err)
			}
			w.carries(t, "10.20.0.1")
			if id := peerID(t, w); id != "bob.vpn.test" {
				t.Errorf("the gateway sees %s", id)
			}

			w.net.SetTap(dropAll) // it comes back without asking
			time.Sleep(5 * time.Minute)
			w.net.SetTap(nil)
			time.Sleep(2 * time.Minute)
			noQuestion(t, w.client)
			if c := connection(t, w.client); c.State != api.Connected {
				t.Fatalf("after the gateway came back: %s, %v", c.State, c.Problem)
			}
			if id := peerID(t, w); id != "bob.vpn.test" {
				t.Errorf("the gateway sees %s after it came back", id)
			}

			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
			text, err := w.cm.Profiles.Read("office.toml")
			if err != nil || strings.Contains(string(text), "prefer = 2") != remember {
				t.Errorf("the profile is now, %v:\n%s", err, text)
			}
			end = begin(t, w.client)
			if !remember {
				answerWith(t, w.client, api.Answer{ID: question(t, w.client, api.PromptCertificate).ID, Cancel: true})
				wantCode(t, <-end, api.CodeCancelled)
				return
			}
			if err := <-end; err != nil {
				t.Error(err)
			}
			noQuestion(t, w.client)
		})
	}
}

// Nobody there to choose: the attempt fails in time and says why, and what is
// required stays blocked.
func TestNobodyChoosesACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twoCertificates("").world(t, "", "require")
		defer f.w.stop()
		begun := time.Now()
		end := begin(t, f.w.client)
		q := question(t, f.w.client, api.PromptCertificate)
		e := wantCode(t, <-end, api.CodeTimeout)
		if took := time.Since(begun); took > promptTime+5*time.Second || !strings.Contains(e.Why, "Nobody answered") || e.Next == "" {
			t.Errorf("after %v: %+v", took, e)
		}
		if action(f.w.cm, "10.10.0.10") == host.FirewallClear {
			t.Error("what is required passes in clear")
		}
		noQuestion(t, f.w.client)
		wantCode(t, f.w.client.Answer(t.Context(), api.Answer{ID: q.ID, Choice: "1"}), api.CodeNotFound)
	})
}

// A choice that the gateway refuses is forgotten, and not written down.
func TestRefusedChoiceIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := twoCertificates("")
		c.gateway += "id = \"alice.vpn.test\"\n"
		f := c.world(t, "", "")
		defer f.w.stop()
		end := begin(t, f.w.client)
		answerWith(t, f.w.client, api.Answer{ID: question(t, f.w.client, api.PromptCertificate).ID, Choice: "2", Remember: true})
		wantCode(t, <-end, api.CodeAuthRefused)
		if text, _ := f.w.cm.Profiles.Read("office.toml"); strings.Contains(string(text), "prefer") {
			t.Errorf("a certificate that was refused is preferred:\n%s", text)
		}
		end = begin(t, f.w.client)
		q := question(t, f.w.client, api.PromptCertificate)
		if q.Attempt != 2 {
			t.Errorf("the second question is the %d.", q.Attempt)
		}
		answerWith(t, f.w.client, api.Answer{ID: q.ID, Choice: "1"})
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

// A profile that prefers one asks nobody.
func TestPreferredCertificate(t *testing.T) {
	for prefer, want := range map[string]string{"prefer = 1\n": "alice.vpn.test", "prefer = 2\n": "bob.vpn.test"} {
		synctest.Test(t, func(t *testing.T) {
			f := twoCertificates(prefer).world(t, "", "")
			defer f.w.stop()
			if err := connect(t, f.w.client, time.Minute); err != nil {
				t.Fatal(err)
			}
			if id := peerID(t, f.w); id != want {
				t.Errorf("%s: the gateway sees %s", prefer, id)
			}
		})
	}
}
