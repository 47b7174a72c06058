package interop_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// mustExplain checks that a failure has its code and the sentences that a
// person needs, and says what was asked for.
func mustExplain(t *testing.T, e *api.Error, exit int, code api.ErrorCode, wantExit int, words ...string) {
	t.Helper()
	t.Logf("exit code %d, %s: %v", exit, e.Code, e)
	if e.Code != code || exit != wantExit {
		t.Errorf("code %s, exit code %d; want %s, %d", e.Code, exit, code, wantExit)
	}
	if e.What == "" || e.Why == "" || e.Next == "" {
		t.Errorf("what %q, why %q, next %q: one is missing", e.What, e.Why, e.Next)
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) && (e.Position == nil || !strings.Contains(e.Position.File+" "+e.Position.Field, w)) {
			t.Errorf("the explanation does not say %q: %v, %+v", w, e, e.Position)
		}
	}
}

// TestRefusedByGateway is every way to fail with a gateway that is there.
func TestRefusedByGateway(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	newGateway(t, l, pki)
	cert := func(id, ca string) client {
		c := certClient("ecdsa256")
		c.conf = certConf(id, "pubkey", "alice-ecdsa256.crt", ca)
		c.certs = append(c.certs, ca)
		return c
	}
	wrongPSK := pskConf("198.51.100.1", "psk.vpn.test", "", split)
	wrongPSK = strings.ReplaceAll(wrongPSK, "correct horse", "wrong horse")
	stranger := certClient("ecdsa256")
	pki.Issue(t, lab.Leaf{Name: "mallory", Issuer: "ca-other", Key: "ecdsa256", SANs: []string{"alice@vpn.test"}, Client: true})
	stranger.conf = strings.ReplaceAll(stranger.conf, "alice-ecdsa256", "mallory")
	stranger.certs, stranger.keys = append(stranger.certs, "mallory"), []string{"mallory"}
	for _, c := range []struct {
		name  string
		with  client
		code  api.ErrorCode
		words []string
	}{
		{"wrong PSK", client{conf: wrongPSK}, api.CodeAuthRefused, []string{"pre-shared key"}},
		{"unknown CA", cert("other.vpn.test", "ca-ecdsa256"), api.CodePeerUnknownCA, []string{"gw-other"}},
		{"expired", cert("expired.vpn.test", "ca-ecdsa256"), api.CodePeerExpired, []string{"gw-expired"}},
		{"wrong name", cert("ecdsa256.vpn.test", "ca-rsa"), api.CodePeerUnknownCA, nil},
		{"our certificate is refused", stranger, api.CodeAuthRefused, nil},
		{"every proposal refused", client{conf: pskConf("198.51.100.1", "psk.vpn.test", "proposals = aes256-sha256-modp1024", split)}, api.CodeNoProposal, []string{"proposal"}},
		{"every ESP proposal refused", client{conf: pskConf("198.51.100.1", "cbc.vpn.test", "proposals = aes256-sha512-modp2048", split+"\n        esp_proposals = aes192-sha384")}, api.CodeNoProposal, nil},
		{"networks refused", client{conf: pskConf("198.51.100.1", "psk.vpn.test", "", "remote_ts = 172.16.0.0/12")}, api.CodeTSUnacceptable, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			before := l.Client.Snapshot()
			name := strings.ReplaceAll(c.name, " ", "-")
			dir := l.SwanDir("bad-"+name, c.with.conf)
			pki.Install(t, dir, c.with.certs, c.with.keys)
			s := l.Client.Service("bad-" + name)
			s.Must("import", dir+"/swanctl.conf")
			e, exit := s.Error("connect", "office", "--wait", "20s")
			mustExplain(t, e, exit, c.code, 1, append(c.words, "office")...)
			if conn := s.Connection("office"); conn.Problem == nil || conn.Problem.Code != c.code {
				t.Errorf("the connection's problem is %v", conn.Problem)
			}
			mustEnd(t, s)
			l.Client.MustBeAsBefore(before)
			s.Stop()
			l.Client.MustBeAsBefore(before)
		})
	}
}

// mustEnd gives up what the service still tries.
func mustEnd(t *testing.T, s *lab.Service) {
	t.Helper()
	s.Must("disconnect", "office")
	if c := s.Connection("office"); c.State != api.Disconnected {
		t.Errorf("office is %s after disconnect", c.State)
	}
}

