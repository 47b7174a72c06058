package profile

import (
	"maps"
	"strings"
	"testing"

	"sallyport/core/api"
)

func TestParseUsers(t *testing.T) {
	users, err := ParseUsers("users.toml", []byte("[[users]]\nname = \"alice\"\npassword = \"s3cret\"\ngroups = [\"staff\"]\n[[users]]\nname = \"bob\"\n"))
	if err != nil || len(users) != 2 || string(users[0].Password) != "s3cret" || users[0].Groups[0] != "staff" {
		t.Fatalf("%+v, %v", users, err)
	}
	for text, want := range map[string]string{
		"": "users: is missing",
		"[[users]]\nname = \"a\"\n[[users]]\nname = \"a\"": `users.toml:4: users[1].name: "a" is there twice`,
		"[[users]]\npassword = \"s3cret\"":                 "users[0].name: is not printable text",
		"[[users]]\nname = \"a\\u202e\"":                   "users[0].name: is not printable text",
		"[[users]]\nname = \"a\"\npasswort = \"s3cret\"":   "passwort",
		"[[users]]\nname = \"a\"\npassword = [\"s3cret\"]": "users[0].password",
	} {
		_, err := ParseUsers("users.toml", []byte(text))
		if err == nil || !strings.Contains(messages(err), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v tells the password", err)
		}
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte("[[users]]\nname = \"alice\"\npassword = \"s3cret\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		users, err := ParseUsers("users.toml", data)
		if err == nil && len(users) == 0 {
			t.Error("no users, and no error")
		}
	})
}

const twoRounds = `version = 1
name = "staff"
role = "responder"
[local]
method = "certificate"
certificates = ["x509/alice-inter.crt", "x509/inter.crt"]
key = "private/alice-inter.key"
[remote]
method = "certificate"
cas = ["x509ca/ca-ecdsa.crt"]
users = "users.toml"
[[children]]
name = "net"
`

// A connection that asks for two proofs in turn never becomes one that asks for
// one, by way of an export and an import.
func TestSecondProofIsNotLostByExport(t *testing.T) {
	files := maps.Clone(pkiFixture())
	files["users.toml"] = []byte("[[users]]\nname = \"alice\"\npassword = \"s3cret\"\n")
	b, err := imports(t, twoRounds, "", false, files)
	if err != nil {
		t.Fatal(messages(err))
	}
	st, _, _, _ := newStore()
	x, c := exported(t, st, b)
	if !c.Remote.AsksUsers() || c.Remote.Method != MethodCertificate {
		t.Fatalf("stored as %+v", c.Remote)
	}
	if _, err := Import(api.ImportRequest{Files: []api.File{{Path: x.Name, Data: x.Text}}}); err == nil || !strings.Contains(messages(err), "remote.users: is missing") {
		t.Errorf("without the list it is imported: %v\n%s", err, x.Text)
	}
	again := reimport(t, x, api.ImportRequest{Replace: true})
	if err := st.Complete(again); err != nil {
		t.Fatal(err)
	}
	if err := st.Save(*again, true); err != nil {
		t.Fatal(messages(err))
	}
	c, err = st.Load("staff")
	if err != nil || c.Remote.Users == "" {
		t.Errorf("after the import of the export: %+v, %v", c, err)
	}
	if _, err := imports(t, strings.Replace(twoRounds, "users = \"users.toml\"", "[remote.radius]\nservers = [\"192.0.2.5\"]", 1), "", false, files); err == nil {
		t.Error("RADIUS without its secret is imported")
	}
	keyed, err := imports(t, strings.Replace(twoRounds, "method = \"certificate\"\ncas = [\"x509ca/ca-ecdsa.crt\"]", "method = \"psk\"\nsecret = \"psk\"", 1), "", false,
		func() map[string][]byte { files["psk"] = []byte("a long enough secret"); return files }())
	if err != nil || !keyed.Connection.Remote.AsksUsers() {
		t.Errorf("a pre-shared key and then users: %v", err)
	}
}
