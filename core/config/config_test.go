package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// shop has a field of each kind.
type shop struct {
	Name  string   `toml:"name"`
	Open  bool     `toml:"open"` // default true
	Count int      `toml:"count,omitempty"`
	Shift int      `toml:"shift,omitempty"`
	Size  uint64   `toml:"size,omitempty"`
	Wait  Duration `toml:"wait,omitempty"`
	Tags  []string `toml:"tags,omitempty"`
	Owner person   `toml:"owner,omitempty"`
	Staff []person `toml:"staff,omitempty"`
	//lint:ignore U1000 fields without export are none of the reader's business
	hidden int
}

type person struct {
	Name   string  `toml:"name"`
	Adult  bool    `toml:"adult"` // default true
	Skills []skill `toml:"skills,omitempty"`
}

type skill struct {
	Name string `toml:"name"`
	Good bool   `toml:"good,omitempty"`
}

func (s *shop) SetDefaults()   { s.Open = true }
func (p *person) SetDefaults() { p.Adult = true }

var shopDocs = Docs{"shop.tags": {Doc: "Words.", MaxItems: 3}, "shop.name": {Doc: "Its name.", Required: true, Enum: []string{"a", "b"}}, "shop.shift": {Least: -3}, "shop.wait": {Doc: "How long.", Default: "1s"}}

func read(text string) (*shop, *Tree, error) {
	tree, err := Parse("shop.toml", []byte(text), 10_000)
	if err != nil {
		return nil, nil, err
	}
	s := new(shop)
	return s, tree, tree.Decode(s, shopDocs)
}

func TestDecode(t *testing.T) {
	s, tree, err := read(`name = "a"
size = 1_000
wait = "1h30m"
tags = [
  "x",
  "y",
]
[owner]
name = "o"
[[staff]]
name = "p"
[[staff.skills]]
name = "q"
good = true
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &shop{Name: "a", Open: true, Size: 1000, Wait: Duration{90 * time.Minute}, Tags: []string{"x", "y"},
		Owner: person{Name: "o", Adult: true}, Staff: []person{{Name: "p", Adult: true, Skills: []skill{{Name: "q", Good: true}}}}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v", s)
	}
	for path, line := range map[string]int{"tags[1]": 6, "staff[0].skills[0].good": 14, "staff[0].none": 10, "owner": 8, "size": 2} {
		if got := tree.Line(path); got != line {
			t.Errorf("%s is in line %d, want %d", path, got, line)
		}
	}
}

// A file that an editor of Windows has marked as UTF-8 is read like another, and
// its faults stand in the same lines.
func TestByteOrderMark(t *testing.T) {
	if s, _, err := read("\ufeffname = \"a\"\n"); err != nil || s.Name != "a" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, _, err := read("\ufeffname = \"a\"\nnam = 1\n"); err == nil || !strings.Contains(err.Error(), "shop.toml:2: nam") {
		t.Errorf("%v", err)
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"nam = 1", `shop.toml:1: nam: unknown field; did you mean "name"?`},
		{"zzzzzz = 1", "known here: name, open, count, shift, size, wait, tags, owner, staff"},
		{"hidden = 1", "unknown field"},
		{"\nopen = 1", "shop.toml:2: open: is a number, but true or false is wanted"},
		{"count = -1", "count: \"-1\" is not a number from 0 up"},
		{"shift = -4", "shift: \"-4\" is not a number from -3 up"},
		{"wait = 5", "a duration in quotes is wanted"},
		{"wait = \"soon\"", "is not a duration"},
		{"tags = [1]", "tags[0]: is a number"},
		{"tags = [\"1\", \"2\", \"3\", \"4\"]", "tags: 4 entries are too many (limit 3)"},
		{"owner = \"x\"", "owner: is a string, but a table is wanted"},
		{"staff = 1", "a list of tables is wanted, each begun by \"[[staff]]\""},
		{"name = \"a\"\nname = \"b\"", "shop.toml:2"},
		{"x = [[[[[[[[[[1]]]]]]]]]]", "nested too deep"},
		{strings.Repeat("#", 10_001), "bytes are too many"},
	} {
		if _, _, err := read(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\ngot  %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestSchema(t *testing.T) {
	s := string(Schema("Shop", reflect.TypeFor[shop](), shopDocs))
	for _, want := range []string{`"title": "Shop"`, `"maxItems": 3`, `"How long. Default: 1s."`, `"additionalProperties": false`, `"minimum": 0`, `"minimum": -3`} {
		if !strings.Contains(s, want) {
			t.Errorf("no %s in\n%s", want, s)
		}
	}
	if strings.Contains(s, "hidden") {
		t.Error("a field that is not in the file is in its schema")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name = \"a\"\ncount = 3\nshift = -2\nopen = false\n[[staff]]\nname = \"x\\u0007\"\nadult = false\n")
	f.Add("tags = [\"x\"]\nwait = \"5m\"\n[owner]\nskills = [{name = 'q'}]")
	f.Fuzz(func(t *testing.T, text string) {
		s, _, err := read(text)
		if err != nil {
			return
		}
		written := string(Marshal("A shop.", s, shopDocs))
		again, _, err := read(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if got := string(Marshal("A shop.", again, shopDocs)); got != written {
			t.Errorf("%s\nis written\n%s", written, got)
		}
	})
}
