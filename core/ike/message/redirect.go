package message

import (
	"fmt"
	"net/netip"
)

// The types of a gateway's identity in a Redirect (RFC 5685, section 9.2).
const (
	gatewayIPv4 = 1
	gatewayIPv6 = 2
	gatewayFQDN = 3
)

// A Redirect is the data of the notifies REDIRECT and REDIRECTED_FROM: a gateway,
// by its address or by its name (RFC 5685, sections 9.2 and 9.3).
type Redirect struct {
	Addr  netip.Addr
	Name  string // where Addr is not valid
	Nonce []byte // of REDIRECT in IKE_SA_INIT: the initiator's
}

// Gateway names the gateway.
func (r Redirect) Gateway() string {
	if r.Addr.IsValid() {
		return r.Addr.String()
	}
	return r.Name
}

// AppendTo appends the data to b.
func (r Redirect) AppendTo(b []byte) []byte {
	kind, id := byte(gatewayFQDN), []byte(r.Name)
	if r.Addr.IsValid() {
		if kind = gatewayIPv6; r.Addr.Is4() {
			kind = gatewayIPv4
		}
		id = r.Addr.AsSlice()
	}
	b = append(b, kind, byte(len(id)))
	return append(append(b, id...), r.Nonce...)
}

// ParseRedirect parses the data. The nonce aliases b. A name is one of the
// letters, digits, '-' and '.' that host names are made of.
func ParseRedirect(b []byte) (Redirect, error) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return Redirect{}, fmt.Errorf("message: redirect of %d bytes: %w", len(b), ErrShort)
	}
	id, r := b[2:2+int(b[1])], Redirect{}
	if rest := b[2+len(id):]; len(rest) > 0 {
		r.Nonce = rest
	}
	switch kind := b[0]; {
	case kind == gatewayIPv4 && len(id) == 4, kind == gatewayIPv6 && len(id) == 16:
		r.Addr, _ = netip.AddrFromSlice(id)
	case kind == gatewayFQDN && isHostName(id):
		r.Name = string(id)
	default:
		return Redirect{}, fmt.Errorf("message: redirect to a gateway of type %d with %d bytes", kind, len(id))
	}
	return r, nil
}

func isHostName(b []byte) bool {
	if len(b) == 0 || len(b) > 253 || b[0] == '-' || b[0] == '.' {
		return false
	}
	for _, c := range b {
		if c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
