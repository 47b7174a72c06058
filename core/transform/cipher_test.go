package transform

import (
	"bytes"
	"strings"
	"testing"
)

func TestAEADVectors(t *testing.T) {
	const (
		gcmKey   = "feffe9928665731c6d6a8f9467308308"
		gcmPlain = `d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
			1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39`
		gcmAAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	)
	tests := []struct {
		name                                 string
		encr                                 Transform
		key, salt, iv, plain, aad, want, tag string
	}{
		{
			"GCM specification, case 4", encr(EncrAESGCM16, 128), gcmKey, "cafebabe", "facedbaddecaf888", gcmPlain, gcmAAD,
			`42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
			 21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091`, "5bc94fbc3221a5db94fae95ae7121a47",
		},
		{
			"GCM specification, case 16", encr(EncrAESGCM16, 256), gcmKey + gcmKey, "cafebabe", "facedbaddecaf888", gcmPlain, gcmAAD,
			`522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
			 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662`, "76fc6ece0f4e1768cddf8853bb2d551b",
		},
		{
			"RFC 7634, appendix B", encr(EncrChaCha20Poly, 0),
			"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "a0a1a2a3", "1011121314151617",
			"0000000c000040010000000a00",
			"c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029",
			"610394701f8d017f7c12924889", "6b71bfe25236efd7cdc67066906315b2",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Suite{Protocol: ProtoESP, Encr: tt.encr}
			aead, salt, err := NewAEAD(s, unhex(t, tt.key+tt.salt))
			if err != nil {
				t.Fatal(err)
			}
			nonce := append(salt[:], unhex(t, tt.iv)...)
			plain, aad, want := unhex(t, tt.plain), unhex(t, tt.aad), unhex(t, tt.want+tt.tag)
			if got := aead.Seal(nil, nonce, plain, aad); !bytes.Equal(got, want) {
				t.Errorf("sealed %x, want %x", got, want)
			}
			if got, err := aead.Open(nil, nonce, want, aad); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("opened %x, %v, want %x", got, err, plain)
			}
			if s.ICVLen() != 16 || s.IVLen() != 8 || s.BlockLen() != 1 {
				t.Errorf("ICV %d, IV %d, block %d", s.ICVLen(), s.IVLen(), s.BlockLen())
			}
		})
	}
}

func TestCBCVectors(t *testing.T) {
	tests := []struct {
		name                 string
		encr                 Transform
		key, iv, plain, want string
	}{
		{
			"RFC 3602, case 1", encr(EncrAESCBC, 128), "06a9214036b8a15b512e03d534120006",
			"3dafba429d9eb430b422da802c9fac41", "53696e676c6520626c6f636b206d7367", "e353779c1079aeb82708942dbe77181a",
		},
		{
			"RFC 3602, case 2", encr(EncrAESCBC, 128), "c286696d887c9aa0611bbb3e2025a45a",
			"562e17996d093d28ddb3ba695a2e6f58", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
		},
		{
			"SP 800-38A, F.2.5", encr(EncrAESCBC, 256), "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
			"000102030405060708090a0b0c0d0e0f", "6bc1bee22e409f96e93d7e117393172a", "f58c4c04d6e5f1ba779eabfb5f7bfbd6",
		},
		{
			"OpenSSL 3.0", encr(Encr3DES, 0), "0123456789abcdef23456789abcdef01456789abcdef0123",
			"fedcba9876543210", "54686520717569636b2062726f776e20666f78206a756d7073206f7665722121",
			"5911530a7bf8de87d6f56b09ddcd5acf8956cc210e18ddccd477b47404892f37",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Suite{Protocol: ProtoESP, Encr: tt.encr, Integ: integ(IntegHMACSHA256128)}
			cbc, _, err := NewCBCHMAC(s, unhex(t, tt.key), make([]byte, 32))
			if err != nil {
				t.Fatal(err)
			}
			iv, plain, want := unhex(t, tt.iv), unhex(t, tt.plain), unhex(t, tt.want)
			got := make([]byte, len(plain))
			for range 2 { // the chain must begin anew
				cbc.Encrypt(got, iv, plain)
				if !bytes.Equal(got, want) {
					t.Fatalf("encrypted %x, want %x", got, want)
				}
			}
			for range 2 {
				buf := bytes.Clone(want)
				cbc.Decrypt(buf, iv, buf)
				if !bytes.Equal(buf, plain) {
					t.Fatalf("decrypted %x, want %x", buf, plain)
				}
			}
			if cbc.BlockSize() != s.BlockLen() || cbc.BlockSize() != s.IVLen() {
				t.Errorf("block %d, suite says %d, IV %d", cbc.BlockSize(), s.BlockLen(), s.IVLen())
			}
		})
	}
}

