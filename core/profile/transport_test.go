package profile

import (
	"slices"
	"strings"
	"testing"
)

func TestTCPPorts(t *testing.T) {
	for text, want := range map[string]TCPPort{"4500": {Port: 4500}, "443/tls": {443, true}, "65535": {Port: 65535}} {
		got, err := ParseTCPPort(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "0", "65536", "-1", "04500", "4500/", "443/TLS", "443/tls/tls", "https", "4500 "} {
		if p, err := ParseTCPPort(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
	udp := Connection{Transport: TransportUDP}
	plain := Connection{}
	waits := Connection{Role: Responder}
	if len(udp.TCP()) != 0 || !slices.Equal(plain.TCP(), []TCPPort{{Port: 4500}}) || len(waits.TCP()) != 0 {
		t.Errorf("defaults: %v, %v, %v", udp.TCP(), plain.TCP(), waits.TCP())
	}
}

func TestTransportFaults(t *testing.T) {
	for name, c := range map[string]struct {
		of   Connection
		want string // the field at fault; empty: none
	}{
		"default":           {Connection{}, ""},
		"everything":        {Connection{Transport: "tcp", TCPPorts: []string{"4500", "443/tls"}, TLSName: "vpn.example.com"}, ""},
		"waits":             {Connection{Role: Responder, TCPPorts: []string{"4500", "443"}}, ""},
		"another transport": {Connection{Transport: "sctp"}, "transport"},
		"no port":           {Connection{TCPPorts: []string{"x"}}, "tcp_ports[0]"},
		"twice":             {Connection{TCPPorts: []string{"1", "1"}}, "tcp_ports[1]"},
		"too many":          {Connection{TCPPorts: []string{"1", "2", "3", "4", "5"}}, "tcp_ports"},
		"udp with ports":    {Connection{Transport: "udp", TCPPorts: []string{"1"}}, "tcp_ports"},
		"name without TLS":  {Connection{TLSName: "x"}, "tls_name"},
		"no name":           {Connection{TCPPorts: []string{"1/tls"}, TLSName: "a b"}, "tls_name"},
		"responder chooses": {Connection{Role: Responder, Transport: "tcp"}, "transport"},
		"responder in TLS":  {Connection{Role: Responder, TCPPorts: []string{"443/tls"}}, "tcp_ports[0]"},
	} {
		v := validator{}
		v.transport(&c.of)
		var fields []string
		for _, f := range v.List {
			fields = append(fields, f.Field)
		}
		if got := strings.Join(fields, " "); got != c.want {
			t.Errorf("%s: faults in %q, want %q", name, got, c.want)
		}
	}
}
