// Package tun opens the layer-3 device that carries the packets of the tunnel.
//
// On Linux the device reads and writes super-packets of up to 64 KiB behind a
// virtio-net header, so that one system call moves many segments of a TCP or
// UDP flow. Elsewhere each packet stands alone, behind a header of zeros.
package tun

import (
	"fmt"

	"sallyport/core/host"
)

// MaxRead is the size of the buffer that Read never overflows: the header and
// the largest packet or super-packet.
const MaxRead = host.VNetLen + 65535

// The limits of an MTU: the least that IPv4 allows (RFC 791), and what fits
// the length field of an IP packet.
const (
	minMTU = 68
	maxMTU = 65535
)

var _ host.TUN = (*Device)(nil)

func checkMTU(mtu int) error {
	if mtu < minMTU || mtu > maxMTU {
		return fmt.Errorf("MTU %d is outside %d to %d", mtu, minMTU, maxMTU)
	}
	return nil
}
