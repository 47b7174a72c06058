package demo

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport/core/api"
	"sallyport/platform/ipc/client"
)

// The addresses of the demo.
var (
	gatewayOutside = netip.MustParsePrefix("203.0.113.1/24")
	clientOutside  = netip.MustParsePrefix("203.0.113.2/24")
	officeInside   = netip.MustParsePrefix("10.10.0.10/16")
)

const (
	wireDevice   = "internet"
	officeDevice = "office"
	officeName   = "intranet.example"
)

// work is where everything of the demo lives: in a tmpfs over /run that only
// the demo sees, so that it also reaches none of the machine's services there.
const work = "/run/demo"

// A stage is the demo on its way.
type stage struct {
	options
	p   *printer
	sum Summary

	self, daemon    string
	gateway, client *machine
	office          office
	psk             string
	before          string // the client, before it connects
	tap             *capture
}

// show is the demo, inside its namespaces.
func show(ctx context.Context, o options, out io.Writer) error {
	s := &stage{options: o, p: newPrinter(out, o.json)}
	s.sum.Wire.Clear = map[string]int{}
	defer s.stop()
	begun := time.Now()
	s.p.title("Sallyport demo: a gateway, a client, and the wire between them",
		"Both live in network namespaces of their own; nothing of this machine is touched.")
	steps := []func(context.Context) error{s.build, s.start, s.knock, s.connect, s.fetch, s.wire, s.sas}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return stopped()
			}
			return err
		}
	}
	if s.keep {
		s.linger(ctx) // Ctrl-C ends it; what is left to show takes a moment
		ctx = context.WithoutCancel(ctx)
	} else if os.Getenv(windowed) != "" {
		s.watch(ctx)
		ctx = context.WithoutCancel(ctx)
	}
	if err := s.disconnect(ctx); err != nil {
		return err
	}
	failed := 0
	for _, c := range s.sum.Checks {
		if !c.OK {
			failed++
		}
	}
	s.sum.OK = failed == 0
	if s.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(s.sum); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &api.Error{Code: api.CodeInternal, What: fmt.Sprintf("%d of the demo's %d checks failed.", failed, len(s.sum.Checks)),
			Next: "Please report it, with this output."}
	}
	s.p.end("All %d checks held, in %s. Gateway, client and wire are gone now.", len(s.sum.Checks), took(time.Since(begun)))
	return nil
}

// stop ends the services.
func (s *stage) stop() {
	for _, m := range []*machine{s.client, s.gateway} {
		if m != nil {
			m.stop()
		}
	}
}

// check notes and shows whether a statement holds.
func (s *stage) check(begun time.Time, ok bool, what, seen string) {
	d := time.Since(begun)
	s.sum.Checks = append(s.sum.Checks, Check{What: what, OK: ok, Seen: seen, MS: float64(d.Microseconds()) / 1000})
	s.p.check(ok, what, seen, d)
}

// build makes two machines and the cable between them.
func (s *stage) build(context.Context) error {
	s.p.step("Two machines, and a cable that plays the internet")
	begun := time.Now()
	var err error
	if s.self, err = os.Executable(); err != nil {
		return setupError(err)
	}
	if s.daemon, err = daemon(s.self); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return setupError(fmt.Errorf("make mounts private: %w", err))
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return setupError(fmt.Errorf("mount /run: %w", err))
	}
	if !isExecutable(s.self) || !isExecutable(s.daemon) {
		return setupError(fmt.Errorf("%s and %s lie below /run, which the demo hides", s.self, s.daemon))
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return setupError(err)
	}
	if s.gateway, err = newMachine("gateway", work); err != nil {
		return setupError(err)
	}
	if s.client, err = newMachine("client", work); err != nil {
		return setupError(err)
	}
	if err := s.wireUp(); err != nil {
		return setupError(err)
	}
	s.office.page = fmt.Sprintf("Welcome to the office. Today's word is %s.\n", rand.Text())
	if err := s.office.open(s.gateway, officeInside.Addr(), officeName); err != nil {
		return setupError(err)
	}
	s.p.facts(
		"gateway", gatewayOutside.Addr().String()+", and behind it the office with a web page at http://"+officeInside.Addr().String()+"/",
		"client", clientOutside.Addr().String(),
	)
	s.p.took(time.Since(begun))
	return nil
}

func (s *stage) wireUp() error {
	err := s.gateway.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: wireDevice}, PeerName: wireDevice, PeerNamespace: netlink.NsFd(int(s.client.net)),
	})
	if err != nil {
		return fmt.Errorf("virtual cable: %w", err)
	}
	if err := s.gateway.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: officeDevice}}); err != nil {
		return fmt.Errorf("network of the office: %w", err)
	}
	return errors.Join(s.gateway.address(wireDevice, gatewayOutside), s.client.address(wireDevice, clientOutside),
		s.gateway.address(officeDevice, officeInside))
}

