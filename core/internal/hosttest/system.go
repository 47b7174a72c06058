package hosttest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/core/host"
)

// A Machine is a host.System in memory. It records what is asked of it as
// lines of text.
type Machine struct {
	OpenUDP func(v6 bool, port uint16) (host.UDPConn, error)
	Source  func(dst netip.Addr) (netip.Addr, error)

	Profiles, Certs, Secrets, Policies, State *Files

	// Fetch answers the engine's fetches; nil: there are none.
	Fetch func(ctx context.Context, r host.FetchRequest) (host.FetchResponse, error)

	// Roots are the authorities that the system trusts; nil: none.
	Roots *x509.CertPool

	// Dial reaches other servers, of RADIUS; nil: there are none.
	Dial func(ctx context.Context, server netip.AddrPort) (net.Conn, error)

	// Card is in a reader; nil: there is none, nor a module.
	Card *Card

	// Slept tells how long the machine has slept; nil: it cannot tell.
	Slept func() time.Duration

	// DialTCP and ListenTCP are the machine's TCP for IKE; nil: it has none.
	DialTCP   func(ctx context.Context, remote netip.AddrPort) (net.Conn, error)
	ListenTCP func(v6 bool, port uint16) (net.Listener, error)

	// NoFirewall makes a machine that has none.
	NoFirewall bool

	// Warn is what setting name servers always warns of.
	Warn []string
	// Fail makes the host refuse calls: it is asked with each line.
	Fail func(call string) error

	mu      sync.Mutex // guards what follows
	tun     *TUN
	calls   []string
	changes chan struct{}
	lost    chan struct{} // routes

	intent       host.FirewallIntent
	tampered     bool
	rulesChanged chan struct{}
}

// NewMachine returns a machine whose sockets and source addresses come from
// the given functions.
func NewMachine(openUDP func(bool, uint16) (host.UDPConn, error), source func(netip.Addr) (netip.Addr, error)) *Machine {
	return &Machine{OpenUDP: openUDP, Source: source, Profiles: NewFiles(), Certs: NewFiles(), Secrets: NewFiles(), Policies: NewFiles(), State: NewFiles(), changes: make(chan struct{}, 1), lost: make(chan struct{}, 1), rulesChanged: make(chan struct{}, 1)}
}

// System assembles what the engine takes.
func (m *Machine) System() *host.System {
	s := &host.System{
		OpenTUN: func(name string, mtu int) (host.TUN, error) {
			if err := m.record("open tun %s", name); err != nil {
				return nil, err
			}
			t := NewTUN(true, true)
			m.mu.Lock()
			m.tun = t
			m.mu.Unlock()
			return t, nil
		},
		Slept:   m.Slept,
		OpenUDP: m.OpenUDP, DialTCP: m.DialTCP, ListenTCP: m.ListenTCP,
		Fetch: func(ctx context.Context, r host.FetchRequest) (host.FetchResponse, error) {
			if m.Fetch == nil {
				return host.FetchResponse{}, errors.New("nobody is there")
			}
			return m.Fetch(ctx, r)
		},
		Dial: func(ctx context.Context, server netip.AddrPort) (net.Conn, error) {
			if m.Dial == nil {
				return nil, fmt.Errorf("no way to %v", server)
			}
			return m.Dial(ctx, server)
		},
		Tokens:     tokens{m},
		Roots:      func() (*x509.CertPool, error) { return m.Roots, nil },
		Router:     router{m},
		DNS:        dns{m},
		NetMonitor: monitor{m},
		Profiles:   m.Profiles, Certs: m.Certs, Secrets: m.Secrets, Policies: m.Policies, State: m.State,
	}
	if !m.NoFirewall {
		s.Firewall = firewall{m}
	}
	return s
}

// TUN returns the device that was opened last.
func (m *Machine) TUN() *TUN {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tun
}

// Calls returns what was asked of the machine since the last call of Calls.
func (m *Machine) Calls() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := strings.Join(m.calls, "\n")
	m.calls = nil
	return s
}

// NetworkChanged makes the monitor report a change.
func (m *Machine) NetworkChanged() {
	notify(m.changes)
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one waits already
	}
}

// LoseRoutes makes the router report that another program has removed routes.
func (m *Machine) LoseRoutes() {
	notify(m.lost)
}

func (m *Machine) record(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	m.mu.Lock()
	m.calls = append(m.calls, line)
	fail := m.Fail
	m.mu.Unlock()
	if fail != nil {
		return fail(line)
	}
	return nil
}

type router struct{ m *Machine }

func (r router) Set(c host.RouteConfig) error {
	if c.Device == "" {
		return r.m.record("routes none")
	}
	if t := r.m.TUN(); t != nil && c.MTU != 0 {
		if err := t.SetMTU(c.MTU); err != nil {
			return err
		}
	}
	s := fmt.Sprintf("routes %s addresses %v", c.Device, c.Addresses)
	for _, rt := range c.Routes {
		s += fmt.Sprintf(" %v", rt.Dst)
		if rt.Src.IsValid() {
			s += fmt.Sprintf(" src %v", rt.Src)
		}
	}
	if c.Forward {
		s += " forward"
	}
	return r.m.record("%s", s)
}

// Lost implements host.RouteWatcher.
func (r router) Lost() <-chan struct{} { return r.m.lost }

func (r router) Cleanup() error { return r.m.record("routes clean-up") }

type dns struct{ m *Machine }

func (d dns) Set(c host.DNSConfig) error {
	if len(c.Servers) == 0 {
		return d.m.record("dns none")
	}
	return d.m.record("dns %v search %v only %v", c.Servers, c.Search, c.Only)
}

func (d dns) Cleanup() error { return d.m.record("dns clean-up") }

// Warnings implements host.Warner.
func (d dns) Warnings() []string {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.m.Warn
}

type monitor struct{ m *Machine }

func (n monitor) Changes() <-chan struct{}                  { return n.m.changes }
func (n monitor) Source(dst netip.Addr) (netip.Addr, error) { return n.m.Source(dst) }
func (n monitor) Close() error                              { return nil }

// Files is a host.Files in memory.
type Files struct {
	mu   sync.Mutex // guards data
	data map[string][]byte
}

// NewFiles returns an empty folder.
func NewFiles() *Files { return &Files{data: make(map[string][]byte)} }

// List returns the names, sorted.
func (f *Files) List() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.data)), nil
}

// Read returns a copy of a file.
func (f *Files) Read(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.data[name]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(b), nil
}

// Write stores a copy.
func (f *Files) Write(name string, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data[name] = slices.Clone(data)
	return nil
}

// Remove forgets a file.
func (f *Files) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.data, name)
	return nil
}
