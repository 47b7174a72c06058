package ike

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"sallyport/core/pki"
)

// Only of a peer that lacks nothing but an authority anybody is told: its
// identity, its purpose, its time and its proof of the key have to hold.
func TestUnknownPeer(t *testing.T) {
	ca, other := newCA(t, "test CA"), newCA(t, "other CA")
	for name, tt := range map[string]struct {
		change func(a, b *Config)
		told   bool
	}{
		"an authority that nobody knows": {func(a, b *Config) {}, true},
		"nobody is trusted":              {func(a, b *Config) { a.Peer.Verifier = &pki.Verifier{} }, true},
		"not wanted":                     {func(a, b *Config) { a.Peer.TellUnknown = false }, false},
		"key of another certificate":     {func(a, b *Config) { b.Local.Key = newKey(t, "ecdsa") }, false},
		"another name": {func(a, b *Config) {
			b.Local.Chain[0] = ca.issue(t, b.Local.Key, "c.test", 0, testTime.Add(time.Hour))
		}, false},
		"another identity than asked for": {func(a, b *Config) {
			b.Local.ID = identity("c.test")
			b.Local.Chain[0] = ca.issue(t, b.Local.Key, "c.test", 0, testTime.Add(time.Hour))
		}, false},
		"expired": {func(a, b *Config) {
			b.Local.Chain[0] = ca.issue(t, b.Local.Key, "b.test", 0, testTime.Add(-time.Minute))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := certConfigs(t, ca, "ecdsa", 0)
			a.Peer.Verifier, a.Peer.TellUnknown = &pki.Verifier{Roots: []*x509.Certificate{other.cert}}, true
			tt.change(a, b)
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.connect()
			w.flush()
			f := w.a.closed()
			if f == nil {
				t.Fatal("it is accepted")
			}
			u, told := errors.AsType[*UnknownPeer](f)
			if told != tt.told || told && !u.Certificate.Equal(b.Local.Chain[0]) {
				t.Fatalf("told: %v (%v)", told, f)
			}
			var e *pki.Error
			if told && (f.Code != FailPeerCertificate || !errors.As(f, &e) || e.Kind != pki.UnknownCA) {
				t.Errorf("%v", f)
			}
			if count[Established](w.a) > 0 {
				t.Error("it is up")
			}
		})
	}

	// Pinned, the same peer is accepted.
	a, b := certConfigs(t, ca, "ecdsa", 0)
	a.Peer.Verifier = &pki.Verifier{Roots: []*x509.Certificate{b.Local.Chain[0]}}
	newWorld(t, testOptions{cfgA: a, cfgB: b}).up()
}
