package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// house is a service with connections in every condition.
func house() *ipctest.Backend {
	b := &ipctest.Backend{Now: func() time.Time { return now }}
	b.SetService(api.Service{Version: "1.2.3", APIVersion: 1, Started: now.Add(-50 * time.Hour),
		Ports: []string{"0.0.0.0:500", "0.0.0.0:4500"}, Warnings: []string{"IPv6 is off on this machine."}})
	b.SetConnection(api.Connection{Name: "office", Role: "initiator", Gateway: []string{"vpn.example.com"}, Profile: api.Require,
		State: api.Connected, Since: now.Add(-125 * time.Second), Protection: api.Protected, Path: "192.0.2.7:4500 → 198.51.100.1:4500", PeerID: "CN=gw\x1b[31m",
		Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.5")}, DNS: []netip.Addr{netip.MustParseAddr("10.20.0.1")},
		Routes:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Counters: api.Counters{InPackets: 12345, InBytes: 17_200_000, OutPackets: 999, OutBytes: 48_000}})
	b.SetConnection(api.Connection{Name: "home", Role: "initiator", Gateway: []string{"198.51.100.9", "198.51.100.10"}, Profile: api.Request,
		State: api.Disconnected, Since: now.Add(-time.Hour), Warnings: []string{"MODP_1024 is weak."},
		Problem: &api.Error{Code: api.CodeAuthRefused, What: "Could not connect to \"home\".",
			Why: "The gateway refused our credentials.", Next: "Check the pre-shared key."}})
	b.SetConnection(api.Connection{Name: "door", Role: "responder", Profile: api.Respond, State: api.Listening, Since: now.Add(-2 * time.Minute)})
	b.SetConnection(api.Connection{Name: "vault", Role: "initiator", Gateway: []string{"203.0.113.1"}, Profile: api.Require, State: api.Blocked, Since: now, Protection: api.Stopped})
	b.SetDynamic(api.Dynamic{
		IKESAs: []api.IKESA{{Connection: "office", Initiator: true, State: "established", LocalSPI: "0011223344556677", RemoteSPI: "8899aabbccddeeff",
			Local: "192.0.2.7:4500", Remote: "198.51.100.1:4500", LocalID: "me@example.com", RemoteID: "vpn.example.com",
			Proposal: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", LocalAuth: "PSK", RemoteAuth: "rsa-pss-sha256", NATLocal: true,
			Established: now.Add(-125 * time.Second), RekeyAt: now.Add(4 * time.Hour), Rekeys: 2}},
		ChildSAs: []api.ChildSA{{Connection: "office", Child: "net", State: "installed", InSPI: "c0ffee01", OutSPI: "deadbeef",
			Proposal: "AES_GCM_16_256/ESN", LocalTS: []string{"10.20.0.5/32"}, RemoteTS: []string{"10.0.0.0/8", "fd00::/8"},
			Established: now.Add(-5 * time.Second), Counters: api.Counters{InPackets: 1, InBytes: 84}}},
		Drops: map[string]uint64{"replay": 3, "no_sa": 0, "bad_icv": 1},
	})
	policies(b)
	b.Write(api.LogEntry{Time: now.Add(-3 * time.Second), Level: api.LogInfo, Topic: "ike", Connection: "office", Text: "sent IKE_AUTH request"})
	b.Write(api.LogEntry{Time: now.Add(-2 * time.Second), Level: api.LogWarn, Topic: "ike", Connection: "office", Text: "peer says \u202eevil\x07"})
	b.Write(api.LogEntry{Time: now.Add(-time.Second), Level: api.LogError, Topic: "service", Text: "no network"})
	return b
}

// A shell runs command lines against one backend.
type shell struct {
	b     api.Backend
	stdin string
	opt   func(*Options)
}

func (s shell) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	o := Options{In: strings.NewReader(s.stdin), Out: &out, Err: &errOut,
		Env: func(string) string { return "/run/test.sock" }, Now: func() time.Time { return now },
		Dial: func(string) api.Backend { return s.b }}
	if s.opt != nil {
		s.opt(&o)
	}
	code = Run(ctx, args, o)
	return code, out.String(), errOut.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

func transcript(args []string, code int, stdout, stderr string) string {
	s := fmt.Sprintf("$ sallyport %s\n%s", strings.Join(args, " "), stdout)
	if stderr != "" {
		s += "--- stderr\n" + stderr
	}
	return s + fmt.Sprintf("--- exit %d\n", code)
}

