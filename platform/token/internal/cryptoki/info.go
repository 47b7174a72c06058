package cryptoki

import (
	"bytes"
	"fmt"
	"strings"
)

// An Info is what a token and its slot say of themselves.
type Info struct {
	Label, Manufacturer, Model, Serial string
	Reader, ReaderMaker                string
	Flags                              uint64
	MinPIN, MaxPIN                     uint64
}

// The flags of a token (v2.40, section 3.2).
const (
	FlagLoginRequired  = 0x004
	FlagPINInitialized = 0x008
	FlagPINPad         = 0x100 // CKF_PROTECTED_AUTHENTICATION_PATH
	FlagInitialized    = 0x400
	FlagPINLow         = 0x10000
	FlagPINFinal       = 0x20000
	FlagPINLocked      = 0x40000
)

// Info returns what is in a slot.
func (m *Module) Info(slot uint64) (Info, error) {
	a := new(arena)
	defer a.free()
	var out Info
	at, size := native.offsets(64, 32, ulong, 2, 2)
	b := a.bytes(size)
	if rv := m.call(fnGetSlotInfo, uintptr(slot), addr(b)); rv != 0 {
		return out, fmt.Errorf("C_GetSlotInfo: %w", rv)
	}
	out.Reader, out.ReaderMaker = text(b[at[0]:at[0]+64]), text(b[at[1]:at[1]+32])
	at, size = native.offsets(32, 32, 16, 16, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, 2, 2, 16)
	b = a.bytes(size)
	if rv := m.call(fnGetTokenInfo, uintptr(slot), addr(b)); rv != 0 {
		return out, fmt.Errorf("C_GetTokenInfo: %w", rv)
	}
	out.Label, out.Manufacturer = text(b[:32]), text(b[32:64])
	out.Model, out.Serial = text(b[64:80]), text(b[80:96])
	out.Flags = native.get(b[at[4]:])
	out.MaxPIN, out.MinPIN = native.get(b[at[9]:]), native.get(b[at[10]:])
	return out, nil
}

// text reads a field that is padded with blanks, or ended as in C.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.TrimRight(strings.ToValidUTF8(string(b), "\ufffd"), " ")
}
