package api

// A Transport says how a tunnel reaches its gateway.
type Transport struct {
	TCP uint16       `json:"tcp,omitempty"` // port of the gateway; 0: UDP
	TLS bool         `json:"tls,omitempty"` // TCP carries TLS
	Why TransportWhy `json:"why,omitempty"` // why it is TCP
	// Broken says that the TCP connection broke and is being made again.
	Broken bool `json:"broken,omitempty"`
}

// A TransportWhy says why a tunnel goes through TCP.
type TransportWhy string

// The values of TransportWhy.
const (
	TransportWanted    TransportWhy = "wanted"     // the profile wants it
	TransportUDPSilent TransportWhy = "udp_silent" // nobody answered on UDP
)
