// Package helper is the process between the service and a PKCS #11 module: the
// one place where the module's code runs. It serves one module, answers one
// request after the other, and ends with its standard input.
package helper

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"sallyport/core/host"
	"sallyport/platform/token/internal/cryptoki"
	"sallyport/platform/token/internal/wire"
)

// The bounds of what is told of a token.
const (
	maxCertificate  = 16 << 10
	maxCertificates = 32
	maxText         = 256
	maxSessions     = 64
)

// A Helper holds the sessions with the tokens of one module.
type Helper struct {
	path     string
	module   *cryptoki.Module // nil: not loaded yet
	sessions map[uint64]*session
	last     uint64
}

type session struct {
	*cryptoki.Session
	slot uint64
}

// New returns a Helper for the module at path, which is loaded with the first
// request.
func New(path string) *Helper { return &Helper{path: path, sessions: map[uint64]*session{}} }

// Serve answers the requests of r on w until r ends.
func (h *Helper) Serve(r io.Reader, w io.Writer) error {
	for {
		q, err := wire.ReadRequest(r)
		if errors.Is(err, io.EOF) {
			h.end()
			return nil
		}
		if err != nil {
			return err
		}
		a := h.Answer(&q)
		clear(q.PIN)
		if err := wire.Write(w, a); err != nil {
			return err
		}
	}
}

func (h *Helper) end() {
	if h.module != nil {
		h.module.Close()
	}
}

// Answer answers one request.
func (h *Helper) Answer(q *wire.Request) wire.Response {
	if h.module == nil {
		m, err := cryptoki.Open(h.path)
		if err != nil {
			return wire.Failed(err)
		}
		h.module = m
	}
	a, err := h.do(q)
	if err != nil {
		return wire.Failed(meaning(err))
	}
	return a
}

func (h *Helper) do(q *wire.Request) (a wire.Response, err error) {
	switch q.Op {
	case wire.List:
		a.Tokens, err = h.list()
		return a, err
	case wire.Open:
		a.Session, err = h.open(q)
		return a, err
	}
	s := h.sessions[q.Session]
	if s == nil {
		return a, host.ErrTokenGone
	}
	switch q.Op {
	case wire.PIN:
		a.PIN, err = h.pin(s)
	case wire.Login:
		err = h.login(s, q.PIN)
	case wire.Key:
		a.Key, err = s.key(q.ID, q.Label)
	case wire.Sign:
		a.Signature, err = s.sign(q)
	case wire.Close:
		h.close(q.Session, s)
	default:
		err = fmt.Errorf("nobody knows how to %q", q.Op)
	}
	return a, err
}

// meaning says what a return value means for the one who asked.
func meaning(err error) error {
	var rv cryptoki.RV
	if errors.Is(err, host.ErrTokenGone) || !errors.As(err, &rv) {
		return err
	}
	to := host.ErrTokenModule
	switch rv {
	case cryptoki.PINIncorrect, cryptoki.PINInvalid:
		to = host.ErrPINWrong
	case cryptoki.PINLenRange:
		to = host.ErrPINLength
	case cryptoki.PINLocked, cryptoki.PINExpired, cryptoki.PINNotSet:
		to = host.ErrPINLocked
	case cryptoki.FunctionCanceled:
		to = host.ErrPINCancelled
	case cryptoki.DeviceRemoved, cryptoki.DeviceError, cryptoki.TokenNotPresent, cryptoki.TokenUnrecognized, cryptoki.SessionClosed, cryptoki.SessionInvalid,
		cryptoki.KeyHandleInvalid, cryptoki.ObjectInvalid, cryptoki.NotLoggedIn:
		to = host.ErrTokenGone
	case cryptoki.MechanismInvalid:
		to = host.ErrTokenRefused
	}
	return fmt.Errorf("%w: %w", to, err)
}

func (h *Helper) list() ([]host.Token, error) {
	slots, err := h.module.Slots()
	if err != nil {
		return nil, err
	}
	var out []host.Token
	for _, slot := range slots {
		info, err := h.module.Info(slot)
		if err != nil || info.Flags&cryptoki.FlagInitialized == 0 {
			continue // it left meanwhile, or is not one yet
		}
		t := host.Token{Slot: slot, Label: short(info.Label), Manufacturer: short(info.Manufacturer), Model: short(info.Model), Serial: short(info.Serial),
			Reader: short(info.Reader), ReaderMaker: short(info.ReaderMaker), PIN: stateOf(info)}
		s, err := h.module.Session(slot)
		if err != nil {
			continue
		}
		t.PIN.Given, _ = s.LoggedIn() // a token that does not say is asked again before it matters
		t.Certificates = certificates(s)
		s.Close()
		out = append(out, t)
	}
	return out, nil
}

