// Package assets holds the files that are compiled into the programs: icons,
// fonts and translations.
package assets

import "embed"

// Translations holds translations/AREA.LANG.json: the catalogue, an area of
// the program a file, in the languages of Languages.
//
//go:embed translations
var Translations embed.FS
