package settings

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// format writes a resolved tree so that Parse reads it again.
func format(s *Section) []byte {
	var b bytes.Buffer
	var write func(*Section, string)
	write = func(s *Section, indent string) {
		for _, k := range s.Keys {
			v := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", `\r`).Replace(k.Value)
			if v != "" {
				v = `"` + v + `"`
			}
			fmt.Fprintf(&b, "%s%s = %s\n", indent, k.Name, v)
		}
		for _, c := range s.Sections {
			fmt.Fprintf(&b, "%s%s {\n", indent, c.Name)
			write(c, indent+"  ")
			fmt.Fprintf(&b, "%s}\n", indent)
		}
	}
	write(s, "")
	return b.Bytes()
}

// flat lists "path=value" in order.
func flat(s *Section, prefix string) []string {
	var out []string
	for _, k := range s.Keys {
		out = append(out, prefix+k.Name+"="+k.Value)
	}
	for _, c := range s.Sections {
		out = append(out, flat(c, prefix+c.Name+".")...)
	}
	return out
}

func none(string, string, Pos) ([]File, error) { return nil, nil }

func TestParseAndResolve(t *testing.T) {
	files := map[string]string{
		"inc.conf":  "x = from include\nsub { y = 2 }",
		"self.conf": "include self.conf",
	}
	include := func(_, pattern string, _ Pos) ([]File, error) {
		if text, ok := files[pattern]; ok {
			return []File{{pattern, []byte(text)}}, nil
		}
		return nil, nil
	}
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "a = b\nc{d=e}", "a=b c.d=e"},
		{"value ends at brace and comment", "a { b = c d # e\n f = g }", "a.b=c d a.f=g"},
		{"inner blanks collapse", "a =   b \t c  ", "a=b c"},
		{"list", "a = 1, 2,3", "a=1, 2,3"},
		{"quoted", `a = "x # } y"`, "a=x # } y"},
		{"escapes", `a = "q\"b\\n\tz\#"`, "a=q\"b\\n\tz#"},
		{"quoted over lines", "a = \"one\ntwo\"\nb = c", "a=one\ntwo b=c"},
		{"joined lines", "a = \"one\\\ntwo\"", "a=onetwo"},
		{"Windows lines", "a = b\r\nc {\r\n d = e\r\n}\r\n", "a=b c.d=e"},
		{"brace on the next line", "a\n{\n}\nb = 1", "b=1"},
		{"equal signs and braces in a value", "a = CN=x{y", "a=CN=x{y"},
		{"later value replaces", "a = 1\na = 2", "a=2"},
		{"sections merge", "s { a = 1 }\ns { b = 2\n a = 3 }", "s.a=3 s.b=2"},
		{"include lands in its section", "s { x = before\n include inc.conf\n z = 1 }", "s.x=from include s.z=1 s.sub.y=2"},
		{"include without a match", "include nothing/*.conf\na = 1", "a=1"},
		{"include as a key", "include = a", "include=a"},
		{"inherit", "base { a = 1\n sub { b = 2 } }\ns : base { a = 3\n sub { c = 4 } }", "base.a=1 base.sub.b=2 s.a=3 s.sub.c=4 s.sub.b=2"},
		{"first reference wins", "p { a = 1 }\nq { a = 2\n b = 2 }\ns : p, q { }", "p.a=1 q.a=2 q.b=2 s.a=1 s.b=2"},
		{"empty clears", "p { a = 1 }\ns : p { a =\n }", "p.a=1 s.a="},
		{"deep path, transitive", "c { x : p { a = 1 } }\np { z = 9 }\ns : c.x { }", "c.x.a=1 c.x.z=9 p.z=9 s.a=1 s.z=9"},
		{"later section", "s : p { }\np { a = 1 }", "s.a=1 p.a=1"},
		{"child inherits through its parent", "cd { r = 1 }\nd { ch { net : cd { } } }\nx : d { ch { net { q = 2 } } }", "cd.r=1 d.ch.net.r=1 x.ch.net.q=2 x.ch.net.r=1"},
		{"missing reference is passed over", "s : nowhere { a = 1 }", "s.a=1"},
		{"byte order mark", "\ufeffa = 1", "a=1"},
	} {
		root, err := Parse(File{"f", []byte(tt.in)}, include)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		tree, _, err := Resolve(root)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := strings.Join(flat(tree, ""), " "); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}

	bomb := "s0 { a { k = 1 } \n b { k = 1 } }\n"
	for i := 1; i < 28; i++ {
		bomb += fmt.Sprintf("s%d { a : s%d { }\n b : s%d { } }\n", i, i-1, i-1)
	}
	for _, tt := range []struct{ name, in, line, msg string }{
		{"open section", "a = 1\nb {\n c = d\n", "f:2", "no end"},
		{"stray brace", "a = 1\n}", "f:2", "closes no section"},
		{"open string", "\na = \"x\ny", "f:2", "no closing quote"},
		{"no value sign", "a b\n", "f:1", "neither"},
		{"no name", "= 3", "f:1", "name belongs here"},
		{"dotted key", "a.b = 1", "f:1", "neither"},
		{"control character", "a = \x01", "f:1", "control character"},
		{"reference without a name", "a : { }", "f:1", "inherit"},
		{"reference without a body", "a : b\nc = 1", "f:2", "missing"},
		{"cycle", "a : b { }\nb : a { }", "f:1", "itself"},
		{"own parent", "a { b : a { } }", "f:1", "itself"},
		{"include itself", "include self.conf", "self.conf:1", "include itself"},
		{"nesting", strings.Repeat("a{", 40), "f:1", "nested deeper"},
		{"doubling", bomb, "f:", "inherit too much"},
		{"include without a name", "include # x", "f:1", "names no file"},
	} {
		root, err := Parse(File{"f", []byte(tt.in)}, include)
		if err == nil {
			_, _, err = Resolve(root)
		}
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), tt.line) || !strings.Contains(err.Error(), tt.msg) {
			t.Errorf("%s: got error %v; want %s ... %s", tt.name, err, tt.line, tt.msg)
		}
	}
}

