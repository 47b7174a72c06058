package interop_test

import (
	"crypto/rand"
	"encoding/binary"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// ikeInit returns an IKE_SA_INIT request that a gateway takes for a new
// client's: AES-CBC-128, HMAC-SHA2-256, x25519.
func ikeInit() []byte {
	transform := func(last byte, kind byte, id uint16, attr ...byte) []byte {
		b := []byte{last, 0, 0, byte(8 + len(attr)), kind, 0, byte(id >> 8), byte(id)}
		return append(b, attr...)
	}
	var proposal []byte
	proposal = append(proposal, transform(3, 1, 12, 0x80, 0x0e, 0, 128)...)
	proposal = append(proposal, transform(3, 2, 5)...)
	proposal = append(proposal, transform(3, 3, 12)...)
	proposal = append(proposal, transform(0, 4, 31)...)
	proposal = append([]byte{0, 0, 0, byte(8 + len(proposal)), 1, 1, 0, 4}, proposal...)
	payload := func(next byte, body []byte) []byte {
		return append([]byte{next, 0, byte((4 + len(body)) >> 8), byte(4 + len(body))}, body...)
	}
	random := func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return b
	}
	const ke, nonce = 34, 40
	body := payload(ke, proposal)
	body = append(body, payload(nonce, append([]byte{0, 31, 0, 0}, random(32)...))...)
	body = append(body, payload(0, random(32))...)
	hdr := append(random(8), make([]byte, 20)...)
	hdr[16], hdr[17], hdr[18], hdr[19] = 33, 0x20, 34, 0x08
	binary.BigEndian.PutUint32(hdr[24:], uint32(28+len(body)))
	return append(hdr, body...)
}

// flood sends datagrams from a machine to an address and port.
func flood(h *lab.Host, to netip.AddrPort, datagrams [][]byte) error {
	return h.Do(func() error {
		c, err := net.Dial("udp", to.String())
		if err != nil {
			return err
		}
		defer c.Close()
		for i, d := range datagrams {
			if i%20 == 19 {
				time.Sleep(time.Millisecond) // it is the service that is tested, not the kernel's buffers
			}
			// A closed port answers the one before with an error of its own.
			_, _ = c.Write(d)
		}
		return nil
	})
}

// TestCookie connects to a gateway that is under attack and therefore demands
// a cookie.
func TestCookie(t *testing.T) {
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t), "cookie_threshold = 2", "cookie_threshold_ip = 2", "half_open_timeout = 30")
	dir := l.SwanDir("cookie", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s := l.Client.Service("cookie")
	s.Must("import", dir+"/swanctl.conf")
	attack := [][]byte{ikeInit(), ikeInit(), ikeInit(), ikeInit()}
	if err := flood(l.Client, netip.AddrPortFrom(lab.GatewayV4, 500), attack); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the gateway to notice the attack", func() bool { return strings.Contains(gw.Log(), "N(COOKIE)") })
	mark := gw.Mark()
	s.Must("connect", "office", "--wait", "20s")
	if log := gw.Since(mark); !strings.Contains(log, "generating IKE_SA_INIT response 0 [ N(COOKIE) ]") {
		t.Errorf("the gateway demanded no cookie:\n%s", log)
	}
	if _, err := l.Client.Download(lab.InsideV4, megabytes, time.Minute); err != nil {
		t.Error(err)
	}
}

// TestCookieOfOurs is the same attack on our responder: it must still serve
// strongSwan's client, and remember nothing of the attackers.
func TestCookieOfOurs(t *testing.T) {
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), "", "")
	var attack [][]byte
	for range 2000 {
		attack = append(attack, ikeInit())
	}
	if err := flood(l.Wan, netip.AddrPortFrom(lab.GatewayV4, 500), attack); err != nil {
		t.Fatal(err)
	}
	dir := l.SwanDir("swan", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	swan := l.Client.StrongSwan(dir)
	if err := swan.Initiate("office"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(swan.Log(), "parsed IKE_SA_INIT response 0 [ N(COOKIE) ]") {
		t.Errorf("our gateway demanded no cookie while 2,000 attackers knock:\n%s", swan.Log())
	}
	if _, err := l.Client.Download(lab.InsideV4, megabytes, time.Minute); err != nil {
		t.Error(err)
	}
	t.Logf("drops: %v", gw.Dynamic().Drops)
}

// TestMalformedPackets throws random and mutated datagrams at both ports of
// client and gateway during a transfer.
func TestMalformedPackets(t *testing.T) {
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), "", "")
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s := l.Client.Service("client")
	s.Must("import", dir+"/swanctl.conf")

	real := recordIKE(t, l, func() { s.Must("connect", "office", "--wait", "20s") })
	errs := make(chan error, 1)
	go func() {
		tr, err := l.Client.Download(lab.InsideV4, 100*megabytes, time.Minute)
		t.Logf("download: %v", tr)
		errs <- err
	}()
	rnd := mrand.New(mrand.NewPCG(1, 2))
	sent := 0
	for _, target := range []struct {
		addr netip.Addr
		port uint16
	}{{lab.GatewayV4, 500}, {lab.GatewayV4, 4500}, {lab.ClientV4, 500}, {lab.ClientV4, 4500}, {lab.GatewayV6, 500}, {lab.ClientV6, 4500}} {
		var bad [][]byte
		for range 1500 {
			bad = append(bad, malformed(rnd, real, target.port == 4500))
		}
		sent += len(bad)
		if err := flood(l.Wan, netip.AddrPortFrom(target.addr, target.port), bad); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-errs; err != nil {
		t.Errorf("download: %v", err)
	}
	time.Sleep(100 * time.Millisecond) // the last ones are under way
	for name, drops := range map[string]map[string]uint64{"client": s.Dynamic().Drops, "gateway": gw.Dynamic().Drops} {
		var n uint64
		for _, c := range drops {
			n += c
		}
		t.Logf("%s: %d dropped: %v", name, n, drops)
		if n < 1000 {
			t.Errorf("%s counted %d of about %d malformed datagrams", name, n, sent/2)
		}
	}
	if c := s.Connection("office"); c.State != api.Connected {
		t.Errorf("office is %s after the flood: %v", c.State, c.Problem)
	}
	if d := gw.Dynamic(); len(d.IKESAs) == 0 {
		t.Error("the gateway lost the IKE SA")
	}
	if _, err := l.Client.Download(lab.InsideV4, megabytes, time.Minute); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

// recordIKE returns the IKE messages on the wire while f runs.
func recordIKE(t *testing.T, l *lab.Lab, f func()) [][]byte {
	t.Helper()
	c := l.Gateway.Capture("eth0")
	f()
	c.Stop()
	if n := len(c.Messages()); n < 4 {
		t.Fatalf("recorded %d IKE messages", n)
	}
	return c.Messages()
}

// malformed returns noise, or a real message with faults.
func malformed(rnd *mrand.Rand, real [][]byte, natt bool) []byte {
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	if rnd.IntN(3) == 0 {
		return noise(rnd.IntN(1400))
	}
	b := append([]byte(nil), real[rnd.IntN(len(real))]...)
	switch rnd.IntN(4) {
	case 0:
		b = b[:rnd.IntN(len(b))]
	case 1:
		b = append(b, noise(1+rnd.IntN(100))...)
	default:
		for range 1 + rnd.IntN(8) {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
	}
	if natt && rnd.IntN(4) > 0 {
		return append(make([]byte, 4), b...)
	}
	return b
}
