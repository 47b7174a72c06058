package transform

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
)

// ErrBadPublic is what Shared says of a peer's value that is not a public key
// of the method, or one that would give the secret away.
var ErrBadPublic = errors.New("transform: invalid key exchange value")

// A KeyExchange is the initiator's half of one key exchange. Its private key is fresh and
// is not for more than one exchange.
type KeyExchange interface {
	// ID is the method.
	ID() ID
	// Public is our value for the KE payload.
	Public() []byte
	// Shared computes the shared secret with the value of the peer's KE
	// payload, or says ErrBadPublic.
	Shared(peer []byte) ([]byte, error)
}

// Respond is the responder's half of a key exchange: its value for the KE
// payload, and the secret that it shares with the initiator's value peer. It
// says ErrBadPublic of a peer's value that is not one. With a KEM, what is random
// in the answer comes from the system whatever rand is.
func Respond(id ID, peer []byte, rand io.Reader) (public, shared []byte, err error) {
	if k, ok := kems[id]; ok {
		return k.respond(id, peer)
	}
	ke, err := NewKeyExchange(id, rand)
	if err != nil {
		return nil, nil, err
	}
	if shared, err = ke.Shared(peer); err != nil {
		return nil, nil, err
	}
	return ke.Public(), shared, nil
}

// NewKeyExchange makes a private key from rand. The same bytes from rand give
// the same key, so that recorded exchanges can be replayed.
func NewKeyExchange(id ID, rand io.Reader) (KeyExchange, error) {
	if c, ok := curves[id]; ok {
		return newECDH(id, c, rand)
	}
	if g, ok := modpGroups[id]; ok {
		return newMODP(id, g, rand)
	}
	if k, ok := kems[id]; ok {
		return k.generate(id, rand)
	}
	return nil, fmt.Errorf("transform: key exchange %v is not implemented", Transform{Type: TypeKE, ID: id})
}

// PublicSize is the length of the value in an initiator's KE payload of this
// method; 0 for one that we do not implement.
func PublicSize(id ID) int {
	if c, ok := curves[id]; ok {
		return c.publicSize
	}
	if k, ok := kems[id]; ok {
		return k.publicSize
	}
	return modpGroups[id].bits / 8
}

// A curve is an elliptic curve as IKEv2 uses it.
type curve struct {
	ecdh       ecdh.Curve
	scalarSize int
	topMask    byte // of the first byte of the scalar
	publicSize int
	// A point of the NIST curves travels as x | y (RFC 5903, section 7), to
	// which this is the prefix that crypto/ecdh wants.
	prefix []byte
}

var curves = map[ID]curve{
	KEX25519: {ecdh.X25519(), 32, 0xff, 32, nil}, // RFC 8031
	KEECP256: {ecdh.P256(), 32, 0xff, 64, []byte{4}},
	KEECP384: {ecdh.P384(), 48, 0xff, 96, []byte{4}},
	KEECP521: {ecdh.P521(), 66, 0x01, 132, []byte{4}},
}

type ecdhExchange struct {
	id    ID
	curve curve
	key   *ecdh.PrivateKey
}

// newECDH draws scalars until one is in the range of the curve's order. It does
// not use GenerateKey, which may ignore the reader it is given.
func newECDH(id ID, c curve, rand io.Reader) (KeyExchange, error) {
	scalar := make([]byte, c.scalarSize)
	defer Wipe(scalar)
	// One draw is out of range with a probability below 2⁻³², so that many
	// failures mean that rand is broken.
	const tries = 16
	for range tries {
		if _, err := io.ReadFull(rand, scalar); err != nil {
			return nil, fmt.Errorf("transform: private key: %w", err)
		}
		scalar[0] &= c.topMask
		if key, err := c.ecdh.NewPrivateKey(scalar); err == nil {
			return &ecdhExchange{id, c, key}, nil
		}
	}
	return nil, errors.New("transform: private key: the source of randomness is broken")
}

func (k *ecdhExchange) ID() ID { return k.id }

func (k *ecdhExchange) Public() []byte {
	return k.key.PublicKey().Bytes()[len(k.curve.prefix):]
}

// Shared is x of the common point (RFC 5903, section 7; RFC 8031, section 2).
// crypto/ecdh refuses points off the curve, and an all-zero result with X25519.
func (k *ecdhExchange) Shared(peer []byte) ([]byte, error) {
	if len(peer) != k.curve.publicSize {
		return nil, fmt.Errorf("%w: %d bytes for %v", ErrBadPublic, len(peer), Transform{Type: TypeKE, ID: k.id})
	}
	point := append(append(make([]byte, 0, 1+len(peer)), k.curve.prefix...), peer...)
	pub, err := k.curve.ecdh.NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrBadPublic, err)
	}
	secret, err := k.key.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrBadPublic, err)
	}
	return secret, nil
}
