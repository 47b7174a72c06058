package pkcs11uri

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	slot := uint64(3)
	for _, test := range []struct {
		in   string
		want URI
	}{
		{"pkcs11:", URI{}},
		{"PKCS11:token=Alice", URI{Token: "Alice"}},
		{"pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=",
			URI{Token: "The Software PKCS#11 Softtoken", Manufacturer: "Snake Oil, Inc.", Model: "1.0"}},
		{"pkcs11:object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91",
			URI{Object: "my-certificate", Type: "cert", ID: []byte{0x69, 0x95, 0x3e, 0x5c, 0xf4, 0xbd, 0xec, 0x91}}},
		{"pkcs11:slot-description=Sun%20Metaslot", URI{SlotDescription: "Sun Metaslot"}},
		{"pkcs11:slot-id=3;id=%01;token=a%C3%A9", URI{Slot: &slot, ID: []byte{1}, Token: "aé"}},
	} {
		got, err := Parse(test.in)
		if err != nil || !got.Equal(test.want) {
			t.Errorf("%s: got %v, %v; want %v", test.in, got, err, test.want)
		}
	}
}

// TestWhatAProfileMayNotSay: a profile comes from somebody who sends a file;
// it neither loads a library nor has a program run nor brings a PIN in clear.
func TestWhatAProfileMayNotSay(t *testing.T) {
	for _, s := range []string{
		"pkcs11:token=A?pin-value=1234", "pkcs11:token=A?pin-source=file:/etc/pin", "pkcs11:?module-path=/tmp/evil.so",
		"pkcs11:token=A?module-name=evil", "pkcs11:pin-value=1234", "pkcs11:module-path=/tmp/evil.so;token=A",
	} {
		_, err := Parse(s)
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", s, err)
		}
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: the error tells the PIN: %v", s, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, s := range []string{
		"", "pkcs11", "file:/etc/passwd", "pkcs11:token", "pkcs11:=x", "pkcs11:;", "pkcs11:token=A;token=B", "pkcs11:color=red",
		"pkcs11:id=", "pkcs11:id=%0", "pkcs11:id=%zz", "pkcs11:token=a b", "pkcs11:token=a/b", "pkcs11:token=%0A", "pkcs11:token=%ff",
		"pkcs11:slot-id=-1", "pkcs11:slot-id=01", "pkcs11:type=secret-key", "pkcs11:type=x", "pkcs11:token=A?color=red",
		"pkcs11:token=A?", "pkcs11:token=" + strings.Repeat("a", 256), "pkcs11:" + strings.Repeat("%41", 400),
	} {
		if u, err := Parse(s); err == nil {
			t.Errorf("%q was accepted: %v", s, u)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"pkcs11:token=A;id=%01;type=cert", "pkcs11:slot-id=0;object=x%20y", "pkcs11:?pin-value=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if len(u.String()) > maxURI {
			return // every byte of an id is encoded
		}
		if err != nil || !again.Equal(u) || again.String() != u.String() {
			t.Errorf("%q became %q, which became %q, %v", s, u.String(), again.String(), err)
		}
	})
}