func TestGolden(t *testing.T) {
	refuse := func(e *api.Error) func(*ipctest.Backend) {
		return func(b *ipctest.Backend) {
			b.OnState = func(context.Context) error { return e }
			b.OnConnect = func(context.Context, api.ConnectRequest) error { return e }
		}
	}
	unreachable := &api.Error{Code: api.CodeUnreachable, What: "The Sallyport service does not answer.",
		Why: "Nothing listens on /run/test.sock; it is probably not running.", Next: "Start it."}
	denied := &api.Error{Code: api.CodeNotAllowed, What: "You may not use the Sallyport service.", Why: "User 1000 is neither root nor in the group sallyport.", Next: "Use sudo."}
	failed := &api.Error{Code: api.CodePSKMismatch, What: "Could not connect to \"home\".", Why: "The gateway's proof does not fit our pre-shared key.\nIt says: \x1b[2Jhello.",
		Next: "Compare the keys.", Position: &api.Position{File: "home.toml", Line: 7, Field: "local.secret"}, Params: map[string]string{"gateway": "198.51.100.9"}}

	for _, tt := range []struct {
		name  string
		args  []string
		setup func(*ipctest.Backend)
		color bool
	}{
		{name: "help", args: []string{"--help"}},
		{name: "help-connect", args: []string{"connect", "--help"}},
		{name: "list", args: []string{"list"}},
		{name: "list-json", args: []string{"list", "--json"}},
		{name: "list-color", args: []string{"list"}, color: true},
		{name: "status", args: []string{"status"}},
		{name: "status-color", args: []string{"status"}, color: true},
		{name: "status-one", args: []string{"status", "office"}},
		{name: "status-problem", args: []string{"status", "home"}},
		{name: "status-json", args: []string{"status", "--json"}},
		{name: "status-one-json", args: []string{"status", "office", "--json"}},
		{name: "status-unknown", args: []string{"status", "nowhere"}},
		{name: "show-static", args: []string{"show", "static"}},
		{name: "show-dynamic", args: []string{"show", "dynamic"}},
		{name: "show-all-json", args: []string{"show", "all", "--json"}},
		{name: "show-nothing", args: []string{"show"}},
		{name: "log", args: []string{"log", "-n", "2"}},
		{name: "log-json", args: []string{"log", "--json"}},
		{name: "version", args: []string{"version"}},
		{name: "version-json", args: []string{"version", "--json"}},
		{name: "version-alone", args: []string{"version"}, setup: refuse(unreachable)},
		{name: "connect", args: []string{"connect", "office"}},
		{name: "connect-nowait", args: []string{"connect", "vault", "--wait", "0", "--profile", "respond"}},
		{name: "connect-json", args: []string{"--json", "connect", "door"}},
		{name: "connect-unknown", args: []string{"connect", "nowhere"}},
		{name: "connect-failed", args: []string{"connect", "home"}, setup: refuse(failed)},
		{name: "connect-failed-json", args: []string{"connect", "home", "--json"}, setup: refuse(failed)},
		{name: "connect-bad-profile", args: []string{"connect", "home", "--profile", "open"}},
		{name: "connect-bad-wait", args: []string{"connect", "home", "--wait", "-3s"}},
		{name: "disconnect", args: []string{"disconnect", "office"}},
		{name: "disconnect-json", args: []string{"disconnect", "office", "--json"}},
		{name: "remove", args: []string{"remove", "vault"}},
		{name: "remove-json", args: []string{"remove", "vault", "--json"}},
		{name: "unreachable", args: []string{"list"}, setup: refuse(unreachable)},
		{name: "unreachable-json", args: []string{"list", "--json"}, setup: refuse(unreachable)},
		{name: "denied", args: []string{"list"}, setup: refuse(denied)},
		{name: "usage-verb", args: []string{"conect"}},
		{name: "usage-flag", args: []string{"list", "--jsn"}},
		{name: "usage-args", args: []string{"connect"}},
		{name: "usage-json", args: []string{"connect", "--json"}},
		{name: "usage-import", args: []string{"import", "a", "b", "--name", "c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := house()
			if tt.setup != nil {
				tt.setup(b)
			}
			code, out, errOut := shell{b: b, opt: func(o *Options) { o.Color = tt.color }}.run(t.Context(), tt.args...)
			golden(t, tt.name, transcript(tt.args, code, out, errOut))
		})
	}
}

