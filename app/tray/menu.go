// Package tray is the icon in the panel and its menu. It needs no window and
// no OpenGL: where none can be had, it is all there is.
//
// What the menu says is a pure function of the Snapshot (MenuOf); Tray sends
// only what has changed of it to the panel.
package tray

import (
	"slices"
	"strings"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/core/api"
)

// An Action is what an item of the menu does.
type Action string

// The actions.
const (
	Nothing    Action = ""           // the item only tells
	Open       Action = "open"       // brings the window up
	Show       Action = "show"       // brings up the page of Item.Connection
	Why        Action = "why"        // explains Item.Connection, or what is wrong with the service
	Connect    Action = "connect"    // Item.Connection
	Disconnect Action = "disconnect" // Item.Connection, or its attempt
	SetProfile Action = "profile"    // Item.Profile for Item.Connection
	Quit       Action = "quit"
)

// An Item is one line of the menu. The zero Item is a separator.
type Item struct {
	Title      string
	Tickable   bool // a tick says something of it
	Ticked     bool
	Action     Action
	Connection string
	Profile    api.Profile
	Items      []Item // a submenu
}

// A Menu is what the tray shows.
type Menu struct {
	Mark    model.Mark // of the icon
	Tooltip string
	Items   []Item
}

// most is how many connections stand in the menu itself.
const most = 10

// longest is how many letters of a text stand in one line of the menu.
const longest = 90

// MenuOf returns the menu for a snapshot. Without a window nothing is offered
// that needs one.
func MenuOf(s *model.Snapshot, window bool) Menu {
	head := i18n.Say(s.Headline)
	m := Menu{Mark: s.Mark, Tooltip: i18n.T("tray.tooltip", "Headline", head)}
	top := Item{Title: line(head)}
	if window {
		top.Action = Open
	}
	m.Items = append(m.Items, top)
	if why, of := trouble(s); why != "" {
		m.Items = append(m.Items, Item{Title: line(i18n.T("tray.why", "Why", why)), Action: Why, Connection: of})
	}
	if s.Link == model.Linked {
		m.Items = append(m.Items, connections(s, window)...)
		m.Items = append(m.Items, profiles(s)...)
	}
	m.Items = append(m.Items, Item{})
	if window {
		m.Items = append(m.Items, Item{Title: i18n.T("tray.open"), Action: Open})
	}
	m.Items = append(m.Items, Item{Title: i18n.T("tray.quit"), Action: Quit})
	return m
}

func connections(s *model.Snapshot, window bool) []Item {
	if len(s.Connections) == 0 {
		return nil
	}
	shown := make([]*model.Connection, 0, len(s.Connections))
	for i := range s.Connections {
		shown = append(shown, &s.Connections[i])
	}
	rest := 0
	if len(shown) > most { // those in use first, each kind in its order
		slices.SortStableFunc(shown, func(a, b *model.Connection) int { return rank(a) - rank(b) })
		rest = len(shown) - most
		shown = shown[:most]
		slices.SortFunc(shown, func(a, b *model.Connection) int { return strings.Compare(a.Name, b.Name) })
	}
	items := []Item{{}}
	for _, c := range shown {
		items = append(items, connection(c))
	}
	if rest > 0 {
		more := Item{Title: i18n.T("tray.more", "Count", rest)}
		if window {
			more.Action = Show
		}
		items = append(items, more)
	}
	return items
}

func rank(c *model.Connection) int {
	if inUse(c) {
		return 0
	}
	return 1
}

func inUse(c *model.Connection) bool {
	return c.State != api.Disconnected && c.State != api.Listening
}

// connection is the line of one: ticked while it is up or on its way, and a
// click turns that round.
func connection(c *model.Connection) Item {
	it := Item{Tickable: true, Ticked: inUse(c), Connection: c.Name}
	name, word := c.Name, i18n.Say(c.Word)
	switch verb := c.Verb; {
	case c.Pending == model.Disconnect || c.Pending == model.Cancel:
		it.Title = i18n.T("tray.connection", "Name", name, "Word", word)
	case verb == model.Connect && c.Pending == model.None:
		it.Title, it.Action = i18n.T("tray.connect", "Name", name, "Word", word), Connect
	case verb == model.Cancel || c.Pending == model.Connect:
		it.Title, it.Action = i18n.T("tray.cancel", "Name", name, "Word", word), Disconnect
	case verb == model.Disconnect:
		it.Title, it.Action = i18n.T("tray.disconnect", "Name", name, "Word", word), Disconnect
	default:
		it.Title = i18n.T("tray.connection", "Name", name, "Word", word)
	}
	it.Title = line(it.Title)
	return it
}

