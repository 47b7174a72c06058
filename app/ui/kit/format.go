package kit

import (
	"strconv"
	"strings"
	"time"

	"sallyport/app/i18n"
)

var byteUnits = [...]string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// Bytes writes an amount of data: "12 MB", "1.4 GB".
func Bytes(n uint64) string {
	f, unit := float64(n), 0
	for f >= 999.5 && unit < len(byteUnits)-1 {
		f, unit = f/1000, unit+1
	}
	digits := 0
	if unit > 0 && f < 9.95 {
		digits = 1
	}
	return Decimal(f, digits) + " " + byteUnits[unit]
}

// Decimal writes a number with the decimal mark of the user's language.
func Decimal(f float64, digits int) string {
	return strings.Replace(strconv.FormatFloat(f, 'f', digits, 64), ".", i18n.T("format.mark"), 1)
}

// Number writes a count with its thousands apart.
func Number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	if len(s) < 5 {
		return s // four digits are read at a glance
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// Span writes how long something takes or took, in its two largest units:
// "45 s", "3 h 12 min". Less than nothing is nothing.
func Span(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	switch {
	case s < 60:
		return i18n.T("format.seconds", "N", s)
	case s < 3600:
		return pair(i18n.T("format.minutes", "N", s/60), s%60, i18n.T("format.seconds", "N", s%60))
	case s < 86400:
		return pair(i18n.T("format.hours", "N", s/3600), s/60%60, i18n.T("format.minutes", "N", s/60%60))
	}
	return pair(i18n.T("format.days", "N", s/86400), s/3600%24, i18n.T("format.hours", "N", s/3600%24))
}

func pair(first string, n int64, second string) string {
	if n == 0 {
		return first
	}
	return first + " " + second
}

// Moment writes a time in now's location: the time alone on the same day, with
// the date on others. The zero time is nothing.
func Moment(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04:05")
}

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
