// Package cryptoki speaks with a PKCS #11 module (OASIS PKCS #11 v2.40): a
// library of C that is loaded into this process. A module that breaks down takes
// the process with it, which is why nothing but the helper uses this package.
//
// What a module says is a stranger's word: lengths are bounded before anything
// is allocated, and lists have an end.
package cryptoki

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// The places of functions in CK_FUNCTION_LIST (v2.40, section 3.6).
const (
	fnInitialize           = 0
	fnFinalize             = 1
	fnGetSlotList          = 4
	fnGetSlotInfo          = 5
	fnGetTokenInfo         = 6
	fnGetMechanismList     = 7
	fnOpenSession          = 12
	fnCloseSession         = 13
	fnGetSessionInfo       = 15
	fnLogin                = 18
	fnLogout               = 19
	fnGetAttributeValue    = 24
	fnFindObjectsInit      = 26
	fnFindObjects          = 27
	fnFindObjectsFinal     = 28
	fnSignInit             = 42
	fnSign                 = 43
	functions              = 68
	maxSlots               = 64
	maxObjects             = 128
	maxAttribute           = 32 << 10
	maxMechanisms          = 1024
	maxSignature           = 4096
	flagOSLocking          = 2 // CKF_OS_LOCKING_OK
	flagSerialSession      = 4 // CKF_SERIAL_SESSION
	stateUserReadOnly      = 1
	stateUserReadWrite     = 3
	userUser               = 1 // CKU_USER
	userContextSpecific    = 2 // CKU_CONTEXT_SPECIFIC
	alreadyInitialized  RV = 0x191
	alreadyLoggedIn     RV = 0x100
)

// An RV is what a function returns when it fails: a CK_RV.
type RV uint64

// The values that callers tell apart.
const (
	HostMemory        RV = 0x02
	DeviceError       RV = 0x30
	DeviceRemoved     RV = 0x32
	FunctionCanceled  RV = 0x50
	KeyHandleInvalid  RV = 0x60
	MechanismInvalid  RV = 0x70
	ObjectInvalid     RV = 0x82
	PINIncorrect      RV = 0xA0
	PINInvalid        RV = 0xA1
	PINLenRange       RV = 0xA2
	PINExpired        RV = 0xA3
	PINLocked         RV = 0xA4
	SessionClosed     RV = 0xB0
	SessionInvalid    RV = 0xB3
	TokenNotPresent   RV = 0xE0
	TokenUnrecognized RV = 0xE1
	NotLoggedIn       RV = 0x101
	PINNotSet         RV = 0x102
)

var names = map[RV]string{
	HostMemory: "CKR_HOST_MEMORY", DeviceError: "CKR_DEVICE_ERROR", DeviceRemoved: "CKR_DEVICE_REMOVED", FunctionCanceled: "CKR_FUNCTION_CANCELED",
	KeyHandleInvalid: "CKR_KEY_HANDLE_INVALID", MechanismInvalid: "CKR_MECHANISM_INVALID", ObjectInvalid: "CKR_OBJECT_HANDLE_INVALID",
	PINIncorrect: "CKR_PIN_INCORRECT", PINInvalid: "CKR_PIN_INVALID", PINLenRange: "CKR_PIN_LEN_RANGE", PINExpired: "CKR_PIN_EXPIRED", PINLocked: "CKR_PIN_LOCKED",
	SessionClosed: "CKR_SESSION_CLOSED", SessionInvalid: "CKR_SESSION_HANDLE_INVALID", TokenNotPresent: "CKR_TOKEN_NOT_PRESENT",
	TokenUnrecognized: "CKR_TOKEN_NOT_RECOGNIZED", NotLoggedIn: "CKR_USER_NOT_LOGGED_IN", PINNotSet: "CKR_USER_PIN_NOT_INITIALIZED",
}

// Error implements error.
func (rv RV) Error() string {
	if s := names[rv]; s != "" {
		return s
	}
	return fmt.Sprintf("CKR %#x", uint64(rv))
}

