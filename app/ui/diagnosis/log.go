package diagnosis

import (
	"context"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// maxCopy is how many lines are copied at once.
const maxCopy = 20_000

// topics are the parts of the service that speak.
var topics = []string{"config", "esp", "ike", "net", "policy", "service"}

// logTab is the page of the log.
type logTab struct {
	env *kit.Env

	search     *kit.Filter
	count      *widget.Label
	only, tail *kit.Check
	level      *widget.Select
	topic      *widget.Select
	connection *widget.Select
	copyAll    *kit.Button
	steps      *fyne.Container // from hit to hit

	list   *logList
	width  float32
	detail *logDetail
	split  *container.Split
	empty  fyne.CanvasObject
	none   fyne.CanvasObject
	body   *fyne.Container
	bar    *fyne.Container
	root   fyne.CanvasObject

	ix       *index
	busy     bool // an index is under way
	again    bool
	selected uint64
	chosen   bool
	quiet    bool    // the selection moves because the rows did
	left     float32 // where we left the list when we followed the end
}

func newLogTab(env *kit.Env, explain, messages func(connection string)) *logTab {
	t := &logTab{env: env, ix: (*index)(nil).next(&model.Log{}, criteria{})}
	t.search = kit.NewFilter(i18n.T("diagnosis.search"), func(string) { t.refresh() })
	t.search.OnSubmitted = func(string) { t.find(true) }
	t.count = kit.Muted("")
	t.count.Wrapping = fyne.TextWrapOff
	t.only = kit.NewCheck(i18n.T("diagnosis.only"), func(bool) { t.refresh() })
	t.only.Checked = true
	t.tail = kit.NewCheck(i18n.T("diagnosis.tail"), func(on bool) {
		if on {
			t.end()
		}
	})
	t.tail.Checked = true
	t.level = widget.NewSelect([]string{i18n.T("diagnosis.level.all"), i18n.T("diagnosis.level.from_info"), i18n.T("diagnosis.level.from_warn"), i18n.T("diagnosis.level.from_error")},
		func(string) { t.refresh() })
	t.topic = widget.NewSelect(append([]string{i18n.T("diagnosis.all_topics")}, topics...), func(string) { t.refresh() })
	t.connection = widget.NewSelect([]string{i18n.T("diagnosis.all_connections")}, func(string) { t.refresh() })
	for _, s := range []*widget.Select{t.level, t.topic, t.connection} {
		s.Selected = s.Options[0]
		s.PlaceHolder = s.Options[0] // a choice is as wide as this
	}
	t.copyAll = kit.NewQuiet(i18n.T("diagnosis.copy_lines"), theme.ContentCopyIcon(), t.copyLines)
	back := kit.NewQuiet("", theme.MoveUpIcon(), func() { t.find(false) })
	forward := kit.NewQuiet("", theme.MoveDownIcon(), func() { t.find(true) })
	t.steps = container.NewHBox(back, forward)
	t.steps.Hide()

	t.list = newLogList(t)
	t.detail = newLogDetail(t, explain, messages)
	t.split = container.NewVSplit(t.list, t.detail.panel)
	t.detail.panel.Hide()
	t.split.Offset = 1
	t.empty = kit.Empty(theme.DocumentIcon(), i18n.T("diagnosis.log_empty"), i18n.T("diagnosis.log_empty_text"))
	t.none = kit.Empty(theme.SearchIcon(), i18n.T("diagnosis.no_match"), i18n.T("diagnosis.no_match_text"),
		kit.NewButton(i18n.T("diagnosis.show_all"), nil, t.reset))
	t.body = container.NewStack(t.empty)
	t.bar = kit.Column(
		container.NewBorder(nil, nil, nil, container.NewHBox(t.count, t.steps), t.search),
		kit.Flow(kit.Framed(t.level), kit.Framed(t.topic), kit.Framed(t.connection)), kit.Flow(t.only, t.tail, t.copyAll))
	t.root = kit.Below(t.bar, t.body)
	return t
}

func (t *logTab) criteria() criteria {
	c := criteria{level: max(0, t.level.SelectedIndex()), needle: newNeedle(t.search.Text), only: t.only.Checked}
	if t.topic.SelectedIndex() > 0 {
		c.topic = t.topic.Selected
	}
	if t.connection.SelectedIndex() > 0 {
		c.connection = t.connection.Selected
	}
	return c
}

// update offers the connections to choose from.
func (t *logTab) update(s *model.Snapshot) { offer(t.connection, s) }

// offer sets the options of a choice of connections, all of them first.
func offer(sel *widget.Select, s *model.Snapshot) {
	options := make([]string, 1, len(s.Connections)+1)
	options[0] = i18n.T("diagnosis.all_connections")
	for _, c := range s.Connections {
		options = append(options, c.Name)
	}
	if sel.SelectedIndex() > 0 && !slices.Contains(options, sel.Selected) {
		options = append(options, sel.Selected) // what it said is in the log still
	}
	if !slices.Equal(options, sel.Options) {
		sel.SetOptions(options)
	}
}

func (t *logTab) selectConnection(name string) {
	t.search.SetText("")
	t.level.SetSelectedIndex(0)
	t.topic.SetSelectedIndex(0)
	if name != "" && !slices.Contains(t.connection.Options, name) {
		t.connection.SetOptions(append(slices.Clone(t.connection.Options), name))
	}
	if name == "" {
		t.connection.SetSelectedIndex(0)
	} else {
		t.connection.SetSelected(name)
	}
}

func (t *logTab) reset() { t.selectConnection("") }

// show shows the log as it is now.
func (t *logTab) show(log *model.Log) {
	if log != t.ix.log {
		t.refresh()
	}
}

// refresh finds the lines to show, beside Fyne's goroutine.
func (t *logTab) refresh() {
	if t.busy {
		t.again = true
		return
	}
	t.busy = true
	ix, log, c := t.ix, t.env.Model.Log(), t.criteria()
	t.env.Run(func(context.Context) error {
		ix = ix.next(log, c)
		return nil
	}, func(error) {
		t.busy = false
		t.take(ix)
		if t.again {
			t.again = false
			t.refresh()
		}
	})
}

// take shows an index.
func (t *logTab) take(ix *index) {
	old := t.ix
	t.ix = ix
	offset := t.list.GetScrollOffset()
	follow := t.tail.Checked
	if follow && t.left > 0 && offset < t.left-1 && old.c == ix.c {
		follow = false // the user scrolled away
		t.tail.SetChecked(false)
	}
	want := fyne.CanvasObject(t.split)
	switch {
	case ix.log.Len() == 0:
		want = t.empty
	case len(ix.rows) == 0:
		want = t.none
	}
	if t.body.Objects[0] != want {
		t.body.Objects[0] = want
		t.body.Refresh()
	}
	t.list.Refresh()
	if !follow && old.c == ix.c && len(old.rows) > 0 { // lines that are gone take no place any more
		gone := len(old.rows) - len(since(old.rows, ix.log.Dropped()))
		if gone > 0 {
			offset = max(0, offset-float32(gone)*t.list.step())
			t.list.ScrollToOffset(offset)
		}
	}
	t.reselect()
	t.tell()
	if follow {
		t.end()
	}
}

// reselect keeps the selection on its line.
func (t *logTab) reselect() {
	if !t.chosen {
		return
	}
	row, ok := t.ix.position(t.selected)
	if !ok {
		t.unselect()
		return
	}
	t.quiet = true
	offset := t.list.GetScrollOffset()
	t.list.Select(row)
	t.list.ScrollToOffset(offset)
	t.quiet = false
}

// tell says how much is shown.
func (t *logTab) tell() {
	rows := len(t.ix.rows)
	text := i18n.T("diagnosis.lines", "Count", rows)
	switch {
	case t.ix.c.needle != "" && len(t.ix.hits) == 0:
		text = i18n.T("diagnosis.hits_none")
	case t.ix.c.needle != "":
		text = i18n.T("diagnosis.hits", "Count", len(t.ix.hits))
	case rows < t.ix.log.Len():
		text = i18n.T("diagnosis.lines_of", "Some", rows, "All", t.ix.log.Len())
	}
	if steps := len(t.ix.hits) > 0; t.count.Text != text || steps != t.steps.Visible() {
		kit.SetText(t.count, text)
		kit.SetShown(t.steps, steps)
		t.bar.Refresh()
	}
}

// end brings the newest line into sight.
func (t *logTab) end() {
	if len(t.ix.rows) == 0 || t.list.Size().Height == 0 {
		return
	}
	t.list.ScrollToBottom()
	t.left = t.list.GetScrollOffset()
}

// find selects the next hit, or the one before.
func (t *logTab) find(forward bool) {
	row := -1
	if t.chosen {
		row, _ = t.ix.position(t.selected)
	}
	if row, ok := t.ix.nextHit(row, forward); ok {
		t.tail.SetChecked(false)
		t.list.Select(row)
	}
}

// choose shows the details of a row.
func (t *logTab) choose(row int) {
	if t.quiet || row >= len(t.ix.rows) {
		return
	}
	t.selected, t.chosen = t.ix.rows[row], true
	t.detail.show(t.ix.at(row))
	if !t.detail.panel.Visible() {
		t.detail.panel.Show()
		t.split.Offset = 0.62
		t.split.Refresh()
		t.list.ScrollTo(row)
	}
	t.tail.SetChecked(false)
}

func (t *logTab) unselect() {
	t.chosen = false
	t.list.UnselectAll()
	t.detail.panel.Hide()
	t.split.Offset = 1
	t.split.Refresh()
}

// line writes a line for the clipboard.
func (t *logTab) line(e *api.LogEntry) string {
	var b strings.Builder
	b.WriteString(e.Time.In(t.env.Now().Location()).Format("2006-01-02 15:04:05.000 -07:00"))
	b.WriteString("  " + string(e.Level) + "  " + kit.Clean(e.Topic) + "  ")
	if e.Connection != "" {
		b.WriteString(kit.Clean(e.Connection) + ": ")
	}
	b.WriteString(kit.Clean(e.Text))
	return b.String()
}

// copyLines copies the lines on show, the newest of very many.
func (t *logTab) copyLines() {
	var b strings.Builder
	for i := max(0, len(t.ix.rows)-maxCopy); i < len(t.ix.rows); i++ {
		e := t.ix.at(i)
		b.WriteString(t.line(&e) + "\n")
	}
	fyne.CurrentApp().Clipboard().SetContent(b.String())
}

// copyLine copies the selected line.
func (t *logTab) copyLine() {
	if row, ok := t.ix.position(t.selected); ok && t.chosen {
		e := t.ix.at(row)
		fyne.CurrentApp().Clipboard().SetContent(t.line(&e))
	}
}

// narrow reports whether the text of a line goes below the rest of it.
func (t *logTab) narrow() bool { return t.width > 0 && t.width < theme.TextSize()*44 }

// A logList is the list of lines.
type logList struct {
	widget.List
	t *logTab
}

func newLogList(t *logTab) *logList {
	l := &logList{t: t}
	l.Length = func() int { return len(t.ix.rows) }
	l.CreateItem = func() fyne.CanvasObject { return newLogRow(t.narrow) }
	l.UpdateItem = func(i int, o fyne.CanvasObject) {
		if i < len(t.ix.rows) {
			o.(*logRow).set(t.ix.at(i), t.env.Now(), t.ix.c.needle)
		}
	}
	l.OnSelected = t.choose
	l.HideSeparators = true
	l.ExtendBaseWidget(l)
	return l
}

// Resize implements fyne.CanvasObject.
func (l *logList) Resize(s fyne.Size) {
	before := l.t.narrow()
	l.t.width = s.Width
	l.List.Resize(s)
	if l.t.narrow() != before {
		l.Refresh()
	}
	if l.t.tail.Checked {
		l.t.end()
	}
}

// step is how far a row is below another.
func (l *logList) step() float32 {
	return newLogRow(l.t.narrow).MinSize().Height + theme.Padding()
}

// TypedShortcut implements fyne.Shortcutable.
func (l *logList) TypedShortcut(s fyne.Shortcut) {
	if _, ok := s.(*fyne.ShortcutCopy); ok {
		l.t.copyLine()
	}
}

// TypedKey implements fyne.Focusable: the arrows go from line to line, and the
// keys for pages and ends do what they do elsewhere.
func (l *logList) TypedKey(e *fyne.KeyEvent) {
	row := -1
	if l.t.chosen {
		row, _ = l.t.ix.position(l.t.selected)
	}
	last := len(l.t.ix.rows) - 1
	page := max(1, int(l.Size().Height/l.step())-1)
	switch e.Name {
	case fyne.KeyDown:
		row++
	case fyne.KeyUp:
		row--
	case fyne.KeyPageDown:
		row += page
	case fyne.KeyPageUp:
		row -= page
	case fyne.KeyHome:
		row = 0
	case fyne.KeyEnd:
		row = last
	case fyne.KeyEscape:
		if l.t.chosen {
			l.t.unselect()
		}
		return
	default:
		return
	}
	if last >= 0 {
		l.Select(max(0, min(row, last)))
	}
}

// A logDetail shows a whole line.
type logDetail struct {
	text     *widget.Label
	fields   *kit.Fields
	explain  *kit.Button
	messages *kit.Button
	panel    *kit.Panel
	name     string // of the connection
	t        *logTab
}

func newLogDetail(t *logTab, explain, messages func(string)) *logDetail {
	d := &logDetail{t: t, text: kit.Text(""), fields: kit.NewFields()}
	d.text.Selectable = true
	d.explain = kit.NewQuiet(i18n.T("diagnosis.explain"), theme.HelpIcon(), func() { explain(d.name) })
	d.messages = kit.NewQuiet(i18n.T("diagnosis.to_messages"), theme.MailComposeIcon(), func() { messages(d.name) })
	shut := kit.NewQuiet("", theme.CancelIcon(), t.unselect)
	buttons := kit.Flow(kit.NewQuiet(i18n.T("diagnosis.copy_line"), theme.ContentCopyIcon(), t.copyLine), d.explain, d.messages)
	d.panel = kit.NewPanel(kit.Below(container.NewBorder(nil, nil, nil, shut, buttons), container.NewVScroll(kit.Column(d.text, d.fields))))
	return d
}

func (d *logDetail) show(e api.LogEntry) {
	d.name = e.Connection
	kit.SetText(d.text, kit.Clean(e.Text))
	d.fields.Set(
		kit.Field{Label: i18n.T("diagnosis.field.time"), Value: e.Time.In(d.t.env.Now().Location()).Format("2006-01-02 15:04:05.000 MST")},
		kit.Field{Label: i18n.T("diagnosis.field.level"), Value: levelWord(e.Level)},
		kit.Field{Label: i18n.T("diagnosis.field.topic"), Value: kit.Clean(e.Topic)},
		kit.Field{Label: i18n.T("diagnosis.field.connection"), Value: kit.Clean(e.Connection)})
	kit.SetShown(d.explain, e.Connection != "" && weight(e.Level) >= weight(api.LogWarn))
	kit.SetShown(d.messages, e.Connection != "" && e.Topic == "ike")
}
