package eap

import (
	"fmt"
	"slices"
)

// The result within PEAP version 0 travels as an EAP packet of type Extensions
// with a Result TLV (draft-kamath-pppext-peapv0; MS-PEAP, section 2.2.8).
const (
	tlvResult        = 3
	tlvCryptoBinding = 12
	resultSuccess    = 1
	resultFailure    = 2
)

// A peapInner is EAP within PEAP version 0. Its packets come without their
// header, which is the outer one's, but for those of the type Extensions.
type peapInner struct {
	cfg  *PeerConfig
	peer *Peer
	ok   bool
	id   byte
}

func newPEAPInner(cfg *PeerConfig) *peapInner {
	return &peapInner{cfg: cfg, peer: newInnerPeer(cfg, cfg.Inner)}
}

// begin: the server speaks first.
func (in *peapInner) begin() ([]byte, *Question, error) { return nil, nil, nil }

func (in *peapInner) handle(plain []byte) ([]byte, *Question, error) {
	if p, err := Parse(plain); err == nil && p.Code == CodeRequest && p.Type == TypeExtensions {
		return in.result(p)
	}
	if len(plain) == 0 {
		return nil, nil, fmt.Errorf("eap: PEAP: an empty packet: %w", ErrMalformed)
	}
	// The header that it lacks. Some servers send it with their first question all
	// the same, and want none back.
	packet := plain
	if p, err := Parse(plain); err != nil || p.Code != CodeRequest {
		in.id++
		x := Packet{Code: CodeRequest, ID: in.id, Type: Type(plain[0]), Data: plain[1:]}
		packet = x.AppendTo(nil)
	}
	return in.wrap(in.peer.Handle(packet))
}

// result answers the server's verdict. A success before the inner method has
// come to its end is none.
func (in *peapInner) result(p Packet) ([]byte, *Question, error) {
	verdict := 0
	for b := p.Data; len(b) > 0; {
		if len(b) < 4 {
			return nil, nil, fmt.Errorf("eap: PEAP: result: %w", ErrMalformed)
		}
		kind, n := int(b[0]&0x3f)<<8|int(b[1]), int(b[2])<<8|int(b[3])
		if n > len(b)-4 {
			return nil, nil, fmt.Errorf("eap: PEAP: TLV of %d bytes in %d: %w", n, len(b)-4, ErrMalformed)
		}
		switch {
		case kind == tlvResult && n == 2:
			verdict = int(b[4])<<8 | int(b[5])
		case kind == tlvCryptoBinding:
			// It guards against a proof made for another server. Ours was made
			// within this very TLS session, whose server is verified.
		case b[0]&0x80 != 0:
			return nil, nil, fmt.Errorf("eap: PEAP: TLV %d: %w", kind, ErrProtocol)
		}
		b = b[4+n:]
	}
	in.ok = verdict == resultSuccess && in.peer.method != nil && in.peer.method.done()
	if verdict == resultSuccess && !in.ok {
		return nil, nil, ErrEarlySuccess
	}
	status := byte(resultFailure)
	if in.ok {
		status = resultSuccess
	}
	out := Packet{Code: CodeResponse, ID: p.ID, Type: TypeExtensions, Data: []byte{0x80, tlvResult, 0, 2, 0, status}}
	return out.AppendTo(nil), nil, nil
}

func (in *peapInner) answer(secret []byte) ([]byte, *Question, error) {
	return in.wrap(in.peer.Answer(secret))
}

func (in *peapInner) wrap(s Step, err error) ([]byte, *Question, error) {
	if err != nil || s.Question != nil || s.Reply == nil {
		return nil, s.Question, err
	}
	return slices.Clone(s.Reply[4:]), nil, nil
}

func (in *peapInner) refusal() error { return refusal(in.peer.method) }

func (in *peapInner) eap() *Peer  { return in.peer }
func (in *peapInner) tried() bool { return in.peer.tried() }
func (in *peapInner) done() bool  { return in.ok }
func (in *peapInner) wipe()       { in.peer.Wipe() }
