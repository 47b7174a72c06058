package cli

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

var manual = filepath.Join("..", "..", "docs", "cli.md")

func readManual(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// verbs returns every command that does something, by its path.
func verbs() map[string]*cobra.Command {
	c := &command{Options: Options{Env: func(string) string { return "" }, Demo: func(context.Context, []string, io.Writer) error { return nil }}}
	all := map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() {
			all[cmd.CommandPath()] = cmd
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(c.root())
	return all
}

// TestManualIsComplete looks for every verb with its arguments, and for each of
// its flags, in the manual, and for verbs there that do not exist.
func TestManualIsComplete(t *testing.T) {
	sections := map[string]string{} // by the command's path
	for _, s := range strings.Split(readManual(t), "\n### ")[1:] {
		head, body, _ := strings.Cut(s, "\n")
		use := strings.Trim(head, "`")
		cmd, _, err := verbRoot().Find(strings.Fields(use)[1:])
		if err != nil || cmd.UseLine() != use && cmd.CommandPath()+strings.TrimPrefix(cmd.Use, cmd.Name()) != use {
			t.Errorf("the manual has %q, the program %q (%v)", use, cmd.UseLine(), err)
			continue
		}
		body, _, _ = strings.Cut(body, "\n## ")
		sections[cmd.CommandPath()] = body
	}
	for path, cmd := range verbs() {
		body, ok := sections[path]
		if !ok {
			t.Errorf("the manual lacks a section on `%s`", path)
			continue
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(body, "`--"+f.Name) {
				t.Errorf("the manual on `%s` lacks its flag --%s", path, f.Name)
			}
		})
		if path != "sallyport demo" && (!strings.Contains(body, "\n$ "+path) || !strings.Contains(body, "--json")) {
			t.Errorf("the manual on `%s` lacks an example, or one with --json", path)
		}
	}
}

func verbRoot() *cobra.Command {
	for _, cmd := range verbs() {
		return cmd.Root()
	}
	return nil
}

// TestManualNamesTheCodes looks for every error code, and each exit code.
func TestManualNamesTheCodes(t *testing.T) {
	text := readManual(t)
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "core", "api", "error.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "ErrorCode" {
			return true
		}
		code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes++
		if row := fmt.Sprintf("| `%s` | %d |", code, exitCode(api.ErrorCode(code))); !strings.Contains(text, row) {
			t.Errorf("the manual lacks the row %q", row)
		}
		return true
	})
	if codes < 30 {
		t.Errorf("only %d codes were found", codes)
	}
	for _, code := range []int{ExitDone, ExitFailed, ExitUsage, ExitUnreachable, ExitNotAllowed} {
		if !strings.Contains(text, fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("the manual lacks the exit code %d", code)
		}
	}
}

var example = regexp.MustCompile("(?s)```console\n\\$ (sallyport [^\n]*)\n(.*?)```\n")

