package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sallyport/core/datapath"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/profile"
	"sallyport/core/stream"
)

// Bounds of TCP connections.
const (
	dialTime  = 8 * time.Second  // to connect, with TLS
	greetTime = 10 * time.Second // for a peer to say that it speaks IKE
	// proveTime is how long a connection of a peer may be there without an IKE SA
	// whose peer has proved itself, and how long one that no IKE SA uses any more is
	// kept for what is still on its way.
	proveTime = 30 * time.Second
	// maxStrangers bounds the connections of peers who have not proved themselves,
	// of all together and of one address (of IPv6: of one network).
	maxStrangers    = 256
	maxStrangersOne = 16
)

// A carrier is a TCP connection in the data path.
type carrier struct {
	socket int // its number there
	path   ike.Path
	conn   *stream.Conn
	port   profile.TCPPort // as the profile of an initiator names it
	unused time.Time       // since when no IKE SA uses it; zero: one does
	// known ends that it counts among the strangers', or that the firewall lets it
	// pass; it is called once, when that is over.
	known, end func()
}

// streams are the TCP connections of a network, and what waits for them.
type streams struct {
	byPath   map[ike.Path]*carrier
	gateways []netip.AddrPort // that the firewall lets us reach
	listened []uint16         // ports
	door     *door            // nil while nobody waits
}

// attach makes a connection carry IKE and ESP.
func (e *Engine) attach(s *stream.Conn) (*carrier, error) {
	socket, err := e.net.dp.Attach(s)
	if err != nil {
		return nil, err
	}
	k := &carrier{socket: socket, conn: s, unused: time.Now(), known: func() {}, end: func() {}}
	k.path = ike.Path{Local: s.Local(), Remote: s.Remote(), TCP: true}
	e.streams.byPath[k.path] = k
	return k, nil
}

// dial connects to a port of a gateway, from another goroutine, and hands the
// connection, in the data path, to then, on the loop. still says there whether
// anybody still wants it.
func (e *Engine) dial(ctx context.Context, remote netip.AddrPort, port profile.TCPPort, name string, still func() bool, then func(*carrier, error)) {
	if e.opt.Host.DialTCP == nil {
		then(nil, errors.New("this machine has no TCP"))
		return
	}
	e.streams.gateways = append(e.streams.gateways, remote)
	shut := func() {
		if i := slices.Index(e.streams.gateways, remote); i >= 0 {
			e.streams.gateways = slices.Delete(e.streams.gateways, i, i+1)
		}
		_ = e.enforce() // it says why not, and is tried again
	}
	if err := e.enforce(); err != nil {
		shut()
		then(nil, fmt.Errorf("the firewall cannot be opened: %w", err))
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		var s *stream.Conn
		c, err := e.opt.Host.DialTCP(ctx, remote)
		if err == nil {
			s, err = stream.Open(ctx, c, port.TLS, name)
		}
		if !e.post(func() {
			var k *carrier
			if err == nil && (e.net == nil || !still()) {
				s.Close()
				err = net.ErrClosed
			}
			if err == nil {
				k, err = e.attach(s)
			}
			if err != nil {
				shut()
			} else {
				k.port, k.end = port, shut
			}
			if still() {
				then(k, err)
			}
		}) && err == nil {
			s.Close()
		}
	}()
}

// streamEnded follows a TCP connection that is over.
func (e *Engine) streamEnded(socket int) {
	k := e.carrier(socket)
	if k == nil {
		return
	}
	delete(e.streams.byPath, k.path)
	k.known()
	k.end()
	for _, s := range e.sessions() {
		if s.sa.Path() == k.path && !s.conn.responder() {
			e.lostStream(s, k)
		}
	}
}

func (e *Engine) carrier(socket int) *carrier {
	for _, k := range e.streams.byPath {
		if k.socket == socket {
			return k
		}
	}
	return nil
}

// drop ends a TCP connection; what waits to be sent leaves first.
func (e *Engine) drop(k *carrier) { e.net.dp.Detach(k.socket) }

// reapStreams ends the TCP connections that no IKE SA uses. A peer keeps a
// connection only by proving itself.
func (e *Engine) reapStreams(now time.Time) {
	if len(e.streams.byPath) == 0 {
		return
	}
	used := make(map[ike.Path]bool)
	for sa := range e.sas {
		used[sa.Path()] = true
	}
	for sa := range e.probes {
		used[sa.Path()] = true
	}
	for path, k := range e.streams.byPath {
		switch {
		case !e.net.dp.Streams(k.socket): // the news was lost
			e.streamEnded(k.socket)
		case used[path]:
			k.known()
			k.unused = time.Time{}
		case k.unused.IsZero():
			k.unused = now
		case now.Sub(k.unused) >= proveTime:
			e.drop(k)
		}
	}
}

