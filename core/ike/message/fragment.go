package message

import (
	"fmt"
	"io"
)

// Limits of fragmentation.
const (
	// MaxFragments is how many fragments a message may have, sent or received.
	// A message of MaxDatagram bytes needs fewer in datagrams of 512 bytes.
	MaxFragments = 256
	// MaxReassembled bounds the plaintext of a reassembled message.
	MaxReassembled = MaxDatagram
)

// SealFragments returns the datagrams of a protected message none of which is
// longer than maxDatagram: one with an Encrypted payload when that fits, else
// several with a Fragment payload each (RFC 7383, section 2.5). It is for
// peers that sent IKEV2_FRAGMENTATION_SUPPORTED.
func SealFragments(hdr Header, payloads []Payload, p Protection, maxDatagram int, rand io.Reader) ([][]byte, error) {
	plain, err := appendChain(nil, payloads)
	if err != nil {
		return nil, err
	}
	first := firstType(payloads)
	if HeaderLen+genericLen+len(plain)+p.Overhead(len(plain)) <= maxDatagram {
		whole, err := sealWhole(hdr, first, plain, p, rand)
		if err != nil {
			return nil, err
		}
		return [][]byte{whole}, nil
	}

	size := fragmentSize(p, maxDatagram)
	if size <= 0 {
		return nil, fmt.Errorf("message: fragments of at most %d bytes: %w", maxDatagram, ErrLimit)
	}
	total := (len(plain) + size - 1) / size
	if total > MaxFragments || len(plain) > MaxReassembled {
		return nil, fmt.Errorf("message: %d bytes in %d fragments: %w", len(plain), total, ErrLimit)
	}
	datagrams := make([][]byte, 0, total)
	for i := range total {
		piece := plain[i*size : min((i+1)*size, len(plain))]
		skf := &Fragment{First: first, Number: uint16(i + 1), Total: uint16(total)}
		if i > 0 {
			skf.First = PayloadNone
		}
		d, err := seal(hdr, PayloadSKF, skf, piece, p, rand)
		if err != nil {
			return nil, err
		}
		datagrams = append(datagrams, d)
	}
	return datagrams, nil
}

// fragmentSize returns how much plaintext fits in a fragment of maxDatagram
// bytes. Padding makes the overhead depend on the length, so it looks for the
// largest that fits from above; the distance is at most the overhead.
func fragmentSize(p Protection, maxDatagram int) int {
	n := min(maxDatagram, MaxDatagram) - HeaderLen - genericLen - fragmentLen
	room := n
	for n > 0 && n+p.Overhead(n) > room {
		n--
	}
	return n
}

// A Reassembler opens the protected messages that a peer sends under one IKE
// SA, whole or in fragments (RFC 7383, section 2.6). The zero value is ready
// for use. It holds at most one incomplete request and one incomplete
// response, each of at most MaxReassembled bytes, and keeps only what
// authenticated.
type Reassembler struct {
	requests, responses partial
	size, fragments     int
	first               PayloadType
	plain               []byte
}

// Plain returns the payloads of the last whole message as they were before
// encryption, and the type of the first one. The payloads of the message alias it.
func (r *Reassembler) Plain() (first PayloadType, plain []byte) { return r.first, r.plain }

// Last returns how many bytes of datagrams the last whole message was made of,
// and in how many fragments it came; 0 when it was not fragmented.
func (r *Reassembler) Last() (bytes, fragments int) { return r.size, r.fragments }

// A partial message is one of whose fragments some arrived.
type partial struct {
	header Header
	first  PayloadType
	pieces [][]byte // by number less 1; nil where missing
	have   int      // pieces that arrived
	bytes  int
	wire   int // bytes of their datagrams
}

// Open authenticates a datagram. It returns the message and true when the
// datagram is a whole message or completes one, and false without error when
// more fragments are needed or the fragment is a duplicate or of a superseded
// set. Errors are those of the function Open; after them the state is as
// before, but for a *SyntaxError and a message larger than MaxReassembled, which
// end the message. The caller has checked that the message ID is in its window.
func (r *Reassembler) Open(datagram []byte, p Protection) (Message, bool, error) {
	h, payload, err := parseProtected(datagram)
	if err != nil {
		return Message{}, false, err
	}
	state := &r.requests
	if h.Response() {
		state = &r.responses
	}
	switch sk := payload.(type) {
	case *Encrypted:
		plain, err := unseal(datagram, sk.Body, p)
		if err != nil {
			return Message{}, false, err
		}
		// A peer that fragments may still have sent the message whole before,
		// and the pieces so far are worthless once it is here.
		if state.pieces != nil && state.header.MessageID == h.MessageID {
			*state = partial{}
		}
		r.size, r.fragments = len(datagram), 0
		r.first, r.plain = sk.First, plain
		m, err := openedMessage(h, sk.First, plain)
		return m, err == nil, err
	case *Fragment:
		return r.add(state, h, sk, datagram, p)
	}
	return Message{}, false, fmt.Errorf("message: payload %v is not protected: %w", payload.Type(), ErrMalformed)
}

func (r *Reassembler) add(s *partial, h Header, f *Fragment, datagram []byte, p Protection) (Message, bool, error) {
	if f.Total > MaxFragments {
		return Message{}, false, fmt.Errorf("message: %d fragments: %w", f.Total, ErrLimit)
	}
	if s.pieces != nil && !s.wants(h, f) {
		return Message{}, false, nil
	}
	plain, err := unseal(datagram, f.Body, p)
	if err != nil {
		return Message{}, false, err
	}

	// Authenticated. A newer message, or the same one cut into smaller pieces
	// because the peer suspects a smaller path MTU, starts over.
	if s.pieces == nil || s.header != h || len(s.pieces) < int(f.Total) {
		*s = partial{header: h, pieces: make([][]byte, f.Total)}
	}
	if s.bytes+len(plain) > MaxReassembled {
		*s = partial{}
		return Message{}, false, fmt.Errorf("message: reassembled more than %d bytes: %w", MaxReassembled, ErrLimit)
	}
	if plain == nil {
		plain = []byte{}
	}
	if f.Number == 1 {
		s.first = f.First
	}
	s.pieces[f.Number-1] = plain
	s.have++
	s.bytes += len(plain)
	s.wire += len(datagram)
	if s.have < len(s.pieces) {
		return Message{}, false, nil
	}

	whole := make([]byte, 0, s.bytes)
	for _, piece := range s.pieces {
		whole = append(whole, piece...)
	}
	first := s.first
	r.size, r.fragments = s.wire, len(s.pieces)
	r.first, r.plain = first, whole
	*s = partial{}
	m, err := openedMessage(h, first, whole)
	return m, err == nil, err
}

// wants reports whether the fragment can add to, or replace, what is there.
func (s *partial) wants(h Header, f *Fragment) bool {
	switch {
	case h.MessageID != s.header.MessageID:
		return h.MessageID > s.header.MessageID
	case h != s.header:
		return true // starts over, if it authenticates
	case int(f.Total) != len(s.pieces):
		return int(f.Total) > len(s.pieces)
	}
	return s.pieces[f.Number-1] == nil
}