// TestNoGateway is every way of not reaching one.
func TestNoGateway(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, c := range []struct {
		name, gateway string
		path          lab.Path
		code          api.ErrorCode
		wait          string
	}{
		{"silent", "198.51.100.77", lab.Direct, api.CodeGatewaySilent, "60s"}, // an address that nobody has
		{"port closed", "203.0.113.10", lab.Direct, api.CodeGatewaySilent, "60s"},
		{"no network", "198.51.100.1", lab.Offline, api.CodeNoNetwork, "20s"},
		{"no such name", "gateway.invalid", lab.Direct, api.CodeResolve, "20s"},
		{"time over", "198.51.100.77", lab.Direct, api.CodeTimeout, "1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			l.Path(c.path)
			before := l.Client.Snapshot()
			name := strings.ReplaceAll(c.name, " ", "-")
			dir := l.SwanDir(name, pskConf(c.gateway, "psk.vpn.test", "", split))
			s := l.Client.Service(name)
			s.Must("import", dir+"/swanctl.conf")
			begun := time.Now()
			e, exit := s.Error("connect", "office", "--wait", c.wait)
			t.Logf("after %v", time.Since(begun).Round(time.Millisecond))
			mustExplain(t, e, exit, c.code, 1, "office")
			mustEnd(t, s)
			l.Client.MustBeAsBefore(before)
			s.Stop()
			l.Client.MustBeAsBefore(before)
		})
	}
}

// TestMalformedProfile refuses files with the place of their fault.
func TestMalformedProfile(t *testing.T) {
	l := lab.New(t)
	before := l.Client.Snapshot()
	s := l.Client.Service("profiles")
	for _, c := range []struct {
		name, file, content string
		code                api.ErrorCode
		line                int
		words               []string
	}{
		{"swanctl syntax", "swanctl.conf", "connections {\n  office {\n    remote_addrs = 198.51.100.1\n", api.CodeProfileInvalid, 2, nil},
		{"no TOML", "office.toml", "version = 1\nname = \"office\n", api.CodeProfileInvalid, 2, nil},
		{"unknown field", "office.toml", "version = 1\nname = \"office\"\ngateway = [\"198.51.100.1\"]\n", api.CodeProfileInvalid, 3, []string{"gateway"}},
		{"wrong kind", "office.toml", "version = 1\nname = \"office\"\ngateways = 7\n", api.CodeProfileInvalid, 3, []string{"gateways"}},
		{"no profile at all", "office.bin", "\x00\x01\x02\x03", api.CodeUnsupported, 0, []string{"not recognised"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.For(l.For(t))
			path := filepath.Join(l.Dir(strings.ReplaceAll(c.name, " ", "-")), c.file)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			e, exit := s.Error("import", path)
			mustExplain(t, e, exit, c.code, 1, append(c.words, c.file)...)
			if c.line > 0 && (e.Position == nil || e.Position.Line != c.line) {
				t.Errorf("position %+v, want line %d", e.Position, c.line)
			}
		})
	}
	if e, exit := s.Error("import", "/nowhere/swanctl.conf"); exit != 2 || e.What == "" {
		t.Errorf("exit code %d, %v", exit, e)
	}
	if e, exit := s.Error("connect", "nobody"); exit != 1 || e.Code != api.CodeNotFound {
		t.Errorf("exit code %d, %v", exit, e)
	}
	if r := s.CLI("connect"); r.Exit != 2 {
		t.Errorf("connect without a name: exit code %d", r.Exit)
	}
	if out := s.Must("--json", "list"); strings.Contains(out, "office") {
		t.Errorf("a malformed profile is stored: %s", out)
	}
	l.Client.MustBeAsBefore(before)
	s.Stop()
	if e, exit := s.Error("status"); exit != 3 || e.Code != api.CodeUnreachable || e.Next == "" {
		t.Errorf("without a service: exit code %d, %v", exit, e)
	}
}

// TestNoTUN has a machine without a TUN driver.
func TestNoTUN(t *testing.T) {
	l := lab.New(t)
	newGateway(t, l, newPKI(t))
	before := l.Client.Snapshot()
	l.Client.Mount(func() error { return unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "") })
	dir := l.SwanDir("notun", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s := l.Client.Service("notun")
	s.Must("import", dir+"/swanctl.conf")
	e, exit := s.Error("connect", "office", "--wait", "20s")
	mustExplain(t, e, exit, api.CodeNoTUN, 1, "/dev/net/tun", "office")
	mustEnd(t, s)
	l.Client.MustBeAsBefore(before)
}

