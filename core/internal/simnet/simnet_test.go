package simnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/host"
)

var (
	inside  = netip.MustParseAddr("192.168.1.2")
	outside = netip.MustParseAddr("203.0.113.99")
	server  = netip.MustParseAddr("198.51.100.1")
	roof    = netip.Addr{}
)

func open(t *testing.T, h *Host, port uint16) host.UDPConn {
	t.Helper()
	c, err := h.OpenUDP(false, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hears returns whom a socket hears from; invalid: nobody.
func hears(c host.UDPConn) netip.AddrPort {
	synctest.Wait()
	select {
	case p := <-c.(*Conn).in:
		return p.From
	default:
		return netip.AddrPort{}
	}
}

func send(t *testing.T, c host.UDPConn, to netip.AddrPort) {
	t.Helper()
	if err := c.Send([]byte("x"), 0, to, netip.Addr{}, 0); err != nil {
		t.Fatal(err)
	}
}

func TestNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		nat := n.NAT(outside, time.Minute)
		h, s := n.Host(server, roof), n.Host(server, roof)
		h.Enter(nat, inside, roof)
		c, at, other := open(t, h, 4500), netip.AddrPortFrom(server, 4500), open(t, s, 500)
		far := open(t, s, 4500)

		send(t, c, at)
		first := hears(far)
		if first.Addr() != outside || first.Port() == 4500 {
			t.Fatalf("seen as %v", first)
		}
		send(t, c, at)
		if again := hears(far); again != first {
			t.Errorf("seen as %v, then as %v", first, again)
		}
		send(t, far, first)
		if got := hears(c); got != at {
			t.Errorf("the answer comes from %v", got)
		}
		send(t, other, first)
		if got := hears(c); got.IsValid() {
			t.Errorf("a stranger %v gets in", got)
		}
		time.Sleep(time.Minute)
		send(t, far, first)
		if got := hears(c); got.IsValid() {
			t.Error("the mapping outlives its time")
		}
		send(t, c, at)
		second := hears(far)
		if second == first {
			t.Error("the same port after the mapping had gone")
		}
		nat.Forget()
		send(t, far, second)
		if got := hears(c); got.IsValid() {
			t.Error("the mapping outlives the NAT")
		}
		h.Readdress(server.Next(), roof)
		send(t, c, at)
		if got := hears(far); got != netip.AddrPortFrom(server.Next(), 4500) {
			t.Errorf("seen as %v without the NAT", got)
		}
	})
}

func TestCutAndDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := n.Host(inside, roof), n.Host(server, roof)
		ca, cb := open(t, a, 500), open(t, b, 500)
		toB := netip.AddrPortFrom(server, 500)
		for what, cut := range map[string]func(){
			"cut":  func() { n.Cut(func(_, to netip.AddrPort, tcp bool) bool { return to == toB && !tcp }) },
			"down": func() { b.SetDown(true) },
		} {
			cut()
			send(t, ca, toB)
			if got := hears(cb); got.IsValid() {
				t.Errorf("%s: heard %v", what, got)
			}
			n.Cut(nil)
			b.SetDown(false)
			send(t, ca, toB)
			if got := hears(cb); !got.IsValid() {
				t.Errorf("%s: nothing is heard afterwards", what)
			}
		}
	})
}

// TestTCPWaits: what is written while the way is cut arrives when it is open, an
// end that closes is heard of then, and one that has moved is heard of no more.
func TestTCPWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := n.Host(inside, roof), n.Host(server, roof)
		l, err := b.ListenTCP(false, 443)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all := func(_, _ netip.AddrPort, tcp bool) bool { return tcp }
		pair := func() (x, y net.Conn) {
			got := make(chan net.Conn)
			go func() {
				c, _ := l.Accept()
				got <- c
			}()
			c, err := a.DialTCP(context.Background(), netip.AddrPortFrom(server, 443))
			if err != nil {
				t.Fatal(err)
			}
			return c, <-got
		}
		x, y := pair()
		n.Cut(all)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := a.DialTCP(ctx, netip.AddrPortFrom(server, 443)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("connecting over a way that is cut: %v", err)
		}
		wrote := make(chan error, 1)
		go func() {
			_, err := x.Write([]byte("late"))
			x.Close()
			wrote <- err
		}()
		read := make(chan string, 1)
		go func() {
			b, _ := io.ReadAll(y)
			read <- string(b)
		}()
		time.Sleep(time.Minute)
		if len(wrote)+len(read) != 0 {
			t.Error("something passed")
		}
		n.Cut(nil)
		if got := <-read; got != "late" || <-wrote != nil {
			t.Errorf("%q arrived", got)
		}
		y.Close()

		x, y = pair()
		a.Readdress(inside.Next(), roof)
		_ = x.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := x.Write([]byte("never")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing from an address that is gone: %v", err)
		}
		x.Close()
		_ = y.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := y.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading from one who has gone without a word: %v", err)
		}
		y.Close()
	})
}
