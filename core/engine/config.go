package engine

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/profile"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// Retransmission where the profile says nothing: a peer counts as silent after
// 22 s, within the half minute that people and scripts wait.
const (
	retransmitTimeout = time.Second
	retransmitTries   = 4
)

// ikeConfig is configFor a connection that does not ask.
func (e *Engine) ikeConfig(c *profile.Connection, pool ike.Pool) (*ike.Config, error) {
	return e.configFor(c, pool, nil)
}

// configFor makes of a stored profile what the IKE engine works with, with the
// certificates and secrets that the profile names and h, what the user gave.
// pool is nil for initiators.
func (e *Engine) configFor(c *profile.Connection, pool ike.Pool, h *held) (*ike.Config, error) {
	return credentials{certs: e.opt.Host.Certs, secrets: e.opt.Host.Secrets, roots: e.opt.Host.Roots, held: h}.ikeConfig(c, pool)
}

// credentials are where the names of certificates and secrets in a profile
// lead, and what it counts on beside those.
type credentials struct {
	certs, secrets reader
	roots          func() (*x509.CertPool, error) // the system's; nil: it knows none
	held           *held                          // nil: the profile does not ask
}

// A reader reads what is stored under a name.
type reader interface {
	Read(name string) ([]byte, error)
}

func (from credentials) ikeConfig(c *profile.Connection, pool ike.Pool) (*ike.Config, error) {
	cfg := &ike.Config{
		Name:          c.Name,
		Pool:          pool,
		RekeyTime:     c.IKE.RekeyTime.Duration,
		HardLifetime:  c.IKE.LifeTime.Duration,
		ReauthTime:    c.IKE.ReauthTime.Duration,
		LivenessDelay: c.IKE.LivenessDelay.Duration,
		Retransmit:    ike.Retransmit{Timeout: c.IKE.RetransmitTimeout.Duration, Tries: c.IKE.RetransmitTries},
		Unique:        c.IKE.Unique,
		MOBIKE:        c.IKE.MOBIKE != profile.MOBIKENever,
		CheckPath:     c.IKE.CheckPath,
		RedirectTo:    profile.RedirectTo(c.IKE.Redirect),
	}
	if c.IKE.NoResume || c.Remote.Revocation == profile.RevocationStrict {
		cfg.TicketLife = -1 // whether a certificate was revoked counts each time
	}
	if cfg.Retransmit.Timeout == 0 {
		cfg.Retransmit.Timeout = retransmitTimeout
	}
	if cfg.Retransmit.Tries == 0 {
		cfg.Retransmit.Tries = retransmitTries
	}
	var err error
	if cfg.Proposals, err = transform.ParseProposals(transform.ProtoIKE, c.IKE.Proposals); err != nil {
		return nil, fmt.Errorf("ike.proposals: %w", err)
	}
	cfg.Proposals = c.IKE.ProposalsFor(cfg.Proposals)
	cfg.Childless = c.IKE.Childless && !c.IsResponder()
	for i := range c.Children {
		child, err := childConfig(c, &c.Children[i])
		if err != nil {
			return nil, fmt.Errorf("child %q: %w", c.Children[i].Name, err)
		}
		if c.IKE.Quantum != profile.QuantumRequire { // the IKE SA's own is in the keys of all its Child SAs
			child.Proposals = c.IKE.ProposalsFor(child.Proposals)
		}
		cfg.Children = append(cfg.Children, child)
	}
	for _, s := range c.VirtualIPs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("virtual_ips: %w", err)
		}
		cfg.WantAddresses = append(cfg.WantAddresses, a)
	}
	cfg.Local.OfPeer = len(c.Remote.Secrets) > 0
	if err := from.localAuth(&c.Local, &cfg.Local); err != nil {
		return nil, err
	}
	if err := from.peerAuth(c, cfg); err != nil {
		wipe(cfg)
		return nil, err
	}
	if err := from.ppks(&c.IKE, cfg); err != nil {
		wipe(cfg)
		return nil, err
	}
	if c.Remote.Method != profile.MethodEAP && c.Remote.AsksUsers() {
		if err := from.askUsersAfter(c, cfg); err != nil {
			wipe(cfg)
			return nil, err
		}
	}
	if c.Local.UsesEAP() {
		if err := from.eapAuth(&c.Local, cfg); err != nil {
			wipe(cfg)
			return nil, err
		}
	}
	return cfg, nil
}

