package profile

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
)

// summary writes what matters of a result, one line a connection.
func summary(res *Result) string {
	var b strings.Builder
	for _, x := range res.Bundles {
		c := x.Connection
		fmt.Fprintf(&b, "%s %s %v vips%v %s(%s) %s(%s)", c.Name, c.Role, c.Gateways, c.VirtualIPs, x.Auth, c.Local.ID, c.Remote.Method, c.Remote.ID)
		for _, ch := range c.Children {
			fmt.Fprintf(&b, " %s%v%v", ch.Name, ch.LocalTS, ch.RemoteTS)
		}
		fmt.Fprintf(&b, " certs%d secrets%d\n", len(c.Local.Certificates), len(x.Secrets))
	}
	return b.String()
}

func importFile(t *testing.T, name, text string, files map[string][]byte) (*Result, error) {
	t.Helper()
	return answer(t, api.ImportRequest{Files: []api.File{{Path: name, Data: []byte(text)}}}, "/etc/swanctl", files)
}

func TestSwanctlClient(t *testing.T) {
	res, err := importFile(t, "/etc/swanctl/swanctl.conf", string(readTestdata(t, "swanctl/client.conf")), pkiFixture())
	if err != nil {
		t.Fatal(err)
	}
	const net = "net[dynamic][10.10.0.0/16 fd00:10::/64]"
	const gw = "initiator [198.51.100.1] vips[0.0.0.0 ::]"
	want := strings.NewReplacer("GW", gw, "NET", net).Replace(`psk GW PSK(alice@vpn.test) psk(psk.vpn.test) NET certs0 secrets1
psk6 initiator [2001:db8:1::1] vips[0.0.0.0 ::] PSK(alice@vpn.test) psk(psk.vpn.test) NET certs0 secrets1
full GW PSK(alice@vpn.test) psk(full.vpn.test) net[dynamic][0.0.0.0/0 ::/0] certs0 secrets1
rekey GW PSK(alice@vpn.test) psk(rekey.vpn.test) NET certs0 secrets1
reauth GW PSK(alice@vpn.test) psk(reauth.vpn.test) NET certs0 secrets1
dpd GW PSK(alice@vpn.test) psk(dpd.vpn.test) NET certs0 secrets1
frag GW certificate (ECDSA P-256)() certificate(frag.vpn.test) NET certs1 secrets1
rsa GW certificate (RSA 2048)() certificate(rsa.vpn.test) NET certs1 secrets1
pss GW certificate (RSA 2048)() certificate(pss.vpn.test) NET certs1 secrets1
ecdsa GW certificate (ECDSA P-256)() certificate(ecdsa.vpn.test) NET certs1 secrets1
revoked GW certificate (ECDSA P-256)() certificate(ecdsa.vpn.test) NET certs1 secrets1
ecdsa384 GW certificate (ECDSA P-384)() certificate(ecdsa384.vpn.test) NET certs1 secrets1
ed25519 GW certificate (Ed25519)() certificate(ed25519.vpn.test) NET certs1 secrets1
inter GW certificate (ECDSA P-256)() certificate(inter.vpn.test) NET certs2 secrets1
eap GW EAP (alice@vpn.test)(alice@vpn.test) certificate(eap.vpn.test) NET certs0 secrets1
eaptls GW EAP (alice@vpn.test)(alice@vpn.test) certificate(eaptls.vpn.test) NET certs1 secrets1
`)
	if got := summary(res); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	refused := strings.Join(res.Refused, "\n")
	for _, w := range []string{
		"connections.v1-main.version: IKEv1 is not supported yet",
		"connections.v1-xauth.version: IKEv1 is not supported yet",
	} {
		if !strings.Contains(refused, w) {
			t.Errorf("refused lacks %q:\n%s", w, refused)
		}
	}
	for _, b := range res.Bundles {
		if b.Connection.Name == "dpd" {
			if b.Connection.IKE.LivenessDelay.String() != "2s" || len(b.Ignored) != 0 {
				t.Errorf("dpd: liveness delay %v, ignored %q", b.Connection.IKE.LivenessDelay, b.Ignored)
			}
		}
		if b.Connection.Name == "pss" && !slices.Equal(b.Connection.Local.Signatures, []string{"rsa-pss-sha256"}) {
			t.Errorf("pss: signatures %q", b.Connection.Local.Signatures)
		}
		if b.Connection.Local.Method == MethodPSK && string(b.Secrets[b.Connection.Local.Secret]) != "correct horse battery staple" {
			t.Errorf("%s has another secret", b.Connection.Name)
		}
		if b.Connection.Remote.Method == MethodCertificate && len(b.Connection.Remote.CAs) != 4 {
			t.Errorf("%s trusts %d authorities", b.Connection.Name, len(b.Connection.Remote.CAs))
		}
		for n, s := range b.Secrets {
			if strings.HasSuffix(n, "+key") && !strings.HasPrefix(string(s), "-----BEGIN PRIVATE KEY-----") {
				t.Errorf("%s: the key is not PKCS #8 in PEM", b.Connection.Name)
			}
		}
		if _, err := Parse("x", Marshal(&b.Connection)); err != nil {
			t.Errorf("%s does not survive its own file: %v", b.Connection.Name, err)
		}
	}
}

