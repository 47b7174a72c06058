package interop_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// The stock filter actions of the three profiles.
const (
	actRespond = "Respond only"
	actRequest = "Request security"
	actRequire = "Require security"
)

// bystander is a neighbour that speaks no IPsec.
var bystander = lab.NATV4

// A station is a machine on the local network that runs our service.
type station struct {
	*lab.Service
	host *lab.Host
	addr netip.Addr
	auth string // the authentication method of its rules
}

func (s station) at(l *lab.Lab) station {
	s.Service = s.Service.For(l)
	s.host = map[netip.Addr]*lab.Host{lab.ClientV4: l.Client, lab.GatewayV4: l.Gateway}[s.addr]
	return s
}

// newStation starts a service that has the secrets for auth: they come with an
// imported connection, and the policy names them.
func newStation(t *testing.T, l *lab.Lab, h *lab.Host, addr netip.Addr, auth string) station {
	t.Helper()
	s := station{Service: h.Service("station-" + h.Name), host: h, addr: addr}
	if auth == "psk" {
		s.Must("import", l.SwanDir("keys-"+h.Name, pskConf("192.0.2.1", "lan.vpn.test", "", split))+"/swanctl.conf")
	} else {
		pki := sharedPKI(t)
		name := "station-" + h.Name
		pki.Issue(t, lab.Leaf{Name: name, Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"alice@vpn.test", addr.String()}, Peer: true})
		dir := l.SwanDir("keys-"+h.Name, certConf("lan.vpn.test", "pubkey", name+".crt", "ca-ecdsa256"))
		pki.Install(t, dir, []string{name, "ca-ecdsa256"}, []string{name})
		s.Must("import", dir+"/swanctl.conf")
	}
	var profile string
	err := filepath.WalkDir(filepath.Join(s.Dir, "config"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "office.toml" {
			b, err := os.ReadFile(path)
			profile = string(b)
			return err
		}
		return err
	})
	if err != nil || profile == "" {
		t.Fatalf("no profile of the import: %v", err)
	}
	for _, key := range []string{"cas", "certificates", "key", "secret"} {
		if m := regexp.MustCompile(`(?m)^\s*` + key + ` = .*$`).FindString(profile); m != "" {
			s.auth += strings.TrimSpace(m) + "\n"
		}
	}
	s.auth = fmt.Sprintf("method = %q\n%s", auth, s.auth)
	// The servers that the neighbours ask.
	h.HTTP(h.Name, netip.AddrPortFrom(addr, 8000).String())
	h.UDPEcho(netip.AddrPortFrom(addr, 7).String())
	return s
}

// lanPolicy protects a network host to host.
func (s station) lanPolicy(action, network string) string {
	return fmt.Sprintf(`version = 1
name = "lan"

[[filter_lists]]
name = "the lan"
[[filter_lists.filters]]
source = "me"
destination = %q

[[rules]]
name = "neighbours"
filter_list = "the lan"
filter_action = %q
[[rules.auth]]
%s`, network, action, s.auth)
}

