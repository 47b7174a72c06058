package profile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"sallyport/core/ts"
)

var update = flag.Bool("update", false, "write the published schema")

const pskProfile = `version = 1
name = "home"
gateways = ["vpn.example.com"]
virtual_ips = ["0.0.0.0"]

[local]
method = "psk"
id = "alice@example.com"
secret = "home+psk"

[remote]
method = "psk"
id = "vpn.example.com"

[[children]]
name = "net"
remote_ts = ["10.0.0.0/8"]
`

// edit replaces one part of pskProfile, which must occur once.
func edit(t *testing.T, old, new string) string {
	t.Helper()
	if strings.Count(pskProfile, old) != 1 {
		t.Fatalf("%q occurs not once", old)
	}
	return strings.Replace(pskProfile, old, new, 1)
}

func TestParse(t *testing.T) {
	c, err := Parse("home.toml", []byte(pskProfile))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "home" || c.Gateways[0] != "vpn.example.com" || c.Local.Secret != "home+psk" || c.Children[0].RemoteTS[0] != "10.0.0.0/8" {
		t.Errorf("got %+v", c)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"syntax", edit(t, `method = "psk"
id = "alice@example.com"`, `method = "psk
id = "alice@example.com"`), "home.toml:7: "},
		{"double key", edit(t, "version = 1", "version = 1\nversion = 1"), "home.toml:2: "},
		{"no version", edit(t, "version = 1", ""), "home.toml:1: version: is missing"},
		{"future version", edit(t, "version = 1", "version = 2"), "home.toml:1: version: is 2, but"},
		{"unknown field", edit(t, "gateways", "gateway"), `home.toml:3: gateway: unknown field; did you mean "gateways"?`},
		{"unknown field without a neighbour", edit(t, "gateways", "colour = 1\ngateways"), "home.toml:3: colour: unknown field; known here: version, name"},
		{"unknown nested field", edit(t, "remote_ts", "remot_ts"), `home.toml:17: children[0].remot_ts: unknown field; did you mean "remote_ts"?`},
		{"unknown table", pskProfile + "[ikee]\nunique = true\n", `home.toml:18: ikee: unknown field; did you mean "ike"?`},
		{"string for list", edit(t, `["vpn.example.com"]`, `"vpn.example.com"`), "home.toml:3: gateways: is a string, but a list is wanted"},
		{"number for string", edit(t, `"home"`, "7"), "home.toml:2: name: is a number, but a string in quotes is wanted"},
		{"table for list of tables", edit(t, "[[children]]", "[children]"), "children: is a table, but a list of tables is wanted, each begun by \"[[children]]\""},
		{"number for duration", pskProfile + "[ike]\nrekey_time = 3600\n", "home.toml:19: ike.rekey_time: is a number, but a duration in quotes"},
		{"bad duration", pskProfile + "[ike]\nrekey_time = \"soon\"\n", `ike.rekey_time: "soon" is not a duration`},
		{"short duration", pskProfile + "[ike]\nrekey_time = \"10ms\"\n", "ike.rekey_time: 10ms is out of range (1s to 720h)"},
		{"life before rekey", pskProfile + "[ike]\nlife_time = \"1h\"\n", "ike.life_time: 1h ends before the rekeying after 4h"},
		{"name with slash", edit(t, `"home"`, `"../home"`), `home.toml:2: name: "../home" holds '/'`},
		{"device name", edit(t, `"home"`, `"com1.x"`), "is a device on Windows"},
		{"hidden file", edit(t, `"home"`, `".home"`), "must begin with a letter or digit"},
		{"role", edit(t, "version = 1", "version = 1\nrole = \"client\""), `home.toml:2: role: "client" is not one of "initiator", "responder"`},
		{"profile", edit(t, "version = 1", "version = 1\nprofile = \"requires\""), `did you mean "require"?`},
		{"no gateway", edit(t, `gateways = ["vpn.example.com"]`, ""), "gateways: is missing"},
		{"gateway with path", edit(t, `["vpn.example.com"]`, `["vpn.example.com", "https://x/"]`), "home.toml:3: gateways[1]: "},
		{"virtual address", edit(t, `["0.0.0.0"]`, `["any"]`), `home.toml:4: virtual_ips[0]: "any" is not an address`},
		{"method", edit(t, `method = "psk"
id = "alice`, `method = "xauth"
id = "alice`), `home.toml:7: local.method: "xauth" is not one of`},
		{"EAP without a user", edit(t, `method = "psk"
id = "alice`, `method = "eap"
id = "alice`), `local.user: is missing`},
		{"no secret", edit(t, `secret = "home+psk"`, ""), "home.toml:6: local.secret: is missing"},
		{"secret with path", edit(t, `"home+psk"`, `"../other"`), "home.toml:9: local.secret: "},
		{"own identity a pattern", edit(t, "alice@example.com", "*@example.com"), "local.id: the own identity cannot be a pattern"},
		{"bad proposal", edit(t, "remote_ts", "proposals = [\"aes256gcm16\",\n \"rot13\"]\nremote_ts"), "home.toml:18: children[0].proposals[1]: "},
		{"bad selector", edit(t, `["10.0.0.0/8"]`, "[\n\"10.0.0.0/8\",\n\"10.0.0.0/99\"\n]"), "home.toml:19: children[0].remote_ts[1]: "},
		{"bad dynamic selector", edit(t, `"10.0.0.0/8"`, `"dynamic/24"`), `after "dynamic" only [protocol/port] may follow`},
		{"children of one name", pskProfile + "[[children]]\nname = \"net\"\n", `home.toml:19: children[1].name: "net" is there twice`},
		{"no child", strings.Split(pskProfile, "[[children]]")[0], "children: is missing"},
		{"pools of an initiator", pskProfile + "[[pools]]\nname = \"p\"\naddresses = \"10.0.0.0/24\"\n", "home.toml:18: pools: only a responder"},
		{"rekey bytes", pskProfile + "rekey_bytes = 10\n", "children[0].rekey_bytes: is less than 64 KiB"},
		{"negative number", pskProfile + "rekey_bytes = -1\n", "is not a number from 0 up"},
		{"certificate without key", edit(t, `method = "psk"
id = "alice@example.com"
secret = "home+psk"`, `method = "certificate"
certificates = ["a.pem"]`), "local.key: is missing"},
		{"remote without CA", edit(t, `method = "psk"
id = "vpn.example.com"`, `method = "certificate"`), "remote.cas: is missing"},
		{"pattern without CA", edit(t, `method = "psk"
id = "vpn.example.com"`, "method = \"certificate\"\nid = \"*.example.com\""), "remote.cas: is missing"},
		{"anyone without CA", edit(t, `method = "psk"
id = "vpn.example.com"`, "method = \"certificate\"\nid = \"%any\""), "remote.cas: is missing"},
		{"asked and stored", edit(t, `secret = "home+psk"`, "secret = \"home+psk\"\nask = true"), "local.ask: contradicts secret"},
		{"asked of the remote", edit(t, `id = "vpn.example.com"`, `ask = true`), "remote.ask: belongs to [local]"},
		{"asking responder", strings.Replace(edit(t, `secret = "home+psk"`, "ask = true"), `gateways = ["vpn.example.com"]`, `role = "responder"`, 1), "local.ask: is for an initiator"},
		{"dns contradiction", pskProfile + "[dns]\nignore = true\nservers = [\"10.0.0.1\"]\n", "dns.ignore: contradicts"},
		{"too large", pskProfile + "# " + strings.Repeat("x", maxProfile), "bytes are too many"},
	} {
		_, err := Parse("home.toml", []byte(tt.text))
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		} else if got := messages(err); !strings.Contains(got, tt.want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestParseReportsEveryFault(t *testing.T) {
	_, err := Parse("x", []byte("version = 1\nname = 5\ngateway = []\n[local]\nmethod = 3\n"))
	if got := len(AllErrors(err)); got != 3 {
		t.Errorf("%d faults are told: %v", got, err)
	}
	_, err = Parse("x", []byte("version = 1\nname = \"a\"\ngateways = [\"/\"]\n"))
	if got := len(AllErrors(err)); got != 4 {
		t.Errorf("%d faults are told: %v", got, err)
	}
}

// full has a value in every field that can go together; fullResponder has the
// rest.
func full() *Connection {
	d := func(v time.Duration) Duration { return Duration{Duration: v} }
	return &Connection{
		Version: 1, Name: "full", Role: Initiator, Profile: "request",
		Gateways: []string{"a.example", "192.0.2.1:4500", "[2001:db8::1]:4500"}, Transport: TransportTCP, TCPPorts: []string{"4500", "443/tls"}, TLSName: "www.vpn.example.com", VirtualIPs: []string{"0.0.0.0", "::"},
		Local: Auth{Method: MethodCertificate, ID: `C=CH, O="Bü\ro", CN=a`, Certificates: []string{"a.pem", "i.pem"}, Key: "full+key", Ask: true, Signatures: []string{"ed25519"},
			Prefer: 2, More: []Own{{ID: "b.example", Certificates: []string{"b.pem"}, Key: "full+key-2"}}},
		Remote: Auth{Method: MethodPSK, ID: "*.example", Secret: "full+remote-psk"},
		IKE: IKE{Proposals: []string{"aes256gcm16-prfsha384-ecp384"}, RekeyTime: d(time.Hour), LifeTime: d(2 * time.Hour), ReauthTime: d(90 * time.Minute),
			LivenessDelay: d(10 * time.Second), RetransmitTimeout: d(1500 * time.Millisecond), RetransmitTries: 3, Unique: true, NoResume: true,
			Quantum: QuantumPrefer, PPKs: []PPK{{ID: "one", Secret: "full+ppk-1"}}, PPKRequired: true, Childless: true, MOBIKE: MOBIKENever},
		Children: []Child{
			{Name: "one", LocalTS: []string{"dynamic"}, RemoteTS: []string{"10.0.0.0/8[tcp/443]", "fd00::/8"}, Proposals: []string{"aes128gcm16-x25519", "default"},
				RekeyTime: d(time.Minute), LifeTime: d(2 * time.Minute), RekeyBytes: 1 << 30, RekeyPackets: 1 << 20, PerResourceSAs: 4},
			{Name: "two", PerResourceSAs: OnePerProcessor},
		},
		DNS: DNS{Servers: []string{"10.0.0.1"}, Only: []string{"example.com"}},
	}
}

func fullResponder() *Connection {
	return &Connection{
		Version: 1, Name: "gw", Role: Responder,
		Local:    Auth{Method: MethodPSK, Secret: "gw+psk"},
		IKE:      IKE{CheckPath: true, Redirect: "gw2.example.com"},
		Remote:   Auth{Method: MethodCertificate, CAs: []string{"ca.pem"}},
		Children: []Child{{Name: "net", LocalTS: []string{"10.0.0.0/8"}}},
		Pools:    []Pool{{Name: "v4", Addresses: "10.20.0.10-10.20.0.99", DNS: []string{"10.0.0.1"}, Domains: []string{"example.com"}}, {Name: "v6", Addresses: "fd00::/120"}},
	}
}

func fullUsers() []*Connection {
	asks := fullResponder()
	asks.Local = Auth{Method: MethodCertificate, Certificates: []string{"a.pem"}, Key: "gw+key"}
	asks.Remote = Auth{Method: MethodEAP, Users: "gw+users", CAs: []string{"ca.pem"}, EAP: EAP{Methods: []string{"mschapv2", "tls"}}}
	asks.Pools[0].Groups = []string{"staff"}
	relays := fullResponder()
	relays.Local = asks.Local
	relays.Remote = Auth{Method: MethodEAP, RADIUS: RADIUS{Servers: []string{"192.0.2.5", "[2001:db8::5]:1812"}, Secret: "gw+radius", NAS: "gw"}}
	peers := fullResponder()
	peers.Local.Secret = ""
	peers.Remote = Auth{Method: MethodPSK, WeakSecret: true, Secrets: []PSK{{ID: "alice@example.com", Secret: "gw+peer-psk-1"}, {ID: "*.example.com", Secret: "gw+peer-psk-2"}}}
	twice := fullResponder()
	twice.Local = asks.Local
	twice.Remote = Auth{Method: MethodCertificate, Users: "gw+users", CAs: []string{"ca.pem"}}
	token := fullUser()
	token.Local = Auth{Method: MethodCertificate, Token: "pkcs11:token=Alice;id=%01", PIN: "user+pin"}
	return []*Connection{fullUser(), asks, relays, peers, twice, token}
}

func fullUser() *Connection {
	return &Connection{
		Version: 1, Name: "user", Role: Initiator, Gateways: []string{"vpn.example.com"},
		Local: Auth{Method: MethodEAP, ID: "alice@example.com", User: "alice", Secret: "user+password",
			EAP: EAP{Methods: []string{"ttls", "mschapv2"}, Inner: []string{"gtc"}, Anonymous: "nobody", Server: "radius.example.com", Only: true}},
		Remote:   Auth{Method: MethodCertificate, ID: "vpn.example.com", CAs: []string{"ca.pem"}, Revocation: RevocationSoft, RevocationPrivate: true, WeakCertificates: true},
		Children: []Child{{Name: "net"}},
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	ignoring := full()
	ignoring.DNS = DNS{Ignore: true}
	for _, c := range append(fullUsers(), full(), fullResponder(), ignoring) {
		text := Marshal(c)
		got, err := Parse("x", text)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		} else if !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v\nwant %+v\n%s", got, c, text)
		}
		if again := Marshal(got); !bytes.Equal(again, text) {
			t.Errorf("written differently:\n%s\n%s", text, again)
		}
	}
}

