package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"sallyport/platform/internal/lab"
)

// tcpLoad is what iperf3 made of some time.
type tcpLoad struct {
	bits  float64 // per second, as the receiver saw it
	bytes float64 // that arrived
}

// serveTCP starts the other end of tcp.
func (p *pair) serveTCP() {
	p.Gateway.Start("iperf3", lab.Command("iperf3", "-s", "-B", lab.InsideV4.String()))
}

// tcp fills the tunnel with streams for a time, to a whole second for iperf3 knows no
// parts of one; down: from the gateway.
func (p *pair) tcp(streams int, down bool, d time.Duration) (tcpLoad, error) {
	args := []string{"-J", "-C", *congestion, "-c", lab.InsideV4.String(), "-P", strconv.Itoa(streams), "-t", strconv.Itoa(int((d + time.Second - 1) / time.Second))}
	if down {
		args = append(args, "-R")
	}
	out, errOut, err := p.Client.Output(d+20*time.Second, lab.Command("iperf3", args...))
	var report struct {
		Error string
		End   struct {
			Received struct {
				Bytes float64
				Bits  float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if e := json.Unmarshal([]byte(out), &report); err == nil {
		err = e
	}
	if err == nil && report.Error != "" {
		err = errors.New(report.Error)
	}
	if err != nil || report.End.Received.Bytes == 0 {
		return tcpLoad{}, fmt.Errorf("iperf3 %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
	}
	return tcpLoad{bits: report.End.Received.Bits, bytes: report.End.Received.Bytes}, nil
}

// burst is how many datagrams a system call of the generator moves. It is what the
// kernel takes of one flow (UDP_MAX_SEGMENTS before Linux 6.9).
const burst = 64

// floodPort is where sink listens.
const floodPort = 9000

// A sink counts the bytes of the datagrams that arrive behind the tunnel.
type sink struct{ bytes atomic.Int64 }

// newSink listens. It takes datagrams as the kernel has them, many in one (UDP_GRO),
// as programs do that receive much, so that it leaves the processors to the tunnel.
func newSink(b *testing.B, p *pair) *sink {
	b.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) }); e != nil {
			return e
		}
		return err
	}}
	var c net.PacketConn
	if err := p.Gateway.Do(func() (err error) {
		c, err = lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(lab.InsideV4, floodPort).String())
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	_ = c.(*net.UDPConn).SetReadBuffer(4 << 20)
	s := new(sink)
	go func() {
		in, msgs := ipv4.NewPacketConn(c), messages()
		for {
			n, err := in.ReadBatch(msgs, 0)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			var bytes int
			for _, m := range msgs[:max(n, 0)] {
				bytes += m.N
			}
			s.bytes.Add(int64(bytes))
		}
	}()
	return s
}

func messages() []ipv4.Message {
	msgs := make([]ipv4.Message, 16)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, 64<<10)}
	}
	return msgs
}

// flood sends datagrams of so many bytes, as fast as the machine can, for a time. It
// returns how many arrived, per second. They enter the tunnel one by one, or in bulk:
// many in one packet that whoever is behind the device cuts, as QUIC has it. In either
// case the application hands them over in bulk (UDP_SEGMENT) and it is the kernel that
// cuts them before the device, for an application that sends single ones takes more of
// the processors than a tunnel does.
func (p *pair) flood(size int, bulk bool, d time.Duration) (float64, error) {
	if bulk {
		p.Client.Trouble("ethtool -K " + p.device + " tx-udp-segmentation on") // not every device can
	} else {
		p.Client.Run("ethtool -K " + p.device + " tx-udp-segmentation off")
	}
	c, err := p.Client.Dial(context.Background(), "udp4", netip.AddrPortFrom(lab.InsideV4, floodPort).String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) }); e != nil || err != nil {
		return 0, errors.Join(e, err)
	}
	b := make([]byte, size*min(burst, maxDatagram/size))
	before, begun := p.sink.bytes.Load(), time.Now()
	for time.Since(begun) < d {
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
	}
	return float64(p.sink.bytes.Load()-before) / float64(size) / time.Since(begun).Seconds(), nil
}

// maxDatagram is the longest payload of a datagram.
const maxDatagram = 65507

// A pace is how pings follow each other.
type pace struct {
	flag  string
	every time.Duration // about
}

var (
	slowly  = pace{"-i0.01", 10 * time.Millisecond}
	nonstop = pace{"-A", 200 * time.Microsecond} // each when the one before is answered
)

// rtt pings through the tunnel, and returns the median.
func (p *pair) rtt(d time.Duration, pings pace) (time.Duration, error) {
	n := int(d / pings.every)
	out, errOut, err := p.Client.Output(d+10*time.Second, lab.Command("ping", pings.flag, "-c", strconv.Itoa(n), "-W", "1", lab.InsideV4.String()))
	var took []time.Duration
	for line := range strings.Lines(out) {
		_, after, ok := strings.Cut(line, " time=")
		ms, _, _ := strings.Cut(after, " ")
		if f, err := strconv.ParseFloat(ms, 64); ok && err == nil {
			took = append(took, time.Duration(f*float64(time.Millisecond)))
		}
	}
	if len(took) < n/2 {
		return 0, fmt.Errorf("ping: %d of %d answers: %v\n%s%s", len(took), n, err, out, errOut)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// A usage is what the daemons of a pair have used.
type usage struct {
	cpu time.Duration // of both
	rss int64         // bytes of the larger
}

func (p *pair) usage() (usage, error) {
	var u usage
	for _, pid := range p.daemons {
		cpu, rss, err := lab.Usage(pid)
		if err != nil {
			return usage{}, err
		}
		u.cpu += cpu
		u.rss = max(u.rss, rss)
	}
	return u, nil
}