// TestManualIsTrue runs every example of the manual; with -update it writes
// what they really show. Together they reach all that a service can do.
func TestManualIsTrue(t *testing.T) {
	text := readManual(t)
	dir := t.TempDir()
	for name, data := range map[string]string{"office.toml": "office\n", "lab.toml": "lab\n[[rule]]\n[[rule]]\n", "capture.pcap": "packets"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	seen := map[string]bool{}
	examples := 0
	updated := example.ReplaceAllStringFunc(text, func(block string) string {
		m := example.FindStringSubmatch(block)
		args := words(t, m[1])[1:]
		got := runExample(t, seen, args)
		examples++
		if got != m[2] && !*update {
			t.Errorf("$ %s\nshows\n%s\nthe manual says\n%s", m[1], got, m[2])
		}
		return "```console\n$ " + m[1] + "\n" + got + "```\n"
	})
	t.Chdir(home)
	if *update && updated != text {
		if err := os.WriteFile(manual, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if examples < 40 {
		t.Errorf("only %d examples were found", examples)
	}
	for m := range reflect.TypeFor[api.Backend]().Methods() {
		if !seen[m.Name] {
			t.Errorf("no example of the manual makes the service do %s", m.Name)
		}
	}
}

// runExample runs one command line on a house of its own, where something
// happens while it is followed.
func runExample(t *testing.T, seen map[string]bool, args []string) string {
	var code int
	var out, errOut string
	synctest.Test(t, func(t *testing.T) {
		b := anxious()
		curious(b)
		b.OnImport = func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
			c := api.ImportedConnection{Name: "office", Gateway: []string{"vpn.example.com"}, Auth: "PSK", Warnings: []string{"MODP_1024 is weak."}}
			if r.DryRun {
				c.Plan = aPlan()
			}
			return api.ImportResult{Format: "sallyport", Imported: []api.ImportedConnection{c}}, nil
		}
		b.OnConnect = func(_ context.Context, r api.ConnectRequest) error {
			if r.Name != "lab" {
				b.SetConnection(api.Connection{Name: r.Name, Profile: api.Require, Role: "initiator", State: api.Connected, Since: now, Protection: api.Protected,
					Path: "192.0.2.7:4500 → 198.51.100.1:4500", PeerID: "vpn.example.com"})
				return nil
			}
			return &api.Error{Code: api.CodeGatewaySilent, What: "Could not connect to \"lab\".", Why: "The gateway does not answer."}
		}
		for _, name := range []string{"door", "far", "vault"} {
			b.Remove(t.Context(), name)
		}
		b.SetTokens(aToken())
		if args[0] == "prompts" || args[0] == "answer" {
			b.Ask(api.Prompt{ID: "5b1f0d6c", Kind: api.PromptSecret, Connection: "office", Attempt: 1, Asked: now, Until: now.Add(2 * time.Minute)})
			b.Ask(api.Prompt{ID: "c4027a9e", Kind: api.PromptServer, Connection: "lab", Attempt: 1, Asked: now, Until: now.Add(2 * time.Minute),
				Certificate: &api.Certificate{Subject: "CN=lab.example.com", Issuer: "CN=Lab CA", Names: []string{"lab.example.com"}, NotBefore: now.Add(-time.Hour),
					NotAfter: now.Add(720 * time.Hour), Fingerprint: "6E:1B:0C:5D:44:93:A7:F2:6E:1B:0C:5D:44:93:A7:F2:6E:1B:0C:5D:44:93:A7:F2:6E:1B:0C:5D:44:93:A7:F2"}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if args[0] == "monitor" || slices.Contains(args, "-f") {
			go func() {
				synctest.Wait()
				b.FallBack("home", 5*time.Minute)
				b.SetAssignment(&api.Assignment{Policy: "Client (respond only)", By: "root (uid 0)", Since: now})
				b.Write(api.LogEntry{Time: now, Level: api.LogInfo, Topic: "ike", Connection: "home", Text: "established"})
				synctest.Wait()
				cancel()
			}()
		}
		code, out, errOut = shell{b: &witness{Backend: b, seen: seen}, stdin: "correct horse\n"}.run(ctx, args...)
	})
	if code != 0 {
		errOut += fmt.Sprintf("[exit %d]\n", code)
	}
	return out + errOut
}

// aToken is a token with a user's certificate.
func aToken() api.Tokens {
	return api.Tokens{Modules: []string{"/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so"}, Tokens: []api.Token{{
		Label: "Alice", Manufacturer: "piv_II", Model: "PKCS#15 emulated", Serial: "00c0ffee", Reader: "Example Reader 00 00", PIN: api.TriesLow,
		Module: "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so",
		Certificates: []api.TokenCertificate{{URI: "pkcs11:token=Alice;serial=00c0ffee;id=%01", Label: "Certificate for PIV Authentication",
			Certificate: api.Certificate{Subject: "CN=alice, O=Example", Issuer: "CN=Example CA", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(720 * time.Hour), Fingerprint: "6E:1B"}}},
	}}}
}

// words splits a line as a shell does with plain words and double quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// A witness notes which methods of a service were called.
type witness struct {
	*ipctest.Backend
	mu   sync.Mutex // guards seen
	seen map[string]bool
}

func (w *witness) note(method string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[method] = true
}

func (w *witness) Answer(ctx context.Context, a api.Answer) error {
	w.note("Answer")
	return w.Backend.Answer(ctx, a)
}

func (w *witness) SetProfile(ctx context.Context, name string, p api.Profile) error {
	w.note("SetProfile")
	return w.Backend.SetProfile(ctx, name, p)
}

func (w *witness) State(ctx context.Context) (api.State, error) {
	w.note("State")
	return w.Backend.State(ctx)
}

func (w *witness) Dynamic(ctx context.Context) (api.Dynamic, error) {
	w.note("Dynamic")
	return w.Backend.Dynamic(ctx)
}

func (w *witness) Log(ctx context.Context, limit int) ([]api.LogEntry, error) {
	w.note("Log")
	return w.Backend.Log(ctx, limit)
}

func (w *witness) Events(ctx context.Context, after uint64, yield func(api.Event) bool) error {
	w.note("Events")
	return w.Backend.Events(ctx, after, yield)
}

func (w *witness) Import(ctx context.Context, r api.ImportRequest) (api.ImportResult, error) {
	w.note("Import")
	return w.Backend.Import(ctx, r)
}

func (w *witness) Remove(ctx context.Context, name string) error {
	w.note("Remove")
	return w.Backend.Remove(ctx, name)
}

func (w *witness) Connect(ctx context.Context, r api.ConnectRequest) error {
	w.note("Connect")
	return w.Backend.Connect(ctx, r)
}

func (w *witness) Disconnect(ctx context.Context, name string) error {
	w.note("Disconnect")
	return w.Backend.Disconnect(ctx, name)
}

func (w *witness) Security(ctx context.Context) (api.Security, error) {
	w.note("Security")
	return w.Backend.Security(ctx)
}

func (w *witness) Policies(ctx context.Context) ([]api.Policy, error) {
	w.note("Policies")
	return w.Backend.Policies(ctx)
}

func (w *witness) Policy(ctx context.Context, name string) (api.PolicyFile, error) {
	w.note("Policy")
	return w.Backend.Policy(ctx, name)
}

func (w *witness) StorePolicy(ctx context.Context, f api.PolicyFile) (api.Policy, error) {
	w.note("StorePolicy")
	return w.Backend.StorePolicy(ctx, f)
}

func (w *witness) RemovePolicy(ctx context.Context, name string) error {
	w.note("RemovePolicy")
	return w.Backend.RemovePolicy(ctx, name)
}

func (w *witness) DiffPolicies(ctx context.Context, a, b string) ([]string, error) {
	w.note("DiffPolicies")
	return w.Backend.DiffPolicies(ctx, a, b)
}

func (w *witness) Assign(ctx context.Context, name string, dryRun bool) (api.AssignResult, error) {
	w.note("Assign")
	return w.Backend.Assign(ctx, name, dryRun)
}

func (w *witness) Unassign(ctx context.Context) error {
	w.note("Unassign")
	return w.Backend.Unassign(ctx)
}

func (w *witness) ExplainFlow(ctx context.Context, flow string) (api.FlowAnswer, error) {
	w.note("ExplainFlow")
	return w.Backend.ExplainFlow(ctx, flow)
}

func (w *witness) Simulate(ctx context.Context, r api.SimulateRequest) (api.Simulation, error) {
	w.note("Simulate")
	return w.Backend.Simulate(ctx, r)
}

func (w *witness) AllowClear(ctx context.Context, name string, d time.Duration) error {
	w.note("AllowClear")
	return w.Backend.AllowClear(ctx, name, d)
}

func (w *witness) Memories(ctx context.Context) ([]api.Memory, error) {
	w.note("Memories")
	return w.Backend.Memories(ctx)
}

func (w *witness) Pin(ctx context.Context, m api.Memory) error {
	w.note("Pin")
	return w.Backend.Pin(ctx, m)
}

func (w *witness) Forget(ctx context.Context, m api.Memory) error {
	w.note("Forget")
	return w.Backend.Forget(ctx, m)
}

func (w *witness) Export(ctx context.Context, name string) (api.Export, error) {
	w.note("Export")
	return w.Backend.Export(ctx, name)
}

func (w *witness) Test(ctx context.Context, r api.ImportRequest) (api.TestResult, error) {
	w.note("Test")
	return w.Backend.Test(ctx, r)
}

func (w *witness) Tokens(ctx context.Context) (api.Tokens, error) {
	w.note("Tokens")
	return w.Backend.Tokens(ctx)
}

func (w *witness) Traffic(ctx context.Context) (map[string]api.Counters, error) {
	w.note("Traffic")
	return w.Backend.Traffic(ctx)
}

func (w *witness) Exchanges(ctx context.Context, name string, limit int) ([]api.Message, error) {
	w.note("Exchanges")
	return w.Backend.Exchanges(ctx, name, limit)
}