// certificates returns what can be read of them.
func certificates(s *cryptoki.Session) (out []host.TokenCertificate) {
	objects, err := s.Find([]uint64{cryptoki.AttrClass}, [][]byte{cryptoki.Number(cryptoki.ClassCert)})
	if err != nil {
		return nil
	}
	for _, o := range objects {
		der, err := s.Attribute(o, cryptoki.AttrValue)
		if err != nil || len(der) == 0 || len(der) > maxCertificate {
			continue
		}
		id, err := s.Attribute(o, cryptoki.AttrID)
		if err != nil || len(id) > maxText {
			continue
		}
		label, err := s.Attribute(o, cryptoki.AttrLabel)
		if err != nil {
			label = nil
		}
		if out = append(out, host.TokenCertificate{ID: id, Label: short(string(label)), DER: der}); len(out) == maxCertificates {
			break
		}
	}
	return out
}

func short(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return s
}

func stateOf(i cryptoki.Info) host.PINState {
	has := func(flag uint64) bool { return i.Flags&flag != 0 }
	s := host.PINState{
		Needed: has(cryptoki.FlagLoginRequired), Pad: has(cryptoki.FlagPINPad), Unset: !has(cryptoki.FlagPINInitialized),
		Low: has(cryptoki.FlagPINLow), Final: has(cryptoki.FlagPINFinal), Locked: has(cryptoki.FlagPINLocked),
	}
	if i.MaxPIN <= 4096 && i.MinPIN <= i.MaxPIN {
		s.Min, s.Max = int(i.MinPIN), int(i.MaxPIN)
	}
	return s
}

// open opens a session with the token that was listed, and no other that took
// its place in the reader.
func (h *Helper) open(q *wire.Request) (uint64, error) {
	if len(h.sessions) >= maxSessions {
		return 0, errors.New("too many sessions")
	}
	info, err := h.module.Info(q.Slot)
	if err != nil {
		return 0, err
	}
	if short(info.Label) != q.Label || short(info.Serial) != q.Serial {
		return 0, host.ErrTokenGone
	}
	s, err := h.module.Session(q.Slot)
	if err != nil {
		return 0, err
	}
	h.last++
	h.sessions[h.last] = &session{s, q.Slot}
	return h.last, nil
}

// close ends a session; with the last one of a token its login ends too.
func (h *Helper) close(number uint64, s *session) {
	delete(h.sessions, number)
	for _, o := range h.sessions {
		if o.slot == s.slot {
			s.Close()
			return
		}
	}
	s.Logout()
	s.Close()
}

func (h *Helper) pin(s *session) (host.PINState, error) {
	info, err := h.module.Info(s.slot)
	if err != nil {
		return host.PINState{}, fmt.Errorf("%w: %w", host.ErrTokenGone, err) // it was there when the session began
	}
	out := stateOf(info)
	out.Given, err = s.LoggedIn()
	return out, err
}

// login gives the PIN to the token, unless it cannot be right: each wrong one
// counts.
func (h *Helper) login(s *session, pin []byte) error {
	state, err := h.pin(s)
	switch {
	case err != nil:
		return err
	case state.Given:
		return nil
	case state.Locked:
		return host.ErrPINLocked
	case len(pin) == 0 && !state.Pad:
		return host.ErrPINLength
	case len(pin) > 0 && state.Max > 0 && (len(pin) < state.Min || len(pin) > state.Max):
		return host.ErrPINLength
	}
	return s.Login(pin)
}

// kinds are the keys that can sign.
var kinds = map[uint64]host.TokenKeyKind{cryptoki.KeyRSA: host.TokenRSA, cryptoki.KeyEC: host.TokenEC, cryptoki.KeyEdwards: host.TokenEdDSA}

// key finds a private key. Where several fit, the first that may sign.
func (s *session) key(id []byte, label string) (host.TokenKey, error) {
	attrs, values := []uint64{cryptoki.AttrClass}, [][]byte{cryptoki.Number(cryptoki.ClassPrivate)}
	if len(id) > 0 {
		attrs, values = append(attrs, cryptoki.AttrID), append(values, id)
	}
	if label != "" {
		attrs, values = append(attrs, cryptoki.AttrLabel), append(values, []byte(label))
	}
	objects, err := s.Find(attrs, values)
	if err != nil {
		return host.TokenKey{}, err
	}
	for _, o := range objects {
		raw, err := s.Attribute(o, cryptoki.AttrKeyType)
		if err != nil {
			return host.TokenKey{}, err
		}
		n, ok := cryptoki.AsNumber(raw)
		if !ok || kinds[n] == "" {
			continue
		}
		if may, err := s.Attribute(o, cryptoki.AttrSign); err != nil || slices.Equal(may, []byte{0}) {
			continue
		}
		always, err := s.Attribute(o, cryptoki.AttrAlwaysAsks)
		if err != nil {
			always = nil
		}
		return host.TokenKey{Handle: o, Kind: kinds[n], AlwaysAsks: len(always) == 1 && always[0] != 0}, nil
	}
	return host.TokenKey{}, host.ErrTokenKey
}
