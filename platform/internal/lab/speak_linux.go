package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UDPEcho answers datagrams with the sender's address and what it said, until
// the test's end.
func (h *Host) UDPEcho(addresses ...string) {
	h.lab.t.Helper()
	for _, a := range addresses {
		var c net.PacketConn
		if err := h.Do(func() (err error) { c, err = net.ListenPacket("udp", a); return err }); err != nil {
			h.lab.t.Fatalf("%s: udp echo: %v", h.Name, err)
		}
		h.lab.t.Cleanup(func() { c.Close() })
		go func() {
			b := make([]byte, 64<<10)
			for {
				n, from, err := c.ReadFrom(b)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil {
					continue // that of an earlier answer
				}
				host, _, _ := net.SplitHostPort(from.String())
				_, _ = c.WriteTo(append([]byte(host+" said "), b[:n]...), from)
			}
		}()
	}
}

// Ask sends one datagram, once, and returns the answer and how long it took.
func (h *Host) Ask(to netip.AddrPort, text string, limit time.Duration) (answer string, took time.Duration, err error) {
	c, err := h.Dial(context.Background(), "udp", to.String())
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	begun := time.Now()
	_ = c.SetDeadline(begun.Add(limit))
	if _, err := c.Write([]byte(text)); err != nil {
		return "", 0, err
	}
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if time.Since(begun) < limit { // ICMP told of trouble; the answer may come yet
				time.Sleep(time.Millisecond)
				continue
			}
		}
		return string(b[:n]), time.Since(begun), err
	}
}

// Via makes the sockets of a dialer leave by a device (SO_BINDTODEVICE).
func Via(dev string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), dev) }); e != nil {
			return e
		}
		return err
	}
}

// DialVia connects from the machine through a device.
func (h *Host) DialVia(dev, network, address string, limit time.Duration) (net.Conn, error) {
	var c net.Conn
	err := h.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: limit, Control: Via(dev)}).Dial(network, address)
		return err
	})
	return c, err
}

// SendRaw sends a whole IPv4 packet through the machine's IP stack, by a
// device or, with none, by its routes.
func (h *Host) SendRaw(dev string, packet []byte) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if dev != "" {
			if err := unix.BindToDevice(fd, dev); err != nil {
				return err
			}
		}
		return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])})
	})
}

// Trouble runs a command line and ignores that it fails.
func (h *Host) Trouble(line string) {
	f := strings.Fields(line)
	_, _, _ = h.Output(10*time.Second, Command(f[0], f[1:]...))
}

// LinkLocal returns the link-local address of a device.
func (h *Host) LinkLocal(dev string) netip.Addr {
	h.lab.t.Helper()
	out := h.Run("ip -6 -o addr show scope link dev " + dev)
	for _, f := range strings.Fields(out) {
		if p, err := netip.ParsePrefix(f); err == nil {
			return p.Addr()
		}
	}
	h.lab.t.Fatalf("%s: %s has no link-local address: %s", h.Name, dev, out)
	return netip.Addr{}
}
