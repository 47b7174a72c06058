package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/simnet"
)

// userPolicy protects what is behind a gateway, or the gateway itself, as a user
// whom it asks for.
func userPolicy(destination, tunnel, secret string) string {
	p := strings.Replace(gatewayPolicy, "10.10.0.0/16", destination, 1)
	p = strings.Replace(p, `tunnel = "198.51.100.1"`, tunnel, 1)
	p = strings.Replace(p, "Request security", "Require security", 1)
	return strings.Replace(p, "method = \"psk\"\nsecret = \"lan-psk\"\nlocal_id = \"alice@vpn.test\"\n",
		"method = \"eap\"\nuser = \"alice\"\n"+secret+"cas = [\"ca.pem\"]\n", 1)
}

// ruleWorld is a gateway that asks its users with EAP, and a client with a policy.
func ruleWorld(t *testing.T, text, password string, alone bool) *world {
	t.Helper()
	c := authCase{local: eapLocal("mschapv2", ""), remote: certRemote, gateway: eapGateway(usersOfList, ""), right: markedRight, list: true}
	w := c.world(t, markedRight, "").w
	own, err := w.gm.Profiles.Read("workers.toml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(own), "local_ts = [\"10.10.0.0/16\", \"fd00:10::/64\"]", "local_ts = [\"10.10.0.0/16\"]\nremote_ts = [\"198.51.100.0/24\"]", 1)
	if alone {
		changed = strings.Replace(changed, "local_ts = [\"10.10.0.0/16\"]\nremote_ts = [\"198.51.100.0/24\"]", "local_ts = [\"dynamic\"]\nremote_ts = [\"dynamic\"]", 1)
	}
	if err := w.gateway.Disconnect(t.Context(), "workers"); err != nil {
		t.Fatal(err)
	}
	w.gm.Profiles.Write("workers.toml", []byte(changed))
	if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
		t.Fatal(err)
	}
	w.cm.Profiles.Remove("office.toml")
	w.cm.Secrets.Write("alice+password", []byte(password))
	if _, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Assign(t.Context(), "site", false); err != nil {
		t.Fatal(err)
	}
	return w
}

func ruleConn(t *testing.T, w *world) api.Connection {
	t.Helper()
	s, err := w.client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Connections {
		if c.Name == "site @ 198.51.100.1" {
			return c
		}
	}
	t.Fatalf("there is no such connection: %+v", s.Connections)
	return api.Connection{}
}

func userOfGateway(t *testing.T, w *world) {
	t.Helper()
	d, err := w.gateway.Dynamic(t.Context())
	if err != nil || len(d.IKESAs) != 1 || d.IKESAs[0].RemoteAuth != "EAP-MSCHAPv2 (alice)" {
		t.Errorf("the gateway has %+v, %v", d.IKESAs, err)
	}
}

const (
	behindGateway = "10.10.0.0/16"
	viaGateway    = `tunnel = "198.51.100.1"`
	storedUser    = "secret = \"alice+password\"\n"
)

// A rule whose tunnel ends at a gateway proves a user to it, with a password
// that is stored or asked for.
func TestRuleProvesAUser(t *testing.T) {
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			secret := storedUser
			if asked {
				secret = ""
			}
			w := ruleWorld(t, userPolicy(behindGateway, viaGateway, secret), markedRight, false)
			defer w.stop()
			time.Sleep(time.Second)
			if asked {
				s, err := w.client.State(t.Context())
				if err != nil || len(s.Prompts) != 1 || s.Prompts[0].Kind != api.PromptPassword || s.Prompts[0].Connection != "site @ 198.51.100.1" || s.Prompts[0].User != "alice" {
					t.Fatalf("the questions are %+v, %v", s.Prompts, err)
				}
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
					t.Errorf("while it asks the firewall says %v", a)
				}
				answerWith(t, w.client, api.Answer{ID: s.Prompts[0].ID, Secret: []byte(markedRight)})
				time.Sleep(time.Second)
			}
			if c := ruleConn(t, w); c.State != api.Connected {
				t.Fatalf("%s: %v", c.State, c.Problem)
			}
			userOfGateway(t, w)
		})
	}
}

// A wrong password of a rule is tried once, and what is required stays blocked.
func TestRuleTriesAWrongPasswordOnce(t *testing.T) {
	for name, tt := range map[string]struct{ destination, tunnel string }{
		"gateway": {behindGateway, viaGateway}, "host to host": {"198.51.100.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := ruleWorld(t, userPolicy(tt.destination, tt.tunnel, storedUser), markedWrong, tt.tunnel == "")
				defer w.stop()
				tries := map[string]bool{}
				w.net.SetTap(func(p simnet.Packet) bool {
					b := p.Data
					if len(b) > 4 && p.To.Port() == 4500 {
						b = b[4:]
					}
					if p.From.Addr() == clientAddr && len(b) > 18 && b[18] == 35 {
						tries[string(b[:8])] = true
					}
					return true
				})
				for range 60 {
					if tt.tunnel == "" {
						w.cm.TUN().InjectPacket(udp4("198.51.100.100", "198.51.100.1", "hello"))
					}
					time.Sleep(time.Second)
				}
				c := ruleConn(t, w)
				if c.Problem == nil || c.Problem.Code != api.CodePasswordRefused {
					t.Errorf("%s: %v", c.State, c.Problem)
				}
				if len(tries) > 1 { // the rule of the gateway began before the tap
					t.Errorf("%d tries", len(tries))
				}
				if a := action(w.cm, strings.TrimSuffix(tt.destination, "/16")); a == host.FirewallClear {
					t.Error("what is required passes in clear")
				}
			})
		})
	}
}

// Host to host this machine is the user of what it begins; a peer that begins is
// answered by none of it.
func TestRuleProvesAUserHostToHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ruleWorld(t, userPolicy("198.51.100.1", "", storedUser), markedRight, true)
		defer w.stop()
		w.cm.TUN().InjectPacket(udp4("198.51.100.100", "198.51.100.1", "hello"))
		select {
		case <-w.gm.TUN().Out:
		case <-time.After(time.Minute):
			t.Fatalf("nothing arrives: %+v", ruleConn(t, w))
		}
		userOfGateway(t, w)
		s, err := w.client.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Connections {
			if c.State == api.Listening {
				t.Errorf("%s listens, with nobody to know its peers", c.Name)
			}
		}
	})
}
