package connections

import (
	"strings"

	"sallyport/app/ui/kit"
)

// A Displayed is what the page says of a connection, as its widgets have it:
// for tests that hold the window against the service.
type Displayed struct {
	Name string `json:"name"`
	Mark string `json:"mark"` // of the icon
	Word string `json:"word"` // the state in words
	// Lead and Button are those of the selected connection.
	Lead   string `json:"lead,omitempty"`
	Button string `json:"button,omitempty"`
}

// Displayed returns what the rows in sight say, in their order.
func (v *View) Displayed() []Displayed {
	var out []Displayed
	for at := range v.list.shown {
		r := v.list.drawn[at]
		if r == nil || r.at != at {
			continue // out of sight
		}
		d := Displayed{Name: r.name.Text, Mark: markName(r)}
		d.Word, _, _ = strings.Cut(r.line.Text, " · ")
		if v.detail.conn != nil && v.detail.conn.Name == r.entry.name {
			d.Lead, d.Button = v.detail.lead.Text, v.detail.button.Text
		}
		out = append(out, d)
	}
	return out
}

// markName names the mark whose icon a row shows.
func markName(r *row) string {
	for _, m := range kit.Marks() {
		if r.icon.Resource == kit.MarkIcon(m) {
			return m.String()
		}
	}
	return ""
}
