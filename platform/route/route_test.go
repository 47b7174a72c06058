package route

import (
	"net/netip"
	"reflect"
	"testing"

	"sallyport/core/host"
)

func TestNormalize(t *testing.T) {
	pfx := netip.MustParsePrefix
	got, err := normalize(host.RouteConfig{
		Device:    "t0",
		Addresses: []netip.Prefix{pfx("10.0.0.5/24"), pfx("10.0.0.5/24"), pfx("::ffff:10.0.0.6/128")},
		Routes: []host.Route{
			{Dst: pfx("10.1.2.3/16")},
			{Dst: pfx("::/0"), Src: netip.MustParseAddr("fd00::1")},
			{Dst: pfx("10.1.0.0/16"), Src: netip.MustParseAddr("::ffff:10.0.0.5")},
		},
	})
	want := host.RouteConfig{
		Device:    "t0",
		Addresses: []netip.Prefix{pfx("10.0.0.5/24"), pfx("10.0.0.6/32")},
		Routes: []host.Route{
			{Dst: pfx("10.1.0.0/16"), Src: netip.MustParseAddr("10.0.0.5")},
			{Dst: pfx("::/0"), Src: netip.MustParseAddr("fd00::1")},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("normalize = %+v, %v\nwant %+v", got, err, want)
	}
	for name, c := range map[string]host.RouteConfig{
		"no device":           {MTU: 1400},
		"invalid address":     {Device: "t0", Addresses: []netip.Prefix{{}}},
		"unspecified address": {Device: "t0", Addresses: []netip.Prefix{pfx("0.0.0.0/32")}},
		"multicast address":   {Device: "t0", Addresses: []netip.Prefix{pfx("ff02::1/128")}},
		"invalid route":       {Device: "t0", Routes: []host.Route{{}}},
		"mixed route":         {Device: "t0", Routes: []host.Route{{Dst: pfx("::ffff:0:0/95")}, {Dst: netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 64)}}},
		"other family":        {Device: "t0", Routes: []host.Route{{Dst: pfx("10.0.0.0/8"), Src: netip.MustParseAddr("fd00::1")}}},
	} {
		if _, err := normalize(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