func TestEmptyHouse(t *testing.T) {
	for _, args := range [][]string{{"list"}, {"status"}, {"show", "all"}, {"log"}, {"list", "--json"}, {"show", "all", "--json"}} {
		code, out, errOut := shell{b: &ipctest.Backend{}}.run(t.Context(), args...)
		if code != 0 || errOut != "" || strings.Contains(out, "null") {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errOut)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for code, want := range map[api.ErrorCode]int{
		api.CodeUsage: 2, api.CodeUnreachable: 3, api.CodeNotAllowed: 4,
		api.CodeInternal: 1, api.CodeNotFound: 1, api.CodeTimeout: 1, api.CodeAuthRefused: 1, api.CodeUnsupported: 1, "new_code": 1,
	} {
		b := house()
		b.OnState = func(context.Context) error { return &api.Error{Code: code, What: "No."} }
		for _, args := range [][]string{{"list"}, {"list", "--json"}} {
			got, out, errOut := shell{b: b}.run(t.Context(), args...)
			if got != want {
				t.Errorf("%s %v: exit %d, want %d", code, args, got, want)
			}
			if len(args) == 1 {
				if out != "" || !strings.Contains(errOut, "No.") {
					t.Errorf("%s: stdout %q, stderr %q", code, out, errOut)
				}
				continue
			}
			var body struct{ Error api.Error }
			if err := json.Unmarshal([]byte(out), &body); err != nil || body.Error.Code != code || errOut != "" {
				t.Errorf("%s: stdout %q, stderr %q, %v", code, out, errOut, err)
			}
		}
	}
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &ipctest.Backend{}
		b.SetConnection(api.Connection{Name: "my office", Profile: api.Require, State: api.Disconnected})
		b.OnConnect = func(ctx context.Context, r api.ConnectRequest) error {
			b.SetConnection(api.Connection{Name: r.Name, Profile: api.Require, State: api.Connecting,
				Problem: &api.Error{Code: api.CodeGatewaySilent, What: "The gateway does not answer."}})
			for i := range 5 {
				b.Write(api.LogEntry{Level: api.LogInfo, Topic: "ike", Connection: r.Name, Text: fmt.Sprintf("retransmit %d", i)})
				b.Write(api.LogEntry{Level: api.LogDebug, Topic: "ike", Connection: r.Name, Text: "noise"})
			}
			<-ctx.Done()
			return ctx.Err()
		}
		sh := shell{b: b, opt: func(o *Options) { o.Now = func() time.Time { return time.Now().UTC() } }}
		args := []string{"connect", "my office", "--wait", "5s"}
		begun := time.Now()
		code, out, errOut := sh.run(t.Context(), args...)
		if waited := time.Since(begun); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		golden(t, "connect-timeout", transcript(args, code, out, errOut))

		code, out, _ = sh.run(t.Context(), "connect", "my office", "--wait", "1s", "--json")
		var body struct{ Error api.Error }
		if err := json.Unmarshal([]byte(out), &body); err != nil || code != 1 || body.Error.Code != api.CodeTimeout || body.Error.Params["state"] != "connecting" {
			t.Errorf("exit %d, %v: %s", code, err, out)
		}

		// An interrupt is told from the end of the time.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		code, out, errOut = sh.run(ctx, "connect", "my office")
		golden(t, "connect-interrupted", transcript([]string{"connect", "'my office'"}, code, out, errOut))
	})
}

func TestFollow(t *testing.T) {
	for _, tt := range []struct{ name, args string }{
		{"monitor", "monitor"}, {"monitor-json", "monitor --json"}, {"log-follow", "log -f -n 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := house()
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					synctest.Wait() // the follower stands
					b.Connect(ctx, api.ConnectRequest{Name: "home"})
					b.Write(api.LogEntry{Time: now, Level: api.LogInfo, Topic: "ike", Connection: "home", Text: "established"})
					b.Remove(ctx, "door")
					synctest.Wait()
					cancel()
				}()
				args := strings.Fields(tt.args)
				code, out, errOut := shell{b: b}.run(ctx, args...)
				golden(t, tt.name, transcript(args, code, out, errOut))
			})
		})
	}
}

// flaky is a service that is restarted.
type flaky struct {
	*ipctest.Backend
	down  bool
	drops int
}