func TestHMACVectors(t *testing.T) {
	tests := []struct { // RFC 4868, section 2.7.2; SHA-1: RFC 2202, case 1, truncated
		id   ID
		want string
	}{
		{IntegHMACSHA1_96, "b617318655057264e28bc0b6"},
		{IntegHMACSHA256128, "198a607eb44bfbc69903a0f1cf2bbdc5"},
		{IntegHMACSHA384192, "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"},
		{IntegHMACSHA512256, "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"},
	}
	for _, tt := range tests {
		t.Run(integ(tt.id).String(), func(t *testing.T) {
			s := Suite{Encr: encr(EncrAESCBC, 128), Integ: integ(tt.id)}
			m, err := NewHMAC(tt.id, bytes.Repeat([]byte{0x0b}, s.IntegKeyLen()))
			if err != nil {
				t.Fatal(err)
			}
			want := unhex(t, tt.want)
			for range 3 {
				if got := m.AppendTag([]byte("x"), []byte("Hi "), []byte("There")); !bytes.Equal(got[1:], want) {
					t.Fatalf("tag %x, want %x", got[1:], want)
				}
				if !m.Verify(want, []byte("Hi There")) {
					t.Fatal("the right tag does not verify")
				}
			}
			for _, wrong := range [][]byte{nil, want[:len(want)-1], append(bytes.Clone(want), 0), make([]byte, len(want))} {
				if m.Verify(wrong, []byte("Hi There")) {
					t.Errorf("%x verifies", wrong)
				}
			}
			if m.Size() != len(want) || s.ICVLen() != len(want) {
				t.Errorf("size %d, suite says %d, want %d", m.Size(), s.ICVLen(), len(want))
			}
		})
	}
}

func TestCipherErrors(t *testing.T) {
	gcm := Suite{Encr: encr(EncrAESGCM16, 128)}
	cbc := Suite{Encr: encr(EncrAESCBC, 256), Integ: integ(IntegHMACSHA256128)}
	aead := func(s Suite, n int) error { _, _, err := NewAEAD(s, make([]byte, n)); return err }
	pair := func(s Suite, n, m int) error {
		_, _, err := NewCBCHMAC(s, make([]byte, n), make([]byte, m))
		return err
	}
	sk := func(s Suite, n, m int) error { _, err := NewSK(s, make([]byte, n), make([]byte, m)); return err }
	for name, err := range map[string]error{
		"AEAD key without salt":       aead(gcm, 16),
		"AEAD key too long":           aead(gcm, 36),
		"AEAD without key length":     aead(Suite{Encr: encr(EncrAESGCM16, 0)}, 4),
		"AEAD with odd key length":    aead(Suite{Encr: encr(EncrAESGCM16, 64)}, 12),
		"ChaCha with key length":      aead(Suite{Encr: encr(EncrChaCha20Poly, 256)}, 36),
		"AEAD of a CBC suite":         aead(cbc, 32),
		"AEAD of nothing":             aead(Suite{}, 0),
		"CBC of an AEAD suite":        pair(gcm, 20, 0),
		"CBC key short":               pair(cbc, 31, 32),
		"CBC integrity key short":     pair(cbc, 32, 31),
		"CBC without integrity":       pair(Suite{Encr: cbc.Encr}, 32, 0),
		"CBC with AES_XCBC":           pair(Suite{Encr: cbc.Encr, Integ: integ(5)}, 32, 16),
		"unknown cipher":              pair(Suite{Encr: encr(23, 128), Integ: cbc.Integ}, 16, 32),
		"SK: AEAD with integrity key": sk(gcm, 20, 32),
		"SK: AEAD key short":          sk(gcm, 19, 0),
		"SK: CBC key short":           sk(cbc, 16, 32),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "00") {
			t.Errorf("%s: the error may show key bytes: %v", name, err)
		}
	}
}

