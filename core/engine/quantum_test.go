package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
)

// The state says whether a tunnel is safe from quantum computers, and whose
// want it is when not.
func TestQuantumSafe(t *testing.T) {
	classical := func(profile string) string {
		return strings.Replace(profile, "[[children]]", "[ike]\nproposals = [\"aes256gcm16-prfsha384-x25519\"]\n\n[[children]]", 1)
	}
	for _, tt := range []struct {
		name, client, gateway string
		safe                  bool
		why                   api.QuantumWhy
	}{
		{"both", clientProfile, gatewayProfile, true, ""},
		{"the gateway does not", clientProfile, classical(gatewayProfile), false, api.QuantumNotSupported},
		{"we do not", classical(clientProfile), gatewayProfile, false, api.QuantumNotOffered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.client, tt.gateway)
				defer w.stop()
				if err := connect(t, w.client, 30*time.Second); err != nil {
					t.Fatal(err)
				}
				s, err := w.client.State(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if c := s.Connections[0]; c.QuantumSafe != tt.safe || c.QuantumWhy != tt.why {
					t.Errorf("safe %v, %q", c.QuantumSafe, c.QuantumWhy)
				}
			})
		})
	}
}
