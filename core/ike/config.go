package ike

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// A Config is what one end wants of an IKE SA, whichever side starts it. The
// endpoint borrows it for the life of every SA made from it: do not change it.
type Config struct {
	Name  string // of the connection, for Info and logs
	Local LocalAuth
	Peer  PeerAuth

	Proposals []transform.Proposal // for the IKE SA, most preferred first
	// Children are the Child SAs. The initiator asks for every one of them, the
	// first in IKE_AUTH; the responder answers an offer with the first that fits.
	Children []ChildConfig

	// Childless has an initiator make the IKE SA alone first, where the peer can
	// (RFC 6023): the first Child SA then has a key exchange of its own, too.
	Childless bool

	// Reopen has the end that began the IKE SA ask there for a Child SA anew that
	// the peer deletes, or whose lifetime ends before it was rekeyed.
	Reopen bool

	// PPKs are post-quantum pre-shared keys (RFC 8784): an initiator uses the first,
	// a responder the one that the peer names. PPKRequired refuses to do without.
	PPKs        []PPK
	PPKRequired bool

	// WantAddresses asks the peer for inner addresses (RFC 7296, section 2.19);
	// 0.0.0.0 and :: take any. With it the peer is also asked for name servers.
	WantAddresses []netip.Addr
	// Pool hands out inner addresses to the peer. Nil: none are handed out.
	Pool Pool

	RekeyTime    time.Duration // of the IKE SA; 0: 4 h; negative: never
	HardLifetime time.Duration // the SA ends, rekeyed or not; 0: RekeyTime plus an eighth, at least a minute; negative: never
	ReauthTime   time.Duration // raise Reauthenticate after; 0: only when the peer asks for it
	// TicketLife is how long a ticket that resumes the SA is worth at most: of the
	// responder how long it is good, of the initiator how long it is kept. 0: 12 h;
	// negative: none is given or asked for.
	TicketLife    time.Duration
	LivenessDelay time.Duration // idle time before a liveness check; 0: 30 s; negative: an hour
	Retransmit    Retransmit

	// Unique closes older IKE SAs with the same peer identity when this one is
	// established (RFC 7296, section 2.4, INITIAL_CONTACT).
	Unique bool
	// MOBIKE lets the outer addresses of the SA change (RFC 4555), where the peer
	// knows it too. CheckPath lets a responder follow such a peer only when it has
	// answered from its new address.
	MOBIKE    bool
	CheckPath bool
	// Redirects lets a gateway send us to another one (RFC 5685); RedirectedFrom is
	// the one that has. RedirectTo is where a responder sends peers that have
	// proved themselves, and that can be sent.
	Redirects                  bool
	RedirectedFrom, RedirectTo message.Redirect
	// Beside says that the SA stands beside others with the same peer, which is
	// not to drop them: INITIAL_CONTACT is not sent.
	Beside bool
}

// A LocalAuth is how this end proves who it is: with PSK, with Key and Chain,
// with EAP, or with Key and Chain first and EAP after that (RFC 4739).
type LocalAuth struct {
	ID  auth.Identity // sent as our identity; zero: the outer address
	PSK []byte
	// OfPeer says that the own proof is made with the peer's entry in
	// PeerAuth.PSKs, where PSK is missing.
	OfPeer bool
	Key    crypto.Signer
	Chain  []*x509.Certificate // our own first, then intermediates
	// Schemes restricts the signature schemes; nil: every one that is not weak.
	Schemes []auth.Scheme
	EAP     *EAPAuth // initiators only
	// Authorities and OCSP are those of Key and Chain, see Credential.
	Authorities []*x509.Certificate
	OCSP        func(now time.Time) [][]byte
	// More are proved with in place of Key and Chain when the peer asks for their
	// authorities and not for those of Key and Chain.
	More []Credential
	// Prefer is the number of the one to show of those that serve: 1 is Key and
	// Chain, 2 the first of More; 0: the first.
	Prefer int
	// AskWhich ends an initiator with *Undecided where several serve, none of which
	// is preferred.
	AskWhich bool
}

// A Credential is one of several that an end may prove itself with.
type Credential struct {
	ID    auth.Identity
	Key   crypto.Signer
	Chain []*x509.Certificate // our own first, then intermediates
	// Authorities are who vouches for the chain: those that a peer may name in
	// CERTREQ to ask for it, beside the intermediates.
	Authorities []*x509.Certificate
	// OCSP returns what is known of the state of the chain, as OCSP responses for
	// a peer that wants them (RFC 4806): one for each certificate, nil where nothing
	// is known. It must not block. Nil: nothing.
	OCSP func(now time.Time) [][]byte
}

// An EAPAuth is how a user proves itself to a gateway that asks with EAP (RFC
// 7296, section 2.16). What it lacks, the user is asked for: see Ask.
type EAPAuth struct {
	Identity  string // the user's name
	Anonymous string // what TTLS and PEAP say outside of TLS; empty: Identity
	Methods   []eap.Type
	Inner     []eap.Type // within TTLS and PEAP
	Password  []byte     // nil: the user is asked
	// Certificate is for TLS.
	Certificate *tls.Certificate
	// Verifier judges the server of the TLS-based methods; nil: they are not
	// spoken. The server proves to be Server; zero: the gateway itself.
	Verifier *pki.Verifier
	Server   auth.Identity
	// Only allows a gateway that proves itself within EAP alone (RFC 5998), and
	// with it only the methods in which it does so with a certificate.
	Only bool
}

