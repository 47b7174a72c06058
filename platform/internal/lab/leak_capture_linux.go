package lab

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch notes which probes pass a device, while it runs.
type Watch struct {
	f     *os.File
	fd    int
	done  chan struct{}
	where string
	h     *Host
	once  sync.Once

	mu   sync.Mutex // guards what follows
	seen map[Probe]int
	esp  int
	ike  int
	lost int
}

// Watch starts to look for probes on a device.
func (h *Host) Watch(dev string) *Watch {
	h.lab.t.Helper()
	w := &Watch{done: make(chan struct{}), where: h.Name + " " + dev, h: h, seen: map[Probe]int{}}
	if err := h.Do(func() error { return w.open(dev) }); err != nil {
		h.lab.t.Fatalf("watch %s: %v", w.where, err)
	}
	go w.read()
	h.lab.t.Cleanup(w.Stop)
	return w
}

func (w *Watch) open(dev string) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		return err
	}
	l, err := w.h.nl.LinkByName(dev)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.Attrs().Index}); err != nil {
		return err
	}
	w.fd, w.f = fd, os.NewFile(uintptr(fd), w.where)
	return nil
}

func (w *Watch) read() {
	defer close(w.done)
	b := make([]byte, 128<<10)
	for {
		n, err := w.f.Read(b)
		if errors.Is(err, unix.ENETDOWN) {
			continue // the device went down and may come up again
		}
		if err != nil {
			return
		}
		if n > 14 {
			w.add(binary.BigEndian.Uint16(b[12:]), b[14:n])
		}
	}
}

func (w *Watch) add(kind uint16, packet []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := probeTag.FindSubmatch(packet); m != nil {
		w.seen[parseTag(m)]++
		return
	}
	proto, body := uint8(0), []byte(nil)
	switch {
	case kind == unix.ETH_P_IP && len(packet) >= 20:
		proto, body = packet[9], packet[min(int(packet[0]&15)*4, len(packet)):]
	case kind == unix.ETH_P_IPV6 && len(packet) >= 40:
		proto, body = packet[6], packet[40:]
	}
	if len(body) < 14 {
		return
	}
	to := binary.BigEndian.Uint16(body[2:])
	switch {
	case proto == unix.IPPROTO_TCP && body[13]&0x12 == 0x02 && to >= firstPort && int(to) < firstPort+4*maxRounds: // SYN without ACK
		n := int(to) - firstPort
		w.seen[Probe{Round: n / 4, Kind: ProbeTCP, V6: n&2 != 0, Bound: n&1 != 0}]++
	case proto == unix.IPPROTO_UDP && to == 4500 && binary.BigEndian.Uint32(body[8:]) != 0:
		w.esp++
	case proto == unix.IPPROTO_UDP && (to == 500 || to == 4500):
		w.ike++
	}
}

// Saw reports whether a probe has passed.
func (w *Watch) Saw(p Probe) bool {
	p.Round = p.Round % tcpRounds(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[p] > 0
}

// tcpRounds is after how many rounds a probe looks like an earlier one.
func tcpRounds(p Probe) int {
	if p.Kind == ProbeTCP {
		return maxRounds
	}
	return 1_000_000
}

// Probes returns how often each probe has passed.
func (w *Watch) Probes() map[Probe]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[Probe]int, len(w.seen))
	for p, n := range w.seen {
		out[p] = n
	}
	return out
}

// ESP returns how many ESP packets have passed.
func (w *Watch) ESP() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.esp
}

// IKE returns how many IKE messages have passed to the well-known ports.
func (w *Watch) IKE() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ike
}

// Lost returns how many packets were not looked at for want of buffers.
func (w *Watch) Lost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		w.lost += int(stats.Drops) // the kernel's count begins anew
	}
	return w.lost
}

// Stop ends the watch. It may be called again.
func (w *Watch) Stop() {
	w.once.Do(func() {
		w.Lost()
		_ = w.f.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		<-w.done
		w.mu.Lock()
		defer w.mu.Unlock()
		w.f.Close()
		w.fd = -1
	})
}
