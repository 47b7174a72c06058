package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

func TestParseRange(t *testing.T) {
	tests := []struct{ in, first, last string }{
		{"10.20.0.0/24", "10.20.0.1", "10.20.0.254"},
		{"10.20.0.7/24", "10.20.0.1", "10.20.0.254"},
		{"10.20.0.0/31", "10.20.0.0", "10.20.0.1"},
		{"10.20.0.9/32", "10.20.0.9", "10.20.0.9"},
		{"10.20.0.10-10.20.0.99", "10.20.0.10", "10.20.0.99"},
		{"10.20.0.10 - 10.20.0.10", "10.20.0.10", "10.20.0.10"},
		{"fd00:20::/120", "fd00:20::1", "fd00:20::ff"},
		{"fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff"},
	}
	for _, tt := range tests {
		first, last, err := ParseRange(tt.in)
		if err != nil || first.String() != tt.first || last.String() != tt.last {
			t.Errorf("%q: %v-%v, %v; want %s-%s", tt.in, first, last, err, tt.first, tt.last)
		}
	}
	for _, bad := range []string{"", "10.0.0.0", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "x-y", "10.0.0.0/33", "10.0.0.1-", "fe80::1%a-fe80::2%a"} {
		if _, _, err := ParseRange(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestPrefixesCoverTheRangeExactly(t *testing.T) {
	tests := map[string]string{
		"10.20.0.0-10.20.0.255":                      "[10.20.0.0/24]",
		"10.20.0.1-10.20.0.6":                        "[10.20.0.1/32 10.20.0.2/31 10.20.0.4/31 10.20.0.6/32]",
		"0.0.0.0-255.255.255.255":                    "[0.0.0.0/0]",
		"255.255.255.255-255.255.255.255":            "[255.255.255.255/32]",
		"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "[::/0]",
	}
	for in, want := range tests {
		p, err := New(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Prefixes()); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestLease(t *testing.T) {
	p, err := New("10.0.0.0/29") // .1 to .6
	if err != nil {
		t.Fatal(err)
	}
	lease := func(owner, want string) netip.Addr {
		t.Helper()
		var w netip.Addr
		if want != "" {
			w = netip.MustParseAddr(want)
		}
		a, err := p.Lease(owner, w)
		if err != nil {
			t.Fatalf("%s: %v", owner, err)
		}
		return a
	}
	seen := map[netip.Addr]string{}
	for i := range 6 {
		o := fmt.Sprint("peer", i)
		want := ""
		if i == 0 {
			want = "10.0.0.4"
		}
		a := lease(o, want)
		if i == 0 && a.String() != want {
			t.Errorf("asked for %s, got %v", want, a)
		}
		if by, dup := seen[a]; dup {
			t.Errorf("%v went to %s and %s", a, by, o)
		}
		seen[a] = o
	}
	if _, err := p.Lease("late", netip.Addr{}); !errors.Is(err, ErrExhausted) {
		t.Errorf("seventh lease of six: %v", err)
	}
	for a, o := range seen {
		p.Release(a)
		if again := lease(o, "0.0.0.0"); again != a {
			t.Errorf("%s came back to %v, had %v", o, again, a)
		}
	}
	if p.Leased() != 6 {
		t.Errorf("%d leased, want 6", p.Leased())
	}
	p.Release(netip.MustParseAddr("10.0.0.4"))
	if a := lease("else", "10.0.0.77"); a.String() != "10.0.0.4" {
		t.Errorf("asked for an address outside, got %v", a)
	}
}

func TestRememberedOwnersAreBounded(t *testing.T) {
	p, err := New("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxRemembered {
		a, err := p.Lease(fmt.Sprint(i), netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		p.Release(a)
	}
	if len(p.past) > maxRemembered {
		t.Errorf("%d owners remembered", len(p.past))
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"10.20.0.0/24", "10.0.0.1-10.0.0.9", "fd00::/120", "-", "::/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, err := ParseRange(s)
		if err != nil {
			return
		}
		f2, l2, err := ParseRange(first.String() + "-" + last.String())
		if err != nil || f2 != first || l2 != last {
			t.Errorf("%q is %v-%v, which reads back as %v-%v, %v", s, first, last, f2, l2, err)
		}
	})
}
