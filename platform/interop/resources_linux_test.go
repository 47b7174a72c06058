package interop_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// resourcesProfile is an end of ours with Child SAs for three resources beside the
// first.
const resourcesProfile = `version = 1
name = "office"
TOP
[local]
method = "psk"
id = "HERE"
secret = "psk"
[remote]
method = "psk"
id = "THERE"
POOLS
[[children]]
name = "net"
SIDE = ["10.10.0.0/16", "fd00:10::/64"]
rekey_time = "3s"
life_time = "12s"
per_resource_sas = 3
`

var (
	resourcesClient = strings.NewReplacer("TOP", "gateways = [\"198.51.100.1\"]\nvirtual_ips = [\"0.0.0.0\", \"::\"]",
		"HERE", "alice@vpn.test", "THERE", "psk.vpn.test", "POOLS\n", "", "SIDE", "remote_ts")
	resourcesGateway = strings.NewReplacer("TOP", "role = \"responder\"", "HERE", "psk.vpn.test", "id = \"THERE\"\n", "",
		"POOLS", "[[pools]]\nname = \"v4\"\naddresses = \"10.20.0.0/24\"\n[[pools]]\nname = \"v6\"\naddresses = \"fd00:20::/120\"", "SIDE", "local_ts")
)

// importResources starts our service with such an end.
func importResources(t *testing.T, l *lab.Lab, h *lab.Host, name string, end *strings.Replacer) *lab.Service {
	t.Helper()
	s := h.Service(name)
	importWithPSK(t, l, s, "resources-"+name, end.Replace(resourcesProfile))
	return s
}

// sentFor is how many packets an end has sent for each resource, as far as the
// Child SAs of it are still there.
func sentFor(s *lab.Service) map[int]uint64 {
	sent := make(map[int]uint64)
	for _, c := range s.Dynamic().ChildSAs {
		sent[c.Resource] += c.Counters.OutPackets
	}
	return sent
}

// resourcesOf are the resources of the Child SAs that an end sends on.
func resourcesOf(s *lab.Service) map[int]bool {
	all := make(map[int]bool)
	for _, c := range s.Dynamic().ChildSAs {
		if c.State == "installed" {
			all[c.Resource] = true
		}
	}
	return all
}

// manyFlows downloads over several connections at once.
func manyFlows(t *testing.T, l *lab.Lab, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, err := l.Client.Download(lab.InsideV4, 3*megabytes, time.Minute); err != nil {
				t.Errorf("download: %v", err)
			}
		})
	}
	all.Wait()
}

// TestPerResourceSAs has several Child SAs for the same traffic (RFC 9611), over
// which the flows are spread both ways, and which are rekeyed amid them: nothing is
// lost. A gateway that knows none gets on with one.
func TestPerResourceSAs(t *testing.T) {
	t.Parallel()
	t.Run("our gateway", func(t *testing.T) {
		l := lab.New(t)
		gw := importResources(t, l, l.Gateway, "gateway", resourcesGateway)
		s := importResources(t, l, l.Client, "client", resourcesClient)
		wire := l.Client.Capture("eth0")
		s.Must("connect", "office", "--wait", "20s")
		waitFor(t, "every resource to have its Child SA", func() bool { return len(resourcesOf(s)) == 4 && len(resourcesOf(gw)) == 4 })
		if out := s.Must("show", "dynamic"); !strings.Contains(out, "Resource") {
			t.Errorf("the resources are not shown:\n%s", out)
		}
		manyFlows(t, l, 24)
		for end, e := range map[string]*lab.Service{"client": s, "gateway": gw} {
			sent := sentFor(e)
			t.Logf("%s: packets by resource: %v", end, sent)
			for r := 1; r <= 3; r++ {
				if sent[r] < 100 {
					t.Errorf("%s: %d packets for resource %d", end, sent[r], r)
				}
			}
		}
		underTraffic(t, l, 4)
		manyFlows(t, l, 8)
		if a, b := resourcesOf(s), resourcesOf(gw); len(a) != 4 || len(b) != 4 {
			t.Errorf("after rekeying: %v and %v", a, b)
		}
		t.Logf("wire: %v", wire.MustBeProtected(50_000))
		t.Logf("drops: %v at the client, %v at the gateway", s.Dynamic().Drops, gw.Dynamic().Drops)
		s.Must("disconnect", "office")
	})

	conf := strings.Replace(twoChildrenGateway, "CHILDREN", `
    children {
      net {
        local_ts = 10.10.0.0/16, fd00:10::/64
        MORE
      }
    }`, 1)
	t.Run("a gateway that knows none", func(t *testing.T) {
		l := lab.New(t)
		gw := l.Gateway.StrongSwan(l.SwanDir("gateway", strings.Replace(conf, "MORE", "", 1)))
		s := importResources(t, l, l.Client, "client", resourcesClient)
		s.Must("connect", "office", "--wait", "20s")
		underTraffic(t, l, 3)
		if r := resourcesOf(s); len(r) != 1 {
			t.Errorf("resources %v", r)
		}
		if n := len(regexp.MustCompile(`parsed CREATE_CHILD_SA request \d+ \[ SA`).FindAllString(gw.Log(), -1)); n != 0 {
			t.Errorf("it was asked %d times for more", n)
		}
		s.Must("disconnect", "office")
	})

	t.Run("strongSwan 6's gateway", func(t *testing.T) {
		l := lab.New(t)
		gw := l.Gateway.StrongSwan6(l.SwanDir("gateway6", strings.Replace(conf, "MORE", "per_cpu_sas = yes", 1)))
		s := importResources(t, l, l.Client, "client", resourcesClient)
		s.Must("connect", "office", "--wait", "20s")
		waitFor(t, "every resource to have its Child SA", func() bool { return len(resourcesOf(s)) == 4 })
		manyFlows(t, l, 12)
		sent := sentFor(s)
		t.Logf("packets by resource: %v", sent)
		if sent[1]+sent[2]+sent[3] < 100 || sent[0] > 10 {
			t.Errorf("packets by resource: %v", sent)
		}
		underTraffic(t, l, 4)
		if r := resourcesOf(s); len(r) != 4 {
			t.Errorf("resources %v", r)
		}
		if n := len(regexp.MustCompile(`creating per-resource SA as one of several`).FindAllString(gw.Log(), -1)); n < 3 {
			t.Errorf("strongSwan knows of %d resources:\n%s", n, gw.SAs())
		}
		s.Must("disconnect", "office")
	})

	t.Run("strongSwan 6's client", func(t *testing.T) {
		l := lab.New(t)
		gw := importResources(t, l, l.Gateway, "gateway", resourcesGateway)
		swan := l.Client.StrongSwan6(l.SwanDir("client6", pskConf("198.51.100.1", "psk.vpn.test", "", split+"\n        per_cpu_sas = yes")))
		if out, err := swan.Ctl(20*time.Second, "--initiate", "--child", "net"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
			t.Errorf("ping: %v", p)
		}
		if !strings.Contains(swan.Log(), "creating SA as one of several per-resource SAs") {
			t.Error("strongSwan does not know that we allow more")
		}
		if r := resourcesOf(gw); len(r) != 1 {
			t.Errorf("resources %v", r)
		}
	})
}
