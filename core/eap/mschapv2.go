package eap

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The op codes of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2, section 2).
const (
	opChallenge = 1
	opResponse  = 2
	opSuccess   = 3
	opFailure   = 4
)

const (
	challengeLen = 16
	responseLen  = 49 // peer challenge, 8 reserved, NT response, flags
)

// A chapPacket is the data of an EAP-MSCHAPv2 packet.
type chapPacket struct {
	op    byte
	id    byte
	value []byte // of a challenge or a response
	text  []byte // the name behind the value, or the message of success and failure
}

// appendTo appends the packet to b.
func (c *chapPacket) appendTo(b []byte) []byte {
	n := 4 + len(c.text)
	if c.op == opChallenge || c.op == opResponse {
		n += 1 + len(c.value)
	}
	b = append(b, c.op, c.id)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	if c.op == opChallenge || c.op == opResponse {
		b = append(append(b, byte(len(c.value))), c.value...)
	}
	return append(b, c.text...)
}

// parseChap parses the data of a packet other than the one-byte answers to
// success and failure. Every length is held against what is there
// (CVE-2025-62291). The result aliases b.
func parseChap(b []byte) (chapPacket, error) {
	bad := func(format string, args ...any) (chapPacket, error) {
		return chapPacket{}, fmt.Errorf("eap: MSCHAPv2: "+format+": %w", append(args, ErrMalformed)...)
	}
	if len(b) < 4 {
		return bad("%d bytes", len(b))
	}
	c := chapPacket{op: b[0], id: b[1]}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		return bad("length %d in %d bytes", n, len(b))
	}
	rest := b[4:]
	want := 0
	switch c.op {
	case opChallenge:
		want = challengeLen
	case opResponse:
		want = responseLen
	case opSuccess, opFailure:
		c.text = rest
		return c, nil
	default:
		return bad("op code %d", c.op)
	}
	if len(rest) < 1+want || int(rest[0]) != want {
		return bad("op code %d with a value of another size than %d", c.op, want)
	}
	c.value, c.text = rest[1:1+want], rest[1+want:]
	return c, nil
}

// mschapPeer is the client of MSCHAPv2. The server proves that it knows the
// password too, or the method does not end well.
type mschapPeer struct {
	cfg       *PeerConfig
	challenge chapPacket
	response  []byte // our NT response
	expect    string // the server's proof
	key       []byte
	refused   *RefusedError
	proved    bool
}

func (m *mschapPeer) refusal() error {
	if m.refused == nil {
		return nil
	}
	return m.refused
}

func (m *mschapPeer) handle(data []byte) ([]byte, *Question, error) {
	in, err := parseChap(data)
	if err != nil {
		return nil, nil, err
	}
	switch in.op {
	case opChallenge:
		if m.response != nil {
			return nil, nil, fmt.Errorf("eap: MSCHAPv2: a second challenge: %w", ErrProtocol)
		}
		m.challenge = in
		if m.cfg.Password == nil {
			return nil, &Question{Kind: AskPassword, User: m.cfg.Identity}, nil
		}
		return m.answer(m.cfg.Password)
	case opSuccess:
		proof, _, _ := strings.Cut(string(in.text), " ")
		if m.response == nil || !hmac.Equal([]byte(proof), []byte(m.expect)) {
			return nil, nil, fmt.Errorf("eap: MSCHAPv2: the server does not know the password: %w", ErrServer)
		}
		m.proved = true
		return []byte{opSuccess}, nil, nil
	case opFailure:
		if m.response == nil || m.proved {
			return nil, nil, fmt.Errorf("eap: MSCHAPv2: a failure out of place: %w", ErrProtocol)
		}
		// There may be leave for another try. It is not taken: every try counts
		// towards the locking of the account, and the user is asked first.
		m.refused = parseFailure(in.text)
		return []byte{opFailure}, nil, nil
	}
	return nil, nil, fmt.Errorf("eap: MSCHAPv2: op code %d from the server: %w", in.op, ErrProtocol)
}

func (m *mschapPeer) answer(password []byte) ([]byte, *Question, error) {
	hash, err := ntHash(password)
	if err != nil {
		return nil, nil, err
	}
	defer clear(hash)
	value := make([]byte, responseLen)
	peer := value[:challengeLen]
	if err := random(m.cfg.Rand, peer); err != nil {
		return nil, nil, err
	}
	user := m.cfg.Identity
	m.response = ntResponse(challengeHash(peer, m.challenge.value, user), hash)
	copy(value[challengeLen+8:], m.response)
	m.expect = authenticatorResponse(hash, m.response, peer, m.challenge.value, user)
	m.key = mschapMSK(hash, m.response)
	out := chapPacket{op: opResponse, id: m.challenge.id, value: value, text: []byte(user)}
	return out.appendTo(nil), nil, nil
}

func (m *mschapPeer) done() bool  { return m.proved }
func (m *mschapPeer) tried() bool { return m.response != nil }
func (m *mschapPeer) msk() []byte { return m.key }
func (m *mschapPeer) wipe() {
	clear(m.key)
	clear(m.response)
	m.key, m.response, m.expect = nil, nil, ""
}

// parseFailure reads "E=691 R=1 C=… V=3 M=text" (RFC 2759, section 6).
func parseFailure(b []byte) *RefusedError {
	e := &RefusedError{}
	s := string(b)
	if head, text, ok := strings.Cut(s, "M="); ok {
		s, e.Message = head, Clean([]byte(text))
	}
	for f := range strings.FieldsSeq(s) {
		if n, ok := strings.CutPrefix(f, "E="); ok {
			if code, err := strconv.Atoi(n); err == nil && code > 0 && code < 100000 {
				e.Code = code
			}
		}
	}
	return e
}

func random(r io.Reader, b []byte) error {
	if r == nil {
		r = rand.Reader
	}
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("eap: random bytes: %w", err)
	}
	return nil
}
