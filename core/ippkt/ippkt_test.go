package ippkt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

var (
	v4 = unhex("45b8 0020 0007 4000 4006 0000 0a000001 0a000002 04d2 0050 00000000 00000000")
	v6 = unhex("6b800000 000c 1140 20010db8000000000000000000000001 20010db8000000000000000000000002 04d2 0035 000c 0000 01020304")
)

// with returns b with bytes from at on replaced.
func with(b []byte, at int, s string) []byte {
	b = bytes.Clone(b)
	copy(b[at:], unhex(s))
	return b
}

// ext returns v6 with extension headers s before its UDP header.
func ext(first byte, s string) []byte {
	h := unhex(s)
	b := append(append(bytes.Clone(v6[:40]), h...), v6[40:]...)
	b[6] = first
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want string // flow
		l4   int
		flag string // of Plain, Fragment, First, DF
	}{
		{"TCP", v4, "10.0.0.1:1234 → 10.0.0.2:80 proto 6", 20, "P-1D"},
		{"bytes behind", append(bytes.Clone(v4), 9, 9), "10.0.0.1:1234 → 10.0.0.2:80 proto 6", 20, "P-1D"},
		{"first fragment", with(v4, 6, "2000"), "10.0.0.1:1234 → 10.0.0.2:80 proto 6", 20, "-F1-"},
		{"later fragment", with(v4, 6, "2001"), "10.0.0.1 → 10.0.0.2 proto 6", 20, "-F--"},
		{"last fragment", with(v4, 6, "0001"), "10.0.0.1 → 10.0.0.2 proto 6", 20, "-F--"},
		{"options", with(v4, 0, "46"), "10.0.0.1:0 → 10.0.0.2:0 proto 6", 24, "--1D"},
		{"ICMP", with(with(v4, 9, "01"), 20, "0800"), "10.0.0.1:2048 → 10.0.0.2:2048 proto 1", 20, "P-1D"},
		{"GRE", with(v4, 9, "2f"), "10.0.0.1 → 10.0.0.2 proto 47", 20, "P-1D"},
		{"no room for ports", with(v4, 2, "0016"), "10.0.0.1 → 10.0.0.2 proto 6", 20, "P-1D"},
		{"UDP over IPv6", v6, "[2001:db8::1]:1234 → [2001:db8::2]:53 proto 17", 40, "P-1D"},
		{"hop-by-hop", ext(0, "1100 0104 00000000"), "[2001:db8::1]:1234 → [2001:db8::2]:53 proto 17", 48, "--1D"},
		{"routing, options", ext(43, "3c00 0000 00000000 1101 0000 0000 0000 0000 0000 0000 0000"), "[2001:db8::1]:1234 → [2001:db8::2]:53 proto 17", 64, "--1D"},
		{"IPv6 first fragment", ext(44, "1100 0001 12345678"), "[2001:db8::1]:1234 → [2001:db8::2]:53 proto 17", 48, "-F1D"},
		{"IPv6 later fragment", ext(44, "1100 0009 12345678"), "2001:db8::1 → 2001:db8::2 proto 17", 48, "-F-D"},
		{"atomic fragment", ext(44, "1100 0000 12345678"), "[2001:db8::1]:1234 → [2001:db8::2]:53 proto 17", 48, "--1D"},
		{"AH", ext(51, "1104 0000 00000000 00000000 00000000 00000000 00000000"), "[2001:db8::1]:1234 → [2001:db8::2]:53 proto 17", 64, "--1D"},
		{"mobility", with(with(v6, 6, "87"), 42, "05"), "[2001:db8::1]:1280 → [2001:db8::2]:1280 proto 135", 40, "P-1D"},
		{"ESP inside", with(v6, 6, "32"), "2001:db8::1 → 2001:db8::2 proto 50", 40, "P-1D"},
	} {
		var p Packet
		if err := p.Parse(tt.in); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		flag := []byte("----")
		for i, on := range []bool{p.Plain, p.Fragment, p.First, p.DontFragment} {
			if on {
				flag[i] = "PF1D"[i]
			}
		}
		if p.Flow.String() != tt.want || p.L4 != tt.l4 || string(flag) != tt.flag {
			t.Errorf("%s: got %v, transport at %d, %s", tt.name, p.Flow, p.L4, flag)
		}
		if wantLen := len(tt.in); tt.name != "bytes behind" && tt.name != "no room for ports" && p.Len != wantLen {
			t.Errorf("%s: length %d, want %d", tt.name, p.Len, wantLen)
		}
		if tos := uint8(0xb8); p.TOS != tos || p.TTL != 64 {
			t.Errorf("%s: TOS %#x, TTL %d", tt.name, p.TOS, p.TTL)
		}
		if r := p.Flow.Reverse(); r.Reverse() != p.Flow || r.Src != p.Flow.Dst {
			t.Errorf("%s: reverse of %v is %v", tt.name, p.Flow, r)
		}
	}
}

