// Package host assembles the parts of platform into what core needs of this
// machine, and cleans up after a service that died.
package host

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"sallyport/core/host"
	"sallyport/platform/dns"
	"sallyport/platform/firewall"
	"sallyport/platform/netmon"
	"sallyport/platform/paths"
	"sallyport/platform/route"
	"sallyport/platform/secret"
	"sallyport/platform/sockopt"
	"sallyport/platform/token"
	"sallyport/platform/tun"
)

// Options say where the service keeps its files. Empty: where the system's
// custom is (package paths).
type Options struct {
	StateDir  string
	ConfigDir string
	// Modules are the PKCS #11 modules that show smart cards and tokens; see
	// token.Configured.
	Modules []string
}

// New assembles the machine and creates the folders that are missing. The
// caller closes the NetMonitor of the System.
func New(o Options) (*host.System, error) {
	o = o.withDefaults()
	if err := openState(o.StateDir); err != nil {
		return nil, err
	}
	w, err := parseWithout(os.Getenv(WithoutEnv))
	if err != nil {
		return nil, err
	}
	s := &host.System{
		OpenTUN: w.openTUN(openTUN),
		OpenUDP: w.openUDP,
		DialTCP: func(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
			return sockopt.DialTCP(ctx, remote, route.Mark)
		},
		ListenTCP: func(v6 bool, port uint16) (net.Listener, error) {
			return sockopt.ListenTCP(v6, port, route.Mark)
		},
		Resolve: resolve,
		Dial: func(ctx context.Context, server netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", server.String())
		},
		Fetch:  fetch,
		Roots:  x509.SystemCertPool,
		Slept:  slept,
		Router: route.New(o.StateDir),
		DNS:    dns.New(o.StateDir),

		Firewall: firewall.New(firewall.Config{Mark: route.Mark}),
	}
	for _, folder := range []struct {
		path    string
		private bool
		files   *host.Files
	}{
		{filepath.Join(o.ConfigDir, "connections"), false, &s.Profiles},
		{filepath.Join(o.ConfigDir, "certs"), false, &s.Certs},
		{filepath.Join(o.ConfigDir, "secrets"), true, &s.Secrets},
		{filepath.Join(o.ConfigDir, "policies"), false, &s.Policies},
	} {
		f, err := secret.Open(folder.path, folder.private)
		if err != nil {
			return nil, err
		}
		*folder.files = f
	}
	modules, err := token.Configured(o.Modules, filepath.Join(o.ConfigDir, "pkcs11-modules"))
	if err != nil {
		return nil, err
	}
	if s.Tokens, err = tokens(modules); err != nil {
		return nil, err
	}
	if s.State, err = State(o.StateDir); err != nil {
		return nil, err
	}
	m, err := netmon.New(netmon.Config{Mark: route.Mark, Table: route.Table})
	if err != nil {
		return nil, err
	}
	s.NetMonitor = m
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.StateDir == "" {
		o.StateDir = paths.StateDir()
	}
	if o.ConfigDir == "" {
		o.ConfigDir = paths.ConfigDir()
	}
	return o
}

// openState creates the state folder, and refuses one in which others could
// write: what the journals say is done as root.
func openState(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create state folder: %w", err)
	}
	return secret.CheckFolder(dir, false)
}

// tokens returns the tokens that modules show. The program that loads them lies
// beside this one.
func tokens(modules []string) (host.Tokens, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own program: %w", err)
	}
	return token.New(filepath.Join(filepath.Dir(self), token.HelperName), modules), nil
}

// openTUN and openUDP keep a nil device from becoming a non-nil interface.
func openTUN(name string, mtu int) (host.TUN, error) {
	d, err := tun.Open(name, mtu)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (w without) openUDP(v6 bool, port uint16) (host.UDPConn, error) {
	c, err := sockopt.Listen(w.config(sockopt.Config{V6: v6, Port: port, Mark: route.Mark}))
	if err != nil {
		return nil, err
	}
	return w.socket(c), nil
}

// Cleanup restores name servers and routes as they were before a service with
// this state folder that died. It does nothing where nothing is left. The
// firewall stays: what it forbids must not leave while nobody is there to
// protect it (see CleanupFirewall). The caller holds the folder (RunLocked).
func Cleanup(stateDir string) error {
	stateDir = Options{StateDir: stateDir}.withDefaults().StateDir
	if err := openState(stateDir); err != nil {
		return err
	}
	return errors.Join(dns.New(stateDir).Cleanup(), route.New(stateDir).Cleanup())
}

// State opens what the service remembers across restarts.
func State(stateDir string) (host.Files, error) {
	stateDir = Options{StateDir: stateDir}.withDefaults().StateDir
	return secret.Open(filepath.Join(stateDir, "memory"), true)
}

// CleanupFirewall removes the packet filter of a service that died, for good.
func CleanupFirewall() error {
	return firewall.New(firewall.Config{Mark: route.Mark}).Cleanup()
}

// RunLocked runs f while no other process can hold the same state folder. The
// error is host.ErrInUse when one does.
func RunLocked(stateDir string, f func() error) error {
	stateDir = Options{StateDir: stateDir}.withDefaults().StateDir
	if err := openState(stateDir); err != nil {
		return err
	}
	path := filepath.Join(stateDir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock state folder: %w", err)
	}
	defer file.Close() // the lock goes with it, and with the process
	if err := lock(file); err != nil {
		if isLocked(err) {
			err = fmt.Errorf("%w: is the service running?", host.ErrInUse)
		}
		return fmt.Errorf("lock state folder %s: %w", stateDir, err)
	}
	return f()
}