// sendStream sends an IKE message through a TCP connection. When that is gone, the
// message goes out again through the next one.
func (e *Engine) sendStream(x ike.Send) error {
	k := e.streams.byPath[x.Path]
	if k == nil {
		return fmt.Errorf("send to %v: %w", x.Path.Remote, net.ErrClosed)
	}
	return k.conn.SendIKE(x.Data)
}

// socketOf returns what a path is called in the data path.
func (e *Engine) socketOf(p ike.Path) int {
	if !p.TCP {
		return e.net.socket(p.Remote.Addr(), true)
	}
	if k := e.streams.byPath[p]; k != nil {
		return k.socket
	}
	return datapath.Nowhere
}

// pathOf returns the path that a packet came by.
func (e *Engine) pathOf(ev datapath.Event) ike.Path {
	if k := e.carrier(ev.Socket); ev.TCP && k != nil {
		return k.path
	}
	return ike.Path{Remote: ev.Remote, TCP: ev.TCP}
}

// A door is where peers come in over TCP: the listeners, and the count of those
// who have not proved themselves.
type door struct {
	e         *Engine
	tls       *tls.Config
	listeners []net.Listener
	wait      sync.WaitGroup

	mu        sync.Mutex // guards what follows
	strangers int
	from      map[netip.Prefix]int
	greeting  map[net.Conn]bool // connections that have not said what they speak
	closed    bool
	refused   uint64
}

// listenTCP waits for peers on ports beside those that are open.
func (e *Engine) listenTCP(ports []profile.TCPPort) error {
	if len(ports) > 0 && e.opt.Host.ListenTCP == nil {
		return fmt.Errorf("wait on TCP: %w", host.ErrUnsupported)
	}
	d := e.streams.door
	for _, p := range ports {
		if slices.Contains(e.streams.listened, p.Port) {
			continue
		}
		if d == nil {
			cfg, err := stream.ServerTLS(time.Now())
			if err != nil {
				return err
			}
			d = &door{e: e, tls: cfg, from: make(map[netip.Prefix]int), greeting: make(map[net.Conn]bool)}
			e.streams.door = d
		}
		var open []net.Listener
		var errs []error
		for _, v6 := range []bool{false, true} {
			l, err := e.opt.Host.ListenTCP(v6, p.Port)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			open = append(open, l)
		}
		if err := errors.Join(errs...); len(open) == 0 || errors.Is(err, host.ErrPortInUse) {
			for _, l := range open {
				l.Close()
			}
			return fmt.Errorf("open TCP port %d: %w", p.Port, err)
		}
		for _, l := range open {
			d.listeners = append(d.listeners, l)
			d.wait.Go(func() { d.serve(l) })
		}
		e.streams.listened = append(e.streams.listened, p.Port)
	}
	return nil
}

// serve takes connections until the listener is closed.
func (d *door) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or a peer that is gone already
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if source := sourceOf(c.RemoteAddr()); d.enter(c, source) {
			go d.greet(c, source)
		} else {
			c.Close()
		}
	}
}

// greet hands a connection that speaks IKE to the loop.
func (d *door) greet(c net.Conn, source netip.Prefix) {
	leave := sync.OnceFunc(func() { d.leave(source) })
	s, err := stream.Accept(c, d.tls, time.Now().Add(greetTime))
	d.mu.Lock()
	delete(d.greeting, c)
	d.mu.Unlock()
	if err != nil {
		leave()
		return
	}
	if !d.e.post(func() {
		if d.e.net == nil || d.e.streams.door != d {
			leave()
			s.Close()
			return
		}
		k, err := d.e.attach(s)
		if err != nil {
			leave()
			return
		}
		k.known = leave
	}) {
		leave()
		s.Close()
	}
}

// sourceOf returns whom a connection counts for.
func sourceOf(a net.Addr) netip.Prefix {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := p.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	out, _ := addr.Prefix(bits)
	return out
}

// enter counts a stranger, if there is room.
func (d *door) enter(c net.Conn, source netip.Prefix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.strangers >= maxStrangers || d.from[source] >= maxStrangersOne {
		d.refused++
		return false
	}
	d.strangers++
	d.from[source]++
	d.greeting[c] = true
	return true
}

func (d *door) leave(source netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.strangers--
	if d.from[source]--; d.from[source] == 0 {
		delete(d.from, source)
	}
}

// turnedAway returns how many connections found no room.
func (d *door) turnedAway() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused
}

// close ends the waiting, and lets those go who have not said what they speak.
func (d *door) close() {
	d.mu.Lock()
	d.closed = true
	for c := range d.greeting {
		c.Close()
	}
	d.mu.Unlock()
	for _, l := range d.listeners {
		l.Close()
	}
	d.wait.Wait()
}

// closeStreams forgets the TCP connections of a network that is closed.
func (e *Engine) closeStreams() {
	if e.streams.door != nil {
		e.streams.door.close()
	}
	e.streams = streams{byPath: make(map[ike.Path]*carrier)}
}
