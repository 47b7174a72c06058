package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/host"
)

// The conditions of a Store that callers test for.
var (
	ErrNotFound = errors.New("there is no connection of that name")
	ErrExists   = errors.New("a connection of that name exists already")
)

// A Store keeps connections with their certificates and secrets. It is not
// safe for concurrent use; two stores of the same folders must not save at
// once.
type Store struct {
	Profiles, Certs, Secrets host.Files
}

// An Entry is a stored connection, or what keeps its file from being one.
type Entry struct {
	Name       string
	Connection *Connection // nil when Err is not
	Err        error
}

const extension = ".toml"

// List returns every stored connection, sorted by name. A malformed file is an
// entry with its error, so that it hides no other.
func (s *Store) List() ([]Entry, error) {
	names, err := s.Profiles.List()
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	var entries []Entry
	for _, n := range names {
		name, ok := strings.CutSuffix(n, extension)
		if !ok {
			continue
		}
		c, err := s.Load(name)
		entries = append(entries, Entry{name, c, err})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Load reads one connection.
func (s *Store) Load(name string) (*Connection, error) {
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("%w: the name %w", ErrNotFound, err)
	}
	data, err := s.Profiles.Read(name + extension)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read connection %s: %w", name, err)
	}
	c, tree, err := parse(name+extension, data, stored)
	if err != nil {
		return nil, err
	}
	if c.Name != name {
		return nil, &Error{File: name + extension, Line: tree.Line("name"), Field: "name", Msg: fmt.Sprintf("is %s, but the file is called %s", shown(c.Name), name+extension)}
	}
	return c, nil
}

