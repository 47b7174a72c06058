package host

import (
	"time"

	"golang.org/x/sys/unix"
)

// slept is what the clock that runs on through sleep is ahead of the one that
// does not. What the administrator or NTP does to the time of day is in neither.
func slept() time.Duration {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}
