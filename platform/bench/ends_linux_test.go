package bench_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// A pair is two ends of one system, with a tunnel between them through which the
// client reaches lab.InsideV4.
type pair struct {
	name string
	*lab.Lab
	device  string // of the client, into which the flood goes
	daemons []int  // the processes of the client's end and of the gateway's
	sink    *sink
}

// secret is what the ends prove each other with.
const secret = "correct horse battery staple"

// inside is the network behind the gateway, outside what the tunnel's clients
// have their addresses of.
const (
	inside  = "10.10.0.0/16"
	outside = "10.20.0.0/24"
)

// newPlain is the cable without any tunnel: what the machine and the generators
// of load can do.
func newPlain(b *testing.B) *pair {
	l := lab.NewPair(b)
	l.Client.Run("ip route add " + inside + " via " + lab.GatewayV4.String())
	return &pair{name: "plain cable", Lab: l, device: "eth0"}
}

// newOurs is our service as client and as gateway, as users have it: the client
// requires protection, so policy and firewall are in force.
func newOurs(b *testing.B) *pair {
	l := lab.NewPair(b)
	gateway := l.Gateway.Service("gateway")
	gateway.Must("import", profile(b, l, "gateway", `
role = "responder"

[local]
method = "psk"
id = "gw.vpn.test"
secret = "office.psk"

[remote]
method = "psk"

[[children]]
name = "net"
local_ts = ["`+inside+`"]

[[pools]]
name = "v4"
addresses = "`+outside+`"
`))
	client := l.Client.Service("client")
	client.Must("import", profile(b, l, "office", `
gateways = ["`+lab.GatewayV4.String()+`"]
virtual_ips = ["0.0.0.0"]

[local]
method = "psk"
id = "alice@vpn.test"
secret = "office.psk"

[remote]
method = "psk"
id = "gw.vpn.test"

[[children]]
name = "net"
remote_ts = ["`+inside+`"]
`))
	client.Must("connect", "office", "--profile", "require", "--wait", "20s")
	d := client.Dynamic()
	if len(d.ChildSAs) != 1 {
		b.Fatalf("SAs: %+v", d)
	}
	b.Logf("Sallyport's ESP: %s", d.ChildSAs[0].Proposal)
	return &pair{name: "Sallyport", Lab: l, device: "sallyport0", daemons: []int{client.Proc.Cmd.Process.Pid, gateway.Proc.Cmd.Process.Pid}}
}

// profile writes a profile and its secret to a folder and returns its path.
func profile(b *testing.B, l *lab.Lab, name, text string) string {
	b.Helper()
	dir := l.Dir("profile-" + name)
	path := filepath.Join(dir, name+".toml")
	for _, f := range []struct{ path, text string }{
		{path, fmt.Sprintf("version = 1\nname = %q\n%s", name, text)},
		{filepath.Join(dir, "office.psk"), secret},
	} {
		if err := os.WriteFile(f.path, []byte(f.text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// wireGuardModule holds wireguard-go; its version is the one whose TUN device
// this program uses.
const wireGuardModule = "golang.zx2c4.com/wireguard"

// newWireGuard is wireguard-go at both ends, built from its source.
func newWireGuard(b *testing.B) *pair {
	bin := b.TempDir()
	build(b, bin)
	l := lab.NewPair(b)
	path := filepath.Join(bin, "wireguard")
	client := l.Client.WireGuard(path, netip.MustParsePrefix("10.20.0.2/24"))
	gateway := l.Gateway.WireGuard(path, netip.MustParsePrefix("10.20.0.1/24"))
	client.Meet(gateway, lab.GatewayV4, netip.MustParsePrefix(inside), netip.MustParsePrefix(outside))
	gateway.Meet(client, lab.ClientV4, netip.MustParsePrefix(outside))
	return &pair{name: "wireguard-go", Lab: l, device: "wg0", daemons: []int{client.Proc.Cmd.Process.Pid, gateway.Proc.Cmd.Process.Pid}}
}

func build(b *testing.B, bin string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}}@{{.Version}}", wireGuardModule)
	out, err := list.Output()
	if err != nil {
		b.Fatalf("%v: %v", list.Args, err)
	}
	install := exec.CommandContext(ctx, "go", "install", strings.TrimSpace(string(out)))
	install.Env = append(os.Environ(), "GOBIN="+bin, "CGO_ENABLED=0")
	install.Dir = bin // outside of our own module
	if out, err := install.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", install.Args, err, out)
	}
	b.Logf("built %s", out)
}

// newLibipsec is strongSwan at both ends, with ESP in user space.
func newLibipsec(b *testing.B) *pair {
	l := lab.NewPair(b)
	start := func(h *lab.Host, name, conf string) *lab.StrongSwan {
		return h.StrongSwan(l.SwanDir(name, strings.ReplaceAll(conf, "SECRET", secret)))
	}
	gateway := start(l.Gateway, "swan-gateway", `
connections {
  office {
    version = 2
    pools = v4
    proposals = aes256gcm16-prfsha384-x25519
    local {
      auth = psk
      id = gw.vpn.test
    }
    remote {
      auth = psk
    }
    children {
      net {
        local_ts = `+inside+`
        esp_proposals = aes256gcm16
      }
    }
  }
}
pools {
  v4 {
    addrs = `+outside+`
  }
}
secrets {
  ike-office {
    secret = "SECRET"
  }
}
`)
	client := start(l.Client, "swan-client", `
connections {
  office {
    version = 2
    remote_addrs = `+lab.GatewayV4.String()+`
    vips = 0.0.0.0
    proposals = aes256gcm16-prfsha384-x25519
    local {
      auth = psk
      id = alice@vpn.test
    }
    remote {
      auth = psk
      id = gw.vpn.test
    }
    children {
      net {
        remote_ts = `+inside+`
        esp_proposals = aes256gcm16
      }
    }
  }
}
secrets {
  ike-office {
    secret = "SECRET"
  }
}
`)
	if err := client.Initiate("office"); err != nil {
		b.Fatal(err)
	}
	return &pair{name: "strongSwan libipsec", Lab: l, device: "ipsec0", daemons: []int{client.Pid(), gateway.Pid()}}
}
