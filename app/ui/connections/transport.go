package connections

import (
	"strconv"

	"sallyport/app/i18n"
	"sallyport/core/api"
)

// transportText says how a tunnel reaches its gateway, where that is not UDP.
func transportText(t *api.Transport) string {
	if t == nil || t.TCP == 0 {
		return ""
	}
	key := "connections.tcp"
	if t.TLS {
		key = "connections.tcp_tls"
	}
	s := i18n.T(key, "Port", strconv.Itoa(int(t.TCP)))
	switch t.Why {
	case api.TransportUDPSilent:
		s = i18n.T("connections.tcp_silent", "Way", s)
	case api.TransportWanted:
		s = i18n.T("connections.tcp_wanted", "Way", s)
	}
	if t.Broken {
		s = i18n.T("connections.tcp_broken", "Way", s)
	}
	return s
}

// mtuText says how large packets may be on the way to the gateway, and how that is
// known.
func mtuText(m *api.PathMTU) string {
	if m == nil {
		return ""
	}
	key := "connections.mtu_assumed"
	switch m.Known {
	case api.MTUProved:
		key = "connections.mtu_proved"
	case api.MTUReported:
		key = "connections.mtu_reported"
	}
	return i18n.T(key, "Bytes", strconv.Itoa(m.Bytes))
}
