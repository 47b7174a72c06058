package lab

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// A WireGuard is one instance of wireguard-go on a machine.
type WireGuard struct {
	Proc *Process

	host *Host
	key  *ecdh.PrivateKey
}

// wireGuardPort is where each instance listens.
const wireGuardPort = 51820

// WireGuard starts the program wireguard-go at path with the device wg0, which is
// up and has this address. Meet lets it talk.
func (h *Host) WireGuard(path string, address netip.Prefix) *WireGuard {
	h.lab.t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		h.lab.t.Fatal(err)
	}
	w := &WireGuard{host: h, key: key}
	cmd := Command(path, "-f", "wg0")
	cmd.Env = append(cmd.Env, "LOG_LEVEL=error")
	w.Proc = h.Start("wireguard", cmd)
	// Its socket is in the machine's own /run.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := w.set(fmt.Sprintf("private_key=%x\nlisten_port=%d\n", key.Bytes(), wireGuardPort))
		if err == nil {
			break
		}
		select {
		case <-w.Proc.Done:
			h.lab.t.Fatalf("%s ended at once: %v\n%s", path, w.Proc.Err, w.Proc.Log())
		default:
		}
		if time.Now().After(end) {
			h.lab.t.Fatalf("%s cannot be configured: %v\n%s", path, err, w.Proc.Log())
		}
	}
	if err := h.address("wg0", address.String()); err != nil {
		h.lab.t.Fatal(err)
	}
	if err := h.link("wg0", true); err != nil {
		h.lab.t.Fatal(err)
	}
	return w
}

// Meet makes o, which is at an address, the peer to which these networks lead.
func (w *WireGuard) Meet(o *WireGuard, at netip.Addr, networks ...netip.Prefix) {
	w.host.lab.t.Helper()
	lines := fmt.Sprintf("public_key=%x\nendpoint=%v\n", o.key.PublicKey().Bytes(), netip.AddrPortFrom(at, wireGuardPort))
	for _, n := range networks {
		lines += fmt.Sprintf("allowed_ip=%v\n", n)
	}
	if err := w.set(lines); err != nil {
		w.host.lab.t.Fatal(err)
	}
	for _, n := range networks {
		w.host.Run(fmt.Sprintf("ip route replace %v dev wg0", n))
	}
}

// set configures the instance (https://www.wireguard.com/xplatform/).
func (w *WireGuard) set(lines string) error {
	var c net.Conn
	if err := w.host.onThread(func() (err error) {
		c, err = net.Dial("unix", "/run/wireguard/wg0.sock")
		return err
	}); err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, "set=1\n"+lines+"\n"); err != nil {
		return err
	}
	const done = "errno=0\n\n"
	b := make([]byte, 64)
	n, err := io.ReadAtLeast(c, b, len(done))
	if got := string(b[:n]); got != done {
		return fmt.Errorf("wireguard-go answers %q, %v", got, err)
	}
	return nil
}
