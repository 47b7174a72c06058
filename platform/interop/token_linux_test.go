package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
	"sallyport/platform/internal/softhsm"
)

const (
	tokenPIN = "canary-pin-7391"
	wrongPIN = "canary-pin-0000"
	// spyModule writes down every call that goes through it (OpenSC).
	spyModule = "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so"
)

// tokenProfile is a connection whose key is on a token.
func tokenProfile(uri, gateway, extra string) string {
	return fmt.Sprintf(`version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]
[local]
method = "certificate"
id = "alice@vpn.test"
token = %q
%s
[remote]
method = "certificate"
id = %q
cas = ["ca.crt"]
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`, uri, extra, gateway+".vpn.test")
}

// tokenService starts a service that sees the tokens through SoftHSM, or through
// another module in front of it.
func tokenService(t *testing.T, l *lab.Lab, soft *softhsm.Tokens, name, module string, env ...string) *lab.Service {
	t.Helper()
	l.Bin("sallyport-token")
	return l.Client.Service(name, func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--pkcs11-module", module)
		cmd.Env = append(append(cmd.Env, soft.Env()), env...)
	})
}

// withPIN runs the command line with a PIN on standard input.
func withPIN(t *testing.T, s *lab.Service, pin string, args ...string) (string, error) {
	t.Helper()
	cmd := s.Command(args...)
	cmd.Stdin = strings.NewReader(pin + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tokenFiles writes a profile and the authority of its gateway.
func tokenFiles(t *testing.T, l *lab.Lab, pki *lab.PKI, name, ca, text string) string {
	t.Helper()
	dir := l.Dir("files-" + name)
	pki.Install(t, dir, []string{ca}, nil)
	if err := os.Rename(findFile(t, dir, ca+".crt"), dir+"/ca.crt"); err != nil {
		t.Fatal(err)
	}
	return write(t, dir, text)
}

// TestToken proves who the user is with keys that never leave a token, to
// strongSwan, with every kind of key that SoftHSM has.
func TestToken(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	pki.Issue(t, lab.Leaf{Name: "alice-rsa2048", Issuer: "ca-rsa", Key: "rsa2048", SANs: []string{"alice@vpn.test"}, Client: true})
	gw := newGateway(t, l, pki)
	soft := softhsm.New(t, l.Dir("softhsm"))
	soft.Init("Alice", tokenPIN)
	kinds := []struct{ name, gateway, ca, auth string }{
		{"rsa2048", "rsa", "ca-rsa", "rsa-pss"}, {"rsa", "pss", "ca-rsa", "rsa-pss"}, {"ecdsa256", "ecdsa256", "ca-ecdsa256", "ecdsa-sha256"},
		{"ecdsa384", "ecdsa384", "ca-ecdsa384", "ecdsa-sha384"}, {"ed25519", "ed25519", "ca-ed25519", "ed25519"},
	}
	for i, k := range kinds {
		cert, key := pki.Pair(t, "alice-"+k.name)
		soft.Put("Alice", tokenPIN, byte(i+1), k.name, cert, key)
	}
	s := tokenService(t, l, soft, "token", softhsm.Module)
	out := s.Must("tokens")
	for i := range kinds {
		if uri := fmt.Sprintf("id=%%0%d", i+1); !strings.Contains(out, uri) || !strings.Contains(out, "CN=alice-"+kinds[i].name) {
			t.Errorf("the list lacks %s:\n%s", uri, out)
		}
	}
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			l, s := l.For(t), s.For(l.For(t))
			extra := ""
			if k.name == "rsa2048" {
				extra = `signatures = ["rsa-sha256"]` // PKCS #1 v1.5
				k.auth = "rsa-sha256"
			}
			if k.gateway == "pss" {
				extra = `signatures = ["rsa-pss-sha384"]`
			}
			file := tokenFiles(t, l, pki, k.name, k.ca, tokenProfile(fmt.Sprintf("pkcs11:token=Alice;id=%%0%d", i+1), k.gateway, extra))
			mark := gw.Mark()
			if k.name == "ecdsa256" { // tried before it is stored
				out, err := withPIN(t, s, tokenPIN, "test", "--password-stdin", file)
				if err != nil {
					t.Errorf("test: %v\n%s", err, out)
				}
				if out, err = withPIN(t, s, wrongPIN, "test", "--password-stdin", file); err == nil || !strings.Contains(out, "refused the PIN") {
					t.Errorf("test with a wrong PIN: %v\n%s", err, out)
				}
			}
			s.Must("import", "--replace", file)
			if out, err := withPIN(t, s, tokenPIN, "connect", "office", "--wait", "20s", "--password-stdin"); err != nil {
				t.Fatalf("connect: %v\n%s\n%s", err, out, gw.Since(mark))
			}
			carriesPage(t, l)
			if got := s.Dynamic().IKESAs[0].LocalAuth; !strings.HasPrefix(got, k.auth) {
				t.Errorf("authenticated with %s, want %s", got, k.auth)
			}
			s.Must("disconnect", "office")
		})
	}
}

