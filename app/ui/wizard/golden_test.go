package wizard

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"fyne.io/fyne/v2"

	"sallyport/app/draft"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// noPicker chooses nothing.
type noPicker struct{}

func (noPicker) file(func(string))   {}
func (noPicker) folder(func(string)) {}

// drafted is a draft with certificates from the test data.
func drafted() *draft.Draft {
	d := draft.New()
	d.Name, d.Gateways = "example", []string{"vpn.example.com", "[2001:db8::1]:4500"}
	d.RemoteID = "vpn.example.com"
	cert, key, ca := draft.NewFile("alice.crt", pems()["cert"]), draft.NewFile("alice.key", pems()["sealed"]), draft.NewFile("company-ca.pem", pems()["ca"])
	d.Certificate, d.Key, d.CAs = &cert, &key, []draft.File{ca}
	d.Secret = "opensesame"
	return d
}

// on opens the wizard on one of its pages.
func on(page int, change func(*draft.Draft), then func(*flow)) func(env *kit.Env) fyne.CanvasObject {
	return func(env *kit.Env) fyne.CanvasObject {
		d := drafted()
		if change != nil {
			change(d)
		}
		f := start(env, d, noPicker{})
		f.named = true
		f.show(page)
		if then != nil {
			then(f)
		}
		return nil
	}
}

func TestPages(t *testing.T) {
	psk := func(key string) func(*draft.Draft) {
		return func(d *draft.Draft) { d.Method, d.Secret, d.Certificate, d.Key = draft.PSK, key, nil, nil }
	}
	user := func(d *draft.Draft) {
		d.Method, d.User, d.Certificate, d.Key, d.Secret = draft.User, "alice", nil, nil, ""
		d.Password = "opensesame"
	}
	typed := func(key string) func(*flow) {
		return func(f *flow) { f.pages[1].(*proofPage).secret.SetText(key) }
	}
	for _, tt := range []struct {
		name     string
		build    func(*kit.Env) fyne.CanvasObject
		variants []uitest.Variant
		size     fyne.Size
	}{
		{"gateway", func(env *kit.Env) fyne.CanvasObject { start(env, draft.New(), noPicker{}); return nil }, uitest.Everything, uitest.Window},
		{"gateway-wrong", on(0, func(d *draft.Draft) { d.Gateways = []string{"https://vpn.example.com", "vpn.example.com:0"} }, (*flow).forward), nil, uitest.Window},
		{"proof-certificate", on(1, nil, nil), uitest.Everything, uitest.Window},
		{"proof-empty", on(1, func(d *draft.Draft) { d.Certificate, d.Key = nil, nil }, (*flow).forward), nil, uitest.Small},
		{"proof-weak", on(1, psk(""), func(f *flow) { typed("Sommer2025!")(f); f.forward() }), []uitest.Variant{uitest.Light, uitest.Dark, uitest.German}, uitest.Small},
		{"proof-weak-at", on(1, psk(""), typed("Sommer2025!")), []uitest.Variant{uitest.Large}, uitest.Window},
		{"proof-strong", on(1, psk(""), typed("7Q2XK-93MZP-VV4TR-B6WNH-2KD5J")), nil, uitest.Window},
		{"proof-user", on(1, user, nil), []uitest.Variant{uitest.Light, uitest.German}, uitest.Window},
		{"proof-user-more", on(1, user, func(f *flow) {
			f.pages[1].(*proofPage).user.more.open(true)
			f.sheet.scroll.ScrollToBottom()
		}), []uitest.Variant{uitest.Light, uitest.German}, uitest.Small},
		{"proof-both", on(1, func(d *draft.Draft) { d.Method = draft.Both }, (*flow).forward), []uitest.Variant{uitest.Light}, uitest.Window},
		{"proof-card", on(1, onCard, func(f *flow) { uitest.Settle() }), []uitest.Variant{uitest.Light, uitest.Dark, uitest.German, uitest.Chinese}, uitest.Window},
		{"proof-card-absent", on(1, func(d *draft.Draft) { onCard(d); d.Token = "pkcs11:token=Bob;id=%02" }, func(f *flow) {
			uitest.Settle()
			f.sheet.scroll.ScrollToBottom()
		}), []uitest.Variant{uitest.Light}, uitest.Small},
		{"summary-card", on(5, onCard, nil), []uitest.Variant{uitest.Light}, uitest.Window},
		{"trust", on(2, nil, nil), []uitest.Variant{uitest.Light, uitest.Dark, uitest.Large}, uitest.Window},
		{"trust-system", on(2, func(d *draft.Draft) { d.SystemTrust, d.RemoteID = true, "" }, (*flow).forward), []uitest.Variant{uitest.German}, uitest.Small},
		{"traffic", on(3, func(d *draft.Draft) { d.All, d.Networks = false, []string{"10.0.0.0/8", "10.0.0.0/33"} }, func(f *flow) {
			f.pages[3].(*trafficPage).more.open(true)
			f.forward()
		}), []uitest.Variant{uitest.Light, uitest.German}, uitest.Small},
		{"profile", on(4, nil, nil), []uitest.Variant{uitest.Light, uitest.German, uitest.Large}, uitest.Window},
		{"summary", on(5, nil, nil), uitest.Everything, uitest.Window},
		{"summary-small", on(5, nil, nil), []uitest.Variant{uitest.Chinese}, uitest.Small},
		{"tested", on(5, nil, func(f *flow) { f.pages[5].(*summaryPage).try(); uitest.Settle() }), []uitest.Variant{uitest.Light, uitest.German}, uitest.Window},
	} {
		uitest.Golden(t, tested(nil), tt.name, tt.size, tt.build, tt.variants...)
	}
	problem := &api.Error{Code: api.CodeAuthRefused, What: "Could not connect to \"example\".", Why: "The gateway refused the credentials (AUTHENTICATION_FAILED).",
		Next: "Check the identity and the certificate.", Params: map[string]string{"connection": "example", "server_hint": "ipsec: no peer config found for 'alice'"}}
	uitest.Golden(t, tested(problem), "tested-failed", uitest.Small, on(5, nil, func(f *flow) { f.pages[5].(*summaryPage).try(); uitest.Settle() }),
		uitest.Light, uitest.Dark)
	busy := uitest.World(t)
	busy.OnImport = func(context.Context, api.ImportRequest) (api.ImportResult, error) {
		return api.ImportResult{}, &api.Error{Code: api.CodeProfileInvalid, What: "example.toml is not a connection.", Why: "local.id: malformed identity",
			Position: &api.Position{File: "example.toml", Line: 9, Field: "local.id"}}
	}
	uitest.Golden(t, busy, "save-failed", uitest.Small, on(5, nil, func(f *flow) { f.store(false); uitest.Settle() }), uitest.Light)
	uitest.Golden(t, busy, "leave", uitest.Small, on(1, nil, func(f *flow) { f.draft.LocalID = "x"; f.leave() }), uitest.Light)
}

