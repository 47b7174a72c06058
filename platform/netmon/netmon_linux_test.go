package netmon

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/platform/internal/roottest"
)

func TestCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard, changes := make(chan struct{}), make(chan struct{}, 1)
		go coalesce(heard, changes)
		reported := func() (n int) {
			for {
				synctest.Wait()
				select {
				case <-changes:
					n++
				default:
					return n
				}
			}
		}
		for range 5 {
			heard <- struct{}{}
			time.Sleep(settle / 2)
		}
		if n := reported(); n != 0 {
			t.Errorf("%d reports amid a burst", n)
		}
		time.Sleep(settle)
		if n := reported(); n != 1 {
			t.Errorf("%d reports of a burst, want 1", n)
		}
		start := time.Now() // a burst without end is reported all the same
		for reported() == 0 {
			heard <- struct{}{}
			time.Sleep(settle / 2)
		}
		if took := time.Since(start); took > patience+2*settle {
			t.Errorf("an endless burst was reported after %v", took)
		}
		heard <- struct{}{}
		close(heard)
		synctest.Wait()
		if _, open := <-changes; open {
			t.Error("a report after the end")
		}
	})
}

// wait reports whether a change is told within two seconds.
func wait(m *Monitor) bool {
	select {
	case _, ok := <-m.Changes():
		return ok
	case <-time.After(2 * time.Second):
		return false
	}
}

func TestMonitor(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	m, err := New(Config{Mark: 0x5a11, Table: 0x5a11})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Source(netip.MustParseAddr("192.0.2.1")); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("Source without a route = %v, want %v", err, unix.ENETUNREACH)
	}
	for _, command := range []string{
		"ip link add e0 type veth peer name e1",
		"ip addr add 192.0.2.2/24 dev e0",
		"ip link set e0 up",
		"ip link set e1 up",
		"ip addr add fd00:1::2/64 dev e0 nodad",
		"ip route add default via 192.0.2.1",
		"ip route del default",
	} {
		roottest.Run(t, command)
		if !wait(m) {
			t.Errorf("%q went unnoticed", command)
		}
	}
	for wait(m) { // until IPv6 has settled
	}
	roottest.Run(t, "ip route add default dev e1 table 23057")
	roottest.Run(t, "ip rule add not fwmark 0x5a11 table 23057")
	if wait(m) {
		t.Error("a change of our own table was told")
	}
	for _, tt := range []struct{ dst, want string }{
		{"192.0.2.77", "192.0.2.2"},
		{"::ffff:192.0.2.77", "192.0.2.2"},
		{"fd00:1::77", "fd00:1::2"},
		{"198.51.100.1", ""}, // by our table only
		{"0.0.0.0", ""},
	} {
		got, err := m.Source(netip.MustParseAddr(tt.dst))
		if tt.want == "" && err == nil || tt.want != "" && (err != nil || got.String() != tt.want) {
			t.Errorf("Source(%s) = %v, %v, want %q", tt.dst, got, err, tt.want)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-m.Changes(); open {
		t.Error("Changes stays open after Close")
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}
