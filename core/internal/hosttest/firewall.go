package hosttest

import (
	"fmt"
	"strings"

	"sallyport/core/host"
)

// firewall records intents. It is a host.FirewallWatcher too.
type firewall struct{ m *Machine }

func (f firewall) Set(i host.FirewallIntent) error {
	if err := i.Check(); err != nil {
		return err
	}
	if err := f.m.record("%s", describe(&i)); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.intent, f.m.tampered = i, false
	return nil
}

func (f firewall) Cleanup() error {
	if err := f.m.record("firewall clean-up"); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.intent, f.m.tampered = host.FirewallIntent{}, false
	return nil
}

func (f firewall) Verify() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.tampered {
		return host.ErrRulesChanged
	}
	return nil
}

func (f firewall) Changes() <-chan struct{} { return f.m.rulesChanged }
func (f firewall) Close() error             { return nil }

// Intent returns what the firewall was last set to.
func (m *Machine) Intent() host.FirewallIntent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.intent
}

// TamperFirewall is another program that removes our rules: the machine holds
// no intent, and says so, until the next Set.
func (m *Machine) TamperFirewall() {
	m.mu.Lock()
	m.intent, m.tampered = host.FirewallIntent{}, true
	m.mu.Unlock()
	notify(m.rulesChanged)
}

// describe puts an intent into one line.
func describe(i *host.FirewallIntent) string {
	if i.IsZero() {
		return "firewall none"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "firewall %s inner %v", i.Device, i.Inner)
	for _, r := range i.Rules {
		fmt.Fprintf(&s, " {%v > %v %v}", r.Local, r.Remote, r.Action)
	}
	fmt.Fprintf(&s, " default %v", i.Default)
	x := &i.Exempt
	if len(x.IKE) > 0 {
		fmt.Fprintf(&s, " IKE %v", x.IKE)
	}
	if len(x.Fetch) > 0 {
		fmt.Fprintf(&s, " fetch %v", x.Fetch)
	}
	if len(x.LAN) > 0 {
		fmt.Fprintf(&s, " LAN %v", x.LAN)
	}
	if len(x.TCP) > 0 {
		fmt.Fprintf(&s, " TCP %v", x.TCP)
	}
	if len(x.TCPPorts) > 0 {
		fmt.Fprintf(&s, " TCP ports %v", x.TCPPorts)
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{x.Lookup, "lookup"}, {x.DHCP, "DHCP"}, {x.NDP, "NDP"}, {x.LANDiscovery, "discovery"}, {i.DNSInside, "DNS inside"}} {
		if flag.set {
			s.WriteString(" " + flag.name)
		}
	}
	return s.String()
}
