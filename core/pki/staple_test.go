package pki

import (
	"crypto/x509"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

func TestStaple(t *testing.T) {
	ca := newCA(t, "CA", nil)
	leaf := ca.told([]string{"ldap://x/", ocspURL, ocspURL + "2"}, []string{crlURL}, nil)
	s := NewStaple(leaf, ca.cert)
	list := s.Fetches()
	if len(list) != 2 || list[0].URL != ocspURL || list[0].Request == nil || list[0].Last || !list[1].Last || !s.Certificate().Equal(leaf) {
		t.Fatalf("%+v", list)
	}
	if s.Response(now) != nil || s.Due().After(now) {
		t.Error("there is something before anybody said it")
	}
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"another's":       ca.ocsp(ca.leaf(nil), ca.cert, ca.key, nil),
		"another signer":  ca.ocsp(leaf, newCA(t, "CA", nil).cert, newKey(t), nil),
		"over":            ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.NextUpdate = now }),
		"not known there": ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.Status = ocsp.Unknown }),
		"too large":       make([]byte, MaxStaple+1),
	} {
		if _, err := s.Take(bad, now); err == nil || s.Response(now) != nil {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
	good := ca.ocsp(leaf, ca.cert, ca.key, nil) // for an hour
	if revoked, err := s.Take(good, now); err != nil || revoked {
		t.Fatal(revoked, err)
	}
	if got := s.Due().Sub(now); got != 30*time.Minute {
		t.Errorf("asks again after %v", got)
	}
	for after, serves := range map[time.Duration]bool{0: true, 59 * time.Minute: true, time.Hour: false, 2 * time.Hour: false} {
		if got := s.Response(now.Add(after)); (got != nil) != serves {
			t.Errorf("after %v: %x", after, got)
		}
	}
	waits := []time.Duration{}
	at := now
	for range 8 {
		s.Failed(at)
		waits = append(waits, s.Due().Sub(at))
		at = s.Due()
	}
	if waits[0] != minStaple || waits[3] != 8*minStaple || waits[7] != maxStaple || s.Response(now) == nil {
		t.Errorf("asks again after %v", waits)
	}
	if revoked, err := s.Take(ca.ocsp(leaf, ca.cert, ca.key, isRevoked), now); err != nil || !revoked || s.Response(now) == nil {
		t.Errorf("a revoked one: %v, %v", revoked, err)
	}
	if NewStaple(ca.told(nil, []string{crlURL}, nil), ca.cert) != nil || NewStaple(ca.told([]string{"https://x/"}, nil, nil), ca.cert) != nil {
		t.Error("there is something to ask where nobody can be asked")
	}
	if got := IssuerOf(leaf, []*x509.Certificate{newCA(t, "CA", nil).cert, leaf, ca.cert}); !got.Equal(ca.cert) {
		t.Errorf("issued by %v", got)
	}
}
