package profile

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
	"sallyport/core/transform"
)

func TestQuantumProposals(t *testing.T) {
	hybrid := "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_mlkem1024"
	plain := "aes256gcm16-prfsha384-x25519"
	for _, tt := range []struct {
		mode       string
		list, want []string
	}{
		{"", []string{plain}, []string{plain}},
		{QuantumPrefer, []string{plain}, []string{hybrid, plain}},
		{QuantumRequire, []string{plain}, []string{hybrid}},
		{QuantumOff, []string{hybrid, plain}, []string{plain}},
		{QuantumPrefer, []string{hybrid, plain}, []string{hybrid, plain}},
	} {
		list, err := transform.ParseProposals(transform.ProtoIKE, tt.list)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range (&IKE{Quantum: tt.mode}).ProposalsFor(list) {
			got = append(got, p.Keywords())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q of %q: %q, want %q", tt.mode, tt.list, got, tt.want)
		}
	}
	for _, mode := range []string{"", QuantumPrefer, QuantumRequire, QuantumOff} {
		list := (&IKE{Quantum: mode}).ProposalsFor(transform.DefaultIKE())
		if safe, all := len(transform.QuantumSafe(list)), len(list); mode == QuantumOff && safe != 0 || mode == QuantumRequire && safe != all || mode == "" && safe*2 != all || mode == QuantumPrefer && safe*2 != all {
			t.Errorf("%q: %d of %d default proposals are quantum-safe", mode, safe, all)
		}
	}
}

func TestQuantumValidation(t *testing.T) {
	const rest = "\n[local]\nmethod = \"psk\"\nid = \"a.example\"\nsecret = \"x\"\n[remote]\nmethod = \"psk\"\nid = \"b.example\"\n[[children]]\nname = \"net\"\n"
	for _, tt := range []struct{ ike, want string }{
		{`quantum = "sometimes"`, "ike.quantum"},
		{"quantum = \"off\"\nproposals = [\"aes256gcm16-prfsha384-mlkem768\"]", "leaves none"},
		{"ppk_required = true", "needs [[ike.ppks]]"},
		{"ppk_required = true\n[[ike.ppks]]\nid = \"\"\nsecret = \"p\"", "ike.ppks[0].id"},
		{"[[ike.ppks]]\nid = \"one\"", "ike.ppks[0].secret"},
		{"[[ike.ppks]]\nid = \"one\"\nsecret = \"p\"\n[[ike.ppks]]\nid = \"two\"\nsecret = \"q\"", "an initiator uses one"},
		{"[[ike.ppks]]\nid = \"%any\"\nsecret = \"p\"", "ike.ppks[0].id"},
	} {
		text := "version = 1\nname = \"home\"\ngateways = [\"b.example\"]\n[ike]\n" + tt.ike + rest
		if _, err := Parse("home.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.ike, err, tt.want)
		}
	}
}

// A post-quantum pre-shared key comes in from a file, stays out of the profile,
// and survives a change of it.
func TestPPKImport(t *testing.T) {
	const profile = `version = 1
name = "home"
gateways = ["b.example"]
[local]
method = "psk"
id = "a.example"
secret = "home.psk"
[remote]
method = "psk"
id = "b.example"
[ike]
ppk_required = true
[[ike.ppks]]
id = "one"
secret = "home.ppk"
[[children]]
name = "net"
`
	key := bytes.Repeat([]byte{0xab}, 32)
	files := func(ppk string) []api.File {
		return []api.File{{Path: "home.toml", Data: []byte(profile)}, {Path: "home.psk", Data: []byte("a secret of many words")}, {Path: "home.ppk", Data: []byte(ppk)}}
	}
	for _, text := range []string{string(key), "0x" + strings.Repeat("ab", 32) + "\n"} {
		res, err := Import(api.ImportRequest{Files: files(text)})
		if err != nil || len(res.Bundles) != 1 {
			t.Fatalf("%+v, %v", res, err)
		}
		b := &res.Bundles[0]
		if got := b.Secrets[b.Connection.IKE.PPKs[0].Secret]; !bytes.Equal(got, key) {
			t.Errorf("stored %x", got)
		}
		st, _, _, _ := newStore()
		if err := st.Save(*b, false); err != nil {
			t.Fatal(err)
		}
		x, err := st.Export("home")
		if err != nil || !strings.Contains(strings.Join(x.Missing, " "), "post-quantum") || bytes.Contains(x.Text, key) {
			t.Errorf("export: %v, %v", x.Missing, err)
		}
		again, err := Import(api.ImportRequest{Replace: true, Files: []api.File{{Path: "home.toml", Data: []byte(strings.NewReplacer(`secret = "home.ppk"`, "", `secret = "home.psk"`, "").Replace(profile))}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Complete(&again.Bundles[0]); err != nil {
			t.Fatal(err)
		}
		if got := again.Bundles[0].Secrets[again.Bundles[0].Connection.IKE.PPKs[0].Secret]; !bytes.Equal(got, key) {
			t.Errorf("kept %x", got)
		}
	}
	for _, text := range []string{"", "too short", "0xzz"} {
		if _, err := Import(api.ImportRequest{Files: files(text)}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestSwanctlPPK(t *testing.T) {
	secrets := "secrets {\n ppk-1 {\n id = one\n id-b = uno\n secret = 0x" + strings.Repeat("ab", 32) + "\n }\n ppk-2 {\n id = two\n secret = 0x" + strings.Repeat("cd", 32) + "\n }\n}\n"
	read := func(text string) *Connection {
		t.Helper()
		res, err := Import(api.ImportRequest{Files: []api.File{{Path: "swanctl.conf", Data: []byte(text)}}})
		if err != nil || len(res.Bundles) != 1 {
			t.Fatalf("%v\n%s", err, text)
		}
		return &res.Bundles[0].Connection
	}
	c := read(minimal("ppk_id = two\nppk_required = yes\nchildless = prefer", "", "", "", secrets))
	if got := ppkIDs(c); !slices.Equal(got, []string{"two"}) || !c.IKE.PPKRequired || !c.IKE.Childless {
		t.Errorf("%v, %+v", got, c.IKE)
	}
	c = read(minimal("", "", "", "", secrets))
	if len(c.IKE.PPKs) != 0 || c.IKE.PPKRequired {
		t.Errorf("taken unasked: %+v", c.IKE)
	}
	c = read(minimal("remote_addrs =\nvips =", "", "", "", secrets))
	if got := ppkIDs(c); !slices.Equal(got, []string{"one", "uno", "two"}) {
		t.Errorf("a responder has %v", got)
	}
}
