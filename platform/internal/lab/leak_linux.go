package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// A ProbeKind is a kind of packet that might leak.
type ProbeKind string

// The kinds of packets that Fire sends.
const (
	ProbeTCP       ProbeKind = "TCP"
	ProbeUDP       ProbeKind = "UDP"
	ProbeICMP      ProbeKind = "ICMP"
	ProbeDNS       ProbeKind = "DNS"
	ProbeFragments ProbeKind = "fragments"
	ProbeMulticast ProbeKind = "multicast"
	ProbeLinkDNS   ProbeKind = "link DNS"  // a query to a name server on the link
	ProbeElsewhere ProbeKind = "elsewhere" // UDP to where nothing is protected
)

// A Probe is one packet of a round; of ProbeFragments it is two, the first and
// another fragment, either of which counts as seen.
type Probe struct {
	Round int
	Kind  ProbeKind
	V6    bool
	Bound bool // the socket is bound to the physical device
}

// String describes the probe.
func (p Probe) String() string {
	s := fmt.Sprintf("round %d: %s", p.Round, p.Kind)
	if p.V6 {
		s += " over IPv6"
	} else {
		s += " over IPv4"
	}
	if p.Bound {
		s += ", bound to the device"
	}
	return s
}

// Targets say where probes go. A pair of an invalid address sends nothing.
type Targets struct {
	Protected, LinkDNS, Elsewhere Pair
	Device                        string // that probes are bound to
}

// A Pair is an address of each family.
type Pair struct{ V4, V6 netip.Addr }

func (p Pair) of(v6 bool) netip.Addr {
	if v6 {
		return p.V6
	}
	return p.V4
}

// groups are what ProbeMulticast goes to: not the link's own business.
var groups = Pair{netip.MustParseAddr("239.77.7.7"), netip.MustParseAddr("ff0e::77:7")}

// tag is in every packet of a probe except TCP, which has none but a port.
func (p Probe) tag() string {
	n := 0
	for i, k := range probeKinds {
		if k == p.Kind {
			n = i
		}
	}
	return fmt.Sprintf("leakprobe-%06d-%d-%d%d-", p.Round, n, bit(p.V6), bit(p.Bound))
}

var (
	probeKinds = [...]ProbeKind{ProbeTCP, ProbeUDP, ProbeICMP, ProbeDNS, ProbeFragments, ProbeMulticast, ProbeLinkDNS, ProbeElsewhere}
	probeTag   = regexp.MustCompile(`leakprobe-(\d{6})-(\d)-(\d)(\d)-`)
)

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func parseTag(m [][]byte) Probe {
	round, _ := strconv.Atoi(string(m[1]))
	return Probe{Round: round, Kind: probeKinds[int(m[2][0]-'0')%len(probeKinds)], V6: m[3][0] == '1', Bound: m[4][0] == '1'}
}

// TCP probes go to ports of their own.
const (
	firstPort = 16384
	maxRounds = 8192 // after which the ports come again
)

func (p Probe) port() uint16 {
	return uint16(firstPort + 4*(p.Round%maxRounds) + 2*bit(p.V6) + bit(p.Bound))
}

// A Sent is what became of sending a probe: nil, or what the system said.
type Sent map[Probe]error

// Fire sends one packet of each kind, over both families, once as the routes
// say and once from a socket that is bound to the device. What the packet
// filter refuses is no fault: it is in the result.
func (h *Host) Fire(round int, t Targets) Sent {
	h.lab.t.Helper()
	sent, err := h.fire(round, t)
	if err != nil {
		h.lab.t.Fatalf("%s: send probes: %v", h.Name, err)
	}
	return sent
}

