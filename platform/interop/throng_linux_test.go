package interop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/transform"
	"sallyport/core/ts"
	"sallyport/platform/internal/lab"
)

// A throng is many clients of one gateway, each with an address, an identity and
// an IKE SA of its own, and a Child SA that carries nothing. They live on the
// laboratory's client and are one endpoint of IKE, one goroutine and two sockets:
// they cost less of the processors than any gateway that they are measured with.
type throng struct {
	t     testing.TB
	auth  throngAuth
	ep    *ike.Endpoint
	bare  *net.UDPConn // port 500
	natt  *net.UDPConn // port 4500
	in    chan arrival
	calls chan func()
	stop  context.CancelFunc
	ended chan struct{}

	// What follows belongs to the loop.
	members map[*ike.SA]*member
	next    int // number of the next to join
	rush    *rush
}

// A throngAuth is how the members and the gateway prove who they are.
type throngAuth struct {
	gateway string // its identity
	psk     string // or certificates, of this authority
	ca      *x509.Certificate
	caKey   crypto.Signer
	group   string // of the key exchange: x25519, ecp256
}

// A member is one client.
type member struct {
	asked time.Time
	up    bool
}

// A rush is what the members are about to do: so many of them at a time.
type rush struct {
	left, busy, window int
	begin              func() // lets one more member begin
	begun              time.Time
	took               []time.Duration // of each that is done
	failed             []error
	ended              time.Time
	done               chan struct{}
}

type arrival struct {
	data          []byte
	local, remote netip.AddrPort
	natt          bool
}

// throngNet holds the members' addresses; the gateway reaches it by the client.
var throngNet = netip.MustParsePrefix("100.64.0.0/16")

// newThrong gathers a throng on the client of a laboratory. Nobody has come yet.
func newThrong(t testing.TB, l *lab.Lab, a throngAuth) *throng {
	t.Helper()
	l.Client.Run("ip route replace local " + throngNet.String() + " dev lo")
	l.Gateway.Run("ip route replace " + throngNet.String() + " via " + lab.ClientV4.String())
	ctx, cancel := context.WithCancel(context.Background())
	c := &throng{
		t: t, auth: a, ep: ike.NewEndpoint(ike.Options{Keepalive: -1}),
		in: make(chan arrival, 4096), calls: make(chan func()), stop: cancel, ended: make(chan struct{}),
		members: make(map[*ike.SA]*member),
	}
	if err := l.Client.Do(func() (err error) {
		if c.bare, err = throngSocket(500); err == nil {
			c.natt, err = throngSocket(4500)
		}
		return err
	}); err != nil {
		t.Fatalf("the throng's sockets: %v", err)
	}
	go c.read(ctx, c.bare, false)
	go c.read(ctx, c.natt, true)
	go c.run(ctx)
	t.Cleanup(c.close)
	return c
}

// close scatters the throng without a word to the gateway. It may be called again.
func (c *throng) close() {
	c.stop()
	c.bare.Close()
	c.natt.Close()
	<-c.ended
}

// throngSocket opens a socket that says at which address a datagram arrived, and
// sends from any.
func throngSocket(port int) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var option error
	err = raw.Control(func(fd uintptr) {
		option = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
	})
	return c, errors.Join(err, option)
}

// read hands what arrives to the loop.
func (c *throng) read(ctx context.Context, from *net.UDPConn, natt bool) {
	port := uint16(500)
	if natt {
		port = 4500
	}
	buf, oob := make([]byte, 64<<10), make([]byte, 128)
	for {
		n, on, _, remote, err := from.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // ICMP told of trouble with an earlier one
		}
		b := buf[:n]
		if natt {
			if n < 4 || b[0]|b[1]|b[2]|b[3] != 0 {
				continue // ESP or a keepalive
			}
			b = b[4:]
		}
		local, ok := arrivedAt(oob[:on])
		if !ok {
			continue
		}
		select {
		case c.in <- arrival{slices.Clone(b), netip.AddrPortFrom(local, port), remote, natt}:
		case <-ctx.Done():
			return
		}
	}
}