// ppks loads the post-quantum pre-shared keys.
func (from credentials) ppks(k *profile.IKE, cfg *ike.Config) error {
	cfg.PPKRequired = k.PPKRequired
	for _, p := range k.PPKs {
		key, err := from.secret(p.Secret)
		if err != nil {
			return &explain.CredentialError{Field: "ike.ppks", Err: err}
		}
		cfg.PPKs = append(cfg.PPKs, ike.PPK{ID: profile.PPKID(p.ID), Secret: key})
	}
	return nil
}

// secure applies what a rule of the assigned policy says beyond the profile that
// it was written as: perfect forward secrecy of the session keys (a key
// exchange with each rekey of a Child SA) and of the master key (a new IKE SA
// with each, and none that comes back in an old one).
func (c *conn) secure(cfg *ike.Config) {
	cfg.Reopen = !c.masterPFS
	if c.rule == "" || c.negotiation == nil {
		return
	}
	for i := range cfg.Children {
		child := &cfg.Children[i]
		if c.negotiation.SessionKeyPFS {
			child.Proposals = transform.WithKE(child.Proposals)
		}
		if c.masterPFS {
			cfg.ReauthTime = c.negotiation.RekeyTime
			child.RekeyTime, child.HardLifetime = -1, 2*c.negotiation.RekeyTime
		}
	}
}

func childConfig(c *profile.Connection, p *profile.Child) (ike.ChildConfig, error) {
	out := ike.ChildConfig{Name: p.Name, Resources: resources(p.PerResourceSAs), RekeyTime: p.RekeyTime.Duration, HardLifetime: p.LifeTime.Duration}
	local, remote := p.LocalTS, p.RemoteTS
	switch {
	case c.IsResponder():
		local, remote = orElse(local, everything), orElse(remote, []string{"dynamic"})
	default:
		local, remote = orElse(local, []string{"dynamic"}), orElse(remote, everything)
	}
	var err error
	if out.Local, out.LocalDynamic, err = selectors(local); err != nil {
		return out, fmt.Errorf("local_ts: %w", err)
	}
	if out.Remote, out.RemoteDynamic, err = selectors(remote); err != nil {
		return out, fmt.Errorf("remote_ts: %w", err)
	}
	out.Proposals, err = transform.ParseProposals(transform.ProtoESP, p.Proposals)
	return out, err
}

// everything is what an end protects of which nothing else is said.
var everything = []string{"0.0.0.0/0", "::/0"}

func orElse(list, otherwise []string) []string {
	if len(list) == 0 {
		return otherwise
	}
	return list
}

func selectors(list []string) (out, dynamic ts.List, err error) {
	for _, s := range list {
		sel, dyn, err := profile.ParseSelector(s)
		switch {
		case err != nil:
			return nil, nil, err
		case dyn:
			dynamic = append(dynamic, sel)
		default:
			out = append(out, sel)
		}
	}
	return out, dynamic, nil
}