func TestSuiteLengths(t *testing.T) {
	sha := func(id ID) Transform { return integ(id) }
	tests := []struct {
		suite         Suite
		encr, integ   int
		iv, block, ic int
	}{
		{Suite{Encr: encr(EncrAESGCM16, 128)}, 20, 0, 8, 1, 16},
		{Suite{Encr: encr(EncrAESGCM16, 192)}, 28, 0, 8, 1, 16},
		{Suite{Encr: encr(EncrAESGCM16, 256)}, 36, 0, 8, 1, 16},
		{Suite{Encr: encr(EncrChaCha20Poly, 0)}, 36, 0, 8, 1, 16},
		{Suite{Encr: encr(EncrAESCBC, 128), Integ: sha(IntegHMACSHA256128)}, 16, 32, 16, 16, 16},
		{Suite{Encr: encr(EncrAESCBC, 192), Integ: sha(IntegHMACSHA384192)}, 24, 48, 16, 16, 24},
		{Suite{Encr: encr(EncrAESCBC, 256), Integ: sha(IntegHMACSHA512256)}, 32, 64, 16, 16, 32},
		{Suite{Encr: encr(Encr3DES, 0), Integ: sha(IntegHMACSHA1_96)}, 24, 20, 8, 8, 12},
	}
	for _, tt := range tests {
		s := tt.suite
		if s.EncrKeyLen() != tt.encr || s.IntegKeyLen() != tt.integ || s.IVLen() != tt.iv || s.BlockLen() != tt.block || s.ICVLen() != tt.ic {
			t.Errorf("%v: keys %d %d, IV %d, block %d, ICV %d", s, s.EncrKeyLen(), s.IntegKeyLen(), s.IVLen(), s.BlockLen(), s.ICVLen())
		}
	}
}

func TestWipe(t *testing.T) {
	a, b := []byte{1, 2}, []byte{3}
	Wipe(a, nil, b)
	if a[0]|a[1]|b[0] != 0 {
		t.Errorf("left %v %v", a, b)
	}
}

// TestPacketsDoNotAllocate is what the data path relies on.
func TestPacketsDoNotAllocate(t *testing.T) {
	packet := make([]byte, 1408, 1500)
	iv := make([]byte, 16)
	cbc, mac, err := NewCBCHMAC(Suite{Encr: encr(EncrAESCBC, 128), Integ: integ(IntegHMACSHA256128)}, make([]byte, 16), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		cbc.Encrypt(packet, iv, packet)
		tag := mac.AppendTag(packet, packet, iv[:4])[len(packet):]
		if !mac.Verify(tag, packet, iv[:4]) {
			t.Fatal("tag does not verify")
		}
		cbc.Decrypt(packet, iv, packet)
	}); n != 0 {
		t.Errorf("CBC and HMAC: %v allocations", n)
	}
	for _, e := range []Transform{encr(EncrAESGCM16, 256), encr(EncrChaCha20Poly, 0)} {
		aead, salt, err := NewAEAD(Suite{Encr: e}, make([]byte, 36))
		if err != nil {
			t.Fatal(err)
		}
		nonce := append(salt[:], iv[:8]...)
		if n := testing.AllocsPerRun(100, func() {
			sealed := aead.Seal(packet[:0], nonce, packet, iv[:12])
			if _, err := aead.Open(sealed[:0], nonce, sealed, iv[:12]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", e, n)
		}
	}
}

func BenchmarkPacket(b *testing.B) {
	packet, iv := make([]byte, 1408, 1500), make([]byte, 16)
	for _, s := range []Suite{
		{Encr: encr(EncrAESCBC, 128), Integ: integ(IntegHMACSHA256128)},
		{Encr: encr(EncrAESCBC, 256), Integ: integ(IntegHMACSHA512256)},
		{Encr: encr(Encr3DES, 0), Integ: integ(IntegHMACSHA1_96)},
	} {
		cbc, mac, err := NewCBCHMAC(s, make([]byte, s.EncrKeyLen()), make([]byte, s.IntegKeyLen()))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s.String(), func(b *testing.B) {
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				cbc.Encrypt(packet, iv[:s.IVLen()], packet)
				mac.AppendTag(packet, packet)
			}
		})
	}
	for _, e := range []Transform{encr(EncrAESGCM16, 128), encr(EncrAESGCM16, 256), encr(EncrChaCha20Poly, 0)} {
		s := Suite{Encr: e}
		aead, _, err := NewAEAD(s, make([]byte, s.EncrKeyLen()))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s.String(), func(b *testing.B) {
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				aead.Seal(packet[:0], iv[:12], packet, iv[:12])
			}
		})
	}
}
