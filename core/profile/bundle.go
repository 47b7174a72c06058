package profile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/api"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// A Bundle is one connection with everything it refers to, ready for Store.
type Bundle struct {
	Connection Connection
	Certs      map[string][]byte // PEM, by the names in Connection
	Secrets    map[string][]byte // PSKs as they are, private keys as PKCS #8 in PEM; by the names in Connection
	Auth       string            // what the local end proves itself with: "PSK", "certificate (ECDSA P-256)"
	Warnings   []string
	Ignored    []string
	Plan       []api.PlanLine
	// Keep says which secrets the files leave out, to stay as they are stored:
	// see Store.Complete. Until then Connection names them and Secrets lacks them.
	Keep Keep
}

// A Keep names the secrets of a connection.
type Keep struct{ Secret, RemoteSecret, Key, PIN, Users, RADIUS, PeerSecrets, PPKs bool }

// Imported describes the bundle for the result of an import.
func (b *Bundle) Imported() api.ImportedConnection {
	return api.ImportedConnection{
		Name: b.Connection.Name, Gateway: b.Connection.Gateways, Auth: b.Auth,
		Warnings: b.Warnings, Ignored: b.Ignored, Asks: b.Connection.Asks(), Plan: b.Plan,
	}
}

// Asks lists what the user is asked for when the connection is made.
func (c *Connection) Asks() (out []api.PromptKind) {
	switch {
	case c.Local.Ask && c.Local.Method == MethodPSK:
		return []api.PromptKind{api.PromptSecret}
	case c.Local.OnToken() && c.Local.PIN == "":
		out = append(out, api.PromptPIN)
	case c.Local.Ask:
		out = append(out, api.PromptPassphrase)
	}
	if c.Local.UsesEAP() && c.Local.Secret == "" && !slices.Equal(c.Local.EAP.Methods, []string{"tls"}) {
		out = append(out, api.PromptPassword)
	}
	return out
}

// The names of a connection's secrets. The "+" cannot occur in a connection's
// name, so no connection's secret has the name of another's.
func pskName(connection string) string      { return connection + "+psk" }
func usersName(connection string) string    { return connection + "+users" }
func radiusName(connection string) string   { return connection + "+radius" }
func passwordName(connection string) string { return connection + "+password" }
func peerPSKName(connection string, i int) string {
	return connection + "+peer-psk-" + strconv.Itoa(i+1)
}
func remotePSKName(connection string) string { return connection + "+remote-psk" }
func keyName(connection string) string       { return connection + "+key" }

// addPSK stores a pre-shared key under name.
func (b *Bundle) addPSK(name string, psk []byte) {
	b.Secrets[name] = bytes.Clone(psk)
	b.warn(PSKWarning(psk))
}

func (b *Bundle) warn(text string) {
	if text == "" {
		return
	}
	for _, w := range b.Warnings {
		if w == text {
			return
		}
	}
	b.Warnings = append(b.Warnings, text)
}