// assign stores a policy and puts it in force.
func (s station) assign(t *testing.T, l *lab.Lab, name, text string) {
	t.Helper()
	path := filepath.Join(l.Dir("policies-"+s.host.Name), name+".toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Must("policy", "import", path, "--replace")
	s.Must("policy", "assign", name)
}

func (s station) security(t *testing.T) api.Security {
	t.Helper()
	sec, err := s.Client.Security(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sec
}

// seenBy fetches the page that shows the client's address.
func seenBy(from *lab.Host, server netip.Addr, limit time.Duration) (string, time.Duration, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, err := from.Dial(ctx, "tcp", netip.AddrPortFrom(server, 8000).String())
	took := time.Since(begun)
	if err != nil {
		return "", took, err
	}
	defer c.Close()
	_ = c.SetDeadline(begun.Add(limit))
	if _, err := fmt.Fprintf(c, "GET /ip HTTP/1.0\r\nX-Text: %s\r\n\r\n", lab.Marker); err != nil {
		return "", took, err
	}
	b := make([]byte, 4096)
	n := 0
	for {
		k, err := c.Read(b[n:])
		n += k
		if err != nil {
			break
		}
	}
	_, body, _ := strings.Cut(string(b[:n]), "\r\n\r\n")
	return strings.TrimSpace(body), took, nil
}

// between picks the packets that two machines exchanged.
func between(frames []lab.Frame, a, b netip.Addr) []lab.Frame {
	var out []lab.Frame
	for _, f := range frames {
		if src, dst, _, ok := f.Ends(); ok && (src == a && dst == b || src == b && dst == a) {
			out = append(out, f)
		}
	}
	return out
}

// mustTalk has two machines talk, the first packet being a single datagram.
func mustTalk(t *testing.T, from, to *lab.Host, src, dst netip.Addr) {
	t.Helper()
	answer, took, err := from.Ask(netip.AddrPortFrom(dst, 7), lab.Marker, 4*time.Second)
	if err != nil || answer != src.String()+" said "+lab.Marker {
		t.Errorf("a single datagram from %v to %v was answered %q, %v", src, dst, answer, err)
	}
	page, tcp, err := seenBy(from, dst, 4*time.Second)
	if err != nil || page != src.String() {
		t.Errorf("over TCP %v sees %q, %v; want %v", dst, page, err, src)
	}
	back, backTCP, err := seenBy(to, src, 4*time.Second)
	if err != nil || back != dst.String() {
		t.Errorf("the other way %v sees %q, %v; want %v", src, back, err, dst)
	}
	t.Logf("first datagram answered after %v, TCP in %v, back in %v", took.Round(100*time.Microsecond), tcp.Round(100*time.Microsecond), backTCP.Round(100*time.Microsecond))
}

// mustBeSecured fails the test unless the packets were IKE and ESP alone.
func mustBeSecured(t *testing.T, frames []lab.Frame) {
	t.Helper()
	if s := lab.Sort(frames); len(s.Other) > 0 || s.Marked > 0 || s.ESP < 10 {
		t.Errorf("between the two: %v", s)
	}
}

// TestHostToHost has two of our machines and a neighbour without IPsec on a
// local network, with every pair of profiles that secures.
func TestHostToHost(t *testing.T) {
	for _, auth := range []string{"psk", "certificate"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			l.NAT.HTTP("bystander", netip.AddrPortFrom(bystander, 8000).String())
			l.NAT.UDPEcho(netip.AddrPortFrom(bystander, 7).String())
			a := newStation(t, l, l.Client, lab.ClientV4, auth)
			b := newStation(t, l, l.Gateway, lab.GatewayV4, auth)
			aBefore, bBefore := l.Client.Snapshot(), l.Gateway.Snapshot()
			pairs := [][2]string{
				{actRequest, actRequest}, {actRequire, actRequire}, {actRequest, actRequire}, {actRequire, actRespond}, {actRequest, actRespond}, {actRespond, actRequire},
			}
			if auth == "certificate" {
				pairs = pairs[:2]
			}
			for _, p := range pairs {
				t.Run(p[0]+" with "+p[1], func(t *testing.T) {
					l := l.For(t)
					testHostToHost(t, l, a.at(l), b.at(l), p)
					l.Client.MustBeAsBefore(aBefore)
					l.Gateway.MustBeAsBefore(bBefore)
				})
			}
		})
	}
}

func testHostToHost(t *testing.T, l *lab.Lab, a, b station, p [2]string) {
	tap := l.Client.Tap("eth0")
	if page, _, err := seenBy(l.Client, b.addr, 2*time.Second); err != nil || page != a.addr.String() {
		t.Fatalf("without a policy: %q, %v", page, err)
	}
	if lab.Sort(between(tap.Stop(), a.addr, b.addr)).Marked == 0 {
		t.Fatal("without a policy nothing is read on the wire, so the test is blind")
	}
	fallbacks := a.security(t).Fallbacks
	tap = l.Client.Tap("eth0")
	b.assign(t, l, "lan", b.lanPolicy(p[1], "198.51.100.0/24"))
	a.assign(t, l, "lan", a.lanPolicy(p[0], "198.51.100.0/24"))
	first, second := a, b
	if p[0] == actRespond {
		first, second = b, a
	}
	mustTalk(t, first.host, second.host, first.addr, second.addr)
	mustBeSecured(t, between(tap.Frames(), a.addr, b.addr))

	// A neighbour without IPsec.
	mark := len(tap.Frames())
	limit := 3 * time.Second
	if p[0] == actRequire {
		limit = time.Second
	}
	answer, took, err := seenBy(l.Client, bystander, limit)
	seen := leaked(between(tap.Frames()[mark:], a.addr, bystander)) // the bystander refuses our IKE by ICMP
	sec := a.security(t)
	switch p[0] {
	case actRequire:
		if err == nil || len(seen.Other) > 0 || seen.IKE == 0 {
			t.Errorf("under require the neighbour is reached: %q, %v; wire: %v", answer, err, seen)
		}
		if n := sec.Fallbacks - fallbacks; n > 0 {
			t.Errorf("%d fallbacks under require", n)
		}
	case actRequest:
		if err != nil || answer != a.addr.String() || seen.IKE == 0 {
			t.Errorf("under request the neighbour sees %q, %v; wire: %v", answer, err, seen)
		}
		amber := false
		st, err := a.Client.State(context.Background())
		for _, c := range st.Connections {
			amber = amber || c.Protection == api.Clear && strings.Contains(c.Name, bystander.String()) && !c.ClearUntil.IsZero()
		}
		if err != nil || !amber || sec.Fallbacks == fallbacks {
			t.Errorf("the fallback is not shown: %d fallbacks, connections %+v, %v", sec.Fallbacks, st.Connections, err)
		}
		t.Logf("the neighbour without IPsec is reached in clear after %v", took.Round(time.Millisecond))
	case actRespond:
		if err != nil || took > 900*time.Millisecond || seen.IKE > 0 { // what traffic under request may wait
			t.Errorf("under respond only the neighbour is reached as %q after %v, %v; wire: %v", answer, took, err, seen)
		}
	}
	// From outside: who requires is mute to a neighbour in clear.
	_, _, err = seenBy(l.NAT, a.addr, time.Second)
	if reached := err == nil; reached == (p[0] == actRequire) {
		t.Errorf("the neighbour reaches us: %v", err)
	}
	// Whoever lies beyond the rule is reached as ever.
	if page, err := l.Client.Get(lab.InternetV4, "/ip", 3*time.Second); err != nil || strings.TrimSpace(page) != a.addr.String() {
		t.Errorf("beyond the rule the internet sees %q, %v", page, err)
	}
	// The protection still stands after all that.
	mustTalk(t, second.host, first.host, second.addr, first.addr)
	mustBeSecured(t, between(tap.Stop(), a.addr, b.addr))

	a.Must("policy", "unassign")
	b.Must("policy", "unassign")
	if page, _, err := seenBy(l.Client, b.addr, 3*time.Second); err != nil || page != a.addr.String() {
		t.Errorf("without the policy: %q, %v", page, err)
	}
	if page, _, err := seenBy(l.Client, bystander, 3*time.Second); err != nil || page != a.addr.String() {
		t.Errorf("without the policy the neighbour sees %q, %v", page, err)
	}
}