func TestSwanctlGateway(t *testing.T) {
	res, err := importFile(t, "/etc/swanctl/swanctl.conf", string(readTestdata(t, "swanctl/gateway.conf")), pkiFixture())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`psk responder [] vips[] PSK(psk.vpn.test) psk() NET certs0 secrets1
full responder [] vips[] PSK(full.vpn.test) psk() net[0.0.0.0/0 ::/0][dynamic] certs0 secrets1
rekey responder [] vips[] PSK(rekey.vpn.test) psk() NET certs0 secrets1
reauth responder [] vips[] PSK(reauth.vpn.test) psk() NET certs0 secrets1
dpd responder [] vips[] PSK(dpd.vpn.test) psk() NET certs0 secrets1
frag responder [] vips[] certificate (ECDSA P-256)(frag.vpn.test) certificate() NET certs1 secrets1
rsa responder [] vips[] certificate (RSA 2048)(rsa.vpn.test) certificate() NET certs1 secrets1
pss responder [] vips[] certificate (RSA 2048)(pss.vpn.test) certificate() NET certs1 secrets1
ecdsa384 responder [] vips[] certificate (ECDSA P-384)(ecdsa384.vpn.test) certificate() NET certs1 secrets1
ed25519 responder [] vips[] certificate (Ed25519)(ed25519.vpn.test) certificate() NET certs1 secrets1
inter responder [] vips[] certificate (ECDSA P-256)(inter.vpn.test) certificate() NET certs2 secrets1
`, "NET", "net[10.10.0.0/16 fd00:10::/64][dynamic]")
	if got := summary(res); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	refused := strings.Join(res.Refused, "\n")
	for _, w := range []string{"connections.ecdsa.remote.revocation: this demand is not known", "connections.eap.remote.auth: asking peers with EAP", "connections.v1-main.version"} {
		if !strings.Contains(refused, w) {
			t.Errorf("refused lacks %q:\n%s", w, refused)
		}
	}
	c := res.Bundles[2].Connection
	if c.IKE.RekeyTime.String() != "12s" || c.IKE.LifeTime.String() != "18s" || c.Children[0].RekeyTime.String() != "5s" || c.Children[0].LifeTime.String() != "9s" {
		t.Errorf("rekey: times %+v %+v", c.IKE, c.Children)
	}
	if len(c.Pools) != 2 || c.Pools[0].Addresses != "10.20.0.0/24" || c.Pools[0].DNS[0] != "10.10.0.10" || c.Pools[0].Domains[0] != "intranet.vpn.test" {
		t.Errorf("pools %+v", c.Pools)
	}
	if !strings.Contains(strings.Join(res.Bundles[0].Ignored, "\n"), "swanctl.conf:4: connections.psk.local_addrs: the service uses the addresses") {
		t.Errorf("ignored: %q", res.Bundles[0].Ignored)
	}
}

// minimal returns a road warrior's file with parts put in.
func minimal(conn, local, remote, child, rest string) string {
	return "connections {\n home {\n remote_addrs = vpn.example.com\n vips = 0.0.0.0\n" + conn +
		"\n local {\n auth = psk\n id = carol@example.com\n" + local + "\n }\n remote {\n auth = psk\n id = vpn.example.com\n" + remote +
		"\n }\n children {\n home {\n remote_ts = 10.1.0.0/16\n" + child + "\n }\n }\n }\n}\nsecrets {\n ike-1 {\n secret = 0sFpZAZqEN6Ti9sqt4ZP5EWcqx\n }\n}\n" + rest
}

