package ike

import (
	"testing"

	"sallyport/core/ike/message"
)

// TestPeerPSKs has a responder with a key of its own for each peer.
func TestPeerPSKs(t *testing.T) {
	keys := []PeerPSK{
		{ID: identity("*.example.com"), PSK: []byte("everybody there")},
		{ID: identity("bob.example.com"), PSK: []byte("bob alone")},
		{ID: identity("carol@example.com"), PSK: []byte("carol alone")},
	}
	for _, tt := range []struct {
		name, id, key string
		others        string // everybody else's key
		code          FailureCode
	}{
		{"its own", "carol@example.com", "carol alone", "", 0},
		{"its own before a pattern", "bob.example.com", "bob alone", "", 0},
		{"a pattern", "alice.example.com", "everybody there", "", 0},
		{"everybody's", "dave", "for all others", "for all others", 0},
		{"another's", "bob.example.com", "carol alone", "", FailAuthRefused},
		{"the pattern's for one with its own", "bob.example.com", "everybody there", "", FailAuthRefused},
		{"everybody's for one with its own", "bob.example.com", "for all others", "for all others", FailAuthRefused},
		{"none", "dave", "bob alone", "", FailAuthRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			w.a.cfg.Local.ID, w.a.cfg.Local.PSK, w.a.cfg.Peer.PSK = identity(tt.id), []byte(tt.key), []byte(tt.key)
			w.b.cfg.Local.PSK, w.b.cfg.Peer.PSK, w.b.cfg.Peer.ID = []byte(tt.others), []byte(tt.others), identity("%any")
			w.b.cfg.Local.OfPeer, w.b.cfg.Peer.PSKs = true, keys
			sa := w.connect()
			w.flush()
			if tt.code == 0 {
				if sa.state != StateUp {
					t.Fatalf("not up: %v\n%s", sa.state, w.a.story()+w.b.story())
				}
				return
			}
			if f := w.a.closed(); f.Code != tt.code || f.Notify != message.NotifyAuthenticationFailed {
				t.Errorf("failed with %v", f)
			}
		})
	}
}

// TestPSKIdentities proves a pre-shared key as each kind of identity.
func TestPSKIdentities(t *testing.T) {
	for _, id := range []string{"192.0.2.7", "2001:db8::7", "host.example.com", "alice@example.com", "C=CH, O=Example, CN=alice", "keyid:key-7", "@#0a0b0c"} {
		t.Run(id, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			w.a.cfg.Local.ID = identity(id)
			w.b.cfg.Peer.ID = identity(id)
			sa := w.connect()
			w.flush()
			if sa.state != StateUp {
				t.Errorf("not up: %v\n%s", sa.state, w.a.story()+w.b.story())
			}
		})
	}
}