// swanHostConf is strongSwan as the other end: a tunnel from host to host, for
// kernel-libipsec has no transport mode, and neither has Windows' tunnel rule.
const swanHostConf = `connections {
  host {
    version = 2
    local_addrs = 198.51.100.1
    remote_addrs = 198.51.100.100
    local {
      auth = psk
      id = 198.51.100.1
    }
    remote {
      auth = psk
      id = 198.51.100.100
    }
    children {
      net {
        local_ts = 198.51.100.1/32
        remote_ts = 198.51.100.100/32
        start_action = trap
      }
    }
  }
}
secrets {
  ike-host {
    secret = "correct horse battery staple"
  }
}
`

// swanHostOptions keep strongSwan's own packets out of its tunnel: the peer is
// what the tunnel leads to.
const swanHostOptions = `plugins {
    kernel-libipsec {
      allow_peer_ts = yes
    }
    kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }
  }`

// TestHostToHostStrongSwan has strongSwan at the other end, with a trap policy
// which starts and which is asked. kernel-libipsec drops what hits its trap and
// raises no acquire, so where strongSwan starts it is told to.
func TestHostToHostStrongSwan(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a := newStation(t, l, l.Client, lab.ClientV4, "psk")
	l.Gateway.HTTP("strongSwan", netip.AddrPortFrom(lab.GatewayV4, 8000).String())
	l.Gateway.UDPEcho(netip.AddrPortFrom(lab.GatewayV4, 7).String())
	for _, action := range []string{actRequest, actRequire, actRespond} {
		for _, starter := range []string{"we start", "strongSwan starts"} {
			if action == actRespond && starter == "we start" {
				continue // which we then never do
			}
			t.Run(action+", "+starter, func(t *testing.T) {
				l := l.For(t)
				a := a.at(l)
				swan := l.Gateway.StrongSwan(l.SwanDir("swan", swanHostConf), swanHostOptions)
				defer swan.Stop()
				tap := l.Client.Tap("eth0")
				a.assign(t, l, "lan", a.lanPolicy(action, "198.51.100.0/24"))
				if starter != "we start" {
					if out, err := swan.Ctl(20*time.Second, "--initiate", "--child", "net", "--ike", "host", "--timeout", "10"); err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
				}
				if starter == "we start" {
					mustTalk(t, l.Client, l.Gateway, lab.ClientV4, lab.GatewayV4)
				} else {
					mustTalk(t, l.Gateway, l.Client, lab.GatewayV4, lab.ClientV4)
				}
				mustBeSecured(t, between(tap.Stop(), lab.ClientV4, lab.GatewayV4))
				d := a.Dynamic()
				if len(d.IKESAs) != 1 || d.IKESAs[0].Initiator != (starter == "we start") || len(d.ChildSAs) != 1 {
					t.Errorf("SAs: %+v", d)
				}
				if _, err := swan.Ctl(15*time.Second, "--terminate", "--ike", "host", "--timeout", "5"); err != nil {
					t.Errorf("terminate: %v", err)
				}
				a.Must("policy", "unassign")
			})
		}
	}
}
