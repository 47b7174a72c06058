package host

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/core/host"
	"sallyport/platform/sockopt"
)

// WithoutEnv names what the service is to do without, though the system has it,
// separated by commas: to see whether a fault lies there. "all" names everything.
const WithoutEnv = "SALLYPORT_WITHOUT"

// What can be done without.
const (
	tunTCP   = "tun-tcp"   // super-packets of TCP from and to the device
	tunUDP   = "tun-udp"   // those of UDP
	tunBatch = "tun-batch" // several reads of the device in a row
	udpSend  = "udp-gso"   // several datagrams with one call (UDP_SEGMENT)
	udpRecv  = "udp-gro"   // the same on receipt (UDP_GRO)
	udpBatch = "udp-batch" // several receptions in a row
)

var offloads = []string{tunTCP, tunUDP, tunBatch, udpSend, udpRecv, udpBatch}

// without is what to do without.
type without map[string]bool

// parseWithout reads the value of WithoutEnv.
func parseWithout(value string) (without, error) {
	w := without{}
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
		case name == "all":
			for _, o := range offloads {
				w[o] = true
			}
		case slices.Contains(offloads, name):
			w[name] = true
		default:
			return nil, fmt.Errorf("%s: %q is none of %s, all", WithoutEnv, name, strings.Join(offloads, ", "))
		}
	}
	return w, nil
}

// openTUN wraps open, which opens the device.
func (w without) openTUN(open func(string, int) (host.TUN, error)) func(string, int) (host.TUN, error) {
	if !w[tunTCP] && !w[tunUDP] && !w[tunBatch] {
		return open
	}
	return func(name string, mtu int) (host.TUN, error) {
		t, err := open(name, mtu)
		if err != nil {
			return nil, err
		}
		if d, ok := t.(interface{ SetOffload(tcp, udp bool) error }); ok {
			tcp, udp := t.Offload()
			if err := d.SetOffload(tcp && !w[tunTCP], udp && !w[tunUDP] && !w[tunTCP]); err != nil {
				t.Close()
				return nil, err
			}
		}
		if w[tunBatch] {
			t = struct{ host.TUN }{t} // hides TryReader
		}
		return t, nil
	}
}

// config leaves out what the sockets are to do without.
func (w without) config(c sockopt.Config) sockopt.Config {
	c.NoSegments, c.NoMerging = w[udpSend], w[udpRecv]
	return c
}

// socket hides what is to be done without.
func (w without) socket(c host.UDPConn) host.UDPConn {
	if !w[udpBatch] {
		return c
	}
	f, cuts := c.(host.Fragmenter)
	s, sounds := c.(host.Sounder)
	switch {
	case cuts && sounds:
		return struct {
			host.UDPConn
			host.Fragmenter
			host.Sounder
		}{c, f, s}
	case cuts:
		return struct {
			host.UDPConn
			host.Fragmenter
		}{c, f}
	}
	return struct{ host.UDPConn }{c}
}