// An EAPServer is how a responder asks for a user's proof: with a server of its
// own for each peer, or with another's, to whom the packets are relayed.
type EAPServer struct {
	// New returns the server of one peer, which asks judge about the certificates
	// of users. Nil: RelayEAP.
	New func(judge JudgePath) *eap.Server
	// PoolOf returns the pool of a user who has proved itself, by the groups
	// that its server told; nil or a nil result: Config.Pool.
	PoolOf func(user string, groups []string) Pool
	// Wipe forgets the passwords that New works with; nil: there are none.
	Wipe func()
	// After asks the user when the peer has proved itself with a certificate or a
	// pre-shared key (RFC 4739), and not in place of that.
	After bool
	// Alone leaves our AUTH out for a peer that allows it: we prove ourselves
	// within EAP (RFC 5998), so New offers only methods that do.
	Alone bool
}

// A JudgePath says whether certificates within EAP were revoked, as
// eap.ServerConfig.Revocation does, by the policy of a verifier that has accepted
// their path.
type JudgePath func(v *pki.Verifier, path []*x509.Certificate) (later bool, err error)

// A PeerAuth is how the other end must prove who it is: with PSK, or with a
// certificate when Verifier is set; with both, either will do.
type PeerAuth struct {
	// ID is the identity that the peer must prove, or a pattern of it. Zero:
	// any that its PSK or certificate proves. An initiator sends it as the
	// identity it asks for (IDr) unless it is a pattern.
	ID  auth.Identity
	PSK []byte
	// PSKs are the keys of single peers, and of those that a pattern names. They
	// come before PSK, and with one of them we prove ourselves too.
	PSKs []PeerPSK
	// Verifier judges the peer's certificates; its roots are named in CERTREQ.
	Verifier *pki.Verifier
	// TellUnknown makes an *UnknownPeer of the failure when it is only the
	// authority that is missing.
	TellUnknown bool
	Schemes     []auth.Scheme // accepted signature schemes; nil: every one that is not weak
	// EAP asks an initiator that brings no AUTH of its own for a user's proof, or
	// one that has proved itself for another: see EAPServer.After.
	EAP *EAPServer
}

// A PeerPSK is the pre-shared key of a peer.
type PeerPSK struct {
	ID  auth.Identity // or a pattern of it
	PSK []byte
}

// pskOf returns the key of a peer: its own before that of a pattern before
// everybody's. own reports that it is one of PSKs.
func (p *PeerAuth) pskOf(peer auth.Identity) (psk []byte, own bool) {
	for i := range p.PSKs {
		if p.PSKs[i].ID.Equal(peer) {
			return p.PSKs[i].PSK, true
		}
	}
	for i := range p.PSKs {
		if peer.Matches(p.PSKs[i].ID) {
			return p.PSKs[i].PSK, true
		}
	}
	return p.PSK, false
}

// A ChildConfig is one Child SA to ask for, or to accept.
type ChildConfig struct {
	Name          string
	Local, Remote ts.List
	// LocalDynamic are selectors of our own inner addresses, or without one of
	// our outer address: they hold protocol and ports, and the address is filled
	// in. RemoteDynamic are the same for the peer.
	LocalDynamic, RemoteDynamic ts.List
	Proposals                   []transform.Proposal
	// Resources is how many more Child SAs of the same traffic there are to be, one
	// for each resource (RFC 9611): the initiator asks for them, the responder
	// allows them. At most MaxResources.
	Resources    int
	RekeyTime    time.Duration // 0: 1 h; negative: never
	HardLifetime time.Duration // 0: RekeyTime plus an eighth, at least a minute; negative: never
}

// Retransmit shapes the retransmission of requests (RFC 7296, section 2.4):
// the k-th wait, counted from 0, is Timeout × 1.8^k, and after Tries
// retransmissions and one more wait the peer counts as dead.
type Retransmit struct {
	Timeout time.Duration // 0: 2 s
	Tries   int           // 0: 5; negative: none
	// Grace is how long an initiator goes on after an unauthenticated refusal
	// (an error notify that anyone could have forged) for a better answer.
	// It never extends the time that Timeout and Tries give. 0: 2.5 s.
	Grace time.Duration
}

// A Pool hands out inner addresses. Its methods must not block.
type Pool interface {
	// Lease assigns addresses to a peer: for each of want one of its family,
	// that very one when it is free and not unspecified. A Lease without
	// addresses, or an error, makes the peer see INTERNAL_ADDRESS_FAILURE.
	Lease(id auth.Identity, want []netip.Addr) (Lease, error)
	// Release takes back what Lease gave. It is called once for each lease.
	Release(id auth.Identity, l Lease)
}

