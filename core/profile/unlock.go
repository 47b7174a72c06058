package profile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"sallyport/core/ike/auth"
	"sallyport/core/pki"
)

// Unlock puts the secret that the user would be asked for at a connect into the
// bundle, which can then be used without asking. Such a bundle is not to be
// stored.
func (b *Bundle) Unlock(secret []byte) error {
	local := &b.Connection.Local
	if local.OnToken() {
		if local.PIN == "" && len(secret) > 0 { // else the token may have a reader that asks
			if err := checkPIN(secret); err != nil {
				return &Error{Field: "local.pin", Msg: err.Error()}
			}
			local.PIN, local.Ask = pinName(b.Connection.Name), false
			b.Secrets[local.PIN] = bytes.Clone(secret)
		}
		return nil
	}
	if !local.Ask {
		return nil
	}
	if len(secret) == 0 {
		field, what := "local.secret", "the pre-shared key"
		if local.Method != MethodPSK {
			field, what = "local.key", "the passphrase of the private key"
		}
		return &Error{Field: field, Msg: what + " is needed for this", NeedsPassword: true}
	}
	if local.Method == MethodPSK {
		if err := checkPSK(secret, local.WeakSecret); err != nil {
			return &Error{Field: "local.secret", Msg: err.Error()}
		}
		local.Secret, local.Ask = pskName(b.Connection.Name), false
		b.addPSK(local.Secret, secret)
		return nil
	}
	key, err := pki.ParsePrivateKey(b.Secrets[local.Key], secret)
	if err != nil {
		e := &Error{Field: "local.key", Msg: bare(err)}
		e.NeedsPassword = errors.Is(err, pki.ErrPassphraseNeeded)
		return e
	}
	if pss, ok := key.(*auth.PSSPrivateKey); ok {
		key = pss.Key // the certificate says that it is for PSS alone
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(der)
	b.Secrets[local.Key] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	local.Ask = false
	return nil
}
