package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// Bounds of what one peer can make us keep.
const (
	maxChildren     = 64               // Child SAs of one IKE SA
	keepOldChild    = 5 * time.Second  // inbound half of a Child SA after its end
	closePatience   = 5 * time.Second  // for the answer to our last Delete
	rekeyedPatience = 30 * time.Second // for the peer's Delete of a rekeyed IKE SA
)

// An SA is one IKE SA: the control connection with one peer, and its Child
// SAs. Its methods return the effects of the call; they do nothing in states
// where they make no sense.
type SA struct {
	e         *Endpoint
	cfg       *Config // nil while a responder does not know the peer yet
	initiator bool    // of this IKE SA, not of any one exchange
	state     State

	spiLocal, spiRemote uint64
	path                Path
	natt                bool // datagrams carry the non-ESP marker
	natLocal, natRemote bool

	hs           *handshake // until established
	initKey      initKey    // of the IKE_SA_INIT request that a peer started with
	initResponse []byte     // what that was answered with, to answer it again
	source       netip.Addr // counted in the half-open table under this address
	keys         keys
	frag         bool     // the peer reassembles fragments
	hashes       []uint16 // that the peer verifies signatures with; nil: no RFC 7427
	noTFC        bool     // the peer wants no TFC padding
	mob          mobility
	sound        sounding

	localID, peerID     auth.Identity
	localAuth, peerAuth string
	inner               []netip.Addr // our inner addresses
	lease               *lease       // the peer's inner addresses
	guestUser           string       // who proved itself to us with EAP
	guestGroups         []string
	peerKey             knownKey // in Endpoint.known
	token               []byte   // with which the peer says that it has lost the SA
	resumed             bool     // with a ticket, it or an elder

	// Our requests: the one in flight, the ones that wait.
	nextID uint32
	flight *flight
	queue  []queued
	hint   *Failure // what unauthenticated answers claim
	// The peer's requests.
	expectID     uint32
	lastResponse [][]byte
	lastRequest  [32]byte // hash of the datagram that completed the request
	parts        message.Reassembler
	from         origin  // of the message that is being handled
	end          *ending // set by a request handler: close after the response
	reason       error   // why it is being deleted
	announced    bool    // effects have named it to the caller
	pending      bool    // so have those that another works on for a peer who has proved nothing yet
	unproved     int     // traces of messages that name it and are not proved to be its
	repeats      int     // of the last response
	line         bool    // the initiator of the line of SAs is this end
	quantum      quantum
	unfinished   *unfinished
	elder        *SA // whose rekey made this one, while it is open whether this one is the heir

	children []*child
	wanted   int // configured children that are still to be had
	// reopenings are of configured children that ended though they were to stay.
	reopenings map[*ChildConfig]*reopening
	fading     bool // another SA takes its place: nothing is renewed

	created, up         time.Time
	lastHeard, lastSent time.Time
	rekeyAt, expireAt   time.Time
	reauthAt, reauthBy  time.Time
	giveUpAt            time.Time // handshake, or deletion, takes no longer
	ticketAt            time.Time // when to ask for the next ticket; zero: not at all
	rekeys              int

	wake      time.Time
	heapIndex int
}

// A handshake holds what is needed only until both ends have proved themselves.
type handshake struct {
	chosen    transform.Proposal // by us as the responder
	psk       []byte             // of the peer alone, borrowed from its configuration
	ke        transform.KeyExchange
	nonceI    []byte
	nonceR    []byte
	request   []byte // IKE_SA_INIT request and response, as on the wire
	response  []byte
	between   intermediate
	fallback  fallback
	ppk       mixture
	childless bool // the first Child SA comes after IKE_AUTH
	cookie    []byte
	cookies   int               // how often the peer asked for one
	groups    []transform.ID    // key exchange methods tried
	natSource []byte            // the hash that claims a NAT
	redirects bool              // the peer can be sent to another gateway
	multiple  bool              // the responder takes several authentications (RFC 4739)
	user      *userAuth         // our proof in EAP, while it lasts
	guest     *guestAuth        // the peer's
	first     *firstRound       // the peer has proved itself, and is to once more
	held      *heldAuth         // waits for the state of the peer's certificate
	signing   *signing          // waits for a key that takes its time
	signed    []signature       // by such a key
	certReqs  []message.CertReq // of the peer
	weak      []string          // what its certificates have that is weak, and allowed
	knock     bool              // it ends with the answer to IKE_SA_INIT
	own       *Credential       // what we prove ourselves with, once it is chosen
	resumed   *resumption       // nil: a handshake from the beginning
}