// addCert stores certificates and returns the name: that of the file they came
// from, and a hash of the content. Connections thus share an authority, and no
// import can replace what another connection trusts.
func (b *Bundle) addCert(file string, certs []*x509.Certificate) string {
	var text bytes.Buffer
	for _, c := range certs {
		// Encoding a block without headers to memory cannot fail.
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	base := path.Base(strings.ReplaceAll(file, `\`, "/"))
	base = safeName(strings.TrimSuffix(base, path.Ext(base)))
	sum := sha256.Sum256(text.Bytes())
	name := base[:min(len(base), 40)] + "-" + hex.EncodeToString(sum[:10]) + ".pem"
	b.Certs[name] = text.Bytes()
	return name
}

// addCredential stores the local end's chain and key.
func (b *Bundle) addCredential(file string, cred *pki.Credential) error {
	key := cred.Key
	if pss, ok := key.(*auth.PSSPrivateKey); ok {
		key = pss.Key // the certificate says that it is for PSS alone
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(der)
	local := &b.Connection.Local
	local.Key = keyName(b.Connection.Name)
	b.Secrets[local.Key] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	b.addChain(file, cred.Chain, key.Public())
	return nil
}

// addChain stores the local end's certificates, its own first. keys are public
// keys of the same credential that say more of it than the certificate does.
func (b *Bundle) addChain(file string, chain []*x509.Certificate, keys ...crypto.PublicKey) {
	local := &b.Connection.Local
	local.Certificates = []string{b.addCert(file, chain[:1])}
	for i, c := range chain[1:] {
		local.Certificates = append(local.Certificates, b.addCert(fmt.Sprintf("intermediate-%d", i+1), []*x509.Certificate{c}))
	}
	b.Auth = "certificate (" + keyKind(append([]crypto.PublicKey{chain[0].PublicKey}, keys...)...) + ")"
}

// keyKind names the kind of the first public key that it knows.
func keyKind(keys ...crypto.PublicKey) string {
	for _, k := range keys {
		switch k := k.(type) {
		case *rsa.PublicKey:
			return fmt.Sprintf("RSA %d", k.N.BitLen())
		case *ecdsa.PublicKey:
			return "ECDSA " + k.Params().Name
		case ed25519.PublicKey:
			return "Ed25519"
		}
	}
	return "unknown key"
}

// finish adds the warnings and checks the connection once more as a whole.
func (b *Bundle) finish() error {
	switch local := &b.Connection.Local; {
	case local.Method == MethodPSK:
		b.Auth = "PSK"
	case local.Method == MethodEAP:
		b.Auth = "EAP (" + local.User + ")"
	case local.User != "":
		b.Auth += ", then EAP (" + local.User + ")"
	}
	for _, w := range Warnings(&b.Connection) {
		b.warn(w)
	}
	return b.Connection.Validate()
}

// Warnings names what weakens a connection although it is asked for.
func Warnings(c *Connection) []string {
	var out []string
	add := func(format string, args ...any) {
		s := fmt.Sprintf(format, args...)
		for _, o := range out {
			if o == s {
				return
			}
		}
		out = append(out, s)
	}
	weak := func(what string, p transform.Protocol, list []string) {
		proposals, err := transform.ParseProposals(p, list)
		if err != nil {
			return // Validate tells that
		}
		for _, p := range proposals {
			for _, w := range p.Weak() {
				add("%s allows %s, which is weak", what, w)
			}
		}
	}
	if len(c.IKE.Proposals) > 0 {
		weak("IKE", transform.ProtoIKE, c.IKE.Proposals)
	}
	for i := range c.Children {
		if ch := &c.Children[i]; len(ch.Proposals) > 0 {
			weak(fmt.Sprintf("child %q", ch.Name), transform.ProtoESP, ch.Proposals)
		}
	}
	for _, s := range append(slices.Clone(c.Local.Signatures), c.Remote.Signatures...) {
		if scheme, err := auth.ParseScheme(s); err == nil && scheme.Weak() {
			add("signatures may be %s, which is weak", s)
		}
	}
	if c.Remote.WeakCertificates {
		add("certificates with RSA keys of 1024 bits and signatures over SHA-1 are accepted of the other end (weak_certificates): somebody with means can forge them")
	}
	if id, err := auth.ParseIdentity(c.Remote.ID); c.Remote.Method == MethodCertificate && !c.IsResponder() && (c.Remote.ID == "" || err == nil && id.IsAny()) {
		add("any certificate of the trusted authorities is taken for the gateway: set remote.id to the gateway's name")
	}
	switch {
	case c.Remote.Method == MethodPSK && c.Local.UsesEAP():
		add("whoever else has the gateway's pre-shared key can pose as the gateway and take the user's password: let it prove itself with a certificate (RFC 7296, section 2.16)")
	case c.Remote.AsksUsers() && c.Local.Method == MethodPSK:
		add("whoever else has this gateway's pre-shared key can pose as it and take its users' passwords: let it prove itself with a certificate (RFC 7296, section 2.16)")
	}
	switch api.Profile(c.Profile) {
	case api.Respond, api.Request: // chosen, not left out
		if !c.IsResponder() {
			add("with the profile %q traffic may leave unprotected", c.PolicyProfile())
		}
	}
	return out
}

// PSKWarning says what makes a pre-shared key easy to guess, or nothing. Who
// answers as the gateway once can try guesses at leisure, so the key has to
// withstand that (RFC 7296, section 2.15).
func PSKWarning(psk []byte) string {
	kinds := map[byte]bool{}
	for _, c := range psk {
		kinds[c] = true
	}
	switch {
	case len(psk) < 8:
		return "the pre-shared key is very short: it can be found by trying; use 20 random characters or more"
	case len(psk) < 16 || len(kinds) < 6:
		return "the pre-shared key is short or repetitive: who once poses as the gateway can search for it; use 20 random characters or more"
	}
	return ""
}

// maxPSK bounds a pre-shared key.
const maxPSK = 4096

// MinPSK is the least length of a pre-shared key, unless the profile says
// otherwise. What is shorter is found within minutes by whoever poses as the
// other end once.
const MinPSK = 8

// checkPSK reports why a secret cannot be a pre-shared key.
func checkPSK(psk []byte, weak bool) error {
	switch {
	case len(psk) == 0:
		return errors.New("the pre-shared key is empty")
	case len(psk) > maxPSK:
		return fmt.Errorf("the pre-shared key is longer than %d bytes", maxPSK)
	case len(psk) < MinPSK && !weak:
		return fmt.Errorf("the pre-shared key has fewer than %d bytes, so that it is found by trying; where the other end has no better one, set weak_secret = true in a Sallyport profile", MinPSK)
	}
	return nil
}
