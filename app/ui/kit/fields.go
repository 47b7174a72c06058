package kit

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
)

// A Field is a named value. A field without a value is not shown.
type Field struct {
	Label, Value string
	Mono         bool // fingerprints, SPIs, addresses
	Copy         bool // with a button that copies the value
}

// Fields shows named values in two aligned columns; values wrap, and can be
// selected and copied.
type Fields struct {
	widget.BaseWidget
	rows []*fieldRow
	box  *fyne.Container
}

type fieldRow struct {
	Field
	name  *widget.Label
	value *widget.Label
	copy  *Button
}

// NewFields returns the fields.
func NewFields(fields ...Field) *Fields {
	f := &Fields{box: container.New(fieldsLayout{})}
	f.ExtendBaseWidget(f)
	f.Set(fields...)
	return f
}

// Set shows other fields. Fields that are as before cost nothing.
func (f *Fields) Set(fields ...Field) {
	n := 0
	changed := false
	for _, field := range fields {
		if field.Value == "" {
			continue
		}
		if n == len(f.rows) {
			f.rows = append(f.rows, newFieldRow())
			changed = true
		}
		row := f.rows[n]
		n++
		if row.Field == field {
			continue
		}
		changed = true // it may be higher now
		row.set(field)
	}
	if n < len(f.rows) {
		f.rows, changed = f.rows[:n], true
	}
	SetShown(f, n > 0)
	if !changed {
		return
	}
	f.box.Objects = f.box.Objects[:0]
	for _, r := range f.rows {
		f.box.Objects = append(f.box.Objects, r.name, r.value, r.copy)
	}
	f.box.Refresh()
}

func newFieldRow() *fieldRow {
	r := &fieldRow{name: Muted(""), value: Text("")}
	r.value.Selectable = true
	r.value.Wrapping = fyne.TextWrapWord
	r.copy = NewQuiet("", theme.ContentCopyIcon(), func() { fyne.CurrentApp().Clipboard().SetContent(r.Value) })
	return r
}

func (r *fieldRow) set(f Field) {
	r.Field = f
	SetText(r.name, f.Label)
	r.value.TextStyle.Monospace = f.Mono
	r.value.Wrapping = fyne.TextWrapWord
	if f.Mono {
		r.value.Wrapping = fyne.TextWrapBreak
	}
	r.value.SetText(f.Value)
	SetShown(r.copy, f.Copy)
}

// CreateRenderer implements fyne.Widget.
func (f *Fields) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(f.box) }

// fieldsLayout lays out triples of name, value and copy button.
type fieldsLayout struct{}

// nameWidth is that of the widest name, as far as it leaves room for values.
func nameWidth(o []fyne.CanvasObject, width float32) float32 {
	w := float32(0)
	for i := 0; i < len(o); i += 3 {
		l := o[i].(*widget.Label)
		w = max(w, fyne.MeasureText(l.Text, theme.TextSize(), l.TextStyle).Width+theme.InnerPadding()*2)
	}
	if width > 0 {
		w = min(w, width*0.45)
	}
	return w
}

func (fieldsLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for i := 0; i < len(o); i += 3 {
		name, value := o[i].MinSize(), o[i+1].MinSize()
		s.Width = max(s.Width, name.Width+value.Width+theme.TextSize()*6)
		s.Height += max(name.Height, value.Height) - rowOverlap()
	}
	if len(o) > 0 {
		s.Height += rowOverlap()
	}
	return s
}

// rowOverlap lets the air of one row serve the next as well.
func rowOverlap() float32 { return theme.InnerPadding() * 1.25 }

func (fieldsLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	w := nameWidth(o, s.Width)
	y := float32(0)
	for i := 0; i < len(o); i += 3 {
		name, value, button := o[i], o[i+1], o[i+2]
		vw := s.Width - w
		bm := button.MinSize()
		if button.Visible() {
			vw -= bm.Width
		}
		h := max(settle(name, w), settle(value, vw))
		name.Move(fyne.NewPos(0, y))
		value.Move(fyne.NewPos(w, y))
		if button.Visible() {
			line := name.MinSize().Height
			button.Resize(fyne.NewSize(bm.Width, min(bm.Height, line)))
			button.Move(fyne.NewPos(min(w+textWidth(value.(*widget.Label)), s.Width-bm.Width), y+(line-min(bm.Height, line))/2))
		}
		y += h - rowOverlap()
	}
}

func textWidth(l *widget.Label) float32 {
	w := float32(0)
	for line := range strings.Lines(l.Text) {
		w = max(w, fyne.MeasureText(strings.TrimSuffix(line, "\n"), theme.TextSize(), l.TextStyle).Width)
	}
	return w + theme.InnerPadding()*2
}

// Copyable is a text to be taken elsewhere, as it is: in a fixed font, with a
// button that copies it.
type Copyable struct {
	Panel
	label  *widget.Label
	copied string // empty: the text
}

// NewCopyableAs returns a Copyable that shows text, set for reading, and
// copies another.
func NewCopyableAs(text, copied string) *Copyable {
	c := NewCopyable(text)
	c.copied = copied
	return c
}

// NewCopyable returns a Copyable.
func NewCopyable(text string) *Copyable {
	c := &Copyable{label: Text(text)}
	c.label.TextStyle.Monospace = true
	c.label.Wrapping = fyne.TextWrapBreak
	c.label.Selectable = true
	button := NewQuiet(i18n.T("common.copy"), theme.ContentCopyIcon(), func() {
		text := c.copied
		if text == "" {
			text = c.label.Text
		}
		fyne.CurrentApp().Clipboard().SetContent(text)
	})
	c.Content = container.NewBorder(nil, nil, nil, container.NewVBox(button), c.label)
	c.Fill, c.Tight = theme.ColorNameInputBackground, true
	c.Radius = theme.InputRadiusSize()
	c.ExtendBaseWidget(c)
	return c
}

// SetText changes the text.
func (c *Copyable) SetText(text string) { SetText(c.label, text) }
