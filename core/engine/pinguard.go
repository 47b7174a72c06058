package engine

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"sync"
)

// A pinGuard knows which PINs the tokens have refused, so that none goes to the
// same token twice: three wrong ones lock a card, and a script tries as often as
// it is run. It keeps no PIN, only what tells that it is the same.
type pinGuard struct {
	mu      sync.Mutex // guards what follows
	key     []byte     // of this process
	refused map[string][][sha256.Size]byte
}

// The bounds of what is kept.
const (
	maxGuarded = 32 // tokens
	maxRefused = 16 // PINs of one, which locks long before
)

func (g *pinGuard) sumLocked(token string, pin []byte) (out [sha256.Size]byte) {
	if g.key == nil {
		g.key = make([]byte, 32)
		rand.Read(g.key) // never fails
		g.refused = map[string][][sha256.Size]byte{}
	}
	h := hmac.New(sha256.New, g.key)
	h.Write([]byte(token))
	h.Write([]byte{0})
	h.Write(pin)
	h.Sum(out[:0])
	return out
}

// knows reports whether a token has refused a PIN before.
func (g *pinGuard) knows(token string, pin []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.refused[token], g.sumLocked(token, pin))
}

// note remembers that a token has refused a PIN.
func (g *pinGuard) note(token string, pin []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := g.sumLocked(token, pin)
	list := g.refused[token]
	if list == nil && len(g.refused) >= maxGuarded || len(list) >= maxRefused {
		return
	}
	g.refused[token] = append(list, sum)
}

// forget forgets what a token has refused: it has taken another PIN.
func (g *pinGuard) forget(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.refused, token)
}
