package radius

import (
	"crypto/rand"
	"fmt"
	"io"
	"slices"
)

// A Session is the conversation about one user: requests that carry EAP one
// way, challenges that carry it back, and the verdict.
type Session struct {
	Secret []byte
	NAS    string // who we are: NAS-Identifier
	Caller string // where the user is: Calling-Station-Id
	Rand   io.Reader

	user    string
	state   []byte
	request Packet
	next    uint8
}

// A Verdict is what an answer says.
type Verdict struct {
	EAP      []byte // for the peer
	Done     bool   // the last: Accepted says how it ended
	Accepted bool
	User     string // as the server calls it
	Groups   []string
	MSK      []byte // 64 bytes, or nil
	Message  string // of the server, for the log
}

// Request returns the packet that carries a packet of EAP to the server. The
// same bytes are repeated until an answer fits. The user is who the peer said
// first: one that calls itself otherwise in the midst of it does not become that.
func (s *Session) Request(eap []byte, user string) ([]byte, error) {
	if s.user == "" {
		s.user = user
	}
	s.next++
	p := Packet{Code: AccessRequest, ID: s.next}
	r := s.Rand
	if r == nil {
		r = rand.Reader
	}
	if _, err := io.ReadFull(r, p.Authenticator[:]); err != nil {
		return nil, fmt.Errorf("radius: random bytes: %w", err)
	}
	p.Add(UserName, []byte(s.user)[:min(len(s.user), maxData)])
	p.Add(NASIdentifier, []byte(s.NAS)[:min(len(s.NAS), maxData)])
	p.Add(NASPortType, []byte{0, 0, 0, 5}) // virtual
	if s.Caller != "" {
		p.Add(CallingStationID, []byte(s.Caller)[:min(len(s.Caller), maxData)])
	}
	if len(s.state) > 0 {
		p.Add(State, s.state)
	}
	p.Add(EAPMessage, eap)
	s.request = p
	b := SealRequest(p, s.Secret)
	if len(b) > maxPacket {
		return nil, fmt.Errorf("radius: a packet of EAP of %d bytes is too long", len(eap))
	}
	return b, nil
}

// Response takes what came back. An error means that it is not the answer; the
// true one may still come.
func (s *Session) Response(b []byte) (Verdict, error) {
	p, err := OpenResponse(b, s.request, s.Secret)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{EAP: slices.Clone(p.Get(EAPMessage)), User: s.user, Message: string(p.Get(ReplyMessage)),
		Done: p.Code != AccessChallenge, Accepted: p.Code == AccessAccept}
	if len(v.EAP) == 0 {
		if p.Code != AccessReject {
			return Verdict{}, fmt.Errorf("radius: an answer without EAP: %w", ErrMalformed)
		}
		v.EAP = []byte{4, 0, 0, 4} // EAP-Failure, which some servers leave out
	}
	if st := p.Get(State); len(st) <= maxData {
		s.state = slices.Clone(st)
	}
	if !v.Accepted {
		return v, nil
	}
	if v.MSK, err = MSK(p, s.request, s.Secret); err != nil {
		return Verdict{}, err
	}
	if name := p.Get(UserName); len(name) > 0 && len(name) <= maxData {
		v.User = string(name)
	}
	for _, a := range p.Attributes {
		if (a.Type == Class || a.Type == FilterID) && len(a.Data) > 0 && len(v.Groups) < 64 {
			v.Groups = append(v.Groups, string(a.Data))
		}
	}
	return v, nil
}
