package config

import (
	"fmt"
	"strings"
	"time"
)

// A Duration is written as Go's time.Duration is: "90s", "4h".
type Duration struct{ time.Duration }

// MarshalText writes d as a file says it: "90s", "4h".
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses "90s", "4h", "1h30m".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%s is not a duration; write it as \"90s\", \"5m\" or \"4h\"", Shown(string(b)))
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
