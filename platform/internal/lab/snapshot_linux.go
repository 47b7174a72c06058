package lab

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Snapshot returns, as text, all of the machine's state that a VPN service may
// change: links, addresses, routes, rules, packet filter, name servers, and
// the settings of the IP stacks. Two snapshots of an untouched machine are
// equal byte for byte.
func (h *Host) Snapshot() string {
	h.lab.t.Helper()
	var out strings.Builder
	for _, line := range []string{
		"ip -d link show", "ip addr show", "ip -4 rule show", "ip -6 rule show",
		"ip -d -4 route show table all", "ip -d -6 route show table all", "nft list ruleset",
	} {
		fmt.Fprintf(&out, "== %s\n%s", line, h.Run(line))
	}
	h.Mount(func() error {
		info, err := os.Lstat("/etc/resolv.conf")
		if err != nil {
			fmt.Fprintf(&out, "== resolv.conf: %v\n", err)
			return nil
		}
		b, err := os.ReadFile("/etc/resolv.conf")
		fmt.Fprintf(&out, "== resolv.conf %v\n%s", info.Mode(), b)
		return err
	})
	err := h.Do(func() error {
		for _, dir := range []string{"/proc/sys/net/ipv4", "/proc/sys/net/ipv6"} {
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				// neigh: gc settings of devices that come and go; nothing of ours
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				if err == nil { // some are for writing only
					fmt.Fprintf(&out, "%s = %s", strings.TrimPrefix(path, "/proc/sys/"), b)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.lab.t.Fatalf("%s: read settings: %v", h.Name, err)
	}
	return out.String()
}

// MustBeAsBefore compares the machine with an earlier snapshot. What a service
// takes away a moment after it answered (a device that closes) gets two
// seconds.
func (h *Host) MustBeAsBefore(before string) {
	h.lab.t.Helper()
	var diff string
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		now := h.Snapshot()
		if now == before {
			return
		}
		diff = difference(before, now)
		if time.Now().After(end) {
			break
		}
	}
	h.lab.t.Errorf("%s is not as it was before:\n%s", h.Name, diff)
}

// difference lists the lines that only one of two texts has.
func difference(a, b string) string {
	count := map[string]int{}
	for _, line := range strings.Split(a, "\n") {
		count[line]--
	}
	for _, line := range strings.Split(b, "\n") {
		count[line]++
	}
	var out strings.Builder
	for _, side := range []struct {
		sign string
		text string
		want func(int) bool
	}{{"- ", a, func(n int) bool { return n < 0 }}, {"+ ", b, func(n int) bool { return n > 0 }}} {
		for _, line := range strings.Split(side.text, "\n") {
			if side.want(count[line]) {
				fmt.Fprintf(&out, "%s%s\n", side.sign, line)
				count[line] = 0
			}
		}
	}
	return out.String()
}
