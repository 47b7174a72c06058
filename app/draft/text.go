package draft

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"sallyport/core/api"
)

// Extension ends the name of a profile's file.
const Extension = ".toml"

// Text returns the profile. Files are named as in Request; secrets are not in
// it. What an edited connection says besides stays as it was.
func (d *Draft) Text() []byte {
	var b bytes.Buffer
	b.WriteString("# A Sallyport connection. Secrets are elsewhere.\n\n")
	e := toml.NewEncoder(&b)
	// Maps of strings, numbers and lists of them can always be written.
	if err := e.Encode(map[string]any(d.document())); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Request returns what hands the draft to the service: to be tested, with dry
// to be checked, or to be stored. The caller wipes the Password.
func (d *Draft) Request(dry bool) api.ImportRequest {
	r := api.ImportRequest{Replace: d.Edited(), DryRun: dry, Password: []byte(d.Secret)}
	if d.Ask && d.Method == PSK {
		r.Password = nil
	}
	r.Files = []api.File{{Path: d.Name + Extension, Data: d.Text()}}
	if d.storesPassword() {
		r.Files = append(r.Files, api.File{Path: d.passwordName(), Data: []byte(d.Password)})
	}
	names, files := d.files()
	for i, f := range files {
		data := f.Data
		if f == d.Certificate && d.container() {
			// The service takes both out of the one file.
		} else if f != d.keyFile() {
			data = certificatesOnly(data)
		} else if f == d.Certificate {
			// Both are in one file: the certificates under its name, the key beside it.
			r.Files = append(r.Files, api.File{Path: names[i], Data: certificatesOnly(data)})
			names[i] = d.keyName()
		}
		r.Files = append(r.Files, api.File{Path: names[i], Data: data})
	}
	return r
}

// files are the chosen files and the names that they have in the profile,
// which are all different.
func (d *Draft) files() (names []string, files []*File) {
	add := func(f *File) {
		if f == nil {
			return
		}
		name := safeFile(f.Name)
		for try, i := name, 2; ; i++ {
			if try != d.Name+Extension && try != d.keyName() && try != d.passwordName() && !slices.Contains(names, try) {
				names, files = append(names, try), append(files, f)
				return
			}
			try = fmt.Sprintf("%d-%s", i, name)
		}
	}
	if d.Method == PSK {
		return nil, nil
	}
	if d.Method.Certifies() && !d.OnToken {
		add(d.Certificate)
		add(d.Key)
	}
	if !d.SystemTrust {
		for i := range d.CAs {
			add(&d.CAs[i])
		}
	}
	return names, files
}

// keyName is the name for a key that was in one file with its certificate.
func (d *Draft) keyName() string { return "private-key-of-" + safeFile(d.Name) + ".key" }

// passwordName is the name for the file with the user's password.
func (d *Draft) passwordName() string { return "password-of-" + safeFile(d.Name) + ".txt" }

// storesPassword reports whether a password goes to the service, to be kept.
func (d *Draft) storesPassword() bool {
	return d.Method.Names() && !d.AskPassword && d.Password != ""
}

// safeFile makes the name of a file one without a meaning of its own.
func safeFile(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !letterOrDigit(rune(c)) && c != '.' && c != '_' && c != '-' {
			b[i] = '-'
		}
	}
	if len(b) > maxName {
		b = b[len(b)-maxName:] // the extension is at the end
	}
	if s = strings.Trim(string(b), ".-"); s == "" {
		return "file"
	}
	return s
}

// document returns the profile as a tree.
func (d *Draft) document() document {
	doc := d.origin.clone()
	doc["version"] = int64(1)
	doc["name"] = d.Name
	doc.set("profile", string(d.Profile))
	doc.setList("gateways", d.gateways())
	doc.setList("virtual_ips", d.Addresses)
	local, remote := doc.sub("local"), doc.sub("remote")
	own, other := d.Method, d.Method
	switch {
	case d.Method == Both:
		own, other = Certificate, Certificate
	case d.Method == User || d.Method == Certificate && d.Through:
		own, other = User, Certificate
	}
	for end, m := range map[*document]Method{&local: own, &remote: other} {
		if end.text("method") != string(m) {
			delete(*end, "signatures") // of another kind of proof
		}
		(*end)["method"] = string(m)
		delete(*end, "secret")
	}
	// That a short key is what the gateway demands has been asked already.
	if d.Method != PSK || d.Ask || d.Secret != "" {
		delete(local, "weak_secret")
	}
	if d.Method == PSK && !d.Ask && d.Secret != "" && len(d.Secret) < minSecret {
		local["weak_secret"] = true
	}
	delete(local, "ask")
	if d.Ask || d.Method == User && d.AskPassword {
		local["ask"] = true
	}
	d.user(local)
	local.set("id", strings.TrimSpace(d.LocalID))
	remote.set("id", d.GatewayID())
	d.credential(local)
	d.authorities(remote)
	child := doc.child()
	if d.All {
		delete(child, "remote_ts")
	} else {
		child.setList("remote_ts", trimmed(d.Networks))
	}
	return doc
}

