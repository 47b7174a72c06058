package eap

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The attributes of TTLS (RFC 5281, section 11).
const (
	avpUserName     = 1
	avpUserPassword = 2
	avpReplyMessage = 18
	avpEAPMessage   = 79

	avpFlagVendor byte = 0x80
	avpFlagMust   byte = 0x40
)

// An avp is one attribute within TTLS (RFC 5281, section 10.1).
type avp struct {
	code, vendor uint32
	must         bool
	data         []byte
}

// appendTo appends the attribute, padded to four bytes.
func (a *avp) appendTo(b []byte) []byte {
	n, flags := 8+len(a.data), byte(0)
	if a.must {
		flags |= avpFlagMust
	}
	if a.vendor != 0 {
		n += 4
		flags |= avpFlagVendor
	}
	b = binary.BigEndian.AppendUint32(b, a.code)
	b = binary.BigEndian.AppendUint32(b, uint32(flags)<<24|uint32(n))
	if a.vendor != 0 {
		b = binary.BigEndian.AppendUint32(b, a.vendor)
	}
	b = append(b, a.data...)
	return append(b, make([]byte, -len(a.data)&3)...)
}

// maxAVPs bounds the attributes of one message.
const maxAVPs = 64

// parseAVPs parses the attributes of a message. The padding of the last one
// may be missing. The result aliases b.
func parseAVPs(b []byte) ([]avp, error) {
	var list []avp
	for len(b) > 0 {
		if len(b) < 8 || len(list) == maxAVPs {
			return nil, fmt.Errorf("eap: TTLS: attributes: %w", ErrMalformed)
		}
		a := avp{code: binary.BigEndian.Uint32(b)}
		flags, n := b[4], int(binary.BigEndian.Uint32(b[4:])&0xffffff)
		head := 8
		if flags&avpFlagVendor != 0 {
			head = 12
		}
		if n < head || n > len(b) {
			return nil, fmt.Errorf("eap: TTLS: attribute of %d bytes in %d: %w", n, len(b), ErrMalformed)
		}
		if head == 12 {
			a.vendor = binary.BigEndian.Uint32(b[8:])
		}
		a.must, a.data = flags&avpFlagMust != 0, b[head:n]
		list = append(list, a)
		b = b[min(len(b), (n+3)&^3):]
	}
	return list, nil
}

// A ttlsInner is the proof within TTLS: the client speaks first.
type ttlsInner struct {
	cfg     *PeerConfig
	peer    *Peer // of EAP within; nil with PAP
	sent    bool  // PAP: the password has gone
	refused *RefusedError
}

// newTTLSInner returns EAP within TTLS, or PAP when that is the first of
// PeerConfig.Inner.
func newTTLSInner(cfg *PeerConfig) *ttlsInner {
	in := &ttlsInner{cfg: cfg}
	if cfg.Inner[0] != PAP {
		in.peer = newInnerPeer(cfg, cfg.Inner)
	}
	return in
}

// newInnerPeer returns the peer of EAP within TLS: the server has proved itself.
// It speaks these methods alone; where none is left, none.
func newInnerPeer(cfg *PeerConfig, methods []Type) *Peer {
	inner := *cfg
	inner.MutualOnly, inner.Anonymous = false, ""
	inner.Methods = slices.DeleteFunc(slices.Clone(methods), func(t Type) bool { return !isInner(t) })
	return &Peer{cfg: inner}
}

// isInner reports whether a method of EAP may run within TLS.
func isInner(t Type) bool { return t == TypeMSCHAPv2 || t == TypeGTC }

// begin says who we are: as EAP's identity, or name and password at once.
func (in *ttlsInner) begin() ([]byte, *Question, error) {
	if in.peer != nil {
		id := Packet{Code: CodeResponse, Type: TypeIdentity, Data: []byte(in.cfg.Identity)}
		a := avp{code: avpEAPMessage, must: true, data: id.AppendTo(nil)}
		return a.appendTo(nil), nil, nil
	}
	if in.cfg.Password == nil {
		return nil, &Question{Kind: AskPassword, User: in.cfg.Identity}, nil
	}
	return in.answer(in.cfg.Password)
}

func (in *ttlsInner) handle(plain []byte) ([]byte, *Question, error) {
	list, err := parseAVPs(plain)
	if err != nil {
		return nil, nil, err
	}
	var message []byte
	for _, a := range list {
		switch {
		case a.vendor == 0 && a.code == avpEAPMessage:
			message = append(message, a.data...)
		case a.vendor == 0 && a.code == avpReplyMessage:
			in.refused = &RefusedError{Message: Clean(a.data), Untried: !in.tried()}
		case a.must:
			return nil, nil, fmt.Errorf("eap: TTLS: attribute %d of vendor %d: %w", a.code, a.vendor, ErrProtocol)
		}
	}
	if message == nil {
		return nil, nil, nil
	}
	if in.peer == nil {
		// PAP: the server wants more than the password: another question in EAP.
		in.peer = newInnerPeer(in.cfg, []Type{TypeGTC})
		in.peer.asked = 1
	}
	return in.wrap(in.peer.Handle(message))
}

func (in *ttlsInner) answer(secret []byte) ([]byte, *Question, error) {
	if in.peer != nil {
		return in.wrap(in.peer.Answer(secret))
	}
	user := avp{code: avpUserName, must: true, data: []byte(in.cfg.Identity)}
	// RFC 5281, section 11.2.5: the password is padded with zeros to hide its length.
	padded := append(slices.Clone(secret), make([]byte, 16-len(secret)%16)...)
	pass := avp{code: avpUserPassword, must: true, data: padded}
	out := pass.appendTo(user.appendTo(nil))
	clear(padded)
	in.sent = true // the server ends it as it likes: it has proved itself in TLS
	return out, nil, nil
}

func (in *ttlsInner) wrap(s Step, err error) ([]byte, *Question, error) {
	if err != nil || s.Question != nil || s.Reply == nil {
		return nil, s.Question, err
	}
	a := avp{code: avpEAPMessage, must: true, data: s.Reply}
	return a.appendTo(nil), nil, nil
}

func (in *ttlsInner) refusal() error {
	if in.peer != nil {
		if err := refusal(in.peer.method); err != nil {
			return err
		}
	}
	if in.refused == nil {
		return nil
	}
	return in.refused
}

func (in *ttlsInner) eap() *Peer  { return in.peer }
func (in *ttlsInner) tried() bool { return in.sent || in.peer != nil && in.peer.tried() }

// done: the success within TTLS may be silent: the outer one stands for it.
func (in *ttlsInner) done() bool {
	if in.peer != nil {
		return in.peer.Over() || in.peer.method != nil && in.peer.method.done()
	}
	return in.sent
}

func (in *ttlsInner) wipe() {
	if in.peer != nil {
		in.peer.Wipe()
	}
}
