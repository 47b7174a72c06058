package diagnosis

import (
	"image/color"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	look "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// maxMarks is how many finds a row marks.
const maxMarks = 8

// levelMark tells a level by shape and colour.
func levelMark(l api.LogLevel) model.Mark {
	switch l {
	case api.LogDebug:
		return model.Off
	case api.LogInfo:
		return model.Busy
	case api.LogWarn:
		return model.Partly
	}
	return model.Fault
}

func levelIcon(l api.LogLevel) fyne.Resource {
	switch l {
	case api.LogDebug:
		return debugIcon()
	case api.LogInfo:
		return infoIcon()
	case api.LogWarn:
		return warnIcon()
	}
	return errorIcon()
}

// The icons are made once, and not before there is an app whose theme has them.
var (
	debugIcon = once(theme.MoreHorizontalIcon, model.Off)
	infoIcon  = once(theme.InfoIcon, model.Busy)
	warnIcon  = once(theme.WarningIcon, model.Partly)
	errorIcon = once(theme.ErrorIcon, model.Fault)
)

func once(icon func() fyne.Resource, m model.Mark) func() fyne.Resource {
	return sync.OnceValue(func() fyne.Resource { return theme.NewColoredResource(icon(), look.ColorOf(m)) })
}

func levelWord(l api.LogLevel) string {
	switch l {
	case api.LogDebug:
		return i18n.T("diagnosis.level.debug")
	case api.LogInfo:
		return i18n.T("diagnosis.level.info")
	case api.LogWarn:
		return i18n.T("diagnosis.level.warn")
	}
	return i18n.T("diagnosis.level.error")
}

// levelWidth is that of the widest word.
func levelWidth(size float32) (w float32) {
	for _, l := range [...]api.LogLevel{api.LogDebug, api.LogInfo, api.LogWarn, api.LogError} {
		w = max(w, fyne.MeasureText(levelWord(l), size, fyne.TextStyle{Bold: true}).Width)
	}
	return w
}

// clock writes the time of a line: with the day if that is another than today.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("01-02 15:04:05")
}

// A logRow is a line of the log: on one line where there is room, else the
// text below the rest.
type logRow struct {
	widget.BaseWidget
	narrow func() bool

	time, word, source, text *canvas.Text
	icon                     *canvas.Image
	marks                    [maxMarks]*canvas.Rectangle
	objects                  []fyne.CanvasObject

	entry  api.LogEntry
	needle needle
	full   string // of the text
	from   string // of the source
}

func newLogRow(narrow func() bool) *logRow {
	r := &logRow{narrow: narrow, time: canvas.NewText("", nil), word: canvas.NewText("", nil), source: canvas.NewText("", nil), text: canvas.NewText("", nil),
		icon: canvas.NewImageFromResource(debugIcon())}
	r.icon.FillMode = canvas.ImageFillContain
	for i := range r.marks {
		r.marks[i] = canvas.NewRectangle(color.Transparent)
		r.marks[i].Hide()
		r.objects = append(r.objects, r.marks[i])
	}
	r.objects = append(r.objects, r.icon, r.time, r.word, r.source, r.text)
	r.ExtendBaseWidget(r)
	return r
}

// set shows a line, if it shows another.
func (r *logRow) set(e api.LogEntry, now time.Time, n needle) {
	if r.entry == e && r.needle == n && r.time.Text != "" {
		return
	}
	r.entry, r.needle = e, n
	r.time.Text = clock(e.Time, now)
	r.word.Text = levelWord(e.Level)
	r.icon.Resource = levelIcon(e.Level)
	r.icon.Refresh()
	r.full = kit.Clean(e.Text)
	r.from = kit.Clean(e.Topic)
	if e.Connection != "" {
		r.from += " · " + kit.Clean(e.Connection)
	}
	r.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (r *logRow) CreateRenderer() fyne.WidgetRenderer { return &logRowRenderer{r} }

type logRowRenderer struct{ r *logRow }

func (l *logRowRenderer) sizes() (size, pad, line float32) {
	th := l.r.Theme()
	size = th.Size(theme.SizeNameText)
	return size, th.Size(theme.SizeNameInnerPadding) / 2, fyne.MeasureText("Mg", size, fyne.TextStyle{}).Height
}

func (l *logRowRenderer) MinSize() fyne.Size {
	_, pad, line := l.sizes()
	if l.r.narrow() {
		return fyne.NewSize(1, 2*line+pad)
	}
	return fyne.NewSize(1, line+pad)
}

func (l *logRowRenderer) Layout(s fyne.Size) {
	r := l.r
	th, v := r.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	size, pad, line := l.sizes()
	muted := th.Color(look.ColorSubtle, v)
	for _, t := range []*canvas.Text{r.time, r.word, r.source, r.text} {
		t.TextSize, t.Color = size, muted
	}
	r.time.TextStyle.Monospace = true
	r.text.Color = th.Color(theme.ColorNameForeground, v)
	r.word.Color = th.Color(look.ColorOf(levelMark(r.entry.Level)), v)
	r.word.TextStyle.Bold = weight(r.entry.Level) >= weight(api.LogWarn)

	narrow := r.narrow()
	y := pad / 2
	x := pad
	put := func(t *canvas.Text, width float32) {
		t.Move(fyne.NewPos(x, y))
		t.Resize(fyne.NewSize(width, line))
		x += width
	}
	wide := fyne.MeasureText("00:00:00", size, r.time.TextStyle).Width
	put(r.time, max(wide, fyne.MeasureText(r.time.Text, size, r.time.TextStyle).Width)+pad*2)
	r.icon.Move(fyne.NewPos(x, y+(line-size*1.1)/2))
	r.icon.Resize(fyne.NewSquareSize(size * 1.1))
	x += size*1.1 + pad
	put(r.word, levelWidth(size)+pad*2)
	width := size * 9.5
	if narrow {
		width = s.Width - x - pad
	}
	r.source.Text = kit.Shorten(r.from, width-pad, size, r.source.TextStyle)
	put(r.source, width)
	if narrow {
		x, y = pad, y+line
	}
	left := s.Width - x - pad
	r.text.Text = kit.Shorten(r.full, left, size, r.text.TextStyle)
	r.text.Move(fyne.NewPos(x, y))
	r.text.Resize(fyne.NewSize(left, line))
	l.mark(x, y, line, size, th.Color(theme.ColorNameSelection, v))
}

// mark puts a ground behind each find.
func (l *logRowRenderer) mark(x, y, line, size float32, c color.Color) {
	r := l.r
	n := 0
	for _, t := range []*canvas.Text{r.text, r.source} {
		at := t.Position()
		for from := 0; n < maxMarks; n++ {
			start, end := r.needle.find(t.Text, from)
			if end < 0 {
				break
			}
			from = end
			before := fyne.MeasureText(t.Text[:start], size, t.TextStyle).Width
			m := r.marks[n]
			m.FillColor = c
			m.CornerRadius = 2
			m.Move(fyne.NewPos(at.X+before, at.Y))
			m.Resize(fyne.NewSize(fyne.MeasureText(t.Text[start:end], size, t.TextStyle).Width, line))
			m.Show()
		}
	}
	for ; n < maxMarks; n++ {
		r.marks[n].Hide()
	}
}

func (l *logRowRenderer) Refresh() {
	l.Layout(l.r.Size())
	canvas.Refresh(l.r)
}

func (l *logRowRenderer) Objects() []fyne.CanvasObject { return l.r.objects }

func (l *logRowRenderer) Destroy() {}
