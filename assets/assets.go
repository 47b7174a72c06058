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