func (h *Host) fire(round int, t Targets) (Sent, error) {
	sent := Sent{}
	err := h.Do(func() error {
		for _, kind := range probeKinds {
			for _, v6 := range []bool{false, true} {
				dst := t.Protected.of(v6)
				switch kind {
				case ProbeMulticast:
					dst = groups.of(v6)
				case ProbeLinkDNS:
					dst = t.LinkDNS.of(v6)
				case ProbeElsewhere:
					dst = t.Elsewhere.of(v6)
				}
				if !dst.IsValid() {
					continue
				}
				for _, bound := range []bool{false, true} {
					p := Probe{round, kind, v6, bound}
					device := ""
					if bound {
						device = t.Device
					}
					err := p.send(dst, device)
					if err != nil && !refusal(err) {
						return fmt.Errorf("%v: %w", p, err)
					}
					sent[p] = err
				}
			}
		}
		return nil
	})
	return sent, err
}

// refusal reports whether the packet filter or a missing route refused a packet.
func refusal(err error) bool {
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.ENOBUFS, unix.ENETDOWN, unix.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (p Probe) send(dst netip.Addr, device string) error {
	switch p.Kind {
	case ProbeTCP:
		return p.sendSYN(dst, device)
	case ProbeICMP:
		return p.sendEcho(dst, device)
	case ProbeFragments:
		return p.sendFragments(dst, device)
	case ProbeDNS, ProbeLinkDNS:
		query, err := p.query()
		if err != nil {
			return err
		}
		return p.sendUDP(dst, 53, device, query)
	}
	return p.sendUDP(dst, p.port(), device, []byte(p.tag()))
}

func (p Probe) query() ([]byte, error) {
	name, err := dnsmessage.NewName(p.tag() + "x.leak.test.")
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: uint16(p.Round), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	return m.Pack()
}

// socket opens a socket for the probe, and binds it to the device.
func (p Probe) socket(kind, proto int, device string) (int, error) {
	family := unix.AF_INET
	if p.V6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return -1, err
	}
	if device != "" {
		if err := unix.BindToDevice(fd, device); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
}

// sendSYN begins a connection and gives it up at once, so that nothing is sent again.
func (p Probe) sendSYN(dst netip.Addr, device string) error {
	fd, err := p.socket(unix.SOCK_STREAM, 0, device)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, sockaddr(dst, p.port())); !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return nil
}

func (p Probe) sendUDP(dst netip.Addr, port uint16, device string, body []byte) error {
	fd, err := p.socket(unix.SOCK_DGRAM, 0, device)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if dst.IsMulticast() {
		level, loop, hops := unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, unix.IP_MULTICAST_TTL
		if p.V6 {
			level, loop, hops = unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, unix.IPV6_MULTICAST_HOPS
		}
		if err := errors.Join(unix.SetsockoptInt(fd, level, loop, 0), unix.SetsockoptInt(fd, level, hops, 8)); err != nil {
			return err
		}
	}
	return unix.Sendto(fd, body, 0, sockaddr(dst, port))
}

