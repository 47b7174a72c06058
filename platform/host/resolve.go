package host

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"sallyport/platform/route"
	"sallyport/platform/sockopt"
)

// resolve looks up a gateway's name through marked sockets, which reach the name
// servers of the physical network whatever the firewall demands of others.
func resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true, Dial: dialNameServer}
	return r.LookupNetIP(ctx, "ip", name)
}

// upstream lists the servers that systemd-resolved asks: its own address is
// on loopback, and its questions to them are not ours to mark.
const upstream = "/run/systemd/resolve/resolv.conf"

// dialNameServer reaches a name server of /etc/resolv.conf.
func dialNameServer(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, Control: sockopt.Marked(route.Mark)}
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().IsLoopback() {
		var last error
		for _, s := range nameServers(upstream) {
			c, err := d.DialContext(ctx, network, net.JoinHostPort(s, "53"))
			if err == nil {
				return c, nil
			}
			last = err
		}
		if last != nil {
			return nil, last
		}
	}
	return d.DialContext(ctx, network, address)
}

// nameServers returns the servers that a resolv.conf names; none when it
// cannot be read.
func nameServers(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan() && len(out) < 3; {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == "nameserver" {
			if _, err := netip.ParseAddr(f[1]); err == nil {
				out = append(out, f[1])
			}
		}
	}
	return out
}
