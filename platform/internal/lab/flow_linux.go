package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// flowPort is where flows arrive.
const flowPort = 9

// A flow is numbers, eight bytes each, that follow one from another, so that
// whoever reads them sees what was changed, lost, repeated or put in another order.
func flowWord(i uint64) uint64 { return (i + 1) * 0x9e3779b97f4a7c15 }

// fillFlow writes the words from the i-th on.
func fillFlow(b []byte, i uint64) {
	for ; len(b) >= 8; b, i = b[8:], i+1 {
		binary.LittleEndian.PutUint64(b, flowWord(i))
	}
}

// checkFlow reports where b is not the words from the i-th on; -1: nowhere.
func checkFlow(b []byte, i uint64) int {
	for at := 0; at+8 <= len(b); at, i = at+8, i+1 {
		if binary.LittleEndian.Uint64(b[at:]) != flowWord(i) {
			return at
		}
	}
	return -1
}

// Pour sends size bytes, a multiple of eight, through one connection of TCP from
// one machine to an address of another, and checks each of them.
func Pour(from, to *Host, address netip.Addr, size int64, limit time.Duration) (Transfer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var l net.Listener
	if err := to.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(address, flowPort).String())
		return err
	}); err != nil {
		return Transfer{}, err
	}
	defer l.Close()
	context.AfterFunc(ctx, func() { l.Close() })
	sent := make(chan error, 1)
	go func() {
		c, err := from.Dial(ctx, "tcp", l.Addr().String())
		if err == nil {
			context.AfterFunc(ctx, func() { c.Close() })
			err = errors.Join(pour(c, size), c.Close())
		}
		if err != nil {
			l.Close()
		}
		sent <- err
	}()
	c, err := l.Accept()
	if err != nil {
		cancel()
		return Transfer{}, errors.Join(err, <-sent)
	}
	context.AfterFunc(ctx, func() { c.Close() })
	t, err := drink(c, size)
	if err != nil {
		cancel()
	}
	return t, errors.Join(err, <-sent, c.Close())
}

func pour(w io.Writer, size int64) error {
	b := make([]byte, 256<<10)
	for at := int64(0); at < size; {
		n := min(int64(len(b)), size-at)
		fillFlow(b[:n], uint64(at)/8)
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

func drink(r io.Reader, size int64) (Transfer, error) {
	b, have, at, begun := make([]byte, 256<<10), 0, int64(0), time.Now()
	for {
		n, err := r.Read(b[have:])
		have += n
		whole := have &^ 7
		if bad := checkFlow(b[:whole], uint64(at)/8); bad >= 0 {
			return Transfer{}, fmt.Errorf("byte %d of the flow is wrong", at+int64(bad))
		}
		at += int64(whole)
		have = copy(b, b[whole:have])
		if err == io.EOF {
			break
		}
		if err != nil {
			return Transfer{}, fmt.Errorf("after %d bytes: %w", at, err)
		}
	}
	if at != size || have != 0 {
		return Transfer{}, fmt.Errorf("%d bytes arrived, want %d", at, size)
	}
	return Transfer{Bytes: int(at), Took: time.Since(begun)}, nil
}

// A Hail is what became of numbered datagrams.
type Hail struct {
	Transfer
	Sent, Lost int
}

// String tells the size, the time, the rate and what was lost.
func (h Hail) String() string {
	return fmt.Sprintf("%v, %d of %d datagrams lost", h.Transfer, h.Lost, h.Sent)
}

// hailWindow is how many datagrams may be on their way: fewer than sockets hold.
const hailWindow = 192

// Pelt sends datagrams of a length, about size bytes of them, from one machine to an
// address of another, group of them with one call where that is more than 1
// (UDP_SEGMENT). It checks each byte of those that arrive, and that none comes
// twice or before an earlier one.
func Pelt(from, to *Host, address netip.Addr, size int64, length, group int, limit time.Duration) (Hail, error) {
	end := time.Now().Add(limit)
	var in net.PacketConn
	if err := to.Do(func() (err error) {
		in, err = net.ListenPacket("udp", netip.AddrPortFrom(address, flowPort).String())
		return err
	}); err != nil {
		return Hail{}, err
	}
	defer in.Close()
	out, err := from.Dial(context.Background(), "udp", in.LocalAddr().String())
	if err != nil {
		return Hail{}, err
	}
	defer out.Close()
	for _, c := range []net.PacketConn{in, out.(*net.UDPConn)} {
		if err := c.(*net.UDPConn).SetReadBuffer(4 << 20); err != nil {
			return Hail{}, err
		}
		if err := c.SetDeadline(end); err != nil {
			return Hail{}, err
		}
	}
	if group > 1 {
		if err := segment(out.(*net.UDPConn), length); err != nil {
			return Hail{}, err
		}
	}
	count := int(size / int64(length))
	got := make(chan error, 1)
	h := Hail{Sent: count}
	go func() { got <- h.gather(in.(*net.UDPConn), length, count) }()
	err = pelt(out.(*net.UDPConn), length, group, count)
	return h, errors.Join(err, <-got)
}

func segment(c *net.UDPConn, length int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, length) }); e != nil {
		return e
	}
	return err
}