// profiles shows the profile of the connection in use, with the others to
// choose: of the first one that is connected, or else on its way.
func profiles(s *model.Snapshot) []Item {
	var c *model.Connection
	for i := range s.Connections {
		switch x := &s.Connections[i]; {
		case !inUse(x) || x.Rule != "" || x.Role == "responder":
		case x.State == api.Connected:
			return profilesOf(x)
		case c == nil:
			c = x
		}
	}
	if c == nil {
		return nil
	}
	return profilesOf(c)
}

func profilesOf(c *model.Connection) []Item {
	top := Item{Title: line(i18n.T("tray.profile", "Name", c.Name, "Profile", profile(c.Profile)))}
	for _, p := range []api.Profile{api.Respond, api.Request, api.Require} {
		it := Item{Title: profile(p), Tickable: true, Ticked: p == c.Profile, Connection: c.Name}
		if !it.Ticked {
			it.Action, it.Profile = SetProfile, p
		}
		top.Items = append(top.Items, it)
	}
	return []Item{{}, top}
}

func profile(p api.Profile) string {
	switch p {
	case api.Respond:
		return i18n.T("tray.profile.respond")
	case api.Request:
		return i18n.T("tray.profile.request")
	case api.Require:
		return i18n.T("tray.profile.require")
	}
	return string(p)
}

// trouble is why it is not better, of what presses most.
func trouble(s *model.Snapshot) (why, connection string) {
	if s.Link != model.Linked {
		if s.LinkProblem == nil || s.Link == model.Linking {
			return "", ""
		}
		_, w, _ := model.ErrorText(s.LinkProblem)
		return i18n.Say(w), ""
	}
	var worst *model.Connection
	for i := range s.Connections {
		c := &s.Connections[i]
		if len(c.Story) == 0 || c.Mark == model.Off || c.Mark == model.Safe || c.Mark == model.Busy && c.Problem == nil {
			continue
		}
		if worst == nil || pressing(c.Mark) > pressing(worst.Mark) {
			worst = c
		}
	}
	if worst == nil {
		return "", ""
	}
	return i18n.T("tray.whyOf", "Name", worst.Name, "Why", i18n.Say(worst.Story[len(worst.Story)-1])), worst.Name
}

// pressing orders marks as they need the user: what leaves in clear first.
func pressing(m model.Mark) int {
	return slices.Index([]model.Mark{model.Off, model.Safe, model.Busy, model.Fault, model.Blocked, model.Partly}, m)
}

// line makes a text fit one line of a menu: names and other people's texts may
// hold anything.
func line(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0x202d || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)), " ")
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest-1]) + "…"
	}
	return s
}

// same reports whether two menus have the same shape: then the titles and ticks
// of the one can be changed into those of the other.
func same(a, b []Item) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if (a[i].Title == "") != (b[i].Title == "") || a[i].Tickable != b[i].Tickable || !same(a[i].Items, b[i].Items) {
			return false
		}
	}
	return true
}

// dead reports whether nothing happens on a click.
func dead(it Item) bool { return it.Action == Nothing && len(it.Items) == 0 && !it.Ticked }

// String shows a menu as text: "[x] title -> action name", a line an item.
func (m Menu) String() string {
	var b strings.Builder
	b.WriteString("icon " + m.Mark.String() + "\ntooltip " + m.Tooltip + "\n")
	write(&b, m.Items, "")
	return b.String()
}

func write(b *strings.Builder, items []Item, indent string) {
	for _, it := range items {
		if it.Title == "" {
			b.WriteString(indent + "---\n")
			continue
		}
		b.WriteString(indent)
		switch {
		case it.Tickable && it.Ticked:
			b.WriteString("[x] ")
		case it.Tickable:
			b.WriteString("[ ] ")
		}
		b.WriteString(it.Title)
		if it.Action != Nothing {
			b.WriteString(" -> " + strings.TrimSpace(string(it.Action)+" "+it.Connection+" "+string(it.Profile)))
		}
		b.WriteString("\n")
		write(b, it.Items, indent+"  ")
	}
}
