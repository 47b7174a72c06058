package monitor

import (
	"strings"
	"testing"
	"time"

	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// TestResourceIsNamed: of several Child SAs of the same traffic each says which it is.
func TestResourceIsNamed(t *testing.T) {
	for resource, want := range map[int]bool{0: false, 3: true} {
		fields := quickFields(&kit.Env{Now: time.Now}, &api.ChildSA{Child: "net", Resource: resource})
		named := false
		for _, f := range fields {
			named = named || strings.HasPrefix(f.Value, "net") && strings.Contains(f.Value, "3")
		}
		if named != want {
			t.Errorf("resource %d: %+v", resource, fields)
		}
	}
}