// start starts a service on each machine and gives each its profile.
func (s *stage) start(ctx context.Context) error {
	s.p.step("The service starts on each, and gets its profile; a random key is agreed on")
	begun := time.Now()
	s.psk = rand.Text()
	for _, m := range []struct {
		*machine
		profile string
	}{{s.gateway, gatewayProfile}, {s.client, clientProfile}} {
		if err := m.serve(ctx, s.daemon); err != nil {
			return &api.Error{Code: api.CodeInternal, What: fmt.Sprintf("The service of the %s did not start.", m.name), Why: err.Error(),
				Next: "Run it again; if it happens again, please report it."}
		}
		file := filepath.Join(m.dir, "office.toml")
		if err := errors.Join(os.WriteFile(file, []byte(m.profile), 0o600),
			os.WriteFile(filepath.Join(m.dir, "office.psk"), []byte(s.psk), 0o600)); err != nil {
			return setupError(err)
		}
		if _, err := s.sallyport(ctx, m.machine, "import", file); err != nil {
			return err
		}
	}
	s.p.command("sallyportd run", "one on each machine")
	s.p.command("sallyport import office.toml", "one on each machine")
	s.p.took(time.Since(begun))
	// The kernel adds IPv6 link-local addresses a moment after a link is up.
	if err := s.settle(ctx); err != nil {
		return err
	}
	var err error
	s.before, err = s.client.snapshot()
	return err
}

// settle waits, two seconds at most, until the client's own addresses are no
// longer on their way.
func (s *stage) settle(ctx context.Context) error {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		link, err := s.client.nl.LinkByName(wireDevice)
		if err != nil {
			return err
		}
		addrs, err := s.client.nl.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		settled := link.Attrs().OperState == netlink.OperUp
		for _, a := range addrs {
			settled = settled && a.Flags&unix.IFA_F_TENTATIVE == 0
		}
		if settled && (len(addrs) > 0 || noIPv6()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func noIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err != nil
}

// sallyport runs the command line on a machine: this program.
func (s *stage) sallyport(ctx context.Context, m *machine, args ...string) (string, error) {
	out, err := m.run(ctx, s.self, append([]string{"--socket", m.socket}, args...)...)
	if err != nil {
		return out, &api.Error{Code: api.CodeInternal, What: fmt.Sprintf("`sallyport %s` failed on the %s.", strings.Join(args, " "), m.name),
			Why: strings.TrimSpace(out), Next: "Run it again; if it happens again, please report it."}
	}
	return out, nil
}

// knock shows that the page cannot be reached without the tunnel.
func (s *stage) knock(ctx context.Context) error {
	s.p.step("Before: the client asks for the office's page")
	begun := time.Now()
	page, err := s.get(ctx, officeInside.Addr().String())
	seen := strings.TrimSpace(page)
	if err != nil {
		seen = cause(err)
	}
	s.check(begun, err != nil, "the page cannot be reached", seen)
	return nil
}

// get fetches the page.
func (s *stage) get(ctx context.Context, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := s.client.http().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return string(b), err
}

// cause returns the innermost error's text.
func cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// connect connects, while the wire is read.
func (s *stage) connect(ctx context.Context) error {
	s.p.step("The client connects, while somebody reads the wire")
	var err error
	if s.tap, err = s.client.startCapture(wireDevice, s.office.page); err != nil {
		return setupError(err)
	}
	s.p.command("sallyport connect office", "on the client")
	begun := time.Now()
	out, err := s.sallyport(ctx, s.client, "connect", "office")
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(s.gateway.dir, filepath.Base(s.daemon)+".log"))
		return errors.Join(err, fmt.Errorf("the gateway's log: %s", log))
	}
	s.sum.ConnectMS = float64(time.Since(begun).Microseconds()) / 1000
	s.check(begun, true, "the tunnel carries traffic", "")
	s.p.text(out)
	return nil
}

// fetch uses the tunnel.
func (s *stage) fetch(ctx context.Context) error {
	s.p.step("The client asks again, by name and by address")
	for _, host := range []string{officeName, officeInside.Addr().String()} {
		begun := time.Now()
		page, err := s.get(ctx, host)
		seen := strings.TrimSpace(page)
		if err != nil {
			seen = cause(err)
		}
		s.check(begun, err == nil && page == s.office.page, "http://"+host+"/", seen)
	}

	begun := time.Now()
	d, sum, err := s.download(ctx)
	seen := fmt.Sprintf("%d MiB, %.2f Gbit/s", downloadSize>>20, float64(d.Bytes)*8/1e9/d.Seconds)
	if err != nil {
		seen = cause(err)
	}
	s.sum.Download = &d
	s.check(begun, err == nil && sum == s.office.sum, "a download whose checksum matches", seen)
	return nil
}

