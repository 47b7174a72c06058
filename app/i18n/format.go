package i18n

import (
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/app/model"
)

// local puts the value of a gap into the user's language.
func local(v any) any {
	switch v := v.(type) {
	case model.Text:
		return Say(v)
	case time.Time:
		return Time(v)
	case time.Duration:
		return Duration(v)
	case int:
		return Number(v)
	case string:
		return clean(v)
	}
	return v
}

// clean makes a stranger's text, such as a gateway's name for itself, fit to
// stand in a sentence: control characters, and those that turn the direction
// of the text, become a mark.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x061c, r == 0x200e, r == 0x200f,
			r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '\ufffd'
		}
		return r
	}, s)
}

// marks are how numbers are written.
type marks struct {
	decimal, group string
	least          int    // digits that are grouped at all
	octet          string // the unit's letter
}

func numerals() marks {
	switch Current() {
	case "de":
		return marks{",", ".", 4, "B"}
	case "es":
		return marks{",", ".", 5, "B"}
	case "fr":
		return marks{",", "\u00a0", 5, "o"}
	}
	return marks{".", ",", 4, "B"}
}

// Number returns a whole number with its digits grouped.
func Number(n int) string { return group(strconv.Itoa(n), numerals()) }

// Count returns a counter with its digits grouped.
func Count(n uint64) string { return group(strconv.FormatUint(n, 10), numerals()) }

func group(digits string, m marks) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if len(digits) < m.least {
		return sign + digits
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(m.group)
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Percent returns a share of 100 without a fraction, and never 100 for less.
func Percent(p float64) string {
	if p < 100 {
		p = math.Floor(p)
	}
	s := strconv.Itoa(int(max(0, min(p, 100))))
	switch Current() {
	case "de", "es", "fr":
		return s + "\u00a0%"
	}
	return s + "%"
}

// Bytes returns an amount of data in units of a thousand: "1.2 MB".
func Bytes(n uint64) string { return amount(float64(n)) }

// Rate returns a rate of so many bytes a second: "1.2 MB/s".
func Rate(perSecond float64) string { return amount(perSecond) + "/s" }

func amount(n float64) string {
	m := numerals()
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	if n = max(0, n); math.IsNaN(n) {
		n = 0
	}
	for n >= 999.5 && i < len(prefixes)-1 {
		n, i = n/1000, i+1
	}
	digits := 0
	if i > 0 && n < 9.95 {
		digits = 1
	}
	s := strings.Replace(strconv.FormatFloat(n, 'f', digits, 64), ".", m.decimal, 1)
	return s + "\u00a0" + prefixes[i] + m.octet
}

// Duration returns a time span in its two largest units: "3 min 20 s".
func Duration(d time.Duration) string {
	s := int(max(0, d) / time.Second)
	days, hours, minutes := s/86400, s/3600%24, s/60%60
	switch {
	case days > 0 && hours > 0:
		return T("common.duration.days", "Count", days) + " " + T("common.duration.hours", "N", hours)
	case days > 0:
		return T("common.duration.days", "Count", days)
	case hours > 0 && minutes > 0:
		return T("common.duration.hours", "N", hours) + " " + T("common.duration.minutes", "N", minutes)
	case hours > 0:
		return T("common.duration.hours", "N", hours)
	case minutes > 0 && s%60 > 0:
		return T("common.duration.minutes", "N", minutes) + " " + T("common.duration.seconds", "N", s%60)
	case minutes > 0:
		return T("common.duration.minutes", "N", minutes)
	}
	return T("common.duration.seconds", "N", s)
}

var clock atomic.Pointer[func() time.Time]

// SetNow sets the clock that says what today is, and in its location the time
// zone that times are shown in. Without it that is the system's.
func SetNow(now func() time.Time) { clock.Store(&now) }

func now() time.Time {
	if f := clock.Load(); f != nil {
		return (*f)()
	}
	return time.Now()
}

// Time returns a moment as a user reads it: "14:05" if it is today, and else
// with its date.
func Time(t time.Time) string {
	n := now()
	t = t.In(n.Location())
	if t.Format(time.DateOnly) == n.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return DateTime(t)
}

// DateTime returns a moment with its date.
func DateTime(t time.Time) string { return Date(t) + " " + t.In(now().Location()).Format("15:04") }

// Date returns a day.
func Date(t time.Time) string {
	t = t.In(now().Location())
	switch Current() {
	case "de":
		return t.Format("02.01.2006")
	case "es", "fr":
		return t.Format("02/01/2006")
	case "zh":
		return t.Format("2006/01/02")
	}
	return t.Format("2 Jan 2006")
}

// Seconds returns the time of day to the second, as a log shows it.
func Seconds(t time.Time) string { return t.In(now().Location()).Format("15:04:05") }
