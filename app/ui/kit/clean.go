package kit

import "strings"

// Clean makes text from elsewhere, such as a peer's identity, fit to be shown
// on one line: control characters, and those that turn the direction of the
// text, become a mark. The text font has no arrows, and what follows one in
// another font is drawn as missing: they become marks that it has.
func Clean(s string) string {
	s = arrows.Replace(s)
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x061c || r == 0x200e || r == 0x200f ||
			r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, s)
}

var arrows = strings.NewReplacer("↔", "–", "→", "›", "←", "‹")
