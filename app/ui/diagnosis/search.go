package diagnosis

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A needle is a text to find without regard to case.
type needle string

func newNeedle(s string) needle { return needle(strings.Map(unicode.ToLower, strings.TrimSpace(s))) }

// find returns where the needle stands in s from the given byte on, end < 0
// when it does not.
func (n needle) find(s string, from int) (start, end int) {
	if n == "" {
		return 0, -1
	}
	first := n[0]
	for i := from; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if first < utf8.RuneSelf && lower(c) != first {
				i++
				continue
			}
			if end := n.at(s, i); end >= 0 {
				return i, end
			}
			i++
			continue
		}
		if end := n.at(s, i); end >= 0 {
			return i, end
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return 0, -1
}

// at returns where the needle ends if it begins at i, and else -1.
func (n needle) at(s string, i int) int {
	for k := 0; k < len(n); {
		if i >= len(s) {
			return -1
		}
		if s[i] < utf8.RuneSelf && n[k] < utf8.RuneSelf {
			if lower(s[i]) != n[k] {
				return -1
			}
			i, k = i+1, k+1
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		w, wide := utf8.DecodeRuneInString(string(n[k:]))
		if unicode.ToLower(r) != w {
			return -1
		}
		i, k = i+size, k+wide
	}
	return i
}

func (n needle) in(s string) bool {
	_, end := n.find(s, 0)
	return end >= 0
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
