package lab

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Tap keeps the packets that pass a device, each with its direction: what an
// attacker sends to the machine is no leak of the machine's. For large
// transfers take a Capture.
type Tap struct {
	fd   int
	f    *os.File
	done chan struct{}
	once sync.Once

	mu     sync.Mutex // guards frames
	frames []Frame
}

// A Frame is one packet from its Ethernet header on.
type Frame struct {
	At   time.Time
	Sent bool // by the machine; else received
	Data []byte
}

// maxFrames bounds what a Tap keeps.
const maxFrames = 200_000

// Tap starts to keep what passes a device.
func (h *Host) Tap(dev string) *Tap {
	h.lab.t.Helper()
	t := &Tap{done: make(chan struct{})}
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		t.fd = fd
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		l, err := h.nl.LinkByName(dev)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.Attrs().Index})
	})
	if err != nil {
		h.lab.t.Fatalf("tap on %s %s: %v", h.Name, dev, err)
	}
	t.f = os.NewFile(uintptr(t.fd), h.Name+" "+dev)
	go t.read()
	h.lab.t.Cleanup(func() { t.Stop() })
	return t
}

func (t *Tap) read() {
	defer close(t.done)
	raw, err := t.f.SyscallConn()
	if err != nil {
		return
	}
	b := make([]byte, 128<<10)
	for {
		var n int
		var from unix.Sockaddr
		var recvErr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, recvErr = unix.Recvfrom(int(fd), b, 0)
			return !errors.Is(recvErr, unix.EAGAIN)
		})
		if err != nil {
			return // closed, or the deadline of Stop
		}
		if recvErr != nil {
			continue // the device went down and may come up again
		}
		f := Frame{At: time.Now(), Data: append([]byte(nil), b[:n]...)}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			f.Sent = ll.Pkttype == unix.PACKET_OUTGOING
		}
		t.mu.Lock()
		if len(t.frames) < maxFrames {
			t.frames = append(t.frames, f)
		}
		t.mu.Unlock()
	}
}

// Frames returns what has passed so far.
func (t *Tap) Frames() []Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frames[:len(t.frames):len(t.frames)]
}

// Stop ends the Tap and returns all that passed. It may be called again.
func (t *Tap) Stop() []Frame {
	t.once.Do(func() {
		_ = t.f.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // what has arrived is read first
		<-t.done
		t.f.Close()
	})
	return t.Frames()
}

// Sort sorts frames as a Capture does.
func Sort(frames []Frame) Seen {
	s := Seen{Other: map[string]int{}}
	for _, f := range frames {
		s.add(f.Data)
	}
	return s
}

// Pcap writes frames as a capture file.
func Pcap(frames []Frame) []byte {
	const ethernet = 1
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, 256<<10)
	b = binary.LittleEndian.AppendUint32(b, ethernet)
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(f.At.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(f.At.Nanosecond()/1000))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Data)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Data)))
		b = append(b, f.Data...)
	}
	return b
}
