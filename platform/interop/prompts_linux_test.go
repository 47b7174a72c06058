package interop_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// askingProfile is a connection whose pre-shared key is not stored.
const askingProfile = `version = 1
name = "office"
profile = "require"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]

[local]
method = "psk"
id = "alice@vpn.test"
ask = true

[remote]
method = "psk"
id = "psk.vpn.test"

[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`

// strangerProfile is a connection that leaves open who vouches for the gateway.
const strangerProfile = `version = 1
name = "office"
profile = "require"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]

[local]
method = "certificate"
id = "alice@vpn.test"
certificates = ["x509/alice-ecdsa256.crt"]
key = "private/alice-ecdsa256.key"

[remote]
method = "certificate"
id = "ecdsa256.vpn.test"

[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`

// prompted connects and returns the question that comes up, and what becomes of
// the attempt.
func prompted(t *testing.T, s *lab.Service, kind api.PromptKind) (api.Prompt, <-chan error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		done <- s.Client.Connect(ctx, api.ConnectRequest{Name: "office", Wait: true})
	}()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		st, err := s.Client.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Prompts) == 1 && st.Prompts[0].Kind == kind && st.Prompts[0].Connection == "office" {
			return st.Prompts[0], done
		}
		select {
		case err := <-done:
			t.Fatalf("no question: %v", err)
		default:
		}
	}
	t.Fatal("no question")
	return api.Prompt{}, nil
}

func write(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "office.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func carriesPage(t *testing.T, l *lab.Lab) {
	t.Helper()
	if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
		t.Fatalf("nothing comes through the tunnel: %q, %v", page, err)
	}
}

// TestPrompts connects what needs an answer first: a secret that is not stored,
// a gateway that nobody vouches for.
func TestPrompts(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki)
	t.Run("secret", func(t *testing.T) { testAskedSecret(t, l.For(t)) })
	t.Run("gateway", func(t *testing.T) { testUnknownGateway(t, l.For(t), pki, gw) })
}

func testAskedSecret(t *testing.T, l *lab.Lab) {
	const secret = "correct horse battery staple"
	s := l.Client.Service("asked-secret")
	if out := s.Must("import", write(t, l.Dir("asked-secret"), askingProfile), "--json"); !strings.Contains(out, `"asks"`) {
		t.Errorf("the import does not say that it asks:\n%s", out)
	}
	wire := l.Client.Capture("eth0")
	p, done := prompted(t, s, api.PromptSecret)
	if _, err := l.Client.Get(lab.InsideV4, "/", time.Second); err == nil {
		t.Error("under require something gets out while the user is asked")
	}
	if err := s.Client.Answer(t.Context(), api.Answer{ID: p.ID, Secret: []byte(secret)}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	carriesPage(t, l)
	t.Logf("wire: %v", wire.MustBeProtected(1))
	if err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("the secret stands in %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if strings.Contains(s.Proc.Log(), secret) {
		t.Error("the secret stands in the log")
	}
	s.Must("disconnect", "office")

	// A script gives it on standard input; a wrong one fails, once.
	connect := func(stdin string) lab.Result {
		cmd := s.Command("connect", "office", "--password-stdin", "--wait", "20s")
		cmd.Stdin = strings.NewReader(stdin + "\n")
		out, errOut, err := l.Client.Output(time.Minute, cmd)
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return lab.Result{Out: out, Err: errOut, Exit: cmd.ProcessState.ExitCode()}
	}
	if r := connect("another horse"); r.Exit != 1 || !strings.Contains(r.Err, "pre-shared key") || strings.Contains(r.Err+r.Out, "horse") {
		t.Errorf("a wrong secret: exit %d\n%s%s", r.Exit, r.Out, r.Err)
	}
	if r := connect(secret); r.Exit != 0 {
		t.Errorf("the right secret: exit %d\n%s%s", r.Exit, r.Out, r.Err)
	}
	carriesPage(t, l)
	s.Must("disconnect", "office")
}

func testUnknownGateway(t *testing.T, l *lab.Lab, pki *lab.PKI, gw *lab.StrongSwan) {
	dir := l.SwanDir("unknown-gateway", "")
	pki.Install(t, dir, []string{"alice-ecdsa256"}, []string{"alice-ecdsa256"})
	s := l.Client.Service("unknown-gateway")
	s.Must("import", write(t, dir, strangerProfile))
	p, done := prompted(t, s, api.PromptServer)
	if p.Certificate == nil || !strings.Contains(p.Certificate.Subject, "gw-ecdsa256") || len(p.Certificate.Names) != 1 || p.Certificate.Names[0] != "ecdsa256.vpn.test" {
		t.Fatalf("the gateway is shown as %+v\n%s", p.Certificate, gw.Log())
	}
	if err := s.Client.Answer(t.Context(), api.Answer{ID: p.ID, Trust: true}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	carriesPage(t, l)
	s.Must("disconnect", "office")
	s.Must("connect", "office", "--wait", "20s") // without a question
	carriesPage(t, l)
	s.Must("disconnect", "office")
}
