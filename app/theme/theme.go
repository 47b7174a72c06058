// Package theme is how Sallyport looks: a calm palette for light and for dark
// surroundings, one colour and one icon of its own for each state, spacing,
// and a size of text that the user chooses.
package theme

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/model"
	"sallyport/assets"
)

// A Look is light or dark.
type Look int

// The looks.
const (
	System Look = iota // as the desktop has it
	Light
	Dark
)

// Options choose a theme.
type Options struct {
	Look Look
	// Text scales all text and what stands beside it: 1 as designed, at most 2.
	// 0 is 1.
	Text float32
	// Font comes before the built-in one: it has the glyphs that the language of
	// the user needs. Nil: the built-in font alone.
	Font fyne.Resource
}

// The colours beyond Fyne's. Those of the marks are ColorOf's.
const (
	// ColorSurface is behind what stands together: a card, a panel.
	ColorSurface fyne.ThemeColorName = "surface"
	// ColorRail is behind the navigation.
	ColorRail fyne.ThemeColorName = "rail"
	// ColorSubtle is of text that only explains: still of full contrast.
	ColorSubtle fyne.ThemeColorName = "subtle"
	// ColorSelected is behind what is selected, in the rail and in lists.
	ColorSelected fyne.ThemeColorName = "selected"
)

// ColorOf returns the name of the colour of a mark: of its icon, and of words
// in that colour.
func ColorOf(m model.Mark) fyne.ThemeColorName {
	return fyne.ThemeColorName("mark-" + m.String())
}

// TintOf returns the name of the pale colour that lies behind what has the
// colour of a mark.
func TintOf(m model.Mark) fyne.ThemeColorName {
	return fyne.ThemeColorName("tint-" + m.String())
}

// IconOf returns the icon of a mark in its colour.
func IconOf(m model.Mark) fyne.Resource {
	return theme.NewColoredResource(icon("mark-"+m.String()), ColorOf(m))
}

// PageIcon returns the icon of a page of the window in the colour of text.
func PageIcon(page string) fyne.Resource { return theme.NewThemedResource(icon("page-" + page)) }

// AppIcon returns the icon of the program.
func AppIcon() fyne.Resource { return fyne.NewStaticResource("sallyport.png", assets.Icon) }

func icon(name string) fyne.Resource {
	b, err := assets.Icons.ReadFile("icons/" + name + ".svg")
	if err != nil {
		panic(err) // compiled in; a test reads all of them
	}
	return fyne.NewStaticResource(name+".svg", b)
}

type look struct{ Options }

// New returns a theme.
func New(o Options) fyne.Theme {
	if o.Text == 0 {
		o.Text = 1
	}
	o.Text = min(max(o.Text, 0.8), 2)
	return look{o}
}

// Color implements fyne.Theme.
func (l look) Color(n fyne.ThemeColorName, v fyne.ThemeVariant) color.Color {
	switch l.Look {
	case Light:
		v = theme.VariantLight
	case Dark:
		v = theme.VariantDark
	}
	p := light
	if v == theme.VariantDark {
		p = dark
	}
	if c, ok := p[n]; ok {
		return c
	}
	return theme.DefaultTheme().Color(n, v)
}

// Font implements fyne.Theme.
func (l look) Font(s fyne.TextStyle) fyne.Resource {
	if l.Options.Font != nil && !s.Symbol && !s.Monospace {
		return l.Options.Font
	}
	return theme.DefaultTheme().Font(s)
}

// Icon implements fyne.Theme.
func (l look) Icon(n fyne.ThemeIconName) fyne.Resource { return theme.DefaultTheme().Icon(n) }

// Size implements fyne.Theme. Text and the icons in its lines scale; paddings
// and corners do not, so that a window keeps room for the larger text.
func (l look) Size(n fyne.ThemeSizeName) float32 {
	switch n {
	case theme.SizeNameText:
		return 14 * l.Text
	case theme.SizeNameHeadingText:
		return 22 * l.Text
	case theme.SizeNameSubHeadingText:
		return 17 * l.Text
	case theme.SizeNameCaptionText:
		return 12 * l.Text
	case theme.SizeNameInlineIcon:
		return 18 * l.Text
	case theme.SizeNameInputRadius, theme.SizeNameButtonRadius, theme.SizeNameSelectionRadius, theme.SizeNameMenuRadius:
		return 6
	case theme.SizeNameCardRadius, theme.SizeNamePopupRadius:
		return 8
	case theme.SizeNameScrollBar:
		return 10
	case theme.SizeNameScrollBarRadius:
		return 5
	}
	return theme.DefaultTheme().Size(n)
}