// last is the number of the datagram that ends a hail.
const last = ^uint64(0)

// pelt sends the datagrams and waits now and then for those that arrived. A number
// that is lost is not sent again; one that says where the other end is, is.
func pelt(c *net.UDPConn, length, group, count int) error {
	b, ack := make([]byte, group*length), make([]byte, 8)
	seen := 0
	for i := 0; i < count; {
		k := min(group, count-i)
		for j := range k {
			d := b[j*length:][:length]
			binary.LittleEndian.PutUint64(d, uint64(i+j))
			fillFlow(d[8:], uint64(i+j))
		}
		if _, err := c.Write(b[:k*length]); err != nil {
			return fmt.Errorf("datagram %d: %w", i, err)
		}
		i += k
		for i-seen > hailWindow {
			n, err := answer(c, ack)
			if err != nil {
				return fmt.Errorf("after %d datagrams: %w", i, err)
			}
			if n < 0 {
				seen = i // lost on the way
			}
			seen = max(seen, n)
		}
	}
	binary.LittleEndian.PutUint64(b, last)
	for range 100 {
		if _, err := c.Write(b[:8]); err != nil {
			return err
		}
		for {
			n, err := answer(c, ack)
			if err != nil {
				return err
			}
			if n < 0 {
				break
			}
			if uint64(n) == last>>1 {
				return nil
			}
		}
	}
	return errors.New("the end of the datagrams was never acknowledged")
}

// answer waits a little for how far the other end has come; -1: it has not said.
func answer(c *net.UDPConn, b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := c.Read(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return -1, nil
	case err != nil:
		return 0, err
	case n != 8:
		return 0, fmt.Errorf("an answer of %d bytes", n)
	}
	return int(binary.LittleEndian.Uint64(b)), nil
}

// gather checks what arrives and says from time to time how far it has come.
func (h *Hail) gather(c *net.UDPConn, length, count int) error {
	b, next, told, begun := make([]byte, 1<<16), uint64(0), uint64(0), time.Now()
	say := func(n uint64, to netip.AddrPort) error {
		var a [8]byte
		binary.LittleEndian.PutUint64(a[:], n)
		_, err := c.WriteToUDPAddrPort(a[:], to)
		told = n
		return err
	}
	for arrived := 0; ; {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return fmt.Errorf("after %d datagrams: %w", arrived, err)
		}
		if n < 8 {
			return fmt.Errorf("a datagram of %d bytes", n)
		}
		i := binary.LittleEndian.Uint64(b)
		if i == last {
			h.Lost, h.Bytes, h.Took = count-arrived, arrived*length, time.Since(begun)
			return say(last>>1, from)
		}
		switch {
		case n != length:
			return fmt.Errorf("datagram %d has %d bytes", i, n)
		case i < next || i >= uint64(count):
			return fmt.Errorf("datagram %d came after %d", i, next-1)
		}
		if bad := checkFlow(b[8:n], i); bad >= 0 {
			return fmt.Errorf("byte %d of datagram %d is wrong", bad+8, i)
		}
		arrived++
		if next = i + 1; next-told >= hailWindow/4 {
			if err := say(next, from); err != nil {
				return err
			}
		}
	}
}