// TestEveryFieldIsWritten makes sure that a new field is in the round trip.
func TestEveryFieldIsWritten(t *testing.T) {
	seen := map[string]bool{}
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Field(i)
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
			if f.IsZero() {
				continue
			}
			seen[v.Type().Name()+"."+name] = true
			switch {
			case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[Duration]():
				visit(f)
			case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
				for j := range f.Len() {
					visit(f.Index(j))
				}
			}
		}
	}
	ignoring := full()
	ignoring.DNS = DNS{Ignore: true}
	for _, c := range append(fullUsers(), full(), fullResponder(), ignoring) {
		visit(reflect.ValueOf(c).Elem())
	}
	for name := range docs {
		if !seen[name] {
			t.Errorf("%s is in no round trip", name)
		}
	}
	for name := range seen {
		if docs[name].Doc == "" {
			t.Errorf("%s has no description", name)
		}
	}
}

const docsFolder = "../../docs"

func TestPublishedSchema(t *testing.T) {
	file := filepath.Join(docsFolder, "profile.schema.json")
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Schema()) {
		t.Errorf("%s is not what the code says; run go test ./core/profile -run Schema -update", file)
	}
}

// conforms checks a value against the parts of JSON Schema that Schema uses.
func conforms(t *testing.T, path string, schema map[string]any, v any) {
	t.Helper()
	switch schema["type"] {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is not an object", path)
			return
		}
		properties := schema["properties"].(map[string]any)
		for k, x := range m {
			if p, ok := properties[k].(map[string]any); ok {
				conforms(t, path+"."+k, p, x)
			} else {
				t.Errorf("%s is not in the schema", path+"."+k)
			}
		}
		required, _ := schema["required"].([]any)
		for _, r := range required {
			if _, ok := m[r.(string)]; !ok {
				t.Errorf("%s lacks %s", path, r)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			t.Errorf("%s is not an array", path)
		}
		for i, x := range list {
			conforms(t, at(path, i), schema["items"].(map[string]any), x)
		}
	case "string":
		s, ok := v.(string)
		if !ok {
			t.Errorf("%s is not a string", path)
		}
		if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(s) {
			t.Errorf("%s: %q does not match %s", path, s, p)
		}
		if e, ok := schema["enum"].([]any); ok && !contains(e, s) {
			t.Errorf("%s: %q is not one of %v", path, s, e)
		}
	case "integer":
		if _, ok := v.(int64); !ok {
			t.Errorf("%s is not an integer", path)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			t.Errorf("%s is not a boolean", path)
		}
	default:
		t.Errorf("%s: schema of type %v", path, schema["type"])
	}
}