// Save stores a connection. Secrets and certificates go first, under names
// that nothing uses yet; the profile's file, which is written at once or not
// at all, makes them valid. What an error or a crash leaves behind is used by
// nothing and goes with Sweep.
func (s *Store) Save(b Bundle, replace bool) error {
	name := b.Connection.Name
	if err := b.Connection.Validate(); err != nil {
		return err
	}
	names, err := s.Profiles.List()
	if err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	for _, n := range names {
		// Some systems take "Home.toml" and "home.toml" for the same file.
		if have, ok := strings.CutSuffix(n, extension); ok && strings.EqualFold(have, name) && (!replace || have != name) {
			return fmt.Errorf("%w: %s", ErrExists, have)
		}
	}
	old, _ := s.Load(name) // what it used; a malformed or absent one used nothing
	c, fresh, err := s.freshSecrets(&b)
	if err != nil {
		return err
	}
	written := map[string]bool{}
	undo := func() {
		for n := range written {
			// The error that leads here is the one to tell; Sweep tries again.
			_ = s.Secrets.Remove(n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(b.Certs)) {
		if err := s.Certs.Write(n, b.Certs[n]); err != nil {
			return fmt.Errorf("store certificate %s: %w", n, err)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(b.Secrets)) {
		written[fresh[n]] = true
		if err := s.Secrets.Write(fresh[n], b.Secrets[n]); err != nil {
			undo()
			return fmt.Errorf("store a secret of connection %s: %w", name, err)
		}
	}
	if err := s.Profiles.Write(name+extension, Marshal(c)); err != nil {
		undo()
		return fmt.Errorf("store connection %s: %w", name, err)
	}
	if old != nil {
		return s.drop(old)
	}
	return nil
}

// freshSecrets returns b's connection with names for its secrets that are not
// taken, and the new name of each.
func (s *Store) freshSecrets(b *Bundle) (*Connection, map[string]string, error) {
	taken, err := s.Secrets.List()
	if err != nil {
		return nil, nil, fmt.Errorf("list secrets: %w", err)
	}
	c, fresh := b.Connection, make(map[string]string, len(b.Secrets))
	c.Local.More = slices.Clone(c.Local.More)
	c.Remote.Secrets = slices.Clone(c.Remote.Secrets)
	c.IKE.PPKs = slices.Clone(c.IKE.PPKs)
	for n := range b.Secrets {
		try := n
		for i := 2; slices.Contains(taken, try); i++ {
			try = n + "-" + strconv.Itoa(i)
		}
		fresh[n] = try
	}
	for _, ref := range c.secrets() {
		if *ref == "" {
			continue
		}
		// A name that the bundle does not fill would be another connection's.
		if *ref, err = fresh[*ref], nil; *ref == "" {
			return nil, nil, fmt.Errorf("connection %s refers to a secret that it does not bring", c.Name)
		}
	}
	for _, n := range append(c.Local.ownCertificates(), c.Remote.CAs...) {
		if _, ok := b.Certs[n]; !ok {
			return nil, nil, fmt.Errorf("connection %s refers to a certificate that it does not bring: %s", c.Name, n)
		}
	}
	return &c, fresh, c.Validate()
}

// Remove forgets a connection, its secrets, and the certificates that no other
// connection uses. A malformed profile can be removed too.
func (s *Store) Remove(name string) error {
	c, err := s.Load(name)
	if err != nil && len(AllErrors(err)) == 0 {
		return err
	}
	if err := s.Profiles.Remove(name + extension); err != nil {
		return fmt.Errorf("remove connection %s: %w", name, err)
	}
	if c == nil {
		return s.Sweep()
	}
	return s.drop(c)
}

// drop removes what c refers to and no stored connection does.
func (s *Store) drop(c *Connection) error {
	certs, secrets := map[string]bool{}, map[string]bool{}
	refer(c, certs, secrets)
	return s.removeUnused(certs, secrets)
}

// Sweep removes certificates and secrets that an import stored and no
// connection refers to: what a crash left in the midst of Save or Remove.
// Files with names of another shape are someone's own and stay.
func (s *Store) Sweep() error {
	certs, secrets := map[string]bool{}, map[string]bool{}
	for list, files := range map[*map[string]bool]host.Files{&certs: s.Certs, &secrets: s.Secrets} {
		names, err := files.List()
		if err != nil {
			return fmt.Errorf("list stored credentials: %w", err)
		}
		for _, n := range names {
			(*list)[n] = strings.Contains(n, "+") || ownCert.MatchString(n)
		}
		maps.DeleteFunc(*list, func(_ string, ours bool) bool { return !ours })
	}
	return s.removeUnused(certs, secrets)
}

// ownCert is the shape of the names that Bundle gives to certificates.
var ownCert = regexp.MustCompile(`-[0-9a-f]{20}\.pem$`)

// removeUnused removes those of the named files that no connection refers to.
// While a profile is malformed, nobody knows what it refers to, and only what
// is another connection's by its name goes.
func (s *Store) removeUnused(certs, secrets map[string]bool) error {
	entries, err := s.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Connection == nil {
			clear(certs)
			maps.DeleteFunc(secrets, func(n string, _ bool) bool {
				owner, _, ours := strings.Cut(n, "+")
				return !ours || owner == e.Name
			})
			continue
		}
		usedCerts, usedSecrets := map[string]bool{}, map[string]bool{}
		refer(e.Connection, usedCerts, usedSecrets)
		maps.DeleteFunc(certs, func(n string, _ bool) bool { return usedCerts[n] })
		maps.DeleteFunc(secrets, func(n string, _ bool) bool { return usedSecrets[n] })
	}
	var errs []error
	for n := range certs {
		errs = append(errs, s.Certs.Remove(n))
	}
	for n := range secrets {
		errs = append(errs, s.Secrets.Remove(n))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove unused credentials: %w", err)
	}
	return nil
}

// refer adds the names that c refers to.
func refer(c *Connection, certs, secrets map[string]bool) {
	for _, a := range []*Auth{&c.Local, &c.Remote} {
		for _, n := range append(a.ownCertificates(), a.CAs...) {
			certs[n] = true
		}
	}
	for _, ref := range c.secrets() {
		if *ref != "" {
			secrets[*ref] = true
		}
	}
}
