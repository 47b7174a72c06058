package profile

import (
	"strings"
	"testing"
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