// onCard is a draft whose certificate is on a card.
func onCard(d *draft.Draft) {
	d.OnToken, d.Certificate, d.Key, d.Secret = true, nil, nil, ""
}

// cards are what the service sees in the readers.
func cards() api.Tokens {
	cert := func(uri, subject string, authority bool) api.TokenCertificate {
		return api.TokenCertificate{URI: uri, Authority: authority, Certificate: api.Certificate{Subject: subject, Issuer: "CN=Example CA",
			NotBefore: uitest.Now.AddDate(-1, 0, 0), NotAfter: uitest.Now.AddDate(1, 0, 0)}}
	}
	return api.Tokens{Modules: []string{"/usr/lib/p11-kit-proxy.so"}, Tokens: []api.Token{
		{Label: "Alice (Example AG)", Certificates: []api.TokenCertificate{
			cert("pkcs11:token=Alice;id=%01", "CN=Alice Example, O=Example AG", false), cert("pkcs11:token=Alice;id=%02", "CN=alice@example.com", false),
			cert("pkcs11:token=Alice;id=%09", "CN=Example CA", true)}},
	}}
}

// tested is a world whose tests end with a problem, or without one well.
func tested(problem *api.Error) api.Backend {
	b := &ipctest.Backend{}
	b.SetTokens(cards())
	b.OnTest = func(context.Context, api.ImportRequest) (api.TestResult, error) {
		res := api.TestResult{Steps: []api.TestStep{
			{Name: "resolve", OK: true, Text: "vpn.example.com is 198.51.100.7"},
			{Name: "reach", OK: true, Text: "198.51.100.7 answers on UDP 4500; there is a NAT in between"},
			{Name: "agree", OK: true},
			{Name: "authenticate", OK: problem == nil, Text: "vpn.example.com proves itself with ECDSA P-384"},
		}, Problem: problem, IKE: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"}
		if problem == nil {
			res.Steps = append(res.Steps, api.TestStep{Name: "tunnel", OK: true})
			res.ESP = "AES_GCM_16_256/ECP_384/ESN"
			res.Connection = &api.Connection{PeerID: "vpn.example.com", Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.17")},
				DNS: []netip.Addr{netip.MustParseAddr("10.10.0.10")}, Routes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
		}
		return res, nil
	}
	return b
}

// previewed is a world in which files hold what a name beginning says.
func previewed() *ipctest.Backend {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "office", Role: "initiator", State: api.Disconnected, Profile: api.Require})
	office := api.ImportedConnection{Name: "office", Gateway: []string{"vpn.example.com"}, Auth: "certificate (RSA 3072)",
		Plan: []api.PlanLine{
			{Setting: "remote_addrs", Wanted: "vpn.example.com", Becomes: "vpn.example.com"},
			{Setting: "proposals", Wanted: "aes128-sha1-modp1024,default", Becomes: "aes128-sha1-modp1024, default", Weak: true, Note: "MODP 1024 and SHA-1 are offered since the file names them."},
			{Setting: "local.auth", Wanted: "pubkey", Becomes: "certificate"},
			{Setting: "mobike", Wanted: "no", Note: "An address change is always followed."},
			{Setting: "children.net.remote_ts", Wanted: "10.0.0.0/8", Becomes: "10.0.0.0/8"},
		},
		Warnings: []string{"IKE allows MODP_1024, which is weak."}}
	b.OnImport = func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		first := r.Files[0]
		c := office
		if c.Name = "branch"; r.Name != "" {
			c.Name = r.Name
		}
		switch {
		case strings.HasSuffix(first.Path, "broken.toml"):
			return api.ImportResult{}, &api.Error{Code: api.CodeProfileInvalid, What: "broken.toml is not a connection.", Why: "unknown field; did you mean \"gateways\"?",
				Position: &api.Position{File: "broken.toml", Line: 4, Field: "gateway"}}
		case strings.HasSuffix(first.Path, "locked.toml") && string(r.Password) != "opensesame":
			return api.ImportResult{}, &api.Error{Code: api.CodeLocalCredential, What: "locked.toml needs a secret.", Params: map[string]string{"needs": "password"}}
		case strings.HasSuffix(first.Path, "office.toml"):
			if c.Name = "office"; r.Name != "" {
				c.Name = r.Name
			}
			if c.Name == "office" && !r.Replace {
				return api.ImportResult{}, &api.Error{Code: api.CodeExists, What: "There is a connection \"office\" already."}
			}
			c.Plan, c.Warnings = nil, nil
			c.Asks = []api.PromptKind{api.PromptSecret}
		case strings.HasSuffix(first.Path, "swanctl.conf") && len(r.Asked) == 0:
			return api.ImportResult{Missing: []string{"x509/*.pem"}}, nil
		case strings.HasSuffix(first.Path, "swanctl.conf"):
			return api.ImportResult{Format: "swanctl", Imported: []api.ImportedConnection{c}, Refused: []string{"swanctl.conf:30: connections.eap.local.auth: EAP is not supported yet"}}, nil
		}
		return api.ImportResult{Format: "sallyport", Imported: []api.ImportedConnection{c}}, nil
	}
	return b
}

