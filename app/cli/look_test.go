package cli

import (
	"archive/zip"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// curious is a service with something to look at: messages, a plan, a test.
func curious(b *ipctest.Backend) {
	b.SetMessages([]api.Message{
		{Time: now.Add(-2 * time.Second), Connection: "office", Sent: true, Local: "192.0.2.7:500", Remote: "198.51.100.1:500", Exchange: "IKE_SA_INIT", Request: true,
			SPIi: "0011223344556677", SPIr: "0000000000000000", Size: 496, Payloads: []api.Payload{
				{Name: "SA", Size: 48, Fields: []api.Field{{Name: "proposal 1", Value: "IKE; ENCR AES_GCM_16_256; PRF PRF_HMAC_SHA2_384; KE ECP_384"}}},
				{Name: "KE", Size: 104, Fields: []api.Field{{Name: "method", Value: "ECP_384"}, {Name: "public value", Value: "96 bytes"}}},
				{Name: "Nonce", Size: 36, Fields: []api.Field{{Name: "nonce", Value: "32 bytes"}}}}},
		{Time: now.Add(-time.Second), Connection: "office", Local: "192.0.2.7:4500", Remote: "198.51.100.1:4500", Exchange: "IKE_AUTH", MessageID: 1,
			SPIi: "0011223344556677", SPIr: "8899aabbccddeeff", Size: 2160, Fragments: 2, Encrypted: true, Payloads: []api.Payload{
				{Name: "IDr", Size: 23, Fields: []api.Field{{Name: "type", Value: "ID_FQDN"}, {Name: "identity", Value: "vpn.example.com"}}},
				{Name: "N(TS_UNACCEPTABLE)", Size: 8, Fields: []api.Field{{Name: "meaning", Value: "none of the traffic selectors is acceptable"}}}}},
		{Time: now, Local: "0.0.0.0:500", Remote: "203.0.113.66:500", Exchange: "IKE_SA_INIT", Request: true, SPIi: "6666666666666666", SPIr: "0000000000000000",
			Size: 28, Problem: "malformed or unprotected"},
	})
	b.OnTest = func(_ context.Context, r api.ImportRequest) (api.TestResult, error) {
		steps := []api.TestStep{{Name: "resolve", OK: true, Text: "vpn.example.com is 198.51.100.1."}, {Name: "reach", OK: true, Text: "The gateway answers at 198.51.100.1:500."},
			{Name: "agree", OK: true, Text: "Both ends agreed on AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384."}}
		if len(r.Password) == 0 {
			p := &api.Error{Code: api.CodeAuthRefused, What: "Could not connect to \"office\".", Why: "The gateway refused our credentials.", Next: "Check the pre-shared key."}
			return api.TestResult{Steps: append(steps, api.TestStep{Name: "authenticate", Text: p.Why}), Problem: p, IKE: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"}, nil
		}
		return api.TestResult{Steps: append(steps, api.TestStep{Name: "authenticate", OK: true, Text: "The gateway proved to be vpn.example.com (PSK)."},
			api.TestStep{Name: "tunnel", OK: true, Text: "Traffic with 10.0.0.0/8 would travel through AES_GCM_16_256/ESN."}),
			IKE: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", ESP: "AES_GCM_16_256/ESN",
			Connection: &api.Connection{Name: "office", State: api.Disconnected, Since: now, PeerID: "vpn.example.com", Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.5")},
				Routes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Warnings: []string{"MODP_1024 is weak."}}}, nil
	}
}

// aPlan is what an import would make of a file.
func aPlan() []api.PlanLine {
	return []api.PlanLine{
		{Setting: "gateways", Wanted: "vpn.example.com", Becomes: "vpn.example.com"},
		{Setting: "ike.proposals", Wanted: "aes128-sha1-modp1024", Becomes: "AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024", Weak: true, Note: "SHA-1 is broken"},
		{Setting: "ike.rekey_time", Becomes: "4h"},
		{Setting: "updown", Wanted: "/usr/lib/ipsec/_up", Note: "no script is ever run"},
	}
}

func TestLookGolden(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"office.toml": "office\n", "there.zip": "old", "there.toml": "old"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	big := func(b *ipctest.Backend) {
		b.OnExport = func(context.Context, string) (api.Export, error) {
			return api.Export{Name: "office.toml", Text: []byte("# comment\n" + strings.Repeat("x", maxQR)), Missing: []string{"the private key of the certificate"}}, nil
		}
	}
	for name, tt := range map[string]struct {
		args  string
		stdin string
		b     func(*ipctest.Backend)
	}{
		"export":            {args: "export office"},
		"export_qr":         {args: "export office --qr"},
		"export_qr_large":   {args: "export office --qr", b: big},
		"export_qr_file":    {args: "export office --qr --output x.toml"},
		"export_file":       {args: "export office --output office-copy.toml"},
		"export_there":      {args: "export office --output there.toml"},
		"export_replace":    {args: "export office --output there.toml --replace --json"},
		"export_nobody":     {args: "export nobody"},
		"test":              {args: "test office.toml --password-stdin", stdin: "correct horse\n"},
		"test_fails":        {args: "test office.toml"},
		"test_fails_json":   {args: "test office.toml --json"},
		"test_nothing":      {args: "test nothing.toml"},
		"test_two":          {args: "test office.toml office.toml"},
		"exchanges":         {args: "exchanges"},
		"exchanges_details": {args: "exchanges office --details"},
		"exchanges_none":    {args: "exchanges home"},
		"exchanges_bad":     {args: "exchanges --limit 100000"},
		"traffic":           {args: "traffic --count 2"},
		"traffic_json":      {args: "traffic office --count 1 --json"},
		"traffic_none":      {args: "traffic home --count 1"},
		"traffic_nobody":    {args: "traffic nobody --count 1"},
		"diagnose_there":    {args: "diagnose there.zip"},
		"import_dry_run":    {args: "import office.toml --dry-run"},
		"diagnose_unreachable": {args: "diagnose down.zip", b: func(b *ipctest.Backend) {
			b.OnState = func(context.Context) error { return &api.Error{Code: api.CodeUnreachable, What: "It does not answer."} }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := house()
				curious(b)
				b.OnImport = func(context.Context, api.ImportRequest) (api.ImportResult, error) {
					return api.ImportResult{Format: "sallyport", Imported: []api.ImportedConnection{{Name: "office", Plan: aPlan(), Warnings: []string{"MODP_1024 is weak."}}}}, nil
				}
				if tt.b != nil {
					tt.b(b)
				}
				args := strings.Fields(tt.args)
				code, out, errOut := shell{b: b, stdin: tt.stdin}.run(t.Context(), args...)
				at := home
				t.Chdir(at)
				golden(t, "look_"+name, transcript(args, code, out, errOut))
				t.Chdir(dir)
			})
		})
	}
}

