package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/core/datapath"
	"sallyport/core/host"
	"sallyport/core/ike"
)

// The ports of IKE, and of IKE and ESP behind a NAT (RFC 7296, section 2;
// RFC 3948).
const (
	portIKE  = 500
	portNATT = 4500
)

// Queues from the data path to the loop. What does not fit is dropped and
// counted: IKE retransmits, and an event that matters comes again.
const (
	ikeQueue   = 256
	eventQueue = 1024
)

// A network is the sockets, the data path over them and the TUN device. It is
// there while a connection needs it.
type network struct {
	sockets []datapath.Socket
	// index of the sockets by family; -1: the machine lacks the family
	ike4, natt4, ike6, natt6 int
	// wellKnown says that the sockets have the ports where peers look for us.
	wellKnown bool

	dp     *datapath.Datapath
	tun    host.TUN // nil until a tunnel needs it
	cancel context.CancelFunc
	done   chan error // what datapath.Run returned
}

// openNetwork opens the sockets and starts the data path. Where another
// program has the well-known ports, any ports do for an initiator.
func openNetwork(sys *host.System, ports ports, deliver func(datapath.Datagram), notify func(datapath.Event)) (*network, error) {
	n := &network{done: make(chan error, 1)}
	err := n.openSockets(sys, ports)
	if errors.Is(err, host.ErrPortInUse) {
		n.closeSockets()
		err = n.openSockets(sys, portsAny)
	} else {
		n.wellKnown = err == nil
	}
	if err != nil {
		n.closeSockets()
		return nil, err
	}
	if n.dp, err = datapath.New(datapath.Config{Sockets: n.sockets, IKE: deliver, Notify: notify}); err != nil {
		n.closeSockets()
		return nil, err
	}
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	go func() { n.done <- n.dp.Run(ctx) }()
	return n, nil
}

// ports are the local UDP ports; zero means any.
type ports struct{ ike, natt uint16 }

var (
	portsWellKnown = ports{portIKE, portNATT}
	portsAny       = ports{0, 0}
)

func (n *network) openSockets(sys *host.System, p ports) error {
	n.sockets, n.ike4, n.natt4, n.ike6, n.natt6 = nil, -1, -1, -1, -1
	var v4err error
	for _, s := range []struct {
		index *int
		v6    bool
		port  uint16
		natt  bool
	}{{&n.ike4, false, p.ike, false}, {&n.natt4, false, p.natt, true}, {&n.ike6, true, p.ike, false}, {&n.natt6, true, p.natt, true}} {
		c, err := sys.OpenUDP(s.v6, s.port)
		switch {
		case err == nil:
			*s.index = len(n.sockets)
			n.sockets = append(n.sockets, datapath.Socket{Conn: c, NATT: s.natt})
		case errors.Is(err, host.ErrPortInUse) || errors.Is(err, host.ErrPrivilege):
			return err
		case !s.v6:
			v4err = err // a machine with IPv6 only
		case n.natt4 < 0:
			return errors.Join(v4err, err)
		}
	}
	return nil
}

func (n *network) closeSockets() {
	for _, s := range n.sockets {
		s.Conn.Close()
	}
	n.sockets = nil
}

// openTUN opens the TUN device unless it is open.
func (n *network) openTUN(sys *host.System, name string) error {
	if n.tun != nil {
		return nil
	}
	t, err := sys.OpenTUN(name, tunMTU)
	if err != nil {
		return err
	}
	n.tun = t
	n.dp.SetTUN(t)
	return nil
}

// close ends the data path, which closes sockets and TUN, and waits for it.
func (n *network) close() error {
	n.cancel()
	n.tun = nil
	return <-n.done
}

// nattPort is the local port that ESP uses.
func (n *network) nattPort() uint16 {
	for _, i := range []int{n.natt4, n.natt6} {
		if i >= 0 {
			return n.sockets[i].Conn.LocalPort()
		}
	}
	return portNATT
}

// socket returns the index of the socket for a remote address, or -1.
func (n *network) socket(remote netip.Addr, natt bool) int {
	switch v4 := remote.Unmap().Is4(); {
	case v4 && natt:
		return n.natt4
	case v4:
		return n.ike4
	case natt:
		return n.natt6
	default:
		return n.ike6
	}
}

// local returns the address and port that datagrams to remote leave from.
func (n *network) local(source netip.Addr, natt bool) (netip.AddrPort, error) {
	i := n.socket(source, natt)
	if i < 0 {
		return netip.AddrPort{}, fmt.Errorf("this machine has no socket for the family of %v", source)
	}
	return netip.AddrPortFrom(source, n.sockets[i].Conn.LocalPort()), nil
}

// addresses lists the local ports for a person.
func (n *network) addresses() []string {
	var out []string
	for _, s := range n.sockets {
		if text := fmt.Sprintf("udp/%d", s.Conn.LocalPort()); !slices.Contains(out, text) {
			out = append(out, text) // both families have it
		}
	}
	return out
}

// The marker of an IKE message on the port that ESP shares (RFC 3948,
// section 2.2).
var nonESPMarker = [4]byte{}

// send sends an IKE message or a keepalive. IKE messages may be larger than
// the path allows to peers without RFC 7383, and then must arrive in IP
// fragments.
func (n *network) send(s ike.Send) error {
	i := n.socket(s.Path.Remote.Addr(), s.NATT || s.Keepalive)
	if i < 0 {
		return fmt.Errorf("send to %v: no socket of that address family", s.Path.Remote)
	}
	b := s.Data
	if s.NATT && !s.Keepalive {
		b = append(nonESPMarker[:len(nonESPMarker):len(nonESPMarker)], b...)
	}
	c := n.sockets[i].Conn
	f, cuts := c.(host.Fragmenter)
	whole, sounds := c.(host.Sounder)
	var err error
	switch {
	case s.Size == ike.NeverCut && sounds:
		err = whole.SendWhole(b, 0, s.Path.Remote, s.Path.Local.Addr(), 0)
	case s.Size == ike.CutAnywhere && cuts:
		err = f.SendFragmented(b, s.Path.Remote, s.Path.Local.Addr())
	default:
		if err = c.Send(b, 0, s.Path.Remote, s.Path.Local.Addr(), 0); errors.Is(err, host.ErrTooBig) && cuts {
			err = f.SendFragmented(b, s.Path.Remote, s.Path.Local.Addr())
		}
	}
	if err != nil {
		return fmt.Errorf("send to %v: %w", s.Path.Remote, err)
	}
	return nil
}
