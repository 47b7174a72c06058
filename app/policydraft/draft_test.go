package policydraft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const sample = `# Ours since 2024.
version = 1
name = "LAN" # short

# How long we remember.
[downgrade]
ttl = "2160h"
pins = ["192.168.1.10"]

[[filter_lists]]
name = "Neighbours"
filters = [
  # the printers first
  {source = "me", destination = "192.168.1.9", protocol = "tcp"}, # colour
  {source = "me", destination = "192.168.1.0/24"},
  # that is all
]

[[filter_actions]]
name = "Ask, then talk"
action = "negotiate"
methods = ["aes256gcm16-x25519", "default"]
accept_unsecured = true

# --- rules ---

# Everybody near us.
[[rules]]
name = "Neighbours"
filter_list = "Neighbours"
filter_action = "Ask, then talk" # gently
[[rules.auth]]
method = "psk"
secret = "lan"

[[rules]]
filter_action = "Block"
name = "Rest"
filter_list = "All IP Traffic"
`

func parse(t testing.TB, text string) *Draft {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestEdit holds the text after an edit against what it was, a line a change.
func TestEdit(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		edit func(*Draft) (*Draft, error)
		want []string // "- " gone and "+ " new lines, in order
	}{
		{"nothing", sample, func(d *Draft) (*Draft, error) { return d.Set("rules[0]", d.Policy().Rules[0]) }, nil},
		{"value", sample, func(d *Draft) (*Draft, error) { return d.Set("rules[0].filter_action", "Permit") },
			[]string{`- filter_action = "Ask, then talk" # gently`, `+ filter_action = "Permit" # gently`}},
		{"new key, in the order of the format", sample, func(d *Draft) (*Draft, error) { return d.Set("rules[1].tunnel", "office") },
			[]string{`+ tunnel = "office"`}},
		{"key away", sample, func(d *Draft) (*Draft, error) { return d.Set("downgrade.ttl", "") }, []string{`- ttl = "2160h"`}},
		{"new table", sample, func(d *Draft) (*Draft, error) { return d.Set("exemptions", Exemptions{LAN: true, LANDiscovery: true}) },
			[]string{"+ [exemptions]", "+ lan = true", "+ lan_discovery = true", "+ "}},
		{"bool that is there stays there", "name='a'\n[exemptions]\nlan = true\n", func(d *Draft) (*Draft, error) { return d.Set("exemptions.lan", false) },
			[]string{"- lan = true", "+ lan = false"}},
		{"filter", sample, func(d *Draft) (*Draft, error) { return d.Set("filter_lists[0].filters[0].destination_port", "631") },
			[]string{`-   {source = "me", destination = "192.168.1.9", protocol = "tcp"}, # colour`,
				`+   {source = "me", destination = "192.168.1.9", protocol = "tcp", destination_port = "631"}, # colour`}},
		{"filter more", sample, func(d *Draft) (*Draft, error) {
			return d.Insert("filter_lists[0].filters", 1, Filter{Source: "me", Destination: "any"})
		}, []string{`+   {source = "me", destination = "any", mirrored = false},`}},
		{"filter less", sample, func(d *Draft) (*Draft, error) { return d.Remove("filter_lists[0].filters", 0) },
			[]string{"-   # the printers first", `-   {source = "me", destination = "192.168.1.9", protocol = "tcp"}, # colour`}},
		{"filter down", sample, func(d *Draft) (*Draft, error) { return d.Move("filter_lists[0].filters", 0, 1) },
			[]string{`+   {source = "me", destination = "192.168.1.0/24"},`, `-   {source = "me", destination = "192.168.1.0/24"},`}},
		{"strings", sample, func(d *Draft) (*Draft, error) { return d.Set("downgrade.pins", []string{"10.0.0.1", "192.168.1.10"}) },
			[]string{`- pins = ["192.168.1.10"]`, `+ pins = ["10.0.0.1", "192.168.1.10"]`}},
		{"rule away", sample, func(d *Draft) (*Draft, error) { return d.Remove("rules", 0) },
			[]string{"- # Everybody near us.", `- name = "Neighbours"`, `- filter_list = "Neighbours"`,
				`- filter_action = "Ask, then talk" # gently`, "- [[rules.auth]]", `- method = "psk"`, `- secret = "lan"`, "- ", "- [[rules]]"}},
		{"rule new", sample, func(d *Draft) (*Draft, error) {
			return d.Insert("rules", 2, Rule{Name: "N", FilterList: "All IP Traffic", FilterAction: "Permit", Auth: []AuthMethod{{Method: PSK, Secret: "x"}}})
		}, []string{"+ [[rules]]", `+ name = "N"`, `+ filter_list = "All IP Traffic"`, `+ filter_action = "Permit"`, "+ enabled = false", `+ auth = [{method = "psk", secret = "x"}]`, "+ "}},
		{"authentication in its section", sample, func(d *Draft) (*Draft, error) { return d.Set("rules[0].auth[0].secret", "y") },
			[]string{`- secret = "lan"`, `+ secret = "y"`}},
		{"dotted", "name = \"a\"\nkey_exchange.lifetime = \"1h\"\n", func(d *Draft) (*Draft, error) {
			return d.Set("key_exchange", KeyExchange{Lifetime: "1h", MasterKeyPFS: true})
		}, []string{"+ key_exchange.master_key_pfs = true"}},
		{"implied", "name = \"a\"\n[[default_response.auth]]\nmethod = \"eap\"\n", func(d *Draft) (*Draft, error) { return d.Set("default_response.enabled", true) },
			[]string{"+ ", "+ [default_response]", "+ enabled = true", "+ "}},
		{"wrong kind", "name = 5\n", func(d *Draft) (*Draft, error) { return d.Set("name", "x") }, []string{"- name = 5", `+ name = "x"`}},
		{"all inline", "name = \"a\"\nrules = [{name = \"r\", tunnel = \"t\"}]\n", func(d *Draft) (*Draft, error) {
			return d.Set("rules", []Rule{{Name: "s", Enabled: true}})
		}, []string{`- rules = [{name = "r", tunnel = "t"}]`, `+ rules = [{name = "s"}]`}},
		{"no line end", "version = 1\n[exemptions]\nlan = true", func(d *Draft) (*Draft, error) { return d.Set("exemptions.lan_discovery", true) },
			[]string{"+ lan_discovery = true", "+ "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := parse(t, tt.text)
			n, err := tt.edit(d)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(string(d.Text()), string(n.Text())); strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s\nwhole\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), n.Text())
			}
		})
	}
}