func TestMissingReferenceIsNoted(t *testing.T) {
	root, err := Parse(File{"f", []byte("a {\n b : no.where { }\n}")}, none)
	if err != nil {
		t.Fatal(err)
	}
	_, notes, err := Resolve(root)
	if err != nil || len(notes) != 1 || notes[0].Line != 2 || !strings.Contains(notes[0].Msg, "no.where") {
		t.Errorf("got notes %v, error %v", notes, err)
	}
}

func TestIncludePattern(t *testing.T) {
	for in, want := range map[string]string{
		"include conf.d/*.conf":           "conf.d/*.conf",
		"include \"my dir/*.conf\" # x":   "my dir/*.conf",
		`s { include my\ dir/x.conf }`:    "my dir/x.conf",
		"include /etc/swanctl/a.conf\nb=": "/etc/swanctl/a.conf",
	} {
		got := ""
		_, err := Parse(File{"f", []byte(in)}, func(_, p string, _ Pos) ([]File, error) { got = p; return nil, nil })
		if err != nil || got != want {
			t.Errorf("%s: asked for %q, error %v; want %q", in, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a = b\nc { d = \"e\\n f\" }\ng : c, c.d { include x }"))
	f.Add([]byte("a : b { }\nb : a { x = \"\n\" }"))
	f.Add([]byte("p { a { k = 1 } }\nq : p { a { k = \n } }"))
	f.Fuzz(func(t *testing.T, in []byte) {
		self := func(string, string, Pos) ([]File, error) { return []File{{"g", in}}, nil }
		if _, err := Parse(File{"f", in}, self); err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error without a place: %v", err)
			}
		}
		root, err := Parse(File{"f", in}, none)
		if err != nil {
			return
		}
		tree, _, err := Resolve(root)
		if err != nil {
			return
		}
		text := format(tree)
		again, err := Parse(File{"f", text}, none)
		if err != nil {
			t.Fatalf("formatted tree does not parse: %v\n%s", err, text)
		}
		if got, want := flat(again, ""), flat(tree, ""); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("round trip:\n%q\n%q", got, want)
		}
	})
}
