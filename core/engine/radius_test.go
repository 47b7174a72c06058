package engine

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"

	"sallyport/core/eap"
	"sallyport/core/radius"
)

// A fakeRADIUS is a server that asks users with EAP.
type fakeRADIUS struct {
	secret []byte
	config eap.ServerConfig

	mu       sync.Mutex // guards what follows
	sessions []*eap.Server
	rejects  int
}

// dial is the host's road to the server. The server ends with the connection.
func (f *fakeRADIUS) dial(context.Context, netip.AddrPort) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := there.Read(buf)
			if err != nil {
				return
			}
			if out := f.answer(buf[:n]); out != nil {
				if _, err := there.Write(out); err != nil {
					return
				}
			}
		}
	}()
	return here, nil
}

// answer is the server's answer to a request.
func (f *fakeRADIUS) answer(b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	request, err := radius.Parse(b)
	if err != nil {
		return nil
	}
	packet := bytes.Clone(request.Get(radius.EAPMessage))
	state := request.Get(radius.State)
	var s *eap.Server
	if len(state) == 0 {
		s = eap.NewServer(f.config)
		first, err := s.Start() // the gateway has asked already
		if err != nil {
			return nil
		}
		packet[1] = first[1]
		state = []byte{byte(len(f.sessions))}
		f.sessions = append(f.sessions, s)
	} else {
		s = f.sessions[state[0]]
	}
	next, _ := s.Handle(packet)
	out := radius.Packet{Code: radius.AccessChallenge, ID: request.ID}
	out.Add(radius.MessageAuthenticator, make([]byte, md5.Size))
	out.Add(radius.EAPMessage, next)
	switch p, _ := eap.Parse(next); p.Code {
	case eap.CodeSuccess:
		out.Code = radius.AccessAccept
		if key := s.MSK(); key != nil {
			out.Add(radius.VendorSpecific, f.sealKey(17, key[:32], request.Authenticator))
			out.Add(radius.VendorSpecific, f.sealKey(16, key[32:], request.Authenticator))
		}
	case eap.CodeFailure:
		out.Code = radius.AccessReject
		f.rejects++
	default:
		out.Add(radius.State, state)
	}
	return f.seal(out, request.Authenticator)
}

// seal protects a response (RFC 2865, section 3; RFC 3579, section 3.2).
func (f *fakeRADIUS) seal(p radius.Packet, request [16]byte) []byte {
	p.Authenticator = request
	b := p.AppendTo(nil)
	m := hmac.New(md5.New, f.secret)
	m.Write(b)
	copy(b[22:], m.Sum(nil))
	h := md5.New()
	h.Write(b)
	h.Write(f.secret)
	copy(b[4:], h.Sum(nil))
	return b
}

// sealKey is a key for who has the secret (RFC 2548, section 2.4.2).
func (f *fakeRADIUS) sealKey(kind byte, key []byte, request [16]byte) []byte {
	plain := append([]byte{byte(len(key))}, key...)
	plain = append(plain, make([]byte, -len(plain)&15)...)
	out := []byte{0x80, kind}
	before := append(request[:], out...)
	for ; len(plain) > 0; plain = plain[16:] {
		h := md5.New()
		h.Write(f.secret)
		h.Write(before)
		block := h.Sum(nil)
		for i := range block {
			block[i] ^= plain[i]
		}
		out, before = append(out, block...), block
	}
	v := binary.BigEndian.AppendUint32(nil, 311)
	return append(append(v, kind, byte(2+len(out))), out...)
}

// users is a list of one.
func users(name, password string) func(string) ([]byte, bool) {
	return func(u string) ([]byte, bool) { return []byte(password), u == name }
}
