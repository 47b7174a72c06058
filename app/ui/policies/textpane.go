package policies

import (
	"bytes"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Limits of what is edited as text: an entry lays out all of it at each key.
// Longer texts are shown, and edited by the forms.
const (
	mostLines = 1500
	mostBytes = 64 << 10
)

// A textPane shows the text of the session with the numbers of its lines, and
// marks those with problems.
type textPane struct {
	e    *editor
	root *fyne.Container

	entry  *widget.Entry
	gutter *gutter
	scroll *container.Scroll
	small  fyne.CanvasObject
	lines  []string // of a long text
	list   *widget.List
	large  fyne.CanvasObject
	bad    map[int]bool // lines with errors
	quiet  bool
}

func newTextPane(e *editor) *textPane {
	t := &textPane{e: e, root: container.NewStack(), bad: map[int]bool{}}
	t.entry = widget.NewMultiLineEntry()
	t.entry.Wrapping = fyne.TextWrapOff
	t.entry.Scroll = fyne.ScrollNone
	t.entry.TextStyle.Monospace = true
	t.entry.OnChanged = func(string) { t.typed() }
	t.entry.OnCursorChanged = t.follow
	t.gutter = newGutter()
	t.scroll = container.NewScroll(container.NewBorder(nil, nil, t.gutter, nil, t.entry))
	t.small = t.scroll
	t.list = widget.NewList(func() int { return len(t.lines) }, func() fyne.CanvasObject { return newTextLine() }, func(i widget.ListItemID, o fyne.CanvasObject) {
		o.(*textLine).set(i+1, t.lines[i], t.bad[i+1])
	})
	t.list.HideSeparators = true
	t.large = kit.Below(kit.Info(i18n.T("policies.text.long")), t.list)
	return t
}

// show puts the session's text on the page.
func (t *textPane) show() {
	text := t.e.s.text
	if n := bytes.Count(text, []byte{'\n'}) + 1; n > mostLines || len(text) > mostBytes {
		t.lines = strings.Split(string(text), "\n")
		t.root.Objects = []fyne.CanvasObject{t.large}
		t.list.Refresh()
	} else {
		t.quiet = true
		if t.entry.Text != string(text) {
			t.entry.SetText(string(text))
		}
		t.quiet = false
		t.gutter.set(n, t.bad)
		t.root.Objects = []fyne.CanvasObject{t.small}
	}
	t.root.Refresh()
}

// typed follows the entry.
func (t *textPane) typed() {
	if t.quiet || t.e.s == nil {
		return
	}
	t.e.s.put([]byte(t.entry.Text))
	t.gutter.set(strings.Count(t.entry.Text, "\n")+1, t.bad)
	t.e.changed()
}

// marks marks the lines with problems.
func (t *textPane) marks(problems []api.Finding) {
	bad := map[int]bool{}
	for _, p := range problems {
		line := p.Position.Line
		if line == 0 && p.Position.Field != "" && t.e.s.fault == nil {
			line = t.e.s.draft.Line(p.Position.Field)
		}
		if line > 0 && p.Error {
			bad[line] = true
		}
	}
	t.bad = bad
	t.gutter.set(t.gutter.n, bad)
	if t.e.tabs.Selected() == "text" {
		t.list.Refresh()
	}
}

// line leads to a line.
func (t *textPane) line(n int) {
	n = max(1, n)
	if len(t.root.Objects) == 1 && t.root.Objects[0] == t.large {
		t.list.ScrollTo(min(n, len(t.lines)) - 1)
		return
	}
	t.entry.CursorRow, t.entry.CursorColumn = n-1, 0
	t.entry.Refresh()
	t.e.v.env.Window.Canvas().Focus(t.entry)
	t.follow()
}

// follow keeps the line of the cursor in sight.
func (t *textPane) follow() {
	h := lineHeight()
	y := theme.InnerPadding() + float32(t.entry.CursorRow)*h
	top, room := t.scroll.Offset.Y, t.scroll.Size().Height
	switch {
	case y < top:
		t.scroll.ScrollToOffset(fyne.NewPos(t.scroll.Offset.X, max(0, y-h)))
	case room > 0 && y+2*h > top+room:
		t.scroll.ScrollToOffset(fyne.NewPos(t.scroll.Offset.X, y+2*h-room))
	}
}

// lineHeight is that of a line of an entry.
func lineHeight() float32 {
	return fyne.MeasureText("M", theme.TextSize(), fyne.TextStyle{Monospace: true}).Height + theme.LineSpacing()
}

// A gutter is the numbers of lines, those with problems marked.
type gutter struct {
	widget.BaseWidget
	label *widget.Label
	n     int
	text  string
}

func newGutter() *gutter {
	g := &gutter{label: widget.NewLabel("")}
	g.label.TextStyle.Monospace = true
	g.label.Alignment = fyne.TextAlignTrailing
	g.label.Importance = widget.LowImportance
	g.ExtendBaseWidget(g)
	return g
}

func (g *gutter) set(n int, bad map[int]bool) {
	g.n = n
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			b.WriteByte('\n')
		}
		if bad[i] {
			b.WriteString("! ")
		}
		b.WriteString(strconv.Itoa(i))
	}
	if text := b.String(); text != g.text {
		g.text = text
		g.label.SetText(text)
	}
}

// CreateRenderer implements fyne.Widget.
func (g *gutter) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(g.label) }

// A textLine is a line of a long text.
type textLine struct {
	widget.BaseWidget
	number, text *canvas.Text
}

func newTextLine() *textLine {
	l := &textLine{number: canvas.NewText("", nil), text: canvas.NewText("", nil)}
	l.ExtendBaseWidget(l)
	return l
}

func (l *textLine) set(n int, text string, bad bool) {
	th, v := l.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	l.number.Text = strconv.Itoa(n)
	l.number.Color = th.Color(theme.ColorNamePlaceHolder, v)
	l.text.Color = th.Color(theme.ColorNameForeground, v)
	if bad {
		l.number.Text = "! " + l.number.Text
		l.number.Color = th.Color(theme.ColorNameError, v)
	}
	const most = 400 // of a line that nobody reads to its end
	if runes := []rune(kit.Clean(strings.ReplaceAll(strings.TrimRight(text, "\r"), "\t", "    "))); len(runes) > most {
		text = string(runes[:most]) + "…"
	} else {
		text = string(runes)
	}
	l.text.Text = text
	l.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (l *textLine) CreateRenderer() fyne.WidgetRenderer {
	for _, t := range []*canvas.Text{l.number, l.text} {
		t.TextSize = theme.TextSize()
		t.TextStyle.Monospace = true
	}
	l.number.Alignment = fyne.TextAlignTrailing
	return widget.NewSimpleRenderer(container.New(textLineLayout{}, l.number, l.text))
}

type textLineLayout struct{}

func (textLineLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(theme.TextSize()*12, o[1].MinSize().Height)
}

func (textLineLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	w := fyne.MeasureText("! 00000", theme.TextSize(), fyne.TextStyle{Monospace: true}).Width
	o[0].Resize(fyne.NewSize(w, s.Height))
	o[1].Move(fyne.NewPos(w+theme.Padding()*2, 0))
	o[1].Resize(fyne.NewSize(max(0, s.Width-w), s.Height))
}
