package profile

import (
	"fmt"
	"strings"
	"time"
)

// MarshalText writes d as a profile file says it: "90s", "4h".
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses "90s", "4h", "1h30m".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%s is not a duration; write it as \"90s\", \"5m\" or \"4h\"", shown(string(b)))
	}
	d.Duration = v
	return nil
}

// String drops the zero units of time.Duration's form: "4h", not "4h0m0s".
func (d Duration) String() string {
	s := d.Duration.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
