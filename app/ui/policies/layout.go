package policies

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/ui/kit"
)

// beside sets a list of em times the text size left of what it is the list of,
// or above it where there is no room for both.
func beside(list, rest fyne.CanvasObject, em float32) *fyne.Container {
	return container.New(besideLayout{em}, list, rest)
}

type besideLayout struct{ em float32 }

func (l besideLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(max(a.Width, b.Width), max(a.Height, b.Height))
}

func (l besideLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	em, gap := theme.TextSize(), theme.Padding()*2
	left := max(l.em*em, o[0].MinSize().Width)
	if s.Width >= left+gap+24*em {
		o[0].Move(fyne.Position{})
		o[0].Resize(fyne.NewSize(left, s.Height))
		o[1].Move(fyne.NewPos(left+gap, 0))
		o[1].Resize(fyne.NewSize(s.Width-left-gap, s.Height))
		return
	}
	top := max(s.Height*0.36, min(o[0].MinSize().Height, s.Height/2))
	o[0].Move(fyne.Position{})
	o[0].Resize(fyne.NewSize(s.Width, top))
	o[1].Move(fyne.NewPos(0, top+gap))
	o[1].Resize(fyne.NewSize(s.Width, max(0, s.Height-top-gap)))
}

// above sets body above what ends it, which gets the height that it needs at its
// width.
func above(body, end fyne.CanvasObject) *fyne.Container {
	return container.New(aboveLayout{}, body, end)
}

type aboveLayout struct{}

func (aboveLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(max(a.Width, b.Width), a.Height+b.Height+theme.Padding())
}

func (aboveLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	o[1].Resize(fyne.NewSize(s.Width, o[1].MinSize().Height))
	h := o[1].MinSize().Height
	o[1].Resize(fyne.NewSize(s.Width, h))
	o[1].Move(fyne.NewPos(0, s.Height-h))
	o[0].Move(fyne.Position{})
	o[0].Resize(fyne.NewSize(s.Width, max(0, s.Height-h-theme.Padding())))
}

// A field is a control below its name, with what it is for and what is wrong.
type field struct {
	widget.BaseWidget
	path    string // in the policy: findings are shown at the field that they name
	deep    bool   // also those of what is within it
	control fyne.CanvasObject
	box     *fyne.Container
	fault   *widget.Label
}

func newField(path, name string, control fyne.CanvasObject, hint string) *field {
	original := control
	f := &field{path: path, control: original, fault: kit.Text("")}
	f.fault.Importance = widget.DangerImportance
	f.fault.Hide()
	if s, ok := control.(*widget.Select); ok {
		control = kit.Framed(s)
	}
	objects := []fyne.CanvasObject{}
	if name != "" {
		objects = append(objects, kit.Caption(name))
	}
	if hint != "" {
		h := kit.Muted(hint)
		h.SizeName = theme.SizeNameCaptionText
		objects = append(objects, control, h, f.fault)
	} else {
		objects = append(objects, control, f.fault)
	}
	f.box = container.New(fieldLayout{}, objects...)
	f.ExtendBaseWidget(f)
	return f
}

// CreateRenderer implements fyne.Widget.
func (f *field) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(f.box) }

// say shows what is wrong with the field; an empty text hides it. It reports
// whether the field has become higher or lower.
func (f *field) say(text string) bool {
	if f.fault.Text == text {
		return false
	}
	f.fault.SetText(text)
	kit.SetShown(f.fault, text != "")
	f.box.Refresh()
	return true
}

// newDialog returns a dialog whose content has room for the frames of entries,
// which the dialog's edge would cut.
func newDialog(env *kit.Env, title string, content fyne.CanvasObject, buttons ...fyne.CanvasObject) *kit.Dialog {
	return kit.NewDialog(env, title, container.NewPadded(content), buttons...)
}

// fieldLayout sets a name, a control and lines of text close to each other.
type fieldLayout struct{}

func (fieldLayout) step(o fyne.CanvasObject) float32 {
	if _, text := o.(*widget.Label); text {
		return -theme.InnerPadding() * 0.75
	}
	return 0
}

func (l fieldLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for _, o := range objects {
		if o.Visible() {
			m := o.MinSize()
			s.Width = max(s.Width, m.Width)
			s.Height += m.Height + l.step(o)
		}
	}
	return s
}

func (l fieldLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	y := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		h := o.MinSize().Height
		o.Resize(fyne.NewSize(s.Width, h))
		if again := o.MinSize().Height; again != h {
			h = again
			o.Resize(fyne.NewSize(s.Width, h))
		}
		o.Move(fyne.NewPos(0, y))
		y += h + l.step(o)
	}
}

// entry returns a line of text with what it holds and what to do with another.
func entry(text, placeholder string, changed func(string)) *kit.Entry {
	e := kit.NewEntry()
	e.SetPlaceHolder(placeholder)
	e.SetText(text)
	e.OnChanged = changed
	return e
}

// check returns a tick box.
func check(text string, on bool, changed func(bool)) *kit.Check {
	c := kit.NewCheck(text, nil)
	c.SetChecked(on)
	c.OnChanged = changed
	return c
}

// An option is one of several values, shown as other words.
type option struct{ value, word string }

// selection returns a drop-down list; a value that is not among the options is
// shown as it is.
func selection(options []option, value string, changed func(string)) *widget.Select {
	words := make([]string, len(options))
	at := -1
	for i, o := range options {
		words[i] = o.word
		if o.value == value {
			at = i
		}
	}
	s := widget.NewSelect(words, nil)
	if at >= 0 {
		s.SetSelectedIndex(at)
	} else {
		s.PlaceHolder = kit.Clean(value)
	}
	s.OnChanged = func(string) {
		if i := s.SelectedIndex(); i >= 0 {
			changed(options[i].value)
		}
	}
	return s
}

// hintedEntry returns an entry with suggestions to choose from.
func hintedEntry(text, placeholder string, suggestions []string, changed func(string)) *widget.SelectEntry {
	e := widget.NewSelectEntry(suggestions)
	e.Wrapping = fyne.TextWrapOff
	e.SetPlaceHolder(placeholder)
	e.SetText(text)
	e.OnChanged = changed
	return e
}
