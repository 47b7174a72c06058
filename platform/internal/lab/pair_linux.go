package lab

import "testing"

// NewPair builds the least network for one benchmark, which must have root: the
// machines Client and Gateway of the package's picture, joined by one cable with
// every offload that the kernel gives it. InsideV4 is an address of the gateway's
// own, so that nothing is forwarded. There are no servers, and no other machines.
func NewPair(t testing.TB) *Lab {
	t.Helper()
	l := newLab(t)
	l.Client, l.Gateway = newHost(l, "client"), newHost(l, "gw")
	if err := join(l.Client, "eth0", l.Gateway, "eth0", func(string) error { return nil }); err != nil {
		t.Fatalf("wire the laboratory: %v", err)
	}
	for _, a := range []struct {
		h         *Host
		dev, addr string
	}{
		{l.Client, "eth0", ClientV4.String() + "/24"},
		{l.Gateway, "eth0", GatewayV4.String() + "/24"},
		{l.Gateway, "lo", InsideV4.String() + "/32"},
	} {
		if err := a.h.address(a.dev, a.addr); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []*Host{l.Client, l.Gateway} {
		if err := h.settle("eth0"); err != nil {
			t.Fatal(err)
		}
	}
	return l
}
