package interop_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// configProfile is a client that asks for the addresses given, at the gateway
// given.
func configProfile(name, gateway, addresses string) string {
	return fmt.Sprintf(`version = 1
name = %q
gateways = [%q]
virtual_ips = [%s]
[local]
method = "psk"
id = "alice@vpn.test"
secret = "psk"
[remote]
method = "psk"
id = "psk.vpn.test"
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16", "fd00:10::/64"]
`, name, gateway, addresses)
}

// ourConfigGateway is our responder with two name servers of each family, and
// names that they answer for.
const ourConfigGateway = `version = 1
name = "psk"
role = "responder"
[local]
method = "psk"
id = "psk.vpn.test"
secret = "psk"
[remote]
method = "psk"
[[children]]
name = "net"
local_ts = ["10.10.0.0/16", "fd00:10::/64"]
[[pools]]
name = "v4"
addresses = "10.20.0.0/24"
dns = ["10.10.0.10", "10.10.0.11"]
domains = ["intranet.test"]
[[pools]]
name = "v6"
addresses = "fd00:20::/120"
dns = ["fd00:10::10", "fd00:10::11"]
domains = ["six.test"]
`

// TestConfiguration asks both kinds of gateways for one family or both, over one
// family or the other: addresses, several name servers, the domains that they
// answer for (RFC 8598), and traffic.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	for _, gateway := range []string{"strongswan", "sallyport"} {
		t.Run(gateway, func(t *testing.T) {
			l := lab.New(t)
			if gateway == "strongswan" {
				conf := strings.Replace(gatewayConf, "dns = 10.10.0.10\n", "dns = 10.10.0.10, 10.10.0.11\n    subnet = 10.10.0.0/16\n    25 = intranet.test\n", 1)
				conf = strings.Replace(conf, "dns = fd00:10::10\n", "dns = fd00:10::10, fd00:10::11\n", 1)
				dir := l.SwanDir("gateway", conf)
				names := []string{"gw-rsa", "gw-pss", "gw-ecdsa256", "gw-ecdsa384", "gw-ecdsa521", "gw-ed25519", "gw-inter", "gw-other", "gw-expired"}
				newPKI(t).Install(t, dir, append([]string{"inter", "ca-rsa", "ca-ecdsa256", "ca-ecdsa384", "ca-ecdsa521", "ca-ed25519"}, names...), names)
				l.Gateway.StrongSwan(dir)
			} else {
				dir := l.Dir("gateway")
				writeFile(t, filepath.Join(dir, "psk.toml"), ourConfigGateway)
				writeFile(t, filepath.Join(dir, "psk"), "correct horse battery staple")
				gw := l.Gateway.Service("gateway")
				gw.Must("import", filepath.Join(dir, "psk.toml"))
			}
			s := l.Client.Service("client")
			for _, c := range []struct {
				name, gateway, ask string
				v4, v6             bool
			}{
				{"six-over-four", "198.51.100.1", `"::"`, false, true},
				{"six-over-six", "2001:db8:1::1", `"::"`, false, true},
				{"four-over-six", "2001:db8:1::1", `"0.0.0.0"`, true, false},
				{"both", "198.51.100.1", `"0.0.0.0", "::"`, true, true},
			} {
				t.Run(c.name, func(t *testing.T) {
					l := l.For(t)
					s := s.For(l)
					importWithPSK(t, l, s, "client-"+c.name, configProfile(c.name, c.gateway, c.ask))
					s.Must("connect", c.name, "--wait", "20s")
					defer s.Must("disconnect", c.name)
					conn := s.Connection(c.name)
					t.Logf("%v, DNS %v for %v, routes %v", conn.Addresses, conn.DNS, conn.Domains, conn.Routes)
					var families []bool
					var servers []netip.Addr
					if c.v4 {
						families = append(families, true)
						servers = append(servers, netip.MustParseAddr("10.10.0.10"), netip.MustParseAddr("10.10.0.11"))
					}
					if c.v6 {
						families = append(families, false)
						servers = append(servers, netip.MustParseAddr("fd00:10::10"), netip.MustParseAddr("fd00:10::11"))
					}
					if len(conn.Addresses) != len(families) {
						t.Fatalf("addresses %v", conn.Addresses)
					}
					for i, a := range conn.Addresses {
						if a.Is4() != families[i] {
							t.Errorf("addresses %v", conn.Addresses)
						}
					}
					for _, d := range servers {
						if !slices.Contains(conn.DNS, d) {
							t.Errorf("name servers %v, without %v", conn.DNS, d)
						}
					}
					if gateway == "sallyport" && len(conn.DNS) != len(servers) {
						t.Errorf("name servers %v, some of which cannot be reached", conn.DNS)
					}
					if c.v4 && !slices.Contains(conn.Domains, "intranet.test") {
						t.Errorf("domains %v", conn.Domains)
					}
					checkFamilies(t, l.For(t), conn, c.v4, c.v6)
				})
			}
		})
	}
}

// checkFamilies pings what the tunnel carries.
func checkFamilies(t *testing.T, l *lab.Lab, conn api.Connection, v4, v6 bool) {
	t.Helper()
	for server, carried := range map[netip.Addr]bool{lab.InsideV4: v4, lab.InsideV6: v6} {
		if !carried {
			continue
		}
		if p := l.Client.Pings(server, 10); p.Lost > 0 {
			t.Errorf("%s: ping %v: %v", conn.Name, server, p)
		}
	}
}
