package profile

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"sallyport/core/profile/settings"
)

// maxConnections bounds the connections of one file.
const maxConnections = 256

// importSwanctl reads the connections of a swanctl.conf.
func importSwanctl(s *source, res *Result) error {
	im := &swanctl{source: s, bases: []string{""}, certs: map[string]parsedCerts{}, keys: map[string]keyFile{}}
	if path.Base(s.dir) == "conf.d" {
		// A snippet that swanctl.conf includes: the credentials lie beside that.
		im.bases = []string{"", "../"}
	}
	if err := im.load(); err != nil || len(s.missing) > 0 {
		return err
	}
	conns := im.tree.Section("connections")
	if conns == nil || len(conns.Sections) == 0 {
		return &Error{File: s.name, Msg: "the file holds no connection: \"connections { NAME { … } }\" is missing"}
	}
	if len(conns.Sections) > maxConnections {
		return &Error{File: s.name, Msg: fmt.Sprintf("%d connections are too many (limit %d)", len(conns.Sections), maxConnections)}
	}
	var refused []error
	names := map[string]bool{}
	for _, sec := range conns.Sections {
		c := im.connection(sec, names)
		if len(c.errs) == 0 {
			res.Bundles = append(res.Bundles, c.b)
			continue
		}
		for _, e := range c.errs {
			refused = append(refused, e)
			res.Refused = append(res.Refused, e.Error())
		}
	}
	if len(s.missing) == 0 && len(res.Bundles) == 0 {
		return errors.Join(refused...)
	}
	return nil
}

// A swanctl imports one swanctl.conf.
type swanctl struct {
	*source
	bases   []string // where the folders x509, private and so on may lie
	tree    *settings.Section
	general []string // notes that concern every connection
	certs   map[string]parsedCerts
	keys    map[string]keyFile
	secrets []sharedSecret
	tokens  map[string]bool // sections of keys on tokens that a connection uses
}

// load parses the file with its includes.
func (im *swanctl) load() error {
	include := func(from, pattern string, pos settings.Pos) ([]settings.File, error) {
		if !isAbsolute(slashed(pattern)) {
			pattern = path.Join(path.Dir(from), slashed(pattern))
		}
		var files []settings.File
		list, known := im.find(pattern)
		for _, f := range list {
			files = append(files, settings.File{Name: f.name, Data: f.data})
		}
		if known && len(files) == 0 && !strings.ContainsAny(pattern, "*?[") {
			im.general = append(im.general, fmt.Sprintf("%v: include: the file %s is not there or cannot be read", pos, shown(pattern)))
		}
		return files, nil
	}
	root, err := settings.Parse(settings.File{Name: im.name, Data: im.req.Files[0].Data}, include)
	if err == nil && len(im.missing) == 0 {
		var notes []settings.Error
		im.tree, notes, err = settings.Resolve(root)
		for _, n := range notes {
			im.general = append(im.general, n.Error())
		}
		if err == nil {
			im.secretKinds()
		}
	}
	var se *settings.Error
	if errors.As(err, &se) {
		return &Error{File: se.File, Line: se.Line, Msg: se.Msg}
	}
	return err
}

// secretKinds notes the kinds of secrets that nothing here can use.
func (im *swanctl) secretKinds() {
	all := im.tree.Section("secrets")
	if all == nil {
		return
	}
	kinds := []struct{ prefix, why string }{
		{"token", "no connection proves itself with this key on a token"},
	}
	for _, sec := range all.Sections {
		for _, k := range kinds {
			if strings.HasPrefix(sec.Name, k.prefix) && !im.tokens[sec.Name] {
				im.general = append(im.general, fmt.Sprintf("%v: secrets.%s: %s", sec.Pos, plain(sec.Name), k.why))
			}
		}
	}
}

// A conn is one connection on its way from swanctl's terms to ours.
type conn struct {
	im   *swanctl
	b    Bundle
	errs []*Error
	// remarks are the notes of b.Ignored, for the plan.
	remarks []remark
	// gateways without ports, for the choice of secrets
	hosts []string
	// the second round of the local end's authentication, when there is one
	second *view
}

// refuse says why the connection cannot be imported. What would change the
// security of a connection is refused, never dropped.
func (c *conn) refuse(pos settings.Pos, field, format string, args ...any) {
	c.errs = append(c.errs, &Error{File: pos.File, Line: pos.Line, Field: field, Msg: fmt.Sprintf(format, args...), Unsupported: true})
}

// malformed says what is wrong with a value.
func (c *conn) malformed(pos settings.Pos, field, format string, args ...any) {
	c.refuse(pos, field, format, args...)
	c.errs[len(c.errs)-1].Unsupported = false
}

// needsPassword says that the request must bring a secret.
func (c *conn) needsPassword(pos settings.Pos, field, format string, args ...any) {
	c.malformed(pos, field, format, args...)
	c.errs[len(c.errs)-1].NeedsPassword = true
}

// note says what is not honoured.
func (c *conn) note(pos settings.Pos, field, format string, args ...any) {
	n := fmt.Sprintf("%v: %s: %s", pos, field, fmt.Sprintf(format, args...))
	for _, o := range c.b.Ignored {
		if o == n {
			return
		}
	}
	c.b.Ignored = append(c.b.Ignored, n)
	c.remarks = append(c.remarks, remark{field, fmt.Sprintf(format, args...)})
}

// A view reads one section and knows what is left.
type view struct {
	*conn
	sec  *settings.Section
	path string
	used map[string]bool
}

func (c *conn) view(sec *settings.Section, path string) *view {
	return &view{c, sec, path, map[string]bool{}}
}

func (v *view) field(key string) string { return v.path + "." + plain(key) }

// get returns the value of a key, "" when it is absent or cleared, and where it
// stands.
func (v *view) get(key string) (string, settings.Pos) {
	v.used[key] = true
	if k := v.sec.Key(key); k != nil {
		return k.Value, k.Pos
	}
	return "", v.sec.Pos
}

// list returns a value that is separated by commas.
func (v *view) list(key string) ([]string, settings.Pos) {
	value, pos := v.get(key)
	var out []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out, pos
}

// A treatment says what becomes of a key that is not read otherwise.
type treatment struct {
	same   []string // values that mean what happens anyway
	any    bool     // every value does
	why    string   // said of the other values
	refuse bool
}

// unknownSetting is said of a key that strongSwan does not know either, or not
// yet.
const unknownSetting = "unknown setting"

// rest treats the keys that nothing has read.
func (v *view) rest(table map[string]treatment) {
	for _, k := range v.sec.Keys {
		if v.used[k.Name] || k.Value == "" {
			continue
		}
		t, known := table[k.Name]
		switch {
		case !known:
			v.note(k.Pos, v.field(k.Name), unknownSetting)
		case t.any || has(t.same, strings.ToLower(k.Value)):
		case t.refuse:
			v.refuse(k.Pos, v.field(k.Name), "%s", t.why)
		default:
			v.note(k.Pos, v.field(k.Name), "%s", t.why)
		}
	}
}

// sections notes the subsections that are none of the known ones.
func (v *view) sections(known func(name string) bool) {
	for _, s := range v.sec.Sections {
		if !known(s.Name) {
			v.note(s.Pos, v.field(s.Name), "unknown section")
		}
	}
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// The spellings of booleans and of zero.
var (
	yes  = []string{"yes", "true", "enabled", "1"}
	no   = []string{"no", "false", "disabled", "0"}
	zero = []string{"0", "0s", "0m", "0h"}
)
