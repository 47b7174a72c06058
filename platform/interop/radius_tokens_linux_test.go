package interop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestTokenChallenges answers two challenges of FreeRADIUS in turn: the password,
// which may be kept, and a one-time code, which may not; behind strongSwan and
// behind our own responder.
func TestTokenChallenges(t *testing.T) {
	const code = "755224"
	l := lab.New(t)
	pki := radiusPKI(t)
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	server := l.Inside.FreeRADIUSTokens(l.Dir("tokens"), userPassword, code)
	profile := strings.Replace(userProfile("radius-users.vpn.test", "alice", []string{"gtc"}, nil), "server = \"radius.vpn.test\"\n", "", 1)

	connect := func(t *testing.T, s *lab.Service, code string) error {
		t.Helper()
		first, done := prompted(t, s, api.PromptPassword)
		if first.Text != lab.TokenPassword || first.User != "alice" {
			t.Errorf("the first question is %+v", first)
		}
		if err := s.Client.Answer(t.Context(), api.Answer{ID: first.ID, Secret: []byte(userPassword)}); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			st, err := s.Client.State(t.Context())
			if err != nil || time.Now().After(end) {
				t.Fatalf("no second question: %v\n%s", err, tail(server.Log(), 40))
			}
			if len(st.Prompts) != 1 {
				continue
			}
			q := st.Prompts[0]
			if q.Kind != api.PromptCode || q.Text != lab.TokenCode || q.Rememberable || q.ID == first.ID {
				t.Errorf("the second question is %+v", q)
			}
			if err := s.Client.Answer(t.Context(), api.Answer{ID: q.ID, Secret: []byte(code)}); err != nil {
				t.Fatal(err)
			}
			return <-done
		}
	}
	asks := func(t *testing.T, name string, log func() string) {
		s := l.Client.Service("tokens-" + name)
		dir := l.Dir("tokens-" + name)
		pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
		s.Must("import", write(t, dir, profile))
		begun, mark := time.Now(), len(server.Log())
		if e := api.AsError(connect(t, s, "000000")); e == nil || e.Code != api.CodePasswordRefused || time.Since(begun) > 5*time.Second {
			t.Errorf("the wrong code gives %v after %v\n%s", e, time.Since(begun), log())
		}
		if n := strings.Count(server.Log()[mark:], "Sent Access-Reject"); n != 1 {
			t.Errorf("the server refused %d times", n)
		}
		if err := connect(t, s, code); err != nil {
			t.Fatalf("%v\n%s\n%s", err, log(), tail(server.Log(), 60))
		}
		carriesPage(t, l)
		for _, secret := range []string{userPassword, code} {
			if strings.Contains(s.Proc.Log(), secret) {
				t.Errorf("%q stands in the log", secret)
			}
		}
		s.Must("disconnect", "office")
		s.Stop()
	}
	t.Run("strongSwan", func(t *testing.T) {
		dir := l.SwanDir("gateway", defaults+`connections {
  users : conn-defaults {
    local {
      auth = pubkey
      id = radius-users.vpn.test
      certs = gw-users.crt
    }
    remote {
      auth = eap-radius
      eap_id = %any
    }
  }
}
pools {`+pools)
		pki.Install(t, dir, []string{"gw-users", "ca-ecdsa256"}, []string{"gw-users"})
		gw := l.Gateway.StrongSwan(dir, fmt.Sprintf(`plugins { eap-radius { servers { inside { address = %s
      secret = "%s" } } } }`, lab.InsideV4, lab.RADIUSSecret))
		defer gw.Stop()
		asks(t, "swan", gw.Log)
	})
	t.Run("ours", func(t *testing.T) {
		gw := userGateway(t, l, pki)
		asks(t, "ours", func() string { return gw.Must("log") })
	})
}
