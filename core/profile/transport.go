package profile

import (
	"fmt"
	"strconv"
	"strings"
)

// maxTCPPorts bounds how many TCP ports of a gateway are tried.
const maxTCPPorts = 4

// A TCPPort is where a gateway speaks IKE over TCP (RFC 9329).
type TCPPort struct {
	Port uint16
	TLS  bool // within TLS
}

// String writes p as a profile does.
func (p TCPPort) String() string {
	if p.TLS {
		return fmt.Sprintf("%d/tls", p.Port)
	}
	return strconv.Itoa(int(p.Port))
}

// ParseTCPPort reads a TCP port: "4500", or within TLS "443/tls".
func ParseTCPPort(s string) (TCPPort, error) {
	digits, inTLS := strings.CutSuffix(s, "/tls")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || digits != strconv.FormatUint(n, 10) {
		return TCPPort{}, fmt.Errorf("%s is not a TCP port; write it as \"4500\", or within TLS as \"443/tls\"", shown(s))
	}
	return TCPPort{Port: uint16(n), TLS: inTLS}, nil
}

// TCP returns the TCP ports with their default: none where the profile wants UDP
// alone. It is for profiles that are valid.
func (c *Connection) TCP() []TCPPort {
	list := c.TCPPorts
	if len(list) == 0 && !c.IsResponder() {
		list = []string{"4500"}
	}
	if c.Transport == TransportUDP {
		return nil
	}
	var out []TCPPort
	for _, s := range list {
		if p, err := ParseTCPPort(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// transport checks how the gateway is reached, or peers reach us.
func (v *validator) transport(c *Connection) {
	v.oneOf("transport", c.Transport, "", TransportAuto, TransportUDP, TransportTCP)
	inTLS := false
	seen := make(map[TCPPort]bool)
	for i, s := range c.TCPPorts {
		field := at("tcp_ports", i)
		p, err := ParseTCPPort(s)
		switch {
		case err != nil:
			v.bad(field, "%v", err)
		case p.TLS && c.IsResponder():
			v.bad(field, "a responder takes both on one port; write \"%d\"", p.Port)
		case seen[p]:
			v.bad(field, "%s is there twice", shown(s))
		}
		seen[p] = true
		inTLS = inTLS || p.TLS
	}
	switch {
	case len(c.TCPPorts) > maxTCPPorts:
		v.bad("tcp_ports", "more than %d", maxTCPPorts)
	case c.Transport == TransportUDP && len(c.TCPPorts) > 0:
		v.bad("tcp_ports", "has no meaning with transport = \"udp\"")
	}
	if c.Transport != "" && c.IsResponder() {
		v.bad("transport", "is for an initiator; a responder always waits on UDP, and on TCP where tcp_ports says so")
	}
	if c.TLSName != "" && (!inTLS || !serverName(c.TLSName)) {
		v.bad("tls_name", "needs a port within TLS (tcp_ports = [\"443/tls\"]), and is a host name")
	}
}

// serverName reports whether s can be the name of a server.
func serverName(s string) bool {
	return len(s) <= 253 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && !strings.HasPrefix(s, ".")
}
