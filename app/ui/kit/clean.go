package kit

import "strings"

// Clean makes text from elsewhere, such as a peer's identity, fit to be shown
// on one line: control characters, and those that turn the direction of the
// text, become a mark.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x061c || r == 0x200e || r == 0x200f ||
			r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, s)
}
