package pki

import (
	"errors"
	"io"
	"testing"
)

func TestError(t *testing.T) {
	err := error(&Error{Kind: Malformed, Subject: "CN=x", Detail: "cannot be read", Err: io.ErrUnexpectedEOF})
	if got, want := err.Error(), `pki: certificate "CN=x" cannot be read: unexpected EOF`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	seen := map[string]bool{}
	for k := Malformed; k <= RevocationUnknown; k++ {
		if s := k.String(); seen[s] || s == "" || s[0] == 'K' {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if Kind(99).String() != "Kind(99)" {
		t.Error(Kind(99))
	}
}