func TestImportPictures(t *testing.T) {
	dir := folder(t)
	open := func(names ...string) func(*kit.Env) fyne.CanvasObject {
		return func(env *kit.Env) fyne.CanvasObject {
			var paths []string
			for _, n := range names {
				paths = append(paths, dir+"/"+n)
			}
			importFiles(env, paths, noPicker{})
			uitest.Settle()
			return nil
		}
	}
	uitest.Golden(t, previewed(), "import-empty", uitest.Window, open(), uitest.Light, uitest.Large)
	uitest.Golden(t, previewed(), "import-preview", uitest.Window, open("swanctl.conf"), uitest.Everything...)
	uitest.Golden(t, previewed(), "import-preview-small", uitest.Small, open("swanctl.conf"), uitest.Light)
	uitest.Golden(t, previewed(), "import-clash", uitest.Window, open("office.toml"), uitest.Light, uitest.German)
	uitest.Golden(t, previewed(), "import-problems", uitest.Small, open("broken.toml", "locked.toml"), uitest.Light, uitest.Dark)
}

func TestHandOutPictures(t *testing.T) {
	b := func(text string, missing ...string) *ipctest.Backend {
		b := &ipctest.Backend{}
		b.SetConnection(api.Connection{Name: "office", State: api.Disconnected})
		b.OnExport = func(context.Context, string) (api.Export, error) {
			return api.Export{Name: "office.toml", Text: []byte(text), Missing: missing}, nil
		}
		return b
	}
	was := lastFolder
	lastFolder = "/home/alice/Documents"
	t.Cleanup(func() { lastFolder = was })
	small := profileText(0)
	show := func(f func(*kit.Env, string)) func(*kit.Env) fyne.CanvasObject {
		return func(env *kit.Env) fyne.CanvasObject {
			f(env, "office")
			uitest.Settle()
			return nil
		}
	}
	uitest.Golden(t, b(small, "the pre-shared key"), "export", uitest.Window, show(Export), uitest.German, uitest.Large)
	uitest.Golden(t, b(small, "the pre-shared key"), "qr", uitest.Window, show(QR), uitest.Light, uitest.Dark)
	uitest.Golden(t, b(profileText(100), "the pre-shared key"), "qr-large", uitest.Window, show(QR), uitest.Light)
}