func contains(list []any, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestDocumentedExamples(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docsFolder, "profile.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) < 3 {
		t.Fatalf("%d examples", len(examples))
	}
	texts := [][]byte{Marshal(full()), Marshal(fullResponder())}
	for _, e := range examples {
		texts = append(texts, e[1])
		if _, err := Parse("example", e[1]); err != nil {
			t.Errorf("%v\n%s", err, e[1])
		}
	}
	for _, text := range texts {
		var v map[string]any
		if err := toml.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		conforms(t, "", schema, v)
	}
	for name := range docs {
		_, field, _ := strings.Cut(name, ".")
		if !bytes.Contains(page, []byte("`"+field+"`")) {
			t.Errorf("the reference does not name `%s` (%s)", field, name)
		}
	}
}

func TestGateways(t *testing.T) {
	for in, want := range map[string]string{
		"vpn.example.com": "vpn.example.com 0", "vpn:4500": "vpn 4500", "192.0.2.1": "192.0.2.1 0", "192.0.2.1:4500": "192.0.2.1 4500",
		"2001:db8::1": "2001:db8::1 0", "[2001:db8::1]": "2001:db8::1 0", "[2001:db8::1]:4500": "2001:db8::1 4500",
	} {
		host, port, err := SplitGateway(in)
		if got := fmt.Sprint(host, " ", port); err != nil || got != want {
			t.Errorf("%s: %s, error %v; want %s", in, got, err, want)
		}
		if h, p, err := SplitGateway(JoinGateway(host, port)); h != host || p != port || err != nil {
			t.Errorf("%s: joined and split: %s %d %v", in, h, p, err)
		}
	}
	for _, in := range []string{"", ":", "a:", "a:0", "a:70000", "a:+5", "[a]", "[1.2.3.4]", "[::1", "[::1]x", "0.0.0.0", "::", "224.0.0.1", "300.1.1.1", "a b", "-a", "a..b", "fe80::1%eth0", "a/b", "a:1:2", strings.Repeat("a.", 200)} {
		if h, p, err := SplitGateway(in); err == nil {
			t.Errorf("%q: %q %d", in, h, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(pskProfile))
	f.Add(Marshal(full()))
	f.Add(Marshal(fullResponder()))
	f.Add([]byte("a.b = [{c = 1}]\n[[a.d]]\n[a.d.e]\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := Parse("f", in)
		if err != nil {
			if len(AllErrors(err)) == 0 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		text := Marshal(c)
		again, err := Parse("g", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("got %+v\nwant %+v", again, c)
		}
	})
}

func TestDynamicSelectorsKeepTheirLimits(t *testing.T) {
	for text, want := range map[string]ts.Selector{
		"dynamic":          {ToPort: 65535},
		"dynamic[udp/53]":  {Protocol: 17, FromPort: 53, ToPort: 53},
		"dynamic[tcp/1-9]": {Protocol: 6, FromPort: 1, ToPort: 9},
	} {
		got, dynamic, err := ParseSelector(text)
		if err != nil || !dynamic || got != want {
			t.Errorf("%s: %+v, %v, %v; want %+v", text, got, dynamic, err, want)
		}
	}
}