// TestTokenPIN gives wrong PINs: each is explained at once, and none reaches the
// token twice. A spy between the module and us counts.
func TestTokenPIN(t *testing.T) {
	if _, err := os.Stat(spyModule); err != nil {
		t.Skip("pkcs11-spy is not installed (.ci/setup test)")
	}
	l := lab.New(t)
	pki := newPKI(t)
	newGateway(t, l, pki)
	soft := softhsm.New(t, l.Dir("softhsm"))
	soft.Init("Alice", tokenPIN)
	cert, key := pki.Pair(t, "alice-ecdsa256")
	soft.Put("Alice", tokenPIN, 1, "mine", cert, key)
	spy := l.Dir("spy") + "/log"
	s := tokenService(t, l, soft, "pin", spyModule, "PKCS11SPY="+softhsm.Module, "PKCS11SPY_OUTPUT="+spy)
	logins := func() int {
		b, err := os.ReadFile(spy)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Count(string(b), ": C_Login\n")
	}
	uri := "pkcs11:token=Alice;object=mine"
	s.Must("import", tokenFiles(t, l, pki, "pin", "ca-ecdsa256", tokenProfile(uri, "ecdsa256", "")))
	fails := func(pin string, code api.ErrorCode, logsIn int, says string) {
		t.Helper()
		before, begun := logins(), time.Now()
		out, err := withPIN(t, s, pin, "connect", "office", "--wait", "20s", "--password-stdin")
		if err == nil || !strings.Contains(out, says) || time.Since(begun) > 5*time.Second {
			t.Errorf("%s after %v: %v\n%s", code, time.Since(begun), err, out)
		}
		if got := s.Connection("office").Problem; got == nil || got.Code != code {
			t.Errorf("the problem is %+v, want %s", got, code)
		}
		if got := logins() - before; got != logsIn {
			t.Errorf("the PIN went %d times to the token, want %d", got, logsIn)
		}
	}
	fails(wrongPIN, api.CodePINWrong, 1, "The token refused the PIN")
	fails(wrongPIN, api.CodePINWrong, 0, "refused this PIN before")
	fails("1", api.CodePINWrong, 0, "was not given to the token")

	// With a wrong PIN behind it the token says so to who is asked.
	prompt, done := prompted(t, s, api.PromptPIN)
	if prompt.Text != "Alice" || prompt.Tries != api.TriesLow || prompt.Rememberable {
		t.Errorf("the question is %+v", prompt)
	}
	if err := s.Client.Answer(t.Context(), api.Answer{ID: prompt.ID, Secret: []byte(tokenPIN)}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	carriesPage(t, l)
	s.Must("disconnect", "office")

	// A stored PIN that is wrong goes to the token once, and is forgotten.
	if out, err := withPIN(t, s, "canary-pin-1111", "import", "--replace", "--password-stdin", tokenFiles(t, l, pki, "stored", "ca-ecdsa256", tokenProfile(uri, "ecdsa256", ""))); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	before := logins()
	if e, _ := s.Error("connect", "office", "--wait", "20s"); e.Code != api.CodePINWrong {
		t.Errorf("a stored PIN that is wrong: %+v", e)
	}
	if got := logins() - before; got != 1 {
		t.Errorf("the stored PIN went %d times to the token", got)
	}
	prompt, done = prompted(t, s, api.PromptPIN)
	if err := s.Client.Answer(t.Context(), api.Answer{ID: prompt.ID, Cancel: true}); err != nil {
		t.Fatal(err)
	}
	<-done
	if got := logins() - before; got != 1 {
		t.Errorf("the stored PIN went %d times to the token", got)
	}
	mustNotTell(t, "the user's service", s, nil, tokenPIN, wrongPIN, "canary-pin-1111")

	// The card is pulled while the PIN is asked for.
	prompt, done = prompted(t, s, api.PromptPIN)
	soft.Remove()
	if err := s.Client.Answer(t.Context(), api.Answer{ID: prompt.ID, Secret: []byte(tokenPIN)}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if e := api.AsError(<-done); e == nil || e.Code != api.CodeTokenRemoved || time.Since(begun) > 5*time.Second {
		t.Errorf("pulled: %+v after %v", e, time.Since(begun))
	}
	if e, _ := s.Error("connect", "office", "--wait", "20s"); e.Code != api.CodeTokenMissing {
		t.Errorf("without the card: %+v", e)
	}
}

// TestTokenWithinTLS proves the user with a key on a token within EAP-TLS, where
// TLS has to wait for it; the profile is a file of strongSwan's, with the PIN in it.
func TestTokenWithinTLS(t *testing.T) {
	l := lab.New(t)
	pki := eapPKI(t)
	gw := eapGateway(t, l, pki)
	soft := softhsm.New(t, l.Dir("softhsm"))
	soft.Init("Alice", tokenPIN)
	cert, key := pki.Pair(t, "alice")
	soft.Put("Alice", tokenPIN, 0xaf, "alice", cert, key)
	s := tokenService(t, l, soft, "tls", softhsm.Module)
	for name, certs := range map[string]string{"on the token": "      cert1 {\n        handle = af\n      }\n", "in a file": "      certs = alice.crt\n"} {
		t.Run(name, func(t *testing.T) {
			l := l.For(t)
			conf := strings.Replace(eapConf("tls", "alice", "", certs), "auth = eap\n", "auth = eap-tls\n", 1)
			dir := l.SwanDir("swan-"+strings.Fields(name)[2], conf+"secrets {\n  token1 {\n    handle = af\n    pin = "+tokenPIN+"\n  }\n}\n")
			pki.Install(t, dir, []string{"alice", "ca-ecdsa256"}, nil)
			s := s.For(l)
			s.Must("import", "--replace", dir+"/swanctl.conf")
			mark := gw.Mark()
			s.Must("connect", "office", "--wait", "20s")
			carriesPage(t, l)
			if got := s.Dynamic().IKESAs[0].LocalAuth; got != "EAP-TLS" {
				t.Errorf("authenticated with %s\n%s", got, gw.Since(mark))
			}
			s.Must("disconnect", "office")
		})
	}
	mustNotTell(t, "the user's service", s, nil, tokenPIN)
}