// unprivileged makes a command run as nobody.
func unprivileged(cmd *exec.Cmd) {
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = "/"
}

// asNobody makes a command of ours run as nobody, from a folder that is open
// to everyone.
func asNobody(t *testing.T, l *lab.Lab, cmd *exec.Cmd) {
	t.Helper()
	unprivileged(cmd)
	b, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(l.Dir("bin"), filepath.Base(cmd.Path))
	if err := os.WriteFile(cmd.Path, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestNoPrivilege runs the service as nobody: it may start and answer its own
// user, and says what it lacks when it has to act. Another's service does not
// answer nobody at all.
func TestNoPrivilege(t *testing.T) {
	l := lab.New(t)
	newGateway(t, l, newPKI(t))
	before := l.Client.Snapshot()
	dir := l.SwanDir("nobody", pskConf("198.51.100.1", "psk.vpn.test", "", split))

	s := l.Client.Service("root")
	s.Must("import", dir+"/swanctl.conf")
	for _, args := range [][]string{{"connect", "office"}, {"list"}, {"import", dir + "/swanctl.conf"}} {
		cmd := s.Command(append([]string{"--json"}, args...)...)
		asNobody(t, l, cmd)
		out, errOut, _ := l.Client.Output(20*time.Second, cmd)
		if cmd.ProcessState.ExitCode() != 4 && cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("sallyport %s as nobody: exit code %d\n%s%s", args[0], cmd.ProcessState.ExitCode(), out, errOut)
		}
		t.Logf("as nobody: %s", strings.Join(strings.Fields(out), " "))
	}
	s.Stop()

	// A service that nobody runs is for nobody: root's own front ends refuse it.
	own := l.Dir("service-own")
	if err := os.Chown(own, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/swanctl.conf", 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(own, "socket")
	daemon := lab.Command(l.Bin("sallyportd"), "run", "--socket", socket, "--state-dir", filepath.Join(own, "state"), "--config-dir", filepath.Join(own, "config"))
	asNobody(t, l, daemon)
	l.Client.Start("sallyportd-own", daemon)
	waitFor(t, "the service to listen", func() bool { _, err := os.Stat(socket); return err == nil })
	var out string
	for _, args := range [][]string{{"import", dir + "/swanctl.conf"}, {"connect", "office", "--wait", "20s"}} {
		cmd := lab.Command(l.Bin("sallyport"), append([]string{"--socket", socket, "--json"}, args...)...)
		asNobody(t, l, cmd)
		var errOut string
		out, errOut, _ = l.Client.Output(30*time.Second, cmd)
		if want := map[string]int{"import": 0, "connect": 1}[args[0]]; cmd.ProcessState.ExitCode() != want {
			t.Fatalf("%s as nobody: exit code %d\n%s%s", args[0], cmd.ProcessState.ExitCode(), out, errOut)
		}
	}
	var body struct {
		Error *api.Error `json:"error"`
	}
	if err := json.Unmarshal([]byte(out), &body); err != nil || body.Error == nil {
		t.Fatalf("%v: %s", err, out)
	}
	mustExplain(t, body.Error, 1, api.CodeNoPrivilege, 1, "office")
	l.Client.MustBeAsBefore(before)
}

// TestPortsTaken has another VPN program on the machine that holds the ports.
func TestPortsTaken(t *testing.T) {
	l := lab.New(t)
	newGateway(t, l, newPKI(t))
	dir := l.SwanDir("taken", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	swan := l.Client.StrongSwan(dir)
	before := l.Client.Snapshot()
	s := l.Client.Service("taken")
	s.Must("import", dir+"/swanctl.conf")
	// An initiator needs no fixed port: it connects, or says what is wrong.
	if r := s.CLI("connect", "office", "--wait", "20s"); r.Exit == 0 {
		t.Logf("path: %s", s.Connection("office").Path)
		if _, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil {
			t.Errorf("connected, but: %v", err)
		}
	} else if e, exit := s.Error("connect", "office", "--wait", "20s"); e.Code != api.CodePortInUse {
		mustExplain(t, e, exit, api.CodePortInUse, 1)
	}
	mustEnd(t, s)
	s.Stop()
	l.Client.MustBeAsBefore(before)
	swan.Stop()
}
