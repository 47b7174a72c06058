package diagnosis

import (
	"image/color"
	"strings"
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

// The messages are drawn as a sequence: a line of life for each end, an arrow
// for each message, its name over the arrow and what is remarkable below.

// lives returns where the lines of life stand: of this machine and the peer.
func lives(width float32) (left, right float32) {
	size := theme.TextSize()
	return size * 6.5, max(size*10, width-size*3.5)
}

// A seqHead names the two ends.
type seqHead struct {
	widget.BaseWidget
	us, peer *canvas.Text
}

func newSeqHead() *seqHead {
	h := &seqHead{us: canvas.NewText(i18n.T("diagnosis.us"), nil), peer: canvas.NewText(i18n.T("diagnosis.peer"), nil)}
	h.ExtendBaseWidget(h)
	return h
}

// CreateRenderer implements fyne.Widget.
func (h *seqHead) CreateRenderer() fyne.WidgetRenderer { return &seqHeadRenderer{h} }

type seqHeadRenderer struct{ h *seqHead }

func (r *seqHeadRenderer) MinSize() fyne.Size {
	return fyne.NewSize(theme.TextSize()*14, theme.TextSize()*1.8)
}

func (r *seqHeadRenderer) Layout(s fyne.Size) {
	th, v := r.h.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	left, right := lives(s.Width)
	for _, t := range []*canvas.Text{r.h.us, r.h.peer} {
		t.TextSize = th.Size(theme.SizeNameText)
		t.TextStyle.Bold = true
		t.Color = th.Color(look.ColorSubtle, v)
		t.Resize(t.MinSize())
	}
	r.h.us.Move(fyne.NewPos(max(0, left-r.h.us.MinSize().Width/2), 0))
	r.h.peer.Move(fyne.NewPos(min(s.Width-r.h.peer.MinSize().Width, right-r.h.peer.MinSize().Width/2), 0))
}

func (r *seqHeadRenderer) Refresh()                     { r.Layout(r.h.Size()); canvas.Refresh(r.h) }
func (r *seqHeadRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.h.us, r.h.peer} }
func (r *seqHeadRenderer) Destroy()                     {}

// A seqRow is a message.
type seqRow struct {
	widget.BaseWidget
	m   *api.Message
	now time.Time

	time, name, note *canvas.Text
	icon             *canvas.Image
	lives            [2]*canvas.Line
	shaft            *canvas.Line
	tips             [2]*canvas.Line
	objects          []fyne.CanvasObject
}

func newSeqRow() *seqRow {
	r := &seqRow{time: canvas.NewText("", nil), name: canvas.NewText("", nil), note: canvas.NewText("", nil)}
	for _, l := range []**canvas.Line{&r.lives[0], &r.lives[1], &r.shaft, &r.tips[0], &r.tips[1]} {
		*l = canvas.NewLine(color.Transparent)
		r.objects = append(r.objects, *l)
	}
	r.icon = canvas.NewImageFromResource(warnIcon())
	r.icon.FillMode = canvas.ImageFillContain
	r.objects = append(r.objects, r.time, r.name, r.note, r.icon)
	r.ExtendBaseWidget(r)
	return r
}

func (r *seqRow) set(m *api.Message, now time.Time) {
	if r.m == m {
		return
	}
	r.m, r.now = m, now
	r.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (r *seqRow) CreateRenderer() fyne.WidgetRenderer { return &seqRowRenderer{r} }

type seqRowRenderer struct{ r *seqRow }

func (s *seqRowRenderer) line() float32 {
	return fyne.MeasureText("Mg", s.r.Theme().Size(theme.SizeNameText), fyne.TextStyle{}).Height
}

func (s *seqRowRenderer) MinSize() fyne.Size {
	return fyne.NewSize(theme.TextSize()*14, s.line()*2+theme.Padding()*2)
}

func (s *seqRowRenderer) Layout(at fyne.Size) {
	r := s.r
	if r.m == nil {
		return
	}
	th, v := r.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	size, line, pad := th.Size(theme.SizeNameText), s.line(), th.Size(theme.SizeNamePadding)
	left, right := lives(at.Width)
	bad := odd(r.m)
	stroke := th.Color(theme.ColorNamePrimary, v)
	if bad {
		stroke = th.Color(look.ColorOf(model.Partly), v)
	}
	muted := th.Color(look.ColorSubtle, v)

	for i, x := range []float32{left, right} {
		r.lives[i].StrokeColor, r.lives[i].StrokeWidth = th.Color(theme.ColorNameSeparator, v), 2
		r.lives[i].Position1, r.lives[i].Position2 = fyne.NewPos(x, -pad), fyne.NewPos(x, at.Height+pad)
	}
	room := right - left - 2*size
	r.name.TextSize, r.name.Color, r.name.TextStyle.Bold = size, th.Color(theme.ColorNameForeground, v), true
	r.name.Text = kit.Shorten(title(r.m), room, size, r.name.TextStyle)
	r.name.Move(fyne.NewPos(left+size, pad))
	r.note.TextSize, r.note.Color, r.note.TextStyle.Bold = size, muted, bad
	text := sizeAndWay(r.m)
	if bad {
		r.note.Color = th.Color(look.ColorOf(model.Partly), v)
		text = strings.Join(remarks(r.m), " · ")
	}
	x := left + size
	r.icon.Hidden = !bad
	if bad {
		r.icon.Move(fyne.NewPos(x, pad+line+(line-size)/2))
		r.icon.Resize(fyne.NewSquareSize(size))
		x, room = x+size+pad, room-size-pad
	}
	r.note.Text = kit.Shorten(text, room, size, r.note.TextStyle)
	r.note.Move(fyne.NewPos(x, pad+line))
	r.time.TextSize, r.time.Color, r.time.TextStyle.Monospace = size*0.92, muted, true
	r.time.Text = r.m.Time.In(r.now.Location()).Format("15:04:05")
	r.time.Move(fyne.NewPos(0, pad+line/2))
	for _, t := range []*canvas.Text{r.name, r.note, r.time} {
		t.Resize(t.MinSize())
	}

	// The arrow goes between the two lines of text, as thick as can be seen.
	y := pad + line
	from, to := fyne.NewPos(left+3, y), fyne.NewPos(right-3, y)
	if !r.m.Sent {
		from, to = to, from
	}
	r.shaft.StrokeColor, r.shaft.StrokeWidth = stroke, 1.5
	r.shaft.Position1, r.shaft.Position2 = from, to
	back := -size * 0.5
	if !r.m.Sent {
		back = -back
	}
	for i, dy := range []float32{-size * 0.32, size * 0.32} {
		r.tips[i].StrokeColor, r.tips[i].StrokeWidth = stroke, 2
		r.tips[i].Position1, r.tips[i].Position2 = to, to.AddXY(back, dy)
	}
}

// sizeAndWay is the size of a message, and which way it went.
func sizeAndWay(m *api.Message) string {
	if m.Sent {
		return i18n.T("diagnosis.sent") + ", " + size(m)
	}
	return i18n.T("diagnosis.received") + ", " + size(m)
}

func (s *seqRowRenderer) Refresh() {
	s.Layout(s.r.Size())
	canvas.Refresh(s.r)
}

func (s *seqRowRenderer) Objects() []fyne.CanvasObject { return s.r.objects }

func (s *seqRowRenderer) Destroy() {}
