package firewall

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
	"sallyport/platform/internal/roottest"
)

func sel(t testing.TB, s string) ts.Selector {
	t.Helper()
	x, err := ts.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSmoke(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := New(Config{Mark: 0x5a11})
	i := host.FirewallIntent{
		Device: "sp0", Inner: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
		Rules: []host.FirewallRule{
			{Local: sel(t, "0.0.0.0/0"), Remote: sel(t, "10.1.0.0/16[tcp/443]"), Action: host.FirewallClear},
			{Local: sel(t, "0.0.0.0/0"), Remote: sel(t, "10.1.0.0/16"), Action: host.FirewallTunnelOnly},
			{Local: sel(t, "0.0.0.0/0"), Remote: sel(t, "0.0.0.0/0"), Action: host.FirewallTunnelOnly},
		},
		Default:   host.FirewallTunnelOnly,
		Exempt:    host.FirewallExempt{IKE: []uint16{500, 4500}, Lookup: true, DHCP: true, NDP: true, LAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}, LANDiscovery: true},
		DNSInside: true,
	}
	start := time.Now()
	if err := f.Set(i); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
	t.Log(roottest.Run(t, "nft list table inet sallyport"))
	if err := f.Set(i); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(); err != nil {
		t.Fatal(err)
	}
	i.DNSInside = false
	if err := f.Set(i); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(); err != nil {
		t.Fatal(err)
	}
	t.Log(roottest.Run(t, "nft list chain inet sallyport output"))
	if err := New(Config{}).Cleanup(); err != nil {
		t.Fatal(err)
	}
	t.Log(roottest.Run(t, "nft list ruleset"))
	t.Log(f.Verify())
	select {
	case <-f.Changes():
		t.Log("change seen")
	case <-time.After(time.Second):
		t.Error("no change")
	}
	t.Log(f.Close())
}
