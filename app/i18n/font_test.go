package i18n

import (
	"bytes"
	"testing"
	"unicode"

	"fyne.io/fyne/v2/theme"
	"github.com/go-text/typesetting/font"

	"sallyport/assets"
)

func face(t *testing.T, b []byte) *font.Face {
	t.Helper()
	f, err := font.ParseTTF(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGlyphs looks up every character of every text in the font that shows it.
func TestGlyphs(t *testing.T) {
	cjk, latin, symbols := face(t, assets.FontCJK), face(t, theme.DefaultTextFont().Content()), face(t, theme.DefaultSymbolFont().Content())
	has := func(f *font.Face, r rune) bool { _, ok := f.NominalGlyph(r); return ok }
	missing := map[rune]string{}
	for area, langs := range readAll(t) {
		for language, texts := range langs {
			for key, e := range texts {
				for _, s := range e.forms {
					for _, r := range s {
						ok := has(latin, r) || has(symbols, r)
						if language == "zh" {
							ok = has(cjk, r)
						}
						if !ok && !unicode.IsControl(r) {
							missing[r] = area + "." + language + ".json: " + key
						}
					}
				}
			}
		}
	}
	for r, where := range missing {
		t.Errorf("no glyph for %q (%U) of %s; run assets/fonts/subset.py", r, r, where)
	}
	for _, l := range Languages() { // all of them stand in one list
		for _, r := range l.Name {
			if !has(cjk, r) {
				t.Errorf("no glyph for %q of %s", r, l.Name)
			}
		}
	}
	if size := len(assets.FontCJK); size > 1600<<10 {
		t.Errorf("the font has %d bytes", size)
	}
}
