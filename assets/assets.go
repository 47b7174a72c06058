// Package assets holds the files that are compiled into the programs: icons,
// fonts and translations.
package assets

import "embed"

// Translations holds translations/AREA.LANG.json: the catalogue, an area of
// the program a file, in the languages of i18n.Languages.
//
//go:embed translations
var Translations embed.FS

// Tags holds a file for each language that Fyne speaks itself, by which package
// i18n learns which of them Fyne has chosen.
//
//go:embed tags
var Tags embed.FS

// FontCJK is an OpenType font with the Chinese characters that Fyne's own fonts
// lack, and with Latin letters that go with them: fyne.NewStaticResource(
// "SallyportCJK.otf", assets.FontCJK) is what a theme returns for text, in all
// weights, while i18n.Current() is "zh". fonts/subset.py tells how it is made,
// and fonts/OFL.txt under which licence.
//
//go:embed fonts/SallyportCJK.otf
var FontCJK []byte

//go:generate /usr/bin/python3 fonts/subset.py
