package interop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

const tcpGatewayProfile = `version = 1
name = "gw"
role = "responder"
tcp_ports = ["4500", "443"]
[local]
method = "psk"
id = "psk.vpn.test"
secret = "gw.psk"
[remote]
method = "psk"
[[children]]
name = "net"
local_ts = ["10.10.0.0/16", "fd00:10::/64"]
[[pools]]
name = "v4"
addresses = "10.20.0.0/24"
[[pools]]
name = "v6"
addresses = "fd00:20::/120"
`

const tcpClientProfile = `version = 1
name = "NAME"
gateways = [GATEWAYS]
virtual_ips = ["0.0.0.0", "::"]
OPTIONS
[local]
method = "psk"
id = "alice@vpn.test"
secret = "own.psk"
[remote]
method = "psk"
id = "psk.vpn.test"
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16", "fd00:10::/64"]
`

// tcpLab is a laboratory with our gateway, which takes TCP too, and our client.
func tcpLab(t *testing.T) (*lab.Lab, *lab.Service, *lab.Service) {
	t.Helper()
	l := lab.New(t)
	gw, s := tcpServices(t, l)
	return l, gw, s
}

// tcpServices are both ends in any laboratory.
func tcpServices(t *testing.T, l *lab.Lab) (gateway, client *lab.Service) {
	t.Helper()
	dir := l.Dir("tcp")
	for name, text := range map[string]string{
		"gw.toml": tcpGatewayProfile, "gw.psk": "correct horse battery staple", "own.psk": "correct horse battery staple",
	} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	gw := l.Gateway.Service("gateway")
	gw.Must("import", filepath.Join(dir, "gw.toml"))
	if c := gw.Connection("gw"); c.State != api.Listening {
		t.Fatalf("the gateway is %s: %v", c.State, c.Problem)
	}
	return gw, l.Client.Service("client")
}

// importTCP imports a connection with options of its own, to the gateway's address
// of IPv4 or to those given.
func importTCP(t *testing.T, l *lab.Lab, s *lab.Service, name, options string, gateways ...string) {
	t.Helper()
	if gateways == nil {
		gateways = []string{"198.51.100.1"}
	}
	path := filepath.Join(l.Dir("tcp"), name+".toml")
	writeFile(t, path, strings.NewReplacer("NAME", name, "OPTIONS", options, "GATEWAYS", `"`+strings.Join(gateways, `", "`)+`"`).Replace(tcpClientProfile))
	s.Must("import", path)
}

// blocked makes the gateway's firewall drop or reject what matches the rules, until
// the returned function is called.
func blocked(l *lab.Lab, rules ...string) (unblock func()) {
	script := "add table inet block\nadd chain inet block in { type filter hook input priority -300; }\n" +
		"add chain inet block out { type filter hook output priority -300; }\n"
	for _, r := range rules {
		script += "add rule inet block " + r + "\n"
	}
	l.Gateway.Script(script, "nft", "-f", "-")
	return func() { l.Gateway.Run("nft delete table inet block") }
}

const (
	dropUDP     = "in udp dport { 500, 4500 } drop"
	dropUDPBack = "out udp sport { 500, 4500 } drop"
)

