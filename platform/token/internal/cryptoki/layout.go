package cryptoki

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

// A layout says how a module's structures lie in memory. CK_ULONG is an unsigned
// long: of 8 bytes, aligned, except on Windows, where it has 4 and the structures
// are packed to 1 byte (PKCS #11 v2.40, section 2.1).
type layout struct {
	long   int // bytes of a CK_ULONG
	packed bool
}

// native is the layout of this system, which has 64 bits.
var native = layoutOf(runtime.GOOS)

func layoutOf(goos string) layout {
	if goos == "windows" {
		return layout{long: 4, packed: true}
	}
	return layout{long: 8}
}

const pointer = 8

// align returns the offset at which a value of that many bytes may lie.
func (l layout) align(at, size int) int {
	if l.packed {
		return at
	}
	return (at + size - 1) / size * size
}

// A field is a part of a structure.
type field int

// The fields: raw bytes have their number.
const (
	ulong field = -1
	ptr   field = -2
)

// offsets returns where the fields of a structure lie, and its size.
func (l layout) offsets(fields ...field) (at []int, size int) {
	most := 1
	for _, f := range fields {
		n, unit := int(f), 1
		switch f {
		case ulong:
			n, unit = l.long, l.long
		case ptr:
			n, unit = pointer, pointer
		}
		size = l.align(size, unit)
		at = append(at, size)
		size += n
		most = max(most, unit)
	}
	return at, l.align(size, most)
}

// get and put read and write a CK_ULONG, in the order of bytes of the systems
// that we know.
func (l layout) get(b []byte) uint64 {
	if l.long == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func (l layout) put(b []byte, v uint64) {
	if l.long == 4 {
		binary.LittleEndian.PutUint32(b, uint32(v))
		return
	}
	binary.LittleEndian.PutUint64(b, v)
}

// unavailable is the length of an attribute that the token does not tell:
// CK_UNAVAILABLE_INFORMATION, all ones.
func (l layout) unavailable(n uint64) bool {
	if l.long == 4 {
		return n == 1<<32-1
	}
	return n == 1<<64-1
}

// An arena holds the memory that one call lends to a module: it does not move,
// and is wiped when the call is over.
type arena struct {
	pins   runtime.Pinner
	chunks [][]byte
}

// bytes returns n bytes, zeroed.
func (a *arena) bytes(n int) []byte {
	b := make([]byte, max(n, 1))
	a.pins.Pin(&b[0])
	a.chunks = append(a.chunks, b)
	return b[:n]
}

// copy returns a copy of b.
func (a *arena) copy(b []byte) []byte {
	c := a.bytes(len(b))
	copy(c, b)
	return c
}

// triple returns a CK_ATTRIBUTE or a CK_MECHANISM, which have the same shape: a
// number, a pointer and a length.
func (a *arena) triple(l layout, kinds []uint64, values [][]byte) []byte {
	at, size := l.offsets(ulong, ptr, ulong)
	b := a.bytes(size * len(kinds))
	for i, k := range kinds {
		s := b[i*size:]
		l.put(s[at[0]:], k)
		binary.LittleEndian.PutUint64(s[at[1]:], uint64(addr(values[i])))
		l.put(s[at[2]:], uint64(len(values[i])))
	}
	return b
}

func (a *arena) free() {
	for _, c := range a.chunks {
		clear(c)
	}
	a.pins.Unpin()
}

// addr is the address of what a holds; 0 of nothing.
func addr(b []byte) uintptr {
	if len(b) == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(&b[0]))
}