func TestParseErrors(t *testing.T) {
	many := bytes.Repeat(unhex("3c00 0000 00000000"), maxExtensions+1)
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"short", v4[:19], ErrShort},
		{"version 5", with(v4, 0, "55"), ErrVersion},
		{"IHL of 16", with(v4, 0, "44"), ErrHeader},
		{"IHL beyond the length", with(v4, 0, "4f"), ErrHeader},
		{"cut", v4[:31], ErrLength},
		{"length below the header", with(v4, 2, "0013"), ErrHeader},
		{"IPv6 short", v6[:39], ErrShort},
		{"IPv6 cut", v6[:51], ErrLength},
		{"extension cut", with(with(v6, 6, "00"), 40, "11ff"), ErrHeader},
		{"no extension", with(v6, 4, "0004 00")[:44], ErrShort},
		{"too many extensions", ext(60, hex.EncodeToString(many)), ErrExtension},
	} {
		var p Packet
		if err := p.Parse(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// slowSum is RFC 1071 to the letter.
func slowSum(b []byte) uint16 {
	var s uint32
	for i, v := range b {
		s += uint32(v) << (8 * uint(1-i%2))
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

func TestChecksum(t *testing.T) {
	// RFC 1071, section 3.
	if got := Fold(Add(0, unhex("0001f203f4f5f6f7"))); got != 0xddf2 {
		t.Errorf("RFC 1071: %#x", got)
	}
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 3000)
	for i := range b {
		b[i] = byte(r.Uint32())
		if i < 500 {
			b[i] = 0xff // carries everywhere
		}
	}
	for n := range b {
		from := r.IntN(n + 1)
		if got, want := Fold(Add(0, b[from:n])), slowSum(b[from:n]); got != want {
			t.Fatalf("%d bytes: %#x, want %#x", n-from, got, want)
		}
		even := from + (n-from)/2&^1
		if got, want := Fold(Add(Add(0, b[from:even]), b[even:n])), slowSum(b[from:n]); got != want {
			t.Fatalf("in two parts: %#x, want %#x", got, want)
		}
	}
	for range 1000 {
		at := r.IntN(100) * 2
		before := ^Fold(Add(0, b[:400]))
		old := binary.BigEndian.Uint16(b[at:])
		now := uint16(r.Uint32())
		binary.BigEndian.PutUint16(b[at:], now)
		if got, want := Update(before, old, now), ^slowSum(b[:400]); got != want {
			t.Fatalf("update %#x to %#x: %#x, want %#x", old, now, got, want)
		}
	}
}

func TestTransportChecksumOK(t *testing.T) {
	// A DNS query as the wire had it: checksum computed with the slow sum.
	for _, in := range [][]byte{v4, v6} {
		b := bytes.Clone(in)
		var p Packet
		if p.Flow.V6 = b[0]>>4 == 6; !p.Flow.V6 {
			b = append(b, make([]byte, 8)...) // a whole TCP header
			b[3] += 8
		}
		if err := p.Parse(b); err != nil {
			t.Fatal(err)
		}
		pseudo := bytes.Clone(b[12:20])
		at := 36
		if p.Flow.V6 {
			pseudo, at = bytes.Clone(b[8:40]), 46
		}
		pseudo = append(pseudo, 0, p.Flow.Proto, 0, byte(p.Len-p.L4))
		binary.BigEndian.PutUint16(b[at:], ^slowSum(append(pseudo, b[p.L4:]...)))
		if !p.TransportChecksumOK(b) {
			t.Errorf("%v: refused", p.Flow)
		}
		b[at+1]++
		if p.TransportChecksumOK(b) {
			t.Errorf("%v: accepted", p.Flow)
		}
	}
}

func TestAddr(t *testing.T) {
	prev := Addr{}
	for _, s := range []string{"0.0.0.0", "10.0.0.1", "10.0.1.0", "255.255.255.255", "2001:db8::", "2001:db8::1", "2001:db8:0:1::", "ffff::"} {
		ip := netip.MustParseAddr(s)
		a := AddrFrom(ip)
		if a.IP(ip.Is6()) != ip || a.Compare(a) != 0 || prev.Compare(a) != -1 || a.Compare(prev) != 1 {
			t.Errorf("%v: %v", ip, a)
		}
		prev = a
	}
}

func TestNoAllocations(t *testing.T) {
	var p Packet
	if n := testing.AllocsPerRun(100, func() {
		p.Parse(v6)
		p.Flow.Hash()
		p.TransportChecksumOK(v6)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(v4)
	f.Add(v6)
	f.Add(with(v4, 6, "2001"))
	f.Add(ext(0, "1100 0104 00000000"))
	f.Add(ext(44, "1100 0009 12345678"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		if p.Parse(b) != nil {
			return
		}
		if p.L4 < IPv4Len || p.L4 > p.Len || p.Len > len(b) {
			t.Fatalf("transport at %d of %d of %d", p.L4, p.Len, len(b))
		}
		if p.Plain && (p.Fragment || !p.First || p.L4 != IPv4Len && p.L4 != IPv6Len) {
			t.Errorf("plain: %+v", p)
		}
		if !p.Flow.Opaque && !p.First {
			t.Errorf("ports of a later fragment: %+v", p)
		}
		if n := TCPHeader(b[p.L4:p.Len]); n > p.Len-p.L4 {
			t.Errorf("TCP header of %d bytes", n)
		}
		p.TransportChecksumOK(b)
	})
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := Fold(Add(0, b)), slowSum(b); got != want {
			t.Errorf("%x: %#x, want %#x", b, got, want)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var p Packet
	for b.Loop() {
		p.Parse(v4)
	}
}

func BenchmarkChecksum1400(b *testing.B) {
	buf := make([]byte, 1400)
	b.SetBytes(1400)
	for b.Loop() {
		Add(0, buf)
	}
}
