package demo

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sallyport/platform/ipc/client"
)

// A machine is a network and a mount namespace on an OS thread of their own,
// in which one service runs.
type machine struct {
	name  string
	net   netns.NsHandle
	nl    *netlink.Handle
	calls chan func() // to the thread

	dir    string // files of its service
	socket string

	service *exec.Cmd // nil while there is none
}

// newMachine makes a machine whose files are below dir. It lives as long as
// the process.
func newMachine(name, dir string) (*machine, error) {
	m := &machine{name: name, calls: make(chan func()), dir: filepath.Join(dir, name)}
	m.socket = filepath.Join(m.dir, "sallyport.sock")
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		return nil, err
	}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread belongs to the machine
		err := m.unshare()
		made <- err
		if err != nil {
			return
		}
		for f := range m.calls {
			f()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return m, nil
}

func (m *machine) unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	// An /etc of its own, for the name servers that the tunnel brings.
	keep := map[string][]byte{"resolv.conf": []byte("# " + m.name + ": no name servers\n")}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "hosts"} {
		if b, err := os.ReadFile("/etc/" + name); err == nil {
			keep[name] = b
		}
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	for name, b := range keep {
		if err := os.WriteFile("/etc/"+name, b, 0o644); err != nil {
			return err
		}
	}
	var err error
	if m.net, err = netns.Get(); err != nil {
		return err
	}
	if m.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	lo, err := m.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	// Addresses are there at once, without a search for duplicates. Where the
	// settings are read-only, they come a moment later.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0o644)
	return m.nl.LinkSetUp(lo)
}

// do runs f in the machine's namespaces; f must be short.
func (m *machine) do(f func() error) error {
	done := make(chan error)
	m.calls <- func() { done <- f() }
	return <-done
}

// address gives a device an address and brings it up.
func (m *machine) address(dev string, prefix netip.Prefix) error {
	link, err := m.nl.LinkByName(dev)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(prefix.String())
	if err != nil {
		return err
	}
	if err := m.nl.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("%s: address %v: %w", m.name, prefix, err)
	}
	return m.nl.LinkSetUp(link)
}

// start starts a program on the machine, its output going to a file.
func (m *machine) start(path string, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(m.dir, filepath.Base(path)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, m.do(cmd.Start)
}

// run runs a program on the machine and returns what it printed.
func (m *machine) run(ctx context.Context, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := m.do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// serve starts the service of the machine and waits until it answers.
func (m *machine) serve(ctx context.Context, daemon string) error {
	cmd, err := m.start(daemon, "run", "--socket", m.socket,
		"--state-dir", filepath.Join(m.dir, "state"), "--config-dir", filepath.Join(m.dir, "config"))
	if err != nil {
		return err
	}
	m.service = cmd
	c := client.New(m.socket)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		_, err := c.State(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(m.dir, filepath.Base(daemon)+".log"))
			return fmt.Errorf("the service of the %s does not answer: %w\n%s", m.name, err, log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the service.
func (m *machine) stop() {
	if m.service == nil {
		return
	}
	_ = m.service.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(3*time.Second, func() { _ = m.service.Process.Kill() })
	defer late.Stop()
	_ = m.service.Wait()
}

// dial connects from the machine; address holds an IP address, no name.
func (m *machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var c net.Conn
	err := m.do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// http returns an HTTP client on the machine, which looks names up as the
// machine's resolv.conf says.
func (m *machine) http() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if _, err := netip.ParseAddr(host); err != nil {
			addr, err := m.lookup(ctx, host)
			if err != nil {
				return nil, err
			}
			host = addr.String()
		}
		return m.dial(ctx, network, net.JoinHostPort(host, port))
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// lookup asks the machine's name server for an IPv4 address.
func (m *machine) lookup(ctx context.Context, name string) (netip.Addr, error) {
	server := ""
	for line := range strings.Lines(m.resolvConf()) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "nameserver" {
			server = f[1]
			break
		}
	}
	if server == "" {
		return netip.Addr{}, fmt.Errorf("look up %s: no name server is known", name)
	}
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return m.dial(ctx, network, net.JoinHostPort(server, "53"))
	}}
	addrs, err := r.LookupNetIP(ctx, "ip4", name+".")
	if err != nil {
		return netip.Addr{}, err
	}
	return addrs[0], nil
}

func (m *machine) resolvConf() string {
	var b []byte
	_ = m.do(func() (err error) { b, err = os.ReadFile("/etc/resolv.conf"); return err })
	return string(b)
}

// snapshot returns links, addresses, routes, rules and name servers as text.
func (m *machine) snapshot() (string, error) {
	var out []string
	links, err := m.nl.LinkList()
	if err != nil {
		return "", err
	}
	for _, l := range links {
		a := l.Attrs()
		out = append(out, fmt.Sprintf("link %d %s %s mtu %d %v", a.Index, a.Name, l.Type(), a.MTU, a.Flags))
		addrs, err := m.nl.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return "", err
		}
		for _, addr := range addrs {
			out = append(out, fmt.Sprintf("address %s %v", a.Name, addr.IPNet))
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := m.nl.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return "", err
		}
		for _, r := range routes {
			out = append(out, "route "+r.String())
		}
		rules, err := m.nl.RuleList(family)
		if err != nil {
			return "", err
		}
		for _, r := range rules {
			out = append(out, "rule "+r.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n") + "\n" + m.resolvConf(), nil
}
