package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
)

// A fake answers what a bundle asks. The embedded nil is what nothing may call.
type fake struct {
	api.Backend
	err error
}

var at = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// The private things that the fake's answers are full of.
var private = []string{
	"vpn.example.com", "VPN.Example.COM", "gw.corp.internal", "198.51.100.1", "192.0.2.7", "10.20.0.5", "10.33.0.0/16", "2001:db8:77::1", "fd00:abcd::5",
	"fe80::1234", "alice@example.com", "Acme Holding", "Bob Builder", "warehouse-key", "carol", "dave", "AA:BB:CC:DD:EE:FF:00:11:22:33", "münchen.example.org",
}

func (f fake) State(context.Context) (api.State, error) {
	return api.State{Service: api.Service{Version: "1.2.3", Ports: []string{"0.0.0.0:500", "192.0.2.7:4500", "[::]:4500"}},
		Assignment: &api.Assignment{Policy: "Lab", By: "carol (uid 1000)", Since: at},
		Connections: []api.Connection{{Name: "office", Gateway: []string{"vpn.example.com", "gw.corp.internal:500", "[2001:db8:77::1]"}, State: api.Connected, Since: at,
			Path: "192.0.2.7:4500 → 198.51.100.1:4500", PeerID: "C=CH, O=Acme Holding, CN=VPN.Example.COM",
			Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.5"), netip.MustParseAddr("fd00:abcd::5")},
			Routes:    []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.33.0.0/16")},
			Problem:   &api.Error{Code: api.CodePeerIdentity, What: "no", Why: "The gateway is \"CN=Bob Builder\", not münchen.example.org.", Position: &api.Position{File: "/home/dave/office.toml"}}}},
		Prompts: []api.Prompt{{Certificate: &api.Certificate{Fingerprint: "AA:BB:CC:DD:EE:FF:00:11:22:33"}}}}, f.err
}

func (f fake) Dynamic(context.Context) (api.Dynamic, error) {
	return api.Dynamic{IKESAs: []api.IKESA{{Connection: "office", LocalID: "alice@example.com", RemoteID: "warehouse-key", Local: "192.0.2.7:4500"}},
		Drops: map[string]uint64{"esp: replay": 3}}, f.err
}

func (f fake) Security(context.Context) (api.Security, error) {
	return api.Security{Exempt: []string{"the local network 10.33.0.0/16"}, Failures: map[string]uint64{"auth_refused": 2}}, f.err
}

func (f fake) Tokens(context.Context) (api.Tokens, error) { return api.Tokens{}, nil }
func (f fake) Traffic(context.Context) (map[string]api.Counters, error) {
	return map[string]api.Counters{"office": {InBytes: 1}, "corp @ 198.51.100.1": {}}, f.err
}

func (f fake) Policies(context.Context) ([]api.Policy, error) {
	return []api.Policy{{Name: "Lab", Description: "of Acme Holding", Rules: 2}}, f.err
}

func (f fake) Log(context.Context, int) ([]api.LogEntry, error) {
	return []api.LogEntry{
		{Time: at, Level: api.LogInfo, Topic: "ike", Connection: "office", Text: "IKE SA established with warehouse-key (PSK) at [fe80::1234%eth0]:4500, 198.51.100.1:500."},
		{Time: at, Level: api.LogWarn, Topic: "config", Text: "swanctl.conf:12: connections.home.mobike: no\n10.33.0.0/16 lies behind vpn.example.com; ike.proposals: weak at 12:34:56"},
	}, f.err
}

func (f fake) Exchanges(context.Context, string, int) ([]api.Message, error) {
	return []api.Message{{Connection: "office", Local: "192.0.2.7:500", SPIi: "0011223344556677", Payloads: []api.Payload{
		{Name: "IDr", Fields: []api.Field{{Name: "identity", Value: "warehouse-key"}}},
		{Name: "CERT", Fields: []api.Field{{Name: "subject", Value: "O=Acme Holding, CN=Bob Builder"}, {Name: "key hash", Value: "0123456789abcdef0123456789abcdef01234567"}}}}}}, f.err
}

// read returns the files of a bundle.
func read(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(text)
	}
	return out
}

func write(t *testing.T, b api.Backend, o Options) map[string]string {
	t.Helper()
	o.Now = at
	var out bytes.Buffer
	if err := Write(t.Context(), &out, b, o); err != nil {
		t.Fatal(err)
	}
	return read(t, out.Bytes())
}

