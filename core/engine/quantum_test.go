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
	ike := func(profile, setting string) string {
		return strings.Replace(profile, "[[children]]", "[ike]\n"+setting+"\n\n[[children]]", 1)
	}
	for _, tt := range []struct {
		name, client, gateway string
		safe                  bool
		why                   api.QuantumWhy
	}{
		{"both", clientProfile, gatewayProfile, true, ""},
		{"the gateway does not", clientProfile, classical(gatewayProfile), false, api.QuantumNotSupported},
		{"we do not", classical(clientProfile), gatewayProfile, false, api.QuantumNotOffered},
		{"off", ike(clientProfile, `quantum = "off"`), gatewayProfile, false, api.QuantumNotOffered},
		{"required", ike(clientProfile, `quantum = "require"`), gatewayProfile, true, ""},
		{"required by the gateway", clientProfile, ike(gatewayProfile, `quantum = "require"`), true, ""},
		{"preferred over what is named", ike(clientProfile, "quantum = \"prefer\"\nproposals = [\"aes128gcm16-prfsha256-x25519\"]"), gatewayProfile, true, ""},
		{"a child alone", ike(clientProfile, "childless = true"), gatewayProfile, true, ""},
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

// Where it is required there is no tunnel without, from either end.
func TestQuantumRequired(t *testing.T) {
	ike := func(profile, setting string) string {
		return strings.Replace(profile, "[[children]]", "[ike]\nquantum = \""+setting+"\"\n\n[[children]]", 1)
	}
	for name, ends := range map[string][2]string{
		"by us":          {ike(clientProfile, "require"), ike(gatewayProfile, "off")},
		"by the gateway": {ike(clientProfile, "off"), ike(gatewayProfile, "require")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, ends[0], ends[1])
				defer w.stop()
				if err := connect(t, w.client, 40*time.Second); err == nil || !strings.Contains(err.Error(), "algorithms") {
					t.Errorf("connect: %v", err)
				}
			})
		})
	}
}