func (p Probe) sendEcho(dst netip.Addr, device string) error {
	proto, kind := unix.IPPROTO_ICMP, byte(8)
	if p.V6 {
		proto, kind = unix.IPPROTO_ICMPV6, 128
	}
	fd, err := p.socket(unix.SOCK_RAW, proto, device)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b := append([]byte{kind, 0, 0, 0, 0x4c, 0x50, byte(p.Round >> 8), byte(p.Round)}, p.tag()...)
	if !p.V6 { // the kernel sums up ICMPv6
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return unix.Sendto(fd, b, 0, sockaddr(dst, 0))
}

// sendFragments sends two fragments of a UDP datagram, the last one first:
// what judges by ports cannot judge it.
func (p Probe) sendFragments(dst netip.Addr, device string) error {
	fd, err := p.socket(unix.SOCK_RAW, unix.IPPROTO_RAW, device)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	src, err := p.source(dst, device)
	if err != nil {
		return err
	}
	const size = 256 // of the first fragment, a multiple of 8
	text := func(n int) []byte { return []byte(strings.Repeat(p.tag(), n/len(p.tag())+1)[:n]) }
	first := binary.BigEndian.AppendUint16(nil, 7)
	first = binary.BigEndian.AppendUint16(first, p.port())
	first = append(first, 0x02, 0, 0, 0) // 512 bytes, and a checksum that is nobody's concern
	first = append(first, text(size-8)...)
	last := text(size)
	var errs []error
	for _, f := range []struct {
		offset int
		more   bool
		body   []byte
	}{{size, false, last}, {0, true, first}} {
		packet := p.fragment(src, dst, f.offset, f.more, f.body)
		errs = append(errs, unix.Sendto(fd, packet, 0, sockaddr(dst, 0)))
	}
	return errors.Join(errs...)
}

func (p Probe) fragment(src, dst netip.Addr, offset int, more bool, body []byte) []byte {
	id := uint32(p.Round)<<8 | uint32(p.port())&0xff | 0x8000 // never 0, for which the kernel puts another in each fragment
	var b []byte
	if p.V6 {
		field := uint16(offset) | uint16(bit(more))
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(body)))
		b = append(b, unix.IPPROTO_FRAGMENT, 64)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		b = append(b, unix.IPPROTO_UDP, 0)
		b = binary.BigEndian.AppendUint16(b, field)
		b = binary.BigEndian.AppendUint32(b, id)
	} else {
		field := uint16(offset/8) | uint16(bit(more))<<13
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+len(body)))
		b = binary.BigEndian.AppendUint16(b, uint16(id))
		b = binary.BigEndian.AppendUint16(b, field)
		b = append(b, 64, unix.IPPROTO_UDP, 0, 0)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], checksum(b))
	}
	return append(b, body...)
}

// source returns the address that packets to dst come from.
func (p Probe) source(dst netip.Addr, device string) (netip.Addr, error) {
	fd, err := p.socket(unix.SOCK_DGRAM, 0, device)
	if err != nil {
		return netip.Addr{}, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, sockaddr(dst, 9)); err != nil {
		return netip.Addr{}, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr), nil
	}
	return netip.Addr{}, errors.New("a socket without address")
}

// A Flood fires rounds all the time.
type Flood struct {
	stop, done chan struct{}
	rounds     atomic.Int64 // complete ones
	last       Sent         // of the last of them; valid once done is closed, as is err
	err        error
}

// Flood fires a round each interval, from the number first on, until Stop.
func (h *Host) Flood(first int, interval time.Duration, t Targets) *Flood {
	f := &Flood{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			sent, err := h.fire(first+int(f.rounds.Load()), t)
			if err != nil {
				f.err = err
				return
			}
			f.last = sent
			f.rounds.Add(1)
			select {
			case <-tick.C:
			case <-f.stop:
				return
			}
		}
	}()
	return f
}

// Round waits for a whole round that begins after the call, however busy the
// machine is, or for the flood's failure.
func (f *Flood) Round() {
	for want := f.rounds.Load() + 2; f.rounds.Load() < want; { // one may be under way
		select {
		case <-f.done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Stop ends the flood and returns how many rounds were fired, and the last of them.
func (f *Flood) Stop() (int, Sent, error) {
	close(f.stop)
	<-f.done
	return int(f.rounds.Load()), f.last, f.err
}

// The router of the client's link, on the wan.
var (
	RouterV4 = netip.MustParseAddr("198.51.100.254")
	RouterV6 = netip.MustParseAddr("2001:db8:1::fe")
)

// Reload makes the instance use another swanctl.conf.
func (s *StrongSwan) Reload(conf string) {
	s.host.lab.t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, "swanctl.conf"), []byte(conf), 0o600); err != nil {
		s.host.lab.t.Fatal(err)
	}
	if out, err := s.Ctl(20*time.Second, "--load-all", "--noprompt"); err != nil {
		s.host.lab.t.Fatalf("swanctl --load-all: %v\n%s", err, out)
	}
}

// Launch starts the service again without waiting until it answers.
func (s *Service) Launch() {
	s.host.lab.t.Helper()
	s.Proc = s.host.Start("sallyportd-"+s.name, Command(s.host.lab.Bin("sallyportd"), "run", "--socket", s.Socket,
		"--state-dir", s.StateDir(), "--config-dir", filepath.Join(s.Dir, "config")))
}
