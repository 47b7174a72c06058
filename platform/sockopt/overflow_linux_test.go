package sockopt

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestOverflowed: what arrives and what the kernel has thrown away is together what
// was sent.
func TestOverflowed(t *testing.T) {
	c, err := Listen(Config{NoMerging: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := c.Overflowed(); n != 0 {
		t.Errorf("%d lost before any came", n)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.LocalPort())
	from, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	const sent = 20_000
	packet := make([]byte, 1400)
	for range sent {
		if _, err := from.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	lost := int(c.Overflowed())
	if lost == 0 || lost >= sent {
		t.Fatalf("%d of %d lost", lost, sent)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	for i := range sent - lost {
		if n, _, _, _, _, err := c.Recv(buf); err != nil || n != len(packet) {
			t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
		}
	}
	if n, _, _, _, _, err := c.TryRecv(buf); n >= 0 || err != nil {
		t.Errorf("one more of %d bytes, %v, than was not lost", n, err)
	}
	if n := int(c.Overflowed()); n != lost {
		t.Errorf("%d lost, %d before", n, lost)
	}
	c.Close()
	if n := c.Overflowed(); n != 0 {
		t.Errorf("a closed socket says %d", n)
	}
}
