package host

import (
	"context"
	"crypto"
	"errors"
)

// Tokens are the smart cards and tokens of the machine, as PKCS #11 modules show
// them. Its methods may take long: a card is slow, and a reader may be gone.
type Tokens interface {
	// Modules names the modules in use by their paths. Only the service's own
	// configuration says which; none: there is nothing to list.
	Modules() []string
	// List returns the tokens that are there, with the certificates that can be
	// seen without a PIN. What one module fails at comes as an error, beside the
	// tokens of the others.
	List(ctx context.Context) ([]Token, error)
	// Open begins to use a token that List returned. The caller closes it.
	Open(ctx context.Context, t *Token) (TokenSession, error)
}

// A Token is a token that is there.
type Token struct {
	Module string
	Slot   uint64
	// What the token and its reader say of themselves: a stranger's words.
	Label, Manufacturer, Model, Serial string
	Reader, ReaderMaker                string
	PIN                                PINState
	Certificates                       []TokenCertificate
}

// A TokenCertificate is a certificate on a token.
type TokenCertificate struct {
	ID    []byte // CKA_ID, which its key has too
	Label string // CKA_LABEL
	DER   []byte
}

// A PINState is what a token says of its PIN. It does not tell how many tries
// are left, only these.
type PINState struct {
	Needed   bool // nothing is signed without a login
	Given    bool // the login has been made, in a session that is still open
	Pad      bool // it is typed at the reader
	Low      bool // a wrong one came since the last right one
	Final    bool // the next wrong one locks the token
	Locked   bool
	Unset    bool // nobody has set it yet
	Min, Max int  // bytes; Max 0: unknown
}

// A TokenSession is a token in use. What one login opens stays open until the
// last session of that token is closed.
type TokenSession interface {
	// PIN tells how the token stands now.
	PIN(ctx context.Context) (PINState, error)
	// Login gives the PIN, once: nothing here repeats it. Without one it is typed
	// at the reader. The caller wipes pin.
	Login(ctx context.Context, pin []byte) error
	// Key finds the private key that has the ID, and the label where one is
	// given; one of them may be empty.
	Key(ctx context.Context, id []byte, label string) (TokenKey, error)
	// Sign signs with a key of this session, as crypto.Signer says: a digest, or
	// with Ed25519 the message. ECDSA signatures are DER. pin is for a key that
	// AlwaysAsks; the caller wipes it.
	Sign(ctx context.Context, k TokenKey, digest []byte, opts crypto.SignerOpts, pin []byte) ([]byte, error)
	Close()
}

// A TokenKey is a private key in a session.
type TokenKey struct {
	Handle uint64
	Kind   TokenKeyKind
	// AlwaysAsks says that each signature wants the PIN anew
	// (CKA_ALWAYS_AUTHENTICATE).
	AlwaysAsks bool
}

// A TokenKeyKind is the kind of a key.
type TokenKeyKind string

// The kinds of keys that sign.
const (
	TokenRSA   TokenKeyKind = "rsa"
	TokenEC    TokenKeyKind = "ec"
	TokenEdDSA TokenKeyKind = "eddsa"
)

// Why a token cannot be used. Callers test them with errors.Is.
var (
	// ErrTokenModule means that a module is missing, broke down, or does not
	// answer.
	ErrTokenModule = errors.New("the PKCS #11 module does not work")
	// ErrNoToken means that no token, or not the one that is named, is there.
	ErrNoToken = errors.New("the token is not there")
	// ErrTokenAmbiguous means that more than one certificate is meant.
	ErrTokenAmbiguous = errors.New("more than one certificate on the tokens fits")
	// ErrTokenGone means that the token was removed.
	ErrTokenGone = errors.New("the token was removed")
	// ErrTokenKey means that the token has no such key.
	ErrTokenKey = errors.New("there is no such key on the token")
	// ErrPINWrong means that the token refused the PIN.
	ErrPINWrong = errors.New("the PIN is wrong")
	// ErrPINLength means that the PIN cannot be right by its length; the token
	// was not asked.
	ErrPINLength = errors.New("the PIN is too short or too long for the token")
	// ErrPINLocked means that the token takes no PIN any more.
	ErrPINLocked = errors.New("the PIN is locked")
	// ErrPINCancelled means that the user gave up at the reader.
	ErrPINCancelled = errors.New("the PIN was not given at the reader")
	// ErrTokenRefused means that the token refuses to sign in this way.
	ErrTokenRefused = errors.New("the token refuses")
)
