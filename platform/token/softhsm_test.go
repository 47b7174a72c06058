package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/platform/internal/softhsm"
)

// TestMain lets the binary of the tests be the helper as well.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Getenv("SALLYPORT_TOKEN_HELPER") != "" {
		if err := Help(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// newTokens returns the tokens that modules show, loaded by this binary.
func newTokens(t *testing.T, modules ...string) *Tokens {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SALLYPORT_TOKEN_HELPER", "1")
	k := New(exe, modules)
	t.Cleanup(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, p := range k.procs {
			p.end(true)
		}
	})
	return k
}

func selfSigned(t *testing.T, key crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const pin = "canary-7391"

// TestSoftHSM signs with every kind of key that SoftHSM has.
func TestSoftHSM(t *testing.T) {
	soft := softhsm.New(t, t.TempDir())
	name, value, _ := cutEnv(soft.Env())
	t.Setenv(name, value)
	soft.Init("Alice's card", pin)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	soft.Put("Alice's card", pin, 1, "rsa", selfSigned(t, rsaKey), rsaKey)
	soft.Put("Alice's card", pin, 2, "ec", selfSigned(t, ec), ec)

	soft.Put("Alice's card", pin, 3, "ed", selfSigned(t, ed), ed)

	k := newTokens(t, softhsm.Module)
	ctx := context.Background()
	list, err := k.List(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	card := list[0]
	if card.Label != "Alice's card" || card.Module != softhsm.Module || !card.PIN.Needed || card.PIN.Given || len(card.Certificates) != 3 {
		t.Errorf("the token is shown as %+v", card)
	}
	s, err := k.Open(ctx, &card)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Key(ctx, []byte{1}, ""); !errors.Is(err, host.ErrTokenKey) {
		t.Errorf("before the PIN: %v", err)
	}
	if err := s.Login(ctx, []byte("1")); !errors.Is(err, host.ErrPINLength) {
		t.Errorf("a PIN that is too short: %v", err)
	}
	if st, err := s.PIN(ctx); err != nil || st.Low {
		t.Errorf("a PIN that is too short counted: %+v, %v", st, err)
	}
	if err := s.Login(ctx, []byte("wrong-pin")); !errors.Is(err, host.ErrPINWrong) {
		t.Errorf("a wrong PIN: %v", err)
	}
	if st, err := s.PIN(ctx); err != nil || !st.Low {
		t.Errorf("a wrong PIN did not count: %+v, %v", st, err)
	}
	if err := s.Login(ctx, []byte(pin)); err != nil {
		t.Fatal(err)
	}
	if st, err := s.PIN(ctx); err != nil || !st.Given {
		t.Errorf("after the login: %+v, %v", st, err)
	}
	// A second session is logged in as well.
	other, err := k.Open(ctx, &card)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	key, err := other.Key(ctx, []byte{1}, "rsa")
	if err != nil || key.Kind != host.TokenRSA {
		t.Fatalf("the RSA key: %+v, %v", key, err)
	}
	sum := sha256.Sum256([]byte("hello"))
	sig, err := other.Sign(ctx, key, sum[:], crypto.SHA256, nil)
	if err == nil {
		err = rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA256, sum[:], sig)
	}
	if err != nil {
		t.Errorf("PKCS #1 v1.5: %v", err)
	}
	sig, err = other.Sign(ctx, key, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}, nil)
	if err == nil {
		err = rsa.VerifyPSS(&rsaKey.PublicKey, crypto.SHA256, sum[:], sig, nil)
	}
	if err != nil {
		t.Errorf("RSASSA-PSS: %v", err)
	}
	if key, err = s.Key(ctx, nil, "ec"); err != nil || key.Kind != host.TokenEC {
		t.Fatalf("the EC key: %+v, %v", key, err)
	}
	long := sha512.Sum384([]byte("hello"))
	if sig, err = s.Sign(ctx, key, long[:], crypto.SHA384, nil); err != nil || !ecdsa.VerifyASN1(&ec.PublicKey, long[:], sig) {
		t.Errorf("ECDSA: %x, %v", sig, err)
	}
	if _, err := s.Key(ctx, []byte{9}, ""); !errors.Is(err, host.ErrTokenKey) {
		t.Errorf("a key that is not there: %v", err)
	}
	if key, err = s.Key(ctx, []byte{3}, ""); err != nil || key.Kind != host.TokenEdDSA {
		t.Fatalf("the Ed25519 key: %+v, %v", key, err)
	}
	if sig, err = s.Sign(ctx, key, []byte("hello"), crypto.Hash(0), nil); err != nil || !ed25519.Verify(ed.Public().(ed25519.PublicKey), []byte("hello"), sig) {
		t.Errorf("Ed25519: %x, %v", sig, err)
	}
}

func cutEnv(s string) (string, string, bool) {
	for i := range s {
		if s[i] == '=' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
