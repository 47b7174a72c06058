package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// throngConf is a gateway for a throng, in the words of strongSwan's configuration.
const throngConf = `
connections {
  throng {
    version = 2
    pools = v4
    unique = no
    proposals = aes256gcm16-prfsha256-x25519, aes256gcm16-prfsha256-ecp256, aes128-sha256-x25519
    local {
      LOCAL
    }
    remote {
      REMOTE
    }
    children {
      net {
        local_ts = 10.10.0.0/16
        esp_proposals = aes256gcm16
      }
    }
  }
}
pools {
  v4 {
    addrs = POOL
  }
}
secrets {
  ike-psk {
    secret = "correct horse battery staple"
  }
}
`

// throngGateway makes the folder of a gateway for a throng, with a pool of so many
// addresses, and says how the throng proves who it is: p is of use for certificates
// alone.
func throngGateway(t testing.TB, l *lab.Lab, p *lab.PKI, name, method, group string, addresses int) (string, throngAuth) {
	t.Helper()
	a := throngAuth{gateway: "psk.vpn.test", psk: "correct horse battery staple", group: group}
	local, remote := "auth = psk\n id = psk.vpn.test", "auth = psk"
	if method == "ecdsa" {
		a.gateway = "ecdsa256.vpn.test"
		a.ca, a.caKey = p.Pair(t, "ca-ecdsa256")
		local, remote = "auth = pubkey\n id = ecdsa256.vpn.test\n certs = gw-ecdsa256.crt", "auth = pubkey\n cacerts = ca-ecdsa256.crt"
	}
	dir := l.SwanDir(name, strings.NewReplacer("LOCAL", local, "REMOTE", remote, "POOL", fmt.Sprintf("10.128.0.0-10.128.%d.%d", (addresses-1)/256, (addresses-1)%256)).Replace(throngConf))
	if a.ca != nil {
		p.Install(t, dir, []string{"gw-ecdsa256", "ca-ecdsa256"}, []string{"gw-ecdsa256"})
	}
	return dir, a
}

// BenchmarkHandshakes measures what a handshake costs a gateway, ours and
// strongSwan's in turn, before the same throng: IKE_SA_INIT and IKE_AUTH with a
// Child SA and an inner address. The throng shares the processors with the gateway;
// so what counts is the gateway's own processor time, and its inverse is how many
// handshakes a second one core does.
func BenchmarkHandshakes(b *testing.B) {
	for _, kind := range []struct{ method, group string }{{"psk", "x25519"}, {"ecdsa", "x25519"}, {"ecdsa", "ecp256"}} {
		b.Run(kind.method+" "+kind.group, func(b *testing.B) {
			const rounds, handshakes = 5, 1000
			l := lab.New(b)
			pki := newPKI(b)
			var ours, theirs []run
			for i := range max(rounds, b.N) {
				ours = append(ours, handshakesOurs(b, l, pki, fmt.Sprintf("ours-%d", i), kind.method, kind.group, handshakes))
				theirs = append(theirs, handshakesTheirs(b, l, pki, fmt.Sprintf("swan-%d", i), kind.method, kind.group, handshakes))
			}
			o, s := middle(ours), middle(theirs)
			ratio := o.perCore / s.perCore
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(o.perCore, "sallyport/core-s")
			b.ReportMetric(s.perCore, "strongswan/core-s")
			b.ReportMetric(o.perSecond, "sallyport/s")
			b.ReportMetric(s.perSecond, "strongswan/s")
			b.ReportMetric(ratio, "ratio")
			if ratio < 1 {
				b.Errorf("%.0f handshakes per second and core, strongSwan %.0f: %.2f times as many, and 1 is the least", o.perCore, s.perCore, ratio)
			}
		})
	}
}

// A run is what one rush of a throng came to.
type run struct{ perCore, perSecond float64 }

// middle returns the medians of runs.
func middle(runs []run) run {
	var a, b []float64
	for _, r := range runs {
		a, b = append(a, r.perCore), append(b, r.perSecond)
	}
	slices.Sort(a)
	slices.Sort(b)
	return run{a[len(a)/2], b[len(b)/2]}
}

// window is how many members of a throng are in their handshake at the same time:
// fewer than make a gateway ask for cookies.
const window = 32

// rushIn lets n members connect, and divides them by what the gateway with that
// process used.
func rushIn(b testing.TB, c *throng, pid, n int) run {
	b.Helper()
	before := processorTime(b, pid)
	took := c.connect(n, window).duration()
	time.Sleep(200 * time.Millisecond) // what the gateway does after its answer counts too
	used := processorTime(b, pid) - before
	r := run{float64(n) / used.Seconds(), float64(n) / took.Seconds()}
	b.Logf("%d handshakes: %.0f a second, %.0f per second of the gateway's processor time", n, r.perSecond, r.perCore)
	return r
}

func handshakesOurs(b *testing.B, l *lab.Lab, pki *lab.PKI, name, method, group string, n int) run {
	b.Helper()
	l = l.For(b)
	dir, a := throngGateway(b, l, pki, name, method, group, n)
	s := l.Gateway.Service(name)
	defer s.Stop()
	s.Must("import", filepath.Join(dir, "swanctl.conf"))
	c := newThrong(b, l, a)
	defer c.close()
	return rushIn(b, c, s.Proc.Cmd.Process.Pid, n)
}

func handshakesTheirs(b *testing.B, l *lab.Lab, pki *lab.PKI, name, method, group string, n int) run {
	b.Helper()
	l = l.For(b)
	dir, a := throngGateway(b, l, pki, name, method, group, n)
	s := l.Gateway.StrongSwan(dir, quickSwan...)
	defer s.Stop()
	c := newThrong(b, l, a)
	defer c.close()
	return rushIn(b, c, s.PID(), n)
}

// quickSwan lets strongSwan take a throng: no protection against floods, no log,
// and tables for many SAs.
var quickSwan = []string{"dos_protection = no", "cookie_threshold = 0", "block_threshold = 0", "ikesa_table_size = 16384", "ikesa_table_segments = 16",
	"filelog {\n log {\n default = -1\n ike = -1\n }\n }"}

// processorTime returns what a process has used of the processors.
func processorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // after the name, which may hold anything
	f := strings.Fields(rest)
	if len(f) < 13 {
		t.Fatalf("stat: %q", b)
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	const ticks = 100 // a second: USER_HZ
	return time.Duration(user+system) * time.Second / ticks
}
