package dns

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// A fakeResolved has the methods of systemd-resolved and records their calls.
type fakeResolved struct {
	mu    sync.Mutex
	calls []string
	fail  string // the method that fails
}

func (f *fakeResolved) note(method, format string, args ...any) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.TrimSpace(method+" "+fmt.Sprintf(format, args...)))
	if f.fail == method {
		return dbus.NewError("org.freedesktop.resolve1.LinkBusy", []any{"busy"})
	}
	return nil
}

func (f *fakeResolved) SetLinkDNS(link int32, servers []linkServer) *dbus.Error {
	return f.note("SetLinkDNS", "%d %v", link, servers)
}

func (f *fakeResolved) SetLinkDomains(link int32, domains []linkDomain) *dbus.Error {
	return f.note("SetLinkDomains", "%d %v", link, domains)
}

func (f *fakeResolved) SetLinkDefaultRoute(link int32, on bool) *dbus.Error {
	return f.note("SetLinkDefaultRoute", "%d %v", link, on)
}

func (f *fakeResolved) RevertLink(link int32) *dbus.Error { return f.note("RevertLink", "%d", link) }
func (f *fakeResolved) FlushCaches() *dbus.Error          { return f.note("FlushCaches", "") }

// failAt makes a method fail; empty: none.
func (f *fakeResolved) failAt(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = method
}

func (f *fakeResolved) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.calls
	f.calls = nil
	return c
}

// startBus starts a private D-Bus and returns its address.
func startBus(t *testing.T) string {
	t.Helper()
	roottest.Command(t, "dbus-daemon")
	dir := t.TempDir()
	conf := filepath.Join(dir, "bus.conf")
	must(t, os.WriteFile(conf, []byte(`<busconfig><type>system</type><listen>unix:dir=`+dir+`</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>`), 0o600))
	cmd := exec.Command("dbus-daemon", "--config-file="+conf, "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(address)
}

// startResolved puts a fake resolved on a private bus.
func startResolved(t *testing.T) (*fakeResolved, func() (*dbus.Conn, error)) {
	t.Helper()
	address := startBus(t)
	connect := func() (*dbus.Conn, error) { return dbus.Connect(address) }
	conn, err := connect()
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	f := &fakeResolved{}
	must(t, conn.Export(f, resolvedPath, resolvedIface))
	if reply, err := conn.RequestName(resolvedName, 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own %s: %v, %v", resolvedName, reply, err)
	}
	return f, connect
}

const stubText = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"

func TestResolved(t *testing.T) {
	fake, connect := startResolved(t)
	dir, state := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "resolv.conf")
	must(t, os.WriteFile(path, []byte(stubText), 0o644))
	open := func() *DNS {
		d := newDNS(state, path)
		d.connect = connect
		return d
	}
	lo, err := net.InterfaceByName("lo") // stands for the tunnel device
	must(t, err)
	n := lo.Index

	whole := host.DNSConfig{Device: "lo", Servers: addrs("10.0.0.53", "fd00::53"), Search: []string{"corp.example."}}
	split := host.DNSConfig{Device: "lo", Servers: addrs("10.0.0.53"), Search: []string{"corp.example"}, Only: []string{"lab.example"}}
	for _, tt := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"whole", func() error { return open().Set(whole) }, []string{
			fmt.Sprintf("SetLinkDNS %d [{2 [10 0 0 53]} {10 [253 0 0 0 0 0 0 0 0 0 0 0 0 0 0 83]}]", n),
			fmt.Sprintf("SetLinkDomains %d [{corp.example false} {. true}]", n),
			fmt.Sprintf("SetLinkDefaultRoute %d true", n),
			"FlushCaches",
		}},
		{"split", func() error { return open().Set(split) }, []string{
			fmt.Sprintf("SetLinkDNS %d [{2 [10 0 0 53]}]", n),
			fmt.Sprintf("SetLinkDomains %d [{corp.example false} {lab.example true}]", n),
			fmt.Sprintf("SetLinkDefaultRoute %d false", n),
			"FlushCaches",
		}},
		{"zero", func() error { return open().Set(host.DNSConfig{}) }, []string{fmt.Sprintf("RevertLink %d", n), "FlushCaches"}},
		{"zero again", func() error { return open().Cleanup() }, nil},
		{"failure", func() error {
			fake.failAt("SetLinkDefaultRoute")
			defer fake.failAt("")
			if err := open().Set(split); err == nil {
				return fmt.Errorf("accepted")
			}
			return nil
		}, []string{
			fmt.Sprintf("SetLinkDNS %d [{2 [10 0 0 53]}]", n),
			fmt.Sprintf("SetLinkDomains %d [{corp.example false} {lab.example true}]", n),
			fmt.Sprintf("SetLinkDefaultRoute %d false", n),
			fmt.Sprintf("RevertLink %d", n),
			"FlushCaches",
		}},
		{"no device", func() error {
			if err := open().Set(full); err == nil {
				return fmt.Errorf("accepted")
			}
			return nil
		}, nil},
	} {
		if err := tt.do(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := fake.take(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: calls\n%q\nwant\n%q", tt.name, got, tt.want)
		}
		if got := look(t, path); !strings.HasSuffix(got, "\n"+stubText) {
			t.Errorf("%s: resolv.conf is now %s", tt.name, got)
		}
	}
	if left, _ := os.ReadDir(state); len(left) != 0 {
		t.Errorf("left %v in the state folder", left)
	}

	// Where resolv.conf does not lead to resolved, resolved is not asked.
	must(t, os.WriteFile(path, []byte(originalText), 0o644))
	d := open()
	must(t, d.Set(full))
	if got := fake.take(); got != nil {
		t.Errorf("calls %q for a machine that does not use resolved", got)
	}
	if got := body(t, path); got != fullText {
		t.Errorf("wrote\n%s", got)
	}
	// resolved comes into charge while the file is ours: it gets its file back.
	must(t, os.WriteFile(path, []byte(stubText), 0o644))
	must(t, d.Set(whole))
	if got := fake.take(); len(got) != 4 {
		t.Errorf("calls %q", got)
	}
	must(t, d.Cleanup())
}

// TestOtherNamespace is a service in a network namespace of its own, whose
// device numbers mean nothing to the resolved of the machine.
func TestOtherNamespace(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	fake, connect := startResolved(t)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(path, nil, 0o644))
	roottest.Bind(t, path, stubText) // as ip netns exec does
	d := newDNS(t.TempDir(), path)
	d.connect = connect
	roottest.Run(t, "ip netns add fdns")
	roottest.Run(t, "ip -n fdns link set lo up")
	roottest.In(t, "fdns", func() {
		if err := d.Set(host.DNSConfig{Device: "lo", Servers: addrs("10.0.0.53")}); err != nil {
			t.Error(err)
		}
	})
	if got := fake.take(); got != nil {
		t.Errorf("calls %q from another namespace", got)
	}
	if got := body(t, path); got != "nameserver 10.0.0.53\n" {
		t.Errorf("wrote\n%s", got)
	}
}