// arrivedAt returns the address that IP_PKTINFO names.
func arrivedAt(oob []byte) (netip.Addr, bool) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, m := range list {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo {
			return netip.AddrFrom4([4]byte(m.Data[8:12])), true
		}
	}
	return netip.Addr{}, false
}

// run is the loop, to which all members belong.
func (c *throng) run(ctx context.Context) {
	defer close(c.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for r := c.rush; r != nil && r.left > 0 && r.busy < r.window; {
			r.left--
			r.busy++
			r.begin()
		}
		if r := c.rush; r != nil && r.left+r.busy == 0 {
			c.rush, r.ended = nil, time.Now()
			close(r.done)
		}
		wait := time.Hour
		if next := c.ep.NextTimeout(); !next.IsZero() {
			wait = max(0, time.Until(next))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case f := <-c.calls:
			f()
		case a := <-c.in:
			c.perform(c.ep.HandleDatagram(ike.Datagram{Data: a.data, Local: a.local, Remote: a.remote, NATT: a.natt}, time.Now()))
		case <-timer.C:
			c.perform(c.ep.HandleTimeout(time.Now()))
		}
	}
}

func (c *throng) perform(effects []ike.Effect) {
	for _, x := range effects {
		switch x := x.(type) {
		case ike.Send:
			c.send(x)
		case ike.InstallChild:
			if m := c.members[x.SA]; m != nil && !m.up {
				m.up = true
				c.finished(m, nil)
			}
		case ike.ChildFailed:
			if m := c.members[x.SA]; m != nil && !m.up {
				m.up = true
				c.finished(m, fmt.Errorf("no Child SA: %w", x.Err))
			}
		case ike.Replaced:
			c.members[x.New] = c.members[x.Old]
			delete(c.members, x.Old)
		case ike.Closed:
			m := c.members[x.SA]
			delete(c.members, x.SA)
			switch {
			case m == nil:
			case !m.up:
				c.finished(m, reasonOf(x.Err))
			case c.rush != nil:
				c.finished(m, x.Err)
			}
		}
	}
}

// reasonOf names an end without a reason.
func reasonOf(err error) error {
	if err == nil {
		return errors.New("closed before it was up")
	}
	return err
}

// finished counts a member that has done what the rush is about.
func (c *throng) finished(m *member, err error) {
	r := c.rush
	if r == nil {
		return
	}
	r.busy--
	r.took = append(r.took, time.Since(m.asked))
	if err != nil {
		r.failed = append(r.failed, err)
	}
}

func (c *throng) send(x ike.Send) {
	from, b := c.bare, x.Data
	if x.NATT || x.Keepalive {
		from = c.natt
	}
	if x.NATT && !x.Keepalive {
		b = append(make([]byte, 4, 4+len(b)), b...)
	}
	oob := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: x.Path.Local.Addr().As4()})
	// What is lost is sent again.
	_, _, _ = from.WriteMsgUDPAddrPort(b, oob, x.Path.Remote)
}

// connect lets n more members connect, window of them at a time.
func (c *throng) connect(n, window int) *rush {
	c.t.Helper()
	configs := make([]*ike.Config, n)
	first := c.next
	for i := range configs {
		configs[i] = c.config(first + i) // before the clock runs
	}
	c.next += n
	return c.hurry(n, window, func() {
		cfg, i := configs[0], first+n-len(configs)
		configs = configs[1:]
		a := throngNet.Addr().As4()
		a[2], a[3] = byte(i>>8), byte(i)
		path := ike.Path{Local: netip.AddrPortFrom(netip.AddrFrom4(a), 500), Remote: netip.AddrPortFrom(lab.GatewayV4, 500)}
		now := time.Now()
		sa, effects := c.ep.Initiate(cfg, path, now)
		c.members[sa] = &member{asked: now}
		c.perform(effects)
	})
}

