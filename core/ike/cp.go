package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
)

// maxConfigItems bounds each list that a configuration payload fills.
const maxConfigItems = 256

// A lease is what we assigned to the peer.
type lease struct {
	Lease
	pool Pool
	id   auth.Identity
}

func (l *lease) release() { l.pool.Release(l.id, l.Lease) }

// configRequest asks for inner addresses and what goes with them
// (RFC 7296, section 3.15; RFC 8598); nil when none are wanted.
func (sa *SA) configRequest() message.Payload {
	want := sa.cfg.WantAddresses
	if len(want) == 0 {
		return nil
	}
	cp := &message.CP{Kind: message.CFGRequest}
	ask := func(kind message.CPAttributeType, a netip.Addr) {
		cp.Attributes = append(cp.Attributes, message.AddrAttribute(kind, a))
	}
	var v4, v6 bool
	for _, a := range want {
		a = a.Unmap()
		kind := message.CPInternalIP4Address
		if a.Is6() {
			kind, v6 = message.CPInternalIP6Address, true
		} else {
			v4 = true
		}
		if a.IsUnspecified() {
			a = netip.Addr{}
		}
		ask(kind, a)
	}
	if v4 {
		ask(message.CPInternalIP4DNS, netip.Addr{})
		ask(message.CPInternalIP4Subnet, netip.Addr{})
	}
	if v6 {
		ask(message.CPInternalIP6DNS, netip.Addr{})
		ask(message.CPInternalIP6Subnet, netip.Addr{})
	}
	ask(message.CPInternalDNSDomain, netip.Addr{})
	return cp
}

// readConfig reads the peer's reply. What is malformed is passed over: one bad
// attribute should not cost the connection.
func readConfig(cp *message.CP) Lease {
	var l Lease
	if cp == nil || cp.Kind != message.CFGReply {
		return l
	}
	for _, a := range cp.Attributes {
		addr, isAddr := a.Addr()
		switch a.Type {
		case message.CPInternalIP4Address, message.CPInternalIP6Address:
			if isAddr && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLoopback() {
				l.Addresses = appendNew(l.Addresses, addr)
			}
		case message.CPInternalIP4Netmask:
			if isAddr {
				l.Netmask = addr
			}
		case message.CPInternalIP4DNS, message.CPInternalIP6DNS:
			if isAddr && !addr.IsUnspecified() && !addr.IsMulticast() {
				l.DNS = appendNew(l.DNS, addr)
			}
		case message.CPInternalIP4Subnet, message.CPInternalIP6Subnet:
			if p, ok := a.Prefix(); ok {
				l.Subnets = appendNew(l.Subnets, p)
			}
		case message.CPInternalDNSDomain:
			if name := strings.TrimSuffix(string(a.Value), "."); isDomain(name) {
				l.Domains = appendNew(l.Domains, strings.ToLower(name))
			}
		}
	}
	return l
}

func appendNew[T comparable](list []T, x T) []T {
	if len(list) >= maxConfigItems || slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}

// isDomain reports whether s is a plain host name. The peer is authenticated,
// but what it sends here ends up in the configuration of a resolver.
func isDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// assign leases what the peer asks for, and returns the reply; nil when it
// asks for nothing or we hand out nothing.
func (sa *SA) assign(cp *message.CP) (message.Payload, *notifyError) {
	if cp == nil || cp.Kind != message.CFGRequest || sa.pool() == nil {
		return nil, nil
	}
	var want []netip.Addr
	var domains bool
	for _, a := range cp.Attributes {
		addr, ok := a.Addr()
		switch a.Type {
		case message.CPInternalIP4Address:
			if !ok {
				addr = netip.IPv4Unspecified()
			}
			want = appendNew(want, addr)
		case message.CPInternalIP6Address:
			if !ok {
				addr = netip.IPv6Unspecified()
			}
			want = appendNew(want, addr)
		case message.CPInternalDNSDomain:
			domains = true
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	id, pool := sa.lessee(), sa.pool()
	l, err := pool.Lease(id, want)
	if err == nil && len(l.Addresses) == 0 {
		err = fmt.Errorf("no address for any of %v", want)
	}
	if err != nil {
		return nil, &notifyError{notify: message.NotifyInternalAddressFailure, code: FailNoAddress, err: err}
	}
	sa.lease = &lease{Lease: l, pool: pool, id: id}
	return l.reply(domains), nil
}

// reply is the CFG_REPLY that tells a peer its lease.
func (l Lease) reply(domains bool) *message.CP {
	cp := &message.CP{Kind: message.CFGReply}
	add := func(a message.CPAttribute) { cp.Attributes = append(cp.Attributes, a) }
	byFamily := func(a netip.Addr, v4, v6 message.CPAttributeType) message.CPAttributeType {
		if a.Unmap().Is4() {
			return v4
		}
		return v6
	}
	for _, a := range l.Addresses {
		add(message.AddrAttribute(byFamily(a, message.CPInternalIP4Address, message.CPInternalIP6Address), a.Unmap()))
	}
	if l.Netmask.IsValid() {
		add(message.AddrAttribute(message.CPInternalIP4Netmask, l.Netmask))
	}
	for _, a := range l.DNS {
		add(message.AddrAttribute(byFamily(a, message.CPInternalIP4DNS, message.CPInternalIP6DNS), a.Unmap()))
	}
	for _, p := range l.Subnets {
		add(message.PrefixAttribute(byFamily(p.Addr(), message.CPInternalIP4Subnet, message.CPInternalIP6Subnet), p))
	}
	if domains {
		for _, d := range l.Domains {
			add(message.CPAttribute{Type: message.CPInternalDNSDomain, Value: []byte(d)})
		}
	}
	return cp
}
