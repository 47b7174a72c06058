package diagnosis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Limits of the page: text that wraps has no fixed height, so all of it is
// laid out.
const (
	maxProblems = 30
	maxFailures = 15
	scanned     = 5000 // of the newest lines of the log
)

// explainTab explains what is wrong, connection by connection.
type explainTab struct {
	env            *kit.Env
	log, messages  func(connection string)
	cards          map[string]*problemCard
	problems       *fyne.Container
	more           *widget.Label
	failures       *fyne.Container
	failuresTitle  *widget.Label
	well           fyne.CanvasObject
	page           fyne.CanvasObject
	body           *fyne.Container
	root           fyne.CanvasObject
	scroll         *container.Scroll
	shown          []string // names, in the order of their cards
	first          string   // the connection that somebody asked about
	seen           *model.Log
	version        string
	lines          []api.LogEntry
	unproblematic  *kit.Note
	connectionName map[string]bool
}

func newExplainTab(env *kit.Env, log, messages func(connection string)) *explainTab {
	t := &explainTab{env: env, log: log, messages: messages, cards: map[string]*problemCard{}, problems: kit.Spread(), failures: kit.Column(),
		more: kit.Muted(""), failuresTitle: kit.Subheading(i18n.T("diagnosis.failures")), unproblematic: kit.Info("")}
	t.more.Hide()
	t.unproblematic.Hide()
	t.failuresTitle.Hide()
	t.well = kit.Empty(kit.MarkIcon(model.Safe), i18n.T("diagnosis.well"), i18n.T("diagnosis.well_text"))
	t.scroll = container.NewVScroll(container.NewPadded(container.NewPadded(kit.Spread(t.unproblematic, t.problems, t.more, t.failuresTitle, t.failures))))
	t.page = t.scroll
	t.body = container.NewStack(t.well)
	t.root = t.body
	return t
}

// selectConnection puts the explanation of a connection first.
func (t *explainTab) selectConnection(name string) {
	t.first = name
	t.update(t.env.Model.Snapshot())
	t.scroll.ScrollToTop()
}

// update shows the problems of s, the newest first.
func (t *explainTab) update(s *model.Snapshot) {
	t.version = s.Service.Version
	var broken []*model.Connection
	t.connectionName = make(map[string]bool, len(s.Connections))
	for i := range s.Connections {
		t.connectionName[s.Connections[i].Name] = true
		if s.Connections[i].Problem != nil {
			broken = append(broken, &s.Connections[i])
		}
	}
	slices.SortStableFunc(broken, func(a, b *model.Connection) int {
		if (a.Name == t.first) != (b.Name == t.first) {
			if a.Name == t.first {
				return -1
			}
			return 1
		}
		return b.Since.Compare(a.Since)
	})
	left := len(broken) - maxProblems
	broken = broken[:min(len(broken), maxProblems)]

	names := make([]string, len(broken))
	cards := make(map[string]*problemCard, len(broken))
	changed := false
	for i, c := range broken {
		card := t.cards[c.Name]
		if card == nil {
			card = newProblemCard(t, c.Name)
			changed = true
		}
		names[i], cards[c.Name] = c.Name, card
		changed = card.set(c) || changed
	}
	text := ""
	if left > 0 {
		text = i18n.T("diagnosis.more_problems", "Count", left)
	}
	kit.SetText(t.more, text)
	kit.SetShown(t.more, text != "")
	note := ""
	if t.first != "" && t.connectionName[t.first] && cards[t.first] == nil {
		note = i18n.T("diagnosis.no_problem", "Name", kit.Clean(t.first))
	}
	changed = changed || note != "" != t.unproblematic.Visible()
	t.unproblematic.SetText(note)
	t.cards = cards
	if !slices.Equal(names, t.shown) {
		t.shown, changed = names, true
		t.problems.Objects = t.problems.Objects[:0]
		for _, n := range names {
			t.problems.Objects = append(t.problems.Objects, cards[n].box)
		}
	}
	if changed {
		t.arrange()
	}
}

