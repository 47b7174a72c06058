package ike

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// A child is one Child SA: a pair of ESP SAs.
type child struct {
	sa            *SA
	cfg           *ChildConfig
	in, out       uint32
	suite         transform.Suite
	local, remote ts.List

	created, rekeyAt, expireAt time.Time

	resource int  // that it is for (RFC 9611); 0: for none
	grouped  bool // it is one of several for the same traffic
	full     bool // there are to be no more of them
	unseen   bool // of a resource, and the peer has not shown yet that it has it

	active      bool        // outbound traffic goes over it
	predecessor *child      // the one that it replaces, until that is gone
	successor   *child      // the one that replaces it
	deletion    *deleteTask // our Delete, which waits or is in flight
	rekey       *rekeyTask
}

// childSPI is an ESP SPI as payloads hold it.
func childSPI(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }

func parseChildSPI(b []byte) (uint32, bool) {
	if len(b) != 4 {
		return 0, false
	}
	spi := binary.BigEndian.Uint32(b)
	return spi, spi != 0
}

// childByOut finds the Child SA whose inbound half at the peer has this SPI.
func (sa *SA) childByOut(spi uint32) *child {
	for _, c := range sa.children {
		if c.out == spi {
			return c
		}
	}
	return nil
}

// selectors are the traffic selectors that a configuration means now, with
// the addresses that are known in place of "dynamic".
func (sa *SA) selectors(cfg *ChildConfig) (local, remote ts.List) {
	local, remote = slices.Clone(cfg.Local), slices.Clone(cfg.Remote)
	switch {
	case len(sa.inner) > 0:
		local = append(local, filled(cfg.LocalDynamic, hosts(sa.inner))...)
	case sa.state == StateAuthSent && len(sa.cfg.WantAddresses) > 0:
		local = append(local, filled(cfg.LocalDynamic, anyOf(sa.cfg.WantAddresses))...)
	default:
		local = append(local, filled(cfg.LocalDynamic, hosts([]netip.Addr{sa.path.Local.Addr()}))...)
	}
	peer := []netip.Addr{sa.path.Remote.Addr()}
	if sa.lease != nil && len(sa.lease.Addresses) > 0 {
		peer = sa.lease.Addresses
	}
	return local, append(remote, filled(cfg.RemoteDynamic, hosts(peer))...)
}

// filled gives each of the dynamic selectors each of the address ranges.
func filled(dynamic, ranges ts.List) ts.List {
	var list ts.List
	for _, d := range dynamic {
		for _, r := range ranges {
			d.From, d.To = r.From, r.To
			list = append(list, d)
		}
	}
	return list
}

// hosts selects single addresses.
func hosts(addrs []netip.Addr) ts.List {
	var list ts.List
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		list = append(list, ts.FromPrefix(netip.PrefixFrom(a, a.BitLen())))
	}
	return list
}

// anyOf selects every address of the families of addrs.
func anyOf(addrs []netip.Addr) ts.List {
	var list ts.List
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if slices.ContainsFunc(addrs, func(x netip.Addr) bool { return x.Unmap().BitLen() == a.BitLen() }) {
			list = append(list, ts.FromPrefix(netip.PrefixFrom(a, 0)))
		}
	}
	return list
}

// An offer is what we ask for a Child SA.
type offer struct {
	cfg           *ChildConfig
	proposals     []transform.Proposal
	spi           uint32 // reserved; 0 once it is taken or given back
	local, remote ts.List
	nonce         []byte
	ke            transform.KeyExchange // nil without PFS
}

// newOffer offers a Child SA as the configuration says, without key exchange.
func (sa *SA) newOffer(cfg *ChildConfig, proposals []transform.Proposal) *offer {
	o := &offer{cfg: cfg, spi: sa.e.newChildSPI()}
	o.proposals = numbered(proposals, childSPI(o.spi))
	o.local, o.remote = sa.selectors(cfg)
	return o
}