// An ending is why an SA closes once its last response is on the way.
type ending struct{ err error }

func (e *Endpoint) newSA(cfg *Config, path Path, initiator bool, now time.Time) *SA {
	sa := &SA{
		e: e, cfg: cfg, initiator: initiator, path: path.unmap(),
		spiLocal: e.newSPI(), hs: &handshake{},
		created: now, lastHeard: now, lastSent: now, heapIndex: -1,
		announced: initiator, line: initiator,
	}
	e.add(sa)
	return sa
}

// Config returns the configuration that the SA follows; nil for a peer that
// has not named itself yet.
func (sa *SA) Config() *Config { return sa.cfg }

// State returns where the SA stands.
func (sa *SA) State() State { return sa.state }

// Awaited returns how many children of the configuration have neither a Child SA
// yet nor been given up; of a responder none are awaited.
func (sa *SA) Awaited() int { return sa.wanted }

// Path returns the addresses that the SA's datagrams go between.
func (sa *SA) Path() Path { return sa.path }

// A Snapshot shows an IKE SA to people.
type Snapshot struct {
	Name                string // of the connection
	Initiator           bool
	State               State
	LocalSPI, RemoteSPI uint64
	Path                Path
	LocalID, PeerID     auth.Identity
	Suite               transform.Suite
	LocalAuth, PeerAuth string
	NATLocal, NATRemote bool
	Mobile              bool         // both ends speak MOBIKE
	Moves               int          // how often the line of SAs changed its path
	Stranded            bool         // no path at all
	Addresses           []netip.Addr // our inner addresses
	PeerAddresses       []netip.Addr // inner addresses that we assigned
	Established         time.Time
	RekeyAt             time.Time // zero: never
	ReauthAt            time.Time // zero: never
	Rekeys              int       // of the line of SAs that this one continues
	// QuantumSafe says that a quantum computer does not open what travels on the
	// SA, QuantumOffered that it was ours to ask for.
	QuantumSafe, QuantumOffered bool
	// QuantumRefused says that the peer answered only when it was not asked for.
	QuantumRefused bool
	Resumed        bool // that line began with a ticket
}

// Info returns a snapshot.
func (sa *SA) Info() Snapshot {
	i := Snapshot{
		Initiator: sa.initiator, State: sa.state,
		LocalSPI: sa.spiLocal, RemoteSPI: sa.spiRemote, Path: sa.path,
		LocalID: sa.localID, PeerID: sa.peerID, Suite: sa.keys.suite,
		LocalAuth: sa.localAuth, PeerAuth: sa.peerAuth,
		NATLocal: sa.natLocal, NATRemote: sa.natRemote,
		Mobile: sa.mob.on, Moves: sa.mob.moves, Stranded: sa.mob.stranded,
		Addresses:   slices.Clone(sa.inner),
		Established: sa.up, RekeyAt: sa.rekeyAt, Rekeys: sa.rekeys, ReauthAt: sa.reauthBy, Resumed: sa.resumed,
	}
	i.QuantumSafe, i.QuantumOffered = sa.quantum.safe || sa.keys.suite.QuantumSafe(), sa.quantum.offered
	i.QuantumRefused = sa.quantum.refused
	if sa.cfg != nil {
		i.Name = sa.cfg.Name
	}
	if sa.lease != nil {
		i.PeerAddresses = slices.Clone(sa.lease.Addresses)
	}
	return i
}

// A ChildSnapshot shows a Child SA to people.
type ChildSnapshot struct {
	Name          string
	InSPI, OutSPI uint32
	Suite         transform.Suite
	Local, Remote ts.List
	Resource      int  // that it is for (RFC 9611); 0: for none
	Rekeyed       bool // a successor took over
	Established   time.Time
	RekeyAt       time.Time // zero: never
}