// user says who answers the gateway's questions, and how.
func (d *Draft) user(local document) {
	if !d.Method.Names() && !(d.Method == Certificate && d.Through) {
		delete(local, "user")
		delete(local, "eap")
		return
	}
	local.set("user", strings.TrimSpace(d.User))
	if d.storesPassword() {
		local["secret"] = d.passwordName()
	}
	e := local.sub("eap")
	if d.Method == Certificate {
		e.setList("methods", []string{"tls"})
		e.setList("inner", nil)
	} else {
		e.setList("methods", d.EAP.Methods)
		e.setList("inner", d.EAP.Inner)
	}
	e.set("anonymous", strings.TrimSpace(d.EAP.Anonymous))
	e.set("server", strings.TrimSpace(d.EAP.Server))
	if len(e) == 0 {
		delete(local, "eap")
	}
}

func (d *Draft) credential(local document) {
	if d.onToken(local) {
		return
	}
	if !d.Method.Certifies() {
		delete(local, "certificates")
		delete(local, "key")
		return
	}
	names, files := d.files()
	if d.Certificate != nil {
		local.setList("certificates", names[:1])
	}
	switch key := d.keyFile(); {
	case d.container():
		delete(local, "certificates")
		local["key"] = names[0]
	case key == nil:
		delete(local, "key")
	case key == d.Certificate:
		local["key"] = d.keyName()
	default:
		local["key"] = names[slices.Index(files, key)]
	}
}

// onToken says which certificate on a token is the own one, and reports whether
// one is. A PIN that is stored stays for the same key, unless one was typed.
func (d *Draft) onToken(local document) bool {
	same := d.OnToken && local.text("token") == d.Token
	if !same {
		if local.text("token") != "" || d.OnToken {
			delete(local, "certificates")
		}
		delete(local, "token")
		delete(local, "pin")
	}
	if !d.Method.Certifies() || !d.OnToken {
		return false
	}
	local["token"] = d.Token
	delete(local, "key")
	if !same || d.Secret != "" {
		local["ask"] = true
	}
	return true
}

func (d *Draft) authorities(remote document) {
	names, files := d.files()
	switch {
	case d.Method == PSK || d.SystemTrust:
		delete(remote, "cas")
	case len(d.CAs) > 0:
		var cas []string
		for i := range d.CAs {
			cas = append(cas, names[slices.Index(files, &d.CAs[i])])
		}
		remote.setList("cas", cas)
	}
}

// What keeps a profile from being edited here.
var (
	ErrMalformed = errors.New("draft: the profile cannot be read")
	ErrResponder = errors.New("draft: the connection waits for peers")
	ErrMethods   = errors.New("draft: the ends prove themselves in ways that a draft does not have")
)

// maxText bounds the text of a profile with the certificates in it.
const maxText = 8 << 20

// Parse returns the draft of a profile, as an export is. What it does not show
// it keeps for Text.
func Parse(text []byte) (*Draft, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrMalformed, len(text))
	}
	doc := document{}
	if err := toml.Unmarshal(text, (*map[string]any)(&doc)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := doc.check(); err != nil {
		return nil, err
	}
	local, remote := doc.table("local"), doc.table("remote")
	d := &Draft{
		Name: doc.text("name"), Profile: api.Profile(doc.text("profile")), Gateways: doc.list("gateways"),
		Ask: local.flag("ask"), LocalID: local.text("id"), User: local.text("user"),
		Token: local.text("token"), OnToken: local.text("token") != "",
		RemoteID: remote.text("id"), Addresses: doc.list("virtual_ips"), origin: doc,
	}
	if d.Profile == "" {
		d.Profile = api.Respond
	}
	d.Method, d.Through = methodOf(local)
	e := local.table("eap")
	d.EAP = EAP{Methods: e.list("methods"), Inner: e.list("inner"), Anonymous: e.text("anonymous"), Server: e.text("server")}
	if d.Method == User {
		d.Ask, d.AskPassword = false, d.Ask
	}
	if d.Through {
		d.EAP.Methods = nil
	}
	if d.Method != PSK {
		d.SystemTrust = len(remote.list("cas")) == 0
		if d.RemoteID == "" {
			d.RemoteID = "%any" // said, since a draft has another default
		}
	}
	if children := doc.tables("children"); len(children) > 0 {
		d.Networks = children[0].list("remote_ts")
	}
	d.All = len(d.Networks) == 0
	return d, nil
}

