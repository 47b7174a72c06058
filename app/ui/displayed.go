package ui

import (
	"sallyport/app/ui/connections"
	"sallyport/app/ui/kit"
)

// Displayed is what the window says, as its widgets have it: for tests that
// hold it against the service.
type Displayed struct {
	Page kit.Page `json:"page"`
	// NoService is the title of the page that stands in the place of Page.
	NoService string `json:"no_service,omitempty"`
	Mark      string `json:"mark"` // the word at the foot of the navigation
	// Asks is the connection that the question in front is about.
	Asks        string                  `json:"asks,omitempty"`
	Connections []connections.Displayed `json:"connections,omitempty"`
}

// Displayed returns what the window says now.
func (w *Window) Displayed() *Displayed {
	d := &Displayed{Page: w.current, Mark: w.rail.mark.text.Text, Asks: w.asks.Asks()}
	if !w.linked {
		d.NoService = w.link.title
		return d
	}
	if v, ok := w.views[w.current].(*connections.View); ok {
		d.Connections = v.Displayed()
	}
	return d
}
