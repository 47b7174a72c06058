//go:build !linux

package host

import "time"

var began = time.Now()

// slept is what the time of day is ahead of the clock for waits, which stands
// still in sleep on macOS. On Windows Go's clock runs on, and waits end with the
// sleep.
func slept() time.Duration {
	now := time.Now()
	return now.Round(0).Sub(began.Round(0)) - now.Sub(began)
}
