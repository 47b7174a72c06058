package profile

import "sallyport/core/config"

// An Error is one fault of a file that a user wrote. It never quotes a secret.
type Error = config.Error

// A Duration is written as Go's time.Duration is: "90s", "4h".
type Duration = config.Duration

// AllErrors returns every *Error in the tree of err, in order.
func AllErrors(err error) []*Error { return config.AllErrors(err) }

// Parse reads one profile file. The file's name serves the messages only. The
// error joins every fault found, each an *Error (see AllErrors).
func Parse(file string, data []byte) (*Connection, error) {
	c, _, err := parse(file, data, stored)
	return c, err
}

// maxProfile bounds the size of a profile file.
const maxProfile = 256 << 10

func parse(file string, data []byte, m mode) (*Connection, *config.Tree, error) {
	tree, err := config.Parse(file, data, maxProfile)
	if err != nil {
		return nil, nil, err
	}
	c := new(Connection)
	if err := tree.Decode(c, docs); err != nil {
		return nil, nil, err
	}
	found := config.Faults{List: validate(c, m)}
	for _, f := range found.List {
		f.File, f.Line = file, tree.Line(f.Field)
	}
	if err := found.Err(); err != nil {
		return nil, nil, err
	}
	return c, tree, nil
}

// Marshal writes c as the file that Parse reads, with a comment on each part.
func Marshal(c *Connection) []byte {
	return config.Marshal("A Sallyport connection. Secrets are elsewhere: this file only names them.", c, docs)
}

// shown cuts a value of the file for a message.
func shown(s string) string { return config.Shown(s) }

// plain returns a key as a message may show it.
func plain(key string) string { return config.Plain(key) }
