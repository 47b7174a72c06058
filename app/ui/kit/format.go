package kit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/app/i18n"
)

// Bytes says an amount of data in units of a thousand: "12.3 MB".
func Bytes(n uint64) string { return amount(float64(n)) }

// Rate says bytes a second: "1.2 MB/s".
func Rate(perSecond float64) string { return i18n.T("kit.rate", "Size", amount(perSecond)) }

func amount(n float64) string {
	unit := 0
	for n >= 999.5 && unit < 5 {
		n /= 1000
		unit++
	}
	digits := 0
	if unit > 0 && n < 99.95 {
		digits = 1
	}
	number := Number(n, digits)
	switch unit {
	case 0:
		return i18n.T("kit.size.b", "Number", number)
	case 1:
		return i18n.T("kit.size.kb", "Number", number)
	case 2:
		return i18n.T("kit.size.mb", "Number", number)
	case 3:
		return i18n.T("kit.size.gb", "Number", number)
	case 4:
		return i18n.T("kit.size.tb", "Number", number)
	}
	return i18n.T("kit.size.pb", "Number", number)
}

// Number writes a number as the user's language does, without a fraction that
// is zero.
func Number(n float64, digits int) string {
	s := strconv.FormatFloat(n, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return strings.Replace(s, ".", i18n.T("kit.decimal"), 1)
}

// Duration says a time that passes, to the second: "00:12:05", "3 days, 01:02:03".
func Duration(d time.Duration) string {
	d = max(0, d)
	s := int(d / time.Second)
	clock := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		return i18n.T("kit.days", "Count", days, "Clock", clock)
	}
	return clock
}

// Date says a day in the zone of env.
func Date(env *Env, t time.Time) string {
	return t.In(env.Now().Location()).Format(i18n.T("kit.layout.date"))
}

// DateTime says a day and the time of day.
func DateTime(env *Env, t time.Time) string {
	return t.In(env.Now().Location()).Format(i18n.T("kit.layout.datetime"))
}
