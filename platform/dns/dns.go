// Package dns sets the name servers that the machine asks while a tunnel is up.
//
// On Linux it asks systemd-resolved, where that serves /etc/resolv.conf, and
// otherwise writes /etc/resolv.conf itself. Only resolved can ask different
// servers for different domains; a plain resolv.conf is all or nothing, and
// then every name goes to the tunnel's servers (Warnings says so).
package dns

import (
	"fmt"
	"net/netip"
	"strings"

	"sallyport/core/host"
)

// The names may come from a gateway and end in a system file, so they are
// bounded in number and kept to what a host name is made of.
const (
	maxServers = 16
	maxDomains = 64
)

var (
	_ host.DNS    = (*DNS)(nil)
	_ host.Warner = (*DNS)(nil)
)

// check refuses what must not reach a system file.
func check(c host.DNSConfig) error {
	if len(c.Servers) == 0 {
		if len(c.Search)+len(c.Only) != 0 {
			return fmt.Errorf("domains without a name server")
		}
		return nil
	}
	if c.Device == "" {
		return fmt.Errorf("name servers without a device")
	}
	if len(c.Servers) > maxServers || len(c.Search) > maxDomains || len(c.Only) > maxDomains {
		return fmt.Errorf("%d name servers, %d search domains and %d domains are too many", len(c.Servers), len(c.Search), len(c.Only))
	}
	for _, s := range c.Servers {
		if !isServer(s) {
			return fmt.Errorf("%q is not the address of a name server", s)
		}
	}
	for _, list := range [][]string{c.Search, c.Only} {
		for _, d := range list {
			if !isDomain(d) {
				return fmt.Errorf("%q is not a domain name", d)
			}
		}
	}
	return nil
}

func isServer(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// isDomain takes the names of RFC 1123, and underscores, with or without the
// final dot.
func isDomain(d string) bool {
	d = strings.TrimSuffix(d, ".")
	if d == "" || len(d) > 253 {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_') {
				return false
			}
		}
	}
	return true
}