// A bundle is written for its owner alone, and holds no name unless it is told to.
func TestDiagnose(t *testing.T) {
	t.Chdir(t.TempDir())
	b := house()
	curious(b)
	for _, plain := range []bool{false, true} {
		args := []string{"diagnose"}
		if plain {
			args = append(args, "--no-redact", "plain.zip")
		}
		code, out, errOut := shell{b: b}.run(t.Context(), args...)
		if code != ExitDone || errOut != "" {
			t.Fatalf("exit %d: %s", code, errOut)
		}
		path := "sallyport-diagnostics-20260314-150926.zip"
		if plain {
			path = "plain.zip"
		}
		if !strings.Contains(out, path) {
			t.Errorf("it says %q", out)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%v, %v", st, err)
		}
		z, err := zip.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(&all, r); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
		z.Close()
		if named := strings.Contains(all.String(), "vpn.example.com"); named != plain {
			t.Errorf("plain %v, and the gateway's name in it: %v", plain, named)
		}
	}
}

// Rates count from one reading to the next, and from zero after a reconnection.
func TestRates(t *testing.T) {
	before := map[string]api.Counters{"a": {InBytes: 100, OutBytes: 50}, "b": {InBytes: 1000}}
	after := map[string]api.Counters{"a": {InBytes: 300, OutBytes: 50}, "b": {InBytes: 10}, "c": {InBytes: 7}}
	got := rates(before, after, "", 2*time.Second)
	if len(got) != 3 || got[0].In != 100 || got[0].Out != 0 || got[1].In != 0 || got[2].In != 0 || got[2].Total.InBytes != 7 {
		t.Errorf("got %+v", got)
	}
	if got := rates(before, after, "b", time.Second); len(got) != 1 || got[0].Connection != "b" {
		t.Errorf("got %+v", got)
	}
}
