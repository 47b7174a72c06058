package theme

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/model"
	"sallyport/assets"
)

var marks = []model.Mark{model.Off, model.Safe, model.Busy, model.Partly, model.Blocked, model.Fault}

// luminance and contrast are those of WCAG 2.2.
func luminance(c color.NRGBA) float64 {
	f := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*f(c.R) + 0.7152*f(c.G) + 0.0722*f(c.B)
}

func contrast(a, b color.NRGBA) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func TestContrast(t *testing.T) {
	grounds := []fyne.ThemeColorName{theme.ColorNameBackground, ColorSurface, ColorRail, theme.ColorNameMenuBackground, theme.ColorNameOverlayBackground}
	for name, p := range map[string]palette{"light": light, "dark": dark} {
		check := func(fg, bg fyne.ThemeColorName, want float64) {
			if got := contrast(p[fg], p[bg]); got < want {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", name, fg, bg, got, want)
			}
		}
		for _, bg := range grounds {
			for _, fg := range []fyne.ThemeColorName{theme.ColorNameForeground, ColorSubtle, theme.ColorNamePlaceHolder, theme.ColorNamePrimary,
				theme.ColorNameHyperlink, theme.ColorNameError, theme.ColorNameWarning, theme.ColorNameSuccess} {
				check(fg, bg, 4.5)
			}
			for _, m := range marks {
				check(ColorOf(m), bg, 4.5)
			}
		}
		for _, m := range marks {
			check(ColorOf(m), TintOf(m), 4.5)
			check(theme.ColorNameForeground, TintOf(m), 7)
			check(ColorSubtle, TintOf(m), 4.5)
		}
		for _, bg := range []fyne.ThemeColorName{theme.ColorNameButton, theme.ColorNameInputBackground, theme.ColorNameHeaderBackground, ColorSelected} {
			check(theme.ColorNameForeground, bg, 7)
			check(ColorSubtle, bg, 4.5)
		}
		check(theme.ColorNamePlaceHolder, theme.ColorNameInputBackground, 4.5)
		check(theme.ColorNameForegroundOnPrimary, theme.ColorNamePrimary, 4.5)
		check(theme.ColorNameForegroundOnError, theme.ColorNameError, 4.5)
		check(theme.ColorNameForegroundOnWarning, theme.ColorNameWarning, 4.5)
		check(theme.ColorNameForegroundOnSuccess, theme.ColorNameSuccess, 4.5)
		check(theme.ColorNameInputBorder, theme.ColorNameInputBackground, 3) // WCAG 1.4.11
	}
}

func TestColorsDefined(t *testing.T) {
	test.AssertAllColorNamesDefined(t, New(Options{}), "sallyport")
	for n := range light {
		if _, ok := dark[n]; !ok {
			t.Errorf("%s is not in the dark palette", n)
		}
	}
	for n := range dark {
		if _, ok := light[n]; !ok {
			t.Errorf("%s is not in the light palette", n)
		}
	}
}

func TestLook(t *testing.T) {
	for _, c := range []struct {
		look    Look
		variant fyne.ThemeVariant
		want    palette
	}{
		{System, theme.VariantLight, light},
		{System, theme.VariantDark, dark},
		{Light, theme.VariantDark, light},
		{Dark, theme.VariantLight, dark},
	} {
		if got := New(Options{Look: c.look}).Color(theme.ColorNameBackground, c.variant); got != c.want[theme.ColorNameBackground] {
			t.Errorf("look %v on a desktop of variant %v: background %v", c.look, c.variant, got)
		}
	}
}

func TestTextScale(t *testing.T) {
	base := New(Options{}).Size(theme.SizeNameText)
	for text, want := range map[float32]float32{1: 1, 2: 2, 9: 2, 0.1: 0.8} {
		if got := New(Options{Text: text}).Size(theme.SizeNameText); got != base*want {
			t.Errorf("text × %v: %v, want %v", text, got, base*want)
		}
	}
}

// TestIcons reads every icon, and sees that each mark has a shape of its own
// and the tray the theme's colours.
func TestIcons(t *testing.T) {
	test.NewTempApp(t)
	shapes := map[string]model.Mark{}
	for _, m := range marks {
		shape := string(icon("mark-" + m.String()).Content())
		if other, twice := shapes[shape]; twice {
			t.Errorf("%v looks like %v", m, other)
		}
		shapes[shape] = m
		if len(IconOf(m).Content()) == 0 {
			t.Errorf("%v has no icon", m)
		}
		for panel, p := range map[string]palette{"light": light, "dark": dark} {
			for _, size := range []int{22, 24, 32, 48} {
				name := fmt.Sprintf("icons/tray/%v-%s-%d.png", m, panel, size)
				b, err := assets.Icons.ReadFile(name)
				if err != nil {
					t.Error(err)
					continue
				}
				img, err := png.Decode(bytes.NewReader(b))
				if err != nil || img.Bounds().Dx() != size || img.Bounds().Dy() != size {
					t.Errorf("%s: %v, %v", name, img.Bounds(), err)
					continue
				}
				full := false
				for y := range size {
					for x := range size {
						full = full || color.NRGBAModel.Convert(img.At(x, y)) == p[ColorOf(m)]
					}
				}
				if !full {
					t.Errorf("%s has no pixel of the theme's colour %v", name, p[ColorOf(m)])
				}
			}
		}
	}
	for _, page := range []string{"connections", "policies", "monitor", "diagnosis", "settings"} {
		if len(PageIcon(page).Content()) == 0 {
			t.Errorf("%s has no icon", page)
		}
	}
	if _, err := png.Decode(bytes.NewReader(AppIcon().Content())); err != nil {
		t.Error(err)
	}
}
