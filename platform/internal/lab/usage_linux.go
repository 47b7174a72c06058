package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage returns what a process has used of the processors, and its resident
// memory in bytes.
func Usage(pid int) (cpu time.Duration, rss int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // after the name, which may hold anything
	f := strings.Fields(rest)
	if len(f) < 22 {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	const ticks = 100 // a second: USER_HZ
	return time.Duration(user+system) * time.Second / ticks, pages * int64(os.Getpagesize()), nil
}
