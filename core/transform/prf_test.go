package transform

import (
	"bytes"
	"testing"
)

func TestPRFVectors(t *testing.T) {
	hi := []byte("Hi There")
	jefe, what := []byte("Jefe"), []byte("what do ya want for nothing?")
	ones := bytes.Repeat([]byte{0x0b}, 20)
	long := bytes.Repeat([]byte{0xaa}, 131)
	hashFirst := []byte("Test Using Larger Than Block-Size Key - Hash Key First")
	tests := []struct {
		name      string
		id        ID
		key, data []byte
		want      string
	}{
		{"RFC 2202, case 1", PRFHMACSHA1, ones, hi, "b617318655057264e28bc0b6fb378c8ef146be00"},
		{"RFC 2202, case 2", PRFHMACSHA1, jefe, what, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
		{"RFC 4231, case 1", PRFHMACSHA256, ones, hi, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"RFC 4231, case 1", PRFHMACSHA384, ones, hi, "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6"},
		{"RFC 4231, case 1", PRFHMACSHA512, ones, hi, "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
		{"RFC 4231, case 2", PRFHMACSHA256, jefe, what, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"RFC 4231, case 6", PRFHMACSHA256, long, hashFirst, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	}
	for _, tt := range tests {
		p, err := NewPRF(tt.id)
		if err != nil {
			t.Fatal(err)
		}
		want := unhex(t, tt.want)
		if got := p.Sum(tt.key, tt.data); !bytes.Equal(got, want) {
			t.Errorf("%v, %s: %x, want %x", prf(tt.id), tt.name, got, want)
		}
		if got := p.Sum(tt.key, tt.data[:3], nil, tt.data[3:]); !bytes.Equal(got, want) {
			t.Errorf("%v, %s, in parts: %x, want %x", prf(tt.id), tt.name, got, want)
		}
		if p.Size() != len(want) || p.ID() != tt.id {
			t.Errorf("%v: size %d, ID %d", prf(tt.id), p.Size(), p.ID())
		}
	}
	if _, err := NewPRF(4); err == nil {
		t.Error("PRF_AES128_XCBC is there")
	}
}

// TestPRFPlus holds prf+ against its definition (RFC 7296, section 2.13).
func TestPRFPlus(t *testing.T) {
	key, seed := []byte("key"), []byte("nonces and SPIs")
	for id := range prfs {
		p, err := NewPRF(id)
		if err != nil {
			t.Fatal(err)
		}
		var want, last []byte
		for i := 1; i <= 255; i++ {
			last = p.Sum(key, last, seed, []byte{byte(i)})
			want = append(want, last...)
		}
		for _, n := range []int{0, 1, p.Size() - 1, p.Size(), p.Size() + 1, 7*p.Size() + 5, 255 * p.Size()} {
			if got := p.Plus(key, seed, n); !bytes.Equal(got, want[:n]) {
				t.Errorf("%v: prf+ of %d bytes differs", prf(id), n)
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: a 256th block", prf(id))
				}
			}()
			p.Plus(key, seed, 255*p.Size()+1)
		}()
	}
}
