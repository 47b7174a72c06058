package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"
)

// An OCSP signer whose certificate was revoked vouches for nobody: it is asked
// about in lists, unless its authority says that it is not to be.
func TestOCSPSignerIsAskedAbout(t *testing.T) {
	const signerURL = "http://crl.example.com/signer.crl"
	ca := newCA(t, "CA", nil)
	leaf := ca.told([]string{ocspURL}, []string{crlURL}, nil)
	lists := func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer = []string{signerURL}, []string{"http://ocsp.example.com/signer"}
	}
	signer, key := ca.delegateOf(lists)
	lasting, lastingKey := ca.delegateOf(func(c *x509.Certificate) {
		lists(c)
		c.ExtraExtensions = []pkix.Extension{{Id: oidOCSPNoCheck, Value: asn1.NullBytes}}
	})
	for name, tt := range map[string]struct {
		answers      map[string][]byte
		strict, soft Kind // 0: it connects
		warns        bool
	}{
		"good":                        {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, nil), signerURL: ca.crl(nil)}, 0, 0, false},
		"revoked, nobody else knows":  {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, nil), signerURL: ca.crl(nil, signer.SerialNumber)}, RevocationUnknown, 0, true},
		"revoked, the list is good":   {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, nil), signerURL: ca.crl(nil, signer.SerialNumber), crlURL: ca.crl(nil)}, 0, 0, false},
		"revoked, the list says so":   {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, nil), signerURL: ca.crl(nil, signer.SerialNumber), crlURL: ca.crl(nil, leaf.SerialNumber)}, Revoked, Revoked, false},
		"unknown":                     {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, nil)}, RevocationUnknown, 0, true},
		"it says revoked":             {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, isRevoked)}, Revoked, Revoked, false},
		"not to be asked about":       {map[string][]byte{ocspURL: ca.ocsp(leaf, lasting, lastingKey, nil), signerURL: ca.crl(nil, lasting.SerialNumber)}, 0, 0, false},
		"a list of another authority": {map[string][]byte{ocspURL: ca.ocsp(leaf, signer, key, nil), signerURL: newCA(t, "CA", nil).crl(nil)}, RevocationUnknown, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, inBand := range []bool{false, true} {
				for policy, want := range map[Revocation]Kind{RevocationStrict: tt.strict, RevocationSoft: tt.soft} {
					var brought [][]byte
					answers := tt.answers
					if inBand {
						brought, answers = [][]byte{answers[ocspURL]}, map[string][]byte{signerURL: answers[signerURL], crlURL: answers[crlURL]}
					}
					c := (&Verifier{Revocation: policy}).NewCheck([]*x509.Certificate{leaf, ca.cert}, brought, now)
					warnings, err := feed(t, c, answers)
					if want != 0 {
						wantKind(t, err, want, "")
					} else if err != nil || policy == RevocationSoft && (len(warnings) > 0) != tt.warns {
						t.Errorf("in band %v, policy %d: %v, %q", inBand, policy, err, warnings)
					}
				}
			}
		})
	}
	late := now.Add(24 * time.Hour)
	if _, err := feed(t, (&Verifier{Revocation: RevocationStrict}).NewCheck([]*x509.Certificate{leaf, ca.cert}, nil, late), nil); err == nil {
		t.Error("without an answer it is good")
	}
}