// check refuses what has the wrong shape, or is beyond a draft.
func (doc document) check() error {
	if doc["version"] != int64(1) {
		return fmt.Errorf("%w: version %v", ErrMalformed, doc["version"])
	}
	for key, v := range doc {
		ok := true
		switch key {
		case "name", "profile", "role":
			_, ok = v.(string)
		case "gateways", "virtual_ips":
			ok = isList(v)
		case "local", "remote":
			_, ok = v.(map[string]any)
		case "children":
			list, isArray := v.([]any)
			ok = isArray && !slices.ContainsFunc(list, func(c any) bool { _, table := c.(map[string]any); return !table })
		}
		if !ok {
			return fmt.Errorf("%w: %s is of another kind", ErrMalformed, key)
		}
	}
	for _, end := range []string{"local", "remote"} {
		for key, v := range doc.table(end) {
			ok := true
			switch key {
			case "method", "id", "secret", "key", "token", "pin":
				_, ok = v.(string)
			case "ask":
				_, ok = v.(bool)
			case "user":
				_, ok = v.(string)
			case "certificates", "cas", "signatures":
				ok = isList(v)
			case "eap":
				var sub map[string]any
				if sub, ok = v.(map[string]any); ok {
					e := document(sub)
					ok = (e["methods"] == nil || isList(e["methods"])) && (e["inner"] == nil || isList(e["inner"]))
				}
			}
			if !ok {
				return fmt.Errorf("%w: %s.%s is of another kind", ErrMalformed, end, key)
			}
		}
	}
	if c := doc.tables("children"); len(c) > 0 && c[0]["remote_ts"] != nil && !isList(c[0]["remote_ts"]) {
		return fmt.Errorf("%w: children[0].remote_ts is of another kind", ErrMalformed)
	}
	if doc.text("role") == "responder" {
		return ErrResponder
	}
	own, _ := methodOf(doc.table("local"))
	other := Method(doc.table("remote").text("method"))
	if own == "" || own == PSK && other != PSK || own != PSK && other != Certificate {
		return ErrMethods
	}
	return nil
}

// methodOf returns how the own end proves itself, if a draft can say it, and
// whether it shows its certificate within EAP.
func methodOf(local document) (m Method, through bool) {
	tls := slices.Equal(local.table("eap").list("methods"), []string{"tls"})
	certified := len(local.list("certificates")) > 0 || local.text("token") != ""
	switch m := Method(local.text("method")); {
	case m == PSK, m == Certificate && local.text("user") == "":
		return m, false
	case m == Certificate && !tls:
		return Both, false
	case m == User && certified && tls:
		return Certificate, true
	case m == User && !certified && !tls:
		return User, false
	}
	return "", false
}

func isList(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(s any) bool { _, text := s.(string); return !text })
}

// A document is a table of a profile: strings, numbers, booleans, lists and
// tables by name.
type document map[string]any

func (t document) table(key string) document {
	sub, _ := t[key].(map[string]any)
	return sub
}

// sub returns the table of that name, made when absent.
func (t document) sub(key string) document {
	sub, ok := t[key].(map[string]any)
	if !ok {
		sub = map[string]any{}
		t[key] = sub
	}
	return sub
}

func (t document) tables(key string) []document {
	var out []document
	list, _ := t[key].([]any)
	for _, v := range list {
		if sub, ok := v.(map[string]any); ok {
			out = append(out, sub)
		}
	}
	return out
}

// child returns the first of the children, made when there is none.
func (t document) child() document {
	if c := t.tables("children"); len(c) > 0 {
		return c[0]
	}
	c := map[string]any{"name": "main"}
	t["children"] = []any{c}
	return c
}

func (t document) text(key string) string { s, _ := t[key].(string); return s }

func (t document) flag(key string) bool { b, _ := t[key].(bool); return b }

func (t document) list(key string) []string {
	list, _ := t[key].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// set sets a text, or removes it when it is empty.
func (t document) set(key, s string) {
	if delete(t, key); s != "" {
		t[key] = s
	}
}

func (t document) setList(key string, list []string) {
	if delete(t, key); len(list) > 0 {
		items := make([]any, len(list))
		for i, s := range list {
			items[i] = s
		}
		t[key] = items
	}
}

// clone returns a deep copy, never nil.
func (t document) clone() document {
	out := make(document, len(t)+4)
	for k, v := range t {
		out[k] = cloneValue(v)
	}
	return out
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return map[string]any(document(v).clone())
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = cloneValue(v[i])
		}
		return out
	}
	return v
}

// WithoutCertificates returns the text of an edited connection without what
// is large in it: its certificates, those that it trusts, and comments. Whoever
// imports it has to bring them.
func (d *Draft) WithoutCertificates() []byte {
	doc := d.document()
	delete(doc.sub("local"), "certificates")
	delete(doc.sub("remote"), "cas")
	var b bytes.Buffer
	// As in Text.
	if err := toml.NewEncoder(&b).Encode(map[string]any(doc)); err != nil {
		panic(err)
	}
	return b.Bytes()
}
