package model

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"sallyport/assets"
	"sallyport/core/api"
)

// codes reads all codes of failures from the source.
func codes(t *testing.T) []api.ErrorCode {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "core", "api", "error.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []api.ErrorCode
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "ErrorCode" {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, api.ErrorCode(s))
		}
		return true
	})
	if len(out) < 30 {
		t.Fatalf("only %d codes found", len(out))
	}
	return out
}

// TestEveryCodeIsExplained looks every sentence up that ErrorText may say, in
// each language, with nothing in it that is not filled.
func TestEveryCodeIsExplained(t *testing.T) {
	gap := regexp.MustCompile(`\{\{\.(\w+)\}\}`)
	texts := map[string]map[string]string{}
	for _, lang := range []string{"en", "de", "fr", "es", "zh"} {
		b, err := assets.Translations.ReadFile("translations/errors." + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		texts[lang] = map[string]string{}
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		texts[lang] = m
	}
	used := map[string]bool{"errors.unverified": true}
	check := func(e *api.Error) {
		t.Helper()
		what, why, next := ErrorText(e)
		for _, s := range []Text{what, why, next} {
			used[s.Key] = true
			for lang, m := range texts {
				text, ok := m[s.Key]
				if !ok {
					t.Errorf("%s: no %s in %s", e.Code, s.Key, lang)
				}
				for _, g := range gap.FindAllStringSubmatch(text, -1) {
					if _, ok := s.Params[g[1]]; !ok {
						t.Errorf("%s: %s in %s has the gap %s, which is not filled", e.Code, s.Key, lang, g[1])
					}
				}
			}
		}
	}
	for _, c := range append(codes(t), "of a later service") {
		if _, ok := known[c]; !ok && c != "of a later service" {
			t.Errorf("%s has no sentences", c)
		}
		check(&api.Error{Code: c})
		check(&api.Error{Code: c, Params: map[string]string{"connection": "office"}})
		check(&api.Error{Code: c, Params: map[string]string{"notify": "x", "issuer": "x", "expected": "x", "found": "x", "needs": "password"},
			Position: &api.Position{File: "x", Line: 3}})
		for _, proof := range []string{"psk", "certificate", "expired", "unasked", "eap", "user", "of a later service"} {
			check(&api.Error{Code: c, Params: map[string]string{"proof": proof, "subject": "x", "issuer": "x"}})
		}
		check(&api.Error{Code: c, Params: map[string]string{"proof": "server", "expected": "x", "found": "y"}})
	}
	for key := range texts["en"] {
		if !used[key] {
			t.Errorf("%s is never said", key)
		}
	}
	if n := ErrorNote(&api.Error{Params: map[string]string{"unverified": "true"}}); n.Key != "errors.unverified" {
		t.Errorf("a forged answer is noted as %q", n.Key)
	}
	if n := ErrorNote(&api.Error{}); n.Key != "" {
		t.Errorf("nothing is noted as %q", n.Key)
	}
}
