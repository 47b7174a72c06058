package connections

import (
	"testing"

	"sallyport/app/ui/uitest"
	"sallyport/core/api"
)

// TestLargestPacket says how large packets may be and how that is known, and
// nothing of a way that has no such bound.
func TestLargestPacket(t *testing.T) {
	uitest.Env(t, uitest.Calm(t))
	for _, c := range []struct {
		mtu  *api.PathMTU
		want string
	}{
		{nil, ""},
		{&api.PathMTU{Bytes: 1400, Known: api.MTUProved}, "1400 bytes, measured"},
		{&api.PathMTU{Bytes: 576, Known: api.MTUReported}, "576 bytes, as the network says"},
		{&api.PathMTU{Bytes: 1500, Known: api.MTUAssumed}, "1500 bytes, assumed"},
	} {
		if got := mtuText(c.mtu); got != c.want {
			t.Errorf("%+v: %q, want %q", c.mtu, got, c.want)
		}
	}
}