func TestBundleIsRedacted(t *testing.T) {
	files := write(t, fake{}, Options{Facts: []Fact{{"desktop", "GNOME"}, {"home", "/home/dave"}}})
	for name, text := range files {
		for _, p := range private {
			if strings.Contains(strings.ToLower(text), strings.ToLower(p)) {
				t.Errorf("%s tells %q:\n%s", name, p, text)
			}
		}
	}
	for name, wants := range map[string][]string{
		"README.txt":     {"pseudonyms", "exchanges.json"},
		"version.json":   {`"desktop"`, `"GNOME"`, `"program"`, `"os"`},
		"status.json":    {`"office"`, `"peer_identity"`, `0.0.0.0/0`, `"Lab"`, `(uid 1000)`, `0.0.0.0:500`, `[::]:4500`, `/home/user-`, `office.toml`, `"2026-03-14T15:09:26Z"`},
		"dynamic.json":   {`"esp: replay": 3`},
		"security.json":  {`"auth_refused": 2`},
		"traffic.json":   {`"in_bytes": 1`},
		"policies.json":  {`"rules": 2`},
		"log.txt":        {"2026-03-14T15:09:26.000Z", "IKE SA established with id-", "swanctl.conf:12: connections.home.mobike", "ike.proposals", "12:34:56", `"office":`},
		"exchanges.json": {"0011223344556677", "key hash", "0123456789abcdef"},
	} {
		for _, w := range wants {
			if !strings.Contains(files[name], w) {
				t.Errorf("%s lacks %q:\n%s", name, w, files[name])
			}
		}
	}
	if n := strings.Count(files["log.txt"], "\n"); n != 2 {
		t.Errorf("the log has %d lines:\n%s", n, files["log.txt"])
	}
	// The same value has the same pseudonym everywhere.
	find := func(name, pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(files[name])
		if m == nil {
			t.Errorf("%s has no %s:\n%s", name, pattern, files[name])
			return ""
		}
		return m[1]
	}
	if a, b := find("dynamic.json", `"remote_id": "([^"]+)"`), find("log.txt", `established with (\S+)`); a != b {
		t.Errorf("an identity is %s and %s", a, b)
	}
	if a, b := find("status.json", `"path": "([^:]+):4500`), find("dynamic.json", `"local": "([^:]+):4500`); a != b {
		t.Errorf("an address is %s and %s", a, b)
	}
	if a, b := find("status.json", `→ ([^:]+):4500`), find("log.txt", `, (\S+):500\.`); a != b {
		t.Errorf("an address is %s and %s", a, b)
	}
}

func TestBundleIsPlain(t *testing.T) {
	files := write(t, fake{}, Options{Plain: true})
	all := ""
	for _, text := range files {
		all += text
	}
	for _, want := range []string{"vpn.example.com", "198.51.100.1", "warehouse-key", "as they are"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the bundle", want)
		}
	}
}

// A bundle of a service that is down says why, and one of a writer that fails
// fails.
func TestBundleOfFailures(t *testing.T) {
	files := write(t, fake{err: &api.Error{Code: api.CodeUnreachable, What: "It does not answer."}}, Options{})
	for name, text := range files {
		if strings.HasSuffix(name, ".json") && !strings.Contains(text, `"unreachable"`) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if err := Write(t.Context(), full{}, fake{}, Options{}); !errors.Is(err, errFull) {
		t.Errorf("to a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, io.Discard, fake{}, Options{}); api.AsError(err) == nil || api.AsError(err).Code != api.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"nothing to hide":                    "nothing to hide",
		"127.0.0.1 and ::1":                  "127.0.0.1 and ::1",
		"10.0.0.0/8, 192.168.0.0/16":         "10.0.0.0/8, 192.168.0.0/16",
		"10.1.0.0/16":                        "ip4-private-1/16",
		"[2001:db8::1]:500 2001:db8::1":      "[ip6-public-1]:500 ip6-public-1",
		"2001:db8::1, then.":                 "ip6-public-1, then.",
		"fe80::1%eth0":                       "ip6-link-1",
		"AES_GCM_16_256/PRF_HMAC_SHA2_384":   "AES_GCM_16_256/PRF_HMAC_SHA2_384",
		"see conf.d/office.conf":             "see conf.d/office.conf",
		"a.example.com A.EXAMPLE.COM":        "host-1 host-1",
		"mallory (uid 7), root (uid 0)":      "user-1 (uid 7), root (uid 0)",
		`"C=CH, O=\"X, Y\", CN=z"`:           `"C=name-1, O=\"X, Y\", CN=name-2"`,
		"1.2.3 and 1.2.3.4":                  "1.2.3 and ip4-public-1",
		"c0ffee01 0011223344556677":          "c0ffee01 0011223344556677",
		"at 15:09:26":                        "at 15:09:26",
		`C:\Users\eve\x and /Users/eve/y`:    `C:\Users\user-1\x and /Users/user-1/y`,
		"local.example.com: local.id: wrong": "host-1: local.id: wrong",
	} {
		if got := newRedactor().text(in); got != want && !strings.Contains(in, `\"`) {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Whatever stands around an address, it is hidden.
func FuzzText(f *testing.F) {
	for _, p := range private {
		f.Add("x", p, "y")
	}
	f.Add("(", "192.0.2.1", ":500)")
	f.Fuzz(func(t *testing.T, before, secret, after string) {
		a, err := netip.ParseAddr(secret)
		if err != nil || a.Zone() != "" || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Is4() && strings.HasPrefix(a.String(), "255.") {
			return
		}
		s := " " + a.String() + " "
		if got := newRedactor().text(before + s + after); strings.Contains(got, s) {
			t.Errorf("%q is told in %q", s, got)
		}
	})
}
