package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// A Filter is a search field; Escape and the cross clear it.
type Filter struct {
	Entry
	clear *Button
}

// NewFilter returns a search field that calls changed with each new text.
func NewFilter(placeholder string, changed func(text string)) *Filter {
	f := &Filter{}
	f.PlaceHolder = placeholder
	f.Icon = theme.SearchIcon()
	f.Wrapping = fyne.TextWrapOff
	f.clear = NewQuiet("", theme.CancelIcon(), func() { f.SetText("") })
	f.clear.Hide()
	f.ActionItem = f.clear
	f.OnChanged = func(text string) {
		SetShown(f.clear, text != "")
		changed(text)
	}
	f.ExtendBaseWidget(f)
	return f
}

// TypedKey implements fyne.Focusable.
func (f *Filter) TypedKey(e *fyne.KeyEvent) {
	if e.Name == fyne.KeyEscape && f.Text != "" {
		f.SetText("")
		return
	}
	f.Entry.TypedKey(e)
}