// show lists the failures that the log tells of.
func (t *explainTab) show(log *model.Log) {
	if log == t.seen {
		return
	}
	t.seen = log
	var lines []api.LogEntry
	for i := log.Len() - 1; i >= max(0, log.Len()-scanned) && len(lines) < maxFailures; i-- {
		if e := log.At(i); weight(e.Level) >= weight(api.LogError) {
			lines = append(lines, e)
		}
	}
	if slices.EqualFunc(lines, t.lines, func(a, b api.LogEntry) bool { return a == b }) {
		return
	}
	t.lines = lines
	t.failures.Objects = t.failures.Objects[:0]
	for _, e := range lines {
		t.failures.Objects = append(t.failures.Objects, t.failure(e))
	}
	kit.SetShown(t.failuresTitle, len(lines) > 0)
	t.arrange()
}

// failure is a line of the log, with a way to its neighbours.
func (t *explainTab) failure(e api.LogEntry) fyne.CanvasObject {
	text := kit.Text(kit.Clean(e.Text))
	text.Selectable = true
	where := clock(e.Time, t.env.Now()) + "  ·  " + kit.Clean(e.Topic)
	if e.Connection != "" {
		where += "  ·  " + kit.Clean(e.Connection)
	}
	open := kit.NewQuiet("", theme.NavigateNextIcon(), func() { t.log(e.Connection) })
	return kit.NewPanel(container.NewBorder(nil, nil, nil, container.NewVBox(open), kit.WithIcon(errorIcon(), kit.Tight(kit.Muted(where), text))))
}

func (t *explainTab) arrange() {
	want := t.page
	if len(t.shown) == 0 && len(t.lines) == 0 && !t.unproblematic.Visible() {
		want = t.well
	}
	t.body.Objects[0] = want
	t.body.Refresh()
}

// A problemCard is what is wrong with one connection.
type problemCard struct {
	t    *explainTab
	name string
	c    api.Connection
	when *widget.Label
	card *kit.ErrorCard
	box  *fyne.Container
}

func newProblemCard(t *explainTab, name string) *problemCard {
	p := &problemCard{t: t, name: name, when: kit.Muted("")}
	p.card = kit.NewErrorCard(nil,
		kit.NewQuiet(i18n.T("diagnosis.copy_support"), theme.ContentCopyIcon(), func() { fyne.CurrentApp().Clipboard().SetContent(p.support()) }),
		kit.NewQuiet(i18n.T("diagnosis.to_log"), theme.DocumentIcon(), func() { t.log(name) }),
		kit.NewQuiet(i18n.T("diagnosis.to_messages"), theme.MailComposeIcon(), func() { t.messages(name) }),
		kit.NewQuiet(i18n.T("diagnosis.to_connection"), theme.NavigateNextIcon(), func() { t.env.Go(kit.Connections, name) }))
	p.box = kit.Column(kit.Tight(kit.Subheading(kit.Clean(name)), p.when), p.card)
	return p
}

// set reports whether something changed.
func (p *problemCard) set(c *model.Connection) bool {
	same := p.c.Problem != nil && sameError(p.c.Problem, c.Problem) && p.c.Since.Equal(c.Since)
	before := p.c.Problem
	p.c = c.Connection
	if same {
		p.c.Problem = before
		return false
	}
	kit.SetText(p.when, i18n.T("diagnosis.since", "State", c.Word, "Time", c.Since))
	p.card.Set(c.Problem)
	return true
}

func sameError(a, b *api.Error) bool {
	return a.Code == b.Code && a.What == b.What && a.Why == b.Why && a.Next == b.Next && maps.Equal(a.Params, b.Params)
}

// support is what the one who helps wants to know: the service's own words,
// which are English, whatever language the window speaks.
func (p *problemCard) support() string {
	e := p.c.Problem
	var b strings.Builder
	fmt.Fprintf(&b, "Sallyport %s, service %s\n", api.Version, p.t.version)
	fmt.Fprintf(&b, "connection: %s (%s, %s) since %s\n", kit.Clean(p.name), p.c.State, p.c.Profile, p.c.Since.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "error: %s\n", e.Code)
	for _, line := range []string{e.What, e.Why, e.Next} {
		if line != "" {
			fmt.Fprintf(&b, "%s\n", kit.Clean(line))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(e.Params)) {
		if k != "server_hint" {
			fmt.Fprintf(&b, "%s: %s\n", k, kit.Clean(e.Params[k]))
		}
	}
	if hint := e.Params["server_hint"]; hint != "" {
		fmt.Fprintf(&b, "\nFor the administrator of the gateway:\n%s\n", kit.Clean(hint))
	}
	return b.String()
}
