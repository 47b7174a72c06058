//go:build linux || darwin

package ipc

import (
	"context"
	"net"
	"os"
)

// Dial connects to the service at path. It yields ErrUntrusted when the process
// there runs neither as root nor as the caller: an import hands it secrets.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	p, err := PeerOf(c)
	if err == nil && p.UID != 0 && int(p.UID) != os.Geteuid() {
		err = ErrUntrusted
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
