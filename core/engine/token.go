package engine

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"sallyport/core/explain"
	"sallyport/core/host"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/pki/pkcs11uri"
	"sallyport/core/profile"
)

// tokenTime bounds all that a token is asked for in one go; one with a user who
// types at the reader takes longer.
const (
	tokenTime = 30 * time.Second
	padTime   = 70 * time.Second
)

// A card is a token that a connection proves itself with, in use.
type card struct {
	token   *host.Token
	session host.TokenSession
	state   host.PINState
	id      []byte // of the key; with label it finds it
	label   string
	chain   []*x509.Certificate // our certificate, then what else is known
}

// findCard looks for the token and the certificate that a profile names, and
// begins to use it. It takes its time.
func (from credentials) findCard(ctx context.Context, tokens host.Tokens, a *profile.Auth) (*card, error) {
	u, err := profile.ParseToken(a.Token)
	if err != nil {
		return nil, err
	}
	if tokens == nil || len(tokens.Modules()) == 0 {
		return nil, fmt.Errorf("%w: none is installed or configured", host.ErrTokenModule)
	}
	own, err := from.certificates(a.Certificates)
	if err != nil {
		return nil, &explain.CredentialError{Field: "local.certificates", Err: err}
	}
	list, problem := tokens.List(ctx)
	c, err := match(&u, list, own)
	if err != nil {
		if problem != nil && errors.Is(err, host.ErrNoToken) {
			return nil, problem
		}
		return nil, err
	}
	if c.session, err = tokens.Open(ctx, c.token); err != nil {
		return nil, err
	}
	if c.state, err = c.session.PIN(ctx); err != nil {
		c.session.Close()
		return nil, err
	}
	return c, nil
}

// match finds what a URI names among the tokens that are there: own are the
// certificates of the profile; without them it is on the token.
func match(u *pkcs11uri.URI, list []host.Token, own []*x509.Certificate) (*card, error) {
	var found []*card
	there := false
	for i := range list {
		t := &list[i]
		if !onToken(u, t) {
			continue
		}
		there = true
		if len(own) > 0 {
			found = append(found, &card{token: t, id: u.ID, label: u.Object, chain: own})
			continue
		}
		var leaves []*card
		var authorities []*x509.Certificate
		for _, x := range t.Certificates {
			cert, err := x509.ParseCertificate(x.DER)
			if err != nil {
				continue
			}
			if cert.IsCA {
				authorities = append(authorities, cert)
			}
			if (len(u.ID) == 0 || slices.Equal(u.ID, x.ID)) && (u.Object == "" || u.Object == x.Label) {
				c := &card{token: t, id: x.ID, chain: []*x509.Certificate{cert}}
				if len(x.ID) == 0 {
					c.label = x.Label
				}
				leaves = append(leaves, c)
			}
		}
		for _, c := range leaves {
			c.chain = append(c.chain, authorities...)
		}
		found = append(found, leaves...)
	}
	// The same token may be seen through two modules.
	found = slices.CompactFunc(found, func(a, b *card) bool {
		return a.token.Serial == b.token.Serial && a.token.Label == b.token.Label && a.chain[0].Equal(b.chain[0])
	})
	switch {
	case !there:
		return nil, host.ErrNoToken
	case len(found) == 0:
		return nil, host.ErrTokenKey
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %d fit; say which by token, serial and id", host.ErrTokenAmbiguous, len(found))
	}
	return found[0], nil
}

// onToken reports whether a URI may mean a token.
func onToken(u *pkcs11uri.URI, t *host.Token) bool {
	for _, x := range [][2]string{{u.Token, t.Label}, {u.Manufacturer, t.Manufacturer}, {u.Model, t.Model}, {u.Serial, t.Serial},
		{u.SlotDescription, t.Reader}, {u.SlotManufacturer, t.ReaderMaker}} {
		if x[0] != "" && x[0] != x[1] {
			return false
		}
	}
	return u.Slot == nil || *u.Slot == t.Slot
}

