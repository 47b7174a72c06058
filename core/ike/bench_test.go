package ike

import "testing"

// BenchmarkHandshake is both ends of IKE_SA_INIT and IKE_AUTH.
func BenchmarkHandshake(b *testing.B) {
	for _, kind := range []string{"PSK", "ecdsa"} {
		b.Run(kind, func(b *testing.B) {
			o := testOptions{}
			if kind != "PSK" {
				o.cfgA, o.cfgB = certConfigs(b, newCA(b, "test CA"), kind, 0)
			}
			b.ReportAllocs()
			for b.Loop() {
				w := newWorld(b, o)
				w.connect()
				w.flush()
				w.a.one()
			}
		})
	}
}
