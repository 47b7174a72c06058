package interop_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
)

var updateTables = flag.Bool("update", false, "write the tables of docs/security.md as they are found")

const (
	securityDoc = "../../docs/security.md"
	tablesBegin = "<!-- leak matrix: written by TestLeakMatrix -update -->\n"
	tablesEnd   = "<!-- end of the leak matrix -->\n"
)

// leakTitles are the profiles in the words of the Windows policies.
var leakTitles = map[api.Profile]string{
	api.Respond: "Client (respond only)",
	api.Request: "Server (request security)",
	api.Require: "Secure Server (require security)",
}

// writeLeakTables writes the tables in Markdown.
func writeLeakTables(tables [][]leakRow) string {
	var out strings.Builder
	for i, profile := range leakProfiles {
		fmt.Fprintf(&out, "\n### %s\n", leakTitles[profile])
		for j, scope := range leakScopes {
			rows := tables[i*len(leakScopes)+j]
			// A column that says the same as the one before is named with it.
			var heads []string
			var at []int
			for c, name := range leakColumns {
				same := c > 0 && !slices.ContainsFunc(rows, func(r leakRow) bool { return r.cells[c] != r.cells[at[len(at)-1]] })
				empty := !slices.ContainsFunc(rows, func(r leakRow) bool { return r.cells[c] != "–" })
				switch {
				case empty:
				case same:
					heads[len(heads)-1] += ", " + name
				default:
					heads, at = append(heads, name), append(at, c)
				}
			}
			fmt.Fprintf(&out, "\nThe connection protects %s:\n\n| state | %s |\n|---|%s\n", scope.name, strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
			for _, r := range rows {
				fmt.Fprintf(&out, "| %s |", r.state)
				for _, c := range at {
					fmt.Fprintf(&out, " %s |", r.cells[c])
				}
				out.WriteString("\n")
			}
		}
	}
	out.WriteString("\n")
	return out.String()
}

// checkLeakTables compares what was found with what the document says.
func checkLeakTables(t *testing.T, tables [][]leakRow) {
	t.Helper()
	b, err := os.ReadFile(securityDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), tablesBegin)
	said, after, ok2 := strings.Cut(rest, tablesEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the tables", securityDoc)
	}
	found := writeLeakTables(tables)
	if found == said {
		return
	}
	if *updateTables {
		if err := os.WriteFile(securityDoc, []byte(before+tablesBegin+found+tablesEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s does not say what was found (-update writes it):\n%s", securityDoc, lineDifference(said, found))
}

// lineDifference lists the lines in which two texts differ, each with its place.
func lineDifference(said, found string) string {
	a, b := strings.Split(said, "\n"), strings.Split(found, "\n")
	var out strings.Builder
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			fmt.Fprintf(&out, "line %d of the tables\nsaid:  %s\nfound: %s\n", i+1, x, y)
		}
	}
	return out.String()
}
