package i18n

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"sallyport/assets"
)

// dynamic are the beginnings of keys that the code puts together. Tests beside
// that code see to it that each of them is there.
var dynamic = []string{
	"mark.",   // model.Mark.String
	"errors.", // model.ErrorText
}

// toolkit is the area of Fyne's own words, whose keys are Fyne's.
const toolkit = "toolkit"

// technical are words that are the same in every language: names, protocols,
// units and what is typed.
var technical = words(`Sallyport IKE IKEv1 IKEv2 ESP SPI SPIs SPIi SPIr PSK EAP SA SAs CA CAs PIN DNS IP IPv4 IPv6 TCP UDP ICMP NAT TUN VPN MTU
	UTC URI URL QR PEM DER PKCS TLS RSA ECDSA AES GCM SHA XAUTH MOBIKE GUI JSON TOML ML KEM DH OK Fyne Linux macOS Windows Secret Service
	strongSwan swanctl Libreswan FortiGate pfSense OpenWrt Cisco Xfrm kB MB GB TB s min h d B ID IDs DN FQDN ASN Client Server`)

// same are words that a language spells as English does.
var same = map[string][]string{
	"de": words(`Bytes Firewall Code Passphrase Info Debug Diagnose Problem Problems Name Filter Version Text Details Status Port Ports Protocol Gateway Client Server Test Import Export System Monitor Minute Tunnel Token Standard Host Administrator Hash Zoom Installation`),
	"es": words(`Bytes Info Error Monitor No Local Color Total Token Manual Normal Original General Puerto Protocol Final Principal`),
	"fr": words(`Verdict Info Exemptions fragments messages Port Ports Source Destination Minute Minutes Notifications Notification Action Actions Description Type Types Options Option
		Certificat Message Messages Date Permanent Module Mode Modes Configuration Passerelle Code Connexion Question Questions Total Version Diagnostic Protection Page Pages Local Distance Format Important Installation Durable Test Tests Clients Direction Serveur Exchange Simple Information Points`),
}

func words(s string) []string { return strings.Fields(s) }

type entry struct {
	forms map[string]string // by plural form; "" for a plain text
}

func (e entry) gaps() []string {
	set := map[string]bool{}
	for _, text := range e.forms {
		for _, g := range gap.FindAllStringSubmatch(text, -1) {
			set[g[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

var (
	gap   = regexp.MustCompile(`\{\{\s*\.([A-Za-z]+)\s*\}\}`)
	brace = regexp.MustCompile(`\{\{[^}]*\}\}`)
	word  = regexp.MustCompile(`\pL[\pL\pN’'-]*`)
)

// readAll returns the texts by area, language and key.
func readAll(t *testing.T) map[string]map[string]map[string]entry {
	t.Helper()
	files, err := fs.Glob(assets.Translations, "translations/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no translations: %v", err)
	}
	all := map[string]map[string]map[string]entry{}
	for _, f := range files {
		name := strings.Split(filepath.Base(f), ".")
		if len(name) != 3 || name[2] != "json" || !spoken(name[1]) {
			t.Errorf("%s is not AREA.LANG.json", f)
			continue
		}
		b, err := assets.Translations.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var raw map[string]any
		if err := json.Unmarshal(b, &raw); err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if n := countKeys(b); n != len(raw) {
			t.Errorf("%s says a key twice", f)
		}
		texts := map[string]entry{}
		for key, v := range raw {
			e := entry{map[string]string{}}
			switch v := v.(type) {
			case string:
				e.forms[""] = v
			case map[string]any:
				for form, s := range v {
					e.forms[form], _ = s.(string)
				}
			}
			texts[key] = e
		}
		if all[name[0]] == nil {
			all[name[0]] = map[string]map[string]entry{}
		}
		all[name[0]][name[1]] = texts
	}
	return all
}

// countKeys counts the keys of the outer object, with those that come twice.
func countKeys(b []byte) int {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	depth, n, key := 0, 0, true
	for {
		tok, err := dec.Token()
		if err != nil {
			return n
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
			key = true
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			key = true
			continue
		}
		if depth == 1 {
			if key {
				n++
			}
			key = !key
		}
	}
}

// TestCatalogue holds the languages against each other.
func TestCatalogue(t *testing.T) {
	for area, langs := range readAll(t) {
		en := langs["en"]
		for _, l := range Languages() {
			texts, ok := langs[l.Tag]
			if !ok {
				t.Errorf("%s.%s.json is missing", area, l.Tag)
				continue
			}
			for key, e := range texts {
				if area != toolkit && !strings.HasPrefix(key, area+".") {
					t.Errorf("%s.%s.json: %q does not begin with its area", area, l.Tag, key)
				}
				if _, ok := en[key]; !ok {
					t.Errorf("%s.%s.json: %q is not in English", area, l.Tag, key)
				}
				checkForms(t, area, l.Tag, key, e)
			}
			for key, e := range en {
				got, ok := texts[key]
				if !ok {
					t.Errorf("%s.%s.json lacks %q", area, l.Tag, key)
					continue
				}
				if !slices.Equal(got.gaps(), e.gaps()) {
					t.Errorf("%s.%s.json: %q has the gaps %q, English %q", area, l.Tag, key, got.gaps(), e.gaps())
				}
				if l.Tag != "en" && got.isEnglish(e, l.Tag) {
					t.Errorf("%s.%s.json: %q is English: %q", area, l.Tag, key, got.text())
				}
				if long(got.text(), e.text()) {
					t.Logf("%s.%s.json: %q is long for a button: %q for %q", area, l.Tag, key, got.text(), e.text())
				}
			}
		}
	}
}

func (e entry) text() string {
	if s, ok := e.forms[""]; ok {
		return s
	}
	return e.forms["other"]
}

// checkForms checks the plural forms of a text.
func checkForms(t *testing.T, area, language, key string, e entry) {
	t.Helper()
	_, plain := e.forms[""]
	want := []string{"one", "other"}
	if language == "zh" {
		want = want[1:]
	}
	switch got := slices.Sorted(maps.Keys(e.forms)); {
	case plain && len(got) == 1:
		if slices.Contains(e.gaps(), "Count") {
			t.Errorf("%s.%s.json: %q counts, and has no plural forms", area, language, key)
		}
	case !slices.Equal(got, want):
		t.Errorf("%s.%s.json: %q has the forms %q, want %q", area, language, key, got, want)
	}
	for form, s := range e.forms {
		if strings.TrimSpace(s) == "" || strings.TrimSpace(s) != s {
			t.Errorf("%s.%s.json: %q %s is empty, or has space around it", area, language, key, form)
		}
		if rest := gap.ReplaceAllString(s, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
			t.Errorf("%s.%s.json: %q has a gap that is none: %q", area, language, key, s)
		}
	}
}

// isEnglish reports whether a translation is the English text, and has words
// that are not the same in both languages.
func (e entry) isEnglish(en entry, language string) bool {
	text := e.text()
	if text != en.text() {
		return false
	}
	for _, w := range word.FindAllString(brace.ReplaceAllString(text, ""), -1) {
		if !slices.Contains(technical, w) && !slices.Contains(same[language], w) {
			return true
		}
	}
	return false
}

// long reports whether a short text, which may stand on a button, has become
// much longer than in English.
func long(text, en string) bool {
	n, m := len([]rune(text)), len([]rune(en))
	return m <= 20 && !strings.HasSuffix(en, ".") && n > 14 && float64(n) > 1.8*float64(m)
}

// TestUse holds the catalogue against the code: each key that is written there
// exists, its gaps are filled, and no text is left that nothing says.
func TestUse(t *testing.T) {
	all := readAll(t)
	en := map[string]entry{}
	areaOf := map[string]string{}
	for area, langs := range all {
		for key, e := range langs["en"] {
			if other, ok := areaOf[key]; ok {
				t.Errorf("%q is in %s and %s", key, other, area)
			}
			en[key], areaOf[key] = e, area
		}
	}
	used := map[string]bool{}
	calls := 0
	eachFile(t, func(fset *token.FileSet, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					used[s] = true
				}
			case *ast.CallExpr:
				if !says(n) || len(n.Args) == 0 {
					return true
				}
				at := fset.Position(n.Pos()).String()
				key, ok := literal(n.Args[0])
				if !ok {
					if p := prefix(n.Args[0]); p != "" && !slices.ContainsFunc(dynamic, func(d string) bool { return strings.HasPrefix(p, d) }) {
						t.Errorf("%s: keys that begin with %q are put together, and not declared", at, p)
					}
					return true
				}
				calls++
				e, ok := en[key]
				if !ok {
					t.Errorf("%s: the catalogue has no %q", at, key)
					return true
				}
				checkGaps(t, at, key, e, n)
			}
			return true
		})
	})
	if calls < 100 {
		t.Errorf("only %d texts are said: the test does not see the code", calls)
	}
	for key, area := range areaOf {
		if area == toolkit || used[key] || slices.ContainsFunc(dynamic, func(d string) bool { return strings.HasPrefix(key, d) }) {
			continue
		}
		t.Errorf("%s: nothing says %q", area, key)
	}
}

