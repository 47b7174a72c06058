package policy

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"sallyport/core/config"
)

const schemaFile = "../../docs/policy.schema.json"

func TestPublishedSchema(t *testing.T) {
	if *update {
		if err := os.WriteFile(schemaFile, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Schema()) {
		t.Errorf("%s is not what the code says; run go test ./core/policy -run Schema -update", schemaFile)
	}
}

// TestFieldsAreDescribed holds the descriptions against the fields.
func TestFieldsAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	var visit func(reflect.Type)
	visit = func(t2 reflect.Type) {
		for t2.Kind() == reflect.Slice {
			t2 = t2.Elem()
		}
		if t2.Kind() != reflect.Struct || t2 == reflect.TypeFor[config.Duration]() {
			return
		}
		for i := range t2.NumField() {
			f := t2.Field(i)
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			key := t2.Name() + "." + name
			if seen[key] = true; docs[key].Doc == "" {
				t.Errorf("%s has no description", key)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[Policy]())
	for key := range docs {
		if !seen[key] {
			t.Errorf("%s describes no field", key)
		}
	}
}

// TestDocumentation holds the examples and tables of the reference to the code.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```toml\n")[1:]
	if len(examples) < 2 {
		t.Errorf("%d examples", len(examples))
	}
	for i, e := range examples {
		text, _, _ := strings.Cut(e, "```")
		if !strings.Contains(text, "version = 1") {
			continue
		}
		p, err := Parse("policy.md", []byte(text))
		if err != nil {
			t.Errorf("example %d: %v", i, err)
			continue
		}
		env := laptop(t)
		env.Secrets, env.Certificates = append(env.Secrets, "alice.key"), append(env.Certificates, "alice.crt")
		if f := Validate(p, env); len(f) > 0 {
			t.Errorf("example %d: %v", i, f)
		}
	}
	for key := range docs {
		_, name, _ := strings.Cut(key, ".")
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("%s is not in the reference", key)
		}
	}
}

func TestImport(t *testing.T) {
	p, err := Import("x.toml", Marshal(full()), "Other")
	if err != nil || p.Name != "Other" {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := Import("x.toml", Marshal(full()), "../x"); err == nil {
		t.Error("a path is accepted as a name")
	}
	if _, err := Import("x.toml", []byte("version = 2"), ""); err == nil {
		t.Error("another version is accepted")
	}
}

func TestDiff(t *testing.T) {
	a, b := full(), full()
	if got := Diff(a, b); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	b.KeyExchange.Lifetime = config.Duration{}
	b.Downgrade.Pins = append(b.Downgrade.Pins, "10.0.0.6")
	b.FilterLists[0].Filters[0].DestinationPort = "8443"
	b.FilterLists = append(b.FilterLists, FilterList{Name: "New", Filters: []Filter{{Source: "me", Destination: "any"}}})
	b.FilterActions[0].AcceptUnsecured = false
	b.Rules[0].FilterAction = StockRequire
	b.Rules[0].Auth = b.Rules[0].Auth[1:]
	b.Rules[1] = Rule{Name: "Newer", FilterList: "Old", FilterAction: StockBlock, Enabled: true}
	golden(t, "diff.txt", strings.Join(Diff(a, b), "\n")+"\n")
}

func FuzzParse(f *testing.F) {
	f.Add(Marshal(full()))
	for _, p := range Presets(AuthMethod{Method: MethodPSK, Secret: "s"}) {
		f.Add(Marshal(p))
	}
	f.Add([]byte(head + lists + rule("a", "net", StockRequire, viaOffice)))
	f.Add([]byte("version = 1\nname = 'x'\n[[filter_lists]]\nname = '\\u0041'\nfilters = [{source = \"10.0.0.1-10.0.0.9\", destination = \"::/0\", mirrored = false}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("f.toml", data)
		if err != nil {
			return
		}
		text := Marshal(p)
		again, err := Parse("f.toml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := Diff(p, again); len(d) > 0 || !bytes.Equal(Marshal(again), text) {
			t.Fatalf("%q\n%s", d, text)
		}
		// What can be read can be judged.
		env := smallEnv
		env.Connections = []Connection{{Name: "office"}}
		if len(data) < 4096 {
			Validate(p, env)
		}
	})
}
