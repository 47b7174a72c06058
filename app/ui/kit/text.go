package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// Heading is the title of a page.
func Heading(text string) *widget.Label {
	return label(text, theme.SizeNameHeadingText, fyne.TextStyle{Bold: true}, widget.MediumImportance)
}

// Subheading is the title of a section.
func Subheading(text string) *widget.Label {
	return label(text, theme.SizeNameSubHeadingText, fyne.TextStyle{Bold: true}, widget.MediumImportance)
}

// Text is a paragraph.
func Text(text string) *widget.Label {
	return label(text, theme.SizeNameText, fyne.TextStyle{}, widget.MediumImportance)
}

// Muted is a paragraph that stands back: what explains, and what may be skipped.
func Muted(text string) *widget.Label {
	return label(text, theme.SizeNameText, fyne.TextStyle{}, widget.LowImportance)
}

// Caption is the small name above a value or a group.
func Caption(text string) *widget.Label {
	return label(text, theme.SizeNameCaptionText, fyne.TextStyle{Bold: true}, widget.LowImportance)
}

func label(text string, size fyne.ThemeSizeName, style fyne.TextStyle, imp widget.Importance) *widget.Label {
	l := widget.NewLabelWithStyle(text, fyne.TextAlignLeading, style)
	l.Wrapping = fyne.TextWrapWord
	l.SizeName = size
	l.Importance = imp
	return l
}

// SetText changes a label when its text differs: what shows the same costs nothing.
func SetText(l *widget.Label, text string) {
	if l.Text != text {
		l.SetText(text)
	}
}

// SetShown shows or hides o when it is not so already.
func SetShown(o fyne.CanvasObject, shown bool) {
	switch {
	case shown == o.Visible():
	case shown:
		o.Show()
	default:
		o.Hide()
	}
}

// Shorten cuts text to a width, with an ellipsis for what is missing.
func Shorten(text string, width, size float32, style fyne.TextStyle) string {
	if text == "" || fyne.MeasureText(text, size, style).Width <= width {
		return text
	}
	runes := []rune(text)
	lo, hi := 0, min(len(runes), 1+int(width)) // no rune is narrower than a pixel
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if fyne.MeasureText(string(runes[:mid])+"…", size, style).Width <= width {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return string(runes[:lo]) + "…"
}

func importanceColor(th fyne.Theme, v fyne.ThemeVariant, i widget.Importance) color.Color {
	name := theme.ColorNameForeground
	switch i {
	case widget.LowImportance:
		name = theme.ColorNamePlaceHolder
	case widget.HighImportance:
		name = theme.ColorNamePrimary
	case widget.DangerImportance:
		name = theme.ColorNameError
	case widget.WarningImportance:
		name = theme.ColorNameWarning
	case widget.SuccessImportance:
		name = theme.ColorNameSuccess
	}
	return th.Color(name, v)
}