// checkGaps checks that a call fills the gaps of a text.
func checkGaps(t *testing.T, at, key string, e entry, call *ast.CallExpr) {
	t.Helper()
	if call.Ellipsis.IsValid() {
		return
	}
	var given []string
	for i := 1; i < len(call.Args); i += 2 {
		name, ok := literal(call.Args[i])
		if !ok || i+1 == len(call.Args) {
			t.Errorf("%s: %q is not given pairs of names and values", at, key)
			return
		}
		given = append(given, name)
	}
	for _, g := range e.gaps() {
		if !slices.Contains(given, g) {
			t.Errorf("%s: %q has the gap %s, which is not filled", at, key, g)
		}
	}
	for _, g := range given {
		if !slices.Contains(e.gaps(), g) && g != "Count" {
			t.Errorf("%s: %q has no gap %s", at, key, g)
		}
	}
	if _, plain := e.forms[""]; !plain && !slices.Contains(given, "Count") {
		t.Errorf("%s: %q has plural forms, and no Count", at, key)
	}
}

// says reports whether a call is one of i18n.T, T and say.
func says(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name == "T" || f.Name == "say"
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && x.Name == "i18n" && f.Sel.Name == "T"
	}
	return false
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// prefix returns the literal that an expression begins with.
func prefix(e ast.Expr) string {
	for {
		b, ok := e.(*ast.BinaryExpr)
		if !ok {
			s, _ := literal(e)
			return s
		}
		e = b.X
	}
}

// eachFile calls f with each file of app that is no test.
func eachFile(t *testing.T, f func(fset *token.FileSet, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f(fset, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPunctuation holds each language to its own marks.
func TestPunctuation(t *testing.T) {
	for area, langs := range readAll(t) {
		for language, texts := range langs {
			for key, e := range texts {
				for _, s := range e.forms {
					if strings.ContainsAny(s, `"`) || strings.Contains(s, "...") {
						t.Errorf("%s.%s.json: %q has typewriter marks: %q", area, language, key, s)
					}
					if language == "zh" && strings.ContainsFunc(s, isCJK) && strings.HasSuffix(s, ".") {
						t.Errorf("%s.%s.json: %q ends with a Latin full stop: %q", area, language, key, s)
					}
				}
			}
		}
	}
}

func isCJK(r rune) bool { return unicode.Is(unicode.Han, r) }