// leave lets all members disconnect, window of them at a time.
func (c *throng) leave(window int) *rush {
	c.t.Helper()
	var all []*ike.SA
	c.do(func() {
		for sa := range c.members {
			all = append(all, sa)
		}
	})
	return c.hurry(len(all), window, func() {
		sa := all[0]
		all = all[1:]
		m := c.members[sa]
		if m == nil {
			c.rush.busy--
			return
		}
		m.asked = time.Now()
		c.perform(sa.Close(m.asked))
	})
}

// do runs f on the loop.
func (c *throng) do(f func()) {
	done := make(chan struct{})
	c.calls <- func() { defer close(done); f() }
	<-done
}

// hurry lets n members do something, and waits until all have.
func (c *throng) hurry(n, window int, begin func()) *rush {
	c.t.Helper()
	r := &rush{left: n, window: window, begin: begin, begun: time.Now(), done: make(chan struct{})}
	c.calls <- func() { c.rush = r }
	select {
	case <-r.done:
	case <-time.After(5 * time.Minute):
		var left, busy int
		c.do(func() { left, busy = r.left, r.busy })
		c.t.Fatalf("of %d members %d have not begun and %d have not ended", n, left, busy)
	}
	if len(r.failed) > 0 {
		c.t.Fatalf("%d of %d members failed, the first: %v", len(r.failed), n, r.failed[0])
	}
	return r
}

// median returns how long half of the members took at most.
func (r *rush) median() time.Duration { return median(r.took) }

// duration returns how long all of them took together.
func (r *rush) duration() time.Duration { return r.ended.Sub(r.begun) }

// config is what the member with that number wants.
func (c *throng) config(i int) *ike.Config {
	c.t.Helper()
	name := fmt.Sprintf("member-%05d.vpn.test", i)
	id, err := auth.ParseIdentity(name)
	if err != nil {
		c.t.Fatal(err)
	}
	gateway, err := auth.ParseIdentity(c.auth.gateway)
	if err != nil {
		c.t.Fatal(err)
	}
	proposals, err := transform.ParseProposals(transform.ProtoIKE, []string{"aes256gcm16-prfsha256-" + c.auth.group})
	if err != nil {
		c.t.Fatal(err)
	}
	esp, err := transform.ParseProposals(transform.ProtoESP, []string{"aes256gcm16"})
	if err != nil {
		c.t.Fatal(err)
	}
	zero := netip.IPv4Unspecified()
	cfg := &ike.Config{
		Name: name, Local: ike.LocalAuth{ID: id}, Peer: ike.PeerAuth{ID: gateway}, Proposals: proposals,
		Children: []ike.ChildConfig{{
			Name: "net", LocalDynamic: ts.Any()[:1], Remote: ts.List{ts.FromPrefix(netip.MustParsePrefix("10.10.0.0/16"))}, Proposals: esp,
			RekeyTime: -1, HardLifetime: -1,
		}},
		WantAddresses: []netip.Addr{zero},
		RekeyTime:     -1, HardLifetime: -1, LivenessDelay: -1, TicketLife: -1,
	}
	if c.auth.ca == nil {
		cfg.Local.PSK, cfg.Peer.PSK = []byte(c.auth.psk), []byte(c.auth.psk)
		return cfg
	}
	key, cert := c.issue(name, int64(i))
	cfg.Local.Key, cfg.Local.Chain = key, []*x509.Certificate{cert}
	cfg.Peer.Verifier = &pki.Verifier{Roots: []*x509.Certificate{c.auth.ca}}
	return cfg
}

// issue makes the certificate of a member.
func (c *throng) issue(name string, serial int64) (*ecdsa.PrivateKey, *x509.Certificate) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1 + serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, c.auth.ca, key.Public(), c.auth.caKey)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return key, cert
}