// lines is the difference of two texts by their longest common lines.
func lines(a, b string) (out []string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	n := make([][]int, len(x)+1)
	for i := range n {
		n[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if n[i][j] = max(n[i+1][j], n[i][j+1]); x[i] == y[j] {
				n[i][j] = n[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			i, j = i+1, j+1
		case i < len(x) && (j == len(y) || n[i+1][j] >= n[i][j+1]):
			out = append(out, "- "+x[i])
			i++
		default:
			out = append(out, "+ "+y[j])
			j++
		}
	}
	return out
}

func TestMoveOfSections(t *testing.T) {
	d := parse(t, sample)
	n, err := d.Move("rules", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := string(n.Text())
	rest, first := strings.Index(text, `name = "Rest"`), strings.Index(text, "# Everybody near us.")
	if rest < 0 || first < rest || !strings.Contains(text, "# --- rules ---\n\n[[rules]]\nfilter_action") {
		t.Errorf("got\n%s", text)
	}
	back, err := n.Move("rules", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(back.Text()) != sample {
		t.Errorf("there and back is\n%s", back.Text())
	}
}

func TestFaults(t *testing.T) {
	d := parse(t, "version = 1\nnam = \"x\"\n[[rules]]\nenabled = 3\nauth = 5\n")
	want := []Fault{{Unknown, 2, 0, "nam", ""}, {Wrong, 4, 0, "rules[0].enabled", ""}, {Wrong, 5, 0, "rules[0].auth", ""}}
	if !reflect.DeepEqual(d.Faults(), want) {
		t.Errorf("got %v", d.Faults())
	}
	n, err := d.Set("rules[0].enabled", true)
	if err != nil || !strings.Contains(string(n.Text()), "enabled = true") {
		t.Errorf("%v", err)
	}
	var f *Fault
	if _, err := Parse([]byte("a = 1\nb = = 2\n")); !errors.As(err, &f) || f.Kind != Syntax || f.Line != 2 || f.Column == 0 {
		t.Errorf("got %v", err)
	}
	if _, err := Parse(make([]byte, MaxText+1)); err == nil {
		t.Error("any size is taken")
	}
	if _, err := Parse([]byte("a = " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000))); err == nil {
		t.Error("any depth is taken")
	}
	for _, bad := range []func() (*Draft, error){
		func() (*Draft, error) { return d.Set("rules[9].name", "x") },
		func() (*Draft, error) { return d.Set("rules[0].name", 5) },
		func() (*Draft, error) { return d.Insert("rules", 7, Rule{}) },
		func() (*Draft, error) { return d.Remove("rules", 1) },
		func() (*Draft, error) { return d.Move("rules", 0, 1) },
	} {
		if _, err := bad(); err == nil {
			t.Error("what is not there can be edited")
		}
	}
}

func TestLine(t *testing.T) {
	d := parse(t, sample)
	for path, want := range map[string]int{"": 1, "name": 3, "filter_lists[0].filters[1].source": 15, "rules[0].auth[0].secret": 34, "rules[1]": 36, "rules[1].tunnel": 36} {
		if got := d.Line(path); got != want {
			t.Errorf("%q is in line %d, want %d", path, got, want)
		}
	}
}

func TestRewrite(t *testing.T) {
	d := parse(t, sample)
	n, err := d.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(n.Policy(), d.Policy()) || strings.Contains(string(n.Text()), "#") {
		t.Errorf("got\n%s", n.Text())
	}
	if string(New(`a"b`).Text()) != "version = 1\nname = \"a\\\"b\"\n" {
		t.Error("a new policy says more than its name")
	}
}

// TestExamples edits the examples of the documentation.
func TestExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```")
	found := 0
	for _, p := range parts {
		text, ok := strings.CutPrefix(p, "toml\n")
		if !ok {
			continue
		}
		found++
		d := parse(t, text)
		if len(d.Faults()) > 0 {
			t.Errorf("%v", d.Faults())
		}
		n, err := d.Set("description", "x")
		if err != nil {
			t.Fatal(err)
		}
		if n, err = n.Set("description", ""); err != nil || string(n.Text()) != text {
			t.Errorf("%v\n%s", err, n.Text())
		}
	}
	if found < 2 {
		t.Error("the page has no examples")
	}
}

func TestManyFilters(t *testing.T) {
	filters := make([]Filter, 20_000)
	for i := range filters {
		filters[i] = Filter{Source: "me", Destination: fmt.Sprintf("10.%d.%d.0/24", i/250, i%250), Mirrored: true}
	}
	d, err := New("big").Insert("filter_lists", 0, FilterList{Name: "many", Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if d, err = d.Set("filter_lists[0].filters[10000].protocol", "tcp"); err != nil {
		t.Fatal(err)
	}
	if d, err = d.Remove("filter_lists[0].filters", 5); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("two edits took %v", took)
	}
	all := append([]Filter(nil), d.Policy().FilterLists[0].Filters...)
	for i := range all {
		all[i].Protocol = "udp"
	}
	if d, err = d.Set("filter_lists[0].filters", all); err != nil || len(d.Policy().FilterLists[0].Filters) != 19_999 {
		t.Fatal(err)
	}
}

// TestRandomEdits does a thousand edits one after the other, each of which must
// say what was asked and keep the comments of the rest.
func TestRandomEdits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		return []string{"me", "any", "10.0.0.0/8", "a \"b\"", "c#d", "[e]", "f = 1", ""}[r.IntN(8)]
	}
	filter := func() Filter {
		return Filter{Source: word(), Destination: word(), Protocol: word(), Mirrored: r.IntN(2) == 0}
	}
	auth := func() AuthMethod {
		return AuthMethod{Method: word(), CAs: []string{word(), word()}, Secret: word()}
	}
	d := parse(t, sample)
	for i := range 1000 {
		p := d.Policy()
		var n *Draft
		var err error
		switch r.IntN(12) {
		case 0:
			n, err = d.Insert("rules", r.IntN(len(p.Rules)+1), Rule{Name: word(), FilterList: word(), Auth: []AuthMethod{auth()}, Enabled: r.IntN(2) == 0})
		case 1:
			if n = d; len(p.Rules) > 3 {
				n, err = d.Remove("rules", r.IntN(len(p.Rules)))
			}
		case 2:
			if n = d; len(p.Rules) > 0 {
				n, err = d.Move("rules", r.IntN(len(p.Rules)), r.IntN(len(p.Rules)))
			}
		case 3:
			n, err = d.Insert("filter_lists", r.IntN(len(p.FilterLists)+1), FilterList{Name: word(), Filters: []Filter{filter(), filter()}})
		case 4:
			if n = d; len(p.FilterLists) > 3 {
				n, err = d.Remove("filter_lists", r.IntN(len(p.FilterLists)))
			}
		case 5:
			n, err = d.Set("downgrade", Downgrade{TTL: word(), Pins: []string{word(), word()}})
		case 6:
			n, err = d.Set("exemptions", Exemptions{LAN: r.IntN(2) == 0, LANDiscovery: r.IntN(2) == 0})
		case 7:
			if n = d; len(p.Rules) > 0 {
				n, err = d.Set(sub("rules", r.IntN(len(p.Rules)))+".auth", []AuthMethod{auth(), auth()}[:r.IntN(3)])
			}
		case 8:
			if n = d; len(p.FilterLists) > 0 {
				n, err = d.Set(sub("filter_lists", r.IntN(len(p.FilterLists)))+".filters", []Filter{filter(), filter(), filter()}[:r.IntN(4)])
			}
		case 9:
			n, err = d.Set("default_response", DefaultResponse{Enabled: r.IntN(2) == 0, Methods: []string{word()}[:r.IntN(2)], Auth: []AuthMethod{auth()}[:r.IntN(2)]})
		case 10:
			n, err = d.Set("filter_actions", []FilterAction{{Name: word(), Action: word(), RekeySeconds: r.Uint64N(9)}, {Name: word(), Methods: []string{word()}}}[:r.IntN(3)])
		case 11:
			n, err = d.Set("key_exchange.lifetime", word())
		}
		if err != nil {
			t.Fatalf("edit %d: %v of\n%s", i, err, d.Text())
		}
		d = n
		if again := parse(t, string(d.Text())); !reflect.DeepEqual(again.policy, d.policy) {
			t.Fatalf("edit %d says something else when it is read again:\n%s", i, d.Text())
		}
	}
	if text := string(d.Text()); !strings.HasPrefix(text, "# Ours since 2024.\n") || !strings.Contains(text, "# short") || !strings.Contains(text, "# --- rules ---") {
		t.Errorf("comments are lost:\n%s", text)
	}
}

// FuzzEdit makes any text say any other thing, and holds the comments of what
// is not touched.
func FuzzEdit(f *testing.F) {
	f.Add(sample, sample, uint8(0))
	f.Add("version=1\r\nname=\"x\"\r\nrules=[{name=\"a\",auth=[{method=\"psk\"}]}]\r\n", sample, uint8(3))
	f.Add("key_exchange.lifetime=\"1h\"\n[[default_response.auth]]\nmethod='eap'\n[[filter_lists]]\n[[filter_lists.filters]]\nsource='me'\n[[filter_lists.filters]]\n", sample, uint8(1))
	f.Add("downgrade={ttl=\"1h\",pins=[\n1, #x\n\"a\" #y\n,\"b\"]}\nname=\"\"\"\n#a\n\"\"\"\n#b\n[x]\n", sample, uint8(2))
	f.Add("rules=[]\nfilter_lists=[[1]]\n[exemptions]", sample, uint8(4))
	f.Fuzz(func(t *testing.T, from, to string, pick uint8) {
		a, err := Parse([]byte(from))
		if err != nil {
			return
		}
		b, err := Parse([]byte(to))
		if err != nil || len(from)+len(to) > 8192 {
			return
		}
		d := a
		v, fields := reflect.ValueOf(b.policy), 0
		for i := range v.NumField() {
			n, err := d.Set(fieldName(v.Type().Field(i)), v.Field(i).Interface())
			if err != nil {
				if len(a.faults) == 0 && !odd(a.tree.root) {
					t.Fatalf("%s of\n%s\nto\n%s\n%v", fieldName(v.Type().Field(i)), d.Text(), to, err)
				}
				continue
			}
			d = n
			fields++
		}
		if fields == v.NumField() && !same(reflect.ValueOf(d.policy), v) {
			t.Fatalf("%s\nbecame\n%s", from, d.Text())
		}
		// What an element is moved round comes back, and says the same.
		if k := len(a.policy.Rules); k > 1 {
			x, y := int(pick)%k, int(pick/8)%k
			if n, err := a.Move("rules", x, y); err == nil {
				if n, err = n.Move("rules", y, x); err != nil || !same(reflect.ValueOf(n.policy), reflect.ValueOf(a.policy)) {
					t.Fatalf("%v: moved %d to %d and back:\n%s\nis\n%s", err, x, y, from, n.Text())
				}
			}
		}
		if strings.Count(string(mustSet(t, a).Text()), "#") < strings.Count(from, "#") {
			t.Fatalf("a comment is lost of\n%s", from)
		}
	})
}

// mustSet changes what every policy can say, and costs no comment.
func mustSet(t *testing.T, d *Draft) *Draft {
	n, err := d.Set("downgrade.ttl", d.Policy().Downgrade.TTL+"1")
	if err != nil {
		return d
	}
	return n
}

// odd reports whether a text is of a shape that no policy has.
func odd(n *node) bool {
	if n.odd {
		return true
	}
	for _, m := range n.items {
		if odd(m) {
			return true
		}
	}
	for _, m := range n.table {
		if odd(m) {
			return true
		}
	}
	return false
}