func TestSwanctlSettings(t *testing.T) {
	check := func(b *Bundle, want string) bool { return strings.Contains(fmt.Sprintf("%+v", b.Connection), want) }
	for _, tt := range []struct {
		name, text string
		want       string // in the connection
		ignored    string
	}{
		{"nothing special", minimal("", "", "", "", ""), "LocalTS:[dynamic] RemoteTS:[10.1.0.0/16]", ""},
		{"port", minimal("remote_port = 4500", "", "", "", ""), "Gateways:[vpn.example.com:4500]", ""},
		{"several gateways", minimal("remote_addrs = a.example, 2001:db8::1, %any", "", "", "", ""), "Gateways:[a.example 2001:db8::1]", ""},
		{"mobike off", minimal("mobike = no", "", "", "", ""), "MOBIKE:never", ""},
		{"mobike on", minimal("mobike = yes", "", "", "", ""), "MOBIKE:allow", ""},
		{"times", minimal("rekey_time = 2h\nreauth_time = 1d\ndpd_delay = 45", "", "", "rekey_time = 30m", ""), "RekeyTime:2h LifeTime:0s ReauthTime:24h LivenessDelay:45s", ""},
		{"life without rekey", minimal("", "", "", "life_time = 66m", ""), "RekeyTime:0s LifeTime:1h6m", ""},
		{"life shorter than the usual rekey", minimal("", "", "", "life_time = 33m", ""), "RekeyTime:30m LifeTime:33m", ""},
		{"life before rekey", minimal("", "", "", "life_time = 10m\nrekey_time = 20m", ""), "RekeyTime:20m LifeTime:0s", "life_time: ends before new keys are made"},
		{"pool that begins within its prefix", minimal("remote_addrs =\nvips =\npools = p", "", "", "", "pools { p { addrs = 10.1.1.7/24 } }"), "Addresses:10.1.1.7-10.1.1.254", ""},
		{"pool of one address", minimal("remote_addrs =\nvips =\npools = p", "", "", "", "pools { p { addrs = 10.1.1.7 } }"), "Addresses:10.1.1.7-10.1.1.7", ""},
		{"inner blanks and quotes", minimal("", "id = \"C=CH, O=My  Lab\" # x", "", "", ""), "ID:C=CH, O=My  Lab", ""},
		{"rekey off", minimal("rekey_time = 0", "", "", "", ""), "", "rekey_time: new keys cannot be switched off"},
		{"bytes", minimal("", "", "", "rekey_bytes = 500m\nrekey_packets = 1000000", ""), "RekeyBytes:524288000 RekeyPackets:1000000", ""},
		{"an SA for each processor", minimal("", "", "", "per_cpu_sas = yes", ""), "PerResourceSAs:-1", ""},
		{"a port for each of these", minimal("", "", "", "per_cpu_sas = encap", ""), "PerResourceSAs:-1", "per_cpu_sas: every SA uses the same UDP port"},
		{"no such SAs", minimal("", "", "", "per_cpu_sas = no", ""), "PerResourceSAs:0", ""},
		{"unique", minimal("unique = replace", "", "", "", ""), "Unique:true", ""},
		{"updown", minimal("", "", "", "updown = /usr/lib/ipsec/_updown iptables", ""), "", "children.home.updown: no script is ever run"},
		{"start action", minimal("", "", "", "start_action = trap", ""), "", "start_action: the connection starts when it is asked to"},
		{"unknown setting", minimal("frobnicate = 7", "", "", "", ""), "", "connections.home.frobnicate: unknown setting"},
		{"unknown proposal among others", minimal("proposals = aes256-sha256-ecp256bp, aes256gcm16-prfsha384-ecp384", "", "", "", ""), "Proposals:[aes256gcm16-prfsha384-ecp384]", "connections.home.proposals: \"aes256-sha256-ecp256bp\" is not offered"},
		{"any identity", minimal("", "id = %any", "", "", ""), "Local:{Method:psk ID: ", ""},
		{"pass child", strings.Replace(minimal("", "", "", "", ""), "children {", "children {\n lan {\n mode = pass\n local_ts = 192.168.0.0/16\n }", 1), "Children:[{Name:home", "children.lan.mode: exceptions from the tunnel"},
		{"ports", minimal("", "", "", "remote_ts = 10.1.0.0/16[tcp/443], dynamic", ""), "RemoteTS:[10.1.0.0/16[tcp/443] dynamic]", ""},
		{"odd name", strings.Replace(minimal("", "", "", "", ""), " home {", " büro@home {", 1), "Name:b--ro-home", "is called"},
		{"unused mark", minimal("", "", "", "set_mark_out = 42", ""), "", "set_mark_out: belongs to the kernel's IPsec"},
		{"certificate on a token", strings.Replace(minimal("", "auth = pubkey\ncert {\n handle = 01af\n slot = 3\n module = opensc\n }", "", "", "secrets { token-1 {\n handle = 01af\n pin = 4711\n } }"), "auth = psk\n id = carol", "id = carol", 1),
			"Token:pkcs11:slot-id=3;id=%01%AF PIN:home+pin", "cert.module: which PKCS #11 modules are loaded"},
		{"token secret", minimal("", "", "", "", "secrets { token-1 { handle = 01 } }"), "", "secrets.token-1: no connection proves itself with this key"},
		{"nowhere to inherit from", strings.Replace(minimal("", "", "", "", ""), " home {", " home : nowhere {", 1), "", "there is no section \"nowhere\""},
		{"include that is not there", minimal("", "", "", "", "include other.conf"), "", "include: the file \"other.conf\" is not there"},
		{"include pattern without a match", minimal("", "", "", "", "include conf.d/*.conf"), "", ""},
	} {
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", tt.text, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		b := res.Bundles[0]
		if !check(&b, tt.want) {
			t.Errorf("%s: %+v lacks %s", tt.name, b.Connection, tt.want)
		}
		if got := strings.Join(b.Ignored, "\n"); tt.ignored == "" && got != "" || !strings.Contains(got, tt.ignored) {
			t.Errorf("%s: ignored %q; want %q", tt.name, got, tt.ignored)
		}
	}
}

func TestSwanctlRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"IKEv1", minimal("version = 1", "", "", "", ""), "swanctl.conf:5: connections.home.version: IKEv1"},
		{"EAP-AKA", minimal("", "auth = eap-aka", "", "", ""), "connections.home.local.auth: \"eap-aka\" is not supported"},
		{"EAP of peers", minimal("remote_addrs =\nvips =", "", "auth = eap-mschapv2", "", ""), "connections.home.remote.auth: asking peers with EAP is not supported yet"},
		{"EAP after a pre-shared key", strings.Replace(minimal("", "", "", "", ""), " remote {", " local-2 {\n auth = eap\n }\n remote {", 1), "local-2: a second authentication round is supported after a certificate only"},
		{"second round", strings.Replace(minimal("", "", "", "", ""), " remote {", " local-2 {\n auth = psk\n }\n remote {", 1), "local-2: a second authentication round"},
		{"AH", minimal("", "", "", "ah_proposals = sha256", ""), "children.home.ah_proposals: AH is not supported"},
		{"transport mode", minimal("", "", "", "mode = transport", ""), "only tunnel mode"},
		{"drop child", minimal("", "", "", "mode = drop", ""), "only tunnel mode"},
		{"sha256_96", minimal("", "", "", "sha256_96 = yes", ""), "cut to 96 bits"},
		{"PPK without a name", minimal("ppk_required = yes", "", "", "", ""), "needs ppk_id"},
		{"PPK that is not there", minimal("ppk_id = one", "", "", "", ""), "no ppk section"},
		{"short PPK", minimal("ppk_id = one", "", "", "", "secrets {\n ppk-1 {\n id = one\n secret = short\n }\n}\n"), "at least 16"},
		{"childless", minimal("childless = sometimes", "", "", "", ""), "none of allow"},
		{"groups", minimal("", "", "groups = staff", "", ""), "groups"},
		{"revocation", minimal("", "auth = pubkey\ncerts = a.crt", "auth = pubkey\nrevocation = ifuri", "", ""), "a.crt"},
		{"pinned certificate", minimal("", "", "certs = gw.pem", "", ""), "single certificates"},
		{"raw key", minimal("", "pubkeys = a.pub", "", "", ""), "raw public keys"},
		{"smart card", minimal("", "auth = pubkey\ncert1 {\n handle = xyz\n }", "auth = pubkey", "", ""), "cert1.handle: \"xyz\" is not a CKA_ID"},
		{"label", minimal("", "", "", "label = system_u:object_r:x", ""), "labels"},
		{"no proposal left", minimal("proposals = aes256-sha256-curve448", "", "", "", ""), "none of the proposals"},
		{"bad selector", minimal("", "", "", "remote_ts = 10.1.0.0/99", ""), "swanctl.conf:19: connections.home.children.home.remote_ts"},
		{"bad time", minimal("dpd_delay = soon", "", "", "", ""), "dpd_delay: \"soon\" is not a time"},
		{"bad vip", minimal("vips = any", "", "", "", ""), "vips: \"any\" is not an address"},
		{"bad gateway", minimal("remote_addrs = vpn example com", "", "", "", ""), "is not a gateway"},
		{"bad identity", minimal("", "id = \"\"", "id = \"C=CH, what\"", "", ""), "remote.id"},
		{"bad version", minimal("version = 3", "", "", "", ""), "no version of IKE"},
		{"no children", "connections { a { remote_addrs = b.example } }", "no child"},
		{"no connections", "connections { }", "holds no connection"},
		{"no pool", minimal("pools = nowhere", "", "", "", ""), "no pool \"nowhere\""},
		{"bad pool", minimal("pools = p", "", "", "", "pools { p { addrs = dhcp } }"), "pools.p.addrs"},
		{"bad base64", strings.Replace(minimal("", "", "", "", ""), "0sFpZ", "0s!!!", 1), "secrets.ike-1: the secret begins with 0s"},
		{"bad hex", strings.Replace(minimal("", "", "", "", ""), "0sFpZ", "0xFpZ", 1), "secrets.ike-1: the secret begins with 0x"},
		{"no secret", strings.Replace(minimal("", "", "", "", ""), "ike-1", "eap-1", 1), "there is no pre-shared key"},
		{"another's secret", strings.Replace(minimal("", "", "", "", ""), "ike-1 {", "ike-1 {\n id-1 = other.example.org", 1), "there is no pre-shared key"},
		{"syntax", "connections {\n home {\n", "swanctl.conf:2: the section that begins here has no end"},
		{"limited responder", minimal("remote_addrs = 192.0.2.0/24", "", "", "", ""), "limited to some addresses"},
	} {
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", tt.text, nil)
		if err == nil {
			t.Errorf("%s: imported %+v", tt.name, res.Bundles)
			continue
		}
		if got := messages(err); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s\nwant %s", tt.name, got, tt.want)
		}
		if strings.Contains(err.Error(), "FpZAZqEN6") {
			t.Errorf("%s: the error quotes a secret", tt.name)
		}
	}
}

