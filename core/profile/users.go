package profile

import (
	"sallyport/core/config"
	"sallyport/core/eap"
)

// A User is one of the users whom a responder asks with EAP.
type User struct {
	Name     string
	Password []byte
	Groups   []string
}

// maxUsers bounds a list of users. More belong to a RADIUS server.
const maxUsers = 10000

const maxUserList = 4 << 20

// A userList is the file that ParseUsers reads.
type userList struct {
	Users []listedUser `toml:"users"`
}

type listedUser struct {
	Name     string   `toml:"name"`
	Password string   `toml:"password,omitempty"` // empty: by certificate alone
	Groups   []string `toml:"groups,omitempty"`
}

var userDocs = config.Docs{"userList.users": {Doc: "A user.", MaxItems: maxUsers}}

// ParseUsers reads a list of users:
//
//	[[users]]
//	name = "alice"
//	password = "…"
//	groups = ["staff"]
//
// Errors name the file, the line and the field, and no password.
func ParseUsers(file string, data []byte) ([]User, error) {
	var list userList
	tree, err := config.Parse(file, data, maxUserList)
	if err == nil {
		err = tree.Decode(&list, userDocs)
	}
	if err != nil {
		return nil, err
	}
	faults := config.Faults{File: file}
	bad := func(field, format string, args ...any) { faults.Add(tree.Line(field), field, format, args...) }
	if len(list.Users) == 0 {
		bad("users", "is missing: at least one [[users]] says who may come in")
	}
	names := make(map[string]bool, len(list.Users))
	var out []User
	for i, u := range list.Users {
		field := at("users", i)
		switch {
		case u.Name == "" || len(u.Name) > 253 || eap.Clean([]byte(u.Name)) != u.Name:
			bad(field+".name", "is not printable text of 1 to 253 bytes")
		case names[u.Name]:
			bad(field+".name", "%s is there twice", shown(u.Name))
		}
		names[u.Name] = true
		if len(u.Password) > maxPSK {
			bad(field+".password", "is longer than %d bytes", maxPSK)
		}
		out = append(out, User{u.Name, []byte(u.Password), u.Groups})
	}
	return out, faults.Err()
}