// localAuth loads what we prove ourselves with.
func (from credentials) localAuth(a *profile.Auth, out *ike.LocalAuth) error {
	id, err := auth.ParseIdentity(a.ID)
	if err != nil {
		return &explain.CredentialError{Field: "local.id", Err: err}
	}
	if out.Schemes, err = auth.ParseSchemes(a.Signatures); err != nil {
		return &explain.CredentialError{Field: "local.signatures", Err: err}
	}
	out.ID = id
	if a.Method == profile.MethodPSK && a.Ask {
		if from.held == nil {
			return &explain.CredentialError{Field: "local.secret", Err: errNotGiven}
		}
		out.PSK = bytes.Clone(from.held.psk)
		return nil
	}
	if a.Method == profile.MethodPSK {
		if a.Secret == "" && out.OfPeer {
			return nil
		}
		if out.PSK, err = from.secret(a.Secret); err != nil {
			return &explain.CredentialError{Field: "local.secret", Err: err}
		}
		return nil
	}
	if a.Method == profile.MethodEAP && len(a.Certificates) == 0 && !a.OnToken() {
		return nil
	}
	certs, err := from.certificates(a.Certificates)
	if a.OnToken() && from.held != nil {
		certs = from.held.chain
	}
	if err != nil {
		return &explain.CredentialError{Field: "local.certificates", Err: err}
	}
	if len(certs) == 0 {
		return &explain.CredentialError{Field: "local.certificates", Err: errors.New("no certificate is named")}
	}
	key, err := from.privateKey(a)
	if err != nil {
		return &explain.CredentialError{Field: "local.key", Err: err}
	}
	cred, err := pki.NewCredential(certs[0], certs[1:], key)
	if err != nil {
		return &explain.CredentialError{Field: "local.certificates", Err: err}
	}
	if out.ID, err = cred.Identity(id); err != nil {
		return &explain.CredentialError{Field: "local.id", Err: err}
	}
	out.Chain, out.Key, out.Authorities = cred.Chain, cred.Signer(), certs[1:]
	if out.Prefer = a.Prefer; from.held != nil && from.held.choice > 0 {
		out.Prefer = from.held.choice
	}
	for i := range a.More {
		c, err := from.more(&a.More[i])
		if err != nil {
			return &explain.CredentialError{Field: fmt.Sprintf("local.more[%d]", i), Err: err}
		}
		out.More = append(out.More, *c)
	}
	return nil
}

// more loads a further certificate.
func (from credentials) more(o *profile.Own) (*ike.Credential, error) {
	certs, err := from.certificates(o.Certificates)
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate is named")
	}
	pem, err := from.secret(o.Key)
	if err != nil {
		return nil, err
	}
	defer clear(pem)
	key, err := pki.ParsePrivateKey(pem, nil)
	if err != nil {
		return nil, err
	}
	cred, err := pki.NewCredential(certs[0], certs[1:], key)
	if err != nil {
		return nil, err
	}
	id, err := auth.ParseIdentity(o.ID)
	if err != nil {
		return nil, err
	}
	if id, err = cred.Identity(id); err != nil {
		return nil, err
	}
	return &ike.Credential{ID: id, Key: cred.Signer(), Chain: cred.Chain, Authorities: certs[1:]}, nil
}

// vouching adds to each of our certificates those of the peer's authorities that
// vouch for it too: a peer that asks for one of them gets it.
func vouching(local *ike.LocalAuth, roots []*x509.Certificate) {
	add := func(chain, known []*x509.Certificate) []*x509.Certificate {
		if len(chain) == 0 {
			return known
		}
		top := chain[len(chain)-1]
		for _, r := range roots {
			if bytes.Equal(top.RawIssuer, r.RawSubject) && top.CheckSignatureFrom(r) == nil {
				known = append(slices.Clone(known), r)
			}
		}
		return known
	}
	local.Authorities = add(local.Chain, local.Authorities)
	for i := range local.More {
		local.More[i].Authorities = add(local.More[i].Chain, local.More[i].Authorities)
	}
}

// errNotGiven says that a secret that is asked for has not been given.
var errNotGiven = errors.New("it is not stored, and nobody gave it")

// privateKey loads the private key, or takes the one that the user has opened.
func (from credentials) privateKey(a *profile.Auth) (crypto.Signer, error) {
	switch {
	case a.OnToken() && (from.held == nil || from.held.token == nil):
		return nil, errNotGiven
	case a.OnToken():
		return from.held.key, nil
	case a.Ask && (from.held == nil || from.held.key == nil):
		return nil, errNotGiven
	case a.Ask:
		return from.held.key, nil
	}
	pem, err := from.secret(a.Key)
	if err != nil {
		return nil, err
	}
	defer clear(pem)
	return pki.ParsePrivateKey(pem, nil)
}