func (f *flaky) State(ctx context.Context) (api.State, error) {
	if f.down {
		f.down = false
		return api.State{}, &api.Error{Code: api.CodeUnreachable, What: "No answer."}
	}
	return f.Backend.State(ctx)
}

func (f *flaky) Events(ctx context.Context, after uint64, yield func(api.Event) bool) error {
	if f.drops--; f.drops >= 0 {
		f.down = true
		return &api.Error{Code: api.CodeUnreachable, What: "Gone."}
	}
	return f.Backend.Events(ctx, after, yield)
}

func TestMonitorOutlivesTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Backend: house(), drops: 2}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, func() {
			f.Disconnect(ctx, "office")
			synctest.Wait()
			cancel()
		})
		code, out, errOut := shell{b: f}.run(ctx, "monitor")
		if code != 0 || !strings.Contains(out, "office is disconnected") || strings.Count(errOut, "The service is back.") != 2 {
			t.Errorf("exit %d\n%s%s", code, out, errOut)
		}
	})
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	code, _, errOut := shell{b: house(), opt: func(o *Options) { o.Out = brokenWriter{} }}.run(t.Context(), "list")
	if code != ExitFailed || !strings.Contains(errOut, "could not be written") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestDemo(t *testing.T) {
	if code, _, _ := (shell{b: house()}).run(t.Context(), "demo"); code != ExitUsage {
		t.Errorf("without a demo: exit %d", code)
	}
	var got []string
	sh := shell{opt: func(o *Options) {
		o.Demo = func(_ context.Context, args []string, out io.Writer) error {
			got = args
			fmt.Fprintln(out, "shown")
			return &api.Error{Code: api.CodeNoTUN, What: "There is no TUN device."}
		}
	}}
	code, out, errOut := sh.run(t.Context(), "demo", "--keep", "x")
	if code != 1 || out != "shown\n" || !strings.Contains(errOut, "no TUN device") || fmt.Sprint(got) != "[--keep x]" {
		t.Errorf("exit %d, args %v, out %q, err %q", code, got, out, errOut)
	}
}

func TestCompletion(t *testing.T) {
	b := house()
	b.SetConnection(api.Connection{Name: "-rf\x1b", State: api.Disconnected})
	_, out, _ := shell{b: b}.run(t.Context(), "__complete", "connect", "")
	for _, want := range []string{"office\tconnected\n", "home\tdisconnected\n", ":4\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("completion lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "-rf") {
		t.Errorf("completion offers a hostile name:\n%s", out)
	}
}

func TestSocketChoice(t *testing.T) {
	for _, tt := range []struct {
		args []string
		env  string
		want string
	}{
		{[]string{"list"}, "/from/env", "/from/env"},
		{[]string{"list", "--socket", "/from/flag"}, "/from/env", "/from/flag"},
	} {
		var got string
		shell{b: house(), opt: func(o *Options) {
			o.Env = func(string) string { return tt.env }
			o.Dial = func(s string) api.Backend { got = s; return house() }
		}}.run(t.Context(), tt.args...)
		if got != tt.want {
			t.Errorf("%v with %q dials %q", tt.args, tt.env, got)
		}
	}
}

// TestOverTheSocket goes the whole road once.
func TestOverTheSocket(t *testing.T) {
	path := ipctest.Socket(t)
	b := house()
	stop := ipctest.Serve(t, path, b, server.Options{})
	sh := shell{opt: func(o *Options) { o.Dial = func(s string) api.Backend { return client.New(s) } }}
	profile := filepath.Join(t.TempDir(), "new.toml")
	if err := os.WriteFile(profile, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"import", profile}, {"connect", "new", "--wait", "5s"}, {"status", "new"}, {"show", "all"}, {"log"}, {"disconnect", "new"}, {"remove", "new"},
	} {
		if code, out, errOut := sh.run(t.Context(), append(args, "--socket", path)...); code != 0 {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errOut)
		}
	}
	if code, _, errOut := sh.run(t.Context(), "connect", "new", "--socket", path); code != ExitFailed {
		t.Errorf("a removed connection: exit %d\n%s", code, errOut)
	}
	stop()
	if code, _, errOut := sh.run(t.Context(), "list", "--socket", path); code != ExitUnreachable || !strings.Contains(errOut, "next: Start it with") {
		t.Errorf("a stopped service: exit %d\n%s", code, errOut)
	}
}
