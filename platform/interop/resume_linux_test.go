package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestResume cuts the link of a user who typed a password until both ends have
// given up: when it is back so is the tunnel, with the same address, and nobody
// is asked. The gateway is ours: strongSwan knows no tickets.
func TestResume(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	const impatient = "[ike]\nliveness_delay = \"1s\"\nretransmit_timeout = \"300ms\"\nretransmit_tries = 2\n"
	gwDir := l.Dir("responder")
	pki.Install(t, gwDir, []string{"gw-users", "ca-ecdsa256"}, []string{"gw-users"})
	for name, text := range map[string]string{
		"users.toml": fmt.Sprintf("[[users]]\nname = \"alice\"\npassword = %q\ngroups = [\"staff\"]\n", userPassword),
		"list.toml":  strings.Replace(responderProfile("list", "users.vpn.test", "users = \"users.toml\""), "[[children]]", impatient+"[[children]]", 1),
	} {
		if err := os.WriteFile(filepath.Join(gwDir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gw := l.Gateway.Service("gateway")
	gw.Must("import", filepath.Join(gwDir, "list.toml"))
	dir := l.Dir("user")
	pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
	profile := strings.Replace(userProfile("users.vpn.test", "alice", []string{"mschapv2"}, nil), "[remote]", impatient+"[remote]", 1)
	if err := os.WriteFile(filepath.Join(dir, "office.toml"), []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	s := l.Client.Service("user")
	s.Must("import", filepath.Join(dir, "office.toml"))
	p, done := prompted(t, s, api.PromptPassword)
	if err := s.Client.Answer(t.Context(), api.Answer{ID: p.ID, Secret: []byte(userPassword)}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	before := s.Connection("office").Addresses
	if got := l.Client.Pings(lab.InsideV4, 10); got.Lost > 0 {
		t.Errorf("ping: %v", got)
	}
	l.Path(lab.Offline)
	for end := time.Now().Add(20 * time.Second); len(gw.Dynamic().IKESAs) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the gateway does not notice that the link is gone")
		}
	}
	l.Path(lab.Direct)
	back := time.Now()
	ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56)
	first, err := ping.First(10 * time.Second)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Must("log"))
	}
	ping.Close()
	took := first.Sub(back)
	t.Logf("the first answer came %v after the link", took)
	if took > 500*time.Millisecond {
		t.Errorf("the tunnel took %v\n%s", took, s.Must("log"))
	}
	c := s.Connection("office")
	if d := s.Dynamic(); len(d.IKESAs) != 1 || !d.IKESAs[0].Resumed || c.Addresses[0] != before[0] || len(gw.Dynamic().IKESAs) != 1 {
		t.Errorf("%+v, addresses %v and %v before", d.IKESAs, c.Addresses, before)
	}
	st, err := s.Client.State(t.Context())
	if err != nil || len(st.Prompts) > 0 {
		t.Errorf("questions %v, %v", st.Prompts, err)
	}
	if out := s.Must("show", "dynamic"); !strings.Contains(out, "Resumed") {
		t.Errorf("show dynamic does not tell:\n%s", out)
	}
}

// TestGatewayRestarts kills our own gateway and starts it again: the client, which
// sends, learns that its tunnel is gone and makes another one, long before a
// liveness check would give up. strongSwan has no tokens to tell it with.
func TestGatewayRestarts(t *testing.T) {
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), "", "")
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s := l.Client.Service("client")
	s.Must("import", dir+"/swanctl.conf")
	s.Must("connect", "office", "--wait", "20s")
	if got := l.Client.Pings(lab.InsideV4, 10); got.Lost > 0 {
		t.Errorf("ping: %v", got)
	}
	gw.Proc.Kill()
	gw.Start()
	for end := time.Now().Add(10 * time.Second); gw.Connection("psk").State != api.Listening; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the gateway does not come back")
		}
	}
	up := time.Now()
	ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56)
	first, err := ping.First(10 * time.Second)
	ping.Close()
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Must("log"))
	}
	t.Logf("the first answer came %v after the gateway", first.Sub(up))
	if first.Sub(up) > time.Second || !strings.Contains(s.Must("log"), "has lost the IKE SA") {
		t.Errorf("it took %v\n%s\n%s", first.Sub(up), s.Must("log"), gw.Must("log"))
	}
}
