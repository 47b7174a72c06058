package cli

import (
	"fmt"

	"sallyport/core/api"
)

// transportText says how a tunnel reaches its gateway, where that is worth a word:
// not over UDP.
func transportText(t *api.Transport) string {
	if t == nil || t.TCP == 0 {
		return ""
	}
	s := fmt.Sprintf("through TCP %d", t.TCP)
	if t.TLS {
		s += " inside TLS"
	}
	switch t.Why {
	case api.TransportUDPSilent:
		s += ", because UDP was not answered"
	case api.TransportWanted:
		s += ", as the profile says"
	}
	if t.Broken {
		s += "; the connection broke, and is being made again"
	}
	return s
}
