package transform

import (
	"crypto/mlkem"
	"fmt"
	"io"
)

// A kem is a key encapsulation mechanism as IKEv2 uses it: the initiator sends
// an encapsulation key, the responder the ciphertext of the secret
// (draft-ietf-ipsecme-ikev2-mlkem, section 2).
type kem struct {
	publicSize     int // of the initiator's value
	ciphertextSize int // of the responder's
	open           func(seed []byte) (decapsulator, error)
	encapsulate    func(key []byte) (shared, ciphertext []byte, err error)
}

// A decapsulator is the private key; encapsulation is its public one.
type decapsulator struct {
	encapsulation []byte
	decapsulate   func(ciphertext []byte) ([]byte, error)
}

// ML-KEM-512 is not among them: Go does not have it, and ML-KEM-768 costs a few
// hundred bytes more.
var kems = map[ID]kem{
	KEMLKEM768: {
		mlkem.EncapsulationKeySize768, mlkem.CiphertextSize768,
		func(seed []byte) (decapsulator, error) {
			k, err := mlkem.NewDecapsulationKey768(seed)
			if err != nil {
				return decapsulator{}, err
			}
			return decapsulator{k.EncapsulationKey().Bytes(), k.Decapsulate}, nil
		},
		func(key []byte) ([]byte, []byte, error) {
			k, err := mlkem.NewEncapsulationKey768(key)
			if err != nil {
				return nil, nil, err
			}
			shared, ciphertext := k.Encapsulate()
			return shared, ciphertext, nil
		},
	},
	KEMLKEM1024: {
		mlkem.EncapsulationKeySize1024, mlkem.CiphertextSize1024,
		func(seed []byte) (decapsulator, error) {
			k, err := mlkem.NewDecapsulationKey1024(seed)
			if err != nil {
				return decapsulator{}, err
			}
			return decapsulator{k.EncapsulationKey().Bytes(), k.Decapsulate}, nil
		},
		func(key []byte) ([]byte, []byte, error) {
			k, err := mlkem.NewEncapsulationKey1024(key)
			if err != nil {
				return nil, nil, err
			}
			shared, ciphertext := k.Encapsulate()
			return shared, ciphertext, nil
		},
	},
}

// quantumSafe reports whether a method withstands quantum computers.
func quantumSafe(id ID) bool {
	_, ok := kems[id]
	return ok
}

type kemExchange struct {
	id  ID
	kem kem
	key decapsulator
}

func (k kem) generate(id ID, rand io.Reader) (KeyExchange, error) {
	var seed [mlkem.SeedSize]byte
	defer Wipe(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("transform: private key: %w", err)
	}
	key, err := k.open(seed[:])
	if err != nil {
		return nil, fmt.Errorf("transform: private key: %w", err)
	}
	return &kemExchange{id, k, key}, nil
}

// respond encapsulates a secret. A key of another length, or whose coefficients
// are out of range (FIPS 203, section 7.2), is refused.
func (k kem) respond(id ID, peer []byte) (public, shared []byte, err error) {
	if len(peer) != k.publicSize {
		return nil, nil, fmt.Errorf("%w: %d bytes for %v", ErrBadPublic, len(peer), Transform{Type: TypeKE, ID: id})
	}
	shared, public, err = k.encapsulate(peer)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrBadPublic, err)
	}
	return public, shared, nil
}

func (k *kemExchange) ID() ID         { return k.id }
func (k *kemExchange) Public() []byte { return k.key.encapsulation }

// Shared opens the responder's ciphertext. One that was changed on the way gives
// another secret, not an error (FIPS 203, section 6.3).
func (k *kemExchange) Shared(peer []byte) ([]byte, error) {
	if len(peer) != k.kem.ciphertextSize {
		return nil, fmt.Errorf("%w: %d bytes for %v", ErrBadPublic, len(peer), Transform{Type: TypeKE, ID: k.id})
	}
	shared, err := k.key.decapsulate(peer)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrBadPublic, err)
	}
	return shared, nil
}