// newExchange offers a Child SA in a CREATE_CHILD_SA exchange, with a nonce,
// and a key exchange where a proposal has one: of the method group, or when
// that is 0 of the one that the peer is most likely to choose.
func (sa *SA) newExchange(cfg *ChildConfig, group transform.ID) (*offer, error) {
	proposals := sa.known(cfg.Proposals)
	if group == 0 {
		group = sa.likelyGroup(proposals)
	}
	var ke transform.KeyExchange
	if group != 0 {
		var err error
		if ke, err = transform.NewKeyExchange(group, sa.e.opt.Rand); err != nil {
			return nil, err
		}
	}
	o := sa.newOffer(cfg, proposals)
	o.nonce, o.ke = sa.e.random(nonceLen), ke
	return o, nil
}

// known are the proposals that the peer understands.
func (sa *SA) known(list []transform.Proposal) []transform.Proposal {
	if sa.quantum.follows {
		return list
	}
	if classical := transform.Classical(list); len(classical) > 0 {
		return classical
	}
	return list
}

// likelyGroup is the method that the peer chose for the IKE SA, where the proposals
// have it, and else their first. RFC 7296, section 1.3, leaves it to us to guess, and
// the peer to ask for another method when we guess wrong; libreswan (seen with 4.10)
// does not ask: it takes the key of another length for a fault of the syntax.
func (sa *SA) likelyGroup(proposals []transform.Proposal) transform.ID {
	if g := sa.keys.suite.KE.ID; slices.Contains(groupsOf(proposals), g) {
		return g
	}
	return firstGroup(proposals)
}

func firstGroup(list []transform.Proposal) transform.ID {
	for _, p := range list {
		if g := p.KEs(); len(g) > 0 {
			return g[0]
		}
	}
	return 0
}

func (o *offer) sa() message.Payload  { return message.NewSA(o.proposals...) }
func (o *offer) tsi() message.Payload { return &message.TS{Selectors: o.local} }
func (o *offer) tsr() message.Payload { return &message.TS{Responder: true, Selectors: o.remote} }

// payloads are SA, Ni, [KEi], TSi and TSr.
func (o *offer) payloads() []message.Payload {
	list := []message.Payload{o.sa(), &message.Nonce{Data: o.nonce}}
	if o.ke != nil {
		list = append(list, &message.KE{Method: o.ke.ID(), Data: o.ke.Public()})
	}
	return append(list, o.tsi(), o.tsr())
}

// take hands the reserved SPI to the caller, who puts a child in its place.
func (o *offer) take() uint32 {
	spi := o.spi
	o.spi = 0
	return spi
}

// free gives back what the offer reserved, if it was not taken.
func (o *offer) free(sa *SA) {
	if o != nil && o.spi != 0 {
		sa.e.freeChildSPI(o.take())
	}
}

// A negotiated Child SA is agreed on but not installed.
type negotiated struct {
	cfg           *ChildConfig
	in, out       uint32
	suite         transform.Suite
	proposal      transform.Proposal // of the responder's answer
	local, remote ts.List
	keyIn, keyOut []byte
	resource      int
	grouped       bool
}

// accept checks the peer's answer to an offer, and returns the shared secret of its
// key exchange, if there was one.
func (sa *SA) accept(o *offer, in *inbox) (*negotiated, []byte, *notifyError) {
	offers := in.sa.Offers()
	if len(offers) != 1 {
		return nil, nil, syntaxError("%d proposals in the answer", len(offers))
	}
	suite, err := transform.Check(o.proposals, offers[0])
	if err != nil {
		return nil, nil, syntaxError("answer: %w", err)
	}
	out, ok := parseChildSPI(offers[0].SPI)
	if !ok {
		return nil, nil, syntaxError("SPI %x in the answer", offers[0].SPI)
	}
	local, remote := within(o.local, in.tsi), within(o.remote, sa.addressed(in.tsr))
	if len(local) == 0 || len(remote) == 0 {
		return nil, nil, &notifyError{notify: message.NotifyInvalidSyntax, code: FailTSUnacceptable, err: &OutsideAnswer{Local: in.tsi, Remote: in.tsr}}
	}
	var shared []byte
	if suite.KE.ID != transform.KENone {
		if o.ke == nil || in.ke == nil || in.ke.Method != o.ke.ID() || suite.KE.ID != o.ke.ID() {
			return nil, nil, syntaxError("the key exchange of the answer is not ours")
		}
		if shared, err = o.ke.Shared(in.ke.Data); err != nil {
			return nil, nil, syntaxError("answer: %w", err)
		}
	}
	return &negotiated{cfg: o.cfg, out: out, suite: suite, local: local, remote: remote, grouped: in.grouped(o.cfg)}, shared, nil
}