// Children returns snapshots of the SA's Child SAs, oldest first.
func (sa *SA) Children() []ChildSnapshot {
	list := make([]ChildSnapshot, 0, len(sa.children))
	for _, c := range sa.children {
		list = append(list, ChildSnapshot{
			Name: c.cfg.Name, InSPI: c.in, OutSPI: c.out, Suite: c.suite,
			Local: slices.Clone(c.local), Remote: slices.Clone(c.remote), Resource: c.resource,
			Rekeyed: c.successor != nil, Established: c.created, RekeyAt: c.rekeyAt,
		})
	}
	return list
}

// Rekey replaces the IKE SA by a fresh one.
func (sa *SA) Rekey(now time.Time) []Effect {
	sa.rekeyIKE(now)
	sa.e.settle(sa, now)
	return sa.e.take()
}

// CheckLiveness asks the peer whether it is still there; Closed with
// FailPeerDead follows when it is not.
func (sa *SA) CheckLiveness(now time.Time) []Effect {
	sa.checkLiveness(now)
	sa.e.settle(sa, now)
	return sa.e.take()
}

// Close deletes the IKE SA. Its Child SAs end at once; Closed follows when the
// peer has answered, or after 5 s.
func (sa *SA) Close(now time.Time) []Effect {
	switch sa.state {
	case StateInitSent, StateInitAnswered, StateAuthSent:
		sa.close(nil, now)
	case StateUp:
		sa.startClose(nil, now)
	}
	sa.e.settle(sa, now)
	return sa.e.take()
}

// StopRenewing lets the IKE SA and its Child SAs run out: another has taken their
// place, and Retire follows.
func (sa *SA) StopRenewing(now time.Time) {
	sa.fading = true
	sa.rekeyAt, sa.reauthAt, sa.ticketAt = time.Time{}, time.Time{}, time.Time{}
	for _, c := range sa.children {
		c.rekeyAt = time.Time{}
	}
	if sa.state != StateClosed {
		sa.schedule(now)
	}
}

// Retire deletes the IKE SA as Close does, because another has taken its place:
// what is still on the way on its Child SAs is received.
func (sa *SA) Retire(now time.Time) []Effect {
	if sa.state == StateUp {
		for len(sa.children) > 0 {
			sa.dropChild(sa.children[0], keepOldChild, nil)
		}
	}
	return sa.Close(now)
}

// Abandon forgets the IKE SA and its Child SAs without a word to the peer.
func (sa *SA) Abandon(now time.Time) []Effect {
	sa.close(nil, now)
	return sa.e.take()
}

// close ends the SA here and now: its children, its secrets, its place.
func (sa *SA) close(err error, now time.Time) {
	if sa.state == StateClosed {
		return
	}
	sa.abandonTasks(now)
	sa.dropUnfinished()
	for _, c := range slices.Clone(sa.children) {
		sa.dropChild(c, 0, err)
	}
	if sa.lease != nil {
		sa.lease.release()
		sa.lease = nil
	}
	if sa.lastResponse != nil {
		sa.e.graves.bury(sa, now)
	}
	sa.state = StateClosed
	sa.keys.wipe()
	sa.endHandshake()
	sa.e.remove(sa)
	sa.wake = time.Time{}
	if sa.announced || sa.pending {
		sa.e.emit(Closed{SA: sa, Err: err})
	}
}

// endHandshake forgets what only the handshake needed.
func (sa *SA) endHandshake() {
	if sa.hs == nil {
		return
	}
	sa.wipePPK()
	if u := sa.hs.user; u != nil {
		u.offer.free(sa)
		u.peer.Wipe()
	}
	if g := sa.hs.guest; g != nil {
		g.wipe()
	}
	if r := sa.hs.resumed; r != nil {
		r.ticket.Wipe()
		if r.passport != nil {
			transform.Wipe(r.passport.d)
		}
	}
	if h := sa.hs.held; h != nil {
		h.offer.free(sa)
	}
	sa.hs = nil
}

func (sa *SA) log(l Level, format string, args ...any) {
	sa.e.emit(Log{SA: sa, Level: l, Text: fmt.Sprintf(format, args...)})
}

// name names the SA in a log line.
func (sa *SA) name() string { return fmt.Sprintf("IKE SA %016x", sa.spiLocal) }
