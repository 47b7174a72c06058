package ike

import (
	"net/netip"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// A Path is the pair of outer addresses between which an SA's datagrams go.
type Path struct {
	Local, Remote netip.AddrPort
	// TCP says that they are the ends of a TCP connection, of that very one
	// (RFC 9329); otherwise they are those of UDP.
	TCP bool
}

func (p Path) String() string {
	s := p.Local.String() + " - " + p.Remote.String()
	if p.TCP {
		s += " (TCP)"
	}
	return s
}

// unmap writes IPv4 addresses as such, so that paths compare.
func (p Path) unmap() Path {
	return Path{
		Local:  netip.AddrPortFrom(p.Local.Addr().Unmap(), p.Local.Port()),
		Remote: netip.AddrPortFrom(p.Remote.Addr().Unmap(), p.Remote.Port()),
		TCP:    p.TCP,
	}
}

// A Datagram is one received IKE message, without the non-ESP marker.
type Datagram struct {
	Data          []byte // borrowed
	Local, Remote netip.AddrPort
	NATT          bool // it came with the non-ESP marker (RFC 3948), on the port that ESP shares
	TCP           bool // it came through a TCP connection (RFC 9329); NATT is set too
}

// path returns where an answer goes.
func (d Datagram) path() Path { return Path{Local: d.Local, Remote: d.Remote, TCP: d.TCP} }

// An Effect is something that the caller has to do, or to know, in the order
// given. Each names the SA it belongs to; SA is nil where no SA is concerned.
type Effect interface{ effect() }

// Send asks for a datagram to be sent.
type Send struct {
	SA   *SA
	Path Path
	// NATT asks for the non-ESP marker (four zero bytes) before Data, and for
	// the socket that ESP shares. A Keepalive goes out through that socket as
	// it is, without a marker (RFC 3948, section 2.3).
	NATT      bool
	Keepalive bool
	// Size says what becomes of a datagram that is too large for the path.
	Size SizeRule
	Data []byte // owned by the receiver of the effect; may be repeated in a later Send, so do not write into it
}

// A SizeRule says whether a datagram may be cut into IP fragments.
type SizeRule uint8

// The values of SizeRule.
const (
	CutIfRefused SizeRule = iota // where the system knows that it is too large for the path
	CutAnywhere                  // by any router too: it was lost before
	NeverCut                     // nor by the system, whatever it believes of the path
)

// Answered says that the peer has answered IKE_SA_INIT, and that IKE_AUTH goes
// out next. Whoever started several IKE SAs with one peer abandons the others
// now, so that the peer hears one proof.
type Answered struct {
	SA *SA
}

// Established says that both ends have proved who they are. It precedes the
// InstallChild of the first Child SA.
type Established struct {
	SA        *SA
	PeerID    auth.Identity
	Addresses []netip.Addr   // inner addresses that the peer assigned to us
	DNS       []netip.Addr   // name servers it told us
	Domains   []string       // names that they answer for (RFC 8598); none: all
	Subnets   []netip.Prefix // networks behind the peer
	// LocalAuth and PeerAuth name the methods, as "PSK" or "rsa-pss-sha256".
	LocalAuth, PeerAuth string
	// Weak says what is weak in the certificates that the peer, or a server within
	// EAP, has shown, and that the configuration allows.
	Weak []string
	// Childless says that no Child SA came with the IKE SA: a ChildFailed says why,
	// or it is to come by itself (Config.Childless).
	Childless bool
	// Resumed says that a ticket brought it up, and no proof of an identity.
	Resumed bool
}

// A ChildSA is a negotiated pair of ESP SAs, as the data path needs it.
type ChildSA struct {
	Name          string
	InSPI, OutSPI uint32
	Suite         transform.Suite
	// KeyIn and KeyOut hold the encryption key (with an AEAD's salt at its end)
	// and then the integrity key, each of the length that Suite says. The
	// receiver of the effect owns them and wipes them.
	KeyIn, KeyOut []byte
	Local, Remote ts.List
	Path          Path
	// OutboundNow: send on it at once; otherwise only after ActivateChild.
	OutboundNow bool
	// Resource is the number of the resource that it is for (RFC 9611), with others
	// for the same traffic beside it; 0: for none.
	Resource int
	// TFC says that the peer accepts traffic flow confidentiality padding.
	TFC bool
}

// InstallChild brings a new Child SA. Its inbound half is to be ready when the
// following Sends go out. A Child SA and those that replace it are a line, of
// which one carries the outbound traffic: the last that was installed with
// OutboundNow or activated.
type InstallChild struct {
	SA    *SA
	Child ChildSA
	// Replaces is the inbound SPI of the Child SA that this one rekeys, or 0.
	Replaces uint32
}

// ActivateChild says that a Child SA installed without OutboundNow carries
// outbound traffic from now on.
type ActivateChild struct {
	SA    *SA
	InSPI uint32
}

// RemoveChild ends a Child SA. Outbound stops at once; inbound packets that
// are still on the way are accepted for Grace.
type RemoveChild struct {
	SA    *SA
	InSPI uint32
	Grace time.Duration
	// Err is nil when the child was rekeyed or we closed it, *Failure otherwise.
	Err error
	// Reopens says that one for the same traffic is asked for in its place: an
	// InstallChild follows, or a ChildFailed (Config.Reopen).
	Reopens bool
}

// ChildFailed says that a Child SA of the configuration could not be had,
// while the IKE SA lives on. An established child whose rekey fails stays.
type ChildFailed struct {
	SA   *SA
	Name string
	Err  error // *Failure
	// Lost says that there was one, which has ended.
	Lost bool
}

// Replaced says that an IKE SA was rekeyed: the Child SAs of Old belong to New
// from now on. Old follows with Closed later.
type Replaced struct {
	Old, New *SA
}

// PathChanged says that the peer's datagrams come from, and go to, another
// address or port: after the float to the NAT-T port, and when a NAT rebinds.
// All Child SAs of the SA follow.
type PathChanged struct {
	SA   *SA
	Path Path
}

// Moved says that the peer of an SA of ours has answered over the path that the SA
// has now, after SA.Move or SA.Hurry. When it is Behind, its Child SAs have not
// followed, nor will they: only another IKE SA carries traffic again.
type Moved struct {
	SA     *SA
	Path   Path
	Behind bool
}

// Sounded says what became of a packet of SA.Sound.
type Sounded struct {
	SA   *SA
	Path Path
	Tag  any
	Sent int  // how long it was: as asked for, or a little shorter
	Fits bool // the peer has answered it; otherwise it was lost, or came late
}

// PathSilent says that the peer of an SA that can be moved does not answer over
// its path: SA.Move may name others to try.
type PathSilent struct{ SA *SA }

// Redirected says that the peer of an established SA sends us to another gateway
// (RFC 5685): connect there, then close SA.
type Redirected struct {
	SA      *SA
	Gateway string // an address, or a name
}

// Reauthenticate says that the peer's authentication runs out at By
// (RFC 4478, or Config.ReauthTime): start a new IKE SA before, then close SA.
type Reauthenticate struct {
	SA *SA
	By time.Time
}

// Ask says that the authentication waits for what only the user knows; SA.Answer
// goes on with it. Whoever is asked sees Question.Text as a stranger's words: the
// gateway's, which has proved itself (or will within EAP).
type Ask struct {
	SA       *SA
	Question eap.Question
}

// RelayEAP is a packet of the peer for the server that knows its users; what
// that says goes to SA.Relayed. The receiver owns the packet. Closed follows, even
// of a peer that never proves who it is.
type RelayEAP struct {
	SA     *SA
	Packet []byte
}

// A Relayed is what a server of users says to a packet of RelayEAP.
type Relayed struct {
	// Packet is the server's, for the peer: a request, a success or a failure.
	Packet []byte
	// Accepted says that the server has let the user in: a success counts with
	// it alone.
	Accepted bool
	User     string
	Groups   []string
	MSK      []byte // of methods that make one; the SA takes ownership
	// Err says that the server cannot be asked. The peer is refused.
	Err error
}

// CheckRevocation says that the authentication waits until it is known whether
// the peer's certificate was revoked. The receiver reads what Check.Next names,
// gives it to Check.Take, and within 5 s hands the Check to SA.Checked.
type CheckRevocation struct {
	SA    *SA
	Check *pki.Check
}

// Closed says that an IKE SA is gone, after RemoveChild of each of its
// children.
type Closed struct {
	SA  *SA
	Err error // *Failure; nil when we were asked to close it, or it was rekeyed
}

// A Level orders log lines by weight.
type Level int

// The levels.
const (
	Debug Level = iota
	Info
	Warn
)

// Log is a line for the log. It never holds a secret.
type Log struct {
	SA    *SA
	Level Level
	Text  string
}

func (Send) effect()            {}
func (Answered) effect()        {}
func (Established) effect()     {}
func (InstallChild) effect()    {}
func (ActivateChild) effect()   {}
func (RemoveChild) effect()     {}
func (ChildFailed) effect()     {}
func (Replaced) effect()        {}
func (PathChanged) effect()     {}
func (Moved) effect()           {}
func (PathSilent) effect()      {}
func (Sounded) effect()         {}
func (Redirected) effect()      {}
func (Reauthenticate) effect()  {}
func (Ask) effect()             {}
func (RelayEAP) effect()        {}
func (CheckRevocation) effect() {}
func (Closed) effect()          {}
func (Log) effect()             {}
