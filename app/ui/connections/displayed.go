package connections

import (
	"strings"

	"fyne.io/fyne/v2"

	"sallyport/app/ui/kit"
)

// A Displayed is what the page says of a connection, as its widgets have it:
// for tests that hold the window against the service.
type Displayed struct {
	Name string `json:"name"`
	Mark string `json:"mark"` // of the icon
	Word string `json:"word"` // the state in words
	At   [2]int `json:"at"`   // the middle of its row, in pixels of the window
	// Lead and Button are those of the selected connection.
	Lead     string  `json:"lead,omitempty"`
	Button   string  `json:"button,omitempty"`
	ButtonAt *[2]int `json:"button_at,omitempty"`
}

// Displayed returns what the rows in sight say, in their order.
func (v *View) Displayed() []Displayed {
	var out []Displayed
	for at := range v.list.shown {
		r := v.list.drawn[at]
		if r == nil || r.at != at {
			continue // out of sight
		}
		d := Displayed{Name: r.name.Text, Mark: markName(r), At: middle(r)}
		d.Word, _, _ = strings.Cut(r.line.Text, " · ")
		if v.detail.conn != nil && v.detail.conn.Name == r.entry.name {
			d.Lead = v.detail.lead.Text
			if b := v.detail.button; b.Visible() && !b.Disabled() {
				at := middle(b)
				d.Button, d.ButtonAt = b.Text, &at
			}
		}
		out = append(out, d)
	}
	return out
}

// middle returns where to click on o.
func middle(o fyne.CanvasObject) [2]int {
	drv := fyne.CurrentApp().Driver()
	scale := float32(1)
	if c := drv.CanvasForObject(o); c != nil {
		scale = c.Scale()
	}
	p := drv.AbsolutePositionForObject(o)
	return [2]int{int((p.X + o.Size().Width/2) * scale), int((p.Y + o.Size().Height/2) * scale)}
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