// choose answers the peer's offer of a Child SA with the first of cfgs that
// fits. first: in IKE_AUTH, where there is no key exchange of its own.
func (sa *SA) choose(in *inbox, cfgs []*ChildConfig, first bool) (*negotiated, *notifyError) {
	if len(sa.children) >= maxChildren {
		return nil, &notifyError{notify: message.NotifyNoAdditionalSAs, code: FailPeerRefused,
			err: fmt.Errorf("the peer holds %d Child SAs already", len(sa.children))}
	}
	offers := in.sa.Offers()
	var method transform.ID
	if in.ke != nil {
		method = in.ke.Method
	}
	if first {
		for i := range offers {
			offers[i] = offers[i].WithoutKE()
		}
	}
	bad := &notifyError{notify: message.NotifyTSUnacceptable, code: FailTSUnacceptable,
		err: fmt.Errorf("the peer offers %v behind itself and %v behind us", in.tsi, in.tsr)}
	tsi := sa.addressed(in.tsi)
	for _, cfg := range cfgs {
		local, remote := sa.selectors(cfg)
		local, remote = local.Narrow(in.tsr), remote.Narrow(tsi)
		if len(local) == 0 || len(remote) == 0 {
			continue
		}
		accepted := cfg.Proposals
		if first {
			accepted = transform.WithoutKE(accepted)
		}
		suite, proposal, err := transform.SelectKE(accepted, offers, method)
		if err != nil {
			bad = &notifyError{notify: message.NotifyNoProposalChosen, code: FailNoProposal, err: err}
			continue
		}
		out, ok := parseChildSPI(proposal.SPI)
		if !ok {
			return nil, syntaxError("SPI %x in the offer", proposal.SPI)
		}
		if suite.KE.ID != transform.KENone && method != suite.KE.ID {
			return nil, &notifyError{notify: message.NotifyInvalidKEPayload, code: FailNoProposal,
				data: binary.BigEndian.AppendUint16(nil, uint16(suite.KE.ID)),
				err:  errors.New("another key exchange method is preferred")}
		}
		return &negotiated{cfg: cfg, out: out, suite: suite, proposal: proposal, local: local, remote: remote, grouped: in.grouped(cfg)}, nil
	}
	return nil, bad
}

// answer are the payloads of the responder's answer: SA, [Nr], [KEr], TSi, TSr,
// [N(SA_RESOURCE_INFO)].
func (n *negotiated) answer(nonce, public []byte) []message.Payload {
	p := n.proposal
	p.SPI = childSPI(n.in)
	list := []message.Payload{message.NewSA(p)}
	if nonce != nil {
		list = append(list, &message.Nonce{Data: nonce})
	}
	if public != nil {
		list = append(list, &message.KE{Method: n.suite.KE.ID, Data: public})
	}
	list = append(list,
		&message.TS{Selectors: n.remote},
		&message.TS{Responder: true, Selectors: n.local})
	if n.grouped {
		list = append(list, resourceInfo(n.resource))
	}
	return list
}

