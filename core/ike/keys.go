package ike

import (
	"encoding/binary"
	"fmt"
	"slices"

	"sallyport/core/transform"
)

// keys are the secrets of an IKE SA (RFC 7296, section 2.14).
type keys struct {
	suite         transform.Suite
	prf           transform.PRF
	d             []byte // SK_d
	pLocal, pPeer []byte // SK_pi and SK_pr, ours and the peer's
	seal, open    *transform.SK
}

// deriveKeys makes the keys of a new IKE SA from SKEYSEED, which it wipes.
func deriveKeys(suite transform.Suite, skeyseed, ni, nr []byte, spii, spir uint64, initiator bool) (keys, error) {
	defer transform.Wipe(skeyseed)
	prf, err := transform.NewPRF(suite.PRF.ID)
	if err != nil {
		return keys{}, err
	}
	seed := make([]byte, 0, len(ni)+len(nr)+16)
	seed = append(append(seed, ni...), nr...)
	seed = binary.BigEndian.AppendUint64(seed, spii)
	seed = binary.BigEndian.AppendUint64(seed, spir)

	p, a, c := prf.Size(), suite.IntegKeyLen(), suite.EncrKeyLen()
	material := prf.Plus(skeyseed, seed, 3*p+2*a+2*c)
	next := func(n int) []byte {
		part := material[:n:n]
		material = material[n:]
		return part
	}
	k := keys{suite: suite, prf: prf, d: next(p)}
	ai, ar, ei, er := next(a), next(a), next(c), next(c)
	pi, pr := next(p), next(p)
	ski, err := transform.NewSK(suite, ei, ai)
	if err != nil {
		return keys{}, fmt.Errorf("ike: keys of the initiator: %w", err)
	}
	skr, err := transform.NewSK(suite, er, ar)
	if err != nil {
		return keys{}, fmt.Errorf("ike: keys of the responder: %w", err)
	}
	transform.Wipe(ai, ar, ei, er)
	k.pLocal, k.pPeer, k.seal, k.open = pi, pr, ski, skr
	if !initiator {
		k.pLocal, k.pPeer, k.seal, k.open = pr, pi, skr, ski
	}
	return k, nil
}

// firstSeed is SKEYSEED of IKE_SA_INIT.
func firstSeed(prf transform.PRF, ni, nr, shared []byte) []byte {
	return prf.Sum(append(append(make([]byte, 0, len(ni)+len(nr)), ni...), nr...), shared)
}

// rekeySeed is SKEYSEED of a rekeyed IKE SA, with the PRF of the old one
// (RFC 7296, section 2.18). more are the secrets of the key exchanges after the
// first (RFC 9370, section 2.2.4).
func (k *keys) rekeySeed(ni, nr, shared, more []byte) []byte {
	return k.prf.Sum(k.d, shared, ni, nr, more)
}

// childKeys returns the keys of a Child SA, as ChildSA wants them: those of the
// exchange's initiator come first (RFC 7296, section 2.17). more are the secrets
// of the key exchanges after the first (RFC 9370, section 2.2.4).
func (k *keys) childKeys(suite transform.Suite, shared, ni, nr, more []byte, initiator bool) (in, out []byte) {
	seed := slices.Concat(shared, ni, nr, more)
	n := suite.EncrKeyLen() + suite.IntegKeyLen()
	material := k.prf.Plus(k.d, seed, 2*n)
	transform.Wipe(seed)
	if initiator {
		return material[n:], material[:n:n]
	}
	return material[:n:n], material[n:]
}

// wipe forgets every secret.
func (k *keys) wipe() {
	transform.Wipe(k.d, k.pLocal, k.pPeer)
	k.d, k.pLocal, k.pPeer, k.seal, k.open = nil, nil, nil, nil, nil
}