// A Module is a module that is loaded.
type Module struct {
	mu    sync.Mutex // one call at a time: not every module keeps its word on locks
	table [functions]uintptr
}

// Open loads the module at path and initializes it. There is no way to unload
// it but the end of the process.
func Open(path string) (*Module, error) {
	entry, err := load(path)
	if err != nil {
		return nil, err
	}
	var list uintptr
	a := new(arena)
	defer a.free()
	out := a.bytes(pointer)
	if rv := call(entry, addr(out)); rv != 0 {
		return nil, fmt.Errorf("C_GetFunctionList: %w", rv)
	}
	if list = *(*uintptr)(unsafe.Pointer(&out[0])); list == 0 {
		return nil, fmt.Errorf("C_GetFunctionList: no list")
	}
	m := new(Module)
	// A CK_VERSION of two bytes comes first, then pointers.
	first := native.align(2, pointer)
	for i := range m.table {
		m.table[i] = peek(list + uintptr(first+i*pointer))
	}
	at, size := native.offsets(ptr, ptr, ptr, ptr, ulong, ptr)
	args := a.bytes(size)
	native.put(args[at[4]:], flagOSLocking)
	if rv := m.call(fnInitialize, addr(args)); rv != 0 && rv != alreadyInitialized {
		return nil, fmt.Errorf("C_Initialize: %w", rv)
	}
	return m, nil
}

// peek reads a pointer of the module's memory.
func peek(at uintptr) uintptr {
	return **(**uintptr)(unsafe.Pointer(&at))
}

// call calls a function of the module. On Windows a CK_RV has 32 bits.
func call(fn uintptr, args ...uintptr) RV {
	r, _, _ := purego.SyscallN(fn, args...)
	if native.long == 4 {
		return RV(uint32(r))
	}
	return RV(r)
}

// call calls a function of the list.
func (m *Module) call(fn int, args ...uintptr) RV {
	if m.table[fn] == 0 {
		return 0x54 // CKR_FUNCTION_NOT_SUPPORTED
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return call(m.table[fn], args...)
}

// Close ends the use of the module: its sessions and logins are over.
func (m *Module) Close() { m.call(fnFinalize, 0) }

// Slots returns the slots in which a token is.
func (m *Module) Slots() ([]uint64, error) {
	a := new(arena)
	defer a.free()
	count := a.bytes(native.long)
	if rv := m.call(fnGetSlotList, 0, 0, addr(count)); rv != 0 { // has readers that are new noticed
		return nil, fmt.Errorf("C_GetSlotList: %w", rv)
	}
	list := a.bytes(maxSlots * native.long)
	native.put(count, maxSlots)
	if rv := m.call(fnGetSlotList, 1, addr(list), addr(count)); rv != 0 {
		return nil, fmt.Errorf("C_GetSlotList: %w", rv)
	}
	return numbers(list, native.get(count), maxSlots), nil
}

// numbers reads a list of CK_ULONG, of which a module says that it has n.
func numbers(b []byte, n, most uint64) []uint64 {
	var out []uint64
	for i := range min(n, most) {
		out = append(out, native.get(b[int(i)*native.long:]))
	}
	return out
}

// mechanisms returns the mechanisms of a slot.
func (m *Module) mechanisms(slot uint64) (map[uint64]bool, error) {
	a := new(arena)
	defer a.free()
	count, list := a.bytes(native.long), a.bytes(maxMechanisms*native.long)
	native.put(count, maxMechanisms)
	if rv := m.call(fnGetMechanismList, uintptr(slot), addr(list), addr(count)); rv != 0 {
		return nil, fmt.Errorf("C_GetMechanismList: %w", rv)
	}
	out := map[uint64]bool{}
	for _, n := range numbers(list, native.get(count), maxMechanisms) {
		out[n] = true
	}
	return out, nil
}