// install brings a negotiated Child SA to life. It replaces another, if that
// is not nil. outbound: traffic goes over it at once.
func (sa *SA) install(n *negotiated, outbound bool, replaces *child, now time.Time) *child {
	c := &child{
		sa: sa, cfg: n.cfg, in: n.in, out: n.out, suite: n.suite, local: n.local, remote: n.remote,
		created: now, active: outbound, predecessor: replaces,
		resource: n.resource, grouped: n.grouped, unseen: !outbound && n.resource != 0 && replaces == nil,
	}
	if d := c.cfg.rekeyTime(); d > 0 {
		c.rekeyAt = now.Add(d - sa.e.jitter(d/10))
	}
	if d := c.cfg.hardLifetime(); d > 0 {
		c.expireAt = now.Add(d)
	}
	sa.e.freeChildSPI(c.in)
	sa.e.children[c.in] = c
	sa.children = append(sa.children, c)
	x := InstallChild{SA: sa, Child: ChildSA{
		Name: c.cfg.Name, InSPI: c.in, OutSPI: c.out, Suite: c.suite, KeyIn: n.keyIn, KeyOut: n.keyOut,
		Local: slices.Clone(c.local), Remote: slices.Clone(c.remote), Path: sa.path,
		OutboundNow: outbound, TFC: !sa.noTFC, Resource: c.resource,
	}}
	if replaces != nil {
		c.full = replaces.full
		x.Replaces = replaces.in
		replaces.successor = c
		replaces.rekeyAt = time.Time{}
	}
	if outbound {
		sa.quieten(c)
	}
	sa.e.emit(x)
	sa.log(Info, "%s: child %q %08x_i %08x_o, %v, %v === %v", sa.name(), c.cfg.Name, c.in, c.out, c.suite, c.local, c.remote)
	return c
}

// quieten notes that c carries the outbound traffic in place of those before
// it, and of others that were to replace them.
func (sa *SA) quieten(c *child) {
	for before := c.predecessor; before != nil; before = before.predecessor {
		for _, o := range sa.children {
			if o != c && (o == before || o.predecessor == before) {
				o.active = false
			}
		}
	}
}

// activate moves outbound traffic to c, unless it has moved on to one that
// replaces c already.
func (sa *SA) activate(c *child) {
	for x := c; x != nil; x = x.successor {
		if x.active {
			return
		}
	}
	c.active = true
	sa.quieten(c)
	sa.e.emit(ActivateChild{SA: sa, InSPI: c.in})
}

// noteInbound notes that authenticated packets came on c.
func (sa *SA) noteInbound(c *child, now time.Time) {
	sa.lastHeard = now
	if c.predecessor != nil && c.predecessor.successor == c {
		sa.activate(c)
	}
	if c.unseen {
		sa.resourceShown(c)
	}
}

// dropChild forgets c. Its inbound half lives on for grace.
func (sa *SA) dropChild(c *child, grace time.Duration, err error) {
	sa.forgetChild(c, RemoveChild{Grace: grace, Err: err})
}

// outdone reports whether another rekey of its predecessor has won against c.
func (c *child) outdone() bool { return c.predecessor != nil && c.predecessor.successor != c }

// forgetChild takes c out of the tables and tells of it, and reports whether it was
// there.
func (sa *SA) forgetChild(c *child, x RemoveChild) bool {
	i := slices.Index(sa.children, c)
	if i < 0 {
		return false
	}
	sa.children = slices.Delete(sa.children, i, i+1)
	delete(sa.e.children, c.in)
	for _, o := range sa.children {
		if o.predecessor == c {
			o.predecessor = nil
		}
		if o.successor == c {
			o.successor = nil
		}
	}
	x.SA, x.InSPI = sa, c.in
	sa.e.emit(x)
	return true
}

// childFailed tells that a configured Child SA could not be had. An initiator
// whose every child failed has no use for the IKE SA.
func (sa *SA) childFailed(name string, f *Failure, now time.Time) {
	sa.e.emit(ChildFailed{SA: sa, Name: name, Err: f})
	if !sa.initiator || sa.wanted == 0 {
		return
	}
	if sa.wanted--; sa.wanted == 0 && len(sa.children) == 0 {
		sa.giveUp(f, now)
	}
}
