package cryptoki

import (
	"fmt"
)

// A Session is a session with a token, which only reads.
type Session struct {
	m      *Module
	slot   uint64
	handle uint64
}

// Session opens a session with the token in a slot.
func (m *Module) Session(slot uint64) (*Session, error) {
	a := new(arena)
	defer a.free()
	out := a.bytes(native.long)
	if rv := m.call(fnOpenSession, uintptr(slot), flagSerialSession, 0, 0, addr(out)); rv != 0 {
		return nil, fmt.Errorf("C_OpenSession: %w", rv)
	}
	return &Session{m, slot, native.get(out)}, nil
}

// Close ends the session.
func (s *Session) Close() { s.m.call(fnCloseSession, uintptr(s.handle)) }

// LoggedIn reports whether the user's login is made: in this session or, as it
// counts for all of this process, in another.
func (s *Session) LoggedIn() (bool, error) {
	a := new(arena)
	defer a.free()
	at, size := native.offsets(ulong, ulong, ulong, ulong)
	b := a.bytes(size)
	if rv := s.m.call(fnGetSessionInfo, uintptr(s.handle), addr(b)); rv != 0 {
		return false, fmt.Errorf("C_GetSessionInfo: %w", rv)
	}
	state := native.get(b[at[1]:])
	return state == stateUserReadOnly || state == stateUserReadWrite, nil
}

// Login logs the user in. Without a PIN the reader asks for it.
func (s *Session) Login(pin []byte) error {
	err := s.login(userUser, pin)
	if err == alreadyLoggedIn {
		return nil
	}
	return wrap("C_Login", err)
}

// login keeps the PIN in memory that is wiped.
func (s *Session) login(user uintptr, pin []byte) error {
	a := new(arena)
	defer a.free()
	p := a.copy(pin)
	if rv := s.m.call(fnLogin, uintptr(s.handle), user, addr(p), uintptr(len(p))); rv != 0 {
		return rv
	}
	return nil
}

// Logout ends the login for all sessions of this process.
func (s *Session) Logout() { s.m.call(fnLogout, uintptr(s.handle)) }

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Attributes and their values (v2.40, section 4).
const (
	AttrClass      = 0x000
	AttrLabel      = 0x003
	AttrValue      = 0x011
	attrCertType   = 0x080
	AttrKeyType    = 0x100
	AttrID         = 0x102
	AttrSign       = 0x108
	AttrModulus    = 0x120
	AttrAlwaysAsks = 0x202
	ClassCert      = 1
	ClassPrivate   = 3
	CertX509       = 0
	KeyRSA         = 0
	KeyEC          = 3
	KeyEdwards     = 0x40
	MechRSA        = 0x1
	MechRSARaw     = 0x3
	MechRSAPSS     = 0xD
	MechECDSA      = 0x1041
	MechEdDSA      = 0x1057
)

// Number returns the value of an attribute that is a CK_ULONG.
func Number(v uint64) []byte {
	b := make([]byte, native.long)
	native.put(b, v)
	return b
}

// AsNumber reads such a value.
func AsNumber(b []byte) (uint64, bool) {
	if len(b) != native.long {
		return 0, false
	}
	return native.get(b), true
}

// Find returns the objects that have all the attributes, up to a bound.
func (s *Session) Find(kinds []uint64, values [][]byte) ([]uint64, error) {
	a := new(arena)
	defer a.free()
	held := make([][]byte, len(values))
	for i, v := range values {
		held[i] = a.copy(v)
	}
	template := a.triple(native, kinds, held)
	if rv := s.m.call(fnFindObjectsInit, uintptr(s.handle), addr(template), uintptr(len(kinds))); rv != 0 {
		return nil, fmt.Errorf("C_FindObjectsInit: %w", rv)
	}
	list, count := a.bytes(maxObjects*native.long), a.bytes(native.long)
	rv := s.m.call(fnFindObjects, uintptr(s.handle), addr(list), maxObjects, addr(count))
	s.m.call(fnFindObjectsFinal, uintptr(s.handle))
	if rv != 0 {
		return nil, fmt.Errorf("C_FindObjects: %w", rv)
	}
	return numbers(list, native.get(count), maxObjects), nil
}

// Attribute returns an attribute of an object; nil when the token does not tell
// it.
func (s *Session) Attribute(object, kind uint64) ([]byte, error) {
	a := new(arena)
	defer a.free()
	at, _ := native.offsets(ulong, ptr, ulong)
	ask := func(into []byte) (uint64, RV) {
		t := a.triple(native, []uint64{kind}, [][]byte{into})
		rv := s.m.call(fnGetAttributeValue, uintptr(s.handle), uintptr(object), addr(t), 1)
		return native.get(t[at[2]:]), rv
	}
	n, rv := ask(nil)
	switch {
	case rv == 0x11 || rv == 0x12 || native.unavailable(n): // CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID
		return nil, nil
	case rv != 0:
		return nil, fmt.Errorf("C_GetAttributeValue: %w", rv)
	case n > maxAttribute:
		return nil, fmt.Errorf("C_GetAttributeValue: %d bytes", n)
	case n == 0:
		return nil, nil
	}
	// Room for one that has grown since: what a module writes it does not ask.
	into := a.bytes(maxAttribute)
	got, rv := ask(into)
	if rv != 0 {
		return nil, fmt.Errorf("C_GetAttributeValue: %w", rv)
	}
	if got > maxAttribute {
		return nil, fmt.Errorf("C_GetAttributeValue: %d bytes", got)
	}
	return append([]byte(nil), into[:got]...), nil
}

// Mechanisms returns what the token can do.
func (s *Session) Mechanisms() (map[uint64]bool, error) { return s.m.mechanisms(s.slot) }

// Sign signs data with a key by a mechanism and its parameter. A key that asks
// for the PIN with each signature gets it in between (CKU_CONTEXT_SPECIFIC);
// asks without a PIN lets the reader ask.
func (s *Session) Sign(key, mechanism uint64, parameter, data []byte, asks bool, pin []byte) ([]byte, error) {
	a := new(arena)
	defer a.free()
	t := a.triple(native, []uint64{mechanism}, [][]byte{a.copy(parameter)})
	if rv := s.m.call(fnSignInit, uintptr(s.handle), addr(t), uintptr(key)); rv != 0 {
		return nil, fmt.Errorf("C_SignInit: %w", rv)
	}
	if asks {
		if err := s.login(userContextSpecific, pin); err != nil {
			return nil, fmt.Errorf("C_Login: %w", err)
		}
	}
	in, out, n := a.copy(data), a.bytes(maxSignature), a.bytes(native.long)
	native.put(n, maxSignature)
	if rv := s.m.call(fnSign, uintptr(s.handle), addr(in), uintptr(len(in)), addr(out), addr(n)); rv != 0 {
		return nil, fmt.Errorf("C_Sign: %w", rv)
	}
	if got := native.get(n); got <= maxSignature {
		return append([]byte(nil), out[:got]...), nil
	}
	return nil, fmt.Errorf("C_Sign: a signature without end")
}