// name is what the guard of PINs knows a token by.
func (c *card) name() string {
	return c.token.Manufacturer + "\x00" + c.token.Model + "\x00" + c.token.Serial + "\x00" + c.token.Label
}

// open gives the PIN, once, and finds the key. pin is nil where none is needed,
// or where the reader asks.
func (c *card) open(ctx context.Context, pin []byte, refused *pinGuard) (*held, error) {
	if c.state.Needed && !c.state.Given {
		if err := c.login(ctx, pin, refused); err != nil {
			return nil, err
		}
	}
	key, err := c.session.Key(ctx, c.id, c.label)
	if err != nil {
		return nil, err
	}
	pub, err := pki.PublicKey(c.chain[0])
	if err != nil {
		return nil, err
	}
	k := &tokenKey{pub: pub, card: c, key: key}
	if key.AlwaysAsks {
		k.pin = slices.Clone(pin)
	}
	return &held{key: k, chain: c.chain, token: k}, nil
}

func (c *card) login(ctx context.Context, pin []byte, refused *pinGuard) error {
	switch {
	case c.state.Locked || c.state.Unset:
		return host.ErrPINLocked
	case len(pin) > 0 && refused.knows(c.name(), pin):
		return &explain.PINError{Again: true, Final: c.state.Final, Err: host.ErrPINWrong}
	}
	err := c.session.Login(ctx, pin)
	switch {
	case err == nil:
		refused.forget(c.name())
		return nil
	case !errors.Is(err, host.ErrPINWrong):
		return err
	}
	if len(pin) > 0 {
		refused.note(c.name(), pin)
	}
	now, stateErr := c.session.PIN(ctx)
	if stateErr == nil && now.Locked {
		return fmt.Errorf("%w, after a wrong one", host.ErrPINLocked)
	}
	return &explain.PINError{Final: stateErr == nil && now.Final, Err: err}
}

// A tokenKey is a private key on a token. It is an ike.SlowKey.
type tokenKey struct {
	pub  crypto.PublicKey
	card *card
	key  host.TokenKey

	mu  sync.Mutex // guards pin
	pin []byte     // of a key that asks with each signature, while an attempt lasts
}

// Slow implements ike.SlowKey.
func (*tokenKey) Slow() {}

// Public implements crypto.Signer.
func (k *tokenKey) Public() crypto.PublicKey { return k.pub }

// errFault says that a signature is none. Sending it would show at best that the
// token is broken, and at worst tell the key (a fault in RSA with the Chinese
// remainder theorem).
var errFault = errors.New("what the token signed does not verify with the certificate: the key is that of another one, or the token is broken")

// Sign implements crypto.Signer. It takes its time.
func (k *tokenKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), padTime)
	defer cancel()
	k.mu.Lock()
	pin := slices.Clone(k.pin)
	k.mu.Unlock()
	defer clear(pin)
	sig, err := k.card.session.Sign(ctx, k.key, digest, opts, pin)
	if err != nil {
		return nil, err
	}
	if !verifies(k.pub, digest, sig, opts) {
		return nil, &explain.CredentialError{Field: "local.token", Err: errFault}
	}
	return sig, nil
}

// verifies checks our own signature.
func verifies(pub crypto.PublicKey, digest, sig []byte, opts crypto.SignerOpts) bool {
	if p, ok := pub.(*auth.PSSPublicKey); ok {
		pub = p.Key
	}
	switch p := pub.(type) {
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(p, opts.HashFunc(), digest, sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(p, opts.HashFunc(), digest, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(p, digest, sig)
	case ed25519.PublicKey:
		return ed25519.Verify(p, digest, sig)
	}
	return false
}

// forgetPIN wipes what is kept for signatures.
func (k *tokenKey) forgetPIN() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.pin)
	k.pin = nil
}

// close ends the use of the token.
func (k *tokenKey) close() {
	k.forgetPIN()
	k.card.session.Close()
}