// A Lease is what a peer is told in the configuration payload.
type Lease struct {
	Addresses []netip.Addr
	Netmask   netip.Addr // INTERNAL_IP4_NETMASK; zero: none
	DNS       []netip.Addr
	Domains   []string       // names that DNS answers for (RFC 8598)
	Subnets   []netip.Prefix // networks behind us
}

// A Resolver chooses configurations for peers that start an IKE SA with us.
// Its methods must not block.
type Resolver interface {
	// Terms returns what is said before the peer has named itself. Without
	// proposals the peer is told NO_PROPOSAL_CHOSEN.
	Terms(p Path) Terms
	// Resolve returns the configuration for a peer, or nil to refuse it. The
	// claim is not proved yet: the configuration says what proof it takes.
	Resolve(c Claim) *Config
}

// Terms are a responder's terms for a yet unknown peer.
type Terms struct {
	Proposals []transform.Proposal // accepted IKE proposals, most preferred first
	Roots     []*x509.Certificate  // named in CERTREQ; none: no certificate is asked for
	PPK       bool                 // some of the peers have a post-quantum pre-shared key
	OCSP      bool                 // ask the peer to bring the state of its certificate (RFC 4806)
	// Multiple says that peers may be asked to prove themselves twice (RFC 4739).
	Multiple bool
}

// A Claim is what a peer says of itself in IKE_AUTH, not proved yet.
type Claim struct {
	Path   Path
	Peer   auth.Identity // IDi
	Wanted auth.Identity // IDr: whom the peer asks for; zero when it does not say
	PSK    bool          // it authenticates with a PSK, otherwise with a signature or EAP
	EAP    bool          // it wants to be asked with EAP
	// Another says that it wants to be asked with EAP after this proof (RFC 4739).
	Another bool
}

// Defaults.
const (
	defaultRekeyTime      = 4 * time.Hour
	defaultChildRekeyTime = time.Hour
	defaultLivenessDelay  = 30 * time.Second
	defaultTimeout        = 2 * time.Second
	defaultTries          = 5
	defaultGrace          = 2500 * time.Millisecond
)

// orDefault returns d when it is positive, def when it is zero, and zero
// ("never") when it is negative.
func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

func (c *Config) rekeyTime() time.Duration { return orDefault(c.RekeyTime, defaultRekeyTime) }

func (c *Config) hardLifetime() time.Duration {
	return orDefault(c.HardLifetime, afterRekey(c.rekeyTime()))
}

// afterRekey is the default end of an SA that is rekeyed after r: late enough
// for a rekey with some retransmissions. Without rekeying there is none.
func afterRekey(r time.Duration) time.Duration {
	if r == 0 {
		return 0
	}
	return r + max(r/8, time.Minute)
}

func (c *Config) ticketLife() time.Duration { return orDefault(c.TicketLife, defaultTicketLife) }

func (c *Config) livenessDelay() time.Duration {
	return orDefault(c.LivenessDelay, defaultLivenessDelay)
}

func (c *ChildConfig) rekeyTime() time.Duration {
	return orDefault(c.RekeyTime, defaultChildRekeyTime)
}

func (c *ChildConfig) hardLifetime() time.Duration {
	return orDefault(c.HardLifetime, afterRekey(c.rekeyTime()))
}

// wait returns the k-th wait for an answer.
func (r Retransmit) wait(k int) time.Duration {
	d := float64(orDefault(r.Timeout, defaultTimeout))
	for range k {
		d *= 1.8
	}
	return time.Duration(d)
}

func (r Retransmit) tries() int {
	switch {
	case r.Tries == 0:
		return defaultTries
	case r.Tries < 0:
		return 0
	}
	return r.Tries
}

func (r Retransmit) grace() time.Duration { return orDefault(r.Grace, defaultGrace) }

// check reports what makes c unusable for an initiator.
func (c *Config) check() error {
	switch {
	case len(c.Proposals) == 0:
		return errors.New("no IKE proposals")
	case len(c.Children) == 0:
		return errors.New("no children")
	}
	for i := range c.Children {
		if len(c.Children[i].Proposals) == 0 {
			return fmt.Errorf("child %q: no ESP proposals", c.Children[i].Name)
		}
	}
	if err := c.Local.check(); err != nil {
		return err
	}
	if len(c.Peer.PSK) == 0 && c.Peer.Verifier == nil && (c.Local.EAP == nil || !c.Local.EAP.Only) {
		return errors.New("nothing to authenticate the peer with")
	}
	return nil
}

// check reports what is missing for our own proof of identity.
func (l *LocalAuth) check() error {
	switch {
	case l.Key != nil && len(l.Chain) == 0:
		return errors.New("a private key without its certificate")
	case l.EAP != nil && l.EAP.Identity == "":
		return errors.New("EAP without the name of a user")
	case l.EAP != nil && l.EAP.Only && l.EAP.Verifier == nil:
		return errors.New("EAP alone without the authorities of its server")
	case l.EAP == nil && l.Key == nil && len(l.PSK) == 0 && !l.OfPeer:
		return errors.New("neither a private key nor a pre-shared key of our own")
	}
	return nil
}