// connectIn connects and returns how long that took.
func connectIn(t *testing.T, s *lab.Service, name string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	began := time.Now()
	if err := s.Client.Connect(ctx, api.ConnectRequest{Name: name, Wait: true}); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestTransport is the way to a gateway where networks are in the way.
func TestTransport(t *testing.T) {
	t.Parallel()
	l, gw, s := tcpLab(t)

	t.Run("udp blocked, and healed", func(t *testing.T) {
		l := l.For(t)
		s, gw := s.For(l), gw.For(l)
		importTCP(t, l, s, "office", "")
		unblock := blocked(l, dropUDP)
		took := connectIn(t, s, "office")
		if took > 3*time.Second {
			t.Errorf("up over TCP after %v", took)
		}
		if out := s.Must("status", "office"); !strings.Contains(out, "through TCP 4500, because UDP was not answered") {
			t.Errorf("status does not say so:\n%s", out)
		}
		tr, err := l.Client.Download(lab.InsideV4, 50*megabytes, time.Minute)
		if err != nil {
			t.Error(err)
		}
		up, err := l.Client.Upload(lab.InsideV4, 20*megabytes, time.Minute)
		if err != nil {
			t.Error(err)
		}
		t.Logf("up over TCP after %v; download %v, upload %v", took.Round(time.Millisecond), tr, up)

		ping := l.Client.Ping(lab.InsideV4, 5*time.Millisecond, 100)
		stream := make(chan error, 1)
		go func() {
			_, err := l.Client.Stream(lab.InsideV4, 7)
			stream <- err
		}()
		unblock()
		healed := time.Now()
		for s.Connection("office").Transport.TCP != 0 {
			if time.Since(healed) > 12*time.Second {
				t.Fatal("the tunnel stays on TCP")
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("back on UDP %v after it was let through", time.Since(healed).Round(10*time.Millisecond))
		if err := <-stream; err != nil {
			t.Errorf("a stream through the move: %v", err)
		}
		if p := ping.Stop(); p.Lost > 0 {
			t.Errorf("pings through the move: %v", p)
		} else {
			t.Logf("pings through the move: %v", p)
		}
		if tr, err = l.Client.Download(lab.InsideV4, 50*megabytes, time.Minute); err != nil {
			t.Error(err)
		}
		t.Logf("download over UDP: %v; drops %v and %v", tr, s.Dynamic().Drops, gw.Dynamic().Drops)
		s.Must("disconnect", "office")
	})

	t.Run("tls", func(t *testing.T) {
		l := l.For(t)
		s := s.For(l)
		importTCP(t, l, s, "tls", "transport = \"tcp\"\ntcp_ports = [\"443/tls\"]\ntls_name = \"www.vpn.test\"")
		unblock := blocked(l, dropUDP, "in tcp dport 4500 drop")
		defer unblock()
		took := connectIn(t, s, "tls")
		if out := s.Must("status", "tls"); !strings.Contains(out, "through TCP 443 inside TLS, as the profile says") {
			t.Errorf("status does not say so:\n%s", out)
		}
		for _, server := range []string{"v4", "v6"} {
			to := lab.InsideV4
			if server == "v6" {
				to = lab.InsideV6
			}
			tr, err := l.Client.Download(to, 30*megabytes, time.Minute)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s: up after %v, download %v", server, took.Round(time.Millisecond), tr)
		}
		if p := l.Client.Pings(lab.InsideV4, 40); p.Lost > 0 {
			t.Errorf("pings: %v", p)
		}
	})

	t.Run("connection reset", func(t *testing.T) {
		l := l.For(t)
		s := s.For(l)
		before := s.Dynamic().IKESAs
		ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 100)
		done := make(chan error, 1)
		go func() {
			_, err := l.Client.Download(lab.InsideV4, 100*megabytes, time.Minute)
			done <- err
		}()
		time.Sleep(200 * time.Millisecond)
		unblock := blocked(l, "in tcp dport 443 reject with tcp reset")
		time.Sleep(300 * time.Millisecond)
		unblock()
		if err := <-done; err != nil {
			t.Errorf("a download through the reset: %v", err)
		}
		p := ping.Stop()
		if p.Lost > 200 { // two seconds
			t.Errorf("pings: %v", p)
		}
		if after := s.Dynamic().IKESAs; len(before) != 1 || len(after) != 1 || after[0].LocalSPI != before[0].LocalSPI {
			t.Errorf("it is another IKE SA: %+v, before %+v", after, before)
		}
		t.Logf("pings through the reset: %v", p)
		s.Must("disconnect", "tls")
	})

	t.Run("another network", func(t *testing.T) {
		l := l.For(t)
		s := s.For(l)
		importTCP(t, l, s, "roam", "transport = \"tcp\"")
		connectIn(t, s, "roam")
		before := s.Dynamic().IKESAs
		l.Path(lab.BehindRouter)
		back := time.Now()
		ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56)
		first, err := ping.First(10 * time.Second)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Must("log"))
		}
		ping.Close()
		took := first.Sub(back)
		if took > 2*time.Second {
			t.Errorf("the first answer came after %v", took)
		}
		if after := s.Dynamic().IKESAs; len(after) != 1 || after[0].LocalSPI != before[0].LocalSPI {
			t.Errorf("it is another IKE SA: %+v, before %+v", after, before)
		}
		t.Logf("the first answer came %v after the change", took.Round(time.Millisecond))
		l.Path(lab.Direct)
		s.Must("disconnect", "roam")
	})

	t.Run("ipv6 leads nowhere", func(t *testing.T) {
		l := l.For(t)
		s := s.For(l)
		importTCP(t, l, s, "both", "", "[2001:db8:1::1]", "198.51.100.1")
		unblock := blocked(l, "in meta nfproto ipv6 udp dport { 500, 4500 } drop")
		defer unblock()
		took := connectIn(t, s, "both")
		if took > time.Second {
			t.Errorf("up after %v", took)
		}
		if c := s.Connection("both"); !strings.Contains(c.Path, "198.51.100.1") {
			t.Errorf("path %s", c.Path)
		}
		t.Logf("up over IPv4 after %v", took.Round(time.Millisecond))
		s.Must("disconnect", "both")
	})

	t.Run("idle connections", func(t *testing.T) {
		l := l.For(t)
		s, gw := s.For(l), gw.For(l)
		importTCP(t, l, s, "through", "transport = \"tcp\"")
		connectIn(t, s, "through")
		var flood []net.Conn
		defer func() {
			for _, c := range flood {
				c.Close()
			}
		}()
		turned := 0
		before := resident(t, gw)
		for i := range 300 {
			c, err := l.Inside.Dial(t.Context(), "tcp", net.JoinHostPort(lab.GatewayV4.String(), fmt.Sprint([]int{443, 4500}[i%2])))
			if err != nil {
				t.Fatal(err)
			}
			flood = append(flood, c)
		}
		for _, c := range flood {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				turned++
			}
		}
		if turned < 300-32 {
			t.Errorf("%d of 300 connections of one address were turned away", turned)
		}
		if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
			t.Errorf("who is in was disturbed: %v", p)
		}
		t.Logf("%d of 300 turned away; the gateway grew by %d KiB", turned, resident(t, gw)-before)
		s.Must("disconnect", "through")
		took := connectIn(t, s, "through")
		t.Logf("another peer got in after %v", took.Round(time.Millisecond))
		s.Must("disconnect", "through")
	})

	t.Run("nothing gets through", func(t *testing.T) {
		l := l.For(t)
		s := s.For(l)
		importTCP(t, l, s, "nothing", "tcp_ports = [\"4500\"]\n[ike]\nretransmit_tries = 1")
		unblock := blocked(l, dropUDP, "in tcp dport { 443, 4500 } reject with tcp reset")
		defer unblock()
		if e, _ := s.Error("connect", "nothing", "--wait", "30s"); e.Code != api.CodeNoTransport {
			t.Errorf("got %+v", e)
		}
	})
}

// resident returns the memory that a service takes, in KiB.
func resident(t testing.TB, s *lab.Service) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Proc.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kb int
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}