func (s *stage) download(ctx context.Context) (Download, string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	begun := time.Now()
	done := func(n int64) Download { return Download{Bytes: n, Seconds: time.Since(begun).Seconds()} }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+officeInside.Addr().String()+"/file", nil)
	if err != nil {
		return done(0), "", err
	}
	resp, err := s.client.http().Do(req)
	if err != nil {
		return done(0), "", err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, io.LimitReader(resp.Body, downloadSize+1), make([]byte, 256<<10))
	return done(n), hex.EncodeToString(h.Sum(nil)), err
}

// wire tells what was read from the wire.
func (s *stage) wire(context.Context) error {
	s.p.step("What the wire has carried since")
	begun := time.Now()
	w := s.tap.stop()
	s.sum.Wire = w
	rows := []string{
		count(w.IKE), "IKE: the two agree on keys",
		count(w.ESP), fmt.Sprintf("ESP: %.1f MB of sealed packets (a virtual cable carries many at once)", float64(w.ESPBytes)/1e6),
		count(w.Infra), "ARP and IPv6 neighbour discovery: who has which address",
	}
	clear := 0
	for what, n := range w.Clear {
		rows = append(rows, count(n), what+" in the clear")
		clear += n
	}
	if clear == 0 {
		rows = append(rows, count(0), "anything else")
	}
	s.p.table(rows...)
	seen := ""
	if w.Missed > 0 {
		seen = fmt.Sprintf("%d more packets were missed for want of buffers", w.Missed)
	}
	s.check(begun, clear == 0 && w.IKE >= 4 && w.ESP > 0, "nothing but IKE and ESP", seen)
	s.check(begun, w.Secret == 0, "the page's text, which the client has read, is in none of these packets", "")
	return nil
}

// sas shows the security associations.
func (s *stage) sas(ctx context.Context) error {
	s.p.step("The security associations")
	begun := time.Now()
	s.p.command("sallyport show dynamic", "on the client")
	out, err := s.sallyport(ctx, s.client, "show", "dynamic")
	if err != nil {
		return err
	}
	s.p.text(out)
	c := client.New(s.client.socket)
	defer c.Close()
	d, err := c.Dynamic(ctx)
	if err != nil {
		return err
	}
	s.sum.Dynamic = &d
	s.check(begun, len(d.IKESAs) == 1 && len(d.ChildSAs) == 1 && d.ChildSAs[0].Counters.InPackets > 0,
		"one IKE SA, one Child SA that has carried packets", "")
	return nil
}

// linger leaves everything running.
func (s *stage) linger(ctx context.Context) {
	s.p.step("Everything stays up until Ctrl-C; look around from another terminal")
	flags := "-m -n"
	if mapped() {
		flags = "-U --preserve-credentials " + flags
	}
	for _, m := range []*machine{s.gateway, s.client} {
		s.p.command(fmt.Sprintf("nsenter -t %d %s %s --socket %s status", m.service.Process.Pid, flags, s.self, m.socket), "on the "+m.name)
	}
	<-ctx.Done()
}

// disconnect ends the tunnel and compares the client with what it was.
func (s *stage) disconnect(ctx context.Context) error {
	s.p.step("The client disconnects")
	s.p.command("sallyport disconnect office", "on the client")
	begun := time.Now()
	if _, err := s.sallyport(ctx, s.client, "disconnect", "office"); err != nil {
		return err
	}
	after := ""
	for end := begun.Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var err error
		if after, err = s.client.snapshot(); err != nil {
			return err
		}
		if after == s.before {
			break
		}
	}
	seen := ""
	if after != s.before {
		seen = "before:\n" + s.before + "after:\n" + after
	}
	s.check(begun, after == s.before, "links, addresses, routes, rules and name servers are as before", seen)
	begun = time.Now()
	_, err := s.get(ctx, officeInside.Addr().String())
	s.check(begun, err != nil, "the page cannot be reached any more", "")
	return nil
}

const gatewayProfile = `version = 1
name = "office"
role = "responder"

[local]
method = "psk"
id = "gateway.example"
secret = "office.psk"

[remote]
method = "psk"
id = "alice@example"

[[children]]
name = "net"
local_ts = ["10.10.0.0/16"]

[[pools]]
name = "v4"
addresses = "10.20.0.0/24"
dns = ["10.10.0.10"]
`

const clientProfile = `version = 1
name = "office"
gateways = ["203.0.113.1"]
virtual_ips = ["0.0.0.0"]

[local]
method = "psk"
id = "alice@example"
secret = "office.psk"

[remote]
method = "psk"
id = "gateway.example"

[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`
