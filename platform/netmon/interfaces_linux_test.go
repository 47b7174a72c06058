package netmon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport/platform/internal/roottest"
)

func TestInterfaces(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	m, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	list := func() []string {
		t.Helper()
		interfaces, err := m.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{}
		for _, i := range interfaces {
			// Link-local addresses come by themselves, at their own time.
			i.Prefixes = slices.DeleteFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
			lines = append(lines, strings.TrimSpace(fmt.Sprint(i.Name, " ", i.Loopback, " ", i.PointToPoint, " ", i.Prefixes)))
		}
		slices.Sort(lines)
		return lines
	}
	roottest.Run(t, "ip link set lo down")
	if got := list(); len(got) != 0 {
		t.Errorf("nothing is up, yet %q", got)
	}
	for _, command := range []string{
		"ip link set lo up",
		"ip link add e0 type veth peer name e1",
		"ip addr add 192.0.2.2/24 dev e0",
		"ip addr add 198.51.100.2/32 dev e0",
		"ip addr add fd00:1::2/64 dev e0 nodad",
		"ip link set e0 up",
		"ip addr add 203.0.113.1/24 dev e1", // stays down
		"ip tuntap add mode tun name t0",
		"ip addr add 10.20.0.1/32 dev t0",
		"ip link set t0 up",
	} {
		roottest.Run(t, command)
	}
	want := []string{
		"e0 false false [192.0.2.2/24 198.51.100.2/32 fd00:1::2/64]",
		"lo true false [127.0.0.1/8 ::1/128]",
		"t0 false true [10.20.0.1/32]",
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("interfaces\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