// peerAuth loads what the peer must prove itself with.
func (from credentials) peerAuth(c *profile.Connection, cfg *ike.Config) error {
	a := &c.Remote
	id, err := auth.ParseIdentity(a.ID)
	if err != nil {
		return fmt.Errorf("remote.id: %w", err)
	}
	cfg.Peer.ID = id
	if cfg.Peer.Schemes, err = auth.ParseSchemes(a.Signatures); err != nil {
		return fmt.Errorf("remote.signatures: %w", err)
	}
	if a.Method == profile.MethodPSK {
		for i, p := range a.Secrets {
			id, err := auth.ParseIdentity(p.ID)
			if err != nil {
				return fmt.Errorf("remote.secrets[%d].id: %w", i, err)
			}
			psk, err := from.secret(p.Secret)
			if err != nil {
				return &explain.CredentialError{Field: fmt.Sprintf("remote.secrets[%d].secret", i), Err: err}
			}
			cfg.Peer.PSKs = append(cfg.Peer.PSKs, ike.PeerPSK{ID: id, PSK: psk})
		}
		secret := a.Secret
		if secret == "" {
			secret = c.Local.Secret
		}
		if secret == "" && len(a.Secrets) > 0 {
			return nil
		}
		if secret == "" && c.Local.Ask {
			cfg.Peer.PSK = bytes.Clone(cfg.Local.PSK)
			return nil
		}
		if cfg.Peer.PSK, err = from.secret(secret); err != nil {
			return &explain.CredentialError{Field: "remote.secret", Err: err}
		}
		return nil
	}
	roots, err := from.certificates(a.CAs)
	if err != nil {
		return &explain.CredentialError{Field: "remote.cas", Err: err}
	}
	vouching(&cfg.Local, roots)
	if a.Method == profile.MethodEAP {
		return from.askUsers(c, cfg, roots)
	}
	verifier := verifierOf(a, roots)
	if len(a.CAs) == 0 && a.Names() && !c.IsResponder() {
		// Whom the system's authorities do not know the user is asked about: see
		// askServer.
		cfg.Peer.TellUnknown = true
		if from.roots != nil {
			if verifier.System, err = from.roots(); err != nil {
				return fmt.Errorf("read the authorities that the system trusts: %w", err)
			}
		}
	}
	cfg.Peer.Verifier = verifier
	return nil
}

// verifierOf is how the certificates of a remote end are judged.
func verifierOf(a *profile.Auth, roots []*x509.Certificate) *pki.Verifier {
	return &pki.Verifier{Roots: roots, Revocation: revocations[a.Revocation], RevocationPrivate: a.RevocationPrivate, Weak: a.WeakCertificates}
}

// revocations are what a profile says of revocation.
var revocations = map[string]pki.Revocation{
	"": pki.RevocationSoft, profile.RevocationSoft: pki.RevocationSoft,
	profile.RevocationStrict: pki.RevocationStrict, profile.RevocationOff: pki.RevocationOff,
}

func (from credentials) secret(name string) ([]byte, error) {
	if name == "" {
		return nil, errors.New("no secret is named")
	}
	b, err := from.secrets.Read(name)
	if err != nil {
		return nil, fmt.Errorf("read secret %q: %w", name, err)
	}
	return b, nil
}

// certificates reads entries of the certificate store, each with one or more
// certificates, in order.
func (from credentials) certificates(names []string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, name := range names {
		b, err := from.certs.Read(name)
		if err != nil {
			return nil, fmt.Errorf("read certificate %q: %w", name, err)
		}
		certs, err := pki.ParseCertificates(b)
		if err != nil {
			return nil, fmt.Errorf("certificate %q: %w", name, err)
		}
		out = append(out, certs...)
	}
	return out, nil
}
