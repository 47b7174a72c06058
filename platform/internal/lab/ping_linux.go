package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/icmp"
)

// A Pinger sends ICMP echo requests all the time and notes which come back.
type Pinger struct {
	conn net.PacketConn
	dst  *net.UDPAddr
	v6   bool

	stop    chan struct{}
	stopped chan struct{}
	first   chan struct{} // closed with the first answer

	mu       sync.Mutex // guards what follows
	sent     []time.Time
	rtt      []time.Duration // 0: no answer yet
	got      int
	dup      int
	firstAt  time.Time
	sendErrs int
}

// Pings is the outcome of a Pinger.
type Pings struct {
	Sent, Lost, Duplicate int
	Refused               int // the system would not send: no route
	MaxRTT                time.Duration
	Missing               []int // numbers of the first requests lost
}

// String sums up.
func (p Pings) String() string {
	s := fmt.Sprintf("%d sent, %d lost, %d duplicate, slowest %v", p.Sent, p.Lost, p.Duplicate, p.MaxRTT.Round(10*time.Microsecond))
	if len(p.Missing) > 0 {
		s += fmt.Sprintf(", missing %v", p.Missing)
	}
	if p.Refused > 0 {
		s += fmt.Sprintf(", %d not sent for want of a route", p.Refused)
	}
	return s
}

// Ping starts to ping dst at the given interval, with payload bytes behind
// each header.
func (h *Host) Ping(dst netip.Addr, interval time.Duration, payload int) *Pinger {
	h.lab.t.Helper()
	// Ping sockets: the kernel chooses the identifier and filters by it.
	network, any := "udp4", "0.0.0.0"
	p := &Pinger{dst: &net.UDPAddr{IP: dst.AsSlice()}, v6: dst.Is6(), stop: make(chan struct{}), stopped: make(chan struct{}), first: make(chan struct{})}
	if p.v6 {
		network, any = "udp6", "::"
	}
	err := h.Do(func() (err error) { p.conn, err = icmp.ListenPacket(network, any); return err })
	if err != nil {
		h.lab.t.Fatalf("%s: ping: %v", h.Name, err)
	}
	go p.send(interval, payload)
	go p.receive()
	h.lab.t.Cleanup(func() { p.conn.Close() })
	return p
}

func (p *Pinger) send(interval time.Duration, payload int) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	defer close(p.stopped)
	for seq := 0; ; seq++ {
		m := make([]byte, 8+max(4, payload))
		m[0] = 8 // echo request
		if p.v6 {
			m[0] = 128
		}
		binary.BigEndian.PutUint16(m[6:], uint16(seq))
		binary.BigEndian.PutUint32(m[8:], uint32(seq)) // the number does not wrap
		if !p.v6 {
			binary.BigEndian.PutUint16(m[2:], checksum(m))
		}
		p.mu.Lock()
		p.sent = append(p.sent, time.Now())
		p.rtt = append(p.rtt, 0)
		p.mu.Unlock()
		if _, err := p.conn.WriteTo(m, p.dst); err != nil {
			p.mu.Lock()
			p.sendErrs++
			p.mu.Unlock()
		}
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

func (p *Pinger) receive() {
	b := make([]byte, 64<<10)
	for {
		n, _, err := p.conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Other errors are those of single requests: no route, unreachable.
		if err != nil || n < 12 || b[0] != 0 && b[0] != 129 {
			continue
		}
		seq := int(binary.BigEndian.Uint32(b[8:]))
		p.mu.Lock()
		switch {
		case seq >= len(p.sent):
		case p.rtt[seq] != 0:
			p.dup++
		default:
			now := time.Now()
			p.rtt[seq] = max(1, now.Sub(p.sent[seq]))
			if p.got++; p.got == 1 {
				p.firstAt = now
				close(p.first)
			}
		}
		p.mu.Unlock()
	}
}

// First waits for the first answer and returns when it came.
func (p *Pinger) First(limit time.Duration) (time.Time, error) {
	select {
	case <-p.first:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.firstAt, nil
	case <-time.After(limit):
		return time.Time{}, fmt.Errorf("no answer from %v within %v: %w", p.dst.IP, limit, os.ErrDeadlineExceeded)
	}
}

// Pings sends n echo requests, 5 ms apart or slower, and waits for the answers.
func (h *Host) Pings(dst netip.Addr, n int) Pings {
	h.lab.t.Helper()
	p := h.Ping(dst, 5*time.Millisecond, 56)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		sent := len(p.sent)
		p.mu.Unlock()
		if sent >= n {
			break
		}
	}
	return p.Stop()
}

// Close ends the pings at once.
func (p *Pinger) Close() {
	close(p.stop)
	<-p.stopped
	p.conn.Close()
}

// Stop ends the pings, waits up to two seconds for answers under way, and sums up.
func (p *Pinger) Stop() Pings {
	close(p.stop)
	<-p.stopped
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		all := p.got == len(p.sent)
		p.mu.Unlock()
		if all {
			break
		}
	}
	p.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	out := Pings{Sent: len(p.sent), Duplicate: p.dup, Refused: p.sendErrs}
	for i, d := range p.rtt {
		out.MaxRTT = max(out.MaxRTT, d)
		if d == 0 {
			out.Lost++
			if len(out.Missing) < 20 {
				out.Missing = append(out.Missing, i)
			}
		}
	}
	return out
}

// checksum is the Internet checksum (RFC 1071) of b, whose checksum field is zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
