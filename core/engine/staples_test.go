package engine

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/profile"
)

// A gateway keeps what its authority tells about its certificate at hand, asks in
// time again, and brings it along: a client that cannot ask anybody knows it.
func TestGatewayBringsItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := revocable(t, `revocation = "strict"`)
		defer w.stop()
		ca := newIssuer(t, "CA 2")
		key := newKey(t)
		cert := certify(t, &x509.Certificate{SerialNumber: big.NewInt(43), Subject: pkix.Name{CommonName: "gw"}, DNSNames: []string{"gw.vpn.test"},
			KeyUsage: x509.KeyUsageDigitalSignature, OCSPServer: []string{"http://" + crlServer + ":8080/", "http://127.0.0.1/"}}, ca.cert, key.Public(), ca.key)
		var mu sync.Mutex
		var asked []string
		down, revoked := true, false
		w.gm.Fetch = func(_ context.Context, r host.FetchRequest) (host.FetchResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, r.URL)
			if down {
				return host.FetchResponse{}, errors.New("connection refused")
			}
			x := ocsp.Response{Status: ocsp.Good, SerialNumber: cert.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
			if revoked {
				x.Status, x.RevokedAt = ocsp.Revoked, time.Now()
			}
			body, err := ocsp.CreateResponse(ca.cert, ca.cert, x, ca.key)
			return host.FetchResponse{Status: 200, Body: body}, err
		}
		set := func(d, r bool) (before int) {
			mu.Lock()
			defer mu.Unlock()
			down, revoked, before, asked = d, r, len(asked), nil
			return before
		}
		w.cm.Fetch = func(_ context.Context, r host.FetchRequest) (host.FetchResponse, error) {
			return host.FetchResponse{}, errors.New("connection refused")
		}
		w.cm.Certs.Write("ca.pem", pemOf("CERTIFICATE", ca.cert.Raw))
		w.gm.Certs.Write("gw.pem", append(pemOf("CERTIFICATE", cert.Raw), pemOf("CERTIFICATE", ca.cert.Raw)...))
		w.gm.Secrets.Write("workers+key", keyPEM(t, key))
		if err := w.gateway.Disconnect(t.Context(), "workers"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
			t.Fatal(err)
		}

		// Nobody tells the gateway: it asks again, less and less often, and never
		// this machine.
		time.Sleep(10 * time.Hour)
		mu.Lock()
		if n := len(asked); n < 10 || n > 20 || slices.ContainsFunc(asked, func(u string) bool { return strings.Contains(u, "127.0.0.1") }) {
			t.Errorf("asked %d times in ten hours: %q", n, asked)
		}
		mu.Unlock()
		wantCode(t, connect(t, w.client, 8*time.Second), api.CodeRevocationUnknown)

		set(false, false)
		time.Sleep(2 * time.Hour)
		set(false, false)
		time.Sleep(5 * time.Hour)
		if n := set(false, false); n < 9 || n > 11 {
			t.Errorf("asked %d times in five hours", n)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if err := connect(t, w.client, 8*time.Second); err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}

		set(false, true)
		time.Sleep(time.Hour)
		wantCode(t, connect(t, w.client, 8*time.Second), api.CodePeerRevoked)
		if got := w.gm.Intent().Exempt.Fetch; len(got) > 0 {
			t.Errorf("the gateway's firewall stays open for %v", got)
		}

		// Who listens no longer asks no longer.
		if err := w.gateway.Disconnect(t.Context(), "workers"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		set(false, false)
		time.Sleep(10 * time.Hour)
		if n := set(false, false); n > 0 {
			t.Errorf("asked %d times although nobody listens", n)
		}
	})
}

// Where it must be known each time that a certificate was not revoked, no ticket
// spares the question, whichever end asks.
func TestStrictTakesNoTickets(t *testing.T) {
	ca := newIssuer(t, "CA")
	own, key := ca.issue(t, "gw.vpn.test")
	certs := inMemory{"ca.pem": pemOf("CERTIFICATE", ca.cert.Raw), "own.pem": pemOf("CERTIFICATE", own.Raw)}
	secrets := inMemory{"own+key": keyPEM(t, key), "users": []byte("[[users]]\nname = \"alice\"\npassword = \"s3cret 1234\"\n"), "psk": []byte(rightSecret)}
	for name, text := range map[string]string{
		"initiator": "gateways = [\"198.51.100.1\"]\n[local]\nmethod = \"psk\"\nsecret = \"psk\"\n[remote]\nmethod = \"certificate\"\nid = \"gw.vpn.test\"\ncas = [\"ca.pem\"]\n",
		"responder": "role = \"responder\"\n[local]\nmethod = \"certificate\"\ncertificates = [\"own.pem\"]\nkey = \"own+key\"\n[remote]\nmethod = \"eap\"\nusers = \"users\"\ncas = [\"ca.pem\"]\n",
	} {
		for policy, none := range map[string]bool{"soft": false, "strict": true} {
			p, err := profile.Parse("office.toml", []byte("version = 1\nname = \"office\"\n"+text+"revocation = \""+policy+"\"\n[[children]]\nname = \"net\"\n"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cfg, err := credentials{certs: certs, secrets: secrets}.ikeConfig(p, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if (cfg.TicketLife < 0) != none {
				t.Errorf("%s, %s: tickets live %v", name, policy, cfg.TicketLife)
			}
		}
	}
}