func TestSwanctlRevocation(t *testing.T) {
	text := minimal("", "auth = pubkey\nid = \ncerts = alice-ecdsa.crt", "auth = pubkey\nrevocation = ifuri", "", "")
	_, err := importFile(t, "/etc/swanctl/swanctl.conf", text, pkiFixture())
	if got := messages(err); !strings.Contains(got, "remote.revocation: this demand is not known") {
		t.Errorf("got %s", got)
	}
	for demand, want := range map[string]string{"strict": RevocationStrict, "relaxed": ""} {
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", strings.Replace(text, "ifuri", demand, 1), pkiFixture())
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Bundles[0].Connection.Remote.Revocation; got != want {
			t.Errorf("%s becomes %q", demand, got)
		}
	}
}

func TestSwanctlSecrets(t *testing.T) {
	conn := func(name, local, remote string) string {
		return fmt.Sprintf("connections { %s { remote_addrs = 192.0.2.1\n local { auth = psk\n id = %s\n }\n remote { auth = psk\n id = %s\n }\n children { c { } } } }\n", name, local, remote)
	}
	secret := func(name, ids, value string) string {
		s := "secrets { ike-" + name + " { secret = \"" + value + "\"\n"
		for i, id := range strings.Fields(ids) {
			s += fmt.Sprintf("id-%d = %s\n", i, id)
		}
		return s + "} }\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"everyone's", conn("a", "me", "gw") + secret("1", "", "one secret"), "one secret"},
		{"the gateway's before everyone's", conn("a", "me", "gw") + secret("1", "", "one secret") + secret("2", "gw", "two secret"), "two secret"},
		{"the gateway's before our own", conn("a", "me", "gw") + secret("1", "me", "one secret") + secret("2", "gw", "two secret"), "two secret"},
		{"both before one", conn("a", "me", "gw") + secret("1", "gw", "one secret") + secret("2", "gw me", "two secret"), "two secret"},
		{"pattern", conn("a", "me", "gw.example.com") + secret("1", "*.example.com", "one secret") + secret("2", "", "two secret"), "one secret"},
		{"by address when the gateway's identity is open", conn("a", "me", "%any") + secret("1", "192.0.2.1", "one secret") + secret("2", "192.0.2.2", "two secret"), "one secret"},
		{"the only one when the gateway's identity is open", conn("a", "", "%any") + secret("1", "gw.example", "one secret"), "one secret"},
		{"hexadecimal", conn("a", "me", "gw") + secret("1", "", "0x6f6e6520736563726574"), "one secret"},
		{"base64", conn("a", "me", "gw") + secret("1", "", "0sb25lIHNlY3JldA=="), "one secret"},
	} {
		res, err := importFile(t, "swanctl.conf", tt.text, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		b := res.Bundles[0]
		if got := string(b.Secrets[b.Connection.Local.Secret]); got != tt.want {
			t.Errorf("%s: got %q; want %q", tt.name, got, tt.want)
		}
	}

	req := api.ImportRequest{Files: []api.File{{Path: "swanctl.conf", Data: []byte(conn("a", "me", "gw"))}}, Password: []byte("from the user")}
	res, err := Import(req)
	if err != nil || string(res.Bundles[0].Secrets["a+psk"]) != "from the user" {
		t.Errorf("password of the request: %v, error %v", res, err)
	}
	req.Name = "renamed"
	if res, err = Import(req); err != nil || res.Bundles[0].Connection.Name != "renamed" || res.Bundles[0].Secrets["renamed+psk"] == nil {
		t.Errorf("renamed: %v, error %v", res, err)
	}
}

func TestSwanctlResponderSecrets(t *testing.T) {
	text := "connections { gw { local { auth = psk\n id = gw }\n remote { auth = psk }\n children { c { } } } }\n"
	res, err := importFile(t, "swanctl.conf", text+"secrets { ike-1 { secret = abcdefgh\n id = bob } }", nil)
	if err != nil || res.Bundles[0].Connection.Remote.ID != "bob" {
		t.Errorf("a single peer's secret must bind the peer: %+v, error %v", res, err)
	}
	res, err = importFile(t, "swanctl.conf", text+"secrets { ike-1 { secret = bob-bob-bob\n id-a = gw\n id-b = bob }\n ike-2 { secret = eve-eve-eve\n id = eve@x.test } }", nil)
	if err != nil {
		t.Fatal(messages(err))
	}
	b := res.Bundles[0]
	got := ""
	for _, p := range b.Connection.Remote.Secrets {
		got += p.ID + ": " + string(b.Secrets[p.Secret]) + "; "
	}
	if want := "bob: bob-bob-bob; eve@x.test: eve-eve-eve; "; got != want || b.Connection.Local.Secret != "" || b.Connection.Remote.ID != "" {
		t.Errorf("secrets of several peers: %s, %+v", got, b.Connection)
	}
	res, err = importFile(t, "swanctl.conf", text+"secrets { ike-1 { secret = bob-bob-bob\n id = bob }\n ike-2 { secret = everybodys } }", nil)
	if err != nil {
		t.Fatal(messages(err))
	}
	b = res.Bundles[0]
	if len(b.Connection.Remote.Secrets) != 1 || string(b.Secrets[b.Connection.Local.Secret]) != "everybodys" {
		t.Errorf("a secret of a peer and everybody's: %+v", b.Connection)
	}
}

func TestSwanctlCredentialSearch(t *testing.T) {
	all := pkiFixture()
	text := minimal("", "auth = pubkey\nid = alice@vpn.test\ncerts = alice-ecdsa.crt", "auth = pubkey", "", "")
	without := func(gone ...string) map[string][]byte {
		m := maps.Clone(all)
		for _, g := range gone {
			delete(m, g)
		}
		return m
	}
	t.Run("only keys of like name travel", func(t *testing.T) {
		req := api.ImportRequest{Files: []api.File{{Path: "/etc/swanctl/swanctl.conf", Data: []byte(text)}}}
		asked := map[string]bool{}
		for range 6 {
			res, err := Import(req)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range res.Missing {
				asked[m] = true
				req.Asked = append(req.Asked, m)
			}
			for _, n := range []string{"x509/alice-ecdsa.crt", "x509ca/ca-ecdsa.crt", "private/alice-ecdsa.key"} {
				req.Files = append(req.Files, api.File{Path: n, Data: all[n]})
			}
		}
		if asked["private/*"] || !asked["private/alice-ecdsa*"] && !asked["x509ca/*"] {
			t.Errorf("asked for %v", asked)
		}
	})
	t.Run("key of another name", func(t *testing.T) {
		files := without("private/alice-ecdsa.key")
		files["ecdsa/my.pem"] = all["private/alice-ecdsa.key"]
		if _, err := importFile(t, "/etc/swanctl/swanctl.conf", text, files); err != nil {
			t.Error(err)
		}
	})
	t.Run("no key", func(t *testing.T) {
		_, err := importFile(t, "/etc/swanctl/swanctl.conf", text, without("private/alice-ecdsa.key"))
		if got := messages(err); !strings.Contains(got, "no private key in the folders private, rsa, ecdsa, pkcs8 belongs to it") {
			t.Error(got)
		}
	})
	t.Run("no certificate", func(t *testing.T) {
		_, err := importFile(t, "/etc/swanctl/swanctl.conf", text, without("x509/alice-ecdsa.crt"))
		if got := messages(err); !strings.Contains(got, "the certificate \"alice-ecdsa.crt\" is not there") {
			t.Error(got)
		}
	})
	t.Run("no authority", func(t *testing.T) {
		files := maps.Clone(all)
		maps.DeleteFunc(files, func(n string, _ []byte) bool { return strings.HasPrefix(n, "x509ca/") })
		_, err := importFile(t, "/etc/swanctl/swanctl.conf", text, files)
		if got := messages(err); !strings.Contains(got, "put its certificate into the folder x509ca") {
			t.Error(got)
		}
	})
	t.Run("named authority", func(t *testing.T) {
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", minimal("", "auth = pubkey\nid = alice@vpn.test\ncerts = alice-ecdsa.crt", "auth = pubkey\ncacerts = ca-rsa.crt", "", ""), all)
		if err != nil || len(res.Bundles[0].Connection.Remote.CAs) != 1 || !strings.HasPrefix(res.Bundles[0].Connection.Remote.CAs[0], "ca-rsa-") {
			t.Errorf("%+v, error %v", res, err)
		}
	})
	t.Run("certificate chosen by identity", func(t *testing.T) {
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", minimal("", "auth = pubkey\nid = alice-inter@vpn.test", "auth = pubkey", "", ""), all)
		if err != nil || !strings.HasPrefix(res.Bundles[0].Connection.Local.Certificates[0], "alice-inter-") {
			t.Errorf("%+v, error %v", res, err)
		}
	})
	t.Run("identity that the certificate does not hold", func(t *testing.T) {
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", minimal("", "auth = pubkey\ncerts = alice-ecdsa.crt", "auth = pubkey", "", ""), all)
		if err != nil || res.Bundles[0].Connection.Local.ID != "" || !strings.Contains(strings.Join(res.Bundles[0].Ignored, "\n"), "does not hold this identity") {
			t.Errorf("%+v, error %v", res, err)
		}
	})
	t.Run("snippet in conf.d", func(t *testing.T) {
		files := map[string][]byte{}
		for n, d := range all {
			files["../"+n] = d
		}
		res, err := answer(t, api.ImportRequest{Files: []api.File{{Path: "/etc/swanctl/conf.d/home.conf", Data: []byte(text)}}}, "/etc/swanctl/conf.d", files)
		if err != nil || len(res.Bundles) != 1 {
			t.Errorf("%+v, error %v", res, err)
		}
	})
	t.Run("included connections", func(t *testing.T) {
		files := maps.Clone(all)
		files["conf.d/home.conf"] = []byte(text)
		res, err := importFile(t, "/etc/swanctl/swanctl.conf", "# main file\ninclude conf.d/*.conf\n", files)
		if err != nil || len(res.Bundles) != 1 {
			t.Errorf("%+v, error %v", res, err)
		}
	})
}

func TestSignatures(t *testing.T) {
	for in, want := range map[string]string{
		"pubkey":                      "",
		"rsa":                         "rsa-pss-sha256 rsa-pss-sha384 rsa-pss-sha512 rsa-sha256 rsa-sha384 rsa-sha512",
		"rsa-sha256":                  "rsa-sha256",
		"rsa-2048-sha384":             "rsa-sha384",
		"rsa/pss-sha256-sha512":       "rsa-pss-sha256 rsa-pss-sha512",
		"ecdsa-256":                   "ecdsa-sha256 ecdsa-sha384 ecdsa-sha512",
		"ed25519":                     "ed25519",
		"ike:rsa-sha1":                "rsa-sha1",
		"pubkey-sha384":               "rsa-pss-sha384 rsa-sha384 ecdsa-sha384",
		"ike:ecdsa-sha256-rsa-sha256": "ecdsa-sha256 rsa-sha256",
	} {
		got, err := signatures(in)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, error %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"rsa-4096", "bliss-sha512", "ed448", "ecdsa-sha1"} {
		if got, err := signatures(in); err == nil {
			t.Errorf("%s: got %q", in, got)
		}
	}
}

func FuzzImportSwanctl(f *testing.F) {
	f.Add([]byte(minimal("", "", "", "", "")))
	f.Add([]byte("connections { a : b { pools = p } }\nb { children { c { } } local { auth = psk } remote { auth = psk } }\npools { p { addrs = 10.0.0.0/24\n dns = 10.0.0.1 } }\nsecrets { ike { secret = 0x00 } }"))
	f.Fuzz(func(t *testing.T, in []byte) {
		req := api.ImportRequest{Files: []api.File{{Path: "swanctl.conf", Data: in}}}
		for range 6 {
			res, err := Import(req)
			if err != nil {
				return
			}
			if len(res.Missing) == 0 {
				for _, b := range res.Bundles {
					if err := b.Connection.Validate(); err != nil {
						t.Fatalf("imported connection is invalid: %v", err)
					}
					for _, n := range []string{b.Connection.Local.Secret, b.Connection.Remote.Secret, b.Connection.Local.Key} {
						if n != "" && b.Secrets[n] == nil {
							t.Fatalf("secret %q is missing", n)
						}
					}
				}
				return
			}
			req.Asked = append(req.Asked, res.Missing...)
		}
		t.Fatal("the import never stops asking")
	})
}

func TestSwanctlEncryptedKey(t *testing.T) {
	files := maps.Clone(pkiFixture())
	block, _ := pem.Decode(files["private/alice-ecdsa.key"])
	//lint:ignore SA1019 files in this form are in use
	locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", block.Bytes, []byte("open sesame"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	files["private/alice-ecdsa.key"] = pem.EncodeToMemory(locked)
	conn := minimal("", "auth = pubkey\nid = alice@vpn.test\ncerts = alice-ecdsa.crt", "auth = pubkey", "", "")
	request := func(text, password string) (*Result, error) {
		return answer(t, api.ImportRequest{Files: []api.File{{Path: "/etc/swanctl/swanctl.conf", Data: []byte(text)}}, Password: []byte(password)}, "/etc/swanctl", files)
	}
	if _, err := request(conn+"secrets { private-a { file = alice-ecdsa.key\n secret = \"open sesame\" } }", ""); err != nil {
		t.Errorf("passphrase in secrets: %v", err)
	}
	if _, err := request(conn, "open sesame"); err != nil {
		t.Errorf("passphrase of the request: %v", err)
	}
	_, err = request(conn, "")
	if all := AllErrors(err); len(all) != 1 || !all[0].NeedsPassword || !strings.Contains(all[0].Msg, "is encrypted") {
		t.Errorf("without: %v", err)
	}
	_, err = request(conn, "wrong")
	if all := AllErrors(err); len(all) != 1 || all[0].NeedsPassword || !strings.Contains(all[0].Msg, "does not open the private key") {
		t.Errorf("wrong: %v", err)
	}

	_, err = importFile(t, "swanctl.conf", strings.Replace(minimal("", "", "", "", ""), "ike-1", "eap-1", 1), nil)
	if all := AllErrors(err); len(all) != 1 || !all[0].NeedsPassword {
		t.Errorf("without a pre-shared key: %v", err)
	}
}
